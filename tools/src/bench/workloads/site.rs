//! The place where the workloads run: a root file system, a disk that can be made cold, a network, and containers that come and go.

use super::bundle::{self, Bundle};
use super::peer::{self, Network};
use crate::bench::bounds::NATIVE;
use crate::process;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds that anything may take: what takes longer hangs.
const MOST: &str = "240";
/// What a message says of what took longer: timeout(1)'s status.
pub const HUNG: &str = "exit status: 124";

/// Where everything is.
pub struct Site {
    /// The binary that is measured.
    pub ringwall: PathBuf,
    /// gVisor's, where there is one.
    pub runsc: Option<PathBuf>,
    /// Of the runtimes.
    pub state: PathBuf,
    /// Bound to `/data`, on the disk.
    pub data: PathBuf,
    work: PathBuf,
    root: PathBuf,
    count: Cell<u32>,
}

/// A container's files, from before its start to after its end.
pub struct Place<'a> {
    site: &'a Site,
    peer: &'a str,
    network: Network,
    /// Its name, and its network's.
    pub id: String,
    /// Where it is reached from outside.
    pub address: String,
    folder: PathBuf,
}

impl Site {
    /// Unpacks, mounts, connects. `kernel` has the modules of a disk in memory; without it, the data is where everything else is.
    pub fn prepare(ringwall: &Path, runsc: Option<PathBuf>, archive: &Path, kernel: Option<&Path>) -> Result<Self> {
        let work = std::env::temp_dir().join(format!("ringwall-bench.{}", std::process::id()));
        let site = Self {
            ringwall: ringwall.to_path_buf(),
            runsc,
            state: work.join("state"),
            data: work.join("data"),
            root: work.join("root"),
            work,
            count: Cell::new(0),
        };
        for folder in [&site.state, &site.data, &site.root] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        step("unpacking the root file system");
        process::output(Command::new("tar").arg("-C").arg(&site.root).arg("-xf").arg(archive))?;
        if let Some(kernel) = kernel {
            site.disk(kernel)?;
        }
        shell("ip link set lo up && mkdir -p /run/netns", &[])?;
        step("writing files");
        shell(include_str!("files.sh"), &[&site.data, &site.root])?;
        Ok(site)
    }

    /// A disk in memory, with a file system whose pages Linux caches and forgets like those of any disk.
    fn disk(&self, kernel: &Path) -> Result<()> {
        shell(include_str!("disk.sh"), &[kernel, &self.data])
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<()> {
        // Also what a peer left mounted when it failed, the last one first.
        let unmount = "awk -v top=\"$1/\" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r |
             while read -r at; do umount \"$at\" 2>/dev/null || umount -l \"$at\"; done";
        shell(unmount, &[&self.work])?;
        fs::remove_dir_all(&self.work).with_context(|| format!("cannot remove {}", self.work.display()))
    }

    /// Lets Linux forget what it has read.
    pub fn make_cold(&self) -> Result<()> {
        shell("sync && echo 3 >/proc/sys/vm/drop_caches", &[])
    }

    /// A root of its own and a bundle for a container that runs a script.
    pub fn place<'a>(&'a self, peer: &'a str, network: Network, script: &str) -> Result<Place<'a>> {
        let number = self.count.replace(self.count.get() + 1);
        let id = format!("bench{number}");
        let (outside, inside) = addresses(number);
        let address = if network == Network::Host { "127.0.0.1".to_owned() } else { inside.to_string() };
        let place = Place { site: self, peer, network, folder: self.work.join(&id), address, id };
        if network == Network::Sandbox {
            // A new one each time: a sandbox takes the addresses over.
            let id = &place.id;
            let script = format!(
                "ip netns add {id} && ip link add {id} type veth peer name eth0 netns {id} && ip address add {outside}/30 dev {id} && \
                 ip link set {id} up && ip -n {id} address add {inside}/30 dev eth0 && ip -n {id} link set eth0 up && \
                 ip -n {id} link set lo up && ip -n {id} route add default via {outside}"
            );
            shell(&script, &[])?;
        }
        shell(
            "mkdir -p \"$2\"/upper \"$2\"/work \"$2\"/rootfs && \
             mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" \"$2\"/rootfs && mkdir -p \"$2\"/rootfs/data",
            &[&self.root, &place.folder],
        )?;
        if peer == NATIVE {
            shell(
                "mount -t proc proc \"$1\"/proc && mount --rbind /dev \"$1\"/dev && mount --make-rslave \"$1\"/dev && \
                 mount --bind \"$2\" \"$1\"/data",
                &[&place.root(), &self.data],
            )?;
        }
        let namespace = PathBuf::from("/run/netns").join(&place.id);
        let config = bundle::config(&Bundle {
            root: &place.root(),
            data: &self.data,
            script,
            network: (network == Network::Sandbox).then_some(&namespace),
            id: &place.id,
        });
        fs::write(place.folder.join("config.json"), serde_json::to_vec(&config)?)
            .context("cannot write config.json")?;
        fs::write(place.folder.join("script"), script).context("cannot write the script")?;
        Ok(place)
    }
}

impl Place<'_> {
    fn root(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// The command that runs it in the foreground, ended when it takes too long.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", MOST]);
        if self.peer == NATIVE {
            if self.network == Network::Sandbox {
                command.args(["ip", "netns", "exec", &self.id]);
            }
            let script = fs::read_to_string(self.folder.join("script")).context("no script")?;
            command.arg("chroot").arg(self.root());
            command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"]);
            command.args(["bash", "-c", &script]);
        } else {
            let runtime = peer::runtime(self.site, self.peer, self.network);
            command.arg(runtime.get_program()).args(runtime.get_args());
            command.arg("run").arg("--bundle").arg(&self.folder).arg(&self.id);
        }
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end; what it said.
    pub fn output(&self) -> Result<String> {
        let output = self.command()?.output().context("cannot start it")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").to_owned();
            bail!("it ended with {}: {last}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts it, to go on beside us; it and all that it starts are a group.
    pub fn start(&self) -> Result<Child> {
        let log = fs::File::create(self.folder.join("log")).context("cannot make its log")?;
        let mut command = self.command()?;
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        command.spawn().context("cannot start it")
    }

    /// Ends what [`start`](Self::start) started.
    pub fn end(&self, mut child: Child) -> Result<()> {
        let group = Pid::from_raw(child.id() as i32);
        if self.peer == NATIVE {
            let _ = killpg(group, Signal::SIGKILL);
        } else {
            // The runtime waits for its container, which is the first process of its pid namespace and minds no other signal.
            let mut kill = peer::runtime(self.site, self.peer, self.network);
            let _ = kill.args(["kill", &self.id, "KILL"]).stdin(Stdio::null()).output();
        }
        let start = Instant::now();
        while child.try_wait()?.is_none() {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = killpg(group, Signal::SIGKILL);
                child.wait()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Why it ended, if ringwall said so after [`start`](Self::start); else the last line that was said.
    pub fn log(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = |is: fn(&str) -> bool| text.lines().rfind(|line| is(line));
        // Behind a panic's message stand its callers.
        let line = last(|line| line.starts_with("ringwall: ")).or_else(|| last(|line| !line.trim().is_empty()));
        line.unwrap_or("").to_owned()
    }

    /// Ends what still runs and takes its files away.
    pub fn clear(self) -> Result<()> {
        if self.peer != NATIVE {
            let mut delete = peer::runtime(self.site, self.peer, self.network);
            // It fails where there is nothing any more, which is what is wanted.
            let _ = delete.args(["delete", "--force", &self.id]).stdin(Stdio::null()).output();
        }
        shell("umount -R \"$1\" 2>/dev/null || umount -R -l \"$1\"", &[&self.root()])?;
        if self.network == Network::Sandbox {
            shell(&format!("ip netns delete {0}; ip link delete {0} 2>/dev/null; true", self.id), &[])?;
        }
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// The two addresses of a network of its own: the driver's and the container's.
fn addresses(number: u32) -> (Ipv4Addr, Ipv4Addr) {
    let network = u32::from(Ipv4Addr::new(10, 77, 0, 0)) + number % (1 << 14) * 4;
    (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2))
}

/// Says what is done, where somebody waits.
pub fn step(text: &str) {
    eprintln!("bench: {text}");
}

/// A few commands with these arguments.
pub fn shell(script: &str, arguments: &[&Path]) -> Result<()> {
    process::output(Command::new("sh").args(["-c", script, "sh"]).args(arguments)).map(drop)
}

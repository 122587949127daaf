//! The cgroup of a container: where it is, who is in it, and its limits. `limits` is what the files of both versions are to
//! contain; `usage` is what they say; with `systemd`, systemd is asked to make it.
//!
//! All of a container's host processes (monitor, sandbox process, gofer) are in it. What the limits mean for the programs inside
//! is told to the sandbox beside that; there is no cgroup of the host's inside.

pub mod limits;
pub mod systemd;
pub mod usage;

use crate::container::{Error, file, said};
use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};
use systemd::Unit;

/// How long the processes of a cgroup may take to end or to stop.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(5);

/// Which interface the host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// None is mounted.
    #[default]
    None,
    /// A hierarchy for each controller.
    V1,
    /// One for all.
    V2,
}

/// A container's cgroup, in every hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Of the host's interface.
    pub version: Version,
    /// Directories by controller; the only one of version 2 has no name.
    pub paths: BTreeMap<String, PathBuf>,
    /// What systemd knows it as, where it is systemd that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    controllers: Vec<String>,
    mount_point: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// Where the cgroup of a container is: at `linux.cgroupsPath`, or under its name.
    pub fn locate(cgroups_path: Option<&Path>, id: &str, by_systemd: bool) -> Result<Self, Error> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(file(Path::new(path)));
        let hierarchies = hierarchies(&read("/proc/self/mountinfo")?);
        if by_systemd {
            let unit = Unit::parse(cgroups_path, id)?;
            let path = Path::new("/").join(unit.path());
            return Ok(Self { unit: Some(unit), ..Self::place(&hierarchies, "", Some(&path), id) });
        }
        Ok(Self::place(&hierarchies, &read("/proc/self/cgroup")?, cgroups_path, id))
    }

    fn place(hierarchies: &[Hierarchy], own: &str, cgroups_path: Option<&Path>, id: &str) -> Self {
        let wanted = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let below = |own: &str| match wanted {
            None => PathBuf::from(id),
            Some(path) if path.is_absolute() => plain(path),
            Some(path) => plain(Path::new(own)).join(plain(path)),
        };
        // Both may be mounted; then the old one has the controllers.
        if hierarchies.iter().any(|hierarchy| !hierarchy.is_v2) {
            let mut paths = BTreeMap::new();
            for hierarchy in hierarchies.iter().filter(|hierarchy| !hierarchy.is_v2) {
                for controller in &hierarchy.controllers {
                    let path = hierarchy.mount_point.join(below(&own_path(own, controller)));
                    paths.entry(controller.clone()).or_insert(path);
                }
            }
            return Self { version: Version::V1, paths, unit: None };
        }
        match hierarchies.first() {
            Some(only) => {
                let path = only.mount_point.join(below(&own_path(own, "")));
                Self { version: Version::V2, paths: BTreeMap::from([(String::new(), path)]), unit: None }
            }
            None => Self::default(),
        }
    }

    /// Makes the directories, but for those that systemd makes.
    pub fn create(&self) -> Result<(), Error> {
        if self.version == Version::V2 && self.unit.is_some() {
            return Ok(());
        }
        for (controller, path) in &self.paths {
            if self.version == Version::V2 {
                make_v2(path)?;
            } else {
                std::fs::create_dir_all(path).map_err(file(path))?;
            }
            if controller == "cpuset" {
                inherit_cpuset(path)?;
            }
        }
        Ok(())
    }

    /// The directory that the first process can be born in; `None` where it has to be moved (`begin`).
    pub fn birthplace(&self) -> Option<OwnedFd> {
        let path = self.controller("").filter(|_| self.version == Version::V2 && self.unit.is_none())?;
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Moves the first process here. Only then there is one that systemd makes, and it has no limits yet.
    pub fn begin(&self, pid: i32) -> Result<(), Error> {
        if let Some(unit) = &self.unit {
            unit.start(pid)?;
        }
        self.enter(pid)
    }

    /// Moves a process here.
    pub fn enter(&self, pid: i32) -> Result<(), Error> {
        for path in self.paths.values() {
            let procs = path.join("cgroup.procs");
            std::fs::write(&procs, pid.to_string()).map_err(file(&procs))?;
        }
        Ok(())
    }

    /// Moves the kernel's threads that work for a VM (KVM makes one in its maker's cgroups) to the top of a version 2 hierarchy: a
    /// cgroup that has any is never frozen as a whole, nor removed before they have ended. Where the host does not let us, it stays so.
    pub fn release_kernel_threads(&self) {
        let Some(own) = self.controller("").filter(|_| self.version == Version::V2) else { return };
        let top = own.ancestors().skip(1).take_while(|path| path.join("cgroup.procs").exists()).last();
        let Some(top) = top.map(|path| path.join("cgroup.procs")) else { return };
        for pid in self.processes().into_iter().filter(|pid| is_kernel_thread(*pid)) {
            let _ = std::fs::write(&top, pid.to_string());
        }
    }

    /// Sets limits. One that the host cannot keep is an error.
    pub fn limit(&self, resources: &LinuxResources) -> Result<(), Error> {
        if let Some(unit) = &self.unit {
            unit.limit(resources)?;
        }
        let settings = match self.version {
            Version::V2 => limits::v2(resources)?,
            Version::V1 => limits::v1(resources)?,
            Version::None => match limits::v2(resources)?.first() {
                None => return Ok(()),
                Some(setting) => return Err(said(format!("{}: no cgroup file system is mounted", setting.property))),
            },
        };
        // Two limits may only change in one order, and which depends on what they were.
        let mut again = Vec::new();
        for setting in settings {
            if self.set(&setting).is_err() {
                again.push(setting);
            }
        }
        again.iter().try_for_each(|setting| self.set(setting))
    }

    fn set(&self, setting: &limits::Setting) -> Result<(), Error> {
        let key = if self.version == Version::V2 { "" } else { setting.controller };
        let Some(directory) = self.paths.get(key) else {
            return Err(said(format!("{}: cgroup controller {key} is not mounted", setting.property)));
        };
        let path = directory.join(&setting.file);
        let failed = |error| Error::Io(format!("{}: {}", setting.property, path.display()), error);
        std::fs::write(&path, &setting.value).map_err(failed)
    }

    /// The directory that has a controller's files.
    pub fn controller(&self, name: &str) -> Option<&Path> {
        let key = if self.version == Version::V2 { "" } else { name };
        self.paths.get(key).map(PathBuf::as_path)
    }

    fn freezer(&self) -> Option<(PathBuf, &'static str, &'static str)> {
        let directory = self.controller("freezer")?;
        match self.version {
            Version::V1 => Some((directory.join("freezer.state"), "FROZEN", "THAWED")),
            _ => Some((directory.join("cgroup.freeze"), "1", "0")),
        }
    }

    /// Whether everything here is stopped.
    pub fn is_frozen(&self) -> bool {
        let Some((path, frozen, _)) = self.freezer() else { return false };
        match self.version {
            Version::V2 => {
                let events = path.with_file_name("cgroup.events");
                std::fs::read_to_string(events).is_ok_and(|text| text.lines().any(|line| line == "frozen 1"))
            }
            _ => std::fs::read_to_string(path).is_ok_and(|state| state.trim() == frozen),
        }
    }

    /// Stops everything here, or lets it go on, and waits until it does.
    pub fn freeze(&self, freeze: bool) -> Result<(), Error> {
        let (path, frozen, thawed) = self.freezer().ok_or_else(|| said("no cgroup freezer is mounted"))?;
        let value = if freeze { frozen } else { thawed };
        let end = Instant::now() + PATIENCE;
        if freeze {
            // Not before somebody freezes: a move makes Linux wait for all its CPUs, which a start need not pay for.
            self.release_kernel_threads();
        }
        std::fs::write(&path, value).map_err(file(&path))?;
        while self.is_frozen() != freeze {
            if Instant::now() > end {
                if freeze {
                    let _ = std::fs::write(&path, thawed);
                }
                return Err(said(format!("{}: still not {value}", path.display())));
            }
            std::thread::sleep(STEP);
            // The old freezer may miss a process that was just being made.
            let _ = std::fs::write(&path, value);
        }
        Ok(())
    }

    /// Host processes here.
    pub fn processes(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self
            .paths
            .values()
            .filter_map(|path| std::fs::read_to_string(path.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Kills what is left here and removes the directories. What is gone already is no error.
    pub fn remove(&self) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        if let Some(unit) = &self.unit {
            self.kill();
            unit.stop()?;
        }
        for path in self.paths.values() {
            loop {
                match std::fs::remove_dir(path) {
                    Ok(()) => break,
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    Err(error) if Instant::now() > end => return Err(file(path)(error)),
                    Err(_) => {}
                }
                self.kill();
                std::thread::sleep(STEP);
            }
        }
        Ok(())
    }

    fn kill(&self) {
        for pid in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if self.is_frozen() {
            let _ = self.freeze(false);
        }
    }
}

/// Whether a process is the kernel's own: a child of the one that makes these, with no command line.
fn is_kernel_thread(pid: i32) -> bool {
    /// Number of kthreadd (proc_pid_stat(5) and every Linux).
    const MAKER: &str = "PPid:\t2";
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    read("cmdline").is_empty() && read("status").lines().any(|line| line == MAKER)
}

/// A path without its beginning and without detours.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// `/proc/self/cgroup`: `4:memory:/a`, `0::/a`.
fn own_path(text: &str, controller: &str) -> String {
    let line = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|name| name == controller).then(|| path.to_string())
    });
    line.unwrap_or_default()
}

/// The hierarchies in a `/proc/self/mountinfo`.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    /// Mount options among the controllers' names.
    const OPTIONS: [&str; 8] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "nsdelegate", "memory_recursiveprot"];
    let lines = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mount_point = PathBuf::from(left.split(' ').nth(4)?);
        let mut right = right.split(' ');
        let is_v2 = match right.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = right.nth(1).unwrap_or_default().split(',');
        let controllers = options.filter(|option| !OPTIONS.contains(option) && !option.starts_with("release_agent="));
        Some(Hierarchy { controllers: controllers.map(str::to_string).collect(), mount_point, is_v2 })
    });
    lines.collect()
}

/// Makes a directory of version 2, and lets every directory above hand its controllers down.
fn make_v2(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(file(path))?;
    let is_cgroup = |path: &&Path| path.join("cgroup.controllers").exists();
    let mut above: Vec<&Path> = path.ancestors().skip(1).take_while(is_cgroup).collect();
    above.reverse();
    for directory in above {
        let controllers = std::fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // What cannot be handed down is missed when a limit needs it.
            let _ = std::fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// A new cpuset of version 1 is empty, and nobody can enter it: it gets what its parent has.
fn inherit_cpuset(path: &Path) -> Result<(), Error> {
    let above: Vec<&Path> = path.ancestors().take_while(|path| path.join("cpuset.cpus").exists()).collect();
    for pair in above.windows(2).rev() {
        let [below, above] = pair else { continue };
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let (own, parents) = (below.join(name), above.join(name));
            if std::fs::read_to_string(&own).map_err(file(&own))?.trim().is_empty() {
                let value = std::fs::read_to_string(&parents).map_err(file(&parents))?;
                std::fs::write(&own, value.trim()).map_err(file(&own))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
30 29 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 29 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
34 29 0:30 / / rw - ext4 /dev/vda rw";
    const OWN: &str = "4:memory:/box\n3:cpu,cpuacct:/\n0::/box";

    #[test]
    fn a_cgroup_is_in_every_old_hierarchy() {
        let cgroup = Cgroup::place(&hierarchies(V1), OWN, Some(Path::new("/docker/abc")), "id");
        assert_eq!(cgroup.version, Version::V1);
        assert_eq!(cgroup.controller("memory"), Some(Path::new("/sys/fs/cgroup/memory/docker/abc")));
        assert_eq!(cgroup.controller("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/docker/abc")));
        assert_eq!(cgroup.paths.len(), 4);
    }

    #[test]
    fn a_relative_path_is_below_the_callers_own() {
        let cgroup = Cgroup::place(&hierarchies(V1), OWN, Some(Path::new("a/../b")), "id");
        assert_eq!(cgroup.controller("memory"), Some(Path::new("/sys/fs/cgroup/memory/box/b")));
        let cgroup = Cgroup::place(&hierarchies(V1), OWN, None, "id");
        assert_eq!(cgroup.controller("memory"), Some(Path::new("/sys/fs/cgroup/memory/id")));
    }

    #[test]
    fn no_path_leads_out_of_a_hierarchy() {
        let v2 = hierarchies("33 29 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        let cgroup = Cgroup::place(&v2, OWN, Some(Path::new("/../../etc")), "id");
        assert_eq!((cgroup.version, cgroup.controller("pids")), (Version::V2, Some(Path::new("/sys/fs/cgroup/etc"))));
    }

    #[test]
    fn without_a_hierarchy_only_limits_are_missed() {
        let cgroup = Cgroup::place(&[], OWN, Some(Path::new("/a")), "id");
        assert_eq!(cgroup, Cgroup::default());
        assert!(cgroup.create().is_ok() && cgroup.enter(1).is_ok() && cgroup.remove().is_ok() && !cgroup.is_frozen());
        assert!(cgroup.limit(&LinuxResources::default()).is_ok());
        let resources = serde_json::from_str(r#"{"memory":{"limit":100000000}}"#).expect("valid");
        let error = cgroup.limit(&resources).expect_err("refused").to_string();
        assert!(error.contains("linux.resources.memory.limit"), "{error}");
    }
}

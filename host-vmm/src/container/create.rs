//! `create`: from a bundle to a container that waits for `start`.
//!
//! ```text
//! create                                    monitor (forked)
//!   directory, state.json, cgroup
//!   fork, into the cgroup ─────────────────▶ network namespace
//!   hooks, with the monitor's pid  ◀─ Ready ─
//!   ───────────────────────────────── Go ──▶ sandbox process, gofer; the sandbox sets up
//!   state.json, pid file          ◀ Waiting ─ (or Failed)
//!   ──────────────────────────────── Stay ─▶ lives on
//! ```
//!
//! Whatever fails, everything made so far goes again. When `create` itself is killed, the monitor ends because its socket
//! closes, and what is left is a directory and a cgroup that `delete --force` removes.

use crate::container::cgroup::Cgroup;
use crate::container::join;
use crate::container::monitor::{self, Parts};
use crate::container::setup::Setup;
use crate::container::state::{Directory, Stage, State};
use crate::container::status::{self, Status};
use crate::container::{Error, call, client, console, file, hooks, said, time};
use crate::launch::{Background, Launch};
use crate::spec::oci::{Bundle, NetworkNamespace, Pod};
use crate::{net, process, report, spec};
use linker::boot::BootFlags;
use linker::spec::TraceFilter;
use oci_spec::runtime::Hooks;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `create` is told beside the bundle.
#[derive(Debug)]
pub struct Options<'a> {
    /// State directory.
    pub root: &'a Path,
    /// Name.
    pub id: &'a str,
    /// Directory of `config.json`, absolute.
    pub bundle: &'a Path,
    /// Where the monitor's pid is written.
    pub pid_file: Option<&'a Path>,
    /// Where a terminal's master is sent.
    pub console_socket: Option<&'a Path>,
    /// The streams are the caller's terminal, in raw mode; no console socket is needed then.
    pub own_terminal: bool,
    /// What is beside loopback.
    pub network: spec::Network,
    /// Descriptors that the program gets beside the standard streams, from 3 on.
    pub descriptors: Vec<OwnedFd>,
    /// vCPUs, if somebody says so.
    pub vcpus: Option<usize>,
    /// It is systemd that makes the cgroup.
    pub systemd: bool,
    /// Where the container's host processes say what they have to say.
    pub log: Option<Arc<OwnedFd>>,
    /// Which system calls are recorded, and where to.
    pub strace: Option<(TraceFilter, OwnedFd)>,
}

/// Sets up a container.
pub fn create(mut options: Options<'_>, bundle: Bundle) -> Result<State, Error> {
    let terminal = bundle.spec.terminal;
    match options.console_socket {
        None if terminal && !options.own_terminal => {
            return Err(said("cannot allocate tty if ringwall will detach without setting console socket"));
        }
        Some(_) if !terminal => {
            return Err(said("cannot use console socket if ringwall will not detach or allocate tty"));
        }
        _ => {}
    }
    let is_member = matches!(bundle.pod, Pod::Member(_));
    if bundle.network == NetworkNamespace::Callers && options.network == spec::Network::Sandbox && !is_member {
        return Err(said(
            "config.json: linux.namespaces: without network the host's would be shared, which takes --network=host",
        ));
    }
    let linux = bundle.config.linux().as_ref();
    let cgroup = Cgroup::locate(linux.and_then(|linux| linux.cgroups_path().as_deref()), options.id, options.systemd)?;
    check_root(&bundle.rootfs)?;
    let directory = Directory::create(options.root, options.id)?;
    let mut state = State {
        oci_version: bundle.config.version().clone(),
        id: options.id.into(),
        stage: Stage::Creating,
        pid: 0,
        start_time: 0,
        bundle: options.bundle.into(),
        rootfs: bundle.rootfs.clone(),
        created: time::now(),
        owner: rustix::process::geteuid().as_raw(),
        annotations: bundle.config.annotations().clone().unwrap_or_default(),
        cgroup,
        process: bundle.config.process().clone(),
        personality: bundle.spec.process.personality,
        in_pod: is_member,
        hooks: bundle.config.hooks().clone(),
    };
    match set_up(&mut options, bundle, &directory, &mut state) {
        Ok(()) => Ok(state),
        Err(error) => {
            if let Some(pid) = rustix::process::Pid::from_raw(state.pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                let _ =
                    rustix::process::waitid(rustix::process::WaitId::Pid(pid), rustix::process::WaitIdOptions::EXITED);
            }
            let _ = state.cgroup.remove();
            let _ = directory.remove();
            if let Some(path) = options.pid_file {
                let _ = std::fs::remove_file(path);
            }
            Err(error)
        }
    }
}

/// The root is where the bundle says, not where a link leads.
fn check_root(rootfs: &Path) -> Result<(), Error> {
    let real = std::fs::canonicalize(rootfs)
        .map_err(|error| Error::Io(format!("invalid rootfs {}", rootfs.display()), error))?;
    let lexical: PathBuf = rootfs.components().collect();
    match (real == lexical, real.is_dir()) {
        (_, false) => Err(said(format!("invalid rootfs {}: not a directory", rootfs.display()))),
        (false, _) => Err(said(format!("invalid rootfs {}: not an absolute path, or a symlink", rootfs.display()))),
        _ => Ok(()),
    }
}

fn set_up(options: &mut Options<'_>, bundle: Bundle, directory: &Directory, state: &mut State) -> Result<(), Error> {
    directory.store(state)?;
    state.cgroup.create()?;
    let hooks = bundle.config.hooks().clone();
    let resources = bundle.config.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    if state.cgroup.unit.is_none() {
        state.cgroup.limit(&resources)?;
    }

    let listener = client::listen(directory)?;
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).map_err(call("socketpair"))?;
    let console_size = bundle.config.process().as_ref().and_then(|process| process.console_size());
    let console_size =
        console_size.and_then(|size| Some((size.height().try_into().ok()?, size.width().try_into().ok()?)));
    let terminal = options.console_socket.map(|path| console::open(path, console_size)).transpose()?;

    let mut inherited = Some((
        Parts { listener, setup: theirs, oom_score_adj: score(&bundle), memory_limit: bundle.memory_bytes },
        terminal,
        bundle,
        std::mem::take(&mut options.descriptors),
    ));
    let (options, told) = (&*options, &*state);
    let cgroup = state.cgroup.birthplace();
    let monitor = process::fork_child_into(cgroup.as_ref().map(AsFd::as_fd), |is_inside| match inherited.take() {
        Some((parts, terminal, bundle, descriptors)) => {
            monitor_main(options, told, is_inside, parts, terminal, bundle, descriptors)
        }
        None => report::FAILURE,
    })
    .map_err(call("fork"))?;
    drop(inherited.take());
    state.pid = monitor.as_raw_nonzero().get();
    state.start_time = status::process_start(state.pid).unwrap_or(0);
    directory.store(state)?;

    expect(&ours, |said| matches!(said, Setup::Ready), state)?;
    if state.cgroup.unit.is_some() {
        state.cgroup.limit(&resources)?;
    }
    run_hooks(hooks.as_ref(), state)?;
    Setup::Go.send(&ours)?;
    expect(&ours, |said| matches!(said, Setup::Waiting), state)?;
    state.stage = Stage::Created;
    directory.store(state)?;
    if let Some(path) = options.pid_file {
        write_pid_file(path, state.pid)?;
    }
    Setup::Stay.send(&ours)
}

fn score(bundle: &Bundle) -> Option<i32> {
    bundle.config.process().as_ref().and_then(|process| process.oom_score_adj())
}

/// Waits for the monitor's next word.
fn expect(socket: &OwnedFd, wanted: impl Fn(&Setup) -> bool, state: &State) -> Result<(), Error> {
    match Setup::receive(socket) {
        Some(said) if wanted(&said) => Ok(()),
        _ if state.cgroup.oom_kills() > 0 => Err(said(
            "unable to start container process: linux.resources.memory.limit is too small for a sandbox: \
             the host killed it for want of memory while the container was set up",
        )),
        Some(Setup::Failed { code, message }) => {
            let program = state.process.as_ref().and_then(|process| process.args().as_ref()?.first().cloned());
            Err(said(format!("unable to start container process: {}", explain(code, &message, program.as_deref()))))
        }
        _ => Err(said("unable to start container process: the monitor ended while the container was set up")),
    }
}

/// Why a program cannot be started, in runc's words: engines read an exit code from them.
pub fn explain(code: u8, message: &str, program: Option<&str>) -> String {
    let program = program.unwrap_or_default();
    let reason = message.rsplit(": ").next().unwrap_or(message).to_lowercase();
    match code {
        127 if program.contains('/') => format!("exec: {program:?}: stat {program}: {reason}"),
        127 => format!("exec: {program:?}: executable file not found in $PATH"),
        126 if reason == "permission denied" => format!("exec: {program:?}: {reason}"),
        126 => format!("exec {program}: {reason}"),
        _ => message.into(),
    }
}

fn run_hooks(hooks: Option<&Hooks>, state: &State) -> Result<(), Error> {
    let Some(hooks) = hooks else { return Ok(()) };
    #[allow(deprecated)]
    let prestart = hooks.prestart().as_ref();
    let document = status::document(state, Status::Creating);
    for list in [prestart, hooks.create_runtime().as_ref(), hooks.create_container().as_ref()] {
        hooks::run(list, &document)?;
    }
    Ok(())
}

/// Writes a pid so that who waits for the file finds it whole.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<(), Error> {
    let mut new = path.as_os_str().to_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    std::fs::write(&new, pid.to_string()).map_err(file(&new))?;
    std::fs::rename(&new, path).map_err(file(path))
}

/// The monitor's process; `is_inside`: in the container's cgroup. Returns only when the container did not come to be.
fn monitor_main(
    options: &Options<'_>,
    state: &State,
    is_inside: bool,
    parts: Parts,
    terminal: Option<OwnedFd>,
    bundle: Bundle,
    descriptors: Vec<OwnedFd>,
) -> u8 {
    let kept: Vec<BorrowedFd<'_>> = [&parts.listener, &parts.setup]
        .into_iter()
        .chain(&terminal)
        .chain(&descriptors)
        .chain(options.log.as_deref())
        .chain(options.strace.as_ref().map(|(_, to)| to))
        .map(AsFd::as_fd)
        .collect();
    process::close_all_but(&kept);
    let Ok(setup) = parts.setup.try_clone() else { return report::FAILURE };
    let entered = if is_inside { Ok(()) } else { state.cgroup.begin(rustix::process::getpid().as_raw_nonzero().get()) };
    let error = match entered.and_then(|()| settle(&setup, terminal.as_ref(), &bundle.network)) {
        Err(error) => error,
        Ok(()) => match bundle.pod.clone() {
            Pod::Member(sandbox) => match join::join(options, &sandbox, bundle, descriptors, terminal) {
                Ok(joined) => monitor::run_joined(parts, joined),
                Err(error) => error,
            },
            _ => match prepare(options, bundle, descriptors) {
                Ok(launch) => {
                    drop(terminal);
                    monitor::run(parts, launch)
                }
                Err(error) => error,
            },
        },
    };
    let _ = Setup::Failed { code: report::FAILURE, message: error.to_string() }.send(&setup);
    report::FAILURE
}

/// Puts the monitor in its place, and waits for `create`'s word.
fn settle(setup: &OwnedFd, terminal: Option<&OwnedFd>, network: &NetworkNamespace) -> Result<(), Error> {
    let _ = rustix::thread::set_name(c"ringwall");
    match terminal {
        Some(terminal) => {
            console::control(terminal)?;
            console::become_streams(terminal)?;
        }
        None => drop(rustix::process::setsid()),
    }
    enter_network(network)?;
    Setup::Ready.send(setup)?;
    match Setup::receive(setup) {
        Some(Setup::Go) => Ok(()),
        // `create` has its own reason.
        _ => process::exit_now(report::FAILURE),
    }
}

/// What a sandbox of the container's own is started with.
fn prepare(options: &Options<'_>, bundle: Bundle, descriptors: Vec<OwnedFd>) -> Result<Launch, Error> {
    // After the hooks: they are what brings the interfaces.
    let name_servers = bundle.name_servers();
    let taken = options.network.take_over(&name_servers).map_err(|error| said(error.to_string()))?;
    let mut start = bundle.spec;
    start.wait = true;
    start.network = taken.spec;
    let mut files = taken.sockets;
    let first = net::FIRST_SOCKET + files.len() as u32;
    start.descriptors = (first..).take(descriptors.len()).collect();
    files.extend(descriptors);
    if let Some((filter, to)) = &options.strace {
        start.trace = Some((filter.clone(), net::FIRST_SOCKET + files.len() as u32));
        files.push(to.try_clone().map_err(|error| Error::Io("--strace".into(), error))?);
    }
    let memory_bytes = bundle.memory_bytes.map_or_else(spec::default_memory, guest_memory);
    start.memory_bytes = memory_bytes;
    let most = spec::default_cpus();
    Ok(Launch {
        spec: start,
        exports: bundle.exports,
        cpus: options.vcpus.unwrap_or_else(|| bundle.cpus.unwrap_or(most).clamp(1, most)),
        memory_bytes,
        flags: BootFlags::empty(),
        files,
        pod: bundle.pod == Pod::Sandbox,
        background: Some(Background { log: options.log.clone() }),
    })
}

/// Memory of a machine whose host processes are limited to `limit`: what they need themselves is left out, so that it is the
/// sandbox that runs out of memory, and kills one program, and not the host, which would kill the sandbox.
fn guest_memory(limit: u64) -> u64 {
    const OWN: u64 = 8 << 20;
    limit.saturating_sub(OWN + limit / 64).max(crate::vm::memory::MIN_BYTES)
}

fn enter_network(network: &NetworkNamespace) -> Result<(), Error> {
    use nix::sched::{CloneFlags, setns, unshare};
    let failed = |what: String| move |errno: nix::Error| Error::Io(what, errno.into());
    match network {
        NetworkNamespace::Callers => Ok(()),
        NetworkNamespace::New => unshare(CloneFlags::CLONE_NEWNET).map_err(failed("network namespace".into())),
        NetworkNamespace::At(path) => {
            let namespace = std::fs::File::open(path).map_err(file(path))?;
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(failed(path.display().to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_find_what_they_look_for_in_an_error() {
        let not_there = explain(127, "/no/such: No such file or directory", Some("/no/such"));
        assert_eq!(not_there, "exec: \"/no/such\": stat /no/such: no such file or directory");
        let not_in_path = explain(127, "prog: No such file or directory", Some("prog"));
        assert_eq!(not_in_path, "exec: \"prog\": executable file not found in $PATH");
        let not_executable = explain(126, "/etc/passwd: Permission denied", Some("/etc/passwd"));
        assert_eq!(not_executable, "exec: \"/etc/passwd\": permission denied");
        assert_eq!(explain(125, "mount on /x: Input/output error", None), "mount on /x: Input/output error");
    }

    #[test]
    fn a_root_that_is_a_link_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let base = directory.path().canonicalize().expect("path");
        std::fs::create_dir(base.join("real")).expect("made");
        std::os::unix::fs::symlink("real", base.join("link")).expect("made");
        assert!(check_root(&base.join("real")).is_ok());
        assert!(check_root(&base.join("link")).is_err());
        assert!(check_root(&base.join("none")).is_err());
    }
}

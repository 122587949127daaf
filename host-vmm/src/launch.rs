//! Starts a sandbox: the gofer, the sandbox process, and the parent that minds them.
//!
//! ```text
//! parent ──control── sandbox process (vCPU threads, worker)
//!    └────control── gofer ──requests, replies── ┘
//! ```

use crate::gofer::client::Client;
use crate::gofer::{self, Export, Root};
use crate::idle;
use crate::notice::{self, Notice};
use crate::parent::{self, Child, RawTerminal, Watcher};
use crate::pin;
use crate::process;
use crate::quirk;
use crate::report;
use crate::serve::worker::Worker;
use crate::serve::{Parts, Server};
use crate::spec::mountpoints;
use crate::vm::{self, Config, Machine};
use linker::boot::BootFlags;
use linker::control::Report;
use linker::spec::{MountKind, MountSpec, StartSpec};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Barrier};

/// Bytes of a vCPU thread's or the worker's stack.
const STACK_BYTES: usize = 256 << 10;

/// What to start.
#[derive(Debug)]
pub struct Launch {
    /// For the sentry.
    pub spec: StartSpec,
    /// What the gofer serves, by `MountKind::Host::mount`.
    pub exports: Vec<Export>,
    /// vCPUs.
    pub cpus: usize,
    /// Bytes of guest RAM.
    pub memory_bytes: u64,
    /// `BootInfo::flags`.
    pub flags: BootFlags,
    /// Sockets that `spec.network` names (`net::take_over`), and behind them what the first process gets beside the standard
    /// streams.
    pub files: Vec<OwnedFd>,
    /// Further containers may come: the gofer must be able to serve what they change.
    pub pod: bool,
    /// Set when nobody at a terminal waits for it.
    pub background: Option<Background>,
}

/// How the processes of a container behave that lives beside the command that made it: failures to start are reported on the
/// control socket, and the container's streams are the container's alone.
#[derive(Clone, Debug)]
pub struct Background {
    /// Where they say what they have to say, instead of the container's standard error.
    pub log: Option<Arc<OwnedFd>>,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{0}: {1}")]
    Call(&'static str, Errno),
    /// A mount point that is missing in the root file system and cannot be made.
    #[error("mount point {0}: {1}")]
    MountPoint(String, Errno),
    /// Something else is where a file system is to be mounted, or on the way; in runc's words.
    #[error("file system on {0} must be mounted on ordinary directory")]
    NoDirectory(String),
    /// The machine could not be made.
    #[error(transparent)]
    Machine(#[from] vm::Error),
    /// The process could not be pinned.
    #[error(transparent)]
    Pin(#[from] pin::Error),
    /// An export, or the gofer.
    #[error(transparent)]
    Gofer(#[from] gofer::Error),
    /// The start specification does not encode.
    #[error("start specification: {0}")]
    Spec(String),
    /// A thread.
    #[error("thread: {0}")]
    Thread(std::io::Error),
    /// A descriptor cannot be had twice.
    #[error("descriptor: {0}")]
    Descriptor(std::io::Error),
}

fn call(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call(what, errno)
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(call("socketpair"))
}

/// Runs a sandbox to its end and returns the exit code for the caller. `watcher`: somebody who looks at it meanwhile.
pub fn run(launch: Launch, watcher: Option<&mut dyn Watcher>) -> Result<u8, Error> {
    let signals =
        parent::block_signals().map_err(|errno| Error::Call("signalfd", Errno::from_raw_os_error(errno as i32)))?;
    let _raw = if launch.spec.terminal { RawTerminal::enter().ok() } else { None };
    let Launched { sandbox, gofer, .. } = start(launch)?;
    Ok(parent::mind(signals, &sandbox, Some(&gofer), watcher))
}

/// A sandbox's processes, children of this one.
#[derive(Debug)]
pub struct Launched {
    /// The sandbox process.
    pub sandbox: Child,
    /// The gofer.
    pub gofer: Child,
    /// Where the gofer of a pod takes calls, to make it look at its control socket.
    pub calls: Option<OwnedFd>,
}

/// Opens what the gofer is to serve, and makes the mount points that are missing in the root.
pub fn open_exports(spec: &StartSpec, exports: Vec<Export>) -> Result<Vec<Root>, Error> {
    let roots = exports.into_iter().map(Export::open).collect::<Result<Vec<_>, _>>()?;
    if matches!(spec.mounts.first(), Some(MountSpec { kind: MountKind::Host { overlay: false, .. }, .. }))
        && let Some(root) = roots.first()
    {
        let is_directory = |index: u32| roots.get(index as usize).is_none_or(Root::is_directory);
        mountpoints::make(&root.fd, &spec.mounts, is_directory).map_err(|(path, errno)| match errno {
            Errno::NOTDIR => Error::NoDirectory(path.display().to_string()),
            errno => Error::MountPoint(path.display().to_string(), errno),
        })?;
    }
    Ok(roots)
}

/// Starts a sandbox's processes. The caller has one thread.
pub fn start(launch: Launch) -> Result<Launched, Error> {
    let Launch { spec, exports, cpus, memory_bytes, flags, files, pod, background } = launch;
    vm::check_cpus(cpus)?;
    idle::learn();
    let roots = open_exports(&spec, exports)?;
    let (sandbox_control, sandbox_end) = notice::pair().map_err(call("socketpair"))?;
    let (gofer_control, gofer_end) = notice::pair().map_err(call("socketpair"))?;
    let (calls, gofer_calls) = pair()?;
    let to_gofer = pod.then(|| calls.try_clone()).transpose().map_err(Error::Descriptor)?;
    // One for each vCPU and one for the worker.
    let replies: Vec<_> = (0..=cpus).map(|_| pair()).collect::<Result<_, _>>()?;
    let (replies, gofer_replies): (Vec<_>, Vec<_>) = replies.into_iter().unzip();

    let network = pin::empty_network()?;
    let copy = || network.as_ref().map(OwnedFd::try_clone).transpose().map_err(Error::Descriptor);

    // What the other child gets is closed in each without its owner's knowledge; neither ever comes to drop it.
    let mut sandbox_side = Some(SandboxSide {
        control: sandbox_end,
        calls,
        replies,
        network: copy()?,
        spec,
        files,
        cpus,
        memory_bytes,
        flags,
        background: background.clone(),
    });
    let mut gofer_side = Some(GoferSide {
        control: gofer_end,
        calls: gofer_calls,
        replies: gofer_replies,
        network: copy()?,
        roots,
        pod,
    });

    let sandbox = process::fork_child(|| match sandbox_side.take() {
        Some(side) => sandbox_main(side),
        None => report::FAILURE,
    })
    .map_err(call("fork"))?;
    drop(sandbox_side.take());

    let gofer = process::fork_child(|| match gofer_side.take() {
        Some(side) => gofer_main(side, background.as_ref()),
        None => report::FAILURE,
    })
    .map_err(call("fork"))?;
    drop(gofer_side.take());

    Ok(Launched {
        sandbox: Child { pid: sandbox, name: "sandbox process", control: sandbox_control, _network: network },
        gofer: Child { pid: gofer, name: "gofer", control: gofer_control, _network: None },
        calls: to_gofer,
    })
}

/// What the gofer gets.
struct GoferSide {
    control: OwnedFd,
    calls: OwnedFd,
    replies: Vec<OwnedFd>,
    network: Option<OwnedFd>,
    roots: Vec<Root>,
    pod: bool,
}

/// What the sandbox process gets.
struct SandboxSide {
    control: OwnedFd,
    calls: OwnedFd,
    replies: Vec<OwnedFd>,
    network: Option<OwnedFd>,
    spec: StartSpec,
    files: Vec<OwnedFd>,
    cpus: usize,
    memory_bytes: u64,
    flags: BootFlags,
    background: Option<Background>,
}

impl Background {
    /// Takes the standard streams from a child that has no business with the container's.
    fn leave_streams(&self) -> Result<(), Errno> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        match &self.log {
            Some(log) => rustix::stdio::dup2_stderr(log),
            None => Ok(()),
        }
    }
}

/// The gofer process.
fn gofer_main(side: GoferSide, background: Option<&Background>) -> u8 {
    let kept: Vec<BorrowedFd<'_>> = [&side.control, &side.calls]
        .into_iter()
        .chain(&side.replies)
        .chain(&side.network)
        .chain(side.roots.iter().map(|root| &root.fd))
        .chain(background.and_then(|background| background.log.as_deref()))
        .map(AsFd::as_fd)
        .collect();
    process::close_all_but(&kept);
    match serve_files(side, background) {
        Ok(()) => 0,
        Err(error) => {
            report::line(&error.to_string());
            report::FAILURE
        }
    }
}

fn serve_files(side: GoferSide, background: Option<&Background>) -> Result<(), Error> {
    let GoferSide { control, calls, replies, network, roots, pod } = side;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(call("prctl"))?;
    if let Some(background) = background {
        background.leave_streams().map_err(call("standard streams"))?;
    }
    process::use_one_heap();
    let writable = pod || roots.iter().any(|root| root.writable);
    let parent = control.try_clone().map_err(Error::Descriptor)?;
    let mut gofer = gofer::Gofer::new(calls, replies, Some(parent), roots)?;
    pin::gofer(&control, network, writable)?;
    gofer.serve();
    Ok(())
}

/// The sandbox process. Returns only when it fails.
fn sandbox_main(side: SandboxSide) -> u8 {
    let log = side.background.as_ref().and_then(|background| background.log.as_deref());
    let kept: Vec<BorrowedFd<'_>> = [&side.control, &side.calls]
        .into_iter()
        .chain(&side.replies)
        .chain(&side.network)
        .chain(&side.files)
        .chain(log)
        .map(AsFd::as_fd)
        .collect();
    process::close_all_but(&kept);
    process::raise_file_limit();
    let control = side.control.try_clone();
    let in_background = side.background.is_some();
    let error = match start_sandbox(side) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let failed = Report::Failed { code: report::FAILURE, message: error.to_string() };
    let told = match (in_background, control, failed.encode()) {
        (true, Ok(control), Ok(bytes)) => Notice::Report(bytes).send(control).is_ok(),
        _ => false,
    };
    if !told {
        report::line(&error.to_string());
    }
    report::FAILURE
}

fn start_sandbox(side: SandboxSide) -> Result<std::convert::Infallible, Error> {
    let SandboxSide { control, calls, replies, network, spec, files: more, cpus, memory_bytes, flags, background } =
        side;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(call("prctl"))?;
    process::use_one_heap();
    let kvm = vm::open_kvm()?;
    // Early: KVM moves a thread of its own to our cgroups, for which Linux waits until all its CPUs have passed by. Meanwhile the gofer
    // gets on.
    let vm = vm::create(&kvm)?;
    let quirks = quirk::detect(&kvm)?;
    let files = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .map(|stream| fcntl_dupfd_cloexec(stream.as_fd(), 3).ok());
    let files: Vec<_> = files.into_iter().chain(more.into_iter().map(Some)).collect();
    if let Some(background) = &background {
        background.leave_streams().map_err(call("standard streams"))?;
    }
    let host_network = spec.network.host;
    match host_network {
        true => pin::leave_for_sockets()?,
        false => pin::leave_namespaces(network)?,
    }

    let encoded = spec.encode().map_err(|error| Error::Spec(error.to_string()))?;
    let flags = flags | if spec.statistics { BootFlags::TIME_CALLS } else { BootFlags::empty() };
    let config = Config { cpus, memory_bytes, image: vm::image::BLOB, spec: &encoded, quirks, flags };
    let Machine { vm, memory, vcpus, doorbells } = Machine::create(&kvm, vm, &config)?;
    let sockets =
        spec.network.interfaces.iter().filter_map(|interface| files.get(interface.socket? as usize)?.as_ref());
    let slow: Vec<_> = [vm.as_raw_fd()].into_iter().chain(sockets.map(AsRawFd::as_raw_fd)).collect();
    let _behind = process::close_behind(&slow);

    let calls = Arc::new(calls);
    let mut clients: Vec<_> =
        replies.into_iter().zip(0..).map(|(socket, index)| Client::new(calls.clone(), socket, index)).collect();
    let worker_client = clients.pop();
    let parts = Parts {
        memory,
        cpus,
        vm: Some(vm),
        files,
        gofer: clients,
        control: Some(control.try_clone().map_err(Error::Thread)?),
        host_network,
        debug: spec.debug,
        statistics: flags.contains(BootFlags::STATISTICS),
    };
    let server = Server::new(parts).map_err(call("server"))?;
    let mut vcpus = vcpus.into_iter().enumerate();
    let first = vcpus.next();

    let (ready, go) = (Barrier::new(cpus + 1), Barrier::new(cpus + 1));
    std::thread::scope(|scope| {
        let (server, ready, go) = (&server, &ready, &go);
        let started = (|| {
            let thread = |name: String| std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
            // Registered before the vCPUs run, so that no doorbell is missed.
            let parent = control.try_clone().map_err(Error::Thread)?;
            let mut worker = Worker::new(server, doorbells, worker_client, parent).map_err(call("worker"))?;
            let spawned = thread("worker".into()).spawn_scoped(scope, move || {
                ready.wait();
                go.wait();
                worker.run()
            });
            spawned.map_err(Error::Thread)?;
            for (cpu, vcpu) in vcpus {
                let spawned = thread(format!("vcpu{cpu}")).spawn_scoped(scope, move || {
                    ready.wait();
                    go.wait();
                    vm::exit::run(vcpu, cpu, server)
                });
                spawned.map_err(Error::Thread)?;
            }
            ready.wait();
            pin::sandbox(&control, host_network).map_err(Error::Pin)
        })();
        match (started, first) {
            (Ok(()), Some((cpu, vcpu))) => {
                go.wait();
                vm::exit::run(vcpu, cpu, server)
            }
            // Threads wait at a barrier for ever: the process ends here instead of returning.
            (Err(error), _) => server.end_failed(&error.to_string()),
            (Ok(()), None) => server.end_failed("a machine without a vCPU"),
        }
    })
}

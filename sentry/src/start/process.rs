//! The first process: credentials, limits, standard streams, working directory, program.

use super::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, StartError, describe, mounts};
use crate::errno::Errno;
use crate::fs::{self, FdTable, FsContext, LookupFlags, Namespace};
use crate::mm::AddressSpace;
use crate::mm::exec::Arguments;
use crate::platform::{UserContext, platform};
use crate::signal::{ProcessSignals, TaskSignals, ThreadSignalState};
use crate::syscall::{Fail, Fd};
use crate::task::{Credentials, Current, INIT, Limits, Process, Published, Task, Tid, exec, registry, run};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use linker::spec::{ProcessSpec, StartSpec};

/// Starts the container and drives its first process; returns only when that cannot be started.
pub fn start(spec: &StartSpec) -> Result<Infallible, StartError> {
    crate::uts::init(&spec.hostname, &spec.domainname, &spec.kernel_release);
    fs::dev::register();
    crate::tty::register();
    crate::syscall::policy::init(spec);
    let namespace = mounts::root(spec)?;
    let mut current = first_task(&spec.process, namespace)?;
    mounts::others(&current, spec)?;
    open_streams(&current, spec)?;
    crate::tty::start_events().map_err(|errno| StartError::new("events of the host", errno))?;
    become_user(&mut current, &spec.process);
    enter_directory(&current, &spec.process)?;
    execute(&mut current, &spec.process)?;
    run::run(current);
    // The first process's end is the sandbox's; `run` does not come back for it.
    platform().exit(super::EXIT_FAILURE)
}

/// A task with number 1, all privileges, and no memory, descriptors or program yet.
fn first_task(spec: &ProcessSpec, namespace: Arc<Namespace>) -> Result<Current, StartError> {
    let all = linker::spec::Capabilities { bounding: !0, effective: !0, inheritable: 0, permitted: !0, ambient: 0 };
    let creds = Arc::new(Credentials { caps: all, ..Credentials::default() });
    let mm = AddressSpace::new().map_err(|error| StartError::new("memory", error.into()))?;
    let files = Arc::new(FdTable::new());
    let fs = FsContext::new(namespace, spec.umask);
    let mut limits = Limits::default();
    for &(resource, soft, hard) in &spec.rlimits {
        limits.set(resource, soft, hard);
    }
    let published =
        Published { mm: Some(mm.clone()), files: Some(files.clone()), fs: Some(fs.clone()), creds: creds.clone() };
    let (process, task) = {
        let mut tables = registry().lock();
        let pid = tables.new_number().map_err(|errno| StartError::new("process", errno))?;
        debug_assert_eq!(pid, INIT);
        let process = Arc::new(Process::new(pid, Tid::new(0), pid, pid, 0, limits, ProcessSignals::default()));
        process.set_oom_score_adj(spec.oom_score_adj);
        let task =
            Arc::new(Task::new(pid, process.clone(), *b"ringwall\0\0\0\0\0\0\0\0", published, TaskSignals::default()));
        process.add_thread(&task);
        tables.add_process(&process, None);
        tables.add_task(&task);
        (process, task)
    };
    task.set_thread(platform().current_thread());
    process.timers.watch_cpu_limit(&process);
    Ok(Current {
        task,
        process,
        regs: UserContext::default(),
        mm,
        files,
        fs,
        creds,
        signal: ThreadSignalState::default(),
        robust_list: 0,
        clear_child_tid: 0,
        vfork_done: None,
        personality: 0,
        timer_slack_ns: crate::syscall::prctl::DEFAULT_TIMER_SLACK_NS,
    })
}

/// Descriptors 0, 1 and 2.
fn open_streams(current: &Current, spec: &StartSpec) -> Result<(), StartError> {
    if spec.terminal
        && let [Some(input), Some(output), _] = spec.stdio
    {
        let failed = |errno| StartError::new("terminal", errno);
        let file = crate::tty::open_console(current, input, output, spec.process.uid).map_err(failed)?;
        for number in 0..3 {
            current.files.set(Fd::new(number), file.clone(), false, 3).map_err(failed)?;
        }
        return Ok(());
    }
    for (number, handle) in (0..).zip(spec.stdio) {
        let Some(handle) = handle else { continue };
        let file = fs::stdio::open(current, handle).map_err(|errno| StartError::new("standard streams", errno))?;
        current
            .files
            .set(Fd::new(number), file, false, 3)
            .map_err(|errno| StartError::new("standard streams", errno))?;
    }
    Ok(())
}

/// The specification's credentials.
fn become_user(current: &mut Current, spec: &ProcessSpec) {
    let (uid, gid) = (spec.uid, spec.gid);
    let mut groups = spec.groups.clone();
    groups.sort_unstable();
    current.process.set_last_uid(uid);
    current.creds = Arc::new(Credentials {
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid,
        egid: gid,
        sgid: gid,
        fsgid: gid,
        groups,
        caps: spec.capabilities,
        securebits: 0,
        no_new_privs: spec.no_new_privs,
    });
    current.publish();
}

fn enter_directory(current: &Current, spec: &ProcessSpec) -> Result<(), StartError> {
    let cwd: &[u8] = if spec.cwd.is_empty() { b"/" } else { &spec.cwd };
    let place = fs::lookup(current, Fd::CWD, cwd, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)
        .map_err(|errno| StartError::new(&format!("working directory {}", text(cwd)), errno))?;
    current.fs.set_cwd(place);
    Ok(())
}

/// Finds the program as execvp(3) does and loads it.
fn execute(current: &mut Current, spec: &ProcessSpec) -> Result<(), StartError> {
    let Some(name) = spec.args.first().cloned() else {
        return Err(StartError { code: EXIT_NOT_FOUND, message: String::from("no program given") });
    };
    let mut found = Errno::ENOENT;
    for candidate in candidates(&name, &spec.env) {
        let arguments = Arguments { file_name: candidate.clone(), argv: spec.args.clone(), envp: spec.env.clone() };
        let opened = fs::open_exec(current, &candidate);
        match opened.map_err(Fail::from).and_then(|(file, _)| exec::exec(current, &file, arguments)) {
            Ok(()) => return Ok(()),
            Err(Fail::Errno(Errno::ENOENT | Errno::ENOTDIR)) => {}
            Err(Fail::Errno(errno)) => {
                found = errno;
                if errno != Errno::EACCES {
                    break;
                }
            }
            Err(_) => found = Errno::EINTR,
        }
    }
    let code = if found == Errno::ENOENT { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
    Err(StartError { code, message: format!("{}: {}", text(&name), describe(found)) })
}

/// Where the program may be: as named if the name has a slash, else in each directory of PATH.
fn candidates(name: &[u8], env: &[Vec<u8>]) -> Vec<Vec<u8>> {
    const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if name.contains(&b'/') {
        return Vec::from([name.to_vec()]);
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .map(|directory| {
            let directory: &[u8] = if directory.is_empty() { b"." } else { directory };
            [directory, b"/", name].concat()
        })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

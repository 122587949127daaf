//! A process that the host starts: the task, credentials, limits, standard streams, working directory, program. Called on
//! the kernel thread that will run it.

use super::{EXIT_FAILURE, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, StartError, describe};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::fs::{self, FdTable, FsContext, LookupFlags, Namespace, OpenFlags, Sink};
use crate::mm::AddressSpace;
use crate::mm::exec::Arguments;
use crate::platform::{UserContext, platform};
use crate::signal::{ProcessSignals, TaskSignals, ThreadSignalState};
use crate::syscall::{Fail, Fd};
use crate::task::spaces::Spaces;
use crate::task::{Credentials, Current, Limits, OUTSIDE, Process, Published, Task, exec, registry};
use crate::tty::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::spec::{ProcessSpec, Scheduling};

/// What PATH is where nobody says it.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of a user database that are looked at.
const PASSWD_BYTES: usize = 1 << 20;

/// The standard streams and other descriptors that a process begins with, held so that none stays open when it cannot be started.
pub struct Streams {
    files: [Option<File>; 3],
    /// From descriptor 3 on.
    more: Vec<File>,
    terminal: bool,
}

impl Streams {
    /// Takes over the handles of a start specification or a command.
    pub fn adopt(handles: [Option<u32>; 3], descriptors: &[u32], terminal: bool) -> Self {
        let files = handles.map(|handle| handle.map(File::adopt));
        Self { files, more: descriptors.iter().copied().map(File::adopt).collect(), terminal }
    }

    /// Opens them as descriptors 0, 1, 2 and on; the terminal, if the first three are one. `first`: it is the container's
    /// console, too.
    pub fn open(mut self, current: &Current, owner: u32, first: bool) -> Result<Option<Arc<Terminal>>, StartError> {
        for (number, file) in (3..).zip(core::mem::take(&mut self.more)) {
            let failed = |errno| StartError::new("preserved descriptors", errno);
            let file = fs::stdio::open(current, file).map_err(failed)?;
            // As many as the host lets through, whatever the container's own limit is.
            current.files.set(Fd::new(number), file, false, usize::MAX).map_err(failed)?;
        }
        if self.terminal
            && let [Some(input), Some(output), _] = self.files
        {
            let failed = |errno| StartError::new("terminal", errno);
            let console = crate::tty::open_console(current, input, output, owner, first).map_err(failed)?;
            for number in 0..3 {
                current.files.set(Fd::new(number), console.file.clone(), false, 3).map_err(failed)?;
            }
            return Ok(Some(console.terminal));
        }
        let failed = |errno| StartError::new("standard streams", errno);
        for (number, file) in (0..).zip(self.files) {
            let Some(file) = file else { continue };
            let file = fs::stdio::open(current, file).map_err(failed)?;
            current.files.set(Fd::new(number), file, false, 3).map_err(failed)?;
        }
        Ok(None)
    }
}

/// A task in `spaces` and in a session of its own with a parent outside, all privileges, and no memory, descriptors or program yet.
pub fn new_task(spec: &ProcessSpec, namespace: Arc<Namespace>, spaces: Arc<Spaces>) -> Result<Current, StartError> {
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
        let space = spaces.children.clone();
        let pid = tables.new_number_in(&space).map_err(|errno| StartError::new("process", errno))?;
        let shown = tables.shown(pid, &space);
        let (numbers, signals) = ((space, shown, OUTSIDE), ProcessSignals::default());
        let process = Arc::new(Process::new(pid, numbers, OUTSIDE, pid, pid, 0, limits, signals));
        process.set_oom_score_adj(spec.oom_score_adj);
        let (name, signals) = (*b"ringwall\0\0\0\0\0\0\0\0", TaskSignals::default());
        let task = Arc::new(Task::new((pid, shown), process.clone(), name, published, signals, spaces));
        process.add_thread(&task);
        tables.add_process(&process, None);
        tables.add_task(&task);
        (process, task)
    };
    task.set_thread(platform().current_thread());
    task.set_io_priority(spec.io_priority);
    if let Some(Scheduling { policy, priority, nice }) = spec.scheduling {
        task.set_policy(policy, priority);
        task.set_nice(nice);
    }
    process.timers.watch_cpu_limit(&process);
    Ok(Current {
        task,
        process,
        regs: UserContext::default(),
        calls: crate::observe::Calls::nobody(),
        listening: Default::default(),
        fail: crate::syscall::Fail::NoReturn,
        ended: None,
        mm,
        files,
        fs,
        creds,
        signal: ThreadSignalState::default(),
        robust_list: 0,
        rseq: None,
        clear_child_tid: 0,
        vfork_done: None,
        personality: spec.personality,
        memory_policy: Default::default(),
        ways: Default::default(),
        timer_slack_ns: crate::syscall::prctl::DEFAULT_TIMER_SLACK_NS,
        default_timer_slack_ns: crate::syscall::prctl::DEFAULT_TIMER_SLACK_NS,
    })
}

/// Becomes the specification's user, enters its directory and loads its program. `home`: where the environment does not say
/// HOME, the container's user database does, and without PATH no program is found by its name, as engines expect.
pub fn load(current: &mut Current, spec: &ProcessSpec, home: bool) -> Result<(), StartError> {
    let mut env = spec.env.clone();
    let says_home = |entry: &Vec<u8>| entry.strip_prefix(b"HOME=").is_some_and(|home| !home.is_empty());
    if home && !env.iter().any(says_home) {
        env.retain(|entry| !entry.starts_with(b"HOME="));
        env.push([b"HOME=", user_home(current, spec.uid).as_slice()].concat());
    }
    become_user(current, spec);
    enter_directory(current, spec)?;
    execute(current, spec, &env, if home { b"" } else { DEFAULT_PATH })
}

/// The home directory of a user in the container's `/etc/passwd`, "/" where that does not say. Waits for nobody: it may be a FIFO.
fn user_home(current: &Current, uid: u32) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(file) = fs::open(current, Fd::CWD, b"/etc/passwd", OpenFlags::NONBLOCK, 0) {
        let mut piece = vec![0; PASSWD_BYTES];
        while let Ok(read @ 1..) = file.read(current, &mut Sink::kernel(&mut piece)) {
            text.extend_from_slice(piece.get(..read).unwrap_or_default());
            if text.len() >= PASSWD_BYTES {
                break;
            }
        }
    }
    home_in(&text, uid).map_or_else(|| b"/".to_vec(), <[u8]>::to_vec)
}

/// passwd(5): name, password, user, group, comment, home directory, shell.
fn home_in(passwd: &[u8], uid: u32) -> Option<&[u8]> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let number: u32 = core::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        if number == uid { fields.nth(2) } else { None }
    })
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
        user: None,
        securebits: 0,
        no_new_privs: spec.no_new_privs,
        rings: Default::default(),
        landlock: Default::default(),
    });
    current.publish();
}

fn enter_directory(current: &Current, spec: &ProcessSpec) -> Result<(), StartError> {
    let cwd: &[u8] = if spec.cwd.is_empty() { b"/" } else { &spec.cwd };
    let place = fs::lookup(current, Fd::CWD, cwd, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)
        .map_err(|errno| no_directory(cwd, errno))?;
    current.fs.set_cwd(place);
    Ok(())
}

/// In runc's words, which engines show.
fn no_directory(cwd: &[u8], errno: Errno) -> StartError {
    let why = describe(errno).to_lowercase();
    let message = format!("chdir to cwd ({:?}) set in config.json failed: {why}", text(cwd));
    StartError { code: EXIT_FAILURE, errno: errno.raw().into(), message }
}

/// Finds the program as execvp(3) does and loads it; `path` stands for a PATH that is not set.
fn execute(current: &mut Current, spec: &ProcessSpec, env: &[Vec<u8>], path: &[u8]) -> Result<(), StartError> {
    let Some(name) = spec.args.first().cloned() else {
        return Err(StartError { code: EXIT_NOT_FOUND, errno: 0, message: String::from("no program given") });
    };
    let mut found = Errno::ENOENT;
    for candidate in candidates(&name, env, path) {
        let arguments = Arguments { file_name: candidate.clone(), argv: spec.args.clone(), envp: env.to_vec() };
        let opened = fs::open_exec(current, &candidate);
        let run = match opened {
            Ok((file, _)) => exec::exec(current, &file, arguments),
            Err(errno) => Err(exec::Failure::Call(errno.into())),
        };
        let result = run.map_err(|failure| match failure {
            exec::Failure::Call(fail) => fail,
            exec::Failure::Broken(errno) => errno.into(),
        });
        match result {
            Ok(()) => return Ok(()),
            // The next directory may have it; a name with a slash is what it is.
            Err(Fail::Errno(Errno::ENOENT | Errno::ENOTDIR)) if !name.contains(&b'/') => {}
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
    Err(StartError { code, errno: found.raw().into(), message: format!("{}: {}", text(&name), describe(found)) })
}

/// Where the program may be: as named if the name has a slash, else in each directory of PATH.
fn candidates(name: &[u8], env: &[Vec<u8>], default: &[u8]) -> Vec<Vec<u8>> {
    if name.contains(&b'/') {
        return Vec::from([name.to_vec()]);
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix(b"PATH=")).unwrap_or(default);
    if path.is_empty() && default.is_empty() {
        return Vec::new();
    }
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

#[cfg(test)]
mod tests {
    use super::home_in;

    #[test]
    fn a_users_home_is_the_sixth_field_of_its_line() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\n# games\ngames:x:5:60:games:/usr/games:/usr/sbin/nologin\nodd:x:7\n";
        assert_eq!(home_in(passwd, 0), Some(&b"/root"[..]));
        assert_eq!(home_in(passwd, 5), Some(&b"/usr/games"[..]));
        assert_eq!(home_in(passwd, 7), None);
        assert_eq!(home_in(passwd, 1000), None);
        assert_eq!(home_in(b"", 0), None);
    }
}

//! Processes and threads: fork to wait.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, Fd, UserPtr, UserStr};
use crate::errno::Errno;
use crate::fs::pidfd::PidFd;
use crate::fs::{self, LookupFlags, OpenFile};
use crate::mm::exec::Arguments;
use crate::signal::{ABI_SIZE, ChildCode, ChildInfo, SigInfo, Signal};
use crate::task::clone::{CloneArgs, CloneFlags, clone};
use crate::task::wait::{Change, Report, WaitOptions, Which};
use crate::task::{Cap, Current, ExitStatus, Tid, exec, exit, groups, wait};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// getpid(2).
pub fn getpid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.process.shown_pid())
}

/// gettid(2).
pub fn gettid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.task.shown_tid())
}

/// getppid(2).
pub fn getppid(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.process.shown_parent())
}

/// fork(2).
pub fn fork(current: &mut Current) -> Result<Tid, Fail> {
    clone(current, &plain(CloneFlags::empty()))
}

/// vfork(2).
pub fn vfork(current: &mut Current) -> Result<Tid, Fail> {
    clone(current, &plain(CloneFlags::VFORK | CloneFlags::VM))
}

fn plain(flags: CloneFlags) -> CloneArgs {
    CloneArgs {
        flags,
        exit_signal: Signal::SIGCHLD.number(),
        stack: 0,
        tls: 0,
        parent_tid: UserVa::new(0),
        child_tid: UserVa::new(0),
        pidfd: UserVa::new(0),
    }
}

/// clone(2): flags (with the exit signal in the low byte), stack, parent_tid, child_tid, tls.
pub fn clone2(current: &mut Current, flags: u64, stack: u64, parent: u64, child: u64, tls: u64) -> Result<Tid, Fail> {
    let asked = CloneFlags::from_bits_truncate(flags & 0xffff_ff00);
    if asked.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        // One argument cannot mean both.
        return Err(Errno::EINVAL.into());
    }
    let args = CloneArgs {
        // clone(2) ignores bits it does not know.
        flags: asked,
        exit_signal: flags as u32 & raw::CSIGNAL,
        stack,
        tls,
        parent_tid: UserVa::new(parent),
        child_tid: UserVa::new(child),
        pidfd: UserVa::new(parent),
    };
    clone(current, &args)
}

/// struct clone_args, as of Linux 5.7.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Clone3Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(size_of::<Clone3Args>() == size_of::<raw::clone_args>());

/// Process numbers that clone3 can be given: one for each pid namespace around (include/linux/pid_namespace.h: MAX_PID_NS_LEVEL).
const MOST_NUMBERS: u64 = 32;

/// clone3(2).
pub fn clone3(current: &mut Current, args: UserPtr<Clone3Args>, size: usize) -> Result<Tid, Fail> {
    // CLONE_ARGS_SIZE_VER0 (include/uapi/linux/sched.h).
    if size < 64 {
        return Err(Errno::EINVAL.into());
    }
    let given: Clone3Args = read_extensible(current, args.addr(), size)?;
    let flags = CloneFlags::from_bits(given.flags).ok_or(Errno::EINVAL)?;
    let bad_stack = (given.stack == 0) != (given.stack_size == 0);
    if bad_stack
        || given.exit_signal > 64
        || given.flags & u64::from(raw::CSIGNAL | raw::CLONE_DETACHED) != 0
        || (given.set_tid == 0) != (given.set_tid_size == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    if given.set_tid_size != 0 {
        // Numbers cannot be chosen; who might not choose them anywhere hears of that.
        let may = current.creds.has(Cap::CheckpointRestore) || current.creds.has(Cap::SysAdmin);
        let refused = given.set_tid_size <= MOST_NUMBERS && !may;
        return Err(if refused { Errno::EPERM } else { Errno::EINVAL }.into());
    }
    if flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && given.exit_signal != 0 {
        return Err(Errno::EINVAL.into());
    }
    let stack = given.stack.checked_add(given.stack_size).ok_or(Errno::EINVAL)?;
    let args = CloneArgs {
        flags,
        exit_signal: given.exit_signal as u32,
        stack,
        tls: given.tls,
        parent_tid: UserVa::new(given.parent_tid),
        child_tid: UserVa::new(given.child_tid),
        pidfd: UserVa::new(given.pidfd),
    };
    clone(current, &args)
}

/// Copies in a struct that may be shorter or longer than ours (copy_struct_from_user): what is missing is zero, what is more
/// must be zero (E2BIG).
pub fn read_extensible<T: FromBytes + IntoBytes>(current: &Current, at: UserVa, size: usize) -> Result<T, Errno> {
    if size > linker::layout::PAGE_SIZE as usize {
        return Err(Errno::E2BIG);
    }
    let mut value = T::new_zeroed();
    let ours = size_of::<T>();
    current.copy_in(at, &mut value.as_mut_bytes()[..size.min(ours)])?;
    if size > ours {
        let mut rest = alloc::vec![0u8; size - ours];
        let behind = at.checked_add(ours as u64).ok_or(Errno::EFAULT)?;
        current.copy_in(behind, &mut rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Errno::E2BIG);
        }
    }
    Ok(value)
}

/// exit(2).
pub fn exit_call(_: &mut Current, code: u32) -> Result<(), Fail> {
    Err(Fail::Exit(ExitStatus::Code(code as u8)))
}

/// exit_group(2).
pub fn exit_group(current: &mut Current, code: u32) -> Result<(), Fail> {
    Err(Fail::Exit(exit::end_process(&current.process, ExitStatus::Code(code as u8))))
}

/// execve(2).
pub fn execve(current: &mut Current, path: UserStr, args: UserPtr<u64>, env: UserPtr<u64>) -> Result<(), Fail> {
    let name = path.read_path(current)?;
    let (file, _) = fs::open_exec(current, &name)?;
    exec_opened(current, &file, name, args, env)
}

/// execveat(2).
pub fn execveat(
    current: &mut Current,
    dir: Fd,
    path: UserStr,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
    flags: u32,
) -> Result<(), Fail> {
    if flags & !(raw::AT_EMPTY_PATH | raw::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::EMPTY, flags & raw::AT_EMPTY_PATH != 0);
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    let given = path.read_path(current)?;
    let (file, _) = fs::open_exec_at(current, dir, &given, lookup)?;
    let by_descriptor = !given.starts_with(b"/") && dir != Fd::CWD;
    if by_descriptor && current.files.close_on_exec(dir).unwrap_or(false) && exec::is_script(current, &file)? {
        // Its interpreter would find the descriptor closed.
        return Err(Errno::ENOENT.into());
    }
    let name = if given.starts_with(b"/") || dir == Fd::CWD {
        given
    } else if given.is_empty() {
        alloc::format!("/dev/fd/{}", dir.raw()).into_bytes()
    } else {
        [alloc::format!("/dev/fd/{}/", dir.raw()).into_bytes(), given].concat()
    };
    exec_opened(current, &file, name, args, env)
}

fn exec_opened(
    current: &mut Current,
    file: &Arc<OpenFile>,
    file_name: Vec<u8>,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
) -> Result<(), Fail> {
    // Linux's bound: a quarter of the stack limit, at most 6 MiB, at least 128 KiB (execve(2)).
    let mut budget = (current.process.soft_limit(raw::RLIMIT_STACK) / 4).clamp(128 << 10, 6 << 20) as usize;
    let mut argv = read_strings(current, args, &mut budget)?;
    let envp = read_strings(current, env, &mut budget)?;
    if argv.is_empty() {
        // As Linux since 5.18: never an empty vector.
        argv.push(Vec::new());
    }
    match exec::exec(current, file, Arguments { file_name, argv, envp }) {
        Ok(()) => Err(Fail::NoReturn),
        Err(exec::Failure::Call(fail)) => Err(fail),
        Err(exec::Failure::Broken(_)) => {
            let died = ExitStatus::Signal { number: Signal::SIGSEGV.number() as u8, core: false };
            Err(Fail::Exit(exit::end_process(&current.process, died)))
        }
    }
}

/// Copies in a NULL-terminated vector of strings, within `budget` bytes (E2BIG).
fn read_strings(current: &Current, vector: UserPtr<u64>, budget: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    // MAX_ARG_STRLEN (include/uapi/linux/binfmts.h): 32 pages.
    const MAX_STRING: usize = 32 * linker::layout::PAGE_SIZE as usize;
    let mut strings = Vec::new();
    if vector.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer = vector.nth(strings.len()).read(current)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = UserStr::new(UserVa::new(pointer)).read(current, MAX_STRING, Errno::E2BIG)?;
        *budget = budget.checked_sub(string.len() + 1 + size_of::<u64>()).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

/// struct rusage.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RusageAbi {
    utime: [i64; 2],
    stime: [i64; 2],
    maxrss: i64,
    ixrss: i64,
    idrss: i64,
    isrss: i64,
    minflt: i64,
    majflt: i64,
    nswap: i64,
    inblock: i64,
    oublock: i64,
    msgsnd: i64,
    msgrcv: i64,
    nsignals: i64,
    nvcsw: i64,
    nivcsw: i64,
}

const _: () = assert!(size_of::<RusageAbi>() == size_of::<raw::rusage>());

impl RusageAbi {
    /// The ABI's form of `usage`.
    pub fn new(usage: &crate::task::Usage) -> Self {
        let time = |ns: u64| [(ns / 1_000_000_000) as i64, (ns % 1_000_000_000 / 1000) as i64];
        Self {
            utime: time(usage.user_ns),
            stime: time(usage.system_ns),
            maxrss: usage.max_rss_kib as i64,
            minflt: usage.minor_faults as i64,
            majflt: usage.major_faults as i64,
            nvcsw: usage.voluntary_switches as i64,
            nivcsw: usage.involuntary_switches as i64,
            ..Self::default()
        }
    }
}

/// wait4(2).
pub fn wait4(
    current: &mut Current,
    pid: i32,
    status: UserPtr<i32>,
    options: WaitOptions,
    usage: UserPtr<RusageAbi>,
) -> Result<u64, Fail> {
    let allowed = WaitOptions::NOHANG
        | WaitOptions::UNTRACED
        | WaitOptions::CONTINUED
        | WaitOptions::NOTHREAD
        | WaitOptions::CLONE
        | WaitOptions::ALL;
    if !allowed.contains(options) {
        return Err(Errno::EINVAL.into());
    }
    let which = match pid {
        -1 => Which::Any,
        0 => Which::Group(Tid::new(0)),
        // -pid overflows: Linux says ESRCH.
        i32::MIN => return Err(Errno::ESRCH.into()),
        pid if pid < 0 => Which::Group(current.meant(Tid::new(pid.unsigned_abs()))),
        pid => Which::Pid(current.meant(Tid::new(pid as u32))),
    };
    let Some(report) = wait::wait(current, which, options | WaitOptions::EXITED)? else { return Ok(0) };
    if let Some(status) = status.non_null() {
        let word = match report.change {
            Change::Exited(status) => status.wait_status(),
            Change::Trapped(code) => (code as i32) << 8 | 0x7f,
            Change::Stopped(signal) => i32::from(signal) << 8 | 0x7f,
            Change::Continued => 0xffff,
        };
        status.write(current, &word)?;
    }
    if let Some(usage) = usage.non_null() {
        usage.write(current, &RusageAbi::new(&report.usage))?;
    }
    Ok(u64::from(report.pid.raw()))
}

/// waitid(2), with the raw call's rusage.
pub fn waitid(
    current: &mut Current,
    kind: u32,
    id: u32,
    info: UserPtr<SigInfo>,
    options: WaitOptions,
    usage: UserPtr<RusageAbi>,
) -> Result<(), Fail> {
    let events = WaitOptions::EXITED | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
    let allowed = events
        | WaitOptions::NOHANG
        | WaitOptions::NOWAIT
        | WaitOptions::NOTHREAD
        | WaitOptions::CLONE
        | WaitOptions::ALL;
    if !allowed.contains(options) || !options.intersects(events) {
        return Err(Errno::EINVAL.into());
    }
    let mut nonblocking = false;
    let which = match kind {
        raw::P_ALL => Which::Any,
        raw::P_PID if id as i32 > 0 => Which::Pid(current.meant(Tid::new(id))),
        raw::P_PIDFD if id as i32 >= 0 => {
            let file = current.file(Fd::new(id as i32))?;
            nonblocking = file.nonblocking();
            Which::Pid(PidFd::of(&file)?.process().map_err(|_| Errno::ECHILD)?.pid())
        }
        raw::P_PGID if id as i32 >= 0 => Which::Group(current.meant(Tid::new(id))),
        _ => return Err(Errno::EINVAL.into()),
    };
    let asked = if nonblocking { options | WaitOptions::NOHANG } else { options };
    let report = wait::wait(current, which, asked)?;
    if report.is_none() && !options.contains(WaitOptions::NOHANG) {
        return Err(Errno::EAGAIN.into());
    }
    if let (Some(usage), Some(report)) = (usage.non_null(), &report) {
        usage.write(current, &RusageAbi::new(&report.usage))?;
    }
    if !info.is_null() {
        // Only the fields of SIGCHLD are written; without news they are zero (waitid(2)).
        let bytes = report.map_or([0; ABI_SIZE], |report| child_info(current, &report).to_abi());
        current.copy_out(info.addr(), &bytes[..size_of::<SigInfo>()])?;
    }
    Ok(())
}

fn child_info(current: &Current, report: &Report) -> SigInfo {
    let (code, value) = match report.change {
        Change::Exited(ExitStatus::Code(code)) => (ChildCode::Exited, i32::from(code)),
        Change::Exited(ExitStatus::Signal { number, core }) => {
            (if core { ChildCode::Dumped } else { ChildCode::Killed }, i32::from(number))
        }
        Change::Trapped(code) => (ChildCode::Trapped, code as i32),
        Change::Stopped(signal) => (ChildCode::Stopped, i32::from(signal)),
        Change::Continued => (ChildCode::Continued, Signal::SIGCONT.number() as i32),
    };
    SigInfo::child(
        Signal::SIGCHLD,
        &ChildInfo::new(code, report.pid, current.creds.shown_uid(report.uid), value, &report.usage),
    )
}

/// set_tid_address(2).
pub fn set_tid_address(current: &mut Current, at: u64) -> Result<Tid, Errno> {
    current.clear_child_tid = at;
    Ok(current.task.shown_tid())
}

/// setpgid(2).
pub fn setpgid(current: &mut Current, pid: Tid, group: Tid) -> Result<(), Errno> {
    groups::set_group(current, current.meant(pid), current.meant(group))
}

/// getpgid(2).
pub fn getpgid(current: &mut Current, pid: Tid) -> Result<Tid, Errno> {
    groups::group_of(current, current.meant(pid)).map(|group| current.shown(group))
}

/// getpgrp(2).
pub fn getpgrp(current: &mut Current) -> Result<Tid, Errno> {
    Ok(current.shown(current.process.group()))
}

/// getsid(2).
pub fn getsid(current: &mut Current, pid: Tid) -> Result<Tid, Errno> {
    groups::session_of(current, current.meant(pid)).map(|session| current.shown(session))
}

/// setsid(2).
pub fn setsid(current: &mut Current) -> Result<Tid, Errno> {
    groups::new_session(current).map(|session| current.shown(session))
}

pub(super) const ROWS: &[Row] = &[
    row!(getpid = getpid(), Full, ""),
    row!(gettid = gettid(), Full, ""),
    row!(getppid = getppid(), Full, ""),
    row!(fork = fork(), Full, ""),
    row!(vfork = vfork(), Full, ""),
    row!(clone = clone2(5), Partial, "no time namespaces"),
    row!(clone3 = clone3(2), Partial, "no set_tid, no cgroup, no time namespaces"),
    row!(exit = exit_call(1), Full, ""),
    row!(exit_group = exit_group(1), Full, ""),
    row!(execve = execve(3), Full, ""),
    row!(execveat = execveat(5), Full, ""),
    row!(wait4 = wait4(4), Full, ""),
    row!(waitid = waitid(5), Full, ""),
    row!(set_tid_address = set_tid_address(1), Full, ""),
    row!(setpgid = setpgid(2), Full, ""),
    row!(getpgid = getpgid(1), Full, ""),
    row!(getpgrp = getpgrp(), Full, ""),
    row!(getsid = getsid(1), Full, ""),
    row!(setsid = setsid(), Full, ""),
];

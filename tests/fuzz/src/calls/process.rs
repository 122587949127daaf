//! Threads and processes, signals, ids, scheduling.

use super::{Call, Gives, bits, calls};
use crate::structs;
use crate::value::Kind::{self, Address, At, Buf, Bytes, Flags, Int, Make, One, Path, Pid, Signal, Small, Uid};
use linux_raw_sys::{general as g, prctl, ptrace};

pub const CLONE_FLAGS: &[u64] = bits!(g: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM
    CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO);
const SET: Kind = Make(structs::sigset);
const SET0: Kind = Make(structs::sigset_or_null);
const SETSIZE: Kind = Make(structs::set_size);
const INFO: Kind = Make(structs::siginfo);
const WAIT: Kind = Flags(bits!(libc: WNOHANG WNOHANG WNOHANG WUNTRACED WCONTINUED __WALL __WCLONE __WNOTHREAD));

/// Their beginning and end.
#[rustfmt::skip]
pub const THREADS: &[Call] = calls![
    getpid();
    gettid();
    getppid();
    fork() = Gives::Child, 1 in 4;
    vfork() = Gives::Child, 1 in 4;
    clone(Make(|gen_| gen_.flags(CLONE_FLAGS) | gen_.rng.pick(&[17, 17, 0, 10])), Make(|gen_| if gen_.rng.chance(50) { 0 } else { gen_.victim + 4096 }), Bytes(4), Bytes(4), Address) = Gives::Child, 1 in 3;
    clone3(Make(structs::clone_args), One(&[88, 88, 88, 64, 80, 96, 8, 4096])) = Gives::Child, 1 in 3;
    exit(Int), 1 in 200;
    exit_group(Int), 1 in 400;
    execve(Path, Make(structs::strings), Make(structs::strings)), 1 in 12;
    execveat(At, Path, Make(structs::strings), Make(structs::strings), Flags(bits!(libc: AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW))), 1 in 12;
    wait4(Pid, Bytes(4), WAIT, Bytes(144));
    waitid(Small(4), Pid, Bytes(128), Flags(bits!(libc: WNOHANG WNOHANG WEXITED WEXITED WSTOPPED WCONTINUED WNOWAIT __WALL)), Bytes(144));
    set_tid_address(Make(|gen_| gen_.any(4)));
    setpgid(Pid, Pid);
    getpgid(Pid);
    getpgrp();
    getsid(Pid);
    setsid();
    ptrace(One(bits!(ptrace: PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_PEEKUSR PTRACE_POKEUSR PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP PTRACE_GETREGS PTRACE_SETREGS
        PTRACE_GETFPREGS PTRACE_SETFPREGS PTRACE_ATTACH PTRACE_ATTACH PTRACE_DETACH PTRACE_SYSCALL PTRACE_SETOPTIONS PTRACE_GETEVENTMSG PTRACE_GETSIGINFO PTRACE_SETSIGINFO PTRACE_GETREGSET PTRACE_SETREGSET
        PTRACE_SEIZE PTRACE_SEIZE PTRACE_INTERRUPT PTRACE_LISTEN PTRACE_PEEKSIGINFO PTRACE_GETSIGMASK PTRACE_SETSIGMASK PTRACE_GET_SYSCALL_INFO PTRACE_SECCOMP_GET_FILTER)),
        Pid, Make(|gen_| gen_.rng.pick(&[0, 0, 1, 8, 128, 136, 848, 0x202])), Make(|gen_| if gen_.rng.chance(30) { gen_.signal() } else { structs::iovec(gen_) })), 1 in 2;
];

/// Signals.
#[rustfmt::skip]
pub const SIGNALS: &[Call] = calls![
    rt_sigaction(Signal, Make(structs::sigaction_or_null), Bytes(32), SETSIZE);
    rt_sigprocmask(Small(3), SET0, Bytes(8), SETSIZE), 1 in 4;
    rt_sigpending(Bytes(8), SETSIZE);
    rt_sigtimedwait(SET, Bytes(128), Make(structs::timespec), SETSIZE);
    rt_sigsuspend(SET, SETSIZE), 1 in 60;
    rt_sigreturn() = Gives::Apart;
    sigaltstack(Make(structs::stack), Bytes(24));
    pause(), 1 in 100;
    restart_syscall();
    kill(Pid, Signal), 1 in 3;
    tgkill(Pid, Pid, Signal), 1 in 2;
    tkill(Pid, Signal), 1 in 2;
    rt_sigqueueinfo(Pid, Signal, INFO);
    rt_tgsigqueueinfo(Pid, Pid, Signal, INFO);
];

/// Who a process is.
#[rustfmt::skip]
pub const IDS: &[Call] = calls![
    getuid();
    geteuid();
    getgid();
    getegid();
    setuid(Uid), 1 in 10;
    setgid(Uid), 1 in 4;
    setreuid(Uid, Uid), 1 in 10;
    setregid(Uid, Uid), 1 in 4;
    setresuid(Uid, Uid, Uid), 1 in 10;
    setresgid(Uid, Uid, Uid), 1 in 4;
    getresuid(Bytes(4), Bytes(4), Bytes(4));
    getresgid(Bytes(4), Bytes(4), Bytes(4));
    setfsuid(Uid);
    setfsgid(Uid);
    getgroups(Small(40), Buf);
    setgroups(Small(40), Buf);
    capget(Make(structs::capability_header), Bytes(24));
    capset(Make(structs::capability_header), Bytes(24)), 1 in 10;
    prctl(Make(|gen_| if gen_.rng.chance(80) { gen_.small(80) } else { gen_.rng.pick(bits!(prctl: PR_SET_PTRACER PR_SET_VMA PR_SET_MM PR_CAP_AMBIENT PR_SET_SECCOMP)) }), Small(40), Make(|gen_| gen_.int()), Small(3), Small(2)), 1 in 2;
    arch_prctl(One(&[0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012, 0x1021, 0x1022, 0x1025, 0x2001]), Address), 1 in 40;
    personality(One(&[0xffff_ffff, 0, 0x0004_0000, 8])), 1 in 4;
    seccomp(Small(4), Flags(&[1, 2, 4, 8, 16]), Make(structs::filter)), 1 in 10;
];

/// When a thread runs, and what it may use.
#[rustfmt::skip]
pub const SCHEDULING: &[Call] = calls![
    sched_yield();
    sched_setaffinity(Pid, Small(20), Bytes(16));
    sched_getaffinity(Pid, Small(20), Bytes(16));
    sched_getscheduler(Pid);
    sched_setscheduler(Pid, Small(8), Bytes(4));
    sched_getattr(Pid, Bytes(56), Small(60), One(&[0]));
    sched_setattr(Pid, Make(structs::sched_attributes), One(&[0]));
    sched_setparam(Pid, Bytes(4));
    sched_getparam(Pid, Bytes(4));
    sched_get_priority_max(Small(8));
    sched_get_priority_min(Small(8));
    sched_rr_get_interval(Pid, Bytes(16));
    ioprio_get(Small(4), Pid);
    ioprio_set(Small(4), Pid, Int);
    getpriority(Small(4), Pid);
    setpriority(Small(4), Pid, Small(40));
    getrusage(One(&[0, u64::MAX, 1]), Bytes(144));
    times(Bytes(32));
    prlimit64(Pid, Small(17), Make(structs::limit), Bytes(16)), 1 in 6;
    getrlimit(Small(17), Bytes(16));
    setrlimit(Small(17), Make(structs::limit)), 1 in 6;
];

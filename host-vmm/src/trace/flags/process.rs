//! Names of what calls on processes, signals and time take.

use super::{CHOICE, Name, number};
use linux_raw_sys::{general, prctl, ptrace};

pub(in crate::trace) const CLONE: &[Name] = names! {
    bits {
        general::CLONE_VM, general::CLONE_FS, general::CLONE_FILES, general::CLONE_SIGHAND, general::CLONE_PIDFD,
        general::CLONE_PTRACE, general::CLONE_VFORK, general::CLONE_PARENT, general::CLONE_THREAD,
        general::CLONE_NEWNS, general::CLONE_SYSVSEM, general::CLONE_SETTLS, general::CLONE_PARENT_SETTID,
        general::CLONE_CHILD_CLEARTID, general::CLONE_DETACHED, general::CLONE_UNTRACED, general::CLONE_CHILD_SETTID,
        general::CLONE_NEWCGROUP, general::CLONE_NEWUTS, general::CLONE_NEWIPC, general::CLONE_NEWUSER,
        general::CLONE_NEWPID, general::CLONE_NEWNET, general::CLONE_IO,
    }
};

pub(in crate::trace) const CLONE3: &[Name] = names! {
    bits { general::CLONE_CLEAR_SIGHAND, general::CLONE_INTO_CGROUP, general::CLONE_NEWTIME }
};

pub(super) const WAIT: &[Name] = names! {
    bits {
        general::WNOHANG, general::WSTOPPED, general::WEXITED, general::WCONTINUED, general::WNOWAIT,
        general::__WNOTHREAD, general::__WALL, general::__WCLONE,
    }
};

pub(super) const WAIT_ID: &[Name] = names! {
    in (CHOICE) { general::P_ALL, general::P_PID, general::P_PGID, general::P_PIDFD }
};

pub(super) const PRCTL: &[Name] = names! {
    in (CHOICE) {
        prctl::PR_SET_PDEATHSIG, prctl::PR_GET_PDEATHSIG, prctl::PR_GET_DUMPABLE, prctl::PR_SET_DUMPABLE,
        prctl::PR_GET_UNALIGN, prctl::PR_SET_UNALIGN, prctl::PR_GET_KEEPCAPS, prctl::PR_SET_KEEPCAPS,
        prctl::PR_GET_FPEMU, prctl::PR_SET_FPEMU, prctl::PR_GET_FPEXC, prctl::PR_SET_FPEXC, prctl::PR_GET_TIMING,
        prctl::PR_SET_TIMING, prctl::PR_SET_NAME, prctl::PR_GET_NAME, prctl::PR_GET_ENDIAN, prctl::PR_SET_ENDIAN,
        prctl::PR_GET_SECCOMP, prctl::PR_SET_SECCOMP, prctl::PR_CAPBSET_READ, prctl::PR_CAPBSET_DROP,
        prctl::PR_GET_TSC, prctl::PR_SET_TSC, prctl::PR_GET_SECUREBITS, prctl::PR_SET_SECUREBITS,
        prctl::PR_SET_TIMERSLACK, prctl::PR_GET_TIMERSLACK, prctl::PR_TASK_PERF_EVENTS_DISABLE,
        prctl::PR_TASK_PERF_EVENTS_ENABLE, prctl::PR_MCE_KILL, prctl::PR_MCE_KILL_GET, prctl::PR_SET_MM,
        prctl::PR_SET_PTRACER, prctl::PR_SET_CHILD_SUBREAPER, prctl::PR_GET_CHILD_SUBREAPER,
        prctl::PR_SET_NO_NEW_PRIVS, prctl::PR_GET_NO_NEW_PRIVS, prctl::PR_GET_TID_ADDRESS, prctl::PR_SET_THP_DISABLE,
        prctl::PR_GET_THP_DISABLE, prctl::PR_CAP_AMBIENT, prctl::PR_GET_SPECULATION_CTRL,
        prctl::PR_SET_SPECULATION_CTRL, prctl::PR_SET_IO_FLUSHER, prctl::PR_GET_IO_FLUSHER,
        prctl::PR_SET_SYSCALL_USER_DISPATCH, prctl::PR_SCHED_CORE, prctl::PR_SET_MDWE, prctl::PR_GET_MDWE,
        prctl::PR_SET_VMA, prctl::PR_GET_AUXV, prctl::PR_SET_MEMORY_MERGE, prctl::PR_GET_MEMORY_MERGE,
    }
};

pub(super) const CAPABILITY: &[Name] = names! {
    in (CHOICE) {
        general::CAP_CHOWN, general::CAP_DAC_OVERRIDE, general::CAP_DAC_READ_SEARCH, general::CAP_FOWNER,
        general::CAP_FSETID, general::CAP_KILL, general::CAP_SETGID, general::CAP_SETUID, general::CAP_SETPCAP,
        general::CAP_LINUX_IMMUTABLE, general::CAP_NET_BIND_SERVICE, general::CAP_NET_BROADCAST,
        general::CAP_NET_ADMIN, general::CAP_NET_RAW, general::CAP_IPC_LOCK, general::CAP_IPC_OWNER,
        general::CAP_SYS_MODULE, general::CAP_SYS_RAWIO, general::CAP_SYS_CHROOT, general::CAP_SYS_PTRACE,
        general::CAP_SYS_PACCT, general::CAP_SYS_ADMIN, general::CAP_SYS_BOOT, general::CAP_SYS_NICE,
        general::CAP_SYS_RESOURCE, general::CAP_SYS_TIME, general::CAP_SYS_TTY_CONFIG, general::CAP_MKNOD,
        general::CAP_LEASE, general::CAP_AUDIT_WRITE, general::CAP_AUDIT_CONTROL, general::CAP_SETFCAP,
        general::CAP_MAC_OVERRIDE, general::CAP_MAC_ADMIN, general::CAP_SYSLOG, general::CAP_WAKE_ALARM,
        general::CAP_BLOCK_SUSPEND, general::CAP_AUDIT_READ, general::CAP_PERFMON, general::CAP_BPF,
        general::CAP_CHECKPOINT_RESTORE,
    }
};

/// arch/x86/include/uapi/asm/prctl.h; linux-raw-sys has only ARCH_SET_FS.
pub(super) const ARCH_PRCTL: &[Name] = &[
    number(general::ARCH_SET_FS, "ARCH_SET_FS"),
    number(0x1001, "ARCH_SET_GS"),
    number(0x1003, "ARCH_GET_FS"),
    number(0x1004, "ARCH_GET_GS"),
];

pub(super) const PRIORITY: &[Name] = names! {
    in (CHOICE) { general::PRIO_PROCESS, general::PRIO_PGRP, general::PRIO_USER }
};

pub(super) const SCHEDULER: &[Name] = names! {
    in (!general::SCHED_RESET_ON_FORK) {
        general::SCHED_NORMAL = "SCHED_OTHER", general::SCHED_FIFO, general::SCHED_RR, general::SCHED_BATCH,
        general::SCHED_IDLE, general::SCHED_DEADLINE, general::SCHED_EXT,
    }
    bits { general::SCHED_RESET_ON_FORK }
};

pub(super) const RESOURCE: &[Name] = names! {
    in (CHOICE) {
        general::RLIMIT_CPU, general::RLIMIT_FSIZE, general::RLIMIT_DATA, general::RLIMIT_STACK, general::RLIMIT_CORE,
        general::RLIMIT_RSS, general::RLIMIT_NPROC, general::RLIMIT_NOFILE, general::RLIMIT_MEMLOCK,
        general::RLIMIT_AS, general::RLIMIT_LOCKS, general::RLIMIT_SIGPENDING, general::RLIMIT_MSGQUEUE,
        general::RLIMIT_NICE, general::RLIMIT_RTPRIO, general::RLIMIT_RTTIME,
    }
};

pub(super) const USAGE: &[Name] = names! {
    in (CHOICE) {
        general::RUSAGE_SELF, general::RUSAGE_CHILDREN, general::RUSAGE_BOTH, general::RUSAGE_THREAD,
    }
};

pub(super) const PIDFD: &[Name] = names! {
    bits { libc::PIDFD_NONBLOCK, libc::PIDFD_THREAD }
};

/// kcmp(2) numbers them from 0; no crate exports them.
pub(super) const KCMP: &[Name] = &[
    number(0, "KCMP_FILE"),
    number(1, "KCMP_VM"),
    number(2, "KCMP_FILES"),
    number(3, "KCMP_FS"),
    number(4, "KCMP_SIGHAND"),
    number(5, "KCMP_IO"),
    number(6, "KCMP_SYSVSEM"),
    number(7, "KCMP_EPOLL_TFD"),
];

pub(super) const PTRACE: &[Name] = names! {
    in (CHOICE) {
        ptrace::PTRACE_TRACEME, ptrace::PTRACE_PEEKTEXT, ptrace::PTRACE_PEEKDATA, ptrace::PTRACE_PEEKUSR,
        ptrace::PTRACE_POKETEXT, ptrace::PTRACE_POKEDATA, ptrace::PTRACE_POKEUSR, ptrace::PTRACE_CONT,
        ptrace::PTRACE_KILL, ptrace::PTRACE_SINGLESTEP, ptrace::PTRACE_GETREGS, ptrace::PTRACE_SETREGS,
        ptrace::PTRACE_GETFPREGS, ptrace::PTRACE_SETFPREGS, ptrace::PTRACE_ATTACH, ptrace::PTRACE_DETACH,
        ptrace::PTRACE_SYSCALL, ptrace::PTRACE_SETOPTIONS, ptrace::PTRACE_GETEVENTMSG, ptrace::PTRACE_GETSIGINFO,
        ptrace::PTRACE_SETSIGINFO, ptrace::PTRACE_GETREGSET, ptrace::PTRACE_SETREGSET, ptrace::PTRACE_SEIZE,
        ptrace::PTRACE_INTERRUPT, ptrace::PTRACE_LISTEN, ptrace::PTRACE_PEEKSIGINFO, ptrace::PTRACE_GETSIGMASK,
        ptrace::PTRACE_SETSIGMASK, ptrace::PTRACE_SECCOMP_GET_FILTER, ptrace::PTRACE_GET_SYSCALL_INFO,
    }
};

pub(super) const SIG_HOW: &[Name] = names! {
    in (CHOICE) { general::SIG_BLOCK, general::SIG_UNBLOCK, general::SIG_SETMASK }
};

pub(in crate::trace) const ACTION_FLAGS: &[Name] = names! {
    bits {
        general::SA_RESTORER, general::SA_NOCLDSTOP, general::SA_NOCLDWAIT, general::SA_SIGINFO, general::SA_ONSTACK,
        general::SA_RESTART, general::SA_NODEFER, general::SA_RESETHAND,
    }
};

pub(in crate::trace) const STACK_FLAGS: &[Name] = names! {
    bits { general::SS_ONSTACK, general::SS_DISABLE, general::SS_AUTODISARM }
};

pub(in crate::trace) const BAUD: &[Name] = names! {
    in (general::CBAUD) {
        general::B0, general::B9600, general::B19200, general::B38400, general::B57600, general::B115200,
    }
};

pub(in crate::trace) const NOTIFY: &[Name] = names! {
    in (CHOICE) {
        general::SIGEV_SIGNAL, general::SIGEV_NONE, general::SIGEV_THREAD, general::SIGEV_THREAD_ID,
    }
};

pub(in crate::trace) const SENT_CODE: &[Name] = names! {
    in (CHOICE) {
        general::SI_USER, general::SI_KERNEL, general::SI_QUEUE, general::SI_TIMER, general::SI_MESGQ,
        general::SI_ASYNCIO, general::SI_SIGIO, general::SI_TKILL,
    }
};

pub(in crate::trace) const CHILD_CODE: &[Name] = names! {
    in (CHOICE) {
        general::CLD_EXITED, general::CLD_KILLED, general::CLD_DUMPED, general::CLD_TRAPPED, general::CLD_STOPPED,
        general::CLD_CONTINUED,
    }
};

pub(super) const FUTEX: &[Name] = names! {
    in (!general::FUTEX_CLOCK_REALTIME) {
        general::FUTEX_WAIT, general::FUTEX_WAKE, general::FUTEX_FD, general::FUTEX_REQUEUE,
        general::FUTEX_CMP_REQUEUE, general::FUTEX_WAKE_OP, general::FUTEX_LOCK_PI, general::FUTEX_UNLOCK_PI,
        general::FUTEX_TRYLOCK_PI, general::FUTEX_WAIT_BITSET, general::FUTEX_WAKE_BITSET,
        general::FUTEX_WAIT_REQUEUE_PI, general::FUTEX_CMP_REQUEUE_PI, general::FUTEX_LOCK_PI2,
        general::FUTEX_WAIT_PRIVATE, general::FUTEX_WAKE_PRIVATE, general::FUTEX_REQUEUE_PRIVATE,
        general::FUTEX_CMP_REQUEUE_PRIVATE, general::FUTEX_WAKE_OP_PRIVATE, general::FUTEX_LOCK_PI_PRIVATE,
        general::FUTEX_LOCK_PI2_PRIVATE, general::FUTEX_UNLOCK_PI_PRIVATE, general::FUTEX_TRYLOCK_PI_PRIVATE,
        general::FUTEX_WAIT_BITSET_PRIVATE, general::FUTEX_WAKE_BITSET_PRIVATE,
        general::FUTEX_WAIT_REQUEUE_PI_PRIVATE, general::FUTEX_CMP_REQUEUE_PI_PRIVATE,
    }
    bits { general::FUTEX_CLOCK_REALTIME }
};

pub(super) const FUTEX_BITS: &[Name] = names! {
    in (CHOICE) { general::FUTEX_BITSET_MATCH_ANY }
};

pub(super) const FUTEX2: &[Name] = names! {
    in (general::FUTEX2_SIZE_MASK) {
        general::FUTEX2_SIZE_U8, general::FUTEX2_SIZE_U16, general::FUTEX2_SIZE_U32, general::FUTEX2_SIZE_U64,
    }
    bits { general::FUTEX2_NUMA, general::FUTEX2_MPOL, general::FUTEX2_PRIVATE }
};

pub(super) const CLOCK: &[Name] = names! {
    in (CHOICE) {
        general::CLOCK_REALTIME, general::CLOCK_MONOTONIC, general::CLOCK_PROCESS_CPUTIME_ID,
        general::CLOCK_THREAD_CPUTIME_ID, general::CLOCK_MONOTONIC_RAW, general::CLOCK_REALTIME_COARSE,
        general::CLOCK_MONOTONIC_COARSE, general::CLOCK_BOOTTIME, general::CLOCK_REALTIME_ALARM,
        general::CLOCK_BOOTTIME_ALARM, general::CLOCK_TAI,
    }
};

pub(super) const ITIMER: &[Name] = names! {
    in (CHOICE) { general::ITIMER_REAL, general::ITIMER_VIRTUAL, general::ITIMER_PROF }
};

pub(super) const TIMER_SET: &[Name] = names! {
    bits { general::TIMER_ABSTIME }
};

pub(super) const TIMERFD: &[Name] = names! {
    bits { general::TFD_CLOEXEC, general::TFD_NONBLOCK }
};

pub(super) const TIMERFD_SET: &[Name] = names! {
    bits { general::TFD_TIMER_ABSTIME, general::TFD_TIMER_CANCEL_ON_SET }
};

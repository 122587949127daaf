//! Sets of flags and of choices. Their names are the printer's.

/// Flags of one kind, or values of which one is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// access(2)'s: R_OK and its kin.
    Access,
    /// arch_prctl(2)'s codes.
    ArchPrctl,
    /// AT_* of calls that look a name up.
    At,
    /// The same of faccessat2(2), where AT_EACCESS is.
    AtAccess,
    /// The same of unlinkat(2), where AT_REMOVEDIR is.
    AtRemove,
    /// The same of statx(2), where AT_STATX_* are.
    AtStatx,
    /// bpf(2)'s commands.
    Bpf,
    /// PR_CAP_AMBIENT_*.
    Ambient,
    /// CAP_*.
    Capability,
    /// CLOCK_*.
    Clock,
    /// CLONE_*, and the signal that tells of the end.
    Clone,
    /// CLOSE_RANGE_*.
    CloseRange,
    /// FD_CLOEXEC.
    Descriptor,
    /// PR_SYS_DISPATCH_*.
    Dispatch,
    /// SUID_DUMP_*.
    Dumpable,
    /// EPOLL_CLOEXEC.
    EpollCreate,
    /// EPOLL_CTL_*.
    EpollCtl,
    /// EFD_*.
    Eventfd,
    /// POSIX_FADV_*.
    Fadvise,
    /// FALLOC_FL_*.
    Fallocate,
    /// AF_*.
    Family,
    /// FAN_* of fanotify_init(2).
    Fanotify,
    /// FAN_MARK_*.
    FanotifyMark,
    /// FAN_* that are events.
    FanotifyMask,
    /// F_*.
    Fcntl,
    /// LOCK_*.
    Flock,
    /// FSCONFIG_*.
    Fsconfig,
    /// FSMOUNT_*.
    Fsmount,
    /// FSOPEN_*.
    Fsopen,
    /// FSPICK_*.
    Fspick,
    /// FUTEX_* operations, with their flags.
    Futex,
    /// FUTEX2_*.
    Futex2,
    /// Bits of a futex operation; all of them have a name.
    FutexBits,
    /// What FUTEX_WAKE_OP does and asks.
    FutexOperation,
    /// IN_* of inotify_init1(2).
    Inotify,
    /// IN_* that are events.
    InotifyMask,
    /// IOPRIO_WHO_*.
    IoPriority,
    /// ioctl(2)'s commands.
    Ioctl,
    /// IP_*.
    IpOption,
    /// IPC_* commands, and those of one kind of object.
    IpcCommand,
    /// IPC_* flags, and permissions.
    IpcGet,
    /// MSG_* of System V.
    IpcMessage,
    /// IPV6_*.
    Ipv6Option,
    /// ITIMER_*.
    Itimer,
    /// KCMP_*.
    Kcmp,
    /// KEYCTL_*.
    Keyctl,
    /// KEY_SPEC_*.
    Keyring,
    /// KEY_POS_*, KEY_USR_*, KEY_GRP_* and KEY_OTH_*.
    KeyPermission,
    /// LANDLOCK_CREATE_*.
    LandlockCreate,
    /// LANDLOCK_RULE_*.
    LandlockRule,
    /// MADV_*.
    Madvise,
    /// MAP_*.
    Map,
    /// PR_MCE_KILL_CLEAR and PR_MCE_KILL_SET.
    MceKill,
    /// What PR_MCE_KILL_SET sets.
    MceKillPolicy,
    /// PR_MDWE_*.
    Mdwe,
    /// MEMBARRIER_CMD_*.
    Membarrier,
    /// MFD_*.
    Memfd,
    /// MSG_* of sockets.
    Message,
    /// MLOCK_*.
    Mlock,
    /// MCL_*.
    Mlockall,
    /// MS_* of mount(2).
    Mount,
    /// MOUNT_ATTR_*.
    MountAttr,
    /// MOVE_MOUNT_*.
    MoveMount,
    /// MREMAP_*.
    Mremap,
    /// MS_* of msync(2).
    Msync,
    /// NETLINK_* protocols.
    Netlink,
    /// O_*, access mode included.
    Open,
    /// OPEN_TREE_* and AT_*.
    OpenTree,
    /// PERF_FLAG_*.
    Perf,
    /// PIDFD_*.
    Pidfd,
    /// The O_* of a new descriptor, without an access mode.
    Pipe,
    /// PKEY_*.
    Pkey,
    /// MPOL_*, with their flags.
    Policy,
    /// MPOL_MF_*.
    PolicyMove,
    /// MPOL_F_*.
    PolicyQuery,
    /// PR_*.
    Prctl,
    /// PR_SET_MM_*.
    PrctlMm,
    /// PRIO_*.
    Priority,
    /// PROT_*.
    Protection,
    /// IPPROTO_*.
    Protocol,
    /// PTRACE_*.
    Ptrace,
    /// GRND_*.
    Random,
    /// RWF_*.
    ReadWrite,
    /// LINUX_REBOOT_CMD_*.
    Reboot,
    /// RENAME_*.
    Rename,
    /// RLIMIT_*.
    Resource,
    /// SCHED_*.
    Scheduler,
    /// PR_SCHED_CORE_*.
    SchedCore,
    /// F_SEAL_*.
    Seals,
    /// SECCOMP_* operations.
    Seccomp,
    /// SECCOMP_FILTER_FLAG_*.
    SeccompFilter,
    /// SECCOMP_MODE_*.
    SeccompMode,
    /// SECBIT_*.
    SecureBits,
    /// SHADOW_STACK_*.
    ShadowStack,
    /// SHM_* of shmat(2).
    Shmat,
    /// SHUT_*.
    Shutdown,
    /// SIG_BLOCK and its kin.
    SigHow,
    /// SOCK_* of accept4(2).
    SocketFlags,
    /// SOL_*.
    SocketLevel,
    /// SO_*.
    SocketOption,
    /// SOCK_*, flags included.
    SocketType,
    /// Which speculation PR_SET_SPECULATION_CTRL is about.
    Speculation,
    /// What it says of it.
    SpeculationControl,
    /// SPLICE_F_*.
    Splice,
    /// STATX_* that are fields.
    Statx,
    /// SYNC_FILE_RANGE_*.
    SyncRange,
    /// SYSLOG_ACTION_*.
    Syslog,
    /// TCP_*.
    TcpOption,
    /// TIMER_ABSTIME.
    TimerSet,
    /// PR_TIMING_*.
    Timing,
    /// TFD_* of timerfd_create(2).
    Timerfd,
    /// TFD_TIMER_*.
    TimerfdSet,
    /// PR_TSC_*.
    Tsc,
    /// MNT_* and UMOUNT_*.
    Umount,
    /// Options of a level whose names are not known.
    UnknownOption,
    /// IORING_ENTER_*.
    UringEnter,
    /// IORING_REGISTER_*.
    UringRegister,
    /// RUSAGE_*.
    Usage,
    /// userfaultfd(2)'s.
    Userfaultfd,
    /// PR_SET_VMA_*.
    Vma,
    /// W* of wait4(2) and waitid(2).
    Wait,
    /// P_*.
    WaitId,
    /// SEEK_*.
    Whence,
    /// XATTR_*.
    Xattr,
}

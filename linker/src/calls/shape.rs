//! Structs that calls take and fill in.

use linux_raw_sys::{general, io_uring, net, system};

/// A struct of the ABI, or a scalar behind a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is the struct of its name, or the integer")]
pub enum Shape {
    I32,
    U32,
    I64,
    U64,
    /// An address or an opaque handle.
    Pointer,
    CapData,
    CapHeader,
    CloneArgs,
    EpollEvent,
    /// utimensat(2)'s timespec, which knows UTIME_NOW and UTIME_OMIT.
    FileTime,
    /// io_uring's `io_uring_files_update`.
    FilesUpdate,
    Flock,
    FutexWaitv,
    /// aio's `io_event`.
    IoEvent,
    /// aio's `iocb`.
    Iocb,
    Iovec,
    Itimerspec,
    Itimerval,
    /// `struct msghdr`.
    Message,
    MountAttr,
    MqAttr,
    OpenHow,
    /// `struct sock_fprog`: a filter.
    Program,
    Rlimit,
    Rusage,
    SchedAttr,
    SchedParam,
    Sembuf,
    Sigaction,
    Sigevent,
    Siginfo,
    Sigset,
    /// `stack_t`.
    Stack,
    Stat,
    Statfs,
    Statx,
    Sysinfo,
    Termios,
    Timespec,
    Timeval,
    Tms,
    /// io_uring's `io_uring_buf_reg`.
    UringBuffers,
    /// io_uring's `io_uring_sync_cancel_reg`.
    UringCancel,
    UringParams,
    /// io_uring's `io_uring_file_index_range`.
    UringRange,
    /// io_uring's `io_uring_rsrc_register`.
    UringRegister,
    /// io_uring's `io_uring_rsrc_update`.
    UringUpdate,
    /// io_uring's `io_uring_rsrc_update2`.
    UringUpdate2,
    Utimbuf,
    Utsname,
    WaitStatus,
    Winsize,
}

impl Shape {
    /// How many bytes it has.
    pub const fn size(self) -> u32 {
        let size = match self {
            Self::I32 | Self::U32 | Self::WaitStatus => size_of::<u32>(),
            Self::I64 | Self::U64 | Self::Pointer => size_of::<u64>(),
            // Version 3 of the header has two of them.
            Self::CapData => size_of::<[general::__user_cap_data_struct; 2]>(),
            Self::CapHeader => size_of::<general::__user_cap_header_struct>(),
            Self::CloneArgs => size_of::<general::clone_args>(),
            Self::EpollEvent => size_of::<general::epoll_event>(),
            Self::FileTime | Self::Timespec => size_of::<general::__kernel_timespec>(),
            Self::FilesUpdate => size_of::<io_uring::io_uring_files_update>(),
            Self::Flock => size_of::<general::flock>(),
            Self::FutexWaitv => size_of::<general::futex_waitv>(),
            // linux/aio_abi.h.
            Self::IoEvent => size_of::<[u64; 4]>(),
            Self::Iocb => size_of::<[u64; 8]>(),
            Self::Iovec => size_of::<general::iovec>(),
            Self::Itimerspec => size_of::<general::__kernel_itimerspec>(),
            Self::Itimerval => size_of::<general::itimerval>(),
            Self::Message => size_of::<net::msghdr>(),
            Self::MountAttr => size_of::<general::mount_attr>(),
            // mq_getattr(3): four longs, and four that are reserved.
            Self::MqAttr => size_of::<[i64; 8]>(),
            Self::OpenHow => size_of::<general::open_how>(),
            // A length and a pointer.
            Self::Program => size_of::<[u64; 2]>(),
            Self::Rlimit => size_of::<general::rlimit64>(),
            Self::Rusage => size_of::<general::rusage>(),
            // sched_setattr(2), its first version.
            Self::SchedAttr => size_of::<[u64; 6]>(),
            // sched_setparam(2).
            Self::SchedParam => size_of::<i32>(),
            // semop(2).
            Self::Sembuf => size_of::<[u16; 3]>(),
            Self::Sigaction => size_of::<general::kernel_sigaction>(),
            Self::Sigevent => size_of::<general::sigevent>(),
            Self::Siginfo => size_of::<general::siginfo_t>(),
            Self::Sigset => size_of::<general::kernel_sigset_t>(),
            Self::Stack => size_of::<general::sigaltstack>(),
            Self::Stat => size_of::<general::stat>(),
            Self::Statfs => size_of::<general::statfs>(),
            Self::Statx => size_of::<general::statx>(),
            Self::Sysinfo => size_of::<system::sysinfo>(),
            Self::Termios => size_of::<general::termios>(),
            Self::Timeval => size_of::<general::timeval>(),
            // times(2).
            Self::Tms => size_of::<[i64; 4]>(),
            Self::UringBuffers => size_of::<io_uring::io_uring_buf_reg>(),
            Self::UringCancel => size_of::<io_uring::io_uring_sync_cancel_reg>(),
            Self::UringParams => size_of::<io_uring::io_uring_params>(),
            Self::UringRange => size_of::<io_uring::io_uring_file_index_range>(),
            Self::UringRegister => size_of::<io_uring::io_uring_rsrc_register>(),
            Self::UringUpdate => size_of::<io_uring::io_uring_rsrc_update>(),
            Self::UringUpdate2 => size_of::<io_uring::io_uring_rsrc_update2>(),
            // utime(2).
            Self::Utimbuf => size_of::<[i64; 2]>(),
            Self::Utsname => size_of::<system::new_utsname>(),
            Self::Winsize => size_of::<general::winsize>(),
        };
        size as u32
    }
}

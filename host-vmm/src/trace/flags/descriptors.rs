//! Names of what calls on descriptors take.

use super::{CHOICE, Name};
use linux_raw_sys::io_uring::io_uring_register_op;
use linux_raw_sys::{general, io_uring, ioctl};

pub(super) const WHENCE: &[Name] = names! {
    in (CHOICE) {
        general::SEEK_SET, general::SEEK_CUR, general::SEEK_END, general::SEEK_DATA, general::SEEK_HOLE,
    }
};

pub(super) const FCNTL: &[Name] = names! {
    in (CHOICE) {
        general::F_DUPFD, general::F_GETFD, general::F_SETFD, general::F_GETFL, general::F_SETFL, general::F_GETLK,
        general::F_SETLK, general::F_SETLKW, general::F_SETOWN, general::F_GETOWN, general::F_SETSIG,
        general::F_GETSIG, general::F_SETOWN_EX, general::F_GETOWN_EX, general::F_GETOWNER_UIDS, general::F_OFD_GETLK,
        general::F_OFD_SETLK, general::F_OFD_SETLKW, general::F_SETLEASE, general::F_GETLEASE, general::F_NOTIFY,
        general::F_DUPFD_QUERY, general::F_CREATED_QUERY, general::F_CANCELLK, general::F_DUPFD_CLOEXEC,
        general::F_SETPIPE_SZ, general::F_GETPIPE_SZ, general::F_ADD_SEALS, general::F_GET_SEALS,
        general::F_GET_RW_HINT, general::F_SET_RW_HINT, general::F_GET_FILE_RW_HINT, general::F_SET_FILE_RW_HINT,
    }
};

pub(super) const DESCRIPTOR: &[Name] = names! {
    bits { general::FD_CLOEXEC }
};

pub(super) const SEALS: &[Name] = names! {
    bits {
        general::F_SEAL_SEAL, general::F_SEAL_SHRINK, general::F_SEAL_GROW, general::F_SEAL_WRITE,
        general::F_SEAL_FUTURE_WRITE, general::F_SEAL_EXEC,
    }
};

pub(in crate::trace) const LOCK_TYPE: &[Name] = names! {
    in (CHOICE) { general::F_RDLCK, general::F_WRLCK, general::F_UNLCK }
};

pub(super) const FLOCK: &[Name] = names! {
    bits { general::LOCK_SH, general::LOCK_EX, general::LOCK_UN, general::LOCK_NB }
};

pub(super) const CLOSE_RANGE: &[Name] = names! {
    bits { libc::CLOSE_RANGE_UNSHARE, libc::CLOSE_RANGE_CLOEXEC }
};

pub(super) const SYNC_RANGE: &[Name] = names! {
    bits {
        general::SYNC_FILE_RANGE_WAIT_BEFORE, general::SYNC_FILE_RANGE_WRITE, general::SYNC_FILE_RANGE_WAIT_AFTER,
    }
};

pub(super) const FALLOCATE: &[Name] = names! {
    bits {
        general::FALLOC_FL_KEEP_SIZE, general::FALLOC_FL_PUNCH_HOLE, general::FALLOC_FL_NO_HIDE_STALE,
        general::FALLOC_FL_COLLAPSE_RANGE, general::FALLOC_FL_ZERO_RANGE, general::FALLOC_FL_INSERT_RANGE,
        general::FALLOC_FL_UNSHARE_RANGE, general::FALLOC_FL_WRITE_ZEROES,
    }
};

pub(super) const FADVISE: &[Name] = names! {
    in (CHOICE) {
        general::POSIX_FADV_NORMAL, general::POSIX_FADV_RANDOM, general::POSIX_FADV_SEQUENTIAL,
        general::POSIX_FADV_WILLNEED, general::POSIX_FADV_DONTNEED, general::POSIX_FADV_NOREUSE,
    }
};

pub(super) const READ_WRITE: &[Name] = names! {
    bits {
        general::RWF_HIPRI, general::RWF_DSYNC, general::RWF_SYNC, general::RWF_NOWAIT, general::RWF_APPEND,
    }
};

pub(super) const SPLICE: &[Name] = names! {
    bits {
        general::SPLICE_F_MOVE, general::SPLICE_F_NONBLOCK, general::SPLICE_F_MORE, general::SPLICE_F_GIFT,
    }
};

pub(super) const EVENTFD: &[Name] = names! {
    bits { general::EFD_SEMAPHORE, general::EFD_CLOEXEC, general::EFD_NONBLOCK }
};

pub(super) const MEMFD: &[Name] = names! {
    bits {
        general::MFD_CLOEXEC, general::MFD_ALLOW_SEALING, general::MFD_HUGETLB, general::MFD_NOEXEC_SEAL,
        general::MFD_EXEC,
    }
};

pub(super) const USERFAULTFD: &[Name] = names! {
    bits { general::O_CLOEXEC, general::O_NONBLOCK, general::UFFD_USER_MODE_ONLY }
};

pub(super) const EPOLL_CREATE: &[Name] = names! {
    bits { general::EPOLL_CLOEXEC }
};

pub(super) const EPOLL_CTL: &[Name] = names! {
    in (CHOICE) { general::EPOLL_CTL_ADD, general::EPOLL_CTL_DEL, general::EPOLL_CTL_MOD }
};

pub(in crate::trace) const EPOLL_EVENTS: &[Name] = names! {
    bits {
        general::EPOLLIN, general::EPOLLPRI, general::EPOLLOUT, general::EPOLLRDNORM, general::EPOLLRDBAND,
        general::EPOLLWRNORM, general::EPOLLWRBAND, general::EPOLLMSG, general::EPOLLERR, general::EPOLLHUP,
        general::EPOLLRDHUP, general::EPOLLEXCLUSIVE, general::EPOLLWAKEUP, general::EPOLLONESHOT, general::EPOLLET,
    }
};

pub(in crate::trace) const POLL_EVENTS: &[Name] = names! {
    bits {
        general::POLLIN, general::POLLPRI, general::POLLOUT, general::POLLRDNORM, general::POLLRDBAND,
        general::POLLWRNORM, general::POLLWRBAND, general::POLLERR, general::POLLHUP, general::POLLNVAL,
        general::POLLRDHUP,
    }
};

pub(super) const URING_ENTER: &[Name] = names! {
    bits {
        io_uring::IORING_ENTER_GETEVENTS, io_uring::IORING_ENTER_SQ_WAKEUP, io_uring::IORING_ENTER_SQ_WAIT,
        io_uring::IORING_ENTER_EXT_ARG, io_uring::IORING_ENTER_REGISTERED_RING, io_uring::IORING_ENTER_ABS_TIMER,
        io_uring::IORING_ENTER_EXT_ARG_REG, io_uring::IORING_ENTER_NO_IOWAIT,
    }
};

pub(super) const URING_REGISTER: &[Name] = names! {
    in (CHOICE) {
        io_uring_register_op::IORING_REGISTER_BUFFERS, io_uring_register_op::IORING_UNREGISTER_BUFFERS,
        io_uring_register_op::IORING_REGISTER_FILES, io_uring_register_op::IORING_UNREGISTER_FILES,
        io_uring_register_op::IORING_REGISTER_EVENTFD, io_uring_register_op::IORING_UNREGISTER_EVENTFD,
        io_uring_register_op::IORING_REGISTER_FILES_UPDATE, io_uring_register_op::IORING_REGISTER_EVENTFD_ASYNC,
        io_uring_register_op::IORING_REGISTER_PROBE, io_uring_register_op::IORING_REGISTER_PERSONALITY,
        io_uring_register_op::IORING_UNREGISTER_PERSONALITY, io_uring_register_op::IORING_REGISTER_RESTRICTIONS,
        io_uring_register_op::IORING_REGISTER_ENABLE_RINGS, io_uring_register_op::IORING_REGISTER_FILES2,
        io_uring_register_op::IORING_REGISTER_FILES_UPDATE2, io_uring_register_op::IORING_REGISTER_BUFFERS2,
        io_uring_register_op::IORING_REGISTER_BUFFERS_UPDATE, io_uring_register_op::IORING_REGISTER_IOWQ_AFF,
        io_uring_register_op::IORING_UNREGISTER_IOWQ_AFF, io_uring_register_op::IORING_REGISTER_IOWQ_MAX_WORKERS,
        io_uring_register_op::IORING_REGISTER_RING_FDS, io_uring_register_op::IORING_UNREGISTER_RING_FDS,
        io_uring_register_op::IORING_REGISTER_PBUF_RING, io_uring_register_op::IORING_UNREGISTER_PBUF_RING,
        io_uring_register_op::IORING_REGISTER_SYNC_CANCEL, io_uring_register_op::IORING_REGISTER_FILE_ALLOC_RANGE,
    }
};

pub(super) const IOCTL: &[Name] = names! {
    in (CHOICE) {
        ioctl::TCGETS, ioctl::TCSETS, ioctl::TCSETSW, ioctl::TCSETSF, ioctl::TCGETA, ioctl::TCSETA, ioctl::TCSETAW,
        ioctl::TCSETAF, ioctl::TCSBRK, ioctl::TCXONC, ioctl::TCFLSH, ioctl::TCSBRKP, ioctl::TCGETS2, ioctl::TCSETS2,
        ioctl::TCSETSW2, ioctl::TCSETSF2, ioctl::TIOCEXCL, ioctl::TIOCNXCL, ioctl::TIOCSCTTY, ioctl::TIOCGPGRP,
        ioctl::TIOCSPGRP, ioctl::TIOCOUTQ, ioctl::TIOCSTI, ioctl::TIOCGWINSZ, ioctl::TIOCSWINSZ, ioctl::TIOCMGET,
        ioctl::TIOCMSET, ioctl::TIOCLINUX, ioctl::TIOCCONS, ioctl::TIOCPKT, ioctl::TIOCNOTTY, ioctl::TIOCSETD,
        ioctl::TIOCGETD, ioctl::TIOCGSID, ioctl::TIOCGPTN, ioctl::TIOCSPTLCK, ioctl::TIOCGPTLCK, ioctl::TIOCGPTPEER,
        ioctl::TIOCVHANGUP, ioctl::FIONREAD, ioctl::FIONBIO, ioctl::FIONCLEX, ioctl::FIOCLEX, ioctl::FIOASYNC,
        ioctl::FIOQSIZE, ioctl::FIOSETOWN, ioctl::FIOGETOWN, ioctl::SIOCSPGRP, ioctl::SIOCGPGRP, ioctl::SIOCATMARK,
        ioctl::SIOCGIFNAME, ioctl::SIOCGIFCONF, ioctl::SIOCGIFFLAGS, ioctl::SIOCSIFFLAGS, ioctl::SIOCGIFADDR,
        ioctl::SIOCSIFADDR, ioctl::SIOCGIFNETMASK, ioctl::SIOCGIFBRDADDR, ioctl::SIOCGIFMTU, ioctl::SIOCSIFMTU,
        ioctl::SIOCGIFHWADDR, ioctl::SIOCGIFINDEX, libc::SIOCETHTOOL, ioctl::BLKGETSIZE, ioctl::BLKGETSIZE64,
        ioctl::BLKSSZGET, ioctl::BLKROGET, ioctl::BLKFLSBUF, ioctl::BLKDISCARD, ioctl::FICLONE, ioctl::FICLONERANGE,
        ioctl::FIDEDUPERANGE, ioctl::FIFREEZE, ioctl::FITHAW, ioctl::FITRIM, ioctl::FS_IOC_GETFLAGS,
        ioctl::FS_IOC_SETFLAGS, ioctl::FS_IOC_FSGETXATTR, ioctl::FS_IOC_FSSETXATTR, ioctl::FS_IOC_FIEMAP,
        ioctl::NS_GET_USERNS, ioctl::NS_GET_PARENT, ioctl::NS_GET_NSTYPE, ioctl::NS_GET_OWNER_UID,
    }
};

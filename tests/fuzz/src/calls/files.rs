//! Files: opening, names, data, descriptors, attributes, waiting for them, mounts.

use super::{Call, Gives, bits, calls};
use crate::pool::{Class, Id};
use crate::structs;
use crate::value::Kind::{
    self, At, Buf, Bytes, Fd, Flags, Int, Len, Make, Mode, Of, Offset, One, Path, Small, Text, Uid,
};
use linux_raw_sys::{general as g, ioctl};

pub const OPEN_FLAGS: &[u64] = bits!(libc: O_RDWR O_RDWR O_WRONLY O_CREAT O_CREAT O_EXCL O_TRUNC O_APPEND O_NONBLOCK O_NONBLOCK O_DIRECTORY
    O_NOFOLLOW O_CLOEXEC O_PATH O_TMPFILE O_DIRECT O_SYNC O_DSYNC O_NOATIME O_NOCTTY O_ASYNC O_LARGEFILE);
const AT_FLAGS: Kind = Flags(
    bits!(libc: AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_EMPTY_PATH AT_REMOVEDIR AT_EACCESS AT_NO_AUTOMOUNT AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC),
);
const OPENED: Gives = Gives::Fd(Class::File);
const FILE: Kind = Of(&[Class::File, Class::Memory, Class::Proc]);
const DIR: Kind = Of(&[Class::Dir]);
const RWF: Kind = Flags(&[1, 2, 4, 8, 16, 32]);
const MADE: Kind = One(bits!(libc: S_IFREG S_IFIFO S_IFCHR S_IFSOCK S_IFBLK S_IFDIR));
const IOV: Kind = Make(structs::iovec);
const IOVS: Kind = Make(structs::iovecs);
const TS: Kind = Make(structs::timespec);
const TS0: Kind = Make(structs::timespec_or_null);
const SET: Kind = Make(structs::sigset);
const SET0: Kind = Make(structs::sigset_or_null);
const SETSIZE: Kind = Make(structs::set_size);

/// Calls that give descriptors, and take them.
#[rustfmt::skip]
pub const OPENING: &[Call] = calls![
    open(Path, Flags(OPEN_FLAGS), Mode) = OPENED;
    creat(Path, Mode) = OPENED;
    openat(At, Path, Flags(OPEN_FLAGS), Mode) = OPENED;
    openat2(At, Path, Make(structs::open_how), One(&[24, 24, 24, 24, 23, 25, 32, 4096])) = OPENED;
    close(Fd), 1 in 4;
    pipe(Bytes(8)) = Gives::Pair(0, Class::Pipe);
    pipe2(Bytes(8), Flags(bits!(libc: O_CLOEXEC O_NONBLOCK O_NONBLOCK O_DIRECT))) = Gives::Pair(0, Class::Pipe);
    dup(Fd) = Gives::Fd(Class::Other);
    dup2(Fd, Small(64)) = Gives::Fd(Class::Other);
    dup3(Fd, Small(64), Flags(bits!(libc: O_CLOEXEC))) = Gives::Fd(Class::Other);
    eventfd(Int) = Gives::Fd(Class::Event);
    eventfd2(Int, Flags(bits!(libc: EFD_SEMAPHORE EFD_NONBLOCK EFD_NONBLOCK EFD_CLOEXEC))) = Gives::Fd(Class::Event);
    signalfd(One(&[u64::MAX]), SET, SETSIZE) = Gives::Fd(Class::SignalFd);
    signalfd4(One(&[u64::MAX]), SET, SETSIZE, Flags(bits!(libc: SFD_NONBLOCK SFD_CLOEXEC))) = Gives::Fd(Class::SignalFd);
    timerfd_create(One(&[0, 1, 1, 7, 8, 9]), Flags(bits!(libc: TFD_NONBLOCK TFD_CLOEXEC))) = Gives::Fd(Class::Timer);
    epoll_create(Int) = Gives::Fd(Class::Epoll);
    epoll_create1(Flags(bits!(libc: EPOLL_CLOEXEC))) = Gives::Fd(Class::Epoll);
    inotify_init() = Gives::Fd(Class::Inotify);
    inotify_init1(Flags(bits!(libc: IN_NONBLOCK IN_CLOEXEC))) = Gives::Fd(Class::Inotify);
    memfd_create(Text, Flags(bits!(g: MFD_CLOEXEC MFD_ALLOW_SEALING MFD_ALLOW_SEALING MFD_HUGETLB MFD_NOEXEC_SEAL MFD_EXEC))) = Gives::Fd(Class::Memory);
    io_uring_setup(Small(64), Make(structs::ring_parameters)) = Gives::Fd(Class::Ring);
    close_range(Small(64), One(&[20, 40, 10, 0xffff_ffff]), Flags(&[2, 4])), 1 in 40;
];

/// What is in directories.
#[rustfmt::skip]
pub const NAMES: &[Call] = calls![
    mkdir(Path, Mode);
    mkdirat(At, Path, Mode);
    mknod(Path, MADE, Int);
    mknodat(At, Path, MADE, Int);
    unlink(Path);
    rmdir(Path);
    unlinkat(At, Path, AT_FLAGS);
    rename(Path, Path);
    renameat(At, Path, At, Path);
    renameat2(At, Path, At, Path, Flags(&[1, 2, 4]));
    link(Path, Path);
    linkat(At, Path, At, Path, AT_FLAGS);
    symlink(Path, Path);
    symlinkat(Path, At, Path);
    readlink(Path, Buf, Len);
    readlinkat(At, Path, Buf, Len);
    getdents64(DIR, Buf, Len);
    getdents(DIR, Buf, Len);
    getcwd(Buf, Len);
    chdir(Path), 1 in 4;
    fchdir(DIR), 1 in 4;
    chroot(Path), 1 in 20;
    umask(Mode);
    inotify_add_watch(Of(&[Class::Inotify]), Path, Flags(bits!(g: IN_ALL_EVENTS IN_ONESHOT IN_ONLYDIR IN_MASK_ADD IN_MASK_CREATE IN_DONT_FOLLOW IN_EXCL_UNLINK))) = Gives::Id(Id::Watch);
    inotify_rm_watch(Of(&[Class::Inotify]), Kind::Id(Id::Watch));
];

/// Bytes in and out.
#[rustfmt::skip]
pub const DATA: &[Call] = calls![
    read(Fd, Buf, Len);
    write(Fd, Buf, Len);
    pread64(FILE, Buf, Len, Offset);
    pwrite64(FILE, Buf, Len, Offset);
    readv(Fd, IOV, IOVS);
    writev(Fd, IOV, IOVS);
    preadv(FILE, IOV, IOVS, Offset);
    pwritev(FILE, IOV, IOVS, Offset);
    preadv2(FILE, IOV, IOVS, Offset, One(&[0]), RWF);
    pwritev2(FILE, IOV, IOVS, Offset, One(&[0]), RWF);
    lseek(Fd, Offset, One(&[0, 1, 2, 3, 4]));
    truncate(Path, Offset);
    ftruncate(FILE, Offset);
    fallocate(FILE, Flags(bits!(g: FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_ZERO_RANGE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_INSERT_RANGE FALLOC_FL_UNSHARE_RANGE)), Offset, Offset);
    fsync(Fd);
    fdatasync(Fd);
    sync_file_range(FILE, Offset, Offset, Flags(&[1, 2, 4]));
    sync(), 1 in 4;
    syncfs(Fd);
    fadvise64(Fd, Offset, Offset, Small(7));
    readahead(FILE, Offset, Len);
    sendfile(Fd, FILE, Make(structs::offset_at), Len);
    copy_file_range(FILE, Make(structs::offset_at), FILE, Make(structs::offset_at), Len, One(&[0]));
    splice(Fd, Make(structs::offset_at), Of(&[Class::Pipe]), Make(structs::offset_at), Len, Flags(&[1, 2, 2, 4, 8]));
    tee(Of(&[Class::Pipe]), Of(&[Class::Pipe]), Len, Flags(&[1, 2, 2, 4, 8]));
    vmsplice(Of(&[Class::Pipe]), IOV, IOVS, Flags(&[1, 2, 2, 4, 8]));
    io_setup(Small(128), Bytes(8)) = Gives::IdAt(1, Id::Key);
    io_destroy(Int);
    io_submit(Int, Small(4), Make(structs::addresses));
    io_cancel(Int, Bytes(64), Bytes(32));
    io_getevents(Int, Small(2), Small(4), Bytes(128), TS0);
    io_pgetevents(Int, Small(2), Small(4), Bytes(128), TS0, Make(structs::sized_set));
    io_uring_enter(Of(&[Class::Ring]), Small(8), Small(2), Flags(&[1, 1, 2, 4, 8, 16]), SET0, SETSIZE) , 1 in 2;
    io_uring_register(Of(&[Class::Ring]), Small(30), Make(structs::iovec), Small(8));
];

/// What is done to descriptors.
#[rustfmt::skip]
pub const DESCRIPTORS: &[Call] = calls![
    fcntl(Fd, One(bits!(g: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG F_SETOWN_EX F_GETOWN_EX
        F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_GET_RW_HINT F_SET_RW_HINT)),
        Make(|gen_| match gen_.rng.below(3) { 0 => gen_.int(), 1 => gen_.flags(OPEN_FLAGS), _ => structs::flock(gen_) }));
    ioctl(Fd, One(bits!(ioctl: FIONREAD FIONBIO FIOASYNC FIOCLEX FIONCLEX FIGETBSZ FIOQSIZE TCGETS TCSETS TCSETSW TCSETSF TCGETA TCSETA TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY
        TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ TIOCMGET TIOCINQ TIOCNOTTY TIOCSETD TIOCGETD TCSBRKP TIOCGSID TIOCGPTN TIOCSPTLCK TIOCGPTLCK TIOCGPTPEER TIOCPKT
        TIOCCONS TIOCVHANGUP SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCSIFADDR SIOCGIFNAME SIOCGIFINDEX SIOCGIFMTU SIOCGIFHWADDR SIOCGSTAMP SIOCATMARK FS_IOC_GETFLAGS FICLONE
        FICLONERANGE FIFREEZE NS_GET_USERNS NS_GET_PARENT NS_GET_NSTYPE NS_GET_OWNER_UID)), Make(structs::ioctl_argument));
    flock(Fd, One(&[1, 2, 5, 6, 8, 5, 6]));
    timerfd_settime(Of(&[Class::Timer]), Flags(&[1, 2]), Make(structs::two_times), Bytes(32));
    timerfd_gettime(Of(&[Class::Timer]), Bytes(32));
    kcmp(Kind::Pid, Kind::Pid, Small(8), Fd, Fd);
    pidfd_open(Kind::Pid, Flags(bits!(libc: O_NONBLOCK O_EXCL))) = Gives::Fd(Class::PidFd);
    pidfd_send_signal(Of(&[Class::PidFd]), Kind::Signal, One(&[0, 0, 0, 4096, 8]), Flags(&[1, 2, 4])), 1 in 3;
    pidfd_getfd(Of(&[Class::PidFd]), Small(20), One(&[0])) = Gives::Fd(Class::Other);
    process_madvise(Of(&[Class::PidFd]), IOV, IOVS, One(&[3, 20, 21, 4, 25]), One(&[0]));
    process_mrelease(Of(&[Class::PidFd]), One(&[0]));
];

/// What is said of files.
#[rustfmt::skip]
pub const ATTRIBUTES: &[Call] = calls![
    stat(Path, Bytes(144));
    lstat(Path, Bytes(144));
    fstat(Fd, Bytes(144));
    newfstatat(At, Path, Bytes(144), AT_FLAGS);
    statx(At, Path, AT_FLAGS, Flags(&[0x7ff, 0x800, 0x1000, 0x2000, 0x4000, 1 << 31]), Bytes(256));
    statfs(Path, Bytes(120));
    fstatfs(Fd, Bytes(120));
    chmod(Path, Mode);
    fchmod(Fd, Mode);
    fchmodat(At, Path, Mode);
    fchmodat2(At, Path, Mode, AT_FLAGS);
    chown(Path, Uid, Uid);
    lchown(Path, Uid, Uid);
    fchown(Fd, Uid, Uid);
    fchownat(At, Path, Uid, Uid, AT_FLAGS);
    access(Path, Small(8));
    faccessat(At, Path, Small(8));
    faccessat2(At, Path, Small(8), AT_FLAGS);
    utimensat(At, Path, Make(structs::two_times_or_null), AT_FLAGS);
    futimesat(At, Path, Make(structs::two_times_or_null));
    utimes(Path, Make(structs::two_times_or_null));
    utime(Path, Make(structs::two_times_or_null));
    setxattr(Path, Text, Buf, Len, Flags(&[1, 2]));
    lsetxattr(Path, Text, Buf, Len, Flags(&[1, 2]));
    fsetxattr(Fd, Text, Buf, Len, Flags(&[1, 2]));
    setxattrat(At, Path, AT_FLAGS, Text, Bytes(16), One(&[16, 0, 24, 4096]));
    getxattr(Path, Text, Buf, Len);
    lgetxattr(Path, Text, Buf, Len);
    fgetxattr(Fd, Text, Buf, Len);
    getxattrat(At, Path, AT_FLAGS, Text, Bytes(16), One(&[16, 0, 24, 4096]));
    listxattr(Path, Buf, Len);
    llistxattr(Path, Buf, Len);
    flistxattr(Fd, Buf, Len);
    listxattrat(At, Path, AT_FLAGS, Buf, Len);
    removexattr(Path, Text);
    lremovexattr(Path, Text);
    fremovexattr(Fd, Text);
    removexattrat(At, Path, AT_FLAGS, Text);
];

/// Waiting for descriptors.
#[rustfmt::skip]
pub const WAITING: &[Call] = calls![
    epoll_ctl(Of(&[Class::Epoll]), One(&[1, 1, 1, 2, 3]), Fd, Make(structs::epoll_event));
    epoll_wait(Of(&[Class::Epoll]), Buf, Small(16), One(&[0, 0, 1, 3, u64::MAX]));
    epoll_pwait(Of(&[Class::Epoll]), Buf, Small(16), One(&[0, 0, 1, 3, u64::MAX]), SET0, SETSIZE);
    epoll_pwait2(Of(&[Class::Epoll]), Buf, Small(16), TS, SET0, SETSIZE);
    poll(Make(structs::pollfds), Small(6), One(&[0, 0, 1, 3, u64::MAX]));
    ppoll(Make(structs::pollfds), Small(6), TS, SET0, SETSIZE);
    select(Small(65), Make(structs::fd_set), Make(structs::fd_set), Make(structs::fd_set), TS);
    pselect6(Small(65), Make(structs::fd_set), Make(structs::fd_set), Make(structs::fd_set), TS, Make(structs::sized_set));
];

/// Mounts and namespaces.
#[rustfmt::skip]
pub const MOUNTS: &[Call] = calls![
    mount(Path, Path, Text, Flags(bits!(libc: MS_BIND MS_BIND MS_REC MS_RDONLY MS_REMOUNT MS_MOVE MS_PRIVATE MS_SHARED MS_SLAVE MS_UNBINDABLE MS_NOSUID MS_NODEV MS_NOEXEC MS_NOATIME)), Text);
    umount2(Path, Flags(&[1, 2, 2, 4, 8]));
    pivot_root(Path, Path), 1 in 8;
    unshare(Flags(super::process::CLONE_FLAGS)), 1 in 4;
    setns(Of(&[Class::Space, Class::PidFd]), Flags(bits!(g: CLONE_NEWNS CLONE_NEWUSER CLONE_NEWNET CLONE_NEWPID CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWCGROUP))), 1 in 2;
];

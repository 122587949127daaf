//! Calls whose arguments decide what other arguments are.

use super::Arg::{Address, Choice, DirFd, Fd, Flags, Hex, In, InOut, Int, Out, Path, Pid, Signal, Size, Text, Uint};
use super::{Arg, Returns, Set, Shape, Signature, operations};
use linux_raw_sys::{general, ioctl, net, ptrace};
use syscalls::Sysno;

/// `signature`, or what these values make of it.
pub(super) fn variant(signature: &Signature, values: &[u64; 6]) -> Signature {
    let mut new = *signature;
    // Commands are an `int`: the upper half of the register is no part of them.
    let [first, second, third, fourth, ..] = values.map(|value| value as u32);
    match signature.call {
        Sysno::open if !creates(second) => new.args = &[Path, Flags(Set::Open)],
        Sysno::openat if !creates(third) => new.args = &[DirFd, Path, Flags(Set::Open)],
        Sysno::mq_open if !creates(second) => new.args = &[Text, Flags(Set::Open)],
        // The CPU comes with MEMBARRIER_CMD_FLAG_CPU alone.
        Sysno::membarrier if second == 0 => new.args = &[Choice(Set::Membarrier), Uint],
        Sysno::mknod if !is_device(second) => new.args = &[Path, Arg::NodeMode],
        Sysno::mknodat if !is_device(third) => new.args = &[DirFd, Path, Arg::NodeMode],
        Sysno::mremap if fourth & (general::MREMAP_FIXED | general::MREMAP_DONTUNMAP) == 0 => {
            new.args = &[Address, Size, Size, Flags(Set::Mremap)];
        }
        Sysno::epoll_ctl if second == general::EPOLL_CTL_DEL => new.args = &[Fd, Choice(Set::EpollCtl), Fd, Address],
        Sysno::socket => new.args = socket(first),
        Sysno::setsockopt | Sysno::getsockopt => new.args = option(signature.call, second),
        Sysno::fcntl => fcntl(&mut new, second),
        Sysno::ioctl => new.args = ioctl(second),
        Sysno::futex => new.args = operations::futex(second),
        Sysno::prctl => operations::prctl(&mut new, values),
        Sysno::keyctl => new.args = operations::keyctl(first),
        Sysno::io_uring_register => new.args = operations::uring_register(second),
        Sysno::seccomp if first == ptrace::SECCOMP_SET_MODE_FILTER => {
            new.args = &[Choice(Set::Seccomp), Flags(Set::SeccompFilter), In(Shape::Program)];
        }
        Sysno::arch_prctl if matches!(first, ARCH_GET_FS | ARCH_GET_GS) => {
            new.args = &[Choice(Set::ArchPrctl), Out(Shape::Pointer)];
        }
        _ => {}
    }
    new
}

/// Calls whose arguments decide whether others are addresses of something that is copied.
pub(super) fn may_take_memory(call: Sysno) -> bool {
    matches!(
        call,
        Sysno::setsockopt
            | Sysno::getsockopt
            | Sysno::fcntl
            | Sysno::ioctl
            | Sysno::futex
            | Sysno::prctl
            | Sysno::arch_prctl
            | Sysno::keyctl
            | Sysno::io_uring_register
            | Sysno::seccomp
    )
}

/// arch_prctl(2)'s codes that return something (arch/x86/include/uapi/asm/prctl.h); linux-raw-sys has only ARCH_SET_FS.
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// Whether open(2) takes a mode.
fn creates(flags: u32) -> bool {
    flags & general::O_CREAT != 0 || flags & general::O_TMPFILE == general::O_TMPFILE
}

/// Whether mknod(2) takes a device's number.
fn is_device(mode: u32) -> bool {
    matches!(mode & general::S_IFMT, general::S_IFCHR | general::S_IFBLK)
}

fn socket(family: u32) -> &'static [Arg] {
    match family {
        net::AF_INET | net::AF_INET6 => &[Choice(Set::Family), Flags(Set::SocketType), Choice(Set::Protocol)],
        net::AF_NETLINK => &[Choice(Set::Family), Flags(Set::SocketType), Choice(Set::Netlink)],
        _ => &[Choice(Set::Family), Flags(Set::SocketType), Int],
    }
}

/// The row for an option of this level.
fn option(call: Sysno, level: u32) -> &'static [Arg] {
    let (set, get): (&'static [Arg], &'static [Arg]) = match level {
        net::SOL_SOCKET => (const { &set_option(Set::SocketOption) }, const { &get_option(Set::SocketOption) }),
        IP => (const { &set_option(Set::IpOption) }, const { &get_option(Set::IpOption) }),
        IPV6 => (const { &set_option(Set::Ipv6Option) }, const { &get_option(Set::Ipv6Option) }),
        TCP => (const { &set_option(Set::TcpOption) }, const { &get_option(Set::TcpOption) }),
        _ => (const { &set_option(Set::UnknownOption) }, const { &get_option(Set::UnknownOption) }),
    };
    if call == Sysno::setsockopt { set } else { get }
}

const IP: u32 = net::IPPROTO_IP as u32;
const IPV6: u32 = net::IPPROTO_IPV6 as u32;
const TCP: u32 = net::IPPROTO_TCP as u32;

const fn set_option(set: Set) -> [Arg; 5] {
    [Fd, Choice(Set::SocketLevel), Choice(set), Arg::OptionIn(4), Uint]
}

const fn get_option(set: Set) -> [Arg; 5] {
    [Fd, Choice(Set::SocketLevel), Choice(set), Arg::OptionOut(4), InOut(Shape::U32)]
}

fn fcntl(new: &mut Signature, command: u32) {
    const COMMAND: Arg = Choice(Set::Fcntl);
    let (args, returns): (&'static [Arg], Returns) = match command {
        general::F_DUPFD | general::F_DUPFD_CLOEXEC => (&[Fd, COMMAND, Int], Returns::Fd),
        general::F_GETFD => (&[Fd, COMMAND], Returns::Flags(Set::Descriptor)),
        general::F_SETFD => (&[Fd, COMMAND, Flags(Set::Descriptor)], Returns::Zero),
        general::F_GETFL => (&[Fd, COMMAND], Returns::Flags(Set::Open)),
        general::F_SETFL => (&[Fd, COMMAND, Flags(Set::Open)], Returns::Zero),
        general::F_GETLK | general::F_OFD_GETLK => (&[Fd, COMMAND, Out(Shape::Flock)], Returns::Zero),
        general::F_SETLK | general::F_SETLKW | general::F_OFD_SETLK | general::F_OFD_SETLKW => {
            (&[Fd, COMMAND, In(Shape::Flock)], Returns::Zero)
        }
        general::F_GETOWN => (&[Fd, COMMAND], Returns::Int),
        general::F_SETOWN => (&[Fd, COMMAND, Pid], Returns::Zero),
        general::F_GETSIG => (&[Fd, COMMAND], Returns::Signal),
        general::F_SETSIG => (&[Fd, COMMAND, Signal], Returns::Zero),
        general::F_GETPIPE_SZ => (&[Fd, COMMAND], Returns::Int),
        general::F_SETPIPE_SZ => (&[Fd, COMMAND, Int], Returns::Int),
        general::F_GET_SEALS => (&[Fd, COMMAND], Returns::Flags(Set::Seals)),
        general::F_ADD_SEALS => (&[Fd, COMMAND, Flags(Set::Seals)], Returns::Zero),
        general::F_DUPFD_QUERY => (&[Fd, COMMAND, Fd], Returns::Int),
        _ => (&[Fd, COMMAND, Hex], Returns::Int),
    };
    (new.args, new.returns) = (args, returns);
}

fn ioctl(command: u32) -> &'static [Arg] {
    const COMMAND: Arg = Choice(Set::Ioctl);
    match command {
        ioctl::FIONREAD
        | ioctl::TIOCOUTQ
        | ioctl::TIOCGPGRP
        | ioctl::TIOCGSID
        | ioctl::TIOCGPTN
        | ioctl::TIOCGETD
        | ioctl::FIOGETOWN
        | ioctl::SIOCGPGRP => &[Fd, COMMAND, Out(Shape::I32)],
        ioctl::FIONBIO
        | ioctl::FIOASYNC
        | ioctl::TIOCSPGRP
        | ioctl::TIOCSPTLCK
        | ioctl::TIOCPKT
        | ioctl::TIOCSETD
        | ioctl::FIOSETOWN
        | ioctl::SIOCSPGRP => &[Fd, COMMAND, In(Shape::I32)],
        ioctl::FIOCLEX
        | ioctl::FIONCLEX
        | ioctl::FIFREEZE
        | ioctl::FITHAW
        | ioctl::TIOCVHANGUP
        | ioctl::TIOCNOTTY
        | ioctl::TIOCEXCL
        | ioctl::TIOCNXCL => &[Fd, COMMAND],
        ioctl::TIOCSCTTY | ioctl::TCSBRK | ioctl::TCFLSH | ioctl::TCXONC | ioctl::FICLONE => &[Fd, COMMAND, Int],
        ioctl::TIOCGPTPEER => &[Fd, COMMAND, Flags(Set::Open)],
        ioctl::TIOCGWINSZ => &[Fd, COMMAND, Out(Shape::Winsize)],
        ioctl::TIOCSWINSZ => &[Fd, COMMAND, In(Shape::Winsize)],
        ioctl::TCGETS => &[Fd, COMMAND, Out(Shape::Termios)],
        ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETSF => &[Fd, COMMAND, In(Shape::Termios)],
        _ => &[Fd, COMMAND, Address],
    }
}

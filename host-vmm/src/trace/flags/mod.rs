//! Names of flags and choices: for each `Set` of `linker::calls` a table whose values are the ABI's own constants.

/// A table of constants, each with its own name unless another is said. First those among the bits of a mask, then single
/// flags; one that has several bits stands before those that have some of them.
macro_rules! names {
    ($(in ($mask:expr) { $($module:ident :: $value:ident $(= $other:literal)?),* $(,)? })? $(bits { $($of:ident :: $bit:ident $(= $text:literal)?),* $(,)? })?) => {
        &[
            $($($crate::trace::flags::part(($mask) as u64, $module::$value as u64, names!(@text $value $($other)?)),)*)?
            $($($crate::trace::flags::part($of::$bit as u64, $of::$bit as u64, names!(@text $bit $($text)?)),)*)?
        ]
    };
    (@text $name:ident) => { stringify!($name) };
    (@text $name:ident $text:literal) => { $text };
}

pub(super) mod descriptors;
pub(super) mod files;
mod memory;
mod operations;
pub(super) mod process;
pub(super) mod rings;
mod sockets;
mod system;

pub(super) use memory::SEM_FLAGS;
pub(super) use sockets::CONTROL;

use linker::calls::Set;
use linux_raw_sys::general;

/// A value, its flags by name, and what is left in hexadecimal.
pub(super) fn show(set: Set, value: u64) -> String {
    match set {
        Set::Ioctl => command(value),
        Set::Clone => clone(value),
        Set::UnknownOption => value.to_string(),
        Set::FutexBits if value != u64::from(general::FUTEX_BITSET_MATCH_ANY) => super::text::hex(value),
        Set::IpcGet => with_permissions(names(set), value),
        Set::FutexOperation => operations::futex(value),
        // Of keys that have no name there is a number.
        Set::Keyring if names(set).iter().all(|name| name.value != value) => (value as i32).to_string(),
        _ => named(names(set), value),
    }
}

/// The same from a table.
pub(super) fn named(names: &[Name], value: u64) -> String {
    let (mut parts, rest) = split(names, value);
    match (parts.is_empty(), rest) {
        (true, 0) => "0".to_owned(),
        (true, rest) => match prefix(names) {
            Some(prefix) => format!("{rest:#x} /* {prefix}??? */"),
            None => format!("{rest:#x}"),
        },
        (false, 0) => parts.join("|"),
        (false, rest) => {
            let rest = format!("{rest:#x}");
            parts.push(&rest);
            parts.join("|")
        }
    }
}

/// The names in a value, and what has none.
fn split(names: &[Name], value: u64) -> (Vec<&str>, u64) {
    let mut rest = value;
    let mut parts = Vec::new();
    for name in names {
        // A name for 0 stands for the absence of all bits of its mask.
        let found = if name.value == 0 { value & name.mask == 0 } else { rest & name.mask == name.value };
        if found {
            parts.push(name.text);
            rest &= !name.mask;
        }
    }
    (parts, rest)
}

/// The beginning that all names have in common, to the last underscore.
fn prefix(names: &[Name]) -> Option<&'static str> {
    let first = names.first()?.text;
    let common = names.iter().fold(first.len(), |common, name| {
        first.bytes().zip(name.text.bytes()).take(common).take_while(|(a, b)| a == b).count()
    });
    first.get(..=first.get(..common)?.rfind('_')?)
}

/// clone(2)'s flags, whose lowest byte is a signal.
fn clone(value: u64) -> String {
    let signal = value & u64::from(general::CSIGNAL);
    let flags = value & !signal;
    match (flags, signal) {
        (flags, 0) => named(process::CLONE, flags),
        (0, signal) => super::signals::name(signal as i32),
        (flags, signal) => format!("{}|{}", named(process::CLONE, flags), super::signals::name(signal as i32)),
    }
}

/// Flags above permissions.
fn with_permissions(names: &[Name], value: u64) -> String {
    let mode = value & u64::from(general::S_IRWXU | general::S_IRWXG | general::S_IRWXO);
    match value & !mode {
        0 => super::text::octal(mode),
        flags => format!("{}|{}", named(names, flags), super::text::octal(mode)),
    }
}

/// An ioctl's command: one without a name says what it is made of.
fn command(value: u64) -> String {
    let (parts, rest) = split(descriptors::IOCTL, value);
    if rest == 0 && !parts.is_empty() {
        return parts.join("|");
    }
    let field = |shift: u32, mask: u32| value >> shift & u64::from(mask);
    let direction = match field(general::_IOC_DIRSHIFT, general::_IOC_DIRMASK) as u32 {
        general::_IOC_NONE => "_IOC_NONE",
        general::_IOC_WRITE => "_IOC_WRITE",
        general::_IOC_READ => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let kind = field(general::_IOC_TYPESHIFT, general::_IOC_TYPEMASK);
    let number = field(general::_IOC_NRSHIFT, general::_IOC_NRMASK);
    let size = field(general::_IOC_SIZESHIFT, general::_IOC_SIZEMASK);
    format!("_IOC({direction}, {kind:#x}, {number:#x}, {size:#x})")
}

/// A set's table.
fn names(set: Set) -> &'static [Name] {
    match set {
        Set::Access => files::ACCESS,
        Set::Ambient => operations::AMBIENT,
        Set::ArchPrctl => process::ARCH_PRCTL,
        Set::At => files::AT,
        Set::AtAccess => files::AT_ACCESS,
        Set::AtRemove => files::AT_REMOVE,
        Set::AtStatx => files::AT_STATX,
        Set::Bpf => system::BPF,
        Set::Capability => process::CAPABILITY,
        Set::Clock => process::CLOCK,
        Set::Clone => process::CLONE,
        Set::CloseRange => descriptors::CLOSE_RANGE,
        Set::Descriptor => descriptors::DESCRIPTOR,
        Set::Dispatch => operations::DISPATCH,
        Set::Dumpable => operations::DUMPABLE,
        Set::EpollCreate => descriptors::EPOLL_CREATE,
        Set::EpollCtl => descriptors::EPOLL_CTL,
        Set::Eventfd => descriptors::EVENTFD,
        Set::Fadvise => descriptors::FADVISE,
        Set::Fallocate => descriptors::FALLOCATE,
        Set::Family => sockets::FAMILY,
        Set::Fanotify => files::FANOTIFY,
        Set::FanotifyMark => files::FANOTIFY_MARK,
        Set::FanotifyMask => files::FANOTIFY_MASK,
        Set::Fcntl => descriptors::FCNTL,
        Set::Flock => descriptors::FLOCK,
        Set::Fsconfig => files::FSCONFIG,
        Set::Fsmount => files::FSMOUNT,
        Set::Fsopen => files::FSOPEN,
        Set::Fspick => files::FSPICK,
        Set::Futex => process::FUTEX,
        Set::Futex2 => process::FUTEX2,
        Set::FutexBits => process::FUTEX_BITS,
        Set::FutexOperation => system::UNKNOWN_OPTION,
        Set::Inotify => files::INOTIFY,
        Set::InotifyMask => files::INOTIFY_MASK,
        Set::IoPriority => system::IO_PRIORITY,
        Set::Ioctl => descriptors::IOCTL,
        Set::IpOption => sockets::IP_OPTION,
        Set::IpcCommand => memory::IPC_COMMAND,
        Set::IpcGet => memory::IPC_GET,
        Set::IpcMessage => memory::IPC_MESSAGE,
        Set::Ipv6Option => sockets::IPV6_OPTION,
        Set::Itimer => process::ITIMER,
        Set::Kcmp => process::KCMP,
        Set::Keyctl => system::KEYCTL,
        Set::KeyPermission => operations::KEY_PERMISSION,
        Set::Keyring => system::KEYRING,
        Set::LandlockCreate => system::LANDLOCK_CREATE,
        Set::LandlockRule => system::LANDLOCK_RULE,
        Set::Madvise => memory::MADVISE,
        Set::Map => memory::MAP,
        Set::MceKill => operations::MCE_KILL,
        Set::MceKillPolicy => operations::MCE_KILL_POLICY,
        Set::Mdwe => operations::MDWE,
        Set::Membarrier => memory::MEMBARRIER,
        Set::Memfd => descriptors::MEMFD,
        Set::Message => sockets::MESSAGE,
        Set::Mlock => memory::MLOCK,
        Set::Mlockall => memory::MLOCKALL,
        Set::Mount => files::MOUNT,
        Set::MountAttr => files::MOUNT_ATTR,
        Set::MoveMount => files::MOVE_MOUNT,
        Set::Mremap => memory::MREMAP,
        Set::Msync => memory::MSYNC,
        Set::Netlink => sockets::NETLINK,
        Set::Open => files::OPEN,
        Set::OpenTree => files::OPEN_TREE,
        Set::Perf => system::PERF,
        Set::Pidfd => process::PIDFD,
        Set::Pipe => files::PIPE,
        Set::Pkey => memory::PKEY,
        Set::Policy => memory::POLICY,
        Set::PolicyMove => memory::POLICY_MOVE,
        Set::PolicyQuery => memory::POLICY_QUERY,
        Set::Prctl => process::PRCTL,
        Set::PrctlMm => operations::MM,
        Set::Priority => process::PRIORITY,
        Set::Protection => memory::PROTECTION,
        Set::Protocol => sockets::PROTOCOL,
        Set::Ptrace => process::PTRACE,
        Set::Random => system::RANDOM,
        Set::ReadWrite => descriptors::READ_WRITE,
        Set::Reboot => system::REBOOT,
        Set::Rename => files::RENAME,
        Set::Resource => process::RESOURCE,
        Set::SchedCore => operations::SCHED_CORE,
        Set::Scheduler => process::SCHEDULER,
        Set::Seals => descriptors::SEALS,
        Set::Seccomp => system::SECCOMP,
        Set::SeccompMode => operations::SECCOMP_MODE,
        Set::SeccompFilter => system::SECCOMP_FILTER,
        Set::SecureBits => operations::SECURE_BITS,
        Set::ShadowStack => memory::SHADOW_STACK,
        Set::Shmat => memory::SHMAT,
        Set::Shutdown => sockets::SHUTDOWN,
        Set::SigHow => process::SIG_HOW,
        Set::SocketFlags => sockets::SOCKET_FLAGS,
        Set::SocketLevel => sockets::SOCKET_LEVEL,
        Set::SocketOption => sockets::SOCKET_OPTION,
        Set::SocketType => sockets::SOCKET_TYPE,
        Set::Speculation => operations::SPECULATION,
        Set::SpeculationControl => operations::SPECULATION_CONTROL,
        Set::Splice => descriptors::SPLICE,
        Set::Statx => files::STATX,
        Set::SyncRange => descriptors::SYNC_RANGE,
        Set::Syslog => system::SYSLOG,
        Set::TcpOption => sockets::TCP_OPTION,
        Set::TimerSet => process::TIMER_SET,
        Set::Timing => operations::TIMING,
        Set::Timerfd => process::TIMERFD,
        Set::TimerfdSet => process::TIMERFD_SET,
        Set::Tsc => operations::TSC,
        Set::Umount => files::UMOUNT,
        Set::UnknownOption => system::UNKNOWN_OPTION,
        Set::UringEnter => descriptors::URING_ENTER,
        Set::UringRegister => descriptors::URING_REGISTER,
        Set::Usage => process::USAGE,
        Set::Userfaultfd => descriptors::USERFAULTFD,
        Set::Vma => operations::VMA,
        Set::Wait => process::WAIT,
        Set::WaitId => process::WAIT_ID,
        Set::Whence => descriptors::WHENCE,
        Set::Xattr => files::XATTR,
    }
}

/// A name of the bits `value` among the bits `mask`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    mask: u64,
    value: u64,
    text: &'static str,
}

/// The mask of a value that stands alone. Commands are 32 bits wide: a negative one may come sign-extended or not.
const CHOICE: u32 = u32::MAX;

const fn part(mask: u64, value: u64, text: &'static str) -> Name {
    Name { mask, value: value & mask, text }
}

/// A choice that no crate exports.
const fn number(value: u32, text: &'static str) -> Name {
    part(CHOICE as u64, value as u64, text)
}

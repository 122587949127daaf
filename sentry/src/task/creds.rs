//! Credentials: ids, groups and capabilities, immutable once made; a change makes a new set.

use super::UserSpace;
use crate::keys::Rings;
use crate::landlock::Confined;
use alloc::vec::Vec;
use linker::spec::Capabilities;

/// One thread's credentials.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Credentials {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    pub caps: Capabilities,
    /// Over what the capabilities hold, and in which ids the program thinks.
    pub user: UserSpace,
    /// SECBIT_*.
    pub securebits: u32,
    pub no_new_privs: bool,
    pub rings: Rings,
    pub landlock: Confined,
}

/// A capability, by number (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Cap {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

impl Credentials {
    /// Whether the capability holds over the container as a whole: never in a user namespace of a program's own.
    #[inline]
    pub fn has(&self, cap: Cap) -> bool {
        self.has_own(cap) && self.user.is_none()
    }

    /// Whether the capability is effective: over what is the thread's own, whatever its user namespace.
    #[inline]
    pub fn has_own(&self, cap: Cap) -> bool {
        self.caps.effective >> (cap as u8) & 1 != 0
    }

    /// Whether `gid` is the file-system group or one of the additional groups.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}

/// prctl(2)'s securebits (include/uapi/linux/securebits.h; nobody exports them).
pub const SECBIT_NOROOT: u32 = 1 << 0;
/// No capability fix-up when ids change.
pub const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
/// Capabilities survive giving up root.
pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;
/// No ambient capability can be raised.
pub const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
/// Every bit that exists, with its lock.
pub const SECBITS: u32 = 0xff;
/// The highest capability (CAP_LAST_CAP).
pub const LAST_CAP: u32 = 40;

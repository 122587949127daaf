//! Control messages (cmsg(3)): descriptors and credentials that travel with data, and what a receiver is told about a datagram.

use super::socket::Socket;
use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::sync::{Lock, Rank};
use crate::syscall::Fd;
use crate::task::{Cap, Credentials, Current, Tid, registry};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::RLIMIT_NOFILE;
use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Descriptors in one message at most (unix(7), SCM_MAX_FD).
const MAX_FILES: usize = 253;
/// Sockets may lie in sockets that lie in sockets this deep (ETOOMANYREFS beyond).
const MAX_DEPTH: u32 = 4;
/// Each control message starts at a multiple of this.
const ALIGN: usize = size_of::<u64>();

/// `struct cmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    len: u64,
    level: u32,
    kind: u32,
}

/// `struct ucred`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ucred {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

const _: () = {
    assert!(size_of::<Header>() == size_of::<raw::cmsghdr>());
    assert!(size_of::<Ucred>() == size_of::<raw::ucred>());
};

impl Ucred {
    /// Nobody knows who.
    pub const UNKNOWN: Self = Self { pid: 0, uid: 65534, gid: 65534 };

    /// The caller, as SO_PEERCRED shows it.
    pub fn of(current: &Current) -> Self {
        Self { pid: current.process.pid().raw(), uid: current.creds.euid, gid: current.creds.egid }
    }

    /// The caller, as a message without SCM_CREDENTIALS carries it.
    pub fn real(current: &Current) -> Self {
        Self { pid: current.process.pid().raw(), uid: current.creds.uid, gid: current.creds.gid }
    }

    /// As the program that receives it calls them.
    pub fn shown(&self, current: &Current) -> Self {
        let creds = &current.creds;
        let pid = current.shown(Tid::new(self.pid)).raw();
        Self { pid, uid: creds.shown_uid(self.uid), gid: creds.shown_gid(self.gid) }
    }

    /// Whom the program means that says this.
    fn meant(&self, current: &Current) -> Result<Self, Errno> {
        let creds = &current.creds;
        let pid = current.meant(Tid::new(self.pid)).raw();
        Ok(Self { pid, uid: creds.global_uid(self.uid)?, gid: creds.global_gid(self.gid)? })
    }

    /// Whether the caller may say it is this.
    fn allowed(&self, current: &Current) -> bool {
        let creds: &Credentials = &current.creds;
        let pid = self.pid == current.process.pid().raw() || creds.has_own(Cap::SysAdmin);
        let uid = [creds.uid, creds.euid, creds.suid].contains(&self.uid) || creds.has_own(Cap::Setuid);
        let gid = [creds.gid, creds.egid, creds.sgid].contains(&self.gid) || creds.has_own(Cap::Setgid);
        pid && uid && gid
    }
}

/// Descriptors of each user that are in messages nobody has received.
static IN_FLIGHT: Lock<BTreeMap<u32, usize>> = Lock::new(Rank::Leaf, BTreeMap::new());

/// Files on their way, counted against their sender.
pub struct Files {
    files: Vec<Arc<OpenFile>>,
    /// How deep sockets lie in sockets among them: what they hold is closed one inside the other.
    depth: u32,
    counted: usize,
    uid: u32,
}

impl Files {
    fn new(current: &Current, files: Vec<Arc<OpenFile>>) -> Result<Self, Errno> {
        let uid = current.creds.uid;
        let privileged = current.creds.has(Cap::SysResource) || current.creds.has(Cap::SysAdmin);
        let nested = files.iter().filter_map(|file| Some(Socket::of(file).ok()?.options().nesting() + 1));
        let depth = nested.max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Errno::ETOOMANYREFS);
        }
        let limit = current.process.soft_limit(RLIMIT_NOFILE);
        let counted = files.len();
        let mut in_flight = IN_FLIGHT.lock();
        let count = in_flight.entry(uid).or_insert(0);
        if *count as u64 > limit && !privileged {
            return Err(Errno::ETOOMANYREFS);
        }
        *count += counted;
        Ok(Self { files, depth, counted, uid })
    }

    /// How deep sockets lie in sockets among them.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The files.
    pub fn list(&self) -> &[Arc<OpenFile>] {
        &self.files
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let mut in_flight = IN_FLIGHT.lock();
        if let Some(count) = in_flight.get_mut(&self.uid) {
            *count = count.saturating_sub(self.counted);
            if *count == 0 {
                in_flight.remove(&self.uid);
            }
        }
    }
}

/// What travels with data. Drop it without locks: its files may be the last references.
#[derive(Default)]
pub struct Control {
    /// SCM_RIGHTS.
    pub files: Option<Files>,
    /// SCM_CREDENTIALS.
    pub creds: Option<Ucred>,
    /// Level, type and data of what else the receiver is told; of IP and IPv6, what the sender says.
    pub notes: Vec<(u32, u32, Vec<u8>)>,
}

impl Control {
    /// Whether nothing travels.
    pub fn is_empty(&self) -> bool {
        self.files.is_none() && self.creds.is_none() && self.notes.is_empty()
    }

    /// What a peek shows: the same, still counted once.
    pub fn peek(&self) -> Self {
        let files = self.files.as_ref().map(|files| Files {
            files: files.files.clone(),
            depth: files.depth,
            counted: 0,
            uid: files.uid,
        });
        Self { files, creds: self.creds, notes: self.notes.clone() }
    }

    /// Takes apart what another kernel made (descriptors are numbers like others there).
    pub fn told(bytes: &[u8]) -> Self {
        let mut control = Self::default();
        let mut rest = bytes;
        while let Ok((header, _)) = Header::read_from_prefix(rest) {
            let len = usize::try_from(header.len).unwrap_or(0);
            let Some(data) = rest.get(size_of::<Header>()..len) else { break };
            control.notes.push((header.level, header.kind, data.to_vec()));
            rest = rest.get(len.next_multiple_of(ALIGN)..).unwrap_or(&[]);
        }
        control
    }

    /// Parses what sendmsg was given. `unix`: descriptors and credentials count; elsewhere they are ignored.
    pub fn parse(current: &Current, bytes: &[u8], unix: bool) -> Result<Self, Errno> {
        let mut control = Self::default();
        let mut files = Vec::new();
        let mut rest = bytes;
        while rest.len() >= size_of::<Header>() {
            let (header, _) = Header::read_from_prefix(rest).map_err(|_| Errno::EINVAL)?;
            let len = usize::try_from(header.len).map_err(|_| Errno::EINVAL)?;
            let data = rest.get(size_of::<Header>()..len).ok_or(Errno::EINVAL)?;
            if header.level == raw::SOL_SOCKET && unix {
                match header.kind {
                    raw::SCM_RIGHTS => {
                        for fd in data.as_chunks::<4>().0 {
                            if files.len() == MAX_FILES {
                                return Err(Errno::EINVAL);
                            }
                            files.push(current.file(Fd::new(i32::from_ne_bytes(*fd)))?);
                        }
                    }
                    raw::SCM_CREDENTIALS => {
                        let creds = Ucred::read_from_bytes(data).map_err(|_| Errno::EINVAL)?.meant(current)?;
                        if !creds.allowed(current) {
                            return Err(Errno::EPERM);
                        }
                        if registry().process(Tid::new(creds.pid)).is_none() {
                            return Err(Errno::ESRCH);
                        }
                        control.creds = Some(creds);
                    }
                    _ => return Err(Errno::EINVAL),
                }
            }
            if !unix && [raw::IPPROTO_IP as u32, raw::IPPROTO_IPV6 as u32].contains(&header.level) {
                control.notes.push((header.level, header.kind, data.to_vec()));
            }
            rest = rest.get(len.next_multiple_of(ALIGN)..).unwrap_or(&[]);
        }
        if !files.is_empty() {
            control.files = Some(Files::new(current, files)?);
        }
        Ok(control)
    }
}

/// Lays control messages out for the receiver.
pub struct Writer {
    bytes: Vec<u8>,
    room: usize,
    /// Something did not fit: MSG_CTRUNC.
    pub truncated: bool,
}

impl Writer {
    /// For a buffer of `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room, truncated: false }
    }

    /// Adds a message, cut to what fits.
    pub fn put(&mut self, level: u32, kind: u32, data: &[u8]) {
        let left = self.room.saturating_sub(self.bytes.len());
        if left < size_of::<Header>() {
            self.truncated = true;
            return;
        }
        let len = (size_of::<Header>() + data.len()).min(left);
        self.truncated |= len < size_of::<Header>() + data.len();
        let header = Header { len: len as u64, level, kind };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend(data.iter().take(len - size_of::<Header>()));
        let padded = self.bytes.len().next_multiple_of(ALIGN).min(self.room);
        self.bytes.resize(padded, 0);
    }

    /// Gives the files descriptors, as many as fit, and adds their message.
    pub fn put_files(&mut self, current: &Current, files: &[Arc<OpenFile>], close_on_exec: bool) {
        let left = self.room.saturating_sub(self.bytes.len());
        let fit = left.saturating_sub(size_of::<Header>()) / size_of::<i32>();
        self.truncated |= fit < files.len();
        let mut numbers = Vec::new();
        for file in files.iter().take(fit) {
            match current.add_file(file.clone(), close_on_exec) {
                Ok(fd) => numbers.extend_from_slice(&fd.raw().to_ne_bytes()),
                Err(_) => {
                    self.truncated = true;
                    break;
                }
            }
        }
        if !numbers.is_empty() {
            self.put(raw::SOL_SOCKET, raw::SCM_RIGHTS, &numbers);
        }
    }

    /// The bytes for user space.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

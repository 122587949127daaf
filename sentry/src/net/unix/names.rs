//! Unix socket names: paths, kept by the file system in the inode's slot, and the abstract name space.

use crate::errno::Errno;
use crate::fs::{self, FileKind, LookupFlags, May};
use crate::net::address::UnixName;
use crate::random;
use crate::sync::{Lock, Rank};
use crate::syscall::Fd;
use crate::task::Current;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::{S_IFSOCK, S_IRWXG, S_IRWXO, S_IRWXU};

/// A bound socket, whatever its type.
pub type Bound = Arc<dyn Any + Send + Sync>;

/// By network and name.
type Names = BTreeMap<(u32, Vec<u8>), Weak<dyn Any + Send + Sync>>;

static ABSTRACT: Lock<Names> = Lock::new(Rank::SocketTable, BTreeMap::new());

/// Gives `socket` a name. An empty one stands for a free abstract name (autobind). Returns the name as bound.
pub fn bind(current: &Current, network: u32, name: &UnixName, socket: &Bound) -> Result<UnixName, Errno> {
    match name {
        UnixName::Path(path) => {
            let mode = S_IFSOCK | S_IRWXU | S_IRWXG | S_IRWXO;
            let place = fs::make(current, Fd::CWD, path, mode, 0).map_err(|errno| match errno {
                Errno::EEXIST => Errno::EADDRINUSE,
                other => other,
            })?;
            place.inode().socket_slot().ok_or(Errno::EOPNOTSUPP)?.set(socket);
            Ok(name.clone())
        }
        UnixName::Abstract(bytes) => bind_abstract(network, bytes.clone(), socket),
        UnixName::Unnamed => {
            // Five hexadecimal digits (unix(7), autobind).
            for _ in 0..1 << 16 {
                let digits = format!("{:05x}", random::next_u64() & 0xf_ffff).into_bytes();
                match bind_abstract(network, digits, socket) {
                    Err(Errno::EADDRINUSE) => {}
                    other => return other,
                }
            }
            Err(Errno::ENOSPC)
        }
    }
}

/// bind(2) of a socket that has a name. Linux makes the new name before it looks at the old one, so a taken name says so.
pub fn bind_again(current: &Current, name: &UnixName) -> Result<(), Errno> {
    match name {
        UnixName::Unnamed => Ok(()),
        UnixName::Path(path) if fs::lookup(current, Fd::CWD, path, LookupFlags::default()).is_ok() => {
            Err(Errno::EADDRINUSE)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What connecting to a socket of another type gets: abstract names are apart for each type.
pub fn other_type(name: &UnixName) -> Errno {
    if matches!(name, UnixName::Abstract(_)) { Errno::ECONNREFUSED } else { Errno::EPROTOTYPE }
}

fn bind_abstract(network: u32, bytes: Vec<u8>, socket: &Bound) -> Result<UnixName, Errno> {
    let mut names = ABSTRACT.lock();
    let key = (network, bytes.clone());
    if names.get(&key).is_some_and(|bound| bound.strong_count() > 0) {
        return Err(Errno::EADDRINUSE);
    }
    names.insert(key, Arc::downgrade(socket));
    Ok(UnixName::Abstract(bytes))
}

/// The socket is closed: its abstract name is free.
pub fn release(network: u32, name: &UnixName, socket: *const ()) {
    if let UnixName::Abstract(bytes) = name {
        let mut names = ABSTRACT.lock();
        let key = (network, bytes.clone());
        if names.get(&key).is_some_and(|bound| core::ptr::eq(bound.as_ptr().cast::<()>(), socket)) {
            names.remove(&key);
        }
    }
}

/// The socket bound to `name`: ENOENT or ECONNREFUSED where there is none.
pub fn find(current: &Current, network: u32, name: &UnixName) -> Result<Bound, Errno> {
    match name {
        UnixName::Path(path) => {
            let place = fs::lookup(current, Fd::CWD, path, LookupFlags::FOLLOW)?;
            let inode = place.inode();
            fs::permission(&current.creds, &**inode, May::WRITE)?;
            if inode.kind() != FileKind::Socket {
                return Err(Errno::ECONNREFUSED);
            }
            inode.socket_slot().and_then(fs::Slot::get).ok_or(Errno::ECONNREFUSED)
        }
        UnixName::Abstract(bytes) => {
            let found = ABSTRACT.lock().get(&(network, bytes.clone())).cloned();
            found.and_then(|bound| bound.upgrade()).ok_or(Errno::ECONNREFUSED)
        }
        UnixName::Unnamed => Err(Errno::EINVAL),
    }
}

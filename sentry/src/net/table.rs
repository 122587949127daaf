//! All sockets that are files, for those who list them (sock_diag, `/proc/net`).

use super::address::UnixName;
use super::options::Options;
use super::socket::{Kind, Protocol};
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

struct Entry {
    what: (u32, Kind, u32),
    options: Arc<Options>,
    ops: Weak<dyn Protocol>,
}

/// By cookie.
static ALL: Lock<BTreeMap<u64, Entry>> = Lock::new(Rank::SocketTable, BTreeMap::new());

/// A socket that was found.
pub struct Listed {
    /// SO_COOKIE.
    pub cookie: u64,
    /// How it moves bytes.
    pub kind: Kind,
    /// Its family's number for the protocol.
    pub protocol: u32,
    /// Its options.
    pub options: Arc<Options>,
    /// What does the work.
    pub ops: Arc<dyn Protocol>,
}

/// What a unix socket does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Neither connected nor listening.
    Nothing,
    /// Listening.
    Listening,
    /// Connected.
    Talking,
}

/// What a unix socket says of itself.
pub struct UnixRow {
    /// Its name.
    pub name: UnixName,
    /// What it does.
    pub doing: Doing,
    /// The inode of its peer, 0 for none.
    pub peer: u64,
    /// Bytes that wait to be read; of a listener, connections that wait and how many may.
    pub queued: (usize, usize),
}

/// A socket has become a file.
pub fn add(cookie: u64, what: (u32, Kind, u32), options: &Arc<Options>, ops: &Arc<dyn Protocol>) {
    let entry = Entry { what, options: options.clone(), ops: Arc::downgrade(ops) };
    ALL.lock().insert(cookie, entry);
}

/// Its last descriptor is closed.
pub fn remove(cookie: u64) {
    let gone = ALL.lock().remove(&cookie);
    drop(gone);
}

/// Those of a family (AF_*) in the network with this number.
pub fn of(domain: u32, network: u32) -> Vec<Listed> {
    let all = ALL.lock();
    let fits = all.iter().filter(|(_, entry)| entry.what.0 == domain);
    let listed = fits.filter_map(|(cookie, entry)| {
        let (_, kind, protocol) = entry.what;
        Some(Listed { cookie: *cookie, kind, protocol, options: entry.options.clone(), ops: entry.ops.upgrade()? })
    });
    let listed: Vec<Listed> = listed.collect();
    drop(all);
    listed.into_iter().filter(|found| super::NetNs::key(found.options.network()) == network).collect()
}

/// How many there are in the network with this number.
pub fn count(network: u32) -> usize {
    ALL.lock().values().filter(|entry| super::NetNs::key(entry.options.network()) == network).count()
}

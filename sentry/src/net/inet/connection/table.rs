//! The connections there are, by their two ends. Lock: `Rank::SocketTable`.

use super::Connection;
use crate::sync::{Lock, Rank};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use hashbrown::HashMap;

/// Local and remote end.
pub type Ends = (SocketAddr, SocketAddr);

static TABLE: spin::Once<Lock<HashMap<Ends, Arc<Connection>>>> = spin::Once::new();

fn table() -> &'static Lock<HashMap<Ends, Arc<Connection>>> {
    TABLE.call_once(|| Lock::new(Rank::SocketTable, HashMap::new()))
}

/// The connection between these ends.
pub fn find(ends: &Ends) -> Option<Arc<Connection>> {
    table().lock().get(ends).cloned()
}

/// Enters a connection; false where there is one.
pub fn insert(connection: &Arc<Connection>) -> bool {
    let mut table = table().lock();
    let ends = connection.ends();
    if table.contains_key(&ends) {
        return false;
    }
    table.insert(ends, connection.clone());
    true
}

/// Removes this connection, if it is there.
pub fn remove(connection: &Connection) {
    let ends = connection.ends();
    let removed = {
        let mut table = table().lock();
        match table.get(&ends) {
            Some(found) if core::ptr::eq(Arc::as_ptr(found), connection) => table.remove(&ends),
            _ => None,
        }
    };
    drop(removed);
}

/// All of them.
pub fn list() -> Vec<Arc<Connection>> {
    table().lock().values().cloned().collect()
}

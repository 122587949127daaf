//! Who is bound to which address and port.

use super::Family;
use crate::errno::Errno;
use crate::random;
use crate::settings::ephemeral_ports;
use crate::sync::{Lock, Rank};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};

/// What a binding covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// The number of the network.
    network: u32,
    ip: IpAddr,
    /// Any address, of both families.
    dual: bool,
}

impl Scope {
    /// What a socket of `family` bound to `ip` covers.
    pub fn new(network: u32, family: Family, ip: IpAddr, v6_only: bool) -> Self {
        Self { network, ip, dual: family == Family::V6 && ip == Family::V6.any() && !v6_only }
    }

    /// Whether a packet to `to` is for it.
    pub fn covers(&self, to: IpAddr) -> bool {
        self.ip == to || self.dual || self.ip.is_unspecified() && self.ip.is_ipv4() == to.is_ipv4()
    }

    /// Whether it names one address: such a binding goes before one for any.
    pub fn is_specific(&self) -> bool {
        !self.ip.is_unspecified()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.network == other.network && (self.covers(other.ip) || other.covers(self.ip) || self.dual || other.dual)
    }
}

/// How willing a binding is to share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sharing {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT, with other sockets of this user.
    pub reuse_port: Option<u32>,
}

struct Entry<T> {
    id: u64,
    scope: Scope,
    sharing: Sharing,
    listening: Arc<AtomicBool>,
    socket: Weak<T>,
}

/// The bindings of one protocol.
pub struct Ports<T: 'static> {
    table: Lock<Table<T>>,
}

struct Table<T> {
    by_port: BTreeMap<u16, Vec<Entry<T>>>,
    next_id: u64,
}

/// A socket's place in the table; dropping it gives the port back.
pub struct Binding<T: 'static> {
    ports: &'static Ports<T>,
    id: u64,
    /// Where.
    pub local: SocketAddr,
    scope: Scope,
    sharing: Sharing,
    listening: Arc<AtomicBool>,
}

impl<T> Ports<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { table: Lock::new(Rank::SocketTable, Table { by_port: BTreeMap::new(), next_id: 0 }) }
    }

    /// Binds `socket`; port 0 asks for a free one. EADDRINUSE where it is taken.
    pub fn bind(
        &'static self,
        socket: &Weak<T>,
        local: SocketAddr,
        scope: Scope,
        sharing: Sharing,
    ) -> Result<Binding<T>, Errno> {
        let mut table = self.table.lock();
        if local.port() != 0 {
            if table.conflicts(local.port(), &scope, sharing, false) {
                return Err(Errno::EADDRINUSE);
            }
            return Ok(table.insert(self, socket, local, scope, sharing));
        }
        let ports = ephemeral_ports();
        let (first, last) = (u32::from(*ports.start()), u32::from(*ports.end()));
        let count = last - first + 1;
        // The table's lock comes after that of the generator's callers, never the other way round: a mixed counter will do.
        let start = (table.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 % count;
        for step in 0..count {
            let port = u16::try_from(first + (start + step) % count).unwrap_or(*ports.end());
            if !table.conflicts(port, &scope, Sharing { reuse_address: false, reuse_port: None }, true) {
                return Ok(table.insert(self, socket, SocketAddr::new(local.ip(), port), scope, sharing));
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// Another socket at the same place as `binding` (a connection that its listener accepted).
    pub fn share(&'static self, binding: &Binding<T>, socket: &Weak<T>, local: SocketAddr) -> Binding<T> {
        let scope = Scope { network: binding.scope.network, ip: local.ip(), dual: false };
        self.table.lock().insert(self, socket, local, scope, binding.sharing)
    }

    /// The sockets that a packet to `to` is for, best first: those that name the address, then those bound to any.
    pub fn find(&self, network: u32, to: SocketAddr) -> Vec<Arc<T>> {
        let table = self.table.lock();
        let Some(entries) = table.by_port.get(&to.port()) else { return Vec::new() };
        let mut found: Vec<(bool, &Weak<T>)> = entries
            .iter()
            .filter(|entry| entry.scope.network == network && entry.scope.covers(to.ip()))
            .map(|entry| (entry.scope.is_specific(), &entry.socket))
            .collect();
        found.sort_by_key(|(specific, _)| !specific);
        let found: Vec<Weak<T>> = found.into_iter().map(|(_, socket)| socket.clone()).collect();
        drop(table);
        found.iter().filter_map(Weak::upgrade).collect()
    }

    /// All sockets that are bound.
    pub fn all(&self) -> Vec<Arc<T>> {
        let found: Vec<Weak<T>> = {
            let table = self.table.lock();
            table.by_port.values().flatten().map(|entry| entry.socket.clone()).collect()
        };
        found.iter().filter_map(Weak::upgrade).collect()
    }

    /// The listeners that a connection to `to` may go to: all that name the address, else all bound to any.
    pub fn listeners(&self, network: u32, to: SocketAddr) -> Vec<Arc<T>> {
        let table = self.table.lock();
        let Some(entries) = table.by_port.get(&to.port()) else { return Vec::new() };
        let pick = |specific: bool| -> Vec<Weak<T>> {
            let fits = |entry: &&Entry<T>| {
                entry.scope.network == network
                    && entry.scope.covers(to.ip())
                    && entry.scope.is_specific() == specific
                    && entry.listening.load(Ordering::SeqCst)
            };
            entries.iter().filter(fits).map(|entry| entry.socket.clone()).collect()
        };
        let mut found = pick(true);
        if found.is_empty() {
            found = pick(false);
        }
        drop(table);
        found.iter().filter_map(Weak::upgrade).collect()
    }
}

impl<T> Table<T> {
    /// `alone`: nobody may be there at all (ports that were not chosen).
    fn conflicts(&self, port: u16, scope: &Scope, sharing: Sharing, alone: bool) -> bool {
        let Some(entries) = self.by_port.get(&port) else { return false };
        entries.iter().any(|entry| {
            let both_address =
                sharing.reuse_address && entry.sharing.reuse_address && !entry.listening.load(Ordering::SeqCst);
            let both_port = sharing.reuse_port.is_some() && sharing.reuse_port == entry.sharing.reuse_port;
            (alone && entry.scope.network == scope.network)
                || entry.scope.overlaps(scope) && !both_address && !both_port
        })
    }

    fn insert(
        &mut self,
        ports: &'static Ports<T>,
        socket: &Weak<T>,
        local: SocketAddr,
        scope: Scope,
        sharing: Sharing,
    ) -> Binding<T> {
        self.next_id += 1;
        let (id, listening) = (self.next_id, Arc::new(AtomicBool::new(false)));
        let entry = Entry { id, scope, sharing, listening: listening.clone(), socket: socket.clone() };
        self.by_port.entry(local.port()).or_default().push(entry);
        Binding { ports, id, local, scope, sharing, listening }
    }
}

impl<T> Binding<T> {
    /// Starts or stops being found by `listeners`. EADDRINUSE where another socket listens at the same place.
    pub fn set_listening(&self, on: bool) -> Result<(), Errno> {
        let table = self.ports.table.lock();
        let others = table.by_port.get(&self.local.port());
        let taken = on
            && others.into_iter().flatten().any(|entry| {
                entry.id != self.id
                    && entry.listening.load(Ordering::SeqCst)
                    && entry.scope.overlaps(&self.scope)
                    && (entry.sharing.reuse_port.is_none() || entry.sharing.reuse_port != self.sharing.reuse_port)
            });
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        self.listening.store(on, Ordering::SeqCst);
        Ok(())
    }

    /// Narrows it to the address the socket turned out to have.
    pub fn narrow(&mut self, ip: IpAddr) {
        self.local.set_ip(ip);
        self.scope = Scope { network: self.scope.network, ip, dual: false };
        let mut table = self.ports.table.lock();
        let entries = table.by_port.get_mut(&self.local.port());
        if let Some(entry) = entries.into_iter().flatten().find(|entry| entry.id == self.id) {
            entry.scope = self.scope;
        }
    }
}

impl<T> Drop for Binding<T> {
    fn drop(&mut self) {
        let mut table = self.ports.table.lock();
        let port = self.local.port();
        if let Some(entries) = table.by_port.get_mut(&port) {
            entries.retain(|entry| entry.id != self.id);
            if entries.is_empty() {
                table.by_port.remove(&port);
            }
        }
    }
}

/// A number to choose one of several listeners with.
pub fn choice(of: usize) -> usize {
    if of <= 1 { 0 } else { (random::next_u64() % of as u64) as usize }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Ports, Scope, Sharing};
    use crate::errno::Errno;
    use crate::fake;
    use crate::net::inet::Family;
    use std::boxed::Box;
    use std::sync::Arc;

    const ALONE: Sharing = Sharing { reuse_address: false, reuse_port: None };
    const REUSE: Sharing = Sharing { reuse_address: true, reuse_port: None };

    fn bind(ports: &'static Ports<u8>, socket: &Arc<u8>, at: &str, sharing: Sharing) -> Result<Binding<u8>, Errno> {
        let at: core::net::SocketAddr = at.parse().unwrap();
        let family = if at.is_ipv4() { Family::V4 } else { Family::V6 };
        ports.bind(&Arc::downgrade(socket), at, Scope::new(0, family, at.ip(), false), sharing)
    }

    #[test]
    fn ports_are_shared_as_far_as_their_addresses_and_options_allow() {
        fake::install();
        let ports: &'static Ports<u8> = Box::leak(Box::new(Ports::new()));
        let socket = Arc::new(7);
        let first = bind(ports, &socket, "127.0.0.1:80", ALONE).unwrap();
        assert_eq!(bind(ports, &socket, "127.0.0.1:80", ALONE).err(), Some(Errno::EADDRINUSE));
        assert_eq!(bind(ports, &socket, "0.0.0.0:80", REUSE).err(), Some(Errno::EADDRINUSE));
        assert_eq!(bind(ports, &socket, "[::]:80", ALONE).err(), Some(Errno::EADDRINUSE));
        let _second = bind(ports, &socket, "127.0.0.2:80", ALONE).unwrap();
        drop(first);
        let first = bind(ports, &socket, "127.0.0.1:80", REUSE).unwrap();
        let again = bind(ports, &socket, "127.0.0.1:80", REUSE).unwrap();
        first.set_listening(true).unwrap();
        assert_eq!(again.set_listening(true), Err(Errno::EADDRINUSE));
        assert_eq!(bind(ports, &socket, "127.0.0.1:80", REUSE).err(), Some(Errno::EADDRINUSE));
        assert_eq!(ports.listeners(0, "127.0.0.1:80".parse().unwrap()).len(), 1);
    }

    #[test]
    fn a_port_nobody_chose_is_free_and_ephemeral() {
        fake::install();
        let ports: &'static Ports<u8> = Box::leak(Box::new(Ports::new()));
        let socket = Arc::new(7);
        let first = bind(ports, &socket, "127.0.0.1:0", ALONE).unwrap();
        let second = bind(ports, &socket, "127.0.0.1:0", ALONE).unwrap();
        assert_ne!(first.local.port(), second.local.port());
        assert!(super::ephemeral_ports().contains(&first.local.port()));
    }
}

//! Network namespaces of a program's own (network_namespaces(7)): a loopback interface that is down at first, and nothing else.
//!
//! Ports, addresses and abstract names are kept in the tables that are there for the first namespace, by the namespace's
//! number; `None` is the first.

use super::interfaces::Own;
use crate::sync::{Lock, Rank};
use crate::task::{Cap, Current, UserSpace};
use crate::uts::namespace_number;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::netlink::rt_scope_t;

/// The first one's number: Linux gives it the first dynamic one (fs/proc/generic.c: PROC_DYNAMIC_FIRST and what boot took).
const INITIAL_NUMBER: u32 = 0xf000_0000;

/// A network namespace.
pub struct NetNs {
    number: u32,
    owner: UserSpace,
    up: AtomicBool,
    addresses: Lock<Vec<Own>>,
}

impl NetNs {
    /// A new one.
    pub fn new(owner: UserSpace) -> Arc<Self> {
        let addresses = Lock::new(Rank::Leaf, Vec::new());
        Arc::new(Self { number: namespace_number(), owner, up: AtomicBool::new(false), addresses })
    }

    /// Whose capabilities count.
    pub fn owner(&self) -> &UserSpace {
        &self.owner
    }

    /// The number in `/proc/PID/ns`.
    pub fn number(space: &Option<Arc<Self>>) -> u32 {
        space.as_ref().map_or(INITIAL_NUMBER, |ns| ns.number)
    }

    /// The number by which tables keep networks apart, 0 for the first.
    #[inline]
    pub fn key(space: &Option<Arc<Self>>) -> u32 {
        space.as_ref().map_or(0, |ns| ns.number)
    }

    /// That of the caller.
    pub fn of(current: &Current) -> Option<Arc<Self>> {
        current.task.spaces().net.clone()
    }

    /// Whether the caller has the capability over its own network.
    pub fn holds(current: &Current, cap: Cap) -> bool {
        match Self::of(current) {
            None => current.creds.has(cap),
            Some(ns) => current.creds.has_in(&ns.owner, cap),
        }
    }

    /// Whether its loopback interface is up.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Turns its loopback interface on or off. It gets its addresses with the first.
    pub fn set_up(&self, up: bool) {
        let was = self.up.swap(up, Ordering::Relaxed);
        if up && !was {
            let scope = rt_scope_t::RT_SCOPE_HOST as u8;
            self.add(Own { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8, scope });
            self.add(Own { ip: Ipv6Addr::LOCALHOST.into(), prefix: 128, scope });
        }
    }

    /// The addresses of its loopback interface.
    pub fn addresses(&self) -> Vec<Own> {
        self.addresses.lock().clone()
    }

    /// Adds an address; false where it is there.
    pub fn add(&self, own: Own) -> bool {
        let mut all = self.addresses.lock();
        let new = !all.iter().any(|other| other.ip == own.ip);
        if new {
            all.push(own);
        }
        new
    }

    /// Takes an address away; false where it is not there.
    pub fn remove(&self, ip: IpAddr) -> bool {
        let mut all = self.addresses.lock();
        let before = all.len();
        all.retain(|own| own.ip != ip);
        all.len() != before
    }
}

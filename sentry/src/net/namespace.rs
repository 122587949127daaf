//! Network namespaces of a program's own (network_namespaces(7)): a loopback interface that is down at first, and nothing else.
//!
//! Ports, addresses and abstract names are kept in the tables that are there for the first namespace, by the namespace's
//! number; `None` is the first.

use super::interfaces::Interface;
use super::stack::Routes;
use crate::task::{Cap, Current, UserSpace};
use crate::uts::namespace_number;
use alloc::sync::Arc;

/// The first one's number: Linux gives it the first dynamic one (fs/proc/generic.c: PROC_DYNAMIC_FIRST and what boot took).
const INITIAL_NUMBER: u32 = 0xf000_0000;

/// A network namespace.
pub struct NetNs {
    number: u32,
    owner: UserSpace,
    loopback: Interface,
    routes: Routes,
}

impl NetNs {
    /// A new one.
    pub fn new(owner: UserSpace) -> Arc<Self> {
        let (loopback, routes) = (Interface::loopback(false), Routes::new());
        Arc::new(Self { number: namespace_number(), owner, loopback, routes })
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

    /// Its loopback interface.
    pub fn loopback(&self) -> &Interface {
        &self.loopback
    }

    /// What routes it has.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }
}

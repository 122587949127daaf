//! Routing tables: those that were taken over, and what programs made of them. `reroute` changes them.
//!
//! What leads to an interface's own addresses (the table `local`) is not kept here but follows from the addresses; routes that
//! programs put into that table are kept. Lock: `Rank::Leaf`.

use super::Hop;
use crate::errno::Errno;
use crate::net::NetNs;
use crate::net::interfaces::{self, Interface, interfaces, is_in};
use crate::sync::{Rank, RwLock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::spec::{NetworkSpec, RouteSpec};
use linux_raw_sys::netlink as nl;

/// RT_TABLE_*, in the order in which the rules that there are lead to them.
pub const LOCAL: u32 = nl::rt_class_t::RT_TABLE_LOCAL as u32;
#[allow(missing_docs)]
pub const MAIN: u32 = nl::rt_class_t::RT_TABLE_MAIN as u32;
#[allow(missing_docs)]
pub const DEFAULT: u32 = nl::rt_class_t::RT_TABLE_DEFAULT as u32;
/// Routes of one network at most.
const MAX_ROUTES: usize = 16384;

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it says.
    pub spec: RouteSpec,
    /// Its table.
    pub table: u32,
    /// Its gateway is on the link, whatever the addresses say (RTNH_F_ONLINK).
    pub onlink: bool,
}

impl Entry {
    /// One of RTN_*.
    pub fn is(&self, kind: u32) -> bool {
        u32::from(self.spec.kind) == kind
    }

    /// Whether it says that nothing goes there.
    pub fn is_refusal(&self) -> bool {
        matches!(u32::from(self.spec.kind), BLACKHOLE | UNREACHABLE | PROHIBIT | THROW)
    }

    /// Whether the two are one as far as the order goes: same table, network and metric.
    pub fn same_place(&self, other: &Self) -> bool {
        let place = |entry: &Self| (entry.table, entry.spec.to, entry.spec.prefix, entry.spec.metric);
        place(self) == place(other)
    }

    /// Best first: by table, longest prefix, least metric.
    fn order(&self) -> (u8, u8, u32) {
        let table = match self.table {
            LOCAL => 0,
            MAIN => 1,
            DEFAULT => 2,
            _ => 3,
        };
        (table, u8::MAX - self.spec.prefix, self.spec.metric)
    }
}

/// The routes of a network.
pub struct Routes {
    entries: RwLock<Vec<Entry>>,
    /// Whether there ever was one that leads here.
    has_local: AtomicBool,
}

static FIRST: spin::Once<Routes> = spin::Once::new();

impl Default for Routes {
    fn default() -> Self {
        Self::new()
    }
}

impl Routes {
    /// None.
    pub const fn new() -> Self {
        Self { entries: RwLock::new(Rank::Leaf, Vec::new()), has_local: AtomicBool::new(false) }
    }

    fn of_spec(routes: &[RouteSpec]) -> Self {
        let new = Self::new();
        let entries = routes.iter().map(|spec| Entry { spec: *spec, table: MAIN, onlink: false });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by_key(Entry::order);
        *new.entries.write() = entries;
        new
    }

    /// All, best first.
    pub fn list(&self) -> Vec<Entry> {
        self.entries.read().clone()
    }

    /// All, as Linux's tables show them: by network, then best first.
    pub fn shown(&self) -> Vec<Entry> {
        let mut all = self.list();
        all.sort_by_key(|entry| (entry.spec.to, entry.order()));
        all
    }

    /// Puts one in, before or behind those that are as good. ENOBUFS where there are too many.
    pub fn insert(&self, entry: Entry, last: bool) -> Result<(), Errno> {
        let mut entries = self.entries.write();
        if entries.len() >= MAX_ROUTES {
            return Err(Errno::ENOBUFS);
        }
        let order = entry.order();
        let at = entries.partition_point(|other| other.order() < order || last && other.order() == order);
        entries.insert(at, entry);
        if entry.is(nl::RTN_LOCAL as u32) {
            self.has_local.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes out the first for which this is so.
    pub fn take(&self, is_it: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let mut entries = self.entries.write();
        let at = entries.iter().position(is_it)?;
        Some(entries.remove(at))
    }

    /// Takes out all for which this is so.
    pub fn take_all(&self, is_it: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.entries.write().extract_if(.., |entry| is_it(entry)).collect()
    }

    /// The first table's answer that is one: `usable` says which ways out can be gone.
    pub fn find(&self, to: IpAddr, usable: impl Fn(&Entry) -> bool) -> Result<Option<Entry>, Errno> {
        let entries = self.entries.read();
        let mut passed = None;
        for entry in entries.iter().filter(|entry| is_in(to, entry.spec.to, entry.spec.prefix)) {
            if passed == Some(entry.table) {
                continue;
            }
            match u32::from(entry.spec.kind) {
                _ if entry.order().0 > 2 => break,
                BLACKHOLE => return Err(Errno::EINVAL),
                UNREACHABLE => return Err(Errno::EHOSTUNREACH),
                PROHIBIT => return Err(Errno::EACCES),
                // Not by this table.
                THROW => passed = Some(entry.table),
                LEADS_HERE => return Ok(Some(*entry)),
                _ if usable(entry) => return Ok(Some(*entry)),
                _ => {}
            }
        }
        Ok(None)
    }
}

const LEADS_HERE: u32 = nl::RTN_LOCAL as u32;
const BLACKHOLE: u32 = nl::RTN_BLACKHOLE as u32;
const UNREACHABLE: u32 = nl::RTN_UNREACHABLE as u32;
const PROHIBIT: u32 = nl::RTN_PROHIBIT as u32;
const THROW: u32 = nl::RTN_THROW as u32;

/// Says what routes there are. Counts only once, before anybody has looked.
pub fn set_up(spec: &NetworkSpec) {
    FIRST.call_once(|| {
        let known: Vec<RouteSpec> =
            spec.routes.iter().filter(|route| interfaces::by_index(route.interface).is_some()).copied().collect();
        Routes::of_spec(&known)
    });
}

fn first() -> &'static Routes {
    #[cfg(test)]
    let none = || Routes::of_spec(&super::tests::routes());
    #[cfg(not(test))]
    let none = Routes::new;
    FIRST.call_once(none)
}

/// The routes of a network.
pub fn routes(network: &Option<Arc<NetNs>>) -> &Routes {
    network.as_ref().map_or_else(|| first(), |network| network.routes())
}

/// Whether a route says that packets to `to` are for this sandbox.
pub fn is_local(to: IpAddr) -> bool {
    let routes = first();
    routes.has_local.load(Ordering::Relaxed)
        && routes
            .entries
            .read()
            .iter()
            .any(|entry| entry.table == LOCAL && entry.is(LEADS_HERE) && is_in(to, entry.spec.to, entry.spec.prefix))
}

/// Where packets to `to` go next and what source they have; only through `device` where one is given. ENETUNREACH where there is
/// no way, or what a route says.
pub fn lookup(to: IpAddr, device: Option<u32>) -> Result<(Hop, IpAddr), Errno> {
    let may = |interface: &Interface| {
        interface.link.is_some() && interface.is_up() && device.is_none_or(|device| device == interface.index)
    };
    let usable = |entry: &Entry| interfaces::by_index(entry.spec.interface).is_some_and(may);
    if let Some(Entry { spec, .. }) = first().find(to, usable)?
        && u32::from(spec.kind) != LEADS_HERE
        && let Some(interface) = interfaces::by_index(spec.interface)
    {
        let next = spec.gateway.unwrap_or(to);
        let source = spec.source.filter(|source| source.is_ipv4() == to.is_ipv4());
        let source = source.or_else(|| interface.source_for(next)).or_else(|| interface.source_for(to));
        // One without an address of its own borrows another's (inet_select_addr).
        let others = || interfaces().iter().filter(|other| other.link.is_some() && other.is_up());
        let source = source.or_else(|| others().find_map(|other| other.source_for(to))).ok_or(Errno::ENETUNREACH)?;
        return Ok((Hop { interface, next }, source));
    }
    // A packet for a group or everybody, or bound to a device, needs no route.
    let routeless = device.is_some() || to == IpAddr::from([255; 4]) || is_link_wide(to);
    let interface = interfaces().iter().find(|interface| routeless && may(interface)).ok_or(Errno::ENETUNREACH)?;
    Ok((Hop { interface, next: to }, interface.source_for(to).ok_or(Errno::ENETUNREACH)?))
}

fn is_link_wide(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast() || interfaces::is_link_local(ip),
    }
}

//! The routes that were taken over. They stay as they are.

use super::Hop;
use crate::net::interfaces::{self, Interface, interfaces, is_in};
use alloc::vec::Vec;
use core::net::IpAddr;
use linker::spec::{NetworkSpec, RouteSpec};

/// A route of the main table.
pub struct Entry {
    /// What was taken over.
    pub spec: RouteSpec,
    /// Its interface.
    pub interface: &'static Interface,
}

static ROUTES: spin::Once<Vec<Entry>> = spin::Once::new();

/// Says what routes there are. Counts only once, before anybody has looked.
pub fn set_up(spec: &NetworkSpec) {
    ROUTES.call_once(|| {
        let known = |route: &RouteSpec| Some(Entry { spec: *route, interface: interfaces::by_index(route.interface)? });
        let mut routes: Vec<Entry> = spec.routes.iter().filter_map(known).collect();
        // The first that fits is the best: longest prefix, least metric.
        routes.sort_by_key(|route| (u8::MAX - route.spec.prefix, route.spec.metric));
        routes
    });
}

/// All routes, best first.
pub fn routes() -> &'static [Entry] {
    #[cfg(test)]
    let none = super::tests::routes;
    #[cfg(not(test))]
    let none = Vec::new;
    ROUTES.call_once(none)
}

/// Where packets to `to` go next and what source they have; only through `device` where one is given.
pub fn lookup(to: IpAddr, device: Option<u32>) -> Option<(Hop, IpAddr)> {
    let may = |interface: &Interface| interface.link.is_some() && device.is_none_or(|device| device == interface.index);
    let fits = |route: &&Entry| may(route.interface) && is_in(to, route.spec.to, route.spec.prefix);
    if let Some(Entry { spec, interface }) = routes().iter().find(fits) {
        let next = spec.gateway.unwrap_or(to);
        let source = spec.source.filter(|source| source.is_ipv4() == to.is_ipv4());
        let source = source.or_else(|| interface.source_for(next)).or_else(|| interface.source_for(to))?;
        return Some((Hop { interface, next }, source));
    }
    // A packet for a group or everybody, or bound to a device, needs no route.
    let routeless = device.is_some() || to == IpAddr::from([255; 4]) || is_link_wide(to);
    let interface = interfaces().iter().find(|interface| routeless && may(interface))?;
    Some((Hop { interface, next: to }, interface.source_for(to)?))
}

fn is_link_wide(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast() || interfaces::is_link_local(ip),
    }
}

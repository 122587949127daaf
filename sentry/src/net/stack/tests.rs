//! The stack against another one, over a wire that is a list.

use super::link::Link;
use super::routes::Entry;
use crate::net::interfaces::{self, Interface, Own};
use core::net::IpAddr;
use linker::spec::RouteSpec;
use std::vec::Vec;

/// The interface of all tests: 198.51.100.2/24 and 2001:db8:7::2/64.
pub fn interface() -> Interface {
    Interface {
        name: b"eth0".to_vec(),
        index: 2,
        flags: 0x11043,
        mtu: 1500,
        queue_length: 1000,
        addresses: [
            Own { ip: [198, 51, 100, 2].into(), prefix: 24, scope: 0 },
            Own { ip: "2001:db8:7::2".parse().expect("an address"), prefix: 64, scope: 0 },
        ]
        .into(),
        link: Some(Link::to_list([2, 0, 0, 0, 0, 2])),
    }
}

/// Its routes.
pub fn routes() -> Vec<Entry> {
    let interface = interfaces::by_index(2).expect("the interface of all tests");
    let networks: [(IpAddr, u8); 2] =
        [([198, 51, 100, 0].into(), 24), ("2001:db8:7::".parse().expect("an address"), 64)];
    let route = |(to, prefix)| RouteSpec {
        to,
        prefix,
        gateway: None,
        interface: 2,
        source: None,
        metric: 0,
        protocol: 2,
        scope: 253,
        kind: 1,
    };
    networks.map(route).map(|spec| Entry { spec, interface }).into()
}

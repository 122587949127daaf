//! Taking over the network of the calling process's network namespace: what interfaces, addresses, routes and neighbours there
//! are goes into the start specification, a packet socket on each interface to the sandbox process, and the addresses off the
//! host's interfaces, so that the host's kernel neither answers for them nor resets connections it knows nothing of.
//!
//! Nothing is put back: the namespace is the container's, and dies with it.

mod packet;
mod relay;
mod rtnetlink;

pub use relay::name_servers;

use linker::spec::{AddressSpec, InterfaceSpec, NeighbourSpec, NetworkSpec, RelaySpec, RouteSpec};
use linux_raw_sys::net::net_device_flags;
use linux_raw_sys::netlink as nl;
use rtnetlink::{Message, Route};
use rustix::io::Errno;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::Path;

/// File handle of the first socket: behind the standard streams.
pub const FIRST_SOCKET: u32 = 3;
/// ARPHRD_ETHER (netdevice(7)).
const ETHERNET: u16 = 1;
/// What a device without a queue of its own says (DEFAULT_TX_QUEUE_LEN of the kernel).
const QUEUE_LENGTH: u32 = 1000;

/// A network that was taken over.
#[derive(Debug, Default)]
pub struct Taken {
    /// For the sentry; interfaces name their sockets by file handle, from `FIRST_SOCKET` on.
    pub spec: NetworkSpec,
    /// The packet sockets, and those to services on the loopback, in that order.
    pub sockets: Vec<OwnedFd>,
}

/// Why a network cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("network: {0}: {1}")]
    Call(&'static str, Errno),
    /// An interface's socket.
    #[error("network: packet socket on {0}: {1}")]
    Socket(String, Errno),
    /// A socket to a name server.
    #[error("network: socket to {0}: {1}")]
    Relay(IpAddr, Errno),
    /// An address stays where it is.
    #[error("network: taking {0} off {1}: {2}")]
    Address(IpAddr, String, Errno),
    /// The caller's own network would be gone.
    #[error(
        "--network=sandbox takes a network namespace's addresses away from the host's kernel, and this one is the whole system's: \
         start in one of its own (ip netns exec, unshare -n), or with --network=host"
    )]
    WholeSystem,
}

fn call(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call(what, errno)
}

/// A parameter that only the namespace which Linux began with has (net/core/sysctl_net_core.c: net_core_table).
const FIRST_ONLY: &str = "/proc/sys/net/core/netdev_max_backlog";

/// Fails where the caller's network namespace is the first process's, or the one that Linux began with: its network is not ours to
/// take. An engine's "host" network arrives here as a namespace like any other, given by a path.
pub fn refuse_whole_system() -> Result<(), Error> {
    let inode = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let own = inode("/proc/self/ns/net").map_err(call("/proc/self/ns/net"))?;
    // The first process may be one that nobody may look at.
    let is_first = inode("/proc/1/ns/net").is_ok_and(|first| first == own) || Path::new(FIRST_ONLY).exists();
    if is_first { Err(Error::WholeSystem) } else { Ok(()) }
}

/// Takes over the network of the calling process's network namespace, with what `name_servers` are on its loopback.
pub fn take_over(name_servers: &[IpAddr]) -> Result<Taken, Error> {
    let mut route = Route::open().map_err(call("netlink socket"))?;
    let links = route.dump(nl::RTM_GETLINK as u32, size_of::<nl::ifinfomsg>()).map_err(call("links"))?;
    let addresses = route.dump(nl::RTM_GETADDR as u32, size_of::<nl::ifaddrmsg>()).map_err(call("addresses"))?;
    let routes = route.dump(nl::RTM_GETROUTE as u32, size_of::<nl::rtmsg>()).map_err(call("routes"))?;
    let neighbours = route.dump(nl::RTM_GETNEIGH as u32, size_of::<nl::ndmsg>()).map_err(call("neighbours"))?;

    let mut taken = Taken::default();
    for mut interface in links.iter().filter_map(interface) {
        let name = String::from_utf8_lossy(&interface.name).into_owned();
        let own: Vec<&Message> =
            addresses.iter().filter(|a| a.u32(offset_of!(nl::ifaddrmsg, ifa_index)) == interface.index).collect();
        interface.addresses = own.iter().filter_map(|message| address(message)).collect();
        interface.socket = Some(FIRST_SOCKET + taken.sockets.len() as u32);
        taken.sockets.push(packet::open(interface.index).map_err(|errno| Error::Socket(name.clone(), errno))?);
        quieten(&name);
        for message in own {
            match (route.remove_address(message), address(message)) {
                // Gone already: with IPv6, or a secondary address with its primary one.
                (Ok(()) | Err(Errno::ADDRNOTAVAIL), _) | (_, None) => {}
                (Err(errno), Some(address)) => return Err(Error::Address(address.ip, name, errno)),
            }
        }
        taken.spec.interfaces.push(interface);
    }
    let known = |index: u32| taken.spec.interfaces.iter().any(|interface| interface.index == index);
    taken.spec.routes = routes.iter().filter_map(route_spec).filter(|route| known(route.interface)).collect();
    taken.spec.neighbours =
        neighbours.iter().filter_map(neighbour).filter(|neighbour| known(neighbour.interface)).collect();
    for ip in name_servers.iter().filter(|ip| ip.is_loopback()) {
        let Some((to, sockets)) = relay::open(*ip).map_err(|errno| Error::Relay(*ip, errno))? else { continue };
        let first = FIRST_SOCKET + taken.sockets.len() as u32;
        let handles = (first..).take(sockets.len()).collect();
        taken.spec.relays.push(RelaySpec { to, sockets: handles });
        taken.sockets.extend(sockets);
    }
    Ok(taken)
}

/// What is there, left as it is: for showing, where the sockets are the host's.
pub fn look() -> Result<NetworkSpec, Error> {
    let mut route = Route::open().map_err(call("netlink socket"))?;
    let links = route.dump(nl::RTM_GETLINK as u32, size_of::<nl::ifinfomsg>()).map_err(call("links"))?;
    let addresses = route.dump(nl::RTM_GETADDR as u32, size_of::<nl::ifaddrmsg>()).map_err(call("addresses"))?;
    let routes = route.dump(nl::RTM_GETROUTE as u32, size_of::<nl::rtmsg>()).map_err(call("routes"))?;
    let mut spec = NetworkSpec { host: true, ..NetworkSpec::default() };
    for mut interface in links.iter().filter_map(interface) {
        let own = addresses.iter().filter(|a| a.u32(offset_of!(nl::ifaddrmsg, ifa_index)) == interface.index);
        interface.addresses = own.filter_map(address).collect();
        spec.interfaces.push(interface);
    }
    let known = |index: u32| spec.interfaces.iter().any(|interface| interface.index == index);
    spec.routes = routes.iter().filter_map(route_spec).filter(|route| known(route.interface)).collect();
    Ok(spec)
}

/// No IPv6 of the host's own on the interface: no answers, no advertisements listened to. Where /proc/sys cannot be written,
/// taking the addresses off is what there is.
fn quieten(name: &str) {
    if !name.contains(['/', '.']) {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    }
}

/// An Ethernet interface that is up.
fn interface(link: &Message) -> Option<InterfaceSpec> {
    let flags = link.u32(offset_of!(nl::ifinfomsg, ifi_flags));
    let is_up = flags & net_device_flags::IFF_UP as u32 != 0;
    if link.u16(offset_of!(nl::ifinfomsg, ifi_type)) != ETHERNET || !is_up {
        return None;
    }
    Some(InterfaceSpec {
        name: link.string(nl::IFLA_IFNAME as u32)?,
        index: link.u32(offset_of!(nl::ifinfomsg, ifi_index)),
        flags,
        mtu: link.number(nl::IFLA_MTU as u32)?,
        queue_length: link.number(nl::IFLA_TXQLEN as u32).unwrap_or(QUEUE_LENGTH),
        mac: link.mac(nl::IFLA_ADDRESS as u32)?,
        addresses: Vec::new(),
        socket: None,
    })
}

fn address(message: &Message) -> Option<AddressSpec> {
    // On a point-to-point link IFA_ADDRESS is the other end.
    let ip = message.address(nl::IFA_LOCAL as u32).or_else(|| message.address(nl::IFA_ADDRESS as u32))?;
    Some(AddressSpec {
        ip,
        prefix: message.u8(offset_of!(nl::ifaddrmsg, ifa_prefixlen)),
        scope: message.u8(offset_of!(nl::ifaddrmsg, ifa_scope)),
    })
}

/// A unicast route of the main table.
fn route_spec(message: &Message) -> Option<RouteSpec> {
    let table = u32::from(message.u8(offset_of!(nl::rtmsg, rtm_table)));
    let table = message.number(nl::rtattr_type_t::RTA_TABLE as u32).unwrap_or(table);
    let kind = message.u8(offset_of!(nl::rtmsg, rtm_type));
    if table != nl::rt_class_t::RT_TABLE_MAIN as u32 || u32::from(kind) != nl::RTN_UNICAST as u32 {
        return None;
    }
    let any = match i32::from(message.u8(offset_of!(nl::rtmsg, rtm_family))) {
        libc::AF_INET => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        libc::AF_INET6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    Some(RouteSpec {
        to: message.address(nl::rtattr_type_t::RTA_DST as u32).unwrap_or(any),
        prefix: message.u8(offset_of!(nl::rtmsg, rtm_dst_len)),
        gateway: message.address(nl::rtattr_type_t::RTA_GATEWAY as u32),
        interface: message.number(nl::rtattr_type_t::RTA_OIF as u32)?,
        source: message.address(nl::rtattr_type_t::RTA_PREFSRC as u32),
        metric: message.number(nl::rtattr_type_t::RTA_PRIORITY as u32).unwrap_or(0),
        protocol: message.u8(offset_of!(nl::rtmsg, rtm_protocol)),
        scope: message.u8(offset_of!(nl::rtmsg, rtm_scope)),
        kind,
    })
}

/// An entry that somebody made; those that the kernel found out are found out again.
fn neighbour(message: &Message) -> Option<NeighbourSpec> {
    if u32::from(message.u16(offset_of!(nl::ndmsg, ndm_state))) & nl::NUD_PERMANENT == 0 {
        return None;
    }
    Some(NeighbourSpec {
        ip: message.address(nl::NDA_DST as u32)?,
        mac: message.mac(nl::NDA_LLADDR as u32)?,
        interface: message.u32(offset_of!(nl::ndmsg, ndm_ifindex)),
    })
}

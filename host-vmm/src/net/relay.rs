//! Name servers on the loopback of the container's network namespace (Docker has one at 127.0.0.11): sockets that are connected to
//! them, made while this process may still make any. The loopback inside is the sentry's own, which hands on what is meant for them.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Sockets of the sandbox that may wait for an answer at a time.
const SOCKETS: usize = 8;
/// The port of the domain name system (RFC 1035).
const DOMAIN: u16 = 53;
/// Bytes of resolv.conf(5) that are looked at.
const MAX_BYTES: u64 = 64 << 10;

/// The name servers in the resolv.conf(5) at `path` below `root`; none where there is no such file.
pub fn name_servers(root: &Path, path: &Path) -> Vec<IpAddr> {
    let text = || -> Result<String, std::io::Error> {
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        // Where it is a FIFO, nobody waits for it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = path.strip_prefix("/").unwrap_or(path);
        let file = std::fs::File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?);
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    text().map_or_else(|_| Vec::new(), |text| parse(&text))
}

fn parse(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| if words.next()? == "nameserver" { words.next()?.parse().ok() } else { None })
        .collect()
}

/// Sockets that are connected to a name server; `None` where the namespace's loopback does not lead anywhere.
pub fn open(ip: IpAddr) -> Result<Option<(SocketAddr, Vec<OwnedFd>)>, Errno> {
    let to = SocketAddr::new(ip, DOMAIN);
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        match rustix::net::connect(&socket, &to) {
            Ok(()) => sockets.push(socket),
            Err(Errno::NETUNREACH | Errno::ADDRNOTAVAIL) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some((to, sockets)))
}

#[cfg(test)]
mod tests {
    use super::{name_servers, parse};
    use std::path::Path;

    #[test]
    fn name_servers_are_read_as_the_resolver_does() {
        let text = "# none\nsearch a b\nnameserver 127.0.0.11\n nameserver\t::1 # why\noptions ndots:0\nnameserver x\nnameserver";
        let expected: [std::net::IpAddr; 2] = [[127, 0, 0, 11].into(), std::net::Ipv6Addr::LOCALHOST.into()];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn a_link_in_the_root_does_not_lead_out_of_it() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(directory.path().join("root/etc")).expect("made");
        std::fs::write(directory.path().join("outside"), "nameserver 127.0.0.1").expect("written");
        let link = directory.path().join("root/etc/resolv.conf");
        std::os::unix::fs::symlink(directory.path().join("outside"), link).expect("made");
        assert!(name_servers(&directory.path().join("root"), Path::new("/etc/resolv.conf")).is_empty());
        assert_eq!(name_servers(directory.path(), Path::new("/outside")).len(), 1);
    }
}

//! Services on the loopback of the container's network namespace that the host runs there, such as Docker's name server at
//! 127.0.0.11. Nobody inside can be at the other end of that loopback, so the host passed in datagram sockets that are connected
//! to the service, and what a socket of the sandbox sends there goes through one of them, unless somebody inside is bound to the place.
//!
//! A socket inside has a wire to itself for as long as it sends; then who comes next takes over the wire that was idle the longest.
//! Locks: a wire's `user` is a leaf, held for no request to the host.

use super::udp::Udp;
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::net::stack::{Cause, Unreachable};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use linker::request::OFFSET_STREAM;
use linker::spec::{NetworkSpec, RelaySpec};

/// Bytes of a datagram at most.
const ROOM: usize = 64 << 10;

static RELAYS: spin::Once<Vec<Relay>> = spin::Once::new();

/// A service, and the sockets that lead there.
pub struct Relay {
    to: SocketAddr,
    wires: Vec<Wire>,
}

struct Wire {
    file: File,
    user: Lock<User>,
}

/// Who uses a wire.
#[derive(Default)]
struct User {
    /// The socket's address inside.
    from: Option<SocketAddr>,
    used_ns: u64,
    /// A thread listens.
    heard: bool,
}

/// Takes over what the start specification names.
pub fn set_up(spec: &NetworkSpec) {
    RELAYS.call_once(|| spec.relays.iter().map(Relay::new).collect());
}

/// The service at `to` that is outside, if there is one.
pub fn find(to: SocketAddr) -> Option<&'static Relay> {
    RELAYS.get()?.iter().find(|relay| relay.to == to)
}

impl Relay {
    fn new(spec: &RelaySpec) -> Self {
        let wire = |socket: &u32| Wire { file: File::adopt(*socket), user: Lock::new(Rank::Leaf, User::default()) };
        Self { to: spec.to, wires: spec.sockets.iter().map(wire).collect() }
    }

    /// Sends a datagram of the socket at `from`. What the host does not take is lost, as datagrams may be. May sleep.
    pub fn send(&'static self, from: SocketAddr, data: &[u8]) {
        let Some(wire) = self.wire_for(from, platform().monotonic_ns()) else { return };
        if let Err(errno) = wire.file.write(OFFSET_STREAM, data) {
            self.failed(from, errno);
        }
    }

    /// The wire that `from` has, or gets.
    fn wire_for(&'static self, from: SocketAddr, now_ns: u64) -> Option<&'static Wire> {
        let own = self.wires.iter().find(|wire| wire.user.lock().from == Some(from));
        // Zero is long ago: a wire that nobody had goes first.
        let wire = own.or_else(|| self.wires.iter().min_by_key(|wire| wire.user.lock().used_ns))?;
        let heard = {
            let mut user = wire.user.lock();
            (user.from, user.used_ns) = (Some(from), now_ns);
            core::mem::replace(&mut user.heard, true)
        };
        if !heard && platform().spawn(false, Box::new(move || self.listen(wire))).is_err() {
            wire.user.lock().heard = false;
            return None;
        }
        Some(wire)
    }

    /// A wire's life: hands on what comes.
    fn listen(&self, wire: &Wire) {
        self.hear(wire);
        wire.user.lock().heard = false;
    }

    fn hear(&self, wire: &Wire) {
        let mut buffer = vec![0; ROOM];
        loop {
            let result = wire.file.read_stream(&mut buffer);
            let Some(from) = wire.user.lock().from else { continue };
            match result {
                Ok(len) => Udp::relayed(self.to, from, buffer.get(..len).unwrap_or_default()),
                Err(Errno::EAGAIN) => {
                    if wire.file.poll(linux_raw_sys::general::POLLIN, false).is_err() {
                        return;
                    }
                }
                Err(Errno::ECONNREFUSED) => self.failed(from, Errno::ECONNREFUSED),
                Err(_) => return,
            }
        }
    }

    fn failed(&self, from: SocketAddr, errno: Errno) {
        if errno == Errno::ECONNREFUSED {
            let cause = Cause::here(Unreachable::Port, self.to.ip());
            Udp::undelivered(&None, (from, self.to), cause, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Relay, Udp};
    use crate::errno::Errno;
    use crate::fake::{self, machine};
    use core::net::SocketAddr;
    use linker::request::Op;
    use linker::spec::RelaySpec;
    use std::boxed::Box;
    use std::sync::{Arc, Mutex};
    use std::vec::Vec;

    #[test]
    fn a_socket_keeps_its_wire_and_the_longest_idle_goes_to_the_next() {
        fake::install();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = sent.clone();
        machine().set_host(move |request, input, _| match Op::from_raw(request.op) {
            Some(Op::Write) => {
                log.lock().unwrap().push((request.handle, input.to_vec()));
                Ok(input.len() as u64)
            }
            // Nothing ever comes; the listeners end.
            Some(Op::Read) => Err(Errno::EAGAIN),
            _ => Err(Errno::EIO),
        });
        let to = SocketAddr::from(([127, 0, 0, 11], 53));
        let relay: &'static Relay = Box::leak(Box::new(Relay::new(&RelaySpec { to, sockets: [40, 41].into() })));
        let inside = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for port in [1000, 1001, 1000, 1002, 1000] {
            relay.send(inside(port), &[port as u8]);
        }
        let handles: Vec<u32> = sent.lock().unwrap().iter().map(|(handle, _)| *handle).collect();
        assert_eq!(handles, [40, 41, 40, 41, 40]);
        // Nobody is bound there: what comes for nobody is nobody's.
        Udp::relayed(to, inside(1003), b"late");
    }
}

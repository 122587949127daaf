//! TCP's sockets and connections with somebody outside: making them, accepting them, and the options that they follow.

use super::{IP, IPV6, PORTS, Role, State, TCP, Tcp};
use crate::errno::Errno;
use crate::net::inet::connection::{Connection, Settings};
use crate::net::inet::end::End;
use crate::net::inet::ports::choice;
use crate::net::options::{Options, Switch};
use crate::net::socket::Call;
use crate::net::stack::{DEFAULT_TTL, Hop};
use crate::syscall::Fail;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use core::net::SocketAddr;
use linux_raw_sys::net as raw;

impl Tcp {
    pub(super) fn connect_outside(&self, local: SocketAddr, to: SocketAddr, hop: Hop) -> Result<End, Errno> {
        if local.ip().is_loopback() || local.is_ipv4() != to.is_ipv4() {
            return Err(Errno::EINVAL);
        }
        let (queue, options) = (self.queue.clone(), self.options.clone());
        let connection = Connection::connect((local, to), hop, queue, options, |new| self.configure(new))?;
        Ok(End::Remote(connection))
    }

    /// Its end, where connect(2) has not said yet what became of it.
    pub(super) fn unreported(&self) -> Option<End> {
        match &self.state.lock().role {
            Role::Connected { end, reported: false, .. } => Some(end.clone()),
            _ => None,
        }
    }

    /// Waits until a connection to somebody outside is made or has failed.
    pub(super) fn wait_for_peer(&self, call: &Call<'_>, connection: &Connection) -> Result<(), Fail> {
        let made =
            call.until(&self.queue, Events::all(), Options::send_deadline, || (!connection.is_opening()).then_some(()));
        match made {
            // A timeout, or a nonblocking socket: it goes on being made.
            Err(Fail::Errno(Errno::EAGAIN)) => return Err(Errno::EINPROGRESS.into()),
            other => other?,
        }
        if !connection.was_opened() {
            self.state.lock().role = Role::Idle;
            return Err(call.options.take_error().unwrap_or(Errno::ECONNABORTED).into());
        }
        if let Role::Connected { reported, .. } = &mut self.state.lock().role {
            *reported = true;
        }
        Ok(())
    }

    /// Who listens where a connection from outside is to go.
    pub fn listener(to: SocketAddr) -> Option<Arc<Self>> {
        let mut listeners = PORTS.listeners(0, to);
        let chosen = choice(listeners.len());
        (chosen < listeners.len()).then(|| listeners.swap_remove(chosen))
    }

    /// Options and queue for a connection from outside, where this listener has room for one.
    pub fn admits(&self) -> Option<(Arc<Options>, Arc<WaitQueue>)> {
        match &self.state.lock().role {
            Role::Listening { pending, backlog } if pending.len() <= *backlog => {
                Some((Arc::new(self.options.inherit()), Arc::new(WaitQueue::new())))
            }
            _ => None,
        }
    }

    /// A connection from outside is made: it waits in the backlog.
    pub fn announce(&self, connection: Arc<Connection>) {
        let (to, from) = connection.ends();
        let server =
            Self::with(self.family, connection.queue.clone(), connection.options.clone(), self.levels.inherit());
        let refused = {
            let mut state = self.state.lock();
            let State { binding, role } = &mut *state;
            match (role, binding) {
                (Role::Listening { pending, .. }, Some(binding)) => {
                    {
                        let mut server_state = server.state.lock_second();
                        server_state.binding = Some(PORTS.share(binding, &server.this, to));
                        server_state.role =
                            Role::Connected { end: End::Remote(connection), peer: from, reported: true };
                    }
                    pending.push_back(server);
                    None
                }
                _ => Some(connection),
            }
        };
        match refused {
            Some(connection) => connection.close(true),
            None => self.queue.wake(Events::READABLE),
        }
    }

    /// Tells a connection the options that it follows.
    pub fn configure(&self, connection: &Connection) {
        let number = |level, name| self.levels.number(level, name);
        let ns = |name| u64::try_from(number(TCP, name)).unwrap_or(0) * 1_000_000_000;
        let keep = self.options.is(Switch::KeepAlive).then(|| {
            let probes = u64::try_from(number(TCP, raw::TCP_KEEPCNT)).unwrap_or(1);
            (ns(raw::TCP_KEEPIDLE), ns(raw::TCP_KEEPINTVL), probes)
        });
        let v6 = connection.ends().1.is_ipv6();
        let (ttl, tos) = match v6 {
            true => (number(IPV6, raw::IPV6_UNICAST_HOPS), number(IPV6, raw::IPV6_TCLASS)),
            false => (number(IP, raw::IP_TTL), number(IP, raw::IP_TOS)),
        };
        connection.configure(&Settings {
            no_delay: self.levels.is(TCP, raw::TCP_NODELAY) && !self.levels.is(TCP, raw::TCP_CORK),
            quick_ack: false,
            ttl: u8::try_from(ttl).unwrap_or(DEFAULT_TTL),
            tos: u8::try_from(tos).unwrap_or(0),
            user_timeout_ns: u64::try_from(number(TCP, raw::TCP_USER_TIMEOUT)).unwrap_or(0) * 1_000_000,
            keep,
        });
    }

    /// An option changed that a connection may follow.
    pub(super) fn reconfigure(&self) {
        if let Some(End::Remote(connection)) = self.end() {
            self.configure(&connection);
        }
    }
}

//! What every socket can be told: SOL_SOCKET's options.

use super::NetNs;
use super::filter::Filter;
use super::interfaces;
use crate::errno::Errno;
use crate::landlock::Confined;
use crate::landlock::limits::may_reach;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::net as raw;

/// Buffer sizes: net.core.{w,r}mem_{default,max}.
pub const DEFAULT_BUFFER: u32 = 212_992;
const MAX_BUFFER: u32 = 212_992;
/// The least that SO_SNDBUF and SO_RCVBUF set (socket(7)).
const MIN_SEND_BUFFER: u32 = 4608;
const MIN_RECEIVE_BUFFER: u32 = 2304;

/// Yes-or-no options, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Switch {
    Debug = 1 << 0,
    ReuseAddress = 1 << 1,
    ReusePort = 1 << 2,
    DontRoute = 1 << 3,
    Broadcast = 1 << 4,
    KeepAlive = 1 << 5,
    OobInline = 1 << 6,
    NoCheck = 1 << 7,
    PassCredentials = 1 << 8,
    Timestamp = 1 << 9,
    TimestampNs = 1 << 10,
    ZeroCopy = 1 << 11,
    /// SO_RCVBUF or SO_SNDBUF was set: the buffer's size is the program's, not the default.
    BuffersSet = 1 << 12,
    RxqOverflow = 1 << 13,
    PassSecurity = 1 << 14,
}

/// The options of one socket.
pub struct Options {
    switches: AtomicU32,
    linger_seconds: AtomicI32,
    send_buffer: AtomicU32,
    receive_buffer: AtomicU32,
    receive_timeout_ns: AtomicU64,
    send_timeout_ns: AtomicU64,
    low_water: AtomicU32,
    priority: AtomicU32,
    mark: AtomicU32,
    error: AtomicU32,
    /// How deep sockets lie in sockets in this one's queue.
    nesting: AtomicU32,
    busy_poll: AtomicU32,
    incoming_cpu: AtomicI32,
    pacing_rate: AtomicU64,
    /// SO_BINDTODEVICE: the interface's number, or 0.
    device: AtomicU32,
    /// The network that it is of, once it is a file.
    network: spin::Once<Option<Arc<NetNs>>>,
    /// The landlock domain of who made it.
    owner: spin::Once<Confined>,
    uid: AtomicU32,
    inode: AtomicU64,
    cookie: AtomicU64,
    /// SO_ATTACH_FILTER, and whether there is one.
    filter: Lock<Option<Arc<Filter>>>,
    filtered: AtomicBool,
    /// SO_LOCK_FILTER.
    filter_locked: AtomicBool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            switches: AtomicU32::new(0),
            linger_seconds: AtomicI32::new(-1),
            send_buffer: AtomicU32::new(DEFAULT_BUFFER),
            receive_buffer: AtomicU32::new(DEFAULT_BUFFER),
            receive_timeout_ns: AtomicU64::new(0),
            send_timeout_ns: AtomicU64::new(0),
            low_water: AtomicU32::new(1),
            priority: AtomicU32::new(0),
            mark: AtomicU32::new(0),
            error: AtomicU32::new(0),
            nesting: AtomicU32::new(0),
            busy_poll: AtomicU32::new(0),
            incoming_cpu: AtomicI32::new(-1),
            pacing_rate: AtomicU64::new(u64::MAX),
            device: AtomicU32::new(0),
            network: spin::Once::new(),
            owner: spin::Once::new(),
            uid: AtomicU32::new(0),
            inode: AtomicU64::new(0),
            cookie: AtomicU64::new(0),
            filter: Lock::new(Rank::Leaf, None),
            filtered: AtomicBool::new(false),
            filter_locked: AtomicBool::new(false),
        }
    }
}

impl Options {
    /// Defaults with other buffer sizes.
    pub fn with_buffers(send: u32, receive: u32) -> Self {
        Self { send_buffer: AtomicU32::new(send), receive_buffer: AtomicU32::new(receive), ..Self::default() }
    }

    /// What an accepted socket inherits from its listener: all but the pending error.
    pub fn inherit(&self) -> Self {
        let copy = |value: &AtomicU32| AtomicU32::new(value.load(Ordering::Relaxed));
        Self {
            switches: copy(&self.switches),
            linger_seconds: AtomicI32::new(self.linger_seconds.load(Ordering::Relaxed)),
            send_buffer: copy(&self.send_buffer),
            receive_buffer: copy(&self.receive_buffer),
            receive_timeout_ns: AtomicU64::new(self.receive_timeout_ns.load(Ordering::Relaxed)),
            send_timeout_ns: AtomicU64::new(self.send_timeout_ns.load(Ordering::Relaxed)),
            low_water: copy(&self.low_water),
            priority: copy(&self.priority),
            mark: copy(&self.mark),
            error: AtomicU32::new(0),
            nesting: AtomicU32::new(0),
            busy_poll: copy(&self.busy_poll),
            incoming_cpu: AtomicI32::new(self.incoming_cpu.load(Ordering::Relaxed)),
            pacing_rate: AtomicU64::new(self.pacing_rate.load(Ordering::Relaxed)),
            device: copy(&self.device),
            network: spin::Once::initialized(self.network().clone()),
            owner: spin::Once::new(),
            uid: copy(&self.uid),
            inode: AtomicU64::new(0),
            cookie: AtomicU64::new(0),
            // What is accepted is a stream, and streams have none.
            filter: Lock::new(Rank::Leaf, None),
            filtered: AtomicBool::new(false),
            filter_locked: AtomicBool::new(false),
        }
    }

    /// What an accepted unix socket inherits: whether credentials are wanted.
    pub fn inherit_credentials(&self, listener: &Self) {
        self.turn(Switch::PassCredentials, listener.is(Switch::PassCredentials));
    }

    /// The network that it is of.
    pub fn network(&self) -> &Option<Arc<NetNs>> {
        self.network.get().unwrap_or(&None)
    }

    /// Sets the network that it is of, once.
    pub fn set_network(&self, network: impl FnOnce() -> Option<Arc<NetNs>>) {
        self.network.call_once(network);
    }

    /// Sets who made it, once.
    pub fn set_owner(&self, current: &Current) {
        self.owner.call_once(|| current.creds.landlock.clone());
    }

    /// Whether the caller may reach the socket by an abstract name.
    pub fn is_reachable(&self, current: &Current) -> bool {
        self.owner.get().is_none_or(|owner| may_reach(current, owner))
    }

    /// Whether a switch is on.
    #[inline]
    pub fn is(&self, switch: Switch) -> bool {
        self.switches.load(Ordering::Relaxed) & switch as u32 != 0
    }

    fn turn(&self, switch: Switch, on: bool) {
        if on {
            self.switches.fetch_or(switch as u32, Ordering::Relaxed);
        } else {
            self.switches.fetch_and(!(switch as u32), Ordering::Relaxed);
        }
    }

    /// Seconds that close waits; `None` where SO_LINGER is off.
    pub fn linger(&self) -> Option<u32> {
        u32::try_from(self.linger_seconds.load(Ordering::Relaxed)).ok()
    }

    /// SO_SNDBUF as getsockopt shows it: doubled already.
    #[inline]
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed) as usize
    }

    /// SO_RCVBUF.
    #[inline]
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Ordering::Relaxed) as usize
    }

    /// When a receive that starts now gives up.
    pub fn receive_deadline(&self) -> Option<u64> {
        deadline(&self.receive_timeout_ns)
    }

    /// When a send or connect that starts now gives up.
    pub fn send_deadline(&self) -> Option<u64> {
        deadline(&self.send_timeout_ns)
    }

    /// Who made the socket, and its inode.
    pub fn identity(&self) -> (u32, u64) {
        (self.uid.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed))
    }

    /// The socket has become a file.
    pub fn identify(&self, uid: u32, inode: u64, cookie: u64) {
        self.cookie.store(cookie, Ordering::Relaxed);
        self.uid.store(uid, Ordering::Relaxed);
        self.inode.store(inode, Ordering::Relaxed);
    }

    /// SO_COOKIE.
    pub fn cookie(&self) -> u64 {
        self.cookie.load(Ordering::Relaxed)
    }

    /// The interface that the socket is bound to.
    pub fn device(&self) -> Option<u32> {
        match self.device.load(Ordering::Relaxed) {
            0 => None,
            index => Some(index),
        }
    }

    /// How deep sockets lie in sockets in this one's queue.
    pub fn nesting(&self) -> u32 {
        self.nesting.load(Ordering::SeqCst)
    }

    /// Something with sockets of this depth was queued.
    pub fn raise_nesting(&self, depth: u32) {
        self.nesting.fetch_max(depth, Ordering::SeqCst);
    }

    /// The queue was emptied.
    pub fn reset_nesting(&self) {
        self.nesting.store(0, Ordering::SeqCst);
    }

    /// The program that says what is received.
    #[inline]
    pub fn filter(&self) -> Option<Arc<Filter>> {
        if self.filtered.load(Ordering::Acquire) { self.filter.lock().clone() } else { None }
    }

    fn set_filter(&self, new: Option<Arc<Filter>>) -> Result<(), Errno> {
        if self.filter_locked.load(Ordering::Relaxed) {
            return Err(Errno::EPERM);
        }
        if new.is_none() && !self.filtered.load(Ordering::Relaxed) {
            return Err(Errno::ENOENT);
        }
        self.filtered.store(new.is_some(), Ordering::Release);
        let old = core::mem::replace(&mut *self.filter.lock(), new);
        drop(old);
        Ok(())
    }

    /// Sets the pending error (SO_ERROR).
    pub fn set_error(&self, errno: Errno) {
        self.error.store(u32::from(errno.raw()), Ordering::SeqCst);
    }

    /// Whether an error is pending.
    #[inline]
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::SeqCst) != 0
    }

    /// Takes the pending error.
    #[inline]
    pub fn take_error(&self) -> Option<Errno> {
        if !self.has_error() {
            return None;
        }
        match self.error.swap(0, Ordering::SeqCst) {
            0 => None,
            raw => Some(Errno::from_raw(i64::from(raw))),
        }
    }

    /// setsockopt(SOL_SOCKET).
    pub fn set(&self, current: &Current, name: u32, value: &[u8]) -> Result<(), Errno> {
        if let Some(switch) = switch(name) {
            let on = int(value)? != 0;
            if switch == Switch::Debug && on && !NetNs::holds(current, Cap::NetAdmin) {
                return Err(Errno::EACCES);
            }
            self.turn(switch, on);
            return Ok(());
        }
        match name {
            raw::SO_SNDBUF | raw::SO_SNDBUFFORCE => {
                self.may_force(current, name == raw::SO_SNDBUFFORCE)?;
                self.send_buffer.store(buffer(name, int(value)?).max(MIN_SEND_BUFFER), Ordering::Relaxed);
                self.turn(Switch::BuffersSet, true);
            }
            raw::SO_RCVBUF | raw::SO_RCVBUFFORCE => {
                self.may_force(current, name == raw::SO_RCVBUFFORCE)?;
                self.receive_buffer.store(buffer(name, int(value)?).max(MIN_RECEIVE_BUFFER), Ordering::Relaxed);
                self.turn(Switch::BuffersSet, true);
            }
            raw::SO_LINGER => {
                let words = value.first_chunk::<8>().ok_or(Errno::EINVAL)?;
                let on = i32::from_ne_bytes([words[0], words[1], words[2], words[3]]) != 0;
                let seconds = i32::from_ne_bytes([words[4], words[5], words[6], words[7]]);
                self.linger_seconds.store(if on { seconds.max(0) } else { -1 }, Ordering::Relaxed);
            }
            raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => {
                self.receive_timeout_ns.store(time(value)?, Ordering::Relaxed);
            }
            raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => {
                self.send_timeout_ns.store(time(value)?, Ordering::Relaxed);
            }
            raw::SO_RCVLOWAT => {
                let low = u32::try_from(int(value)?).unwrap_or(i32::MAX as u32);
                self.low_water.store(low.max(1), Ordering::Relaxed);
            }
            raw::SO_PRIORITY => {
                let priority = int(value)?;
                if !(0..=6).contains(&priority) && !NetNs::holds(current, Cap::NetAdmin) {
                    return Err(Errno::EPERM);
                }
                self.priority.store(priority as u32, Ordering::Relaxed);
            }
            raw::SO_MARK => {
                if !NetNs::holds(current, Cap::NetAdmin) {
                    return Err(Errno::EPERM);
                }
                self.mark.store(int(value)? as u32, Ordering::Relaxed);
            }
            raw::SO_TYPE | raw::SO_PROTOCOL | raw::SO_DOMAIN | raw::SO_ERROR | raw::SO_ACCEPTCONN => {
                return Err(Errno::ENOPROTOOPT);
            }
            raw::SO_BINDTODEVICE => self.device.store(device(current, value)?, Ordering::Relaxed),
            raw::SO_ATTACH_FILTER => self.set_filter(Some(Arc::new(Filter::read(current, value)?)))?,
            raw::SO_DETACH_FILTER => self.set_filter(None)?,
            raw::SO_LOCK_FILTER => {
                let lock = int(value)? != 0;
                if !lock && self.filter_locked.load(Ordering::Relaxed) {
                    return Err(Errno::EPERM);
                }
                self.filter_locked.store(lock, Ordering::Relaxed);
            }
            raw::SO_BINDTOIFINDEX => {
                let index = u32::try_from(int(value)?).map_err(|_| Errno::EINVAL)?;
                if self.device().is_some() && !NetNs::holds(current, Cap::NetRaw) {
                    return Err(Errno::EPERM);
                }
                // There need be none of that number.
                self.device.store(index, Ordering::Relaxed);
            }
            // Hints that change nothing here, but are remembered.
            raw::SO_BUSY_POLL => {
                let time = u32::try_from(int(value)?).map_err(|_| Errno::EINVAL)?;
                if time > self.busy_poll.load(Ordering::Relaxed) && !NetNs::holds(current, Cap::NetAdmin) {
                    return Err(Errno::EPERM);
                }
                self.busy_poll.store(time, Ordering::Relaxed);
            }
            raw::SO_INCOMING_CPU => self.incoming_cpu.store(int(value)?, Ordering::Relaxed),
            raw::SO_MAX_PACING_RATE => {
                let rate = match value.first_chunk::<8>() {
                    Some(long) => u64::from_ne_bytes(*long),
                    None => match int(value)? as u32 {
                        u32::MAX => u64::MAX,
                        rate => u64::from(rate),
                    },
                };
                self.pacing_rate.store(rate, Ordering::Relaxed);
            }
            // As on Linux: nothing is left of it.
            raw::SO_BSDCOMPAT => drop(int(value)?),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn may_force(&self, current: &Current, force: bool) -> Result<(), Errno> {
        if force && !NetNs::holds(current, Cap::NetAdmin) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// getsockopt(SOL_SOCKET), for what does not depend on the protocol.
    pub fn get(&self, name: u32) -> Result<Vec<u8>, Errno> {
        if let Some(switch) = switch(name) {
            return Ok(i32::from(self.is(switch)).to_ne_bytes().to_vec());
        }
        Ok(match name {
            raw::SO_SNDBUF => self.send_buffer.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_RCVBUF => self.receive_buffer.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_ERROR => self.take_error().map_or(0, |errno| i32::from(errno.raw())).to_ne_bytes().to_vec(),
            raw::SO_LINGER => {
                let seconds = self.linger_seconds.load(Ordering::Relaxed);
                [i32::from(seconds >= 0), seconds.max(0)].map(i32::to_ne_bytes).concat()
            }
            raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => timeval(&self.receive_timeout_ns),
            raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => timeval(&self.send_timeout_ns),
            raw::SO_RCVLOWAT => self.low_water.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_SNDLOWAT => 1_i32.to_ne_bytes().to_vec(),
            raw::SO_PRIORITY => self.priority.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_MARK => self.mark.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_BINDTODEVICE => match self.device().and_then(interfaces::by_index) {
                Some(interface) => [&interface.name()[..], &[0]].concat(),
                None => Vec::new(),
            },
            raw::SO_LOCK_FILTER => i32::from(self.filter_locked.load(Ordering::Relaxed)).to_ne_bytes().to_vec(),
            // SKF_AD_MAX: which data about a packet a program may load.
            raw::SO_BPF_EXTENSIONS => linux_raw_sys::ptrace::SKF_AD_MAX.to_ne_bytes().to_vec(),
            raw::SO_BINDTOIFINDEX => self.device.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_BSDCOMPAT => 0_i32.to_ne_bytes().to_vec(),
            raw::SO_BUSY_POLL => self.busy_poll.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_INCOMING_CPU => self.incoming_cpu.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            raw::SO_MAX_PACING_RATE => self.pacing_rate.load(Ordering::Relaxed).to_ne_bytes().to_vec(),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

fn deadline(timeout_ns: &AtomicU64) -> Option<u64> {
    match timeout_ns.load(Ordering::Relaxed) {
        0 => None,
        ns => Some(platform().monotonic_ns().saturating_add(ns)),
    }
}

fn switch(name: u32) -> Option<Switch> {
    Some(match name {
        raw::SO_DEBUG => Switch::Debug,
        raw::SO_REUSEADDR => Switch::ReuseAddress,
        raw::SO_REUSEPORT => Switch::ReusePort,
        raw::SO_DONTROUTE => Switch::DontRoute,
        raw::SO_BROADCAST => Switch::Broadcast,
        raw::SO_KEEPALIVE => Switch::KeepAlive,
        raw::SO_OOBINLINE => Switch::OobInline,
        raw::SO_NO_CHECK => Switch::NoCheck,
        raw::SO_PASSCRED => Switch::PassCredentials,
        raw::SO_PASSSEC => Switch::PassSecurity,
        raw::SO_TIMESTAMP_OLD => Switch::Timestamp,
        raw::SO_TIMESTAMPNS_OLD => Switch::TimestampNs,
        raw::SO_ZEROCOPY => Switch::ZeroCopy,
        raw::SO_RXQ_OVFL => Switch::RxqOverflow,
        _ => return None,
    })
}

/// The option's `int`; EINVAL where fewer bytes were given.
pub fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
}

/// What a buffer option sets: twice what was asked for, to leave room for bookkeeping (socket(7)).
fn buffer(name: u32, asked: i32) -> u32 {
    let force = name == raw::SO_SNDBUFFORCE || name == raw::SO_RCVBUFFORCE;
    // A negative number is a very large one, as it is compared unsigned.
    let asked = if force { asked.max(0) as u32 } else { (asked as u32).min(MAX_BUFFER) };
    asked.min(i32::MAX as u32 / 2) * 2
}

fn time(value: &[u8]) -> Result<u64, Errno> {
    let bytes = value.first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let (sec, usec) = bytes.split_at(8);
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
    match (word(sec), u64::try_from(word(usec))) {
        (_, Ok(usec)) if usec >= 1_000_000 => Err(Errno::EDOM),
        (_, Err(_)) => Err(Errno::EDOM),
        // Negative seconds: time is over at once, as on Linux.
        (sec, Ok(usec)) => match u64::try_from(sec) {
            Ok(sec) => Ok(sec.saturating_mul(1_000_000_000).saturating_add(usec * 1000)),
            Err(_) => Ok(1),
        },
    }
}

fn timeval(ns: &AtomicU64) -> Vec<u8> {
    let ns = ns.load(Ordering::Relaxed);
    [ns / 1_000_000_000, ns % 1_000_000_000 / 1000].map(u64::to_ne_bytes).concat()
}

/// The number of the interface that SO_BINDTODEVICE names; 0 for none.
fn device(current: &Current, value: &[u8]) -> Result<u32, Errno> {
    let name = value.split(|byte| *byte == 0).next().unwrap_or(&[]);
    if name.is_empty() {
        return Ok(0);
    }
    if !NetNs::holds(current, Cap::NetRaw) {
        return Err(Errno::EPERM);
    }
    interfaces::named(&None, name).ok_or(Errno::ENODEV)
}

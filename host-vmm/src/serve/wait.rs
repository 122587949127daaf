//! Requests that complete when something happens outside: `Poll` on a stream, and `NextEvent`. They can be started from any
//! thread; the worker, which sleeps in the epoll instance that `Polls` owns, completes them.

use crate::serve::file::HostFile;
use crate::serve::frames::Slots;
use crate::serve::ring::lock;
use crate::serve::worker::Token;
use crate::serve::{Answer, Outcome, Server};
use linker::request::{Request, event};
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

/// Polls that may wait at a time, so that a guest cannot make the host remember without end.
const MAX_POLLS: usize = 64 * 128;
/// Events kept until the guest asks for them.
const MAX_EVENTS: usize = 64;

// poll(2) and epoll(7) agree on these bits.
const ALWAYS: u32 = linux_raw_sys::general::POLLERR | linux_raw_sys::general::POLLHUP;
const POLLNVAL: u64 = linux_raw_sys::general::POLLNVAL as u64;
/// Bits that a guest may ask for.
const ALLOWED: u32 = linux_raw_sys::general::POLLIN
    | linux_raw_sys::general::POLLPRI
    | linux_raw_sys::general::POLLOUT
    | linux_raw_sys::general::POLLRDHUP;

/// One waiting `Poll`.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    cpu: usize,
    tag: u64,
    events: u32,
    work: Work,
    /// The worker tries it at this moment, and answers it, whatever becomes of the file.
    tried: bool,
}

/// What there is to do when the file is ready.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Say so.
    Tell,
    /// A `ReceiveFrames` that found none: it is tried again.
    Receive(Slots),
    /// A `SendFrames`: the rest of it.
    Send(Request),
}

impl Waiter {
    fn is(&self, other: &Self) -> bool {
        (self.cpu, self.tag) == (other.cpu, other.tag)
    }
}

#[derive(Debug)]
struct PollSet {
    file: Arc<HostFile>,
    waiters: Vec<Waiter>,
}

/// The epoll instance, and what waits on it by file handle.
#[derive(Debug)]
pub struct Polls {
    /// The worker sleeps in it.
    pub epoll: OwnedFd,
    sets: Mutex<BTreeMap<u32, PollSet>>,
}

impl Polls {
    /// No waiters yet.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, sets: Mutex::default() })
    }
}

/// What the guest has not asked for yet, and who asked when there was nothing.
#[derive(Debug, Default)]
pub struct Events(Mutex<EventQueue>);

#[derive(Debug, Default)]
struct EventQueue {
    waiting: VecDeque<u64>,
    asked: Option<(usize, u64)>,
}

impl Server {
    /// Starts a `Poll`.
    pub(super) fn start_poll(&self, cpu: usize, request: &Request) -> Outcome {
        let events = request.arg as u32 & ALLOWED;
        let file = match self.files.get(request.handle) {
            Ok(file) => file,
            Err(errno) => return Outcome::Done(Err(errno)),
        };
        if request.flags & Request::FLAG_NOW != 0 {
            return Outcome::Done(poll_now(&file, events));
        }
        self.wait_for(file, request.handle, Waiter { cpu, tag: request.tag, events, work: Work::Tell, tried: false })
    }

    /// Starts a `ReceiveFrames`.
    pub(super) fn start_receive(&self, cpu: usize, request: &Request) -> Outcome {
        let (file, slots) = match self.files.get(request.handle).and_then(|file| Ok((file, Slots::new(request)?))) {
            Ok(both) => both,
            Err(errno) => return Outcome::Done(Err(errno)),
        };
        match self.receive_frames(&file, &slots) {
            Err(Errno::AGAIN) if request.flags & Request::FLAG_NOW == 0 => {
                let events = linux_raw_sys::general::POLLIN;
                let work = Work::Receive(slots);
                self.wait_for(file, request.handle, Waiter { cpu, tag: request.tag, events, work, tried: false })
            }
            answer => Outcome::Done(answer),
        }
    }

    /// Starts a `SendFrames`. Behind one that waits for room, it waits, too.
    pub(super) fn start_send(&self, cpu: usize, request: &Request) -> Outcome {
        let file = match self.files.get(request.handle) {
            Ok(file) => file,
            Err(errno) => return Outcome::Done(Err(errno)),
        };
        let is_send = |waiter: &Waiter| matches!(waiter.work, Work::Send(_));
        let waits = lock(&self.polls.sets).get(&request.handle).is_some_and(|set| set.waiters.iter().any(is_send));
        let mut rest = *request;
        match if waits { Ok(false) } else { self.send_frames(&mut rest) } {
            Ok(true) => Outcome::Done(Ok(request.input.len)),
            Ok(false) => {
                let (events, work) = (linux_raw_sys::general::POLLOUT, Work::Send(rest));
                self.wait_for(file, request.handle, Waiter { cpu, tag: request.tag, events, work, tried: false })
            }
            Err(errno) => Outcome::Done(Err(errno)),
        }
    }

    fn wait_for(&self, file: Arc<HostFile>, handle: u32, waiter: Waiter) -> Outcome {
        let mut sets = lock(&self.polls.sets);
        if sets.values().map(|set| set.waiters.len()).sum::<usize>() >= MAX_POLLS {
            return Outcome::Done(Err(Errno::NOMEM));
        }
        let known = sets.contains_key(&handle);
        let set = sets.entry(handle).or_insert_with(|| PollSet { file, waiters: Vec::new() });
        set.waiters.push(waiter);
        let data = Token::File(handle).data();
        let interest = set.interest();
        let armed = match known {
            true => epoll::modify(&self.polls.epoll, &*set.file, data, interest),
            false => epoll::add(&self.polls.epoll, &*set.file, data, interest),
        };
        match armed {
            Ok(()) => Outcome::Waits,
            // epoll_ctl(2): a file that does not support epoll is always ready.
            Err(Errno::PERM) => {
                sets.remove(&handle);
                Outcome::Done(Ok(u64::from(waiter.events & !linux_raw_sys::general::POLLPRI)))
            }
            Err(errno) => {
                set.waiters.pop();
                if set.waiters.is_empty() {
                    sets.remove(&handle);
                }
                Outcome::Done(Err(errno))
            }
        }
    }

    /// Completes the polls that `ready` answers. The worker calls it.
    pub(super) fn file_ready(&self, handle: u32, ready: u32) {
        let mut sets = lock(&self.polls.sets);
        let Some(set) = sets.get_mut(&handle) else { return };
        let (mut due, mut rests) = (Vec::new(), Vec::new());
        let before = set.interest();
        set.waiters.retain_mut(|waiter| {
            let events = ready & (waiter.events | ALWAYS);
            let tells = matches!(waiter.work, Work::Tell);
            if events != 0 && tells {
                self.complete(waiter.cpu, waiter.tag, Ok(u64::from(events)));
            } else if events != 0 {
                waiter.tried = true;
                due.push(*waiter);
            }
            // What is tried again stays until it is answered.
            events == 0 || !tells
        });
        let file = set.file.clone();
        if !due.is_empty() {
            drop(sets);
            due.retain(|waiter| !self.try_again(&file, waiter, &mut rests));
            sets = lock(&self.polls.sets);
        }
        // Closed meanwhile, and perhaps the handle is another file's by now: what waited is told so.
        let Some(set) = sets.get_mut(&handle).filter(|set| Arc::ptr_eq(&set.file, &file)) else {
            drop(sets);
            return due.iter().for_each(|waiter| self.complete(waiter.cpu, waiter.tag, Ok(POLLNVAL)));
        };
        set.waiters.retain_mut(|waiter| {
            let answered = waiter.tried && !due.iter().any(|unanswered| unanswered.is(waiter));
            if let Some(rest) = rests.iter().find(|rest: &&Waiter| rest.is(waiter)) {
                *waiter = *rest;
            }
            waiter.tried = false;
            !answered
        });
        if set.waiters.is_empty() {
            let _ = epoll::delete(&self.polls.epoll, &*set.file);
            sets.remove(&handle);
        } else if set.interest() != before {
            let _ = epoll::modify(&self.polls.epoll, &*set.file, Token::File(handle).data(), set.interest());
        }
    }

    /// Tries again what waited for the file; whether it is answered now. `rests`: what is left of what is not.
    fn try_again(&self, file: &HostFile, waiter: &Waiter, rests: &mut Vec<Waiter>) -> bool {
        let answer = match waiter.work {
            Work::Tell => return false,
            Work::Receive(slots) => self.receive_frames(file, &slots),
            // One that goes first leaves no room for those behind it.
            Work::Send(_) if rests.iter().any(|rest| matches!(rest.work, Work::Send(_))) => return false,
            Work::Send(mut rest) => match self.send_frames(&mut rest) {
                Ok(true) => Ok(0),
                Ok(false) => {
                    rests.push(Waiter { work: Work::Send(rest), ..*waiter });
                    return false;
                }
                Err(errno) => Err(errno),
            },
        };
        if answer == Err(Errno::AGAIN) {
            return false;
        }
        match waiter.work {
            Work::Send(request) => self.complete_request(waiter.cpu, &request, answer),
            _ => self.complete(waiter.cpu, waiter.tag, answer),
        }
        true
    }

    /// The file is about to be closed: what waits for it is told so.
    pub(super) fn cancel_polls(&self, handle: u32, file: &HostFile) {
        let set = lock(&self.polls.sets).remove(&handle);
        if let Some(set) = set {
            let _ = epoll::delete(&self.polls.epoll, file);
            for waiter in set.waiters.iter().filter(|waiter| !waiter.tried) {
                self.complete(waiter.cpu, waiter.tag, Ok(POLLNVAL));
            }
        }
    }

    /// Starts a `NextEvent`. A second one while the first waits is refused.
    pub(super) fn start_next_event(&self, cpu: usize, tag: u64) -> Outcome {
        let mut queue = lock(&self.events.0);
        match queue.waiting.pop_front() {
            Some(event) => Outcome::Done(Ok(event)),
            None if queue.asked.is_some() => Outcome::Done(Err(Errno::BUSY)),
            None => {
                queue.asked = Some((cpu, tag));
                Outcome::Waits
            }
        }
    }

    /// Tells the guest something, now or when it asks.
    pub(super) fn post_event(&self, kind: u64, value: u64) {
        let event = kind | value << 8;
        let asked = {
            let mut queue = lock(&self.events.0);
            match queue.asked.take() {
                Some(asked) => Some(asked),
                None => {
                    // The newest is dropped when nobody has asked for long; the loss of the gofer never is, and commands
                    // have a bound of their own.
                    if queue.waiting.len() < MAX_EVENTS || kind == event::GOFER_GONE || kind == event::COMMAND {
                        queue.waiting.push_back(event);
                    }
                    None
                }
            }
        };
        if let Some((cpu, tag)) = asked {
            self.complete(cpu, tag, Ok(event));
        }
    }
}

/// What is ready now.
fn poll_now(file: &HostFile, events: u32) -> Answer {
    let wanted = PollFlags::from_bits_retain(events as u16);
    let mut polled = [PollFd::new(file, wanted)];
    rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [polled] = polled;
    Ok(u64::from(polled.revents().bits()))
}

impl PollSet {
    fn interest(&self) -> epoll::EventFlags {
        epoll::EventFlags::from_bits_retain(self.waiters.iter().fold(0, |all, waiter| all | waiter.events))
    }
}

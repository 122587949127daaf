//! The worker thread: sleeps until a doorbell rings, a polled file is ready, the gofer answers or the parent says something.
//! It keeps a path request or two in flight at the gofer and answers data requests meanwhile.

use crate::gofer::client::Client;
use crate::idle::Quiet;
use crate::notice::Notice;
use crate::report;
use crate::serve::ring::drain;
use crate::serve::{Answer, Outcome, Server, path};
use linker::request::{Request, event};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

/// Calls that the worker has at the gofer at a time. The gofer never waits for room to answer (see `gofer::client`).
const MAX_CALLS: usize = crate::gofer::client::MAX_CALLS;

/// Completions that found no room are tried again after this.
const RETRY_NS: i64 = 1_000_000;

/// What an epoll event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The async doorbell of a vCPU.
    Doorbell(u32),
    /// An answer of the gofer's.
    Gofer,
    /// A notice of the parent's.
    Parent,
    /// A polled file.
    File(u32),
}

impl Token {
    /// As epoll carries it.
    pub fn data(self) -> epoll::EventData {
        let (kind, value) = match self {
            Self::Doorbell(cpu) => (0, cpu),
            Self::Gofer => (1, 0),
            Self::Parent => (2, 0),
            Self::File(handle) => (3, handle),
        };
        epoll::EventData::new_u64(kind << 32 | u64::from(value))
    }

    fn from_data(data: u64) -> Option<Self> {
        let value = data as u32;
        match data >> 32 {
            0 => Some(Self::Doorbell(value)),
            1 => Some(Self::Gofer),
            2 => Some(Self::Parent),
            3 => Some(Self::File(value)),
            _ => None,
        }
    }
}

/// The worker's own state.
#[derive(Debug)]
pub struct Worker<'a> {
    server: &'a Server,
    doorbells: Vec<OwnedFd>,
    gofer: Option<Client>,
    parent: OwnedFd,
    /// Path requests at the gofer, by call number.
    called: BTreeMap<u64, (usize, Request)>,
    /// Path requests that wait for their turn.
    queued: VecDeque<(usize, Request)>,
}

impl<'a> Worker<'a> {
    /// Registers what the worker listens to.
    pub fn new(
        server: &'a Server,
        doorbells: Vec<OwnedFd>,
        gofer: Option<Client>,
        parent: OwnedFd,
    ) -> Result<Self, Errno> {
        let epoll = &server.polls.epoll;
        for (cpu, doorbell) in doorbells.iter().enumerate() {
            epoll::add(epoll, doorbell, Token::Doorbell(cpu as u32).data(), epoll::EventFlags::IN)?;
        }
        if let Some(gofer) = &gofer {
            epoll::add(epoll, gofer.replies(), Token::Gofer.data(), epoll::EventFlags::IN)?;
        }
        epoll::add(epoll, &parent, Token::Parent.data(), epoll::EventFlags::IN)?;
        Ok(Self { server, doorbells, gofer, parent, called: BTreeMap::new(), queued: VecDeque::new() })
    }

    /// Works until the process ends. Awake, it looks at all rings before it sleeps again, and nobody need ring for it.
    pub fn run(&mut self) -> ! {
        let server = self.server;
        let mut events = Vec::with_capacity(64);
        let mut quiet = Quiet::default();
        loop {
            events.clear();
            self.say_sleeps(true);
            // Once more: whoever came before that was said has not rung.
            let took = self.serve_rings();
            let timeout = match server.retry_completions() {
                _ if took => Some(Timespec::default()),
                true => Some(Timespec { tv_sec: 0, tv_nsec: RETRY_NS }),
                false => quiet.timeout(),
            };
            match epoll::wait(&server.polls.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(count) => quiet.waited(count + usize::from(took)),
                Err(Errno::INTR) => {}
                Err(errno) => server.end_failed(&format!("worker: {errno}")),
            }
            self.say_sleeps(false);
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                match Token::from_data(data.u64()) {
                    Some(Token::Doorbell(cpu)) => self.doorbells.get(cpu as usize).into_iter().for_each(drain),
                    Some(Token::Gofer) => self.gofer_answered(),
                    Some(Token::Parent) => self.parent_spoke(),
                    Some(Token::File(handle)) => server.file_ready(handle, flags.bits()),
                    None => {}
                }
            }
            self.serve_rings();
        }
    }

    fn say_sleeps(&self, sleeps: bool) {
        for ring in &self.server.rings {
            ring.set_host_sleeps(&self.server.memory, sleeps);
        }
    }

    /// Takes the requests of all rings but those that a vCPU's own thread is about to serve; whether there were some.
    fn serve_rings(&mut self) -> bool {
        let server = self.server;
        let mut took = false;
        for (cpu, ring) in server.rings.iter().enumerate() {
            while let Some(request) = ring.take_if(&server.memory, |request| request.flags & Request::FLAG_SYNC == 0) {
                took = true;
                server.count_request();
                if path::is_path_op(request.op) {
                    self.queued.push_back((cpu, request));
                    self.send_queued();
                } else if let Outcome::Done(answer) = server.execute(cpu, &request) {
                    server.complete_request(cpu, &request, answer);
                }
            }
        }
        took
    }

    /// Sends path requests as long as the gofer has room for them.
    fn send_queued(&mut self) {
        while self.called.len() < MAX_CALLS {
            let Some((cpu, request)) = self.queued.pop_front() else { return };
            let sent: Result<u64, Errno> = match &mut self.gofer {
                None => Err(Errno::IO),
                Some(gofer) => path::prepare(&self.server.memory, &request).and_then(|call| gofer.send(&call)),
            };
            match sent {
                Ok(id) => drop(self.called.insert(id, (cpu, request))),
                Err(errno) => self.server.complete(cpu, request.tag, Err(errno)),
            }
        }
    }

    fn gofer_answered(&mut self) {
        let Some(gofer) = &mut self.gofer else { return };
        match gofer.receive() {
            Ok((id, answer)) => {
                if let Some((cpu, request)) = self.called.remove(&id) {
                    let answer: Answer = self.server.finish_path(&request, answer);
                    self.server.complete(cpu, request.tag, answer);
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => self.gofer_gone(),
        }
        self.send_queued();
    }

    /// Every path request fails from now on; the guest is told, and everybody who looks at stderr.
    fn gofer_gone(&mut self) {
        if let Some(gofer) = self.gofer.take() {
            let _ = epoll::delete(&self.server.polls.epoll, gofer.replies());
        }
        for (_, (cpu, request)) in std::mem::take(&mut self.called) {
            self.server.complete(cpu, request.tag, Err(Errno::IO));
        }
        self.server.post_event(event::GOFER_GONE, 0);
    }

    fn parent_spoke(&self) {
        match Notice::receive(&self.parent) {
            Ok(Some(Notice::Signal(number))) => self.server.post_event(event::SIGNAL, u64::from(number)),
            Ok(Some(Notice::Window)) => self.server.post_event(event::WINDOW, 0),
            Ok(Some(Notice::Command(body, descriptors))) => self.server.command(&body, descriptors),
            // The rest goes the other way.
            Ok(Some(_)) | Err(Errno::INTR | Errno::AGAIN) => {}
            // The parent is gone, and the sandbox goes with it.
            Ok(None) | Err(_) => crate::process::exit_now(report::FAILURE),
        }
    }
}

//! The request server: takes requests from the vCPUs' rings, answers them, posts completions.
//!
//! A ring is served by its vCPU's own thread (`Server::serve_sync`) or by the worker (`worker::run`); either way a request
//! is copied out of guest memory once, before it is looked at. Data requests are answered here (`data`), path requests by
//! the gofer (`path`), and what waits (`wait`) completes from the worker; `socket` is for `--network=host`. `control` is between the parent and the sentry.
//!
//! Locks, each held briefly and none while a request is executed: `RingHost::{sq, cq}`, `FileTable`, `wait::Polls`, `wait::Events`, `Control`, `Server::split`.

pub mod control;
pub mod data;
pub mod file;
pub mod frames;
pub mod path;
pub mod ring;
mod socket;
#[cfg(test)]
mod tests;
pub mod wait;
pub mod worker;

use crate::gofer::client::Client;
use crate::report;
use crate::serve::control::Control;
use crate::serve::file::FileTable;
use crate::serve::ring::RingHost;
use crate::serve::wait::{Events, Polls};
use crate::vm::{self, Memory};
use kvm_ioctls::VmFd;
use linker::request::{Op, Request};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Result of a request: what its completion carries, or an errno.
pub type Answer = Result<u64, Errno>;

/// The server of one sandbox.
#[derive(Debug)]
pub struct Server {
    memory: Memory,
    vm: Option<VmFd>,
    rings: Vec<RingHost>,
    files: FileTable,
    /// One for each vCPU thread; the worker has its own.
    gofer: Vec<Mutex<Client>>,
    polls: Polls,
    events: Events,
    control: Control,
    /// Large pages of guest memory that are small ones since parts of them were given back, by address.
    split: Mutex<BTreeSet<u64>>,
    /// Sockets are the host's.
    host_network: bool,
    debug: bool,
    /// Counts to show at the end, if asked for.
    statistics: Option<Statistics>,
}

/// What the host counts of a sandbox.
#[derive(Debug, Default)]
struct Statistics {
    exits: AtomicU64,
    requests: AtomicU64,
}

/// What a server starts with.
#[derive(Debug)]
pub struct Parts {
    /// Guest memory.
    pub memory: Memory,
    /// vCPUs.
    pub cpus: usize,
    /// To interrupt them with; a test has none.
    pub vm: Option<VmFd>,
    /// Open files in the order of their handles.
    pub files: Vec<Option<OwnedFd>>,
    /// One connection to the gofer for each vCPU.
    pub gofer: Vec<Client>,
    /// Where the parent listens; a test may do without.
    pub control: Option<OwnedFd>,
    /// Sockets are the host's (`--network=host`).
    pub host_network: bool,
    /// Registers and early output are shown.
    pub debug: bool,
    /// What the sandbox did is shown at its end.
    pub statistics: bool,
}

/// How a request goes on after its first look.
#[derive(Debug)]
enum Outcome {
    /// It is answered.
    Done(Answer),
    /// It completes later, from the worker.
    Waits,
}

impl Server {
    /// A server that has served nothing yet.
    pub fn new(parts: Parts) -> Result<Self, Errno> {
        Ok(Self {
            memory: parts.memory,
            vm: parts.vm,
            rings: (0..parts.cpus).map(RingHost::new).collect(),
            files: FileTable::new(parts.files)?,
            gofer: parts.gofer.into_iter().map(Mutex::new).collect(),
            polls: Polls::new()?,
            events: Events::default(),
            control: Control::new(parts.control),
            split: Mutex::default(),
            host_network: parts.host_network,
            debug: parts.debug,
            statistics: parts.statistics.then(Statistics::default),
        })
    }

    /// Guest memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether `--debug` was given.
    pub fn debug(&self) -> bool {
        self.debug
    }

    /// Serves a vCPU's ring on its own thread until it is empty.
    pub fn serve_sync(&self, cpu: usize) {
        let Some(ring) = self.rings.get(cpu) else { return };
        while let Some(request) = ring.take(&self.memory) {
            self.count_request();
            let outcome = match path::is_path_op(request.op) {
                true => Outcome::Done(self.call_gofer(cpu, &request)),
                false => self.execute(cpu, &request),
            };
            if let Outcome::Done(answer) = outcome {
                // No interrupt: the vCPU is not asleep, it is here.
                ring.complete(&self.memory, request.tag, answer);
            }
        }
        ring.retry(&self.memory);
    }

    /// Answers a request that needs no gofer, or puts it where it waits.
    fn execute(&self, cpu: usize, request: &Request) -> Outcome {
        match Op::from_raw(request.op) {
            None => Outcome::Done(Err(Errno::NOSYS)),
            Some(Op::Poll) if request.flags & Request::FLAG_NOW == 0 => self.start_poll(cpu, request),
            Some(Op::ReceiveFrames) => self.start_receive(cpu, request),
            Some(Op::SendFrames) => self.start_send(cpu, request),
            Some(Op::NextEvent) => self.start_next_event(cpu, request.tag),
            Some(Op::TakeCommand) => Outcome::Done(self.take_command(request)),
            Some(op @ (Op::Answer | Op::Report)) => Outcome::Done(self.tell_parent(op, request)),
            Some(op) if (Op::Socket as u16..=Op::SocketName as u16).contains(&(op as u16)) => {
                // In other modes the filter would end the process.
                Outcome::Done(if self.host_network { self.execute_socket(op, request) } else { Err(Errno::NOSYS) })
            }
            Some(op) => Outcome::Done(self.execute_data(op, request)),
        }
    }

    /// Asks the gofer and waits for its answer, on the thread of vCPU `cpu`.
    fn call_gofer(&self, cpu: usize, request: &Request) -> Answer {
        let call = path::prepare(&self.memory, request)?;
        let client = self.gofer.get(cpu).ok_or(Errno::IO)?;
        let mut client = client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let answer = client.call(&call)?;
        self.finish_path(request, answer)
    }

    /// Posts a completion from another thread than the vCPU's, and wakes the vCPU if it sleeps.
    fn complete(&self, cpu: usize, tag: u64, answer: Answer) {
        if let Some(ring) = self.rings.get(cpu) {
            ring.complete(&self.memory, tag, answer);
            self.wake(cpu, ring);
        }
    }

    fn wake(&self, cpu: usize, ring: &RingHost) {
        if let (true, Some(vm)) = (ring.guest_sleeps(&self.memory), &self.vm) {
            vm::interrupt(vm, cpu);
        }
    }

    /// The same for one that `FLAG_QUIET` may be on.
    fn complete_request(&self, cpu: usize, request: &Request, answer: Answer) {
        match self.rings.get(cpu) {
            Some(ring) if request.flags & Request::FLAG_QUIET != 0 => ring.complete(&self.memory, request.tag, answer),
            _ => self.complete(cpu, request.tag, answer),
        }
    }

    /// Posts the completions that found no room; whether some still do not.
    fn retry_completions(&self) -> bool {
        let mut some = false;
        for (cpu, ring) in self.rings.iter().enumerate() {
            if ring.retry(&self.memory) {
                some = true;
                self.wake(cpu, ring);
            }
        }
        some
    }

    /// One byte of early console output.
    pub fn debug_byte(&self, byte: u8) {
        if self.debug {
            report::raw(&[byte]);
        }
    }

    /// A vCPU came back from the guest.
    pub fn count_exit(&self) {
        if let Some(statistics) = &self.statistics {
            statistics.exits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was taken from a ring.
    fn count_request(&self) {
        if let Some(statistics) = &self.statistics {
            statistics.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the sandbox with a status as for `PORT_EXIT`.
    pub fn end(&self, status: u32) -> ! {
        if let Some(Statistics { exits, requests }) = &self.statistics {
            report::statistics(&self.memory, exits.load(Ordering::Relaxed), requests.load(Ordering::Relaxed));
        }
        crate::process::exit_now(report::exit_code(status))
    }

    /// Ends the sandbox because ringwall failed.
    pub fn end_failed(&self, line: &str) -> ! {
        report::line(line);
        crate::process::exit_now(report::FAILURE)
    }

    /// Ends the sandbox because ring0 panicked: says where.
    pub fn end_panicked(&self) -> ! {
        report::panic_record(&self.memory);
        crate::process::exit_now(report::FAILURE)
    }
}

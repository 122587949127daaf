//! The host's hand in a running container: what it says (`events`), what it orders (`commands`, `exec`), what it asks
//! (`usage`), and what it is told: that the container waits, that a process of its own has ended, that the container ends (`end`).
//!
//! A kernel thread waits for events and executes commands one by one; only `Exec`, which may wait for files of the host, has
//! a thread of its own: the one that then runs the program. Lock: `CONTAINER` and `STARTED` are leaves.

mod commands;
mod end;
mod events;
mod exec;
#[cfg(test)]
mod tests;
mod usage;

pub use end::{ENDED, end_container, out_of_memory, process_ended};
pub use events::start_events;

use crate::errno::Errno;
use crate::fs::Namespace;
use crate::platform::platform;
use crate::signal::{AfterSignals, deliver_pending};
use crate::sync::{Lock, Rank};
use crate::task::{Current, Tid, exit};
use crate::tty::Terminal;
use crate::wait::{Events, WaitQueue};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::control::{Answer, Outcome, Report};
use linker::request::{Op, Request};
use linker::spec::StartSpec;

/// How often, and how long apart, a message is sent to a parent that does not listen.
const TRIES: u32 = 500;
const RETRY_NS: u64 = 10_000_000;

/// The container, as commands need it.
#[derive(Clone)]
struct Container {
    namespace: Arc<Namespace>,
    /// Its first process waits for `Start`, and the host is told of its end.
    managed: bool,
}

static CONTAINER: Lock<Option<Container>> = Lock::new(Rank::Leaf, None);
/// Terminals of the processes that the host started, by number, until these end.
static STARTED: Lock<BTreeMap<Tid, Option<Arc<Terminal>>>> = Lock::new(Rank::Leaf, BTreeMap::new());
/// `Start` came.
static GO: AtomicBool = AtomicBool::new(false);
static GO_QUEUE: WaitQueue = WaitQueue::new();

/// Remembers what commands will need.
pub fn init(spec: &StartSpec, namespace: &Arc<Namespace>) {
    let container = Container { namespace: namespace.clone(), managed: spec.wait };
    let old = CONTAINER.lock().replace(container);
    drop(old);
}

fn container() -> Option<Container> {
    CONTAINER.lock().clone()
}

fn is_managed() -> bool {
    container().is_some_and(|container| container.managed)
}

/// Says that the container is set up, and waits for `Start`; for less, where the first process is killed before.
pub fn wait_for_start(current: &mut Current) {
    report(&Report::Waiting);
    loop {
        let go = current.wait(&GO_QUEUE, Events::IN, None, || GO.load(Ordering::SeqCst).then_some(()));
        if go.is_ok() || current.task.is_doomed() {
            return;
        }
        if let AfterSignals::Exit(status) = deliver_pending(current, None) {
            exit::end_process(&current.process, status);
            return;
        }
    }
}

/// Tells the host something unasked. Blocks.
pub fn report(report: &Report) {
    if let Ok(bytes) = report.encode() {
        tell(Op::Report, &bytes);
    }
}

/// Answers a command. Blocks.
fn answer(id: u64, outcome: Outcome) {
    if let Ok(bytes) = (Answer { id, outcome }).encode() {
        tell(Op::Answer, &bytes);
    }
}

/// Sends a message, again and again for a while where the parent does not keep up. What cannot be said (the host is going)
/// is no reason to do anything else than before.
fn tell(op: Op, bytes: &[u8]) {
    for _ in 0..TRIES {
        match platform().host_call(Request { op: op as u16, ..Request::default() }, bytes, &mut []) {
            Err(Errno::EAGAIN) => platform().park(Some(platform().monotonic_ns().saturating_add(RETRY_NS))),
            _ => return,
        }
    }
}

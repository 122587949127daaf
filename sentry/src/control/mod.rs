//! The host's hand in a running container: what it says (`events`), what it orders (`commands`, `exec`), what it asks
//! (`usage`), and what it is told: that the container waits, that a process of its own has ended, that the container ends (`end`).
//!
//! A kernel thread waits for events and executes commands one by one; only `Exec`, which may wait for files of the host, has
//! a thread of its own: the one that then runs the program. `Create` is the same for a further container (`member`). Lock: `CONTAINERS` and `STARTED` are leaves.

mod commands;
mod end;
mod events;
mod exec;
mod member;
#[cfg(test)]
mod tests;
mod usage;

pub use end::{ENDED, end_container, out_of_memory, process_ended};
pub use events::start_events;

use crate::errno::Errno;
use crate::fs::Namespace;
use crate::observe;
use crate::platform::platform;
use crate::signal::{AfterSignals, deliver_pending};
use crate::sync::{Lock, Rank};
use crate::task::spaces::Spaces;
use crate::task::{Current, INIT, Process, Tid, exit, pid_ns};
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

/// A container, as commands need it.
#[derive(Clone)]
struct Container {
    namespace: Arc<Namespace>,
    spaces: Arc<Spaces>,
    /// Its first process.
    init: Tid,
    /// Its first process waits for `Start`, and the host is told of its end.
    managed: bool,
    go: Arc<Go>,
}

/// Whether `Start` came.
#[derive(Default)]
struct Go {
    came: AtomicBool,
    queue: WaitQueue,
}

/// Number of the container that came with the start specification.
pub const FIRST: u32 = 0;

static CONTAINERS: Lock<BTreeMap<u32, Container>> = Lock::new(Rank::Leaf, BTreeMap::new());
/// Terminals of the processes that the host started, by number, until these end.
static STARTED: Lock<BTreeMap<Tid, Option<Arc<Terminal>>>> = Lock::new(Rank::Leaf, BTreeMap::new());

/// Remembers what commands will need.
pub fn init(spec: &StartSpec, namespace: &Arc<Namespace>) {
    enter(FIRST, spec, namespace.clone(), Spaces::initial(), INIT);
}

fn enter(number: u32, spec: &StartSpec, namespace: Arc<Namespace>, spaces: Arc<Spaces>, init: Tid) {
    let container = Container { namespace, spaces, init, managed: spec.wait, go: Arc::default() };
    let old = CONTAINERS.lock().insert(number, container);
    drop(old);
    // Which container a thread is of, who listens is known by.
    observe::trace::look_again();
}

fn container(number: u32) -> Option<Container> {
    CONTAINERS.lock().get(&number).cloned()
}

/// Forgets a container, and with it its mounts, once its processes are gone.
fn forget(number: u32) {
    let old = CONTAINERS.lock().remove(&number);
    drop(old);
    observe::forget(number);
}

fn is_managed() -> bool {
    container(FIRST).is_some_and(|container| container.managed)
}

/// The container that a process is in.
pub fn container_of(process: &Process) -> u32 {
    let containers = CONTAINERS.lock();
    let further = containers.iter().filter(|(number, _)| **number != FIRST);
    let around = |container: &Container| pid_ns::is_within(process.space(), &container.spaces.children);
    further.into_iter().find(|(_, container)| around(container)).map_or(FIRST, |(number, _)| *number)
}

/// Says that the container is set up, and waits for `Start`; for less, where the first process is killed before.
pub fn wait_for_start(current: &mut Current) {
    report(&Report::Waiting);
    wait_for(FIRST, current);
}

/// Waits for a container's `Start`.
fn wait_for(number: u32, current: &mut Current) {
    let Some(Container { go, .. }) = container(number) else { return };
    loop {
        let came = current.wait(&go.queue, Events::IN, None, || go.came.load(Ordering::SeqCst).then_some(()));
        if came.is_ok() || current.task.is_doomed() {
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

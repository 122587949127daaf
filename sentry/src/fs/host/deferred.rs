//! Handles that are not needed any more. A drop may happen under any lock, so it only notes the handle; a kernel thread
//! that sleeps otherwise gives it back to the host.

use crate::platform::{ThreadRef, platform};
use crate::sync::{Lock, Rank};
use alloc::boxed::Box;
use alloc::vec::Vec;
use linker::request::{MAX_HANDLES, Op, Request};
use zerocopy::IntoBytes;

/// Handles that may pile up before the thread is woken for them, unless one is urgent.
const BATCH: usize = 64;

struct Queue {
    requests: Vec<(Op, u32)>,
    thread: Option<ThreadRef>,
}

static QUEUE: Lock<Queue> = Lock::new(Rank::Deferred, Queue { requests: Vec::new(), thread: None });

/// Notes that `handle` is to be given back with `op` (`Forget` or `Close`). `urgent`: somebody waits for it (a pipe's other
/// end, the space of a deleted file).
pub(super) fn push(op: Op, handle: u32, urgent: bool) {
    let mut queue = QUEUE.lock();
    queue.requests.push((op, handle));
    let thread = if urgent || queue.requests.len() >= BATCH { queue.thread.clone() } else { None };
    drop(queue);
    if let Some(thread) = thread {
        thread.unpark();
    }
}

/// Starts the thread, once. Without it (no memory for its stack) handles stay until the sandbox ends.
pub fn start() {
    if QUEUE.lock().thread.is_some() {
        return;
    }
    if let Ok(thread) = platform().spawn(false, Box::new(run)) {
        QUEUE.lock().thread.get_or_insert(thread);
    }
}

fn run() {
    loop {
        if !flush() {
            platform().park(None);
        }
    }
}

/// Gives back what was noted, many in a request; false if there was nothing.
pub(super) fn flush() -> bool {
    let requests = core::mem::take(&mut QUEUE.lock().requests);
    for (op, many) in [(Op::Forget, Op::ForgetMany), (Op::Close, Op::CloseMany)] {
        let handles: Vec<u32> = requests.iter().filter(|(of, _)| *of == op).map(|(_, handle)| *handle).collect();
        for handles in handles.chunks(MAX_HANDLES) {
            // The host has nothing to say to a handle that is gone.
            let _ = match handles {
                [handle] => {
                    platform().host_call(Request { op: op as u16, handle: *handle, ..Request::default() }, &[], &mut [])
                }
                _ => {
                    platform().host_call(Request { op: many as u16, ..Request::default() }, handles.as_bytes(), &mut [])
                }
            };
        }
    }
    !requests.is_empty()
}

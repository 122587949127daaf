//! The kernel thread of a session: takes what is in the buffers and writes it to the reader.

use super::ring::{CELLS, Ring};
use super::{Session, detach, sessions};
use crate::errno::Errno;
use crate::platform::platform;
use crate::wait::{Events, wait_on};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::request::OFFSET_STREAM;
use linker::trace::{Head, Kind};
use linux_raw_sys::general::{POLLERR, POLLHUP, POLLOUT};
use zerocopy::{FromBytes, IntoBytes};

/// Records wait for company so long.
const DELAY_NS: u64 = 20_000_000;
/// So many cells in one ring make the writer go to work at once.
const BATCH_CELLS: u64 = CELLS as u64 / 4;
/// Bytes written at once.
const CHUNK: usize = 64 << 10;
/// How long the end of the sandbox waits for readers.
const PATIENCE_NS: u64 = 2_000_000_000;

/// Writes records until nobody reads them, or the sandbox ends.
pub(super) fn run(session: &Arc<Session>) {
    while next(session) && write(session) {}
    detach(session);
    session.over.store(true, Ordering::SeqCst);
    session.queue.wake(Events::OUT);
}

/// The sandbox ends: waits until all readers have their records, a while.
pub fn finish() {
    let Some(sessions) = sessions() else { return };
    let deadline = platform().monotonic_ns().saturating_add(PATIENCE_NS);
    for session in &sessions.0 {
        session.ending.store(true, Ordering::SeqCst);
        session.queue.wake(Events::IN);
    }
    for session in &sessions.0 {
        let over = || session.over.load(Ordering::SeqCst).then_some(());
        let _ = wait_on(&[(&session.queue, Events::OUT)], false, Some(deadline), &|| false, over);
    }
}

/// A container is gone: so are those who watch it, once they have what there is.
pub fn forget(container: u32) {
    let Some(sessions) = sessions() else { return };
    for session in sessions.0.iter().filter(|session| session.container == container) {
        session.ending.store(true, Ordering::SeqCst);
        session.queue.wake(Events::IN);
    }
}

/// Waits for records worth writing; false: there are none, and there will be none.
fn next(session: &Session) -> bool {
    let wait = |least: u64, deadline_ns: Option<u64>| {
        session.rings.iter().for_each(|ring| ring.ask(least));
        let ready = || (session.waiting() >= least || session.ending.load(Ordering::SeqCst)).then_some(());
        let _ = wait_on(&[(&session.queue, Events::IN)], false, deadline_ns, &|| false, ready);
    };
    wait(1, None);
    wait(BATCH_CELLS, Some(platform().monotonic_ns().saturating_add(DELAY_NS)));
    // While this thread is at work, nobody need call it.
    session.rings.iter().for_each(Ring::ask_nothing);
    session.waiting() != 0
}

/// Writes all there is; false: nobody reads.
fn write(session: &Session) -> bool {
    // What ended later waits for the next time: a thread that changed its CPU left what it did before in another ring, and that
    // may have been looked at already.
    let now = platform().clock()();
    let batches = session.rings.iter().map(|ring| {
        let mut bytes = Vec::new();
        ring.take(now, &mut bytes);
        bytes
    });
    let batches = batches.collect();
    let lost = session.lost.swap(0, Ordering::Relaxed);
    let mut bytes = in_order(batches);
    if lost != 0 {
        bytes.extend_from_slice(lost_record(lost).as_bytes());
    }
    let mut done = 0;
    while done < bytes.len() {
        let chunk = bytes.get(done..(done + CHUNK).min(bytes.len())).unwrap_or_default();
        match session.file.write(OFFSET_STREAM, chunk) {
            Ok(0) => return false,
            Ok(written) => done += written,
            Err(Errno::EAGAIN) => match session.file.poll(POLLOUT, false) {
                Ok(ready) if ready & (POLLERR | POLLHUP) == 0 => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
    true
}

fn lost_record(count: u64) -> Head {
    Head {
        len: size_of::<Head>() as u32,
        kind: Kind::Lost as u32,
        start_ns: platform().realtime_ns(),
        args: [count, 0, 0, 0, 0, 0],
        ..Head::default()
    }
}

/// Records of several buffers, in the order in which the calls ended; with times of day instead of ticks.
fn in_order(batches: Vec<Vec<u8>>) -> Vec<u8> {
    let times = Times::now();
    let mut records: Vec<(u64, Head, &[u8])> = Vec::new();
    for batch in &batches {
        let mut rest = batch.as_slice();
        while let Ok((head, _)) = Head::read_from_prefix(rest) {
            let len = (head.len as usize).max(size_of::<Head>());
            let Some((record, more)) = rest.split_at_checked(len) else { break };
            let captured = record.get(size_of::<Head>()..).unwrap_or_default();
            records.push((head.end(), times.convert(head), captured));
            rest = more;
        }
    }
    if batches.iter().filter(|batch| !batch.is_empty()).count() > 1 {
        records.sort_by_key(|(end, ..)| *end);
    }
    let mut all = Vec::with_capacity(batches.iter().map(Vec::len).sum());
    for (_, head, captured) in records {
        all.extend_from_slice(head.as_bytes());
        all.extend_from_slice(captured);
    }
    all
}

/// What ticks are in time.
struct Times {
    ticks: u64,
    realtime_ns: u64,
    ticks_per_ms: u64,
}

impl Times {
    fn now() -> Self {
        let platform = platform();
        Self {
            ticks: platform.clock()(),
            realtime_ns: platform.realtime_ns(),
            ticks_per_ms: platform.ticks_per_ms().max(1),
        }
    }

    fn convert(&self, head: Head) -> Head {
        let ns = |ticks: u64| (u128::from(ticks) * 1_000_000 / u128::from(self.ticks_per_ms)) as u64;
        let start_ns = self.realtime_ns.saturating_sub(ns(self.ticks.saturating_sub(head.start_ns)));
        Head { start_ns, duration_ns: ns(head.duration_ns), ..head }
    }
}

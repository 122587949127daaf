//! The kernel thread of a session: takes what is in the buffers and writes it to the reader.

use super::{BATCH_BYTES, Buffer, SESSIONS, Session, detach};
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
    let sessions: Vec<Arc<Session>> = SESSIONS.lock().clone();
    let deadline = platform().monotonic_ns().saturating_add(PATIENCE_NS);
    for session in &sessions {
        session.ending.store(true, Ordering::SeqCst);
        session.queue.wake(Events::IN);
    }
    for session in sessions {
        let over = || session.over.load(Ordering::SeqCst).then_some(());
        let _ = wait_on(&[(&session.queue, Events::OUT)], false, Some(deadline), &|| false, over);
    }
}

/// A container is gone: so are those who watch it, once they have what there is.
pub fn forget(container: u32) {
    let sessions: Vec<Arc<Session>> = SESSIONS.lock().clone();
    for session in sessions.iter().filter(|session| session.container == container) {
        session.ending.store(true, Ordering::SeqCst);
        session.queue.wake(Events::IN);
    }
}

/// Waits for records worth writing; false: there are none, and there will be none.
fn next(session: &Session) -> bool {
    let waits = |least: usize| {
        let enough = session.waiting.load(Ordering::SeqCst) >= least || session.ending.load(Ordering::SeqCst);
        enough.then_some(())
    };
    let queue = [(&session.queue, Events::IN)];
    let _ = wait_on(&queue, false, None, &|| false, || waits(1));
    let deadline = platform().monotonic_ns().saturating_add(DELAY_NS);
    let _ = wait_on(&queue, false, Some(deadline), &|| false, || waits(BATCH_BYTES));
    session.waiting.load(Ordering::SeqCst) != 0
}

/// Writes all there is; false: nobody reads.
fn write(session: &Session) -> bool {
    let mut batches = Vec::new();
    for buffer in &session.buffers {
        let Buffer(bytes) = core::mem::take(&mut *buffer.lock());
        session.waiting.fetch_sub(bytes.len(), Ordering::SeqCst);
        batches.push(bytes);
    }
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

/// Records of several buffers, in the order in which the calls ended.
fn in_order(mut batches: Vec<Vec<u8>>) -> Vec<u8> {
    batches.retain(|batch| !batch.is_empty());
    if batches.len() == 1 {
        return batches.pop().unwrap_or_default();
    }
    let mut records: Vec<(u64, &[u8])> = Vec::new();
    for batch in &batches {
        let mut rest = batch.as_slice();
        while let Ok((head, _)) = Head::read_from_prefix(rest) {
            let Some((record, more)) = rest.split_at_checked(head.len as usize).filter(|_| head.len != 0) else {
                break;
            };
            records.push((head.start_ns.saturating_add(head.duration_ns), record));
            rest = more;
        }
    }
    records.sort_by_key(|(end_ns, _)| *end_ns);
    let mut all = Vec::with_capacity(batches.iter().map(Vec::len).sum());
    for (_, record) in records {
        all.extend_from_slice(record);
    }
    all
}

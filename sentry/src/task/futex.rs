//! Futexes: wait, wake, requeue, wake-op, and robust lists.
//!
//! A waiter joins its bucket first and only then looks at the word, so that no lock is held across the look: a waker that
//! changed the word before the look is seen by it, one that changes it later finds the waiter queued.

use super::Current;
use crate::errno::Errno;
use crate::mm::FutexKey;
use crate::platform::{ThreadRef, platform};
use crate::sync::{Lock, Rank, assert_none_held};
use crate::syscall::Fail;
use crate::wait::WaitError;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::general as raw;

const BUCKETS: usize = 256;

struct Waiter {
    thread: ThreadRef,
    bitset: u32,
    /// Of real time, when it began to wait; 0 for all other threads.
    priority: u32,
    woken: AtomicBool,
    /// Changes when requeued; guarded by both buckets' locks then.
    key: Lock<FutexKey>,
}

struct Bucket {
    /// The highest priority first; of one priority, in the order of coming.
    waiters: Lock<Vec<Arc<Waiter>>>,
}

static TABLE: [Bucket; BUCKETS] = [const { Bucket { waiters: Lock::new(Rank::Futex, Vec::new()) } }; BUCKETS];

fn index_of(key: &FutexKey) -> usize {
    // Fibonacci hashing: the top bits of the product mix all of the input's.
    let mixed = (key.object ^ key.offset.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize % BUCKETS
}

/// Adds a waiter to a bucket.
#[inline]
fn join(waiters: &mut Vec<Arc<Waiter>>, waiter: Arc<Waiter>) {
    if waiter.priority == 0 {
        waiters.push(waiter);
    } else {
        let at = waiters.partition_point(|other| other.priority >= waiter.priority);
        waiters.insert(at, waiter);
    }
}

/// FUTEX_WAIT_BITSET: parks while the word is `expected`, until a wake that shares a bit, or `deadline_ns` (monotonic).
/// EAGAIN when the word is something else.
pub fn wait(
    current: &Current,
    at: UserVa,
    private: bool,
    expected: u32,
    bitset: u32,
    deadline_ns: Option<u64>,
) -> Result<(), Fail> {
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = key(current, at, private)?;
    assert_none_held();
    let waiter = Arc::new(Waiter {
        thread: platform().current_thread(),
        bitset,
        priority: current.task.real_time_priority(),
        woken: AtomicBool::new(false),
        key: Lock::new(Rank::Leaf, key),
    });
    join(&mut TABLE[index_of(&key)].waiters.lock(), waiter.clone());
    let outcome = match current.load_u32(at) {
        Ok(word) if word == expected => park(current, &waiter, deadline_ns),
        Ok(_) => Err(Fail::Errno(Errno::EAGAIN)),
        Err(errno) => Err(errno.into()),
    };
    // A waker may have picked this waiter while it was leaving; then the wake counts.
    if leave(&waiter) { outcome } else { Ok(()) }
}

fn park(current: &Current, waiter: &Waiter, deadline_ns: Option<u64>) -> Result<(), Fail> {
    loop {
        if waiter.woken.load(Ordering::Acquire) {
            return Ok(());
        }
        if current.interrupted() {
            return Err(WaitError::Interrupted.into());
        }
        if deadline_ns.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
            return Err(WaitError::TimedOut.into());
        }
        platform().park(deadline_ns);
    }
}

/// Takes a waiter out of its bucket; false when a waker already has.
fn leave(waiter: &Arc<Waiter>) -> bool {
    loop {
        let key = *waiter.key.lock();
        let mut waiters = TABLE[index_of(&key)].waiters.lock();
        if waiter.woken.load(Ordering::Acquire) {
            return false;
        }
        if let Some(position) = waiters.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            waiters.remove(position);
            return true;
        }
        // Requeued between the two looks: again, in the new bucket.
    }
}

/// FUTEX_WAKE_BITSET: wakes up to `count` waiters that share a bit. Returns how many.
pub fn wake(current: &Current, at: UserVa, private: bool, count: usize, bitset: u32) -> Result<usize, Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(wake_key(&key(current, at, private)?, count, bitset))
}

/// The wake at a thread's end: its waiters may wait on the private or the shared key.
pub fn wake_private_and_shared(current: &Current, at: UserVa, count: usize) {
    let mut keys = [key(current, at, true).ok(), key(current, at, false).ok()];
    if keys[0] == keys[1] {
        keys[1] = None;
    }
    for key in keys.into_iter().flatten() {
        wake_key(&key, count, raw::FUTEX_BITSET_MATCH_ANY);
    }
}

fn wake_key(key: &FutexKey, count: usize, bitset: u32) -> usize {
    let mut woken: Vec<Arc<Waiter>> = Vec::new();
    {
        let mut waiters = TABLE[index_of(key)].waiters.lock();
        take_matching(&mut waiters, key, count, bitset, &mut woken);
    }
    for waiter in &woken {
        waiter.thread.unpark();
    }
    woken.len()
}

/// Moves up to `count` waiters of `key` to `taken`, marked as woken.
fn take_matching(
    waiters: &mut Vec<Arc<Waiter>>,
    key: &FutexKey,
    count: usize,
    bitset: u32,
    taken: &mut Vec<Arc<Waiter>>,
) {
    let mut index = 0;
    let end = taken.len() + count;
    while index < waiters.len() && taken.len() < end {
        let waiter = &waiters[index];
        if *waiter.key.lock() == *key && waiter.bitset & bitset != 0 {
            waiter.woken.store(true, Ordering::Release);
            taken.push(waiters.remove(index));
        } else {
            index += 1;
        }
    }
}

/// One word of `wait_any`.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Where.
    pub at: UserVa,
    /// Only threads of this address space use it.
    pub private: bool,
    /// What it has to be for the thread to wait.
    pub expected: u32,
}

/// futex_waitv(2): parks while every word is what it should be, until one is woken. Returns which; EAGAIN when a word is
/// something else.
pub fn wait_any(current: &Current, words: &[Word], deadline_ns: Option<u64>) -> Result<usize, Fail> {
    assert_none_held();
    let mut waiters: Vec<Arc<Waiter>> = Vec::with_capacity(words.len());
    for word in words {
        let key = key(current, word.at, word.private)?;
        waiters.push(Arc::new(Waiter {
            thread: platform().current_thread(),
            bitset: raw::FUTEX_BITSET_MATCH_ANY,
            priority: current.task.real_time_priority(),
            woken: AtomicBool::new(false),
            key: Lock::new(Rank::Leaf, key),
        }));
    }
    for waiter in &waiters {
        let index = index_of(&waiter.key.lock());
        join(&mut TABLE[index].waiters.lock(), waiter.clone());
    }
    let unchanged = words.iter().try_for_each(|word| match current.load_u32(word.at) {
        Ok(value) if value == word.expected => Ok(()),
        Ok(_) => Err(Fail::Errno(Errno::EAGAIN)),
        Err(errno) => Err(errno.into()),
    });
    let is_woken = || waiters.iter().any(|waiter| waiter.woken.load(Ordering::Acquire));
    let outcome = unchanged.and_then(|()| {
        loop {
            if is_woken() {
                break Ok(());
            }
            if current.interrupted() {
                break Err(WaitError::Interrupted.into());
            }
            if deadline_ns.is_some_and(|deadline| platform().monotonic_ns() >= deadline) {
                break Err(WaitError::TimedOut.into());
            }
            platform().park(deadline_ns);
        }
    });
    let mut woken = None;
    for (index, waiter) in waiters.iter().enumerate() {
        if !leave(waiter) {
            woken = Some(index);
        }
    }
    match (woken, outcome) {
        (Some(index), _) => Ok(index),
        (None, Err(fail)) => Err(fail),
        (None, Ok(())) => Err(Errno::EAGAIN.into()),
    }
}

/// FUTEX_LOCK_PI: takes the lock whose word holds its owner's number. All threads take turns alike, so an owner inherits nothing.
pub fn lock_owned(current: &Current, at: UserVa, private: bool, deadline_ns: Option<u64>) -> Result<(), Fail> {
    loop {
        if try_lock_owned(current, at)? {
            return Ok(());
        }
        let word = current.load_u32(at)?;
        let owner = word & raw::FUTEX_TID_MASK;
        if owner == 0 {
            continue;
        }
        if owner == current.task.shown_tid().raw() {
            return Err(Errno::EDEADLK.into());
        }
        if super::registry().task(current.meant(super::Tid::new(owner))).is_none() {
            return Err(Errno::ESRCH.into());
        }
        let waited_for = word | raw::FUTEX_WAITERS;
        if current.exchange_u32(at, word, waited_for)?.is_err() {
            continue;
        }
        match wait(current, at, private, waited_for, raw::FUTEX_BITSET_MATCH_ANY, deadline_ns) {
            Ok(()) | Err(Fail::Errno(Errno::EAGAIN)) => {}
            Err(Fail::Restart) => return Err(Fail::RestartAlways),
            Err(fail) => return Err(fail),
        }
    }
}

/// FUTEX_TRYLOCK_PI: takes the lock if nobody (alive) has it.
pub fn try_lock_owned(current: &Current, at: UserVa) -> Result<bool, Errno> {
    loop {
        let word = current.load_u32(at)?;
        if word & raw::FUTEX_TID_MASK != 0 {
            return Ok(false);
        }
        // Whoever waits still waits, and a dead owner is told of.
        if current.exchange_u32(at, word, word | current.task.shown_tid().raw())?.is_ok() {
            return Ok(true);
        }
    }
}

/// FUTEX_UNLOCK_PI: gives the lock up and wakes one who waits for it.
pub fn unlock_owned(current: &Current, at: UserVa, private: bool) -> Result<(), Errno> {
    // Whose it is comes before what is wrong with its place, as on Linux.
    let mut word = [0; 4];
    current.copy_in(at, &mut word)?;
    if u32::from_ne_bytes(word) & raw::FUTEX_TID_MASK != current.task.shown_tid().raw() {
        return Err(Errno::EPERM);
    }
    let key = key(current, at, private)?;
    loop {
        let word = current.load_u32(at)?;
        if word & raw::FUTEX_TID_MASK != current.task.shown_tid().raw() {
            return Err(Errno::EPERM);
        }
        // The bit stays as long as anyone may wait, so that the next owner comes here, too.
        let waited_for = {
            let waiters = TABLE[index_of(&key)].waiters.lock();
            waiters.iter().filter(|waiter| *waiter.key.lock() == key).count() > 1
        };
        let free = if waited_for { raw::FUTEX_WAITERS } else { 0 };
        if current.exchange_u32(at, word, free)?.is_ok() {
            wake_key(&key, 1, raw::FUTEX_BITSET_MATCH_ANY);
            return Ok(());
        }
    }
}

/// FUTEX_REQUEUE and FUTEX_CMP_REQUEUE: wakes `wake` waiters and moves up to `requeue` others to `to`. With `expected`, EAGAIN
/// when the word is something else. Returns the woken, and the moved.
pub fn requeue(
    current: &Current,
    at: UserVa,
    to: UserVa,
    private: bool,
    wake: usize,
    requeue: usize,
    expected: Option<u32>,
) -> Result<(usize, usize), Errno> {
    let (from_key, to_key) = (key(current, at, private)?, key(current, to, private)?);
    let mut woken = Vec::new();
    let moved = loop {
        if let Some(expected) = expected
            && current.load_u32(at)? != expected
        {
            return Err(Errno::EAGAIN);
        }
        let (from, to) = (index_of(&from_key), index_of(&to_key));
        let first = &TABLE[from.min(to)].waiters;
        let second = &TABLE[from.max(to)].waiters;
        let mut first = first.lock();
        let mut second = (from != to).then(|| second.lock_second());
        // The word again, now that nobody can join or leave. The load does not fault pages in, so it never blocks here.
        if let Some(expected) = expected {
            match platform().load_user_u32(at) {
                Ok(word) if word == expected => {}
                Ok(_) => return Err(Errno::EAGAIN),
                Err(_) => continue,
            }
        }
        let source = if from <= to {
            &mut *first
        } else {
            second.as_mut().map_or_else(|| unreachable!("two buckets"), |guard| &mut **guard)
        };
        take_matching(source, &from_key, wake, raw::FUTEX_BITSET_MATCH_ANY, &mut woken);
        let mut moving = Vec::new();
        let mut index = 0;
        while index < source.len() && moving.len() < requeue {
            if *source[index].key.lock() == from_key {
                let waiter = source.remove(index);
                *waiter.key.lock() = to_key;
                moving.push(waiter);
            } else {
                index += 1;
            }
        }
        let moved = moving.len();
        let target = match &mut second {
            Some(second) if from < to => &mut **second,
            _ => &mut *first,
        };
        moving.into_iter().for_each(|waiter| join(target, waiter));
        break moved;
    };
    for waiter in &woken {
        waiter.thread.unpark();
    }
    Ok((woken.len(), moved))
}

/// FUTEX_WAKE_OP: changes the word at `second` by `operation`, wakes `count` waiters of `at`, and `count2` of `second` where the
/// old word compares as the operation says.
pub fn wake_op(
    current: &Current,
    at: UserVa,
    second: UserVa,
    private: bool,
    count: usize,
    count2: usize,
    operation: u32,
) -> Result<usize, Errno> {
    let old = apply(current, second, operation)?;
    let mut woken = wake(current, at, private, count, raw::FUTEX_BITSET_MATCH_ANY)?;
    // futex(2), FUTEX_WAKE_OP: op in bits 28–31, cmp in 24–27, oparg in 12–23, cmparg in 0–11, the last two signed.
    let compared = (operation as i32) << 20 >> 20;
    let old = old as i32;
    let holds = match operation >> 24 & 15 {
        raw::FUTEX_OP_CMP_EQ => old == compared,
        raw::FUTEX_OP_CMP_NE => old != compared,
        raw::FUTEX_OP_CMP_LT => old < compared,
        raw::FUTEX_OP_CMP_LE => old <= compared,
        raw::FUTEX_OP_CMP_GT => old > compared,
        raw::FUTEX_OP_CMP_GE => old >= compared,
        _ => return Err(Errno::ENOSYS),
    };
    if holds {
        woken += wake(current, second, private, count2, raw::FUTEX_BITSET_MATCH_ANY)?;
    }
    Ok(woken)
}

/// Applies FUTEX_WAKE_OP's operation atomically; returns the old word.
fn apply(current: &Current, at: UserVa, operation: u32) -> Result<u32, Errno> {
    let mut argument = ((operation as i32) << 8 >> 20) as u32;
    if operation >> 28 & raw::FUTEX_OP_OPARG_SHIFT != 0 {
        argument = 1u32.checked_shl(argument & 31).unwrap_or(0);
    }
    loop {
        let old = current.load_u32(at)?;
        let new = match operation >> 28 & 7 {
            raw::FUTEX_OP_SET => argument,
            raw::FUTEX_OP_ADD => old.wrapping_add(argument),
            raw::FUTEX_OP_OR => old | argument,
            raw::FUTEX_OP_ANDN => old & !argument,
            raw::FUTEX_OP_XOR => old ^ argument,
            _ => return Err(Errno::ENOSYS),
        };
        if current.exchange_u32(at, old, new)?.is_ok() {
            return Ok(old);
        }
    }
}

/// What identifies the word: the address space and address, or the shared object behind it.
fn key(current: &Current, at: UserVa, private: bool) -> Result<FutexKey, Errno> {
    if !at.raw().is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if at.raw() >= linker::layout::USER_END {
        return Err(Errno::EFAULT);
    }
    if private {
        return Ok(current.mm.private_futex_key(at));
    }
    // What a shared word is known by is the page behind it, so there has to be one.
    current.load_u32(at)?;
    Ok(current.mm.shared_futex_key(at))
}

/// Locks of a robust list are marked as orphaned: `FUTEX_OWNER_DIED`, and one waiter is woken (set_robust_list(2)).
pub fn exit_robust_list(current: &Current) {
    if current.robust_list == 0 {
        return;
    }
    let read = |at: u64| -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        current.copy_in(UserVa::new(at), &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    };
    let head = current.robust_list;
    // struct robust_list_head: next, futex_offset, list_op_pending.
    let (Ok(mut entry), Ok(offset), Ok(pending)) =
        (read(head), read(head.wrapping_add(8)), read(head.wrapping_add(16)))
    else {
        return;
    };
    // ROBUST_LIST_LIMIT (include/linux/futex.h): a list in a circle ends here.
    for _ in 0..2048 {
        if entry & !1 == head {
            break;
        }
        let next = read(entry & !1);
        if entry & !1 != pending & !1 {
            orphan(current, (entry & !1).wrapping_add(offset), false);
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => return,
        }
    }
    if pending & !1 != 0 {
        orphan(current, (pending & !1).wrapping_add(offset), true);
    }
}

/// Marks one lock word, if this thread owns it.
fn orphan(current: &Current, at: u64, pending: bool) {
    let at = UserVa::new(at);
    if !at.raw().is_multiple_of(4) {
        return;
    }
    loop {
        let Ok(word) = current.load_u32(at) else { return };
        if pending && word == 0 {
            wake_private_and_shared(current, at, 1);
            return;
        }
        if word & raw::FUTEX_TID_MASK != current.task.shown_tid().raw() {
            return;
        }
        let died = word & raw::FUTEX_WAITERS | raw::FUTEX_OWNER_DIED;
        match current.exchange_u32(at, word, died) {
            Ok(Ok(_)) => {
                if word & raw::FUTEX_WAITERS != 0 {
                    wake_private_and_shared(current, at, 1);
                }
                return;
            }
            Ok(Err(_)) => {}
            Err(_) => return,
        }
    }
}

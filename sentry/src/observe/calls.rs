//! One thread's calls, counted by itself: a row a call number, made when the call is first made. Everything here is written by the
//! thread alone, so nothing is locked and no atomic operation is one that costs; others may read at any time.
//!
//! What a call costs for being counted is part of every call, so the common case (a call that succeeds, quickly) is a few
//! additions. Whatever asks the host takes longer than `QUICK` ticks: only there is looked whether the machine was left.

use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::syscall::Fail;
use crate::syscall::table::NUMBERS;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::statistics::{BUCKETS, CallStatistics, UNKNOWN};
use once_cell::race::OnceBox;

/// Buckets of calls that cannot have left the machine: one exit and entry alone takes longer, on any CPU.
const QUICK: usize = 10;
/// Errnos that a row has room for; few calls ever give more.
const SLOTS: usize = 4;
/// One more in such a slot.
const ONE_ERROR: u64 = 1 << 16;

const _: () = assert!(NUMBERS.is_power_of_two() && UNKNOWN as usize == NUMBERS - 1);

/// A thread's counters.
pub struct Calls {
    rows: [OnceBox<Row>; NUMBERS],
    /// Which rows there are, a bit each.
    used: [AtomicU64; NUMBERS / 64],
    /// Failures by number and errno, of errnos that have no slot.
    errors: Lock<Vec<((u16, u16), u64)>>,
    /// Exits of the thread that belong to a call already, or to none.
    exits: AtomicU64,
}

/// The counters of a call.
struct Row {
    ticks: AtomicU64,
    returned: AtomicU64,
    exits: AtomicU64,
    histogram: [AtomicU64; BUCKETS],
    /// The errnos that came first: number in the low 16 bits, count above; 0: none.
    errors: [AtomicU64; SLOTS],
}

impl Default for Row {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            ticks: zero(),
            returned: zero(),
            exits: zero(),
            histogram: [const { AtomicU64::new(0) }; BUCKETS],
            errors: [const { AtomicU64::new(0) }; SLOTS],
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            rows: [const { OnceBox::new() }; NUMBERS],
            used: [const { AtomicU64::new(0) }; NUMBERS / 64],
            errors: Lock::new(Rank::Leaf, Vec::new()),
            exits: AtomicU64::new(0),
        }
    }
}

impl Calls {
    /// Those of threads that are not counted.
    pub fn nobody() -> Arc<Self> {
        static NOBODY: spin::Once<Arc<Calls>> = spin::Once::new();
        NOBODY.call_once(Arc::default).clone()
    }

    /// Counts a call that returned `value` after `ticks`, of a number below [`NUMBERS`], if it was a quick one and not the first:
    /// else it says false, and [`Self::succeeded`] is to be called. By the thread itself.
    #[inline(always)]
    pub fn quickly(&self, number: u64, ticks: u64, value: u64) -> bool {
        // For the compiler: nothing takes no time, and no number is cut off.
        let bucket = (ticks | 1).ilog2() as usize;
        match self.rows[number as usize % NUMBERS].get() {
            Some(row) if bucket < QUICK => {
                add(&row.ticks, ticks);
                add(&row.returned, value);
                add(&row.histogram[bucket], 1);
                true
            }
            _ => false,
        }
    }

    /// Counts a call that returned `value` after `ticks`. By the thread itself.
    pub fn succeeded(&self, number: u64, ticks: u64, value: u64) {
        let index = row_of(number);
        if !self.quickly(index as u64, ticks, value) {
            self.slowly(index, ticks, value);
        }
    }

    /// Counts a call that failed, or that returns nothing. By the thread itself.
    #[inline(never)]
    pub fn failed(&self, number: u64, ticks: u64, fail: &Fail) {
        self.succeeded(number, ticks, 0);
        let errno = match fail {
            Fail::NoReturn | Fail::Exit(_) => return,
            Fail::Errno(errno) => errno.raw(),
            // A signal ended it, and it may be made again.
            _ => 0,
        };
        let Some(row) = self.rows[row_of(number)].get() else { return };
        for slot in &row.errors {
            let known = read(slot);
            if known == 0 || known as u16 == errno {
                slot.store(
                    (known & !u64::from(u16::MAX) | u64::from(errno)).wrapping_add(ONE_ERROR),
                    Ordering::Relaxed,
                );
                return;
            }
        }
        self.rarely(row_of(number) as u16, errno);
    }

    /// Counts an errno that has no slot in its row.
    #[cold]
    fn rarely(&self, index: u16, errno: u16) {
        let mut errors = self.errors.lock();
        match errors.iter_mut().find(|(known, _)| *known == (index, errno)) {
            Some((_, count)) => *count += 1,
            None => errors.push(((index, errno), 1)),
        }
    }

    /// The machine was left for something other than a call: not to be put down to the next one.
    pub fn skip_exits(&self) {
        self.exits.store(platform().exits(), Ordering::Relaxed);
    }

    #[inline(never)]
    fn slowly(&self, index: usize, ticks: u64, value: u64) {
        let row = self.rows[index].get_or_init(|| {
            self.used[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
            Box::default()
        });
        let exits = platform().exits();
        add(&row.exits, exits.wrapping_sub(self.exits.swap(exits, Ordering::Relaxed)));
        add(&row.ticks, ticks);
        add(&row.returned, value);
        add(&row.histogram[((ticks | 1).ilog2() as usize).min(BUCKETS - 1)], 1);
    }

    /// What was counted so far, by number.
    pub fn read(&self) -> Vec<CallStatistics> {
        let errors = self.errors.lock().clone();
        self.numbers()
            .filter_map(|index| {
                let row = self.rows[index].get()?;
                let mut histogram: Vec<u64> = row.histogram.iter().map(read).collect();
                let count = histogram.iter().sum();
                while histogram.last() == Some(&0) {
                    histogram.pop();
                }
                let others = errors.iter().filter(|((number, _), _)| usize::from(*number) == index);
                let slots = row.errors.iter().map(read).filter(|slot| *slot != 0).map(errno_and_count);
                Some(CallStatistics {
                    number: index as u32,
                    count,
                    ticks: read(&row.ticks),
                    returned: read(&row.returned),
                    exits: read(&row.exits),
                    histogram,
                    errors: slots.chain(others.map(|((_, errno), count)| (*errno, *count))).collect(),
                })
            })
            .collect()
    }

    /// Adds what was counted to `totals`, and forgets it, but keeps the rows' memory for another thread. Nobody else counts any
    /// more.
    pub fn move_to(&self, totals: &mut BTreeMap<u32, CallStatistics>, errors: Vec<((u16, u16), u64)>) {
        for index in self.numbers() {
            let Some(row) = self.rows[index].get().filter(|row| read(&row.ticks) != 0) else { continue };
            let total = totals.entry(index as u32).or_default();
            total.number = index as u32;
            total.histogram.resize(BUCKETS, 0);
            for (sum, bucket) in total.histogram.iter_mut().zip(&row.histogram) {
                let count = take(bucket);
                *sum = sum.wrapping_add(count);
                total.count = total.count.wrapping_add(count);
            }
            total.ticks = total.ticks.wrapping_add(take(&row.ticks));
            total.returned = total.returned.wrapping_add(take(&row.returned));
            total.exits = total.exits.wrapping_add(take(&row.exits));
            for slot in row.errors.iter().map(take).filter(|slot| *slot != 0) {
                let (errno, count) = errno_and_count(slot);
                add_error(total, errno, count);
            }
        }
        for ((index, errno), count) in errors {
            let total = totals.entry(index.into()).or_default();
            total.number = index.into();
            add_error(total, errno, count);
        }
    }

    /// Takes the failures out: before `move_to`, which is called with a lock held.
    pub fn take_errors(&self) -> Vec<((u16, u16), u64)> {
        core::mem::take(&mut *self.errors.lock())
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.used).flat_map(|(index, word)| {
            let mut word = read(word);
            core::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

/// Adds to the failures of a row.
pub fn add_error(row: &mut CallStatistics, errno: u16, count: u64) {
    match row.errors.iter_mut().find(|(known, _)| *known == errno) {
        Some((_, sum)) => *sum = sum.wrapping_add(count),
        None => row.errors.push((errno, count)),
    }
}

fn errno_and_count(slot: u64) -> (u16, u64) {
    (slot as u16, slot / ONE_ERROR)
}

fn row_of(number: u64) -> usize {
    usize::try_from(number).ok().filter(|index| *index < NUMBERS).unwrap_or(UNKNOWN as usize)
}

/// Reads a counter that nobody else writes, and begins anew.
fn take(counter: &AtomicU64) -> u64 {
    let value = read(counter);
    if value != 0 {
        counter.store(0, Ordering::Relaxed);
    }
    value
}

/// Adds to a counter that nobody else writes.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(read(counter).wrapping_add(amount), Ordering::Relaxed);
}

#[inline]
fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::Calls;
    use crate::errno::Errno;
    use crate::fake;
    use crate::syscall::Fail;
    use linker::statistics::{BUCKETS, UNKNOWN};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[test]
    fn calls_are_counted_by_number_time_and_errno() {
        fake::install();
        let calls = Calls::default();
        calls.succeeded(39, 150, 7);
        calls.succeeded(39, 150, 7);
        calls.succeeded(39, u64::MAX, 7);
        calls.failed(0, 5000, &Errno::EAGAIN.into());
        calls.failed(0, 5000, &Errno::EAGAIN.into());
        calls.failed(0, 9000, &Fail::Restart);
        calls.failed(100_000, 1, &Errno::ENOSYS.into());
        calls.failed(15, 60, &Fail::NoReturn);
        for errno in [Errno::EPERM, Errno::EINTR, Errno::EIO, Errno::EBADF, Errno::EFAULT, Errno::EFAULT] {
            calls.failed(16, 60, &errno.into());
        }
        let rows = calls.read();
        assert_eq!(
            rows.iter().map(|row| (row.number, row.count)).collect::<Vec<_>>(),
            [(0, 3), (15, 1), (16, 6), (39, 3), (UNKNOWN, 1)]
        );
        assert_eq!(rows[0].errors, [(Errno::EAGAIN.raw(), 2), (0, 1)]);
        assert_eq!((rows[2].errors.len(), rows[2].errors[4]), (5, (Errno::EFAULT.raw(), 2)));
        assert_eq!((rows[0].ticks, rows[0].returned), (19_000, 0));
        assert_eq!((rows[3].returned, rows[3].histogram[7], rows[3].histogram[BUCKETS - 1]), (21, 2, 1));
        let (mut totals, before) = (BTreeMap::new(), calls.read());
        let errors = calls.take_errors();
        calls.move_to(&mut totals, errors);
        for (row, mut total) in before.into_iter().zip(totals.into_values()) {
            total.histogram.truncate(row.histogram.len());
            assert_eq!(row, total);
        }
        assert!(calls.read().iter().all(|row| row.count == 0 && row.errors.is_empty()));
    }
}

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
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linker::statistics::{BUCKETS, CallStatistics, UNKNOWN};
use once_cell::race::OnceBox;

/// Buckets of calls that cannot have left the machine: one exit and entry alone takes longer, on any CPU.
const QUICK: usize = 10;

const _: () = assert!(NUMBERS.is_power_of_two() && UNKNOWN as usize == NUMBERS - 1);

/// A thread's counters.
pub struct Calls {
    rows: Box<[OnceBox<Row>; NUMBERS]>,
    /// Which rows there are, a bit each.
    used: [AtomicU64; NUMBERS / 64],
    /// Failures by number and errno.
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
}

impl Default for Row {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { ticks: zero(), returned: zero(), exits: zero(), histogram: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Default for Calls {
    fn default() -> Self {
        let rows: Box<[OnceBox<Row>]> = core::iter::repeat_with(OnceBox::new).take(NUMBERS).collect();
        let Ok(rows) = rows.try_into() else { unreachable!("as many rows as were asked for") };
        Self {
            rows,
            used: [const { AtomicU64::new(0) }; NUMBERS / 64],
            errors: Lock::new(Rank::Leaf, Vec::new()),
            exits: AtomicU64::new(0),
        }
    }
}

impl Calls {
    /// Counts a call that returned `value` after `ticks`. By the thread itself.
    #[inline]
    pub fn succeeded(&self, number: u64, ticks: u64, value: u64) {
        let index = number as usize % NUMBERS;
        let bucket = (ticks | 1).ilog2() as usize;
        match self.rows[index].get() {
            Some(row) if bucket < QUICK => {
                add(&row.ticks, ticks);
                add(&row.returned, value);
                add(&row.histogram[bucket], 1);
            }
            _ => self.slowly(index, ticks, value),
        }
    }

    /// Counts a call that failed, or that returns nothing. By the thread itself.
    #[cold]
    pub fn failed(&self, number: u64, ticks: u64, fail: &Fail) {
        let index = usize::try_from(number).ok().filter(|index| *index < NUMBERS).unwrap_or(UNKNOWN as usize);
        self.slowly(index, ticks, 0);
        let errno = match fail {
            Fail::NoReturn | Fail::Exit(_) => return,
            Fail::Errno(errno) => errno.raw(),
            // A signal ended it, and it may be made again.
            _ => 0,
        };
        let key = (index as u16, errno);
        let mut errors = self.errors.lock();
        match errors.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => errors.push((key, 1)),
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
                let of_row = errors.iter().filter(|((number, _), _)| usize::from(*number) == index);
                Some(CallStatistics {
                    number: index as u32,
                    count,
                    ticks: read(&row.ticks),
                    returned: read(&row.returned),
                    exits: read(&row.exits),
                    histogram,
                    errors: of_row.map(|((_, errno), count)| (*errno, *count)).collect(),
                })
            })
            .collect()
    }

    /// Forgets everything but the rows' memory, for another thread to use. Nobody else writes any more.
    pub fn reset(&self) {
        for index in self.numbers() {
            let Some(row) = self.rows[index].get() else { continue };
            for counter in [&row.ticks, &row.returned, &row.exits].into_iter().chain(&row.histogram) {
                counter.store(0, Ordering::Relaxed);
            }
        }
        self.errors.lock().clear();
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.used.iter().enumerate().flat_map(|(index, word)| {
            let word = read(word);
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * 64 + bit)
        })
    }
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
        let rows = calls.read();
        assert_eq!(
            rows.iter().map(|row| (row.number, row.count)).collect::<Vec<_>>(),
            [(0, 3), (15, 1), (39, 3), (UNKNOWN, 1)]
        );
        assert_eq!(rows[0].errors, [(Errno::EAGAIN.raw(), 2), (0, 1)]);
        assert_eq!((rows[0].ticks, rows[0].returned), (19_000, 0));
        assert_eq!((rows[2].returned, rows[2].histogram[7], rows[2].histogram[BUCKETS - 1]), (21, 2, 1));
        calls.reset();
        assert!(calls.read().iter().all(|row| row.count == 0 && row.errors.is_empty()));
    }
}

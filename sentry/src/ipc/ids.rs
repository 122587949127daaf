//! Numbers of System V objects, as Linux gives them out: the lowest free place, with a sequence above it that moves on when a
//! place is used again. Programs look at objects by place (`MSG_STAT` and its like) as well as by number.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicI32, Ordering};

/// Bits of a number that say the place (ipc/util.h: IPCMNI_SHIFT).
const PLACE_BITS: u32 = 15;
const PLACES: i32 = 1 << PLACE_BITS;

/// The numbers of one kind of object.
pub struct Ids {
    /// Each used place, and its number.
    used: BTreeMap<i32, i32>,
    /// No place below is free.
    low: i32,
    /// The last place that was taken.
    last: i32,
    sequence: i32,
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    /// None yet.
    pub const fn new() -> Self {
        Self { used: BTreeMap::new(), low: 0, last: -1, sequence: 0 }
    }

    /// A number for a new object, the one that `wish` asks for, if its place is free (`/proc/sys/kernel/*_next_id`; it becomes -1).
    /// `None` where there are too many.
    pub fn take(&mut self, wish: &AtomicI32) -> Option<i32> {
        let wish = u32::try_from(wish.swap(-1, Ordering::Relaxed)).ok().map(|wish| wish as i32);
        let mut place = wish.map_or(self.low, |wish| wish % PLACES);
        while self.used.contains_key(&place) {
            place += 1;
        }
        if place >= PLACES {
            return None;
        }
        let sequence = match wish {
            Some(wish) => wish >> PLACE_BITS,
            None => {
                self.low = place + 1;
                if place <= self.last {
                    self.sequence = (self.sequence + 1) & i32::from(u16::MAX);
                }
                self.last = place;
                self.sequence
            }
        };
        let number = sequence << PLACE_BITS | place;
        self.used.insert(place, number);
        Some(number)
    }

    /// An object is gone.
    pub fn free(&mut self, number: i32) {
        let place = number % PLACES;
        self.used.remove(&place);
        self.low = self.low.min(place);
    }

    /// The number of the object at a place; of a number, the place counts.
    pub fn at(&self, place: i32) -> Option<i32> {
        let place = u32::try_from(place).ok()? as i32 % PLACES;
        self.used.get(&place).copied()
    }

    /// The highest place that is used, 0 if none is.
    pub fn highest(&self) -> i32 {
        self.used.last_key_value().map_or(0, |(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;
    use core::sync::atomic::{AtomicI32, Ordering};

    #[test]
    fn a_place_is_used_again_under_another_number() {
        let (mut ids, none) = (Ids::new(), AtomicI32::new(-1));
        assert_eq!((ids.take(&none), ids.take(&none)), (Some(0), Some(1)));
        ids.free(0);
        assert_eq!(ids.at(0), None);
        assert_eq!(ids.take(&none), Some(1 << 15));
        assert_eq!((ids.at(0), ids.at(1 << 15 | 1), ids.highest()), (Some(1 << 15), Some(1), 1));
    }

    #[test]
    fn a_number_can_be_asked_for() {
        let (mut ids, wish) = (Ids::new(), AtomicI32::new(4711));
        assert_eq!(ids.take(&wish), Some(4711));
        assert_eq!(wish.load(Ordering::Relaxed), -1);
        wish.store(4711, Ordering::Relaxed);
        assert_eq!(ids.take(&wish), Some(4712), "the next place that is free");
    }
}

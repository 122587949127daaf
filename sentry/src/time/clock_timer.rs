//! `ClockTimer`: a one-shot or repeating timer on any clock. Wall clocks have exact deadlines; of CPU time the timer thread looks
//! now and then how far it is, as often as it can be over.

use super::clock::Clock;
use super::queue::{Expire, TimerEntry};
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use alloc::sync::Weak;

/// How a CPU-time timer is polled while it is armed: not more often than this …
const SHORTEST_LOOK_NS: u64 = 1_000_000;
/// … nor less often, once its clock has not moved for a while.
const LONGEST_LOOK_NS: u64 = 100_000_000;

/// A timer's setting, as times of its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    /// The next expiration; 0 where it is not armed.
    pub expiry_ns: u64,
    /// Time between expirations; 0 for only one.
    pub interval_ns: u64,
}

#[derive(Default)]
struct State {
    setting: Setting,
    /// Of a CPU clock: its time at the last look, and the pause after it.
    seen_ns: u64,
    pause_ns: u64,
}

/// A timer. Its owner implements `Expire` and calls `take_expirations` there.
pub struct ClockTimer {
    clock: Clock,
    entry: TimerEntry,
    state: Lock<State>,
}

impl ClockTimer {
    /// A timer of `clock` that is not armed; `owner` is called when it expires.
    pub fn new(clock: Clock, owner: Weak<dyn Expire>) -> Self {
        Self { clock, entry: TimerEntry::new(owner), state: Lock::new(Rank::Timer, State::default()) }
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sets it; an `expiry_ns` of 0 disarms. Returns what was left until the next expiration (0: not armed), and the interval.
    pub fn set(&self, setting: Setting) -> Setting {
        let now = self.clock.now_ns();
        let old = {
            let mut state = self.state.lock();
            let old = state.setting;
            *state = State { setting, seen_ns: now, pause_ns: SHORTEST_LOOK_NS };
            old
        };
        self.arm(now);
        left(old, now)
    }

    /// What is left until the next expiration (at least 1 while armed; 0: not armed), and the interval.
    pub fn get(&self) -> Setting {
        let now = self.clock.now_ns();
        left(self.state.lock().setting, now)
    }

    /// The same, for a timer that rests: between two expirations, even where past ones were not taken yet.
    pub fn get_ahead(&self) -> Setting {
        let now = self.clock.now_ns();
        let (_, next) = advance(self.state.lock().setting, now);
        left(next, now)
    }

    /// The setting itself.
    pub fn setting(&self) -> Setting {
        self.state.lock().setting
    }

    /// How often it expired until now. With an interval it moves on and is armed again (unless `hold`: the caller does that with
    /// `take_expirations` or `set`), otherwise it is disarmed. 0: it did not, or was disarmed meanwhile.
    pub fn take_expirations(&self, hold: bool) -> u64 {
        let now = self.clock.now_ns();
        let count = {
            let mut state = self.state.lock();
            let (count, next) = advance(state.setting, now);
            if state.seen_ns == now {
                state.pause_ns = state.pause_ns.saturating_mul(2).min(LONGEST_LOOK_NS);
            } else {
                state.pause_ns = SHORTEST_LOOK_NS;
            }
            state.seen_ns = now;
            state.setting = next;
            count
        };
        if !(hold && count != 0) {
            self.arm(now);
        }
        count
    }

    /// Arms the entry for the setting.
    fn arm(&self, now: u64) {
        let (expiry, pause) = {
            let state = self.state.lock();
            (state.setting.expiry_ns, state.pause_ns)
        };
        match &self.clock {
            _ if expiry == 0 => self.entry.cancel(),
            Clock::Realtime(_) => self.entry.arm_realtime(expiry),
            Clock::Monotonic(_) => self.entry.arm(expiry),
            clock => {
                let earliest = expiry.saturating_sub(now) / clock.speed();
                let wait = earliest.max(pause.min(LONGEST_LOOK_NS));
                self.entry.arm(platform().monotonic_ns().saturating_add(wait));
            }
        }
    }
}

/// What is left of a setting at `now`.
fn left(setting: Setting, now: u64) -> Setting {
    match setting.expiry_ns {
        0 => Setting { expiry_ns: 0, ..setting },
        // Expired, but not served yet: still armed.
        expiry => Setting { expiry_ns: expiry.saturating_sub(now).max(1), ..setting },
    }
}

/// How often a setting expired until `now`, and what it is then.
fn advance(setting: Setting, now: u64) -> (u64, Setting) {
    let Setting { expiry_ns, interval_ns } = setting;
    if expiry_ns == 0 || expiry_ns > now {
        return (0, setting);
    }
    let Some(more) = (now - expiry_ns).checked_div(interval_ns) else {
        return (1, Setting { expiry_ns: 0, interval_ns });
    };
    let count = more.saturating_add(1);
    (count, Setting { expiry_ns: expiry_ns.saturating_add(interval_ns.saturating_mul(count)), interval_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_intervals_are_counted_and_the_rhythm_is_kept() {
        let setting = Setting { expiry_ns: 100, interval_ns: 30 };
        assert_eq!(advance(setting, 99), (0, setting));
        assert_eq!(advance(setting, 100), (1, Setting { expiry_ns: 130, ..setting }));
        assert_eq!(advance(setting, 175), (3, Setting { expiry_ns: 190, ..setting }));
    }

    #[test]
    fn one_shot_expires_once_and_is_disarmed() {
        let setting = Setting { expiry_ns: 100, interval_ns: 0 };
        let (count, after) = advance(setting, 5000);
        assert_eq!((count, after.expiry_ns), (1, 0));
        assert_eq!(advance(after, 6000).0, 0);
    }

    #[test]
    fn what_is_left_is_never_zero_while_armed() {
        let setting = Setting { expiry_ns: 100, interval_ns: 7 };
        assert_eq!(left(setting, 60), Setting { expiry_ns: 40, interval_ns: 7 });
        assert_eq!(left(setting, 200).expiry_ns, 1);
        assert_eq!(left(Setting::default(), 200).expiry_ns, 0);
    }
}

//! Timers on the fake machine, whose clock runs.

use super::{Clock, Interval, Notify, PosixTimer, sleep, sleep_until};
use crate::fake::current;
use crate::platform::platform;
use crate::signal::{Signal, SignalSet, dequeue, dequeue_wait, set_mask};
use crate::syscall::Fail;
use crate::task::Current;
use linux_raw_sys::general as raw;

const MS: u64 = 1_000_000;

fn blocking(signal: Signal) -> Current {
    let mut current = current();
    set_mask(&mut current, SignalSet::of(&[signal]));
    current
}

#[test]
fn real_interval_timer_sends_sigalrm_after_its_time() {
    let mut current = blocking(Signal::SIGALRM);
    let start = platform().monotonic_ns();
    assert_eq!(super::set_interval(&current.process, Interval::Real, 20 * MS, 0), (0, 0));
    let (left, interval) = super::get_interval(&current.process, Interval::Real);
    assert!(left > 0 && left <= 20 * MS && interval == 0);
    let info = dequeue_wait(&mut current, SignalSet::of(&[Signal::SIGALRM]), Some(start + 5_000 * MS)).unwrap();
    assert_eq!(info.code(), raw::SI_KERNEL as i32);
    assert!(platform().monotonic_ns() - start >= 20 * MS);
    assert_eq!(super::get_interval(&current.process, Interval::Real), (0, 0));
}

#[test]
fn alarm_returns_the_rest_of_the_one_before() {
    let current = blocking(Signal::SIGALRM);
    assert_eq!(super::alarm(&current.process, 100), 0);
    assert_eq!(super::alarm(&current.process, 0), 100);
    assert_eq!(super::alarm(&current.process, 0), 0);
}

#[test]
fn posix_timer_rests_while_its_signal_is_pending_and_counts_what_it_missed() {
    let mut current = blocking(Signal::SIGUSR1);
    let set = SignalSet::of(&[Signal::SIGUSR1]);
    let notify = Notify::Signal(Signal::SIGUSR1, 0x55, None);
    let id = PosixTimer::create(&current.process, Clock::Monotonic(false), Some(notify)).unwrap();
    let timer = PosixTimer::get(&current.process, id).unwrap();
    timer.set(2 * MS, 2 * MS, false);
    std::thread::sleep(std::time::Duration::from_millis(30));
    let deadline = platform().monotonic_ns() + 5_000 * MS;
    let info = dequeue_wait(&mut current, set, Some(deadline)).unwrap();
    assert_eq!((info.code(), info.value(), info.timer_fields().0), (raw::SI_TIMER, 0x55, id));
    assert!(info.timer_fields().1 >= 10, "one signal stands for all");
    assert_eq!(timer.overrun(), info.timer_fields().1);
    assert!(dequeue_wait(&mut current, set, Some(deadline)).is_ok(), "it goes on");
    PosixTimer::delete(&current.process, id).unwrap();
    assert!(PosixTimer::get(&current.process, id).is_err());
}

#[test]
fn setting_the_clock_changes_absolute_posix_timers_alone() {
    let current = current();
    let notify = Notify::Signal(Signal::SIGUSR1, 0, None);
    let make = || {
        let id = PosixTimer::create(&current.process, Clock::Realtime(false), Some(notify.clone())).unwrap();
        PosixTimer::get(&current.process, id).unwrap()
    };
    let (relative, absolute) = (make(), make());
    let hour = 3_600_000 * MS;
    relative.set(hour, 0, false);
    absolute.set(platform().realtime_ns() + hour, 0, true);
    super::set_realtime(&current, platform().realtime_ns() + hour / 2).unwrap();
    assert!(relative.left().expiry_ns > hour - 60_000 * MS);
    assert!(absolute.left().expiry_ns <= hour / 2);
    assert_eq!(relative.set(0, 0, true).interval_ns, 0);
    assert_eq!(relative.left().expiry_ns, 0);
}

#[test]
fn cpu_time_timer_goes_off_when_the_time_was_used() {
    // The fake counts all time as used.
    let mut current = blocking(Signal::SIGPROF);
    super::set_interval(&current.process, Interval::Prof, 10 * MS, 0);
    let deadline = platform().monotonic_ns() + 5_000 * MS;
    assert!(dequeue_wait(&mut current, SignalSet::of(&[Signal::SIGPROF]), Some(deadline)).is_ok());
}

#[test]
fn sleep_ends_at_its_time_and_an_interrupted_one_can_go_on() {
    let mut current = current();
    let start = platform().monotonic_ns();
    sleep(&current, Clock::Monotonic(false), 5 * MS, None).unwrap();
    assert!(platform().monotonic_ns() - start >= 5 * MS);
    sleep_until(&current, &Clock::Realtime(false), 1).unwrap();
    let handler = crate::signal::SigAction { handler: 0x1000, flags: 0, restorer: 0, mask: 0 };
    crate::signal::set_action(&current.process, Signal::SIGUSR2, Some(handler)).unwrap();
    crate::signal::send_to_process(&current.process, crate::signal::SigInfo::kernel(Signal::SIGUSR2));
    let Err(Fail::RestartWith(rest)) = sleep(&current, Clock::Monotonic(false), 20 * MS, None) else {
        panic!("a pending signal interrupts")
    };
    assert!(dequeue(&current.task, SignalSet::of(&[Signal::SIGUSR2])).is_some());
    set_mask(&mut current, SignalSet::EMPTY);
    assert_eq!(rest(&mut current).unwrap(), 0);
    assert!(platform().monotonic_ns() - start >= 25 * MS);
}

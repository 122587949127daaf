//! Clocks, sleeping, timers. Behaviour is in `crate::time`.

use super::table::{Level, Row, arg, finish, row};
use super::{Fail, UserPtr};
use crate::errno::Errno;
use crate::platform::platform;
use crate::task::{Cap, Current};
use crate::time::{
    self, Clock, Interval, Itimerspec, Itimerval, Notify, PosixTimer, Setting, SigEvent, Timespec, Timeval, Timex,
};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// struct timezone: nobody has used it since 1991.
type Timezone = [i32; 2];

/// clock_gettime(2).
pub fn clock_gettime(current: &mut Current, id: i32, at: UserPtr<Timespec>) -> Result<(), Errno> {
    let clock = Clock::from_id(current, id)?;
    at.write(current, &Timespec::from_ns(clock.now_ns()))
}

/// clock_getres(2).
pub fn clock_getres(current: &mut Current, id: i32, at: UserPtr<Timespec>) -> Result<(), Errno> {
    let clock = Clock::from_id(current, id)?;
    at.non_null().map_or(Ok(()), |at| at.write(current, &Timespec::from_ns(clock.resolution_ns())))
}

/// clock_settime(2).
pub fn clock_settime(current: &mut Current, id: i32, at: UserPtr<Timespec>) -> Result<(), Errno> {
    let clock = Clock::from_id(current, id)?;
    let given = at.read(current)?;
    match clock {
        // Those that name a process or a thread.
        clock if clock.is_cpu() && id < 0 => Err(Errno::EPERM),
        Clock::Realtime(false) if u32::try_from(id) == Ok(raw::CLOCK_REALTIME) => {
            time::set_realtime(current, given.checked_ns()?)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// gettimeofday(2).
pub fn gettimeofday(current: &mut Current, at: UserPtr<Timeval>, zone: UserPtr<Timezone>) -> Result<(), Errno> {
    if let Some(at) = at.non_null() {
        at.write(current, &Timeval::from_ns(platform().realtime_ns()))?;
    }
    zone.non_null().map_or(Ok(()), |zone| zone.write(current, &[0, 0]))
}

/// settimeofday(2).
pub fn settimeofday(current: &mut Current, at: UserPtr<Timeval>, zone: UserPtr<Timezone>) -> Result<(), Errno> {
    let given = at.non_null().map(|at| at.read(current)?.checked_ns()).transpose()?;
    if let Some(zone) = zone.non_null() {
        zone.read(current)?;
    }
    match given {
        Some(ns) => time::set_realtime(current, ns),
        None if current.creds.has(Cap::SysTime) => Ok(()),
        None => Err(Errno::EPERM),
    }
}

/// time(2).
pub fn time(current: &mut Current, at: UserPtr<i64>) -> Result<i64, Errno> {
    let now = Timespec::from_ns(platform().realtime_ns()).sec;
    at.non_null().map_or(Ok(()), |at| at.write(current, &now))?;
    Ok(now)
}

/// nanosleep(2).
pub fn nanosleep(current: &mut Current, given: UserPtr<Timespec>, rest: UserPtr<Timespec>) -> Result<(), Fail> {
    let ns = given.read(current)?.checked_ns()?;
    time::sleep(current, Clock::Monotonic(false), ns, rest.non_null())
}

/// clock_nanosleep(2).
pub fn clock_nanosleep(
    current: &mut Current,
    id: i32,
    flags: u32,
    given: UserPtr<Timespec>,
    rest: UserPtr<Timespec>,
) -> Result<(), Fail> {
    let clock = Clock::from_id(current, id)?;
    clock.check_sleep(id)?;
    let ns = given.read(current)?.checked_ns()?;
    if flags & raw::TIMER_ABSTIME != 0 {
        return time::sleep_until(current, &clock, ns);
    }
    time::sleep(current, clock, ns, rest.non_null())
}

/// alarm(2).
pub fn alarm(current: &mut Current, seconds: u32) -> Result<u32, Errno> {
    Ok(time::alarm(&current.process, seconds))
}

/// getitimer(2).
pub fn getitimer(current: &mut Current, which: u32, at: UserPtr<Itimerval>) -> Result<(), Errno> {
    let (left, interval) = time::get_interval(&current.process, Interval::from_raw(which)?);
    at.write(current, &itimerval(left, interval))
}

/// setitimer(2).
pub fn setitimer(
    current: &mut Current,
    which: u32,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> Result<(), Errno> {
    // As Linux: NULL disarms.
    let given = new.non_null().map_or(Ok(Itimerval::default()), |new| new.read(current))?;
    let which = Interval::from_raw(which)?;
    let (value, interval) = (given.value.checked_ns()?, given.interval.checked_ns()?);
    let (left, before) = time::set_interval(&current.process, which, value, interval);
    old.non_null().map_or(Ok(()), |old| old.write(current, &itimerval(left, before)))
}

/// What is left is rounded up: an armed timer never shows 0.
fn itimerval(left_ns: u64, interval_ns: u64) -> Itimerval {
    Itimerval { interval: Timeval::from_ns(interval_ns), value: Timeval::from_ns(left_ns.saturating_add(999)) }
}

/// timer_create(2).
pub fn timer_create(
    current: &mut Current,
    id: i32,
    event: UserPtr<SigEvent>,
    created: UserPtr<i32>,
) -> Result<(), Errno> {
    let event = event.non_null().map(|event| event.read(current)).transpose()?;
    let clock = Clock::from_id(current, id)?;
    if matches!(
        u32::try_from(id),
        Ok(raw::CLOCK_MONOTONIC_RAW | raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE)
    ) {
        return Err(Errno::EOPNOTSUPP);
    }
    if !clock.is_cpu() {
        clock.check_sleep(id)?;
    }
    let notify = event.map(|event| Notify::decode(current, &event)).transpose()?;
    let number = PosixTimer::create(&current.process, clock, notify)?;
    created.write(current, &number).inspect_err(|_| {
        // Nobody knows its number.
        let _ = PosixTimer::delete(&current.process, number);
    })
}

/// timer_settime(2).
pub fn timer_settime(
    current: &mut Current,
    id: i32,
    flags: u32,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<(), Errno> {
    let given = new.non_null().ok_or(Errno::EINVAL)?.read(current)?;
    let (value, interval) = (given.value.checked_ns()?, given.interval.checked_ns()?);
    let timer = PosixTimer::get(&current.process, id)?;
    let before = timer.set(value, interval, flags & raw::TIMER_ABSTIME != 0);
    old.non_null().map_or(Ok(()), |old| old.write(current, &itimerspec(before)))
}

/// timer_gettime(2).
pub fn timer_gettime(current: &mut Current, id: i32, at: UserPtr<Itimerspec>) -> Result<(), Errno> {
    let left = PosixTimer::get(&current.process, id)?.left();
    at.write(current, &itimerspec(left))
}

fn itimerspec(left: Setting) -> Itimerspec {
    Itimerspec { interval: Timespec::from_ns(left.interval_ns), value: Timespec::from_ns(left.expiry_ns) }
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(current: &mut Current, id: i32) -> Result<i32, Errno> {
    Ok(PosixTimer::get(&current.process, id)?.overrun())
}

/// timer_delete(2).
pub fn timer_delete(current: &mut Current, id: i32) -> Result<(), Errno> {
    PosixTimer::delete(&current.process, id)
}

/// adjtimex(2): the host disciplines the clock; it can be looked at.
pub fn adjtimex(current: &mut Current, at: UserPtr<Timex>) -> Result<u32, Errno> {
    let given = at.read(current)?;
    // STA_UNSYNC, TIME_ERROR (adjtimex(2)): nobody here knows how good the host's time is.
    let (unsynchronised, error) = (0x40, 5);
    let worst = 16_000_000;
    let answer = Timex {
        modes: given.modes,
        maxerror: worst,
        esterror: worst,
        status: unsynchronised,
        constant: 7,
        precision: 1,
        tolerance: 500 << 16,
        time: Timeval::from_ns(platform().realtime_ns()),
        tick: 10_000,
        ..Timex::default()
    };
    check_adjustment(current, &given, &answer)?;
    at.write(current, &answer)?;
    Ok(error)
}

// adjtimex(2)'s modes (linux/timex.h); linux-raw-sys does not export them.
const ADJ_OFFSET: u32 = 0x0001;
const ADJ_FREQUENCY: u32 = 0x0002;
const ADJ_MAXERROR: u32 = 0x0004;
const ADJ_ESTERROR: u32 = 0x0008;
const ADJ_STATUS: u32 = 0x0010;
const ADJ_TIMECONST: u32 = 0x0020;
const ADJ_MICRO: u32 = 0x1000;
const ADJ_TICK: u32 = 0x4000;
const ADJ_ADJTIME: u32 = 0x8000;
const ADJ_OFFSET_SINGLESHOT: u32 = ADJ_ADJTIME | ADJ_OFFSET;
const ADJ_OFFSET_READONLY: u32 = 0x2000;
/// USER_HZ: ticks of the clock in a second, as programs see it.
const TICKS: i64 = 100;

/// Linux's checks, in its order; then EPERM for whatever would change something, with any privilege: what is there already may be set again.
fn check_adjustment(current: &Current, given: &Timex, now: &Timex) -> Result<(), Errno> {
    let modes = given.modes;
    let privileged = current.creds.has(Cap::SysTime);
    if modes & ADJ_ADJTIME != 0 {
        if modes & ADJ_OFFSET == 0 {
            return Err(Errno::EINVAL);
        }
        let reads = modes & ADJ_OFFSET_READONLY != 0;
        let nothing = privileged && modes == ADJ_OFFSET_SINGLESHOT && given.offset == 0;
        return if reads || nothing { Ok(()) } else { Err(Errno::EPERM) };
    }
    if modes != 0 && !privileged {
        return Err(Errno::EPERM);
    }
    if modes & ADJ_TICK != 0 && !(900_000 / TICKS..=1_100_000 / TICKS).contains(&given.tick) {
        return Err(Errno::EINVAL);
    }
    let settings = [
        (ADJ_OFFSET, given.offset == now.offset),
        (ADJ_FREQUENCY, given.freq == now.freq),
        (ADJ_MAXERROR, given.maxerror == now.maxerror),
        (ADJ_ESTERROR, given.esterror == now.esterror),
        (ADJ_STATUS, given.status == now.status),
        (ADJ_TIMECONST, given.constant == now.constant),
        (ADJ_TICK, given.tick == now.tick),
        // It counts in microseconds.
        (ADJ_MICRO, true),
    ];
    let same = settings.iter().filter(|(_, same)| *same).fold(0, |same, (mode, _)| same | mode);
    if modes & !same == 0 { Ok(()) } else { Err(Errno::EPERM) }
}

/// clock_adjtime(2).
pub fn clock_adjtime(current: &mut Current, id: i32, at: UserPtr<Timex>) -> Result<u32, Errno> {
    match (u32::try_from(id), Clock::from_id(current, id)?) {
        (Ok(raw::CLOCK_REALTIME), _) => adjtimex(current, at),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub(super) const ROWS: &[Row] = &[
    row!(clock_gettime = clock_gettime(2), Full, ""),
    row!(clock_getres = clock_getres(2), Full, ""),
    row!(clock_settime = clock_settime(2), Full, ""),
    row!(gettimeofday = gettimeofday(2), Full, ""),
    row!(settimeofday = settimeofday(2), Full, ""),
    row!(time = time(1), Full, ""),
    row!(nanosleep = nanosleep(2), Full, ""),
    row!(clock_nanosleep = clock_nanosleep(4), Full, ""),
    row!(alarm = alarm(1), Full, ""),
    row!(getitimer = getitimer(2), Full, ""),
    row!(setitimer = setitimer(3), Full, ""),
    row!(timer_create = timer_create(3), Full, ""),
    row!(timer_settime = timer_settime(4), Full, ""),
    row!(timer_gettime = timer_gettime(2), Full, ""),
    row!(timer_getoverrun = timer_getoverrun(1), Full, ""),
    row!(timer_delete = timer_delete(1), Full, ""),
    row!(adjtimex = adjtimex(1), Partial, "changes nothing: the host disciplines the clock"),
    row!(clock_adjtime = clock_adjtime(2), Partial, "changes nothing: the host disciplines the clock"),
];

//! struct timespec and struct timeval, and their conversion to the nanoseconds that the sentry counts in.

use crate::errno::Errno;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nanoseconds of a second.
pub const NS_PER_SEC: u64 = 1_000_000_000;
/// Microseconds of a second.
const US_PER_SEC: i64 = 1_000_000;

/// struct timespec.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// 0–999,999,999.
    pub nsec: i64,
}

/// struct timeval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub sec: i64,
    /// 0–999,999.
    pub usec: i64,
}

/// struct itimerspec.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerspec {
    /// Between expirations.
    pub interval: Timespec,
    /// Until the next.
    pub value: Timespec,
}

/// struct itimerval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerval {
    /// Between expirations.
    pub interval: Timeval,
    /// Until the next.
    pub value: Timeval,
}

/// struct timex (adjtimex(2)); linux-raw-sys does not have it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Timex {
    pub modes: u32,
    pub pad0: u32,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub pad1: i32,
    pub constant: i64,
    pub precision: i64,
    pub tolerance: i64,
    pub time: Timeval,
    pub tick: i64,
    pub ppsfreq: i64,
    pub jitter: i64,
    pub shift: i32,
    pub pad2: i32,
    pub stabil: i64,
    pub jitcnt: i64,
    pub calcnt: i64,
    pub errcnt: i64,
    pub stbcnt: i64,
    pub tai: i32,
    pub pad3: [i32; 11],
}

const _: () = {
    assert!(size_of::<Timex>() == 208);
    assert!(size_of::<Itimerspec>() == size_of::<raw::__kernel_itimerspec>());
    assert!(size_of::<Itimerval>() == size_of::<raw::itimerval>());
    assert!(size_of::<Timespec>() == size_of::<raw::__kernel_timespec>());
    assert!(size_of::<Timeval>() == size_of::<raw::timeval>());
};

impl Timespec {
    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self { sec: (ns / NS_PER_SEC) as i64, nsec: (ns % NS_PER_SEC) as i64 }
    }

    /// In nanoseconds, the longest time that can be counted where it is longer. EINVAL where it is negative or not normal.
    pub fn checked_ns(self) -> Result<u64, Errno> {
        let nsec = u64::try_from(self.nsec).ok().filter(|nsec| *nsec < NS_PER_SEC).ok_or(Errno::EINVAL)?;
        let sec = u64::try_from(self.sec).map_err(|_| Errno::EINVAL)?;
        Ok(sec.saturating_mul(NS_PER_SEC).saturating_add(nsec))
    }
}

impl Timeval {
    /// From nanoseconds, rounded down.
    pub const fn from_ns(ns: u64) -> Self {
        Self { sec: (ns / NS_PER_SEC) as i64, usec: (ns % NS_PER_SEC / 1000) as i64 }
    }

    /// In nanoseconds, the longest time that can be counted where it is longer. EINVAL where it is negative or not normal.
    pub fn checked_ns(self) -> Result<u64, Errno> {
        if !(0..US_PER_SEC).contains(&self.usec) {
            return Err(Errno::EINVAL);
        }
        Timespec { sec: self.sec, nsec: self.usec * 1000 }.checked_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_not_normal_get_einval() {
        assert_eq!(Timespec { sec: 1, nsec: 1_000_000_000 }.checked_ns(), Err(Errno::EINVAL));
        assert_eq!(Timespec { sec: -1, nsec: 0 }.checked_ns(), Err(Errno::EINVAL));
        assert_eq!(Timeval { sec: 0, usec: 1_000_000 }.checked_ns(), Err(Errno::EINVAL));
        assert_eq!(Timespec { sec: i64::MAX, nsec: 0 }.checked_ns(), Ok(u64::MAX));
    }

    #[test]
    fn nanoseconds_come_back_as_they_went() {
        let time = Timespec::from_ns(3_000_000_007);
        assert_eq!((time.sec, time.nsec), (3, 7));
        assert_eq!(time.checked_ns(), Ok(3_000_000_007));
        assert_eq!(Timeval::from_ns(1_234_567_890).usec, 234_567);
    }
}

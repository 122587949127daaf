//! What a sandbox counts of its system calls, as `control::What::Statistics` asks for it.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Buckets of a histogram: bucket `n` has the calls that took 2^n up to 2^(n+1) ticks, the last one also all longer ones.
pub const BUCKETS: usize = 36;

/// The calls of a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Ticks of the time stamp counter in a millisecond.
    pub ticks_per_ms: u64,
    /// For how long calls have been counted, in ns.
    pub counted_ns: u64,
    /// A row a call that was made, by number; of all threads, those that have ended among them.
    pub calls: Vec<CallStatistics>,
    /// The threads that run, by number. As many as fit in an answer.
    pub threads: Vec<ThreadStatistics>,
}

/// One call, by one thread or by many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatistics {
    /// Its number; `UNKNOWN` stands for all that no table has.
    pub number: u32,
    /// How often it was made, with those that failed.
    pub count: u64,
    /// How long it took in all, waiting included, in ticks.
    pub ticks: u64,
    /// The sum of what it returned when it succeeded: bytes, where it returns bytes.
    pub returned: u64,
    /// How often the virtual machine was left for it.
    pub exits: u64,
    /// How long single ones took; zeroes at the end are left out.
    pub histogram: Vec<u64>,
    /// How often it failed, by errno; 0 stands for those that a signal ended and that were made again.
    pub errors: Vec<(u16, u64)>,
}

/// `CallStatistics::number` of calls that no table has.
pub const UNKNOWN: u32 = 511;

/// A thread.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ThreadStatistics {
    /// Its number in the container, and its process's.
    pub tid: u32,
    /// See `tid`.
    pub pid: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Its calls.
    pub calls: Vec<CallStatistics>,
}

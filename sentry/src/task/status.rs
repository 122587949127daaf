//! How a process ended, what it may use and what it used.

use linux_raw_sys::general as raw;

/// How a thread or process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// exit(2) with this code.
    Code(u8),
    /// Killed by this signal.
    Signal {
        /// The signal's number.
        number: u8,
        /// A core was dumped.
        core: bool,
    },
}

impl ExitStatus {
    /// wait(2)'s status word.
    pub fn wait_status(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code) << 8,
            Self::Signal { number, core } => i32::from(number) | if core { 0x80 } else { 0 },
        }
    }

    /// The sandbox's exit status, as `linker::layout::PORT_EXIT` takes it.
    pub fn port_status(self) -> u32 {
        match self {
            Self::Code(code) => u32::from(code),
            Self::Signal { number, .. } => 256 + u32::from(number),
        }
    }
}

/// How many resources have limits.
pub const LIMITS: usize = raw::RLIM_NLIMITS as usize;
/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// Soft and hard limits by `RLIMIT_*`.
#[derive(Clone, Copy, Debug)]
pub struct Limits([(u64, u64); LIMITS]);

impl Default for Limits {
    /// What Linux gives its first process, with the customary descriptor limits.
    fn default() -> Self {
        let mut limits = [(UNLIMITED, UNLIMITED); LIMITS];
        limits[raw::RLIMIT_STACK as usize] = (8 << 20, UNLIMITED);
        limits[raw::RLIMIT_CORE as usize] = (0, UNLIMITED);
        limits[raw::RLIMIT_NPROC as usize] = (super::THREADS_MAX as u64 / 2, super::THREADS_MAX as u64 / 2);
        limits[raw::RLIMIT_NOFILE as usize] = (1024, 1 << 20);
        limits[raw::RLIMIT_MEMLOCK as usize] = (8 << 20, 8 << 20);
        limits[raw::RLIMIT_SIGPENDING as usize] = (super::THREADS_MAX as u64 / 2, super::THREADS_MAX as u64 / 2);
        limits[raw::RLIMIT_MSGQUEUE as usize] = (819_200, 819_200);
        limits[raw::RLIMIT_NICE as usize] = (0, 0);
        limits[raw::RLIMIT_RTPRIO as usize] = (0, 0);
        Self(limits)
    }
}

impl Limits {
    /// Soft and hard limit; `None` for an unknown resource.
    pub fn get(&self, resource: u32) -> Option<(u64, u64)> {
        self.0.get(resource as usize).copied()
    }

    /// Sets one; false for an unknown resource.
    pub fn set(&mut self, resource: u32, soft: u64, hard: u64) -> bool {
        match self.0.get_mut(resource as usize) {
            Some(limit) => {
                *limit = (soft, hard);
                true
            }
            None => false,
        }
    }

    /// The soft limit; unlimited for an unknown resource.
    pub fn soft(&self, resource: u32) -> u64 {
        self.get(resource).map_or(UNLIMITED, |(soft, _)| soft)
    }
}

/// Resources used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in user mode, ns.
    pub user_ns: u64,
    /// CPU time in the kernel, ns.
    pub system_ns: u64,
    /// Page faults answered without input.
    pub minor_faults: u64,
    /// Page faults that waited for the host.
    pub major_faults: u64,
    /// Largest resident set, KiB.
    pub max_rss_kib: u64,
    /// Waits.
    pub voluntary_switches: u64,
    /// Preemptions.
    pub involuntary_switches: u64,
    /// Moves to another CPU.
    pub migrations: u64,
}

impl Usage {
    /// Adds another's; the resident set is the larger one.
    pub fn add(&mut self, other: &Self) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.max_rss_kib = self.max_rss_kib.max(other.max_rss_kib);
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.migrations += other.migrations;
    }
}

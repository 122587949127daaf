//! Where system calls spend their time, as a probed sandbox (`BootFlags::PROBE_CALLS`) tells a program that asks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The number of the call that asks: its argument is the address of `Parts`. Linux has none that high; elsewhere it is ENOSYS.
pub const CALL: u64 = 0x7277_7072;

/// What was added up since the calling thread's CPU was last asked. Times are ticks of the time stamp counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Parts {
    /// Calls, but for this one and for those that waited or left by the long way: signals, another thread's turn.
    pub calls: u64,
    /// From the first instruction after SYSCALL until the program's registers are saved.
    pub entry: u64,
    /// From there to the handler, of which the looking itself is no part.
    pub dispatch: u64,
    /// The handler.
    pub handler: u64,
    /// From its end to SYSRET: statistics, signals, registers.
    pub exit: u64,
    /// What the counter does in a millisecond.
    pub ticks_per_ms: u64,
}

const _: () = assert!(size_of::<Parts>() == 48);

impl Parts {
    /// As they lie in a program's memory.
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

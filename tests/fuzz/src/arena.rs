//! The memory that calls point to: scratch pages of each thread's own, where arguments are built, with nothing mapped behind them; and
//! pages that the calls may map, protect and unmap.

use crate::raw::{self, sys};
use crate::rng::Rng;
use syscalls::Sysno;

/// A page.
pub const PAGE: u64 = 4096;
/// Scratch memory of a thread, in bytes.
const SCRATCH: u64 = 16 * PAGE;
/// Pages that the calls may do anything to.
pub const VICTIM_PAGES: u64 = 64;

/// Where nothing else is mapped.
const SHARED_AT: u64 = 0x0000_1357_0000_0000;

const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;

/// Where a thread builds its arguments.
#[derive(Debug)]
pub struct Scratch {
    start: u64,
    used: u64,
}

impl Scratch {
    /// Maps it, with a page behind it that is not there.
    pub fn new() -> Self {
        let start = map(SCRATCH + PAGE);
        sys(Sysno::munmap, &[start + SCRATCH, PAGE]);
        Self { start, used: 0 }
    }

    /// Forgets the arguments of the call before. The last half is for what lies at the end.
    pub fn reset(&mut self) {
        self.used = 0;
    }

    /// Room for `len` bytes, filled with them as far as they go; mostly aligned, sometimes so that they end with the mapping, or beyond.
    pub fn place(&mut self, rng: &mut Rng, bytes: &[u8], len: u64) -> u64 {
        let end = self.start + SCRATCH;
        let len = len.max(bytes.len() as u64);
        let roll = rng.below(100);
        if roll < 8 && len <= SCRATCH / 2 {
            let at = end - len;
            raw::poke(at, bytes);
            return at;
        }
        if roll < 11 && len > 0 && len <= SCRATCH / 2 {
            // The last bytes are missing.
            let kept = rng.below(len);
            raw::poke(end - kept, &bytes[..(kept as usize).min(bytes.len())]);
            return end - kept;
        }
        let skew = if rng.chance(4) { rng.below(8) } else { 0 };
        let at = self.start + self.used + skew;
        if self.used + len + 64 > SCRATCH / 2 {
            return self.start;
        }
        raw::poke(at, bytes);
        self.used = (self.used + skew + len + 15) & !15;
        at
    }

    /// The start of it all, for a buffer of any length.
    pub fn big(&self) -> u64 {
        self.start + SCRATCH / 2
    }
}

/// Maps fresh memory.
pub fn map(len: u64) -> u64 {
    let at = sys(Sysno::mmap, &[0, len, RW, PRIVATE, u64::MAX, 0]);
    assert!(at > 0, "no memory for the fuzzer itself");
    at as u64
}

/// Maps memory that children share, far from all other: a buffer that is longer than its mapping must not reach it.
pub fn map_shared(len: u64) -> u64 {
    let how = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let at = sys(Sysno::mmap, &[SHARED_AT, len, RW, how as u64, u64::MAX, 0]);
    assert!(at > 0, "no memory for the fuzzer itself");
    at as u64
}

/// Maps the pages that calls may do anything to, of several kinds.
pub fn victim(file: i64) -> u64 {
    let at = map((VICTIM_PAGES + 1) * PAGE);
    sys(Sysno::munmap, &[at + VICTIM_PAGES * PAGE, PAGE]);
    let fixed = (libc::MAP_FIXED | libc::MAP_SHARED) as u64;
    let anonymous = fixed | libc::MAP_ANONYMOUS as u64;
    sys(Sysno::mmap, &[at + 16 * PAGE, 8 * PAGE, RW, anonymous, u64::MAX, 0]);
    sys(Sysno::mprotect, &[at + 24 * PAGE, 4 * PAGE, libc::PROT_READ as u64]);
    sys(Sysno::mprotect, &[at + 28 * PAGE, 2 * PAGE, libc::PROT_NONE as u64]);
    sys(Sysno::munmap, &[at + 30 * PAGE, 2 * PAGE]);
    if file >= 0 {
        // Beyond the end of the file nothing can be read.
        sys(Sysno::mmap, &[at + 32 * PAGE, 8 * PAGE, RW, fixed, file as u64, 0]);
        let private = (libc::MAP_FIXED | libc::MAP_PRIVATE) as u64;
        sys(Sysno::mmap, &[at + 40 * PAGE, 4 * PAGE, RW, private, file as u64, 0]);
    }
    at
}

/// Addresses that no program should pass.
pub const BAD: &[u64] = &[
    0,
    1,
    8,
    0xfff,
    0x7fff_ffff_e000,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xdead_beef_dead_beef,
    0xffff_7fff_ffff_f000,
    0xffff_8000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_8010_0000,
    0xffff_ffff_ff60_0000,
    0xffff_ffff_ffff_f000,
    0xffff_ffff_ffff_ffff,
];

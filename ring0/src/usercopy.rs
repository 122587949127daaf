//! Copies between kernel and user memory, through the live user mapping. A range is checked against the user half here;
//! what is mapped there, the MMU checks (`asm/usercopy.rs`).

use crate::asm::usercopy as stub;
use crate::features::features;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linker::layout::USER_END;
use sentry::platform::CopyFault;

static SMAP: AtomicBool = AtomicBool::new(false);

/// Called once CR4 is set up.
pub fn init() {
    SMAP.store(features().smap, Ordering::Relaxed);
}

/// Copies in.
#[inline]
pub fn from_user(from: UserVa, to: &mut [u8]) -> Result<(), CopyFault> {
    check(from, to.len())?;
    // SAFETY: `to` is ours, `from` is in the user half, and access is open.
    let left = open(|| unsafe { stub::copy(to.as_mut_ptr(), from.raw() as *const u8, to.len()) });
    outcome(from, to.len(), left)
}

/// Copies out.
#[inline]
pub fn to_user(to: UserVa, from: &[u8]) -> Result<(), CopyFault> {
    check(to, from.len())?;
    // SAFETY: as in `from_user`, the other way round.
    let left = open(|| unsafe { stub::copy(to.raw() as *mut u8, from.as_ptr(), from.len()) });
    outcome(to, from.len(), left)
}

/// Zeroes.
pub fn zero_user(to: UserVa, len: usize) -> Result<(), CopyFault> {
    check(to, len)?;
    // SAFETY: as in `to_user`.
    let left = open(|| unsafe { stub::zero(to.raw() as *mut u8, len) });
    outcome(to, len, left)
}

/// Copies a string in; see `Platform::copy_string_from_user`.
pub fn string_from_user(from: UserVa, to: &mut [u8]) -> Result<Option<usize>, CopyFault> {
    if from.raw() >= USER_END {
        return Err(CopyFault { done: 0, address: from });
    }
    let room = to.len().min((USER_END - from.raw()) as usize);
    if room == 0 {
        return Ok(None);
    }
    // SAFETY: as in `from_user`; `room` is at least 1.
    let copied = open(|| unsafe { stub::copy_string(to.as_mut_ptr(), from.raw() as *const u8, room) });
    let done = room - copied.left;
    match copied.end {
        1 => Ok(Some(done - 1)),
        0 if room == to.len() => Ok(None),
        _ => Err(CopyFault { done, address: UserVa::new(from.raw() + done as u64) }),
    }
}

/// Loads a word; an unaligned address is a fault.
pub fn load_u32(at: UserVa) -> Result<u32, CopyFault> {
    check_word(at)?;
    let mut value = 0;
    // SAFETY: `at` is aligned and in the user half, and access is open.
    let left = open(|| unsafe { stub::load_u32(at.raw() as *const u32, &mut value) });
    outcome(at, size_of::<u32>(), left).map(|()| value)
}

/// Compares and exchanges a word; see `Platform::cmpxchg_user_u32`.
pub fn cmpxchg_u32(at: UserVa, expected: u32, new: u32) -> Result<Result<u32, u32>, CopyFault> {
    check_word(at)?;
    let mut found = expected;
    // SAFETY: as in `load_u32`.
    let left = open(|| unsafe { stub::cmpxchg_u32(at.raw() as *mut u32, &mut found, new) });
    outcome(at, size_of::<u32>(), left).map(|()| if found == expected { Ok(found) } else { Err(found) })
}

#[inline]
fn check(at: UserVa, len: usize) -> Result<(), CopyFault> {
    match at.raw().checked_add(len as u64) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(CopyFault { done: 0, address: at }),
    }
}

fn check_word(at: UserVa) -> Result<(), CopyFault> {
    if at.raw().is_multiple_of(4) { check(at, 4) } else { Err(CopyFault { done: 0, address: at }) }
}

#[inline]
fn outcome(at: UserVa, len: usize, left: usize) -> Result<(), CopyFault> {
    if left == 0 {
        return Ok(());
    }
    let done = len - left;
    Err(CopyFault { done, address: UserVa::new(at.raw() + done as u64) })
}

/// After a trap from user mode, whose AC flag would leave the guard lifted in the kernel.
pub fn close() {
    if SMAP.load(Ordering::Relaxed) {
        // SAFETY: the CPU has SMAP.
        unsafe { asm!("clac", options(nostack)) }
    }
}

/// Runs `copy` with SMAP's guard lifted, where there is one.
#[inline]
fn open<R>(copy: impl FnOnce() -> R) -> R {
    if !SMAP.load(Ordering::Relaxed) {
        return copy();
    }
    // SAFETY: the CPU has SMAP; the kernel may touch user pages until CLAC, which only `copy` uses.
    unsafe { asm!("stac", options(nostack)) };
    let result = copy();
    // SAFETY: as above.
    unsafe { asm!("clac", options(nostack)) };
    result
}

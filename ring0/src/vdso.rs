//! The vDSO: the image that `build.rs` made of `vdso/vdso.rs`, and its data page, as frames for the sentry to map.

use crate::frame::{self, frame_ptr};
use crate::lock::Lock;
use crate::quirk;
use crate::time;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linker::layout::PAGE_SIZE;
use linker::vdso::{VdsoData, mode};
use sentry::platform::{Frame, Vdso};
use spin::Once;

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));
/// Its functions, by name.
static SYMBOLS: &[(&str, u64)] = include!(concat!(env!("OUT_DIR"), "/vdso_symbols.rs"));

static FRAMES: Once<(u64, Vec<u64>)> = Once::new();
static WRITER: Lock<()> = Lock::new(());

/// Makes the pages.
pub fn init() {
    let new = || frame::alloc_user(true).expect("memory is empty at boot");
    FRAMES.call_once(|| {
        let code = IMAGE.chunks(PAGE_SIZE as usize).map(|part| {
            let pfn = new();
            // SAFETY: the frame is new, and the part is at most as long.
            unsafe { core::ptr::copy_nonoverlapping(part.as_ptr(), frame_ptr(pfn), part.len()) };
            pfn
        });
        (new(), code.collect())
    });
    publish();
}

/// The frames, a new reference each.
pub fn frames() -> Vdso {
    let (data, code) = FRAMES.get().expect("made at boot");
    let share = |&pfn: &u64| {
        frame::get(pfn);
        Frame::adopt(pfn)
    };
    Vdso { data: share(data), code: code.iter().map(share).collect() }
}

/// Writes the clocks' parameters, so that a reader sees all of the old ones or all of the new ones.
pub fn publish() {
    let Some((data, _)) = FRAMES.get() else { return };
    let _writer = WRITER.lock();
    // SAFETY: the frame is the vDSO's data page for as long as the kernel runs; all its fields are atomic.
    let data = unsafe { &*frame_ptr(*data).cast::<VdsoData>() };
    let [factor, tsc_base, monotonic_ns, realtime_ns] = time::parameters();
    data.sequence.fetch_add(1, Ordering::SeqCst);
    data.mult.store(factor, Ordering::Relaxed);
    data.shift.store(time::SHIFT, Ordering::Relaxed);
    data.tsc_base.store(tsc_base, Ordering::Relaxed);
    data.monotonic_ns.store(monotonic_ns, Ordering::Relaxed);
    data.realtime_ns.store(realtime_ns, Ordering::Relaxed);
    data.boottime_offset_ns.store(0, Ordering::Relaxed);
    let clocks = if quirk::user_sees_our_tsc() { mode::CLOCKS } else { 0 };
    let cpu = if quirk::user_sees_our_segments() { mode::CPU_IN_SEGMENT } else { 0 };
    data.mode.store(clocks | cpu, Ordering::Relaxed);
    data.sequence.fetch_add(1, Ordering::SeqCst);
}

/// Where in the image a function is. For the self-test.
pub fn symbol(name: &str) -> Option<u64> {
    SYMBOLS.iter().find(|(symbol, _)| *symbol == name).map(|&(_, offset)| offset)
}

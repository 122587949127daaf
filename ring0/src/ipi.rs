//! What CPUs ask of each other: flush your TLB, pass a barrier, look at your queue. A request to flush is a counter: the
//! target flushes everything once and says how far it has got. Whoever waits serves its own requests meanwhile.

use crate::lapic;
use crate::lock::relax;
use crate::percpu::{self, PerCpu, cpu};
use crate::x86;
use core::sync::atomic::Ordering;
use linker::layout::{VECTOR_RESCHEDULE, VECTOR_SHOOTDOWN};

/// Makes each CPU in `mask` (never this one) flush its TLB and pass a full barrier; returns when all have.
pub fn flush_others(mask: u64) {
    if mask == 0 {
        return;
    }
    let mut wanted = [0; linker::layout::MAX_CPUS];
    for number in bits(mask) {
        let target = percpu::nth(number);
        wanted[number] = target.flush_wanted.fetch_add(1, Ordering::SeqCst) + 1;
        lapic::send(target.apic_id.load(Ordering::Relaxed), VECTOR_SHOOTDOWN);
    }
    for number in bits(mask) {
        while percpu::nth(number).flush_done.load(Ordering::SeqCst) < wanted[number] {
            relax();
        }
    }
}

/// Makes CPU `number` leave user mode or the idle loop.
pub fn reschedule(number: usize) {
    lapic::send(percpu::nth(number).apic_id.load(Ordering::Relaxed), VECTOR_RESCHEDULE);
}

/// Serves what others asked of this CPU.
#[inline]
pub fn serve() {
    let cpu = cpu();
    if cpu.flush_wanted.load(Ordering::Relaxed) != cpu.flush_done.load(Ordering::Relaxed) {
        flush(cpu);
    }
}

#[cold]
fn flush(cpu: &PerCpu) {
    let wanted = cpu.flush_wanted.load(Ordering::SeqCst);
    // SAFETY: the same root again: only cached translations are dropped.
    unsafe { x86::set_cr3(x86::cr3()) };
    cpu.flush_done.store(wanted, Ordering::SeqCst);
}

/// The numbers of the bits that are set.
pub fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let number = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(number)
    })
}

//! Signals that an instruction of the thread itself causes, and that it cannot refuse.

use super::action::SigAction;
use super::frame::FXSAVE_BYTES;
use super::info::SigInfo;
use super::number::Signal;
use super::state::FaultRecord;
use crate::mm::MemoryFault;
use crate::platform::{Access, UserContext, platform};
use crate::task::Current;
use linker::addr::UserVa;
use linux_raw_sys::general as raw;

/// Page-fault error code bits (Intel SDM vol. 3, 4.7).
const PF_WRITE: u64 = 1 << 1;
const PF_USER: u64 = 1 << 2;
const PF_INSTRUCTION: u64 = 1 << 4;
const PF_PRESENT: u64 = 1 << 0;
/// #PF's vector.
const PAGE_FAULT: u64 = 14;

/// Makes the running thread take `info`, now: a blocked or ignored signal is unblocked and gets its default action.
pub fn force_fault(current: &mut Current, info: SigInfo) {
    force(current, info, false);
}

/// The exception that the CPU reported in the context becomes a signal.
pub fn exception(current: &mut Current, vector: u8) {
    crate::task::trace::clear_step(current);
    let last = FaultRecord { vector: u64::from(vector), error: current.regs.error, ..current.signal.last_fault };
    current.signal.last_fault = last;
    if let Some(info) = exception_signal(vector, &current.regs) {
        force(current, info, false);
    }
}

/// A page that cannot be had becomes a signal. `present`: something was mapped there, but did not allow the access.
pub fn memory_fault(current: &mut Current, address: UserVa, access: Access, present: bool, fault: MemoryFault) {
    let access = match access {
        Access::Read => 0,
        Access::Write => PF_WRITE,
        Access::Execute => PF_INSTRUCTION,
    };
    let present = if present { PF_PRESENT } else { 0 };
    let error = PF_USER | access | present;
    current.signal.last_fault = FaultRecord { vector: PAGE_FAULT, error, address: address.raw() };
    let info = match fault {
        MemoryFault::NotMapped => SigInfo::fault(Signal::SIGSEGV, raw::SEGV_MAPERR, address.raw()),
        MemoryFault::NotAllowed => SigInfo::fault(Signal::SIGSEGV, raw::SEGV_ACCERR, address.raw()),
        MemoryFault::BeyondEnd => SigInfo::fault(Signal::SIGBUS, raw::BUS_ADRERR, address.raw()),
        MemoryFault::OutOfMemory => {
            // The access is made again, or the thread ends.
            crate::task::oom::relieve(current);
            return;
        }
    };
    force(current, info, false);
}

/// Intel SDM vol. 3, table 6-1, with Linux's choice of signal for each.
fn exception_signal(vector: u8, regs: &UserContext) -> Option<SigInfo> {
    Some(match vector {
        0 => SigInfo::fault(Signal::SIGFPE, raw::FPE_INTDIV, regs.rip),
        1 => SigInfo::fault(Signal::SIGTRAP, raw::TRAP_TRACE, regs.rip),
        3 => SigInfo::kernel(Signal::SIGTRAP),
        6 => SigInfo::fault(Signal::SIGILL, raw::ILL_ILLOPN, regs.rip),
        16 | 19 => SigInfo::fault(Signal::SIGFPE, float_code(vector)?, regs.rip),
        17 => SigInfo::fault(Signal::SIGBUS, raw::BUS_ADRALN, 0),
        11 | 12 => SigInfo::kernel(Signal::SIGBUS),
        // #OF, #BR, #GP and what user mode cannot cause.
        _ => SigInfo::kernel(Signal::SIGSEGV),
    })
}

/// Which unmasked floating-point exception it was, from the thread's x87 (#MF) or SSE (#XM) state; `None` where none is left.
fn float_code(vector: u8) -> Option<u32> {
    let mut state = alloc::vec![0; platform().vector_state_size().max(FXSAVE_BYTES)];
    platform().save_vector_state(&mut state);
    let word = |at: usize| state.get(at..at + 2).map_or(0, |bytes| u32::from(bytes[0]) | u32::from(bytes[1]) << 8);
    // The FXSAVE area: FCW at 0, FSW at 2, MXCSR at 24 (Intel SDM vol. 1, table 10-2).
    let raised = if vector == 16 { word(2) & !word(0) } else { word(24) & !(word(24) >> 7) };
    match raised {
        bits if bits & 0x01 != 0 => Some(raw::FPE_FLTINV),
        bits if bits & 0x04 != 0 => Some(raw::FPE_FLTDIV),
        bits if bits & 0x08 != 0 => Some(raw::FPE_FLTOVF),
        bits if bits & 0x12 != 0 => Some(raw::FPE_FLTUND),
        bits if bits & 0x20 != 0 => Some(raw::FPE_FLTRES),
        _ => None,
    }
}

/// A handler's frame could not be built, or its sigreturn made no sense.
pub(super) fn force_after_bad_frame(current: &mut Current, signal: Signal) {
    force(current, SigInfo::kernel(Signal::SIGSEGV), signal == Signal::SIGSEGV);
}

fn force(current: &mut Current, info: SigInfo, deadly: bool) {
    let signal = info.signal();
    let process = &current.process;
    let actions = process.signals.actions();
    {
        let mut table = actions.lock();
        let mut group = process.signals.lock();
        let action = table.get(signal);
        let blocked = current.task.signals.mask().contains(signal);
        if blocked || deadly || action.handler == SigAction::IGNORE {
            table.set(signal, SigAction { handler: SigAction::DEFAULT, ..action });
            current.task.signals.store_mask(current.task.signals.mask().without(signal));
        }
        if table.get(signal).handler == SigAction::DEFAULT {
            group.unkillable = false;
        }
        let mut own = current.task.signals.lock();
        let before = own.pending.len();
        own.pending.add(&info, true);
        process.signals.count(before, own.pending.len());
    }
    current.task.signals.flag();
}

//! The end of the kernel: message and return addresses go to the panic record, from which the host prints them with names.

use crate::asm::trap::TrapFrame;
use crate::frame::direct;
use crate::percpu::{self, cpu};
use crate::stack;
use crate::x86::{halt_forever, out32};
use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use linker::boot::{PANIC_FRAMES, PanicRecord};
use linker::layout::{KERNEL_BASE, KERNEL_STACKS, KERNEL_STACKS_BYTES, PANIC_RECORD, PORT_PANIC};

/// The CPU that panicked first.
static PANICKED: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let describe = &mut |text: &mut Text| {
        if let Some(test) = crate::selftest::current() {
            write!(text, "self-test failed: {test}: ")?;
        }
        write!(text, "{info}")
    };
    die(describe, None, stack_pointer())
}

/// A trap that the kernel should not have taken.
pub fn trap(frame: &TrapFrame, cr2: u64) -> ! {
    let gs_base = percpu::restore_gs();
    let describe = &mut |text: &mut Text| {
        let TrapFrame { vector, error, rip, rsp, rflags, .. } = frame;
        write!(text, "exception {vector} in ring 0, error {error:#x}, at {rip:#x}, cr2 {cr2:#x}, rsp {rsp:#x}, ")?;
        write!(text, "rflags {rflags:#x}, rax {:#x}, rdi {:#x}, rsi {:#x}", frame.rax, frame.rdi, frame.rsi)?;
        gs_base.map_or(Ok(()), |base| write!(text, ", GS base {base:#x}, which is not the kernel's"))
    };
    die(describe, Some(frame.rip), frame.rsp)
}

fn die(describe: &mut dyn FnMut(&mut Text) -> fmt::Result, rip: Option<u64>, rsp: u64) -> ! {
    let this = cpu().number.get();
    match PANICKED.compare_exchange(NOBODY, this, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => {}
        // A panic within a panic: the host gets what there is.
        Err(first) if first == this => {
            out32(PORT_PANIC, u32::MAX);
            halt_forever();
        }
        // The other CPU tells.
        Err(_) => halt_forever(),
    }
    let record = direct::<PanicRecord>(PANIC_RECORD.raw());
    // SAFETY: the page is the panicking CPU's, which `PANICKED` decided; any bytes are a valid record.
    let record = unsafe { &mut *record };
    record.cpu = this as u32;
    record.frames = [0; PANIC_FRAMES];
    let mut text = Text { room: &mut record.message, len: 0 };
    // A message that is too long is cut.
    let _ = describe(&mut text);
    record.message_len = text.len as u32;
    backtrace(&mut record.frames, rip, rsp);
    out32(PORT_PANIC, record.cpu);
    halt_forever()
}

/// The callers of this function, as a panic would show them.
#[inline(never)]
pub fn here() -> [u64; PANIC_FRAMES] {
    let mut frames = [0; PANIC_FRAMES];
    backtrace(&mut frames, None, stack_pointer());
    frames
}

#[inline(always)]
fn stack_pointer() -> u64 {
    let rsp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) }
    rsp
}

/// What looks like a return address on the stack: the code keeps no frame pointers, which would cost two instructions a call. A frame
/// that was left long ago may be among them.
fn backtrace(frames: &mut [u64; PANIC_FRAMES], rip: Option<u64>, rsp: u64) {
    let found = stack_above(rsp).filter(|word| is_return_address(*word));
    for (slot, address) in frames.iter_mut().zip(rip.into_iter().chain(found)) {
        *slot = address;
    }
}

/// The words of the stack from here up. If the pointer is corrupt, a read may fault, and the nested panic stops here.
fn stack_above(rsp: u64) -> impl Iterator<Item = u64> {
    let first = rsp.next_multiple_of(8);
    // A kernel stack ends at its slot's end; one of the boot code is shorter than a slot and has other data of the image above.
    let end = if (KERNEL_STACKS.raw()..KERNEL_STACKS.raw() + KERNEL_STACKS_BYTES).contains(&first) {
        (first + 1).next_multiple_of(stack::SLOT_BYTES)
    } else if (KERNEL_BASE.raw()..image_end()).contains(&first) {
        image_end().min(first + stack::BYTES)
    } else {
        first
    };
    // SAFETY: mapped, aligned memory of this kernel's, unless the stack pointer was wrong.
    (first..end).step_by(8).map(|at| unsafe { (at as *const u64).read_volatile() })
}

/// Whether a CALL ends there: relative (E8), or by register or memory (FF /2; Intel SDM vol. 2, 2.1.5 says how long that is).
fn is_return_address(address: u64) -> bool {
    const LONGEST: u64 = 7;
    if !(text_start() + LONGEST..text_end()).contains(&address) {
        return false;
    }
    // SAFETY: the kernel's code, which is mapped and never changes.
    let byte = |before: u64| unsafe { ((address - before) as *const u8).read() };
    byte(5) == 0xe8
        || [2, 3, 4, 6, 7].into_iter().any(|length| {
            let (mode, rm) = (byte(length - 1) >> 6, byte(length - 1) & 7);
            let has_sib = mode != 3 && rm == 4;
            let displacement = match mode {
                0 if rm == 5 || has_sib && byte(length - 2) & 7 == 5 => 4,
                1 => 1,
                2 => 4,
                _ => 0,
            };
            byte(length) == 0xff && byte(length - 1) >> 3 & 7 == 2 && length == 2 + u64::from(has_sib) + displacement
        })
}

unsafe extern "C" {
    /// The linker script's.
    static text_first: u8;
    static text_last: u8;
    #[link_name = "image_end"]
    static image_last: u8;
}

fn text_start() -> u64 {
    (&raw const text_first) as u64
}

fn text_end() -> u64 {
    (&raw const text_last) as u64
}

fn image_end() -> u64 {
    (&raw const image_last) as u64
}

struct Text<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.room.get_mut(self.len..).unwrap_or_default();
        let len = text.floor_char_boundary(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        if len == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

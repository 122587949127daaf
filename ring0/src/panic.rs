//! The end of the kernel: message and return addresses go to the panic record, from which the host prints them with names.

use crate::asm::trap::TrapFrame;
use crate::frame::direct;
use crate::percpu::{self, cpu};
use crate::x86::{halt_forever, out32};
use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use linker::boot::{PANIC_FRAMES, PanicRecord};
use linker::layout::{DIRECT_MAP, KERNEL_BASE, PANIC_RECORD, PORT_PANIC};

/// The CPU that panicked first.
static PANICKED: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) }
    let describe = &mut |text: &mut Text| {
        if let Some(test) = crate::selftest::current() {
            write!(text, "self-test failed: {test}: ")?;
        }
        write!(text, "{info}")
    };
    die(describe, None, frame)
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
    die(describe, Some(frame.rip), frame.rbp)
}

fn die(describe: &mut dyn FnMut(&mut Text) -> fmt::Result, rip: Option<u64>, frame: u64) -> ! {
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
    backtrace(&mut record.frames, rip, frame);
    if record.frames[1] == 0 {
        for (to, from) in record.frames.iter_mut().zip(&REFUSED) {
            *to = from.load(Ordering::Relaxed);
        }
    }
    let mut text = Text { room: &mut record.message, len: 0 };
    // A message that is too long is cut.
    let _ = describe(&mut text);
    record.message_len = text.len as u32;
    out32(PORT_PANIC, record.cpu);
    halt_forever()
}

/// Where the last heap block was asked for that there was no memory for. Code of `alloc` and `core` keeps no frame pointers, so that
/// the panic that may follow does not know.
static REFUSED: [AtomicU64; PANIC_FRAMES] = [const { AtomicU64::new(0) }; PANIC_FRAMES];

/// A heap block was refused.
#[cold]
pub fn refused_block() {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) }
    let mut frames = [0; PANIC_FRAMES];
    backtrace(&mut frames, None, frame);
    for (to, from) in REFUSED.iter().zip(frames) {
        to.store(from, Ordering::Relaxed);
    }
}

/// Follows the frame pointers as long as they lead up within kernel memory.
fn backtrace(frames: &mut [u64; PANIC_FRAMES], rip: Option<u64>, mut frame: u64) {
    let mut frames = frames.iter_mut();
    if let (Some(rip), Some(slot)) = (rip, frames.next()) {
        *slot = rip;
    }
    for slot in frames {
        *slot = 0;
        if frame < DIRECT_MAP.raw() || !frame.is_multiple_of(8) {
            break;
        }
        // SAFETY: a frame pointer of this kernel's code: the saved one, then the return address. If a stack is corrupt,
        // the read may fault, and the nested panic stops here.
        let [next, ret] = unsafe { (frame as *const [u64; 2]).read() };
        if ret < KERNEL_BASE.raw() {
            break;
        }
        *slot = ret;
        if next <= frame {
            break;
        }
        frame = next;
    }
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

//! The first instructions of each vCPU.
//!
//! | register | on entry | at `boot::boot` |
//! | --- | --- | --- |
//! | RDI | CPU number | CPU number |
//! | RSP | undefined | this CPU's boot stack |
//! | RBP | undefined | 0, which ends backtraces |
//! | IF | 0 | 0 |

use crate::boot::{BOOT_STACK_BYTES, BOOT_STACKS, boot};
use core::arch::naked_asm;

/// The ELF entry.
#[unsafe(no_mangle)]
#[unsafe(naked)]
#[unsafe(link_section = ".text.entry")]
pub unsafe extern "C" fn ring0_entry() -> ! {
    naked_asm!(
        "cld",
        "xor ebp, ebp",
        "lea rax, [rdi + 1]",
        "imul rax, rax, {bytes}",
        "lea rsp, [rip + {stacks}]",
        "add rsp, rax",
        "call {boot}",
        "ud2",
        bytes = const BOOT_STACK_BYTES,
        stacks = sym BOOT_STACKS,
        boot = sym boot,
    )
}

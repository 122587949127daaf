//! All assembly stubs. Each says what it finds and what it leaves in the registers.

pub mod entry;
pub mod mem;
pub mod probe;
pub mod switch;
pub mod syscall;
pub mod trap;
pub mod usercopy;

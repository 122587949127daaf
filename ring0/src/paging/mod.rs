//! Page tables: the kernel's half, which all share, and the user half of each address space.

pub mod entry;
mod fill;
pub mod kernel;
mod leaf;
mod table;

pub use table::UserPageTable;

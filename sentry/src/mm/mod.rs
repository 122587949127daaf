//! Memory: address spaces, their areas (vmas), and what backs them.

mod address_space;
pub mod exec;
mod futex;
mod mapping;

pub use address_space::{AddressSpace, MemoryFault};
pub use futex::FutexKey;
pub use mapping::{Mapping, PageBudget, PageError, PageSource, zero_behind};

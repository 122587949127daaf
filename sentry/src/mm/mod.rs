//! Memory: address spaces, their areas (vmas), and what backs them.

mod address_space;
pub mod exec;
mod mapping;

pub use address_space::{AddressSpace, MemoryFault};
pub use mapping::{Mapping, PageBudget, PageError, PageSource, zero_behind};

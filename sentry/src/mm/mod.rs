//! Memory: address spaces, their areas (vmas), and what backs them.

mod address_space;
mod mapping;

pub use address_space::{AddressSpace, MemoryFault};
pub use mapping::Mapping;

//! Memory: address spaces, their areas (vmas), and what backs them.
//!
//! `AddressSpace` holds the areas and the page table: `map` changes the areas, `fault` fills the page table, `remap` and
//! `advise` are the rest of the calls. `Mapping` is the page cache of a file; `files` is its way back to who maps it.
//! `exec` builds a new address space from a program.

mod address_space;
mod advise;
mod areas;
mod barrier;
mod dump;
pub mod exec;
mod fault;
mod files;
mod futex;
mod map;
mod mapping;
mod policy;
mod reclaim;
mod remap;
mod remote;
mod report;
mod seal;
pub mod shm;
#[cfg(test)]
mod tests;
pub mod userfault;
mod vma;

pub use address_space::{AddressSpace, Bounds, MemoryFault, Totals};
pub use areas::{Layout, MAX_AREAS};
pub use dump::DumpArea;
pub use futex::FutexKey;
pub use map::{ALL, MapRequest, Object, Place, may_commit};
pub use mapping::{CacheState, Mapping, PageBudget, PageError, PageSource, zero_behind};
pub use policy::Policy;
pub use reclaim::{cached_pages, drop_caches, give_back};
pub use remap::Move;
pub use report::{AreaPages, AreaReport, PageState};

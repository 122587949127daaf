//! `ringwall lat`: how long single system calls take, natively and inside, as distributions. One program measures on both sides: this
//! binary itself (`measure`), which `cli::lat` starts twice, each pinned to one CPU.

mod calls;
mod chart;
mod distribution;
mod measure;
mod show;

pub use calls::ROWS;
pub use chart::chart;
pub use measure::{Side, measure, pin};
pub use show::{json, table};

/// A call on both sides.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// On the host.
    pub native: distribution::Distribution,
    /// In a sandbox.
    pub inside: distribution::Distribution,
    /// There, in which part of the kernel: of calls made apart, since to look costs as well.
    pub parts: Option<distribution::Parts>,
}

/// Puts both sides together, and what the probes said.
pub fn compare(native: &Side, inside: &Side, probed: &Side) -> Vec<Compared> {
    let find =
        |side: &Side, name: &str| side.calls.iter().find(|call| call.name == name).map(|call| call.times.clone());
    let both = ROWS.iter().filter_map(|row| {
        let parts = probed.calls.iter().find(|call| call.name == row.name).and_then(|call| call.parts.clone());
        Some(Compared { name: row.name, native: find(native, row.name)?, inside: find(inside, row.name)?, parts })
    });
    both.collect()
}

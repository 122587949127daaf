//! `ringwall` as a user meets it: at a terminal, in a pipeline, killed, and with nonsense for input.

mod bundles;
mod elf;
mod endings;
mod kills;
mod latency;
mod logs;
mod memory;
mod page;
mod policies;
mod refusals;
mod streams;
mod terminal;
mod watching;

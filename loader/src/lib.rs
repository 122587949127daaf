//! ELF in, load plan out; strings and an auxiliary vector in, initial stack out; a script's first line in, its interpreter
//! out. Pure functions on bytes that may be hostile: every error is typed, nothing is read or mapped here.
//!
//! The sentry uses all of it for execve.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod elf;
pub mod script;
pub mod stack;

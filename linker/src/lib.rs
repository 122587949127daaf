//! Facts that both sides of the VM boundary share, and nothing else: addresses, the boot page, the request ABI, the
//! start specification and the vDSO data page. A number that two rooms must agree on lives here once.
//!
//! Neighbours: `ring0` and `sentry` on the guest's side, `host-vmm` on the host's. No code here runs in only one of them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addr;
pub mod boot;
pub mod calls;
pub mod control;
pub mod layout;
pub mod probe;
pub mod request;
pub mod ring;
pub mod spec;
pub mod statistics;
pub mod sysctl;
pub mod trace;
pub mod vdso;

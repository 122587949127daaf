//! Pinning: after set-up, each process gives up its namespaces, its root, its capabilities and all but a handful of system
//! calls. In every build, debug and release alike.

pub mod filter;
pub mod gofer_rows;
pub mod host_rows;
pub mod monitor_rows;
pub mod namespaces;
pub mod sandbox_rows;

pub use namespaces::{empty_network, leave as leave_namespaces, leave_for_sockets};

use crate::idle;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::os::fd::{AsFd, OwnedFd};

/// Why a process could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("pinning: {0}: {1}")]
    Call(&'static str, Errno),
    /// The filter does not compile or load.
    #[error("pinning: seccomp: {0}")]
    Filter(String),
}

fn call(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call(what, errno)
}

/// Pins the sandbox process: all its threads, from now on. Namespaces and capabilities went before its threads came.
/// `host_network`: it makes sockets.
pub fn sandbox(control: &OwnedFd, host_network: bool) -> Result<(), Error> {
    crate::process::report_violations(control.as_fd()).map_err(call("sigaction"))?;
    let more = if host_network { host_rows::ROWS } else { &[] };
    filter::apply(&[sandbox_rows::ROWS, more].concat())
}

/// Pins a container's monitor, which stays in the network namespace that others know the container's by.
pub fn monitor() -> Result<(), Error> {
    namespaces::leave_but_network()?;
    crate::process::use_one_heap();
    filter::apply(monitor_rows::ROWS)
}

/// Takes all capabilities from a process that needs none.
pub fn helpless() -> Result<(), Error> {
    namespaces::drop_capabilities(CapabilitySet::empty())?;
    rustix::thread::set_no_new_privs(true).map_err(call("no_new_privs"))
}

/// Pins the process that stands for a program in a container.
pub fn stand_in() -> Result<(), Error> {
    helpless()?;
    crate::process::use_one_heap();
    filter::apply(monitor_rows::ROWS)
}

/// Pins the gofer, which has one thread.
pub fn gofer(control: &OwnedFd, network: Option<OwnedFd>, writable: bool) -> Result<(), Error> {
    let keep = match writable {
        // What a container's root does to its files is done with the gofer's hands.
        true => {
            CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::DAC_READ_SEARCH
                | CapabilitySet::CHOWN
                | CapabilitySet::FOWNER
                | CapabilitySet::FSETID
                | CapabilitySet::MKNOD
                | CapabilitySet::SETFCAP
        }
        false => CapabilitySet::DAC_READ_SEARCH,
    };
    namespaces::leave_keeping(network, keep)?;
    crate::process::report_violations(control.as_fd()).map_err(call("sigaction"))?;
    idle::give_back();
    filter::apply(gofer_rows::ROWS)
}

//! Containers that live beside the command that made them: what `create`, `start`, `exec` and their like have in common.
//!
//! `state` is what is on disk; `create` sets a container up; `monitor` is the process that stands for it on the host; `client`
//! talks to the monitor; `exec` is the process that stands for one more program in it; `cgroup`, `hooks` and `console` are what
//! their names say. The verbs themselves are in `cli`.

pub mod cgroup;
pub mod client;
pub mod console;
pub mod create;
pub mod exec;
pub mod hooks;
pub mod join;
pub mod monitor;
pub mod pod;
pub mod process_table;
pub mod setup;
pub mod signals;
pub mod state;
pub mod status;
pub mod time;
pub mod witness;

use rustix::io::Errno;

/// Why something about a container could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a system call failed.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// What is said says it all.
    #[error("{0}")]
    Said(String),
    /// Setting up the sandbox failed.
    #[error(transparent)]
    Launch(#[from] crate::launch::Error),
}

/// Says what failed.
pub fn call(what: impl Into<String>) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Io(what.into(), errno.into())
}

/// Says which file failed.
pub fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Io(path.display().to_string(), error)
}

/// An error that is only words.
pub fn said(what: impl Into<String>) -> Error {
    Error::Said(what.into())
}

//! Brings the container up from its start specification: mounts, first process, program. `program` is also the way in of
//! processes that the host starts later (`control`).

mod copy;
pub mod mounts;
mod process;
pub mod program;

use crate::control;
use crate::errno::Errno;
use crate::platform::platform;
use alloc::format;
use alloc::string::String;
use linker::control::{Outcome, Report};
use linker::spec::StartSpec;

/// ringwall's own exit code, for what is not the program's fault (docs/cli: exit codes).
const EXIT_FAILURE: u8 = 125;
/// The program is there, but cannot be executed (POSIX shell).
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The program is not there (POSIX shell).
const EXIT_NOT_FOUND: u8 = 127;

/// Why a container or a process cannot be started: the exit code, the errno where there is one, and one line.
#[derive(Debug)]
pub struct StartError {
    code: u8,
    errno: i32,
    message: String,
}

impl StartError {
    /// `what` failed, which is not the program's fault.
    pub fn new(what: &str, errno: Errno) -> Self {
        Self::with_code(EXIT_FAILURE, what, errno)
    }

    fn with_code(code: u8, what: &str, errno: Errno) -> Self {
        Self { code, errno: errno.raw().into(), message: format!("{what}: {}", describe(errno)) }
    }

    /// As an answer to the command that wanted it.
    pub fn into_outcome(self) -> Outcome {
        Outcome::Failed { code: self.code, errno: self.errno, message: self.message }
    }
}

/// Runs the sandbox on the calling (first) kernel thread; never returns.
pub fn start() -> ! {
    let mut reported = false;
    let error = match StartSpec::decode(platform().start_spec()) {
        Ok(spec) => {
            reported = spec.wait;
            match process::start(&spec) {
                Ok(never) => match never {},
                Err(error) => error,
            }
        }
        Err(error) => StartError { code: EXIT_FAILURE, errno: 0, message: format!("start specification: {error}") },
    };
    // Whoever waits for a container to be set up gets the reason; otherwise it is for people.
    if reported {
        control::report(&Report::Failed { code: error.code, message: error.message });
    } else {
        platform().log(&error.message);
    }
    platform().exit(u32::from(error.code))
}

/// strerror(3) for what can go wrong here, else the name.
fn describe(errno: Errno) -> String {
    let text = match errno {
        Errno::ENOENT => "No such file or directory",
        Errno::EACCES => "Permission denied",
        Errno::ENOEXEC => "Exec format error",
        Errno::ENOTDIR => "Not a directory",
        Errno::EISDIR => "Is a directory",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::E2BIG => "Argument list too long",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::EIO => "Input/output error",
        Errno::EINVAL => "Invalid argument",
        Errno::EPERM => "Operation not permitted",
        Errno::ENAMETOOLONG => "File name too long",
        Errno::ENODEV => "No such device",
        Errno::EROFS => "Read-only file system",
        other => return format!("{other:?}"),
    };
    String::from(text)
}

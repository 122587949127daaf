//! Brings the container up from its start specification: mounts, first process, program.

mod mounts;
mod process;

use crate::errno::Errno;
use crate::platform::platform;
use alloc::format;
use alloc::string::String;
use linker::spec::StartSpec;

/// ringwall's own exit code, for what is not the program's fault (docs/cli: exit codes).
const EXIT_FAILURE: u32 = 125;
/// The program is there, but cannot be executed (POSIX shell).
const EXIT_NOT_EXECUTABLE: u32 = 126;
/// The program is not there (POSIX shell).
const EXIT_NOT_FOUND: u32 = 127;

/// Why the container cannot be started: the exit code and one line.
struct StartError {
    code: u32,
    message: String,
}

impl StartError {
    fn new(what: &str, errno: Errno) -> Self {
        Self { code: EXIT_FAILURE, message: format!("{what}: {}", describe(errno)) }
    }
}

/// Runs the sandbox on the calling (first) kernel thread; never returns.
pub fn start() -> ! {
    let error = match StartSpec::decode(platform().start_spec()) {
        Ok(spec) => match process::start(&spec) {
            Ok(never) => match never {},
            Err(error) => error,
        },
        Err(error) => StartError { code: EXIT_FAILURE, message: format!("start specification: {error}") },
    };
    platform().log(&error.message);
    platform().exit(error.code)
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

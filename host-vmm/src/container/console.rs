//! Terminals of containers: a pseudo-terminal whose master goes to the caller by `--console-socket`.
//!
//! The sentry has a line discipline of its own, so the host's is switched off (raw): keys go in and characters come out as they are.

use crate::container::{Error, call, said};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes a terminal, sends its master to the socket at `path`, and returns its other end.
pub fn open(path: &Path, size: Option<(u16, u16)>) -> Result<OwnedFd, Error> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let master = master.map_err(call("/dev/ptmx"))?;
    rustix::pty::grantpt(&master).map_err(call("grantpt"))?;
    rustix::pty::unlockpt(&master).map_err(call("unlockpt"))?;
    let name = rustix::pty::ptsname(&master, Vec::new()).map_err(call("ptsname"))?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).map_err(call(name.to_string_lossy()))?;
    let mut modes = rustix::termios::tcgetattr(&slave).map_err(call("tcgetattr"))?;
    modes.make_raw();
    rustix::termios::tcsetattr(&slave, OptionalActions::Now, &modes).map_err(call("tcsetattr"))?;
    if let Some((ws_row, ws_col)) = size {
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size).map_err(call("tcsetwinsize"))?;
    }
    send(path, &master, name.to_bytes())?;
    Ok(slave)
}

/// Sends a terminal's master as runc does: the name as data, the descriptor beside it.
fn send(path: &Path, master: &OwnedFd, name: &[u8]) -> Result<(), Error> {
    let what = || format!("--console-socket {}", path.display());
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(call("socket"))?;
    // The path may be longer than a socket's address: its directory is named by descriptor.
    let (directory, file) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(file)) if !parent.as_os_str().is_empty() => (parent, file),
        (_, Some(file)) => (Path::new("."), file),
        _ => return Err(said(format!("{}: not a file", what()))),
    };
    let directory = rustix::fs::open(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(call(what()))?;
    let mut address = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    address.extend_from_slice(file.as_bytes());
    let address = SocketAddrUnix::new(address).map_err(call(what()))?;
    rustix::net::connect(&socket, &address).map_err(call(what()))?;
    let files = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let parts = [rustix::io::IoSlice::new(name)];
    rustix::net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL).map(drop).map_err(call(what()))
}

/// Makes `slave` the terminal of this process, which becomes a session's leader: changes of its size are then told by SIGWINCH.
pub fn control(slave: &OwnedFd) -> Result<(), Error> {
    let _ = rustix::process::setsid();
    rustix::process::ioctl_tiocsctty(slave).map_err(call("TIOCSCTTY"))
}

/// Puts `streams` in the place of the standard streams.
pub fn become_streams(stream: &OwnedFd) -> Result<(), Error> {
    rustix::stdio::dup2_stdin(stream).map_err(call("dup2"))?;
    rustix::stdio::dup2_stdout(stream).map_err(call("dup2"))?;
    rustix::stdio::dup2_stderr(stream).map_err(call("dup2"))
}

/// Rows and columns of a terminal; `None` before anybody said so.
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_row != 0 && size.ws_col != 0).then_some((size.ws_row, size.ws_col))
}

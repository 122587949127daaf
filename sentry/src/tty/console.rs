//! The console: a terminal whose far side is the host's standard streams. And what else the host says: signals, window sizes.

use super::devpts;
use super::session;
use super::terminal::{FarSide, Terminal};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::fs::{OpenFile, OpenFlags, open};
use crate::platform::platform;
use crate::signal::{SigInfo, Signal, send_from_host};
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::{Fail, Fd};
use crate::task::{Current, INIT, registry};
use crate::wait::Events;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::request::{OFFSET_STREAM, Op, Request, SetAttr, WindowSize, event};
use zerocopy::IntoBytes;

/// Bytes of one request.
const CHUNK: usize = 4096;

/// The container's terminal, where it has one.
static CONSOLE: Lock<Option<Arc<Terminal>>> = Lock::new(Rank::Leaf, None);

/// The host's side of a console.
pub(super) struct Console {
    input: File,
    output: SleepLock<File>,
}

/// The container's terminal.
pub(super) fn console() -> Option<Arc<Terminal>> {
    CONSOLE.lock().clone()
}

/// Makes the standard streams `input` and `output` of the start specification a terminal that controls the caller's session, and
/// opens it; `owner` owns it. Only once, and when /dev/pts is mounted.
pub fn open_console(current: &Current, input: u32, output: u32, owner: u32) -> Result<Arc<OpenFile>, Errno> {
    crate::fs::host::start();
    let far = Console { input: File::adopt(input), output: SleepLock::new(File::adopt(output)) };
    let devpts = devpts::default_instance().ok_or(Errno::ENODEV)?;
    let terminal = devpts.add(current, FarSide::Console(far))?;
    *CONSOLE.lock() = Some(terminal.clone());
    update_window(&terminal);
    let name = format!("/dev/pts/{}", terminal.number());
    let opened = match open(current, Fd::CWD, name.as_bytes(), OpenFlags::RDWR | OpenFlags::NOCTTY, 0) {
        Ok(file) => file,
        Err(Fail::Errno(errno)) => return Err(errno),
        Err(_) => return Err(Errno::EINTR),
    };
    opened.inode().set_attr(&SetAttr { valid: SetAttr::UID, uid: owner, ..SetAttr::default() })?;
    session::acquire(current, &terminal, false)?;
    let reader = terminal.clone();
    platform().spawn(false, Box::new(move || read_host(&reader)))?;
    Ok(opened)
}

impl Console {
    /// Sends what `take` has to the host, in order; waits for a host that is slow.
    pub(super) fn write(&self, take: impl Fn(usize) -> Vec<u8>) {
        let output = self.output.lock();
        loop {
            let bytes = take(CHUNK);
            if bytes.is_empty() {
                return;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                match output.write(OFFSET_STREAM, rest) {
                    Ok(0) => return,
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(Errno::EAGAIN) => {
                        let _ = output.poll(Events::OUT.bits(), false);
                    }
                    // The host's terminal is gone; its reader notices.
                    Err(_) => return,
                }
            }
        }
    }
}

/// The reader's life: bytes from the host to the terminal, until the host has no more.
fn read_host(terminal: &Arc<Terminal>) {
    let FarSide::Console(console) = terminal.far() else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        match console.input.read(OFFSET_STREAM, &mut buffer) {
            Ok(0) => break,
            Ok(read) => deliver(terminal, buffer.get(..read).unwrap_or_default()),
            Err(Errno::EAGAIN) => {
                let ready = console.input.poll(Events::IN.bits(), false).map(Events::from_bits_truncate);
                if !ready.is_ok_and(|ready| ready.intersects(Events::READABLE)) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    // The terminal was closed from outside: as when its cable is pulled.
    terminal.hang_up();
    session::hung_up(terminal);
}

/// Hands bytes over, waiting while the programs do not read what is there.
fn deliver(terminal: &Terminal, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let taken = terminal.receive(rest);
        rest = rest.get(taken..).unwrap_or_default();
        if taken == 0 {
            crate::wait::block(&terminal.master_queue, Events::WRITABLE, || terminal.has_incoming_room().then_some(()));
        }
    }
}

fn update_window(terminal: &Terminal) {
    let FarSide::Console(console) = terminal.far() else { return };
    let mut size = WindowSize::default();
    let request = Request { op: Op::WindowSize as u16, handle: console.input.handle(), ..Request::default() };
    if platform().host_call(request, &[], size.as_mut_bytes()).is_ok() {
        terminal.set_window(&size);
    }
}

/// Starts the thread that listens to the host.
pub fn start_events() -> Result<(), Errno> {
    platform().spawn(false, Box::new(listen))?;
    Ok(())
}

fn listen() {
    loop {
        let request = Request { op: Op::NextEvent as u16, ..Request::default() };
        let Ok(event) = platform().host_call(request, &[], &mut []) else {
            platform().log("the host sends no events any more");
            return;
        };
        let (kind, value) = (event & 0xff, event >> 8);
        match kind {
            event::SIGNAL => signal_from_host(value),
            event::WINDOW => {
                if let Some(terminal) = console() {
                    update_window(&terminal);
                }
            }
            event::GOFER_GONE => platform().log("the gofer is gone: files of the host cannot be reached any more"),
            _ => {}
        }
    }
}

/// A signal to the container: to its first process. Where the container has no terminal of its own, what the host's terminal
/// sends goes to that process's group, as it does without a sandbox.
fn signal_from_host(number: u64) {
    let Some(signal) = u32::try_from(number).ok().and_then(Signal::new) else { return };
    let Some(process) = registry().process(INIT) else { return };
    let typed = matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && console().is_none();
    let receivers = if typed { registry().group(process.group()) } else { Vec::from([process]) };
    for process in receivers {
        send_from_host(&process, SigInfo::kill(signal, 0, 0));
    }
}

//! Consoles: terminals whose far side is a terminal of the host's. The container's own is `/dev/console`; a process that the
//! host starts later may bring one along, which goes with the last file that is open on it.

use super::devpts;
use super::session;
use super::terminal::{FarSide, Terminal};
use crate::errno::Errno;
use crate::fs::host::client::File;
use crate::fs::{OpenFile, OpenFlags, open};
use crate::platform::platform;
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::{Fail, Fd};
use crate::task::Current;
use crate::wait::{Events, wait_on};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use linker::request::{OFFSET_STREAM, Op, Request, SetAttr, WindowSize};
use zerocopy::IntoBytes;

/// Bytes of one request.
const CHUNK: usize = 4096;

/// The container's terminal, where it has one.
static CONSOLE: Lock<Option<Arc<Terminal>>> = Lock::new(Rank::Leaf, None);

/// The host's side of a console. The files are gone when it is closed.
pub(super) struct Console {
    handle: u32,
    input: SleepLock<Option<File>>,
    output: SleepLock<Option<File>>,
    /// It goes with the last open file of the terminal.
    passing: bool,
}

/// What `open_console` made.
pub struct Opened {
    /// The open terminal.
    pub file: Arc<OpenFile>,
    /// The terminal itself.
    pub terminal: Arc<Terminal>,
}

/// The container's terminal.
pub fn console() -> Option<Arc<Terminal>> {
    CONSOLE.lock().clone()
}

/// Makes `input` and `output` of the host a terminal that controls the caller's session, and opens it; `owner` owns it.
/// `first`: it is the container's console. Only when /dev/pts is mounted.
pub fn open_console(current: &Current, input: File, output: File, owner: u32, first: bool) -> Result<Opened, Errno> {
    crate::fs::host::start();
    let far = Console {
        handle: input.handle(),
        input: SleepLock::new(Some(input)),
        output: SleepLock::new(Some(output)),
        passing: !first,
    };
    let devpts = devpts::default_instance().ok_or(Errno::ENODEV)?;
    let terminal = devpts.add(current, FarSide::Console(far))?;
    if first {
        *CONSOLE.lock() = Some(terminal.clone());
    }
    update_window(&terminal);
    let opened = control(current, &terminal, owner);
    if opened.is_err() {
        close(&terminal);
    }
    opened.map(|file| Opened { file, terminal })
}

/// Opens a console that is there, makes it the caller's controlling terminal, and starts its reader.
fn control(current: &Current, terminal: &Arc<Terminal>, owner: u32) -> Result<Arc<OpenFile>, Errno> {
    let name = format!("/dev/pts/{}", terminal.number());
    let file = match open(current, Fd::CWD, name.as_bytes(), OpenFlags::RDWR | OpenFlags::NOCTTY, 0) {
        Ok(file) => file,
        Err(Fail::Errno(errno)) => return Err(errno),
        Err(_) => return Err(Errno::EINTR),
    };
    file.inode().set_attr(&SetAttr { valid: SetAttr::UID, uid: owner, ..SetAttr::default() })?;
    session::acquire(current, terminal, false)?;
    let reader = terminal.clone();
    platform().spawn(false, Box::new(move || read_host(&reader)))?;
    Ok(file)
}

impl Console {
    /// Sends what `take` has to the host, in order; waits for a host that is slow.
    pub(super) fn write(&self, take: impl Fn(usize) -> Vec<u8>) {
        let output = self.output.lock();
        let Some(output) = output.as_ref() else { return };
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

    /// What the host has to read. EBADF once it is closed.
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.input.lock().as_ref().map_or(Err(Errno::EBADF), |input| input.read(OFFSET_STREAM, buffer))
    }

    /// Waits until there is something to read; the handle stays in place, so that closing it ends the wait.
    fn wait(&self) -> bool {
        let input = ManuallyDrop::new(File::adopt(self.handle));
        let ready = input.poll(Events::IN.bits(), false).map(Events::from_bits_truncate);
        ready.is_ok_and(|ready| ready.intersects(Events::READABLE))
    }
}

/// Nobody has the terminal open any more. The host hears of it where the console was only for a process: what it holds is
/// closed, by a thread, because a file may be dropped where nothing may wait.
pub(super) fn last_closed(terminal: &Arc<Terminal>) {
    let FarSide::Console(Console { passing: true, .. }) = terminal.far() else { return };
    let terminal = terminal.clone();
    // Without memory for a thread it stays open until the sandbox ends.
    let _ = platform().spawn(false, Box::new(move || close(&terminal)));
}

fn close(terminal: &Arc<Terminal>) {
    let FarSide::Console(console) = terminal.far() else { return };
    terminal.flush();
    terminal.hang_up();
    if let Some(devpts) = devpts::default_instance() {
        devpts.remove(terminal.number());
    }
    let files = (console.input.lock().take(), console.output.lock().take());
    drop(files);
}

/// The reader's life: bytes from the host to the terminal, until the host has no more.
fn read_host(terminal: &Arc<Terminal>) {
    let FarSide::Console(console) = terminal.far() else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        match console.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => deliver(terminal, buffer.get(..read).unwrap_or_default()),
            Err(Errno::EAGAIN) if console.wait() => {}
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
            let room = || terminal.has_incoming_room().then_some(());
            let _ = wait_on(&[(&terminal.master_queue, Events::WRITABLE)], false, None, &|| false, room);
        }
    }
}

/// Asks the host how large its terminal is.
pub fn update_window(terminal: &Terminal) {
    let FarSide::Console(console) = terminal.far() else { return };
    let mut size = WindowSize::default();
    let request = Request { op: Op::WindowSize as u16, handle: console.handle, ..Request::default() };
    if platform().host_call(request, &[], size.as_mut_bytes()).is_ok() {
        terminal.set_window(&size);
    }
}

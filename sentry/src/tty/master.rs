//! `PtyMaster`: the far side of a pseudo-terminal, what opening `ptmx` gives.

use super::devpts::DevPts;
use super::terminal::Terminal;
use super::{ioctl, session};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, Sink, Source};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general as raw;

/// Bytes that one step of a read or write moves.
const STEP: usize = 4096;

/// An open master. There is one a pseudo-terminal; when it goes, the terminal hangs up.
pub struct PtyMaster {
    pub(super) terminal: Arc<Terminal>,
    pub(super) devpts: Arc<DevPts>,
}

impl PtyMaster {
    pub(super) fn new(terminal: Arc<Terminal>, devpts: Arc<DevPts>) -> Arc<Self> {
        Arc::new(Self { terminal, devpts })
    }

    /// What a read of `max` bytes gets; `None`: wait. EIO when nobody has the other side open any more.
    fn try_take(&self, max: usize) -> Option<Result<Vec<u8>, Errno>> {
        let mut state = self.terminal.lock();
        if state.packet {
            let status = core::mem::take(&mut state.packet_status);
            if status != 0 {
                return Some(Ok(Vec::from([status as u8])));
            }
            let bytes = state.discipline.out().take(max.saturating_sub(1));
            if !bytes.is_empty() {
                return Some(Ok([&[raw::TIOCPKT_DATA as u8], bytes.as_slice()].concat()));
            }
        } else {
            let bytes = state.discipline.out().take(max);
            if !bytes.is_empty() {
                return Some(Ok(bytes));
            }
        }
        (state.was_open && state.open == 0).then_some(Err(Errno::EIO))
    }
}

impl Drop for PtyMaster {
    fn drop(&mut self) {
        self.devpts.remove(self.terminal.number());
        self.terminal.hang_up();
        session::hung_up(&self.terminal);
    }
}

impl FileOps for PtyMaster {
    fn read(&self, current: &Current, file: &OpenFile, sink: &mut Sink<'_>, _offset: u64) -> Result<usize, Fail> {
        let max = sink.left().min(STEP);
        if max == 0 {
            return Ok(0);
        }
        let look = || self.try_take(max);
        let bytes = match look() {
            Some(result) => result?,
            None if file.nonblocking() => return Err(Errno::EAGAIN.into()),
            None => current.wait(&self.terminal.master_queue, Events::READABLE | Events::PRI, None, look)??,
        };
        self.terminal.drained();
        Ok(sink.put(&bytes)?)
    }

    fn write(
        &self,
        current: &Current,
        file: &OpenFile,
        source: &mut Source<'_>,
        offset: u64,
    ) -> Result<(usize, u64), Fail> {
        let mut total = 0;
        while source.left() > 0 {
            let bytes = match source.take_vec(STEP) {
                Ok(bytes) => bytes,
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            let mut done = 0;
            while done < bytes.len() {
                let taken = self.terminal.receive(bytes.get(done..).unwrap_or_default());
                done += taken;
                if taken > 0 {
                    continue;
                }
                let result = if file.nonblocking() {
                    Err(Errno::EAGAIN.into())
                } else {
                    let room = || self.terminal.has_incoming_room().then_some(());
                    current.wait(&self.terminal.master_queue, Events::WRITABLE, None, room).map_err(Fail::from)
                };
                match result {
                    Ok(()) => {}
                    Err(_) if total + done > 0 => return Ok((total + done, offset)),
                    Err(fail) => return Err(fail),
                }
            }
            total += done;
        }
        Ok((total, offset))
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let room = self.terminal.has_incoming_room();
        let mut state = self.terminal.lock();
        let mut events = Events::empty();
        events.set(Events::READABLE, state.discipline.out().len() > 0);
        if state.packet && state.packet_status != 0 {
            events |= Events::READABLE | Events::PRI;
        }
        events.set(Events::HUP, state.was_open && state.open == 0);
        events.set(Events::WRITABLE, room);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.terminal.master_queue)
    }

    fn ioctl(&self, current: &Current, file: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        ioctl::master(current, file, self, command, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

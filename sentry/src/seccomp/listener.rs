//! Listeners (seccomp_unotify(2)): another process decides about calls that a filter hands it (SECCOMP_RET_USER_NOTIF).
//!
//! The filter holds a `Token`, the descriptor a `Listener`; each notices when the other is gone. `Rank::Pipe` guards what waits.

use super::Call;
use crate::errno::Errno;
use crate::fs::anon::AnonInode;
use crate::fs::{FileOps, OpenFile, OpenFlags};
use crate::sync::{Lock, Rank};
use crate::syscall::{Fail, Fd, SysResult, UserPtr};
use crate::task::{Current, Task};
use crate::wait::{Events, WaitQueue};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linux_raw_sys::ptrace as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct seccomp_notif`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: u32,
    arch: u32,
    address: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    new: u32,
    new_flags: u32,
}

const _: () = {
    assert!(size_of::<Notification>() == size_of::<raw::seccomp_notif>());
    assert!(size_of::<Response>() == size_of::<raw::seccomp_notif_resp>());
    assert!(size_of::<AddFd>() == size_of::<raw::seccomp_notif_addfd>());
};

/// SECCOMP_IOCTL_NOTIF_* (include/uapi/linux/seccomp.h; nobody exports them): `_IOC(direction, '!', number, size)`.
const fn ioctl(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (b'!' as u32) << 8 | number
}
const RECEIVE: u32 = ioctl(3, 0, size_of::<Notification>());
const SEND: u32 = ioctl(3, 1, size_of::<Response>());
const ID_VALID: u32 = ioctl(1, 2, size_of::<u64>());
/// With the direction as it was before Linux 5.9.
const ID_VALID_OLD: u32 = ioctl(2, 2, size_of::<u64>());
const ADD_FD: u32 = ioctl(1, 3, size_of::<AddFd>());
const SET_FLAGS: u32 = ioctl(1, 4, size_of::<u64>());

/// A call that waits for a decision.
struct Waiting {
    id: u64,
    call: Call,
    task: Arc<Task>,
    received: bool,
    response: Option<Response>,
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: Vec<Waiting>,
}

/// Who decides: what the descriptor holds.
pub struct Listener {
    state: Lock<State>,
    /// Woken by new calls.
    calls: WaitQueue,
    /// Woken by decisions.
    decisions: WaitQueue,
    filter_gone: AtomicBool,
    closed: AtomicBool,
}

/// What the filter holds.
#[derive(Debug)]
pub struct Token(Weak<Listener>);

impl core::fmt::Debug for Listener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Listener")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(listener) = self.0.upgrade() {
            listener.filter_gone.store(true, Ordering::SeqCst);
            listener.calls.wake(Events::HUP);
        }
    }
}

/// A listener's file, and what its filter is to hold.
pub fn new() -> (Arc<OpenFile>, Token) {
    let listener = Arc::new(Listener {
        state: Lock::new(Rank::Pipe, State::default()),
        calls: WaitQueue::new(),
        decisions: WaitQueue::new(),
        filter_gone: AtomicBool::new(false),
        closed: AtomicBool::new(false),
    });
    let token = Token(Arc::downgrade(&listener));
    let inode = AnonInode::anonymous("seccomp notify");
    (OpenFile::new(Arc::new(File(listener)), OpenFlags::RDWR, inode, None), token)
}

impl Token {
    /// Asks about the running thread's call. `None`: it is served. ENOSYS where nobody listens (any more).
    pub fn ask(&self, current: &Current, call: &Call) -> Option<SysResult> {
        let nobody = || Some(Err(Fail::Errno(Errno::ENOSYS)));
        let Some(listener) = self.0.upgrade().filter(|listener| !listener.closed.load(Ordering::SeqCst)) else {
            return nobody();
        };
        let id = {
            let mut state = listener.state.lock();
            state.last += 1;
            let id = state.last;
            let task = current.task.clone();
            state.waiting.push(Waiting { id, call: *call, task, received: false, response: None });
            id
        };
        listener.calls.wake(Events::READABLE);
        let decided = || {
            if listener.closed.load(Ordering::SeqCst) {
                return Some(None);
            }
            listener.state.lock().find(id).and_then(|waiting| waiting.response).map(Some)
        };
        let waited = current.wait(&listener.decisions, Events::READABLE, None, decided);
        let gone = listener.state.lock().remove(id);
        drop(gone);
        match waited {
            Err(_) => Some(Err(Fail::Restart)),
            Ok(None) => nobody(),
            Ok(Some(response)) if response.flags & raw::SECCOMP_USER_NOTIF_FLAG_CONTINUE != 0 => None,
            Ok(Some(response)) if response.error != 0 => Some(Ok(i64::from(response.error) as u64)),
            Ok(Some(response)) => Some(Ok(response.value as u64)),
        }
    }
}

impl State {
    fn find(&mut self, id: u64) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.id == id)
    }

    /// A call that was received and not decided.
    fn pending(&mut self, id: u64) -> Result<&mut Waiting, Errno> {
        self.find(id).filter(|waiting| waiting.received && waiting.response.is_none()).ok_or(Errno::ENOENT)
    }

    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        Some(self.waiting.remove(index))
    }
}

struct File(Arc<Listener>);

impl Drop for File {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.decisions.wake(Events::READABLE);
    }
}

impl File {
    fn receive(&self, current: &Current, at: UserPtr<Notification>) -> Result<(), Fail> {
        // The structure must be zero: it may get more fields.
        if at.read(current)?.as_bytes().iter().any(|byte| *byte != 0) {
            return Err(Errno::EINVAL.into());
        }
        let (id, call, task) = current.wait(&self.0.calls, Events::READABLE, None, || {
            let mut state = self.0.state.lock();
            let next = state.waiting.iter_mut().find(|waiting| !waiting.received)?;
            next.received = true;
            Some((next.id, next.call, next.task.clone()))
        })?;
        let notification = Notification {
            id,
            pid: current.shown(task.tid()).raw(),
            flags: 0,
            number: call.number,
            arch: raw::AUDIT_ARCH_X86_64,
            address: call.address,
            args: call.args,
        };
        if let Err(errno) = at.write(current, &notification) {
            // Somebody else may have it.
            if let Some(waiting) = self.0.state.lock().find(id) {
                waiting.received = false;
            }
            return Err(errno.into());
        }
        self.0.calls.wake(Events::WRITABLE);
        Ok(())
    }

    fn decide(&self, response: Response) -> Result<(), Errno> {
        let goes_on = response.flags & raw::SECCOMP_USER_NOTIF_FLAG_CONTINUE != 0;
        if response.flags & !raw::SECCOMP_USER_NOTIF_FLAG_CONTINUE != 0
            || goes_on && (response.error != 0 || response.value != 0)
        {
            return Err(Errno::EINVAL);
        }
        {
            let mut state = self.0.state.lock();
            let waiting = state.find(response.id).ok_or(Errno::ENOENT)?;
            if !waiting.received || waiting.response.is_some() {
                return Err(Errno::EINPROGRESS);
            }
            waiting.response = Some(response);
        }
        self.0.decisions.wake(Events::READABLE);
        Ok(())
    }

    /// Gives the caller of a call a descriptor of this process's.
    fn add_fd(&self, current: &Current, request: &AddFd) -> Result<Fd, Errno> {
        let known = raw::SECCOMP_ADDFD_FLAG_SETFD | raw::SECCOMP_ADDFD_FLAG_SEND;
        let cloexec = linux_raw_sys::general::O_CLOEXEC;
        if request.flags & !known != 0 || request.new_flags & !cloexec != 0 {
            return Err(Errno::EINVAL);
        }
        let chosen = request.flags & raw::SECCOMP_ADDFD_FLAG_SETFD != 0;
        if request.new != 0 && !chosen {
            return Err(Errno::EINVAL);
        }
        let file = current.file(Fd::new(request.source as i32))?;
        let task = self.0.state.lock().pending(request.id).map(|waiting| waiting.task.clone())?;
        let files = task.published().files.ok_or(Errno::ESRCH)?;
        let limit = task.process().soft_limit(linux_raw_sys::general::RLIMIT_NOFILE);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let close_on_exec = request.new_flags & cloexec != 0;
        let new = if chosen {
            let number = Fd::new(request.new as i32);
            drop(files.set(number, file, close_on_exec, limit)?);
            number
        } else {
            files.add(file, close_on_exec, 0, limit)?
        };
        if request.flags & raw::SECCOMP_ADDFD_FLAG_SEND != 0 {
            self.decide(Response { id: request.id, value: i64::from(new.raw()), error: 0, flags: 0 })?;
        }
        Ok(new)
    }
}

impl FileOps for File {
    fn poll(&self, _: &OpenFile) -> Events {
        let mut events = Events::empty();
        {
            let state = self.0.state.lock();
            if state.waiting.iter().any(|waiting| !waiting.received) {
                events |= Events::READABLE;
            }
            if state.waiting.iter().any(|waiting| waiting.received && waiting.response.is_none()) {
                events |= Events::WRITABLE;
            }
        }
        if self.0.filter_gone.load(Ordering::SeqCst) {
            events |= Events::HUP;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.calls)
    }

    fn ioctl(&self, current: &Current, _: &OpenFile, command: u32, arg: u64) -> Result<u64, Fail> {
        let at = UserVa::new(arg);
        match command {
            RECEIVE => self.receive(current, UserPtr::new(at))?,
            SEND => self.decide(UserPtr::new(at).read(current)?)?,
            ID_VALID | ID_VALID_OLD => {
                let id = UserPtr::<u64>::new(at).read(current)?;
                self.0.state.lock().pending(id).map(drop)?;
            }
            ADD_FD => return Ok(self.add_fd(current, &UserPtr::new(at).read(current)?)?.raw() as u64),
            // A hint about scheduling.
            SET_FLAGS if arg & !u64::from(raw::SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0 => {}
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

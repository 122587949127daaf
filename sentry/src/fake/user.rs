//! A running thread with memory, for tests of handlers.

use super::install;
use crate::fs::{FdTable, FsContext};
use crate::mm::{AddressSpace, Bounds, MapRequest, Place};
use crate::platform::{Prot, UserContext, platform};
use crate::signal::{ProcessSignals, TaskSignals, ThreadSignalState};
use crate::task::spaces::Spaces;
use crate::task::{Credentials, Current, INIT, Limits, Process, Published, Task, registry};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general::SIGCHLD;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// Where `current()` has readable and writable memory.
pub const USER_MEMORY: UserVa = UserVa::new(0x10_0000);
/// How much of it; nothing is mapped right behind it.
pub const USER_MEMORY_BYTES: u64 = 64 * PAGE_SIZE;

/// An address space with `USER_MEMORY`.
pub fn address_space() -> Arc<AddressSpace> {
    install();
    let mm = AddressSpace::new().expect("an address space");
    let prot = Prot { read: true, write: true, execute: false };
    let request = MapRequest::anonymous(Place::Fixed(USER_MEMORY.raw()), USER_MEMORY_BYTES, prot);
    mm.map(&request, &Bounds::new(&Limits::default(), true)).expect("a mapping");
    mm
}

/// Root's credentials, with every capability.
pub fn credentials() -> Arc<Credentials> {
    let all = u64::MAX >> 23;
    let caps = linker::spec::Capabilities { bounding: all, effective: all, inheritable: 0, permitted: all, ambient: 0 };
    Arc::new(Credentials { caps, ..Credentials::default() })
}

/// A running thread of its own new process, root, with `USER_MEMORY` and no files, registered. The calling thread's page table is its.
pub fn current() -> Current {
    current_in(address_space())
}

/// The same in an address space that is there already.
pub fn current_in(mm: Arc<AddressSpace>) -> Current {
    install();
    let tid = registry().lock().new_number().expect("a free number");
    let limits = Limits::default();
    let process =
        Arc::new(Process::new(tid, (None, tid, INIT), INIT, tid, tid, SIGCHLD, limits, ProcessSignals::default()));
    let (files, fs, creds) = (Arc::new(FdTable::new()), FsContext::nowhere(), credentials());
    let published =
        Published { mm: Some(mm.clone()), files: Some(files.clone()), fs: Some(fs.clone()), creds: creds.clone() };
    let task =
        Arc::new(Task::new((tid, tid), process.clone(), [0; 16], published, TaskSignals::default(), Spaces::initial()));
    task.set_name(b"test");
    task.set_thread(platform().current_thread());
    process.add_thread(&task);
    registry().lock().add_process(&process, None);
    registry().lock().add_task(&task);
    platform().use_page_table(Some(mm.table().clone()));
    let signal = ThreadSignalState::default();
    let regs = UserContext::default();
    Current {
        task,
        process,
        regs,
        calls: crate::observe::Calls::nobody(),
        listening: Default::default(),
        fail: crate::syscall::Fail::NoReturn,
        ended: None,
        mm,
        files,
        fs,
        creds,
        signal,
        robust_list: 0,
        rseq: None,
        clear_child_tid: 0,
        vfork_done: None,
        personality: 0,
        memory_policy: Default::default(),
        ways: Default::default(),
        timer_slack_ns: 50_000,
        default_timer_slack_ns: 50_000,
    }
}

/// Writes user memory, faulting it in.
///
/// # Panics
/// Where it cannot be written.
pub fn write_user(current: &Current, at: UserVa, bytes: &[u8]) {
    current.copy_out(at, bytes).expect("writable user memory");
}

/// Reads user memory, faulting it in.
///
/// # Panics
/// Where it cannot be read.
pub fn read_user(current: &Current, at: UserVa, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    current.copy_in(at, &mut bytes).expect("readable user memory");
    bytes
}

//! Kernel threads as std threads.

use super::machine;
use crate::platform::{NoMemory, PageTable, Switches, Thread, ThreadRef};
use std::boxed::Box;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

/// Bytes of the fake's vector state: the FXSAVE area.
pub(super) const VECTOR_BYTES: usize = 512;

#[derive(Default)]
struct State {
    token: bool,
    ended: bool,
    panicked: bool,
}

/// A kernel thread.
pub(super) struct FakeThread {
    state: Mutex<State>,
    changed: Condvar,
    /// Kicked since user mode was last entered.
    kicked: AtomicBool,
    affinity: AtomicU64,
    share: AtomicU32,
    started: Instant,
}

impl FakeThread {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            kicked: AtomicBool::new(false),
            affinity: AtomicU64::new(u64::MAX),
            share: AtomicU32::new(0),
            started: Instant::now(),
        })
    }

    pub(super) fn take_kick(&self) -> bool {
        self.kicked.swap(false, Ordering::SeqCst)
    }

    fn end(&self, panicked: bool) {
        let mut state = self.state.lock().expect("thread");
        state.ended = true;
        state.panicked = panicked;
        self.changed.notify_all();
    }
}

impl Thread for FakeThread {
    fn unpark(&self) {
        self.state.lock().expect("thread").token = true;
        self.changed.notify_all();
    }

    fn kick(&self) {
        self.kicked.store(true, Ordering::SeqCst);
    }

    fn cpu_time_ns(&self) -> (u64, u64) {
        (0, u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn switches(&self) -> Switches {
        Switches::default()
    }

    fn cpu(&self) -> usize {
        0
    }

    fn set_share(&self, share: u32) {
        self.share.store(share, Ordering::SeqCst);
    }

    fn set_affinity(&self, cpus: u64) {
        assert!(cpus != 0, "a thread may run somewhere");
        self.affinity.store(cpus, Ordering::SeqCst);
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}

/// What belongs to the calling thread alone.
pub(super) struct Local {
    pub(super) thread: Arc<FakeThread>,
    pub(super) table: Option<Arc<dyn PageTable>>,
    pub(super) vector: Vec<u8>,
    /// Lives as long as the process, because the trait hands out a plain reference.
    pub(super) held: &'static AtomicU64,
}

std::thread_local! {
    static LOCAL: RefCell<Local> = RefCell::new(Local {
        thread: FakeThread::new(),
        table: None,
        vector: vec![0; VECTOR_BYTES],
        held: Box::leak(Box::new(AtomicU64::new(0))),
    });
}

pub(super) fn local<T>(f: impl FnOnce(&mut Local) -> T) -> T {
    LOCAL.with(|local| f(&mut local.borrow_mut()))
}

pub(super) fn held_locks() -> &'static AtomicU64 {
    // Thread-local destructors drop sentry objects too; what they lock then is nobody else's order.
    static TEARDOWN: AtomicU64 = AtomicU64::new(0);
    LOCAL.try_with(|local| local.try_borrow().map_or(&TEARDOWN, |local| local.held)).unwrap_or_else(|_| {
        TEARDOWN.store(0, Ordering::SeqCst);
        &TEARDOWN
    })
}

pub(super) fn park(deadline_ns: Option<u64>) {
    let thread = local(|local| local.thread.clone());
    let stopped = machine().stopped_ns().is_some();
    let mut state = thread.state.lock().expect("thread");
    while !state.token {
        // A stopped clock can be set by any thread: look now and then.
        let wait = match deadline_ns {
            Some(_) if stopped => Duration::from_millis(1),
            Some(deadline) => Duration::from_nanos(deadline.saturating_sub(super::platform::monotonic_ns())),
            None => Duration::from_secs(3600),
        };
        let (next, timeout) = thread.changed.wait_timeout(state, wait).expect("thread");
        state = next;
        if timeout.timed_out() {
            break;
        }
    }
    state.token = false;
}

pub(super) fn spawn(inherit_vector_state: bool, main: Box<dyn FnOnce() + Send>) -> Result<ThreadRef, NoMemory> {
    let thread = FakeThread::new();
    let machine = machine();
    let vector = if inherit_vector_state { local(|local| local.vector.clone()) } else { vec![0; VECTOR_BYTES] };
    let own = thread.clone();
    let run = move || {
        super::machine::adopt(machine);
        local(|local| {
            local.thread = own.clone();
            local.vector = vector;
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(main));
        local(|local| local.table.take());
        own.end(result.is_err());
    };
    std::thread::Builder::new().spawn(run).map_err(|_| NoMemory)?;
    Ok(thread)
}

/// Waits until a spawned thread has ended.
///
/// # Panics
/// If that thread panicked.
pub fn join(thread: &ThreadRef) {
    let thread = thread.as_any().downcast_ref::<FakeThread>().expect("a fake thread");
    let mut state = thread.state.lock().expect("thread");
    while !state.ended {
        state = thread.changed.wait(state).expect("thread");
    }
    assert!(!state.panicked, "a spawned thread panicked");
}

/// Serialises tests that change what is global to the sentry (registries, the host name): hold the result.
pub fn stay_alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

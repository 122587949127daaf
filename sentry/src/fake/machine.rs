//! What a test may set, shared by the test's thread and those it spawns.

use crate::errno::Errno;
use crate::platform::{MemoryInfo, NoMemory, Trap, UserContext};
use linker::request::Request;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::string::String;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// User mode: sees the registers, returns why it was left.
pub type UserMode = dyn Fn(&mut UserContext) -> Trap + Send + Sync;
/// The host: request, input, output, answer. `Op::Read` and `Op::Write` of frames come here too.
pub type Host = dyn Fn(&Request, &[u8], &mut [u8]) -> Result<u64, Errno> + Send + Sync;

/// One test's machine.
pub struct Machine {
    user_mode: Mutex<Option<Arc<UserMode>>>,
    host: Mutex<Option<Arc<Host>>>,
    monotonic_ns: Mutex<Option<u64>>,
    realtime_offset_ns: Mutex<i128>,
    start_spec: Mutex<&'static [u8]>,
    /// Frames that may still be allocated.
    frames_left: AtomicUsize,
    memory: Mutex<MemoryInfo>,
    large_pages: AtomicBool,
    log: Mutex<Vec<String>>,
    answers: Mutex<(u64, BTreeMap<u64, Answer>)>,
}

/// The answer of a request that was begun, and its buffer.
type Answer = (Result<u64, Errno>, Box<[u8]>);

std::thread_local! {
    static MACHINE: RefCell<Arc<Machine>> = RefCell::new(Arc::new(Machine::new()));
}

/// The calling thread's machine.
pub fn machine() -> Arc<Machine> {
    // A thread that is being torn down has lost its machine already; anything will do then.
    MACHINE.try_with(|machine| machine.borrow().clone()).unwrap_or_else(|_| Arc::new(Machine::new()))
}

/// Makes `machine` the calling thread's (a spawned thread inherits its parent's).
pub(super) fn adopt(machine: Arc<Machine>) {
    MACHINE.with(|slot| *slot.borrow_mut() = machine);
}

impl Machine {
    fn new() -> Self {
        Self {
            user_mode: Mutex::new(None),
            host: Mutex::new(None),
            monotonic_ns: Mutex::new(None),
            realtime_offset_ns: Mutex::new(0),
            start_spec: Mutex::new(&[]),
            frames_left: AtomicUsize::new(usize::MAX),
            memory: Mutex::new(MemoryInfo { total_pages: 1 << 18, free_pages: 1 << 17 }),
            large_pages: AtomicBool::new(true),
            log: Mutex::new(Vec::new()),
            answers: Mutex::default(),
        }
    }

    /// What `run_user` does: the closure may change registers and memory (through the platform) and returns the trap.
    pub fn set_user_mode(&self, run: impl Fn(&mut UserContext) -> Trap + Send + Sync + 'static) {
        *self.user_mode.lock().expect("machine") = Some(Arc::new(run));
    }

    /// What `run_user` does: one step after the other; running out of them panics the test.
    pub fn script_user_mode(&self, steps: Vec<Box<dyn FnOnce(&mut UserContext) -> Trap + Send>>) {
        let steps = Mutex::new(steps.into_iter());
        self.set_user_mode(move |context| {
            let step = steps.lock().expect("machine").next();
            step.expect("user mode was entered more often than the script says")(context)
        });
    }

    pub(super) fn run_user(&self, context: &mut UserContext) -> Trap {
        let run = self.user_mode.lock().expect("machine").clone();
        run.expect("a test that enters user mode says what happens there")(context)
    }

    /// What the host answers; without it ENOSYS.
    pub fn set_host(&self, host: impl Fn(&Request, &[u8], &mut [u8]) -> Result<u64, Errno> + Send + Sync + 'static) {
        *self.host.lock().expect("machine") = Some(Arc::new(host));
    }

    pub(super) fn host(&self, request: &Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
        let host = self.host.lock().expect("machine").clone();
        host.map_or(Err(Errno::ENOSYS), |host| host(request, input, output))
    }

    pub(super) fn keep_answer(&self, answer: Result<u64, Errno>, output: Box<[u8]>) -> u64 {
        let mut answers = self.answers.lock().expect("machine");
        answers.0 += 1;
        let tag = answers.0;
        answers.1.insert(tag, (answer, output));
        tag
    }

    pub(super) fn take_answer(&self, tag: u64) -> Answer {
        self.answers.lock().expect("machine").1.remove(&tag).expect("a request that was begun")
    }

    /// Stops the monotonic clock at `ns`; parked threads look again at their deadlines.
    pub fn set_monotonic_ns(&self, ns: u64) {
        *self.monotonic_ns.lock().expect("machine") = Some(ns);
    }

    /// Moves the stopped monotonic clock on.
    pub fn advance_ns(&self, ns: u64) {
        let mut now = self.monotonic_ns.lock().expect("machine");
        *now = Some(now.unwrap_or(0) + ns);
    }

    pub(super) fn stopped_ns(&self) -> Option<u64> {
        *self.monotonic_ns.lock().expect("machine")
    }

    pub(super) fn realtime_offset_ns(&self) -> i128 {
        *self.realtime_offset_ns.lock().expect("machine")
    }

    pub(super) fn set_realtime_offset_ns(&self, offset: i128) {
        *self.realtime_offset_ns.lock().expect("machine") = offset;
    }

    /// Sets the encoded start specification.
    pub fn set_start_spec(&self, spec: Vec<u8>) {
        *self.start_spec.lock().expect("machine") = Box::leak(spec.into_boxed_slice());
    }

    pub(super) fn start_spec(&self) -> &'static [u8] {
        *self.start_spec.lock().expect("machine")
    }

    /// Lets only `count` more frames be allocated.
    pub fn limit_frames(&self, count: usize) {
        self.frames_left.store(count, Ordering::SeqCst);
    }

    pub(super) fn take_frame(&self) -> Result<(), NoMemory> {
        let take = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        self.frames_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).map(drop).map_err(|_| NoMemory)
    }

    /// Sets what `memory_info` says.
    pub fn set_memory_info(&self, info: MemoryInfo) {
        *self.memory.lock().expect("machine") = info;
    }

    pub(super) fn memory_info(&self) -> MemoryInfo {
        *self.memory.lock().expect("machine")
    }

    /// Whether 2 MiB blocks are to be had (they are, unless said otherwise).
    pub fn set_large_pages(&self, on: bool) {
        self.large_pages.store(on, Ordering::SeqCst);
    }

    pub(super) fn large_pages(&self) -> bool {
        self.large_pages.load(Ordering::SeqCst)
    }

    pub(super) fn log(&self, text: &str) {
        self.log.lock().expect("machine").push(text.into());
    }

    /// The lines logged so far.
    pub fn logged(&self) -> Vec<String> {
        self.log.lock().expect("machine").clone()
    }
}

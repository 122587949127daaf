//! A worker: a process of some threads, each of which makes calls one after the other, as its seed says.

use crate::arena::{self, Scratch};
use crate::board::Slot;
use crate::calls::{Call, FAMILIES, Gives};
use crate::pool::{Pool, TRACE_FD};
use crate::raw::{self, Step, sys};
use crate::rng::{Rng, mix};
use crate::value::Gen;
use crate::{Options, board, scenario, start};
use linux_raw_sys::general as g;
use std::fmt::Write;
use syscalls::Sysno;

/// How deep children of children go.
const DEEPEST: u32 = 2;
/// Calls of a child that a call made.
const CHILD_CALLS: u64 = 24;

/// Runs the threads of a worker; the process ends with this.
pub fn run(seed: u64, worker: usize, options: &Options) -> ! {
    start::worker_signals();
    let mut rng = Rng::new(mix(seed, 1));
    let first = start::pool();
    let file = sys(Sysno::openat, &[libc::AT_FDCWD as u64, c"f0".as_ptr() as u64, libc::O_RDWR as u64]);
    let victim = arena::victim(file);
    sys(Sysno::close, &[file as u64]);
    let threads = 1 + rng.below(3) as usize;
    let focus = choose_focus(&mut rng);
    std::thread::scope(|scope| {
        for thread in 1..threads {
            let (focus, first) = (focus.clone(), first.clone());
            scope.spawn(move || {
                Thread::new(mix(seed, 2 + thread as u64), worker, thread, first, victim, focus, options).calls()
            });
        }
        Thread::new(mix(seed, 2), worker, 0, first.clone(), victim, focus.clone(), options).calls();
    });
    sys(Sysno::exit_group, &[0]);
    unreachable!("exit_group does not return")
}

/// The calls that this worker makes most: a family or two, and some others.
fn choose_focus(rng: &mut Rng) -> Vec<&'static Call> {
    let mut focus = Vec::new();
    for _ in 0..1 + rng.below(2) {
        focus.extend(rng.pick(FAMILIES));
    }
    for _ in 0..10 {
        focus.push(any_call(rng));
    }
    focus
}

fn any_call(rng: &mut Rng) -> &'static Call {
    // The last family is of calls that are not served, and has less to find.
    let family = if rng.chance(3) { FAMILIES[FAMILIES.len() - 1] } else { rng.pick(&FAMILIES[..FAMILIES.len() - 1]) };
    &family[rng.below(family.len() as u64) as usize]
}

struct Thread<'a> {
    seed: u64,
    slot: Slot,
    pool: Pool,
    scratch: Scratch,
    victim: u64,
    focus: Vec<&'static Call>,
    options: &'a Options,
    depth: u32,
    name: String,
}

impl<'a> Thread<'a> {
    fn new(
        seed: u64,
        worker: usize,
        thread: usize,
        pool: Pool,
        victim: u64,
        focus: Vec<&'static Call>,
        options: &'a Options,
    ) -> Self {
        let slot = board::slot(options.lane, worker, thread);
        slot.begin(sys(Sysno::gettid, &[]) as u64);
        let name = format!("{worker}.{thread}");
        Self { seed, slot, pool, scratch: Scratch::new(), victim, focus, options, depth: 0, name }
    }

    fn calls(mut self) {
        for index in 0..self.options.calls {
            self.one(index);
            self.slot.advance();
        }
        self.slot.end();
    }

    /// One call, or a few that belong together.
    fn one(&mut self, index: u64) {
        self.scratch.reset();
        let mut rng = Rng::new(mix(self.seed, 100 + index));
        if rng.chance(4) {
            let mut gen_ = Gen { rng, scratch: &mut self.scratch, pool: &mut self.pool, victim: self.victim };
            let name = scenario::name(&mut gen_);
            self.trace(index, &format!("scenario {name}"));
            let mut gen_ = Gen {
                rng: Rng::new(mix(self.seed, index)),
                scratch: &mut self.scratch,
                pool: &mut self.pool,
                victim: self.victim,
            };
            scenario::run(name, &mut gen_);
            return;
        }
        let call = if rng.chance(70) { rng.pick(&self.focus) } else { any_call(&mut rng) };
        if self.options.without.contains(&call.sysno) {
            return;
        }
        if call.rare > 1 && rng.below(call.rare) != 0 {
            return;
        }
        let mut args = [0; 6];
        let mut gen_ = Gen { rng, scratch: &mut self.scratch, pool: &mut self.pool, victim: self.victim };
        for (value, kind) in args.iter_mut().zip(call.args) {
            *value = gen_.value(*kind);
        }
        if call.args.is_empty() && gen_.rng.chance(10) {
            args = [gen_.rng.next(); 6];
        }
        let steps = if matches!(call.gives, Gives::Child) { steps(&mut gen_) } else { Vec::new() };
        if spared(call.sysno, &args) {
            return;
        }
        if self.options.trace {
            let mut line = format!("{}(", call.sysno.name());
            for arg in &args[..call.args.len()] {
                let _ = match text_at(*arg) {
                    Some(text) => write!(line, "{text:?}, "),
                    None => write!(line, "{arg:#x}, "),
                };
            }
            self.trace(index, &format!("{})", line.trim_end_matches(", ")));
        }
        self.slot.call(call.sysno as u32);
        let result = match call.gives {
            Gives::Apart => return,
            Gives::Child => self.child(index, call.sysno, args, &steps),
            _ => raw::call(call.sysno as u32, args),
        };
        board::count(call.sysno as u32, result);
        if self.options.trace {
            self.trace(index, &format!("{} = {result}", call.sysno.name()));
        }
        if result >= 0 {
            self.keep(call, &args, result);
        }
    }

    /// Remembers what a call gave.
    fn keep(&mut self, call: &Call, args: &[u64; 6], result: i64) {
        match call.gives {
            Gives::Fd(class) => self.pool.add(result, class),
            Gives::Id(kind) => self.pool.add_id(kind, result),
            Gives::Area if self.pool.areas.len() < 12 => self.pool.areas.push(result as u64),
            Gives::Child => self.pool.add_pid(result),
            Gives::Pair(argument, class) => {
                // Where it was written: read it as the kernel does, which does not mind what is there.
                if let Some(pair) = read_words(args[argument]) {
                    self.pool.add(i64::from(pair[0] as i32), class);
                    self.pool.add(i64::from(pair[1] as i32), class);
                }
            }
            Gives::IdAt(argument, kind) => {
                if let Some(pair) = read_words(args[argument]) {
                    self.pool.add_id(kind, i64::from(pair[0] as i32));
                }
            }
            _ => {}
        }
    }

    /// A call that returns twice.
    fn child(&mut self, index: u64, sysno: Sysno, args: [u64; 6], steps: &[Step]) -> i64 {
        let alone = match sysno {
            Sysno::fork => true,
            Sysno::clone => args[0] & u64::from(g::CLONE_VM) == 0 && args[1] == 0,
            _ => false,
        };
        if self.depth >= DEEPEST {
            return 0;
        }
        if !alone {
            return raw::clone_steps(sysno as u32, args, steps);
        }
        let result = raw::call(sysno as u32, args);
        if result == 0 {
            sys(Sysno::alarm, &[2]);
            self.depth += 1;
            self.seed = mix(self.seed, index);
            self.name.push_str(".c");
            for index in 0..CHILD_CALLS {
                self.one(index);
            }
            sys(Sysno::exit_group, &[0]);
        }
        result
    }

    /// Says what comes, before it does: what a kernel that dies leaves of it.
    fn trace(&self, index: u64, what: &str) {
        if self.options.trace {
            let line = format!("{} {index}: {what}\n", self.name);
            sys(Sysno::write, &[TRACE_FD, line.as_ptr() as u64, line.len() as u64]);
        }
    }
}

/// Calls that a child makes which must not touch its stack.
fn steps(gen_: &mut Gen) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..gen_.rng.below(4) {
        let call = any_call(&mut gen_.rng);
        if !matches!(call.gives, Gives::Child | Gives::Apart) {
            let mut words = [call.sysno as u64, 0, 0, 0, 0, 0, 0];
            for (value, kind) in words[1..].iter_mut().zip(call.args) {
                *value = gen_.value(*kind);
            }
            steps.push(Step { words });
        }
    }
    steps
}

/// What would end the fuzzer's own bookkeeping.
fn spared(sysno: Sysno, args: &[u64; 6]) -> bool {
    match sysno {
        Sysno::dup2 | Sysno::dup3 => args[1] as u32 == TRACE_FD as u32,
        Sysno::close => args[0] as u32 == TRACE_FD as u32,
        _ => false,
    }
}

/// Reads two words through the kernel, which answers EFAULT where a load would kill us.
fn read_words(at: u64) -> Option<[u32; 2]> {
    let mut words = [0u32; 2];
    let pid = sys(Sysno::getpid, &[]) as u64;
    let (local, remote) = ([words.as_mut_ptr() as u64, 8], [at, 8]);
    let read = sys(Sysno::process_vm_readv, &[pid, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0]);
    (read >= 4).then_some(words)
}

/// The text at an address, where there is one that can be shown; the address may be anything.
fn text_at(at: u64) -> Option<String> {
    let mut bytes = [0u8; 64];
    // What is put at the end of a page has nothing behind it.
    let length = (bytes.len() as u64).min(4096 - at % 4096);
    let (local, remote) = ([bytes.as_mut_ptr() as u64, length], [at, length]);
    let me = sys(Sysno::gettid, &[]) as u64;
    let got = sys(Sysno::process_vm_readv, &[me, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0]);
    let text = bytes.get(..usize::try_from(got).ok()?)?.split(|byte| *byte == 0).next()?;
    let shown = !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic());
    shown.then(|| String::from_utf8_lossy(text).into_owned())
}

//! A fuzzer of Linux system calls that knows what calls look like, to be run inside a sandbox only: `cargo xtask fuzz` does so.
//!
//! The first process is the supervisor: it runs cases, each from a seed, in namespaces of their own, a few beside each other; ends those
//! that take too long; looks between them whether the system still works; and says once a second how far it is. [`case`] is a case,
//! [`worker`] makes the calls that [`calls`] describes, with values from [`value`] and [`structs`].

mod arena;
mod board;
mod calls;
mod case;
mod health;
mod pool;
mod raw;
mod rng;
mod scenario;
mod start;
mod structs;
mod value;
mod worker;

use raw::sys;
use rng::mix;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use syscalls::Sysno;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where cases' seeds come from.
    seed: u64,
    /// How long to go on.
    seconds: u64,
    /// This case alone, so many times.
    replay: Option<u64>,
    times: u64,
    /// Cases beside each other.
    lanes: usize,
    /// Calls of a thread.
    pub calls: u64,
    /// This worker of a case alone.
    pub only: Option<usize>,
    /// Each call is written to standard error before it is made.
    pub trace: bool,
    /// How much slower than a good machine this one is.
    pub patience: u32,
    /// Calls that are not made: they are known to fail.
    pub without: Vec<Sysno>,
    /// How often each call was made, at the end.
    counts: bool,
    /// The place of a case on the board.
    pub lane: usize,
}

/// Exit codes beside 0: not inside a sandbox, or wrong arguments; a process that nothing ends; a system that no longer works.
const REFUSED: u8 = 2;
const IMMORTAL: u8 = 3;
const UNWELL: u8 = 4;

fn main() -> ExitCode {
    let options = match Options::from_arguments() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("fuzz: {wrong}");
            return ExitCode::from(REFUSED);
        }
    };
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    if std::process::id() != 1 || !version.contains("ringwall") {
        eprintln!("fuzz: this is no place for it: the first process of a sandbox runs it, nothing else");
        return ExitCode::from(REFUSED);
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    board::map();
    let code = supervise(&options);
    if options.counts {
        counts();
    }
    println!("fuzz: {} calls", board::total());
    ExitCode::from(code)
}

impl Options {
    fn from_arguments() -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            seconds: 10,
            replay: None,
            times: 1,
            lanes: 2,
            calls: 300,
            only: None,
            trace: false,
            patience: 1,
            without: Vec::new(),
            counts: false,
            lane: 0,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--without" {
                let name = words.next().unwrap_or_default();
                options.without.push(name.parse().map_err(|()| format!("{name} is no call"))?);
                continue;
            }
            let mut number = || -> Result<u64, String> {
                let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
                text.parse().map_err(|_| format!("{text} is no number"))
            };
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--seconds" => options.seconds = number()?,
                "--replay" => options.replay = Some(number()?),
                "--times" => options.times = number()?,
                "--lanes" => options.lanes = (number()? as usize).clamp(1, board::LANES),
                "--calls" => options.calls = number()?,
                "--only" => options.only = Some(number()? as usize),
                "--patience" => options.patience = number()? as u32,
                "--trace" => options.trace = true,
                "--counts" => options.counts = true,
                _ => return Err(format!("what is {word}?")),
            }
        }
        Ok(options)
    }

    /// A case may take that long before it is ended.
    fn case_time(&self) -> Duration {
        Duration::from_millis(2000) * self.patience
    }

    /// Ending it may take that long.
    fn death_time(&self) -> Duration {
        Duration::from_secs(20) * self.patience.min(4)
    }
}

struct Running {
    pid: i64,
    seed: u64,
    begun: Instant,
    killed: Option<Instant>,
}

fn supervise(options: &Options) -> u8 {
    let begun = Instant::now();
    let mut lanes: Vec<Option<Running>> = (0..options.lanes).map(|_| None).collect();
    let (mut next, mut done, mut ended, mut said, mut examined) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let mut progress = (0, begun);
    println!("fuzz: seed {}", options.seed);
    loop {
        let over = match options.replay {
            Some(_) => next >= options.times,
            None => begun.elapsed().as_secs() >= options.seconds,
        };
        for (lane, place) in lanes.iter_mut().enumerate() {
            if place.is_none() && !over && (options.replay.is_none() || next < options.times) {
                let seed = options.replay.unwrap_or_else(|| mix(options.seed, next));
                next += 1;
                // Said before it runs: what a kernel that dies leaves.
                println!("fuzz: case {seed}");
                let pid = case::begin(seed, &Options { lane, ..options.clone() });
                if pid < 0 {
                    println!("fuzz: no new case: errno {}", -pid);
                    return UNWELL;
                }
                *place = Some(Running { pid, seed, begun: Instant::now(), killed: None });
            }
        }
        if over && lanes.iter().all(Option::is_none) {
            break;
        }
        while let pid @ 1.. = sys(Sysno::wait4, &[u64::MAX, 0, (libc::WNOHANG | libc::__WALL) as u64, 0]) {
            for place in &mut lanes {
                if let Some(running) = place.take_if(|running| running.pid == pid) {
                    done += 1;
                    if let Err(what) = health::glance() {
                        println!("fuzz: after case {}: {what}", running.seed);
                        return UNWELL;
                    }
                }
            }
        }
        for running in lanes.iter_mut().flatten() {
            match running.killed {
                None if running.begun.elapsed() > options.case_time() => {
                    sys(Sysno::kill, &[running.pid as u64, libc::SIGKILL as u64]);
                    running.killed = Some(Instant::now());
                    ended += 1;
                }
                Some(when) if when.elapsed() > options.death_time() => {
                    println!("fuzz: case {} cannot be ended", running.seed);
                    health::describe(running.pid);
                    return IMMORTAL;
                }
                _ => {}
            }
        }
        let calls = board::total();
        if calls != progress.0 {
            progress = (calls, Instant::now());
        } else if progress.1.elapsed() > 10 * options.case_time() {
            println!("fuzz: no case makes a call any more");
            health::describe(0);
            return UNWELL;
        }
        let seconds = begun.elapsed().as_secs();
        if seconds > said {
            said = seconds;
            println!("fuzz: {seconds} s, {calls} calls, {done} cases, {ended} of them ended, {}", health::figures());
        }
        if done >= examined + 16 || over && done > examined {
            examined = done;
            if let Err(what) = health::examine(options.death_time()) {
                println!("fuzz: after {done} cases, the system is not well: {what}");
                return UNWELL;
            }
        }
        sys(Sysno::nanosleep, &[[0u64, 5_000_000].as_ptr() as u64, 0]);
    }
    println!("fuzz: {done} cases, {ended} of them ended");
    0
}

/// What was called, and how often it succeeded.
fn counts() {
    for number in 0..board::NUMBERS {
        let (made, succeeded) = board::counts(number);
        if let Some(sysno) = Sysno::new(number)
            && made > 0
        {
            println!("count: {} {made} {succeeded}", sysno.name());
        }
    }
}

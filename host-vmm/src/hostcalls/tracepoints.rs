//! Counts by the kernel's tracepoints raw_syscalls: in an instance of tracefs of our own, which traces the threads of the processes and
//! nothing else, and whose events are read as text. The processes are not stopped. An instance whose maker was killed is removed
//! by the next one.

use super::{Calls, Found, Interrupts, Process};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where tracefs is mounted.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The first pid namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO): tracefs knows no other numbers than its.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
const PREFIX: &str = "ringwall-";
/// KiB of events that wait to be read, a CPU.
const BUFFER_KIB: &str = "8192";
/// How often is looked whether the processes are there.
const LOOK: Duration = Duration::from_millis(100);
const CHUNK: usize = 256 << 10;

/// An instance, removed when this goes.
struct Instance(PathBuf);

/// What a thread did.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    tid: i32,
    number: u32,
    at_us: u64,
    /// What it returned with; none when it came.
    result: Option<i64>,
}

/// Counts for so long, or until one of the processes ends, or Ctrl-C comes. `None` where there are no tracepoints to be had.
pub fn count(processes: &[Process], time: Duration, interrupts: &Interrupts) -> Option<Found> {
    if std::fs::read_link("/proc/self/ns/pid").ok()?.as_os_str() != FIRST_NAMESPACE {
        return None;
    }
    let tracing =
        PLACES.into_iter().map(Path::new).find(|place| place.join("events/raw_syscalls/sys_exit").exists())?;
    remove_abandoned(tracing);
    let instance = Instance::make(tracing).ok()?;
    let mut threads = HashMap::new();
    for (index, process) in processes.iter().enumerate() {
        let list = std::fs::read_dir(format!("/proc/{}/task", process.pid)).ok()?;
        threads.extend(list.filter_map(|thread| Some((thread.ok()?.file_name().to_str()?.parse().ok()?, index))));
    }
    let pids: Vec<String> = threads.keys().map(i32::to_string).collect();
    instance.set("set_event_pid", &pids.join(" ")).ok()?;
    let pipe = instance.open("trace_pipe").ok()?;
    instance.set("events/raw_syscalls/enable", "1").ok()?;
    let calls = processes.iter().map(|process| Calls { process: *process, calls: BTreeMap::new() }).collect();
    let mut counter = Counter { calls, threads, inside: HashMap::new(), lost: 0, rest: Vec::new() };
    let begin = Instant::now();
    let ended = counter.run(pipe, begin + time, interrupts, &instance);
    let time = begin.elapsed();
    Some(Found { how: "tracepoints", time, ended, lost: counter.lost, processes: counter.calls })
}

impl Instance {
    fn make(tracing: &Path) -> std::io::Result<Self> {
        let directory = tracing.join("instances").join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let instance = Self(directory);
        instance.set("buffer_size_kb", BUFFER_KIB)?;
        instance.set("trace_clock", "mono")?;
        // Threads that are started are traced, too.
        instance.set("options/event-fork", "1")?;
        Ok(instance)
    }

    fn set(&self, file: &str, value: &str) -> std::io::Result<()> {
        std::fs::write(self.0.join(file), value)
    }

    fn open(&self, file: &str) -> std::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::open(self.0.join(file), flags, Mode::empty())?.into())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.set("events/raw_syscalls/enable", "0");
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Removes instances of processes that are gone.
fn remove_abandoned(tracing: &Path) {
    let Ok(instances) = std::fs::read_dir(tracing.join("instances")) else { return };
    for name in instances.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let maker = name.strip_prefix(PREFIX).and_then(|pid| pid.parse::<i32>().ok());
        if maker.is_some_and(|pid| !is_there(pid)) {
            drop(Instance(tracing.join("instances").join(name)));
        }
    }
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

struct Counter {
    calls: Vec<Calls>,
    /// Index of their process.
    threads: HashMap<i32, usize>,
    /// Calls that threads are in, and since when.
    inside: HashMap<i32, (u32, u64)>,
    lost: u64,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Counter {
    /// Whether a process ended.
    fn run(&mut self, mut pipe: File, end: Instant, interrupts: &Interrupts, instance: &Instance) -> bool {
        let ended = loop {
            self.read(&mut pipe);
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left.min(LOOK)).ok();
            let polled = &mut [PollFd::new(&pipe, PollFlags::IN), PollFd::new(&interrupts.0, PollFlags::IN)];
            let _ = rustix::event::poll(polled, timeout.as_ref());
            if self.calls.iter().any(|calls| !is_there(calls.process.pid)) {
                break true;
            }
            if left.is_zero() || interrupts.came() {
                break false;
            }
        };
        let _ = instance.set("events/raw_syscalls/enable", "0");
        self.read(&mut pipe);
        ended
    }

    /// Takes the events that are there.
    fn read(&mut self, pipe: &mut File) {
        let mut chunk = vec![0; CHUNK];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => return,
                Ok(len) => self.rest.extend_from_slice(chunk.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            let bytes = std::mem::take(&mut self.rest);
            let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                match lines.peek() {
                    Some(_) => self.line(&String::from_utf8_lossy(line)),
                    None => self.rest = line.to_vec(),
                }
            }
        }
    }

    fn line(&mut self, line: &str) {
        if let Some((_, lost)) = line.split_once("[LOST ") {
            let events = lost.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(1_u64);
            self.lost = self.lost.saturating_add(events);
            self.inside.clear();
        } else if let Some(event) = parse(line) {
            self.take(&event);
        }
    }

    fn take(&mut self, event: &Event) {
        // A thread that is new: only the sandbox process has several.
        let index = *self.threads.entry(event.tid).or_insert(0);
        match event.result {
            None => drop(self.inside.insert(event.tid, (event.number, event.at_us))),
            Some(result) => {
                // One that came before anybody counted has no beginning.
                let since = self.inside.remove(&event.tid).filter(|(number, _)| *number == event.number);
                let us = since.map_or(0, |(_, since)| event.at_us.saturating_sub(since));
                let Some(calls) = self.calls.get_mut(index) else { return };
                calls.calls.entry(event.number).or_default().returned(result, Duration::from_micros(us));
            }
        }
    }
}

/// `    worker-77   [001] ..... 12.345678: sys_exit: NR 16 = -4`; the name may have blanks and hyphens in it.
fn parse(line: &str) -> Option<Event> {
    let enter = line.split_once(": sys_enter: NR ");
    let (head, body) = enter.or_else(|| line.split_once(": sys_exit: NR "))?;
    let (before, time) = head.rsplit_once(' ')?;
    let (task, _) = before.rsplit_once(" [")?;
    let (_, tid) = task.trim_end().rsplit_once('-')?;
    let (seconds, us) = time.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(us.parse().ok()?)?;
    let (number, rest) = body.split_once(' ')?;
    let result = match enter {
        Some(_) => None,
        None => Some(rest.strip_prefix("= ")?.trim_end().parse().ok()?),
    };
    Some(Event { tid: tid.parse().ok()?, number: number.parse().ok()?, at_us, result })
}

#[cfg(test)]
mod tests {
    use super::{Counter, Event, parse};
    use crate::hostcalls::processes::Role;
    use crate::hostcalls::{Calls, Process};
    use std::collections::{BTreeMap, HashMap};

    const ENTER: &str = "     a - b [1-77      [001] ..... 12.000005: sys_enter: NR 16 (5, ae80, 0, 0, 0, 0)";
    const EXIT: &str = "          worker-77      [000] ..... 12.000012: sys_exit: NR 16 = -4";

    #[test]
    fn events_are_read_from_their_lines() {
        let event = |at_us, result| Some(Event { tid: 77, number: 16, at_us, result });
        assert_eq!(parse(ENTER), event(12_000_005, None));
        assert_eq!(parse(EXIT), event(12_000_012, Some(-4)));
        for line in
            ["", "CPU:1 [LOST 12 EVENTS]", "x-1 [000] 1.2: sys_exit: NR 16", ": sys_exit: NR 1 = 2", "sys_enter: NR -"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_call_is_counted_when_it_returns() {
        let calls = Calls { process: Process { pid: 77, role: Role::Sandbox }, calls: BTreeMap::new() };
        let mut counter =
            Counter { calls: vec![calls], threads: HashMap::new(), inside: HashMap::new(), lost: 0, rest: Vec::new() };
        // The second has no beginning.
        [ENTER, EXIT, EXIT, "CPU:1 [LOST 12 EVENTS]", ENTER].into_iter().for_each(|line| counter.line(line));
        let call = &counter.calls[0].calls[&16];
        assert_eq!((call.count, call.ns, call.errors[&4], counter.lost), (2, 7_000, 2, 12));
    }
}

//! A program on a terminal of its own, and somebody who types.

use crate::outcome::{self, wait};
use crate::{PATIENCE, inside, native};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the terminal shows.
#[derive(Default)]
struct Screen {
    shown: Mutex<Shown>,
    changed: Condvar,
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    /// Nobody reads on, because the program's side is closed.
    ended: bool,
    /// Nobody shall read on.
    unplugged: bool,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unplugged(&self) -> bool {
        self.lock().unplugged
    }

    /// Waits for a change until `end`; false when that has passed.
    fn wait<'a>(&'a self, shown: MutexGuard<'a, Shown>, end: Instant) -> (MutexGuard<'a, Shown>, bool) {
        let left = end.saturating_duration_since(Instant::now());
        (self.changed.wait_timeout(shown, left).unwrap_or_else(PoisonError::into_inner).0, !left.is_zero())
    }
}

/// A terminal with a program on it.
pub struct Terminal {
    keyboard: File,
    /// Keeps the terminal, and with it its modes, when the program has ended.
    line: File,
    before: Termios,
    program: Child,
    name: OsString,
    screen: Arc<Screen>,
    /// How much of the screen was waited for.
    seen: usize,
}

/// Rows and columns to begin with.
const SIZE: (u16, u16) = (24, 80);

/// A shell's; no command that a test types contains it.
pub const PROMPT: &str = "% ";

impl Terminal {
    /// Starts the command as the leader of a session that the new terminal controls.
    pub fn start(command: &Command) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&controller).expect("grantpt");
        unlockpt(&controller).expect("unlockpt");
        let name = ptsname(&controller, Vec::new()).expect("ptsname");
        let name = OsStr::from_bytes(name.as_bytes()).to_owned();
        let open = || OpenOptions::new().read(true).write(true).open(&name).expect("the terminal's other side");
        // Only to be opened by setsid, so that the terminal controls none of our sessions.
        let line =
            { OpenOptions::new().read(true).write(true).custom_flags(nonblocking()).open(&name).expect("a side") };
        let keyboard = File::from(controller);
        resize(&keyboard, SIZE);
        let before = tcgetattr(&line).expect("modes");

        let mut session = native(["setsid", "--ctty"]);
        session.arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let program = outcome::start(session.stdin(open()).stdout(open()).stderr(open()));

        let screen = Arc::new(Screen::default());
        let mut output = keyboard.try_clone().expect("another descriptor");
        let writer = screen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !writer.is_unplugged() {
                let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                if let Ok(0) | Err(_) = poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&tick)) {
                    continue;
                }
                let Ok(count @ 1..) = output.read(&mut buffer) else { break };
                writer.lock().bytes.extend(&buffer[..count]);
                writer.changed.notify_all();
            }
            // It is closed before anybody hears of the end.
            drop(output);
            writer.lock().ended = true;
            writer.changed.notify_all();
        });
        Self { keyboard, line, before, program, name: command.get_program().to_owned(), screen, seen: 0 }
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("a terminal that takes input");
    }

    /// Waits until `text` is shown after what was waited for before; returns what came ahead of it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut shown = self.screen.lock();
        loop {
            let new = &shown.bytes[self.seen..];
            if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                let ahead = String::from_utf8_lossy(&new[..at]).into_owned();
                self.seen += at + text.len();
                return ahead;
            }
            let (new, in_time) = self.screen.wait(shown, end);
            shown = new;
            if !in_time || shown.ended {
                let bytes = String::from_utf8_lossy(&shown.bytes).into_owned();
                drop(shown);
                let _ = self.program.kill();
                panic!("waited for {text:?}; the terminal of {:?} shows {bytes:?}", self.name);
            }
        }
    }

    /// Types a line at the prompt and waits for the next; returns what was shown between, the echo included.
    pub fn at_prompt(&mut self, line: &str) -> String {
        self.send(line);
        self.send("\r");
        // The prompt may be drawn again while the line is edited.
        let echo = self.wait_for("\r\n");
        echo + "\r\n" + &self.wait_for(PROMPT)
    }

    /// Changes the size.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.keyboard, (rows, columns));
    }

    /// Sends a signal to the program itself.
    pub fn kill(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.program);
        rustix::process::kill_process(process, signal).expect("a running program");
    }

    /// Waits for the program's end: its exit code and all that the terminal showed.
    pub fn end(mut self) -> (i32, String) {
        let status = wait(&mut self.program);
        // The reader ends when nobody has the other side open.
        drop(self.line);
        let end = Instant::now() + PATIENCE;
        let mut shown = self.screen.lock();
        let mut in_time = true;
        while !shown.ended && in_time {
            (shown, in_time) = self.screen.wait(shown, end);
        }
        (outcome::code(status), String::from_utf8_lossy(&shown.bytes).into_owned())
    }

    /// The same for ringwall, which leaves the terminal's modes as they were whatever the program inside did to its own.
    pub fn end_restored(mut self) -> (i32, String) {
        wait(&mut self.program);
        let after = tcgetattr(&self.line).expect("modes");
        assert_eq!(format!("{after:?}"), format!("{:?}", self.before), "the terminal's modes are not restored");
        self.end()
    }

    /// Pulls the cable: closes the terminal while the program runs, and waits for the program's end.
    pub fn hang_up(mut self) -> i32 {
        self.screen.lock().unplugged = true;
        let mut shown = self.screen.lock();
        while !shown.ended {
            shown = self.screen.wait(shown, Instant::now() + PATIENCE).0;
        }
        drop(shown);
        drop((self.line, self.keyboard));
        outcome::code(wait(&mut self.program))
    }
}

fn nonblocking() -> i32 {
    (rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK).bits() as i32
}

fn resize(terminal: &File, (rows, columns): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal's size");
}

/// Has the same conversation with the words on a native terminal and inside; both must show and end the same.
pub fn same_as_native(words: &[&str], converse: impl Fn(&mut Terminal)) {
    let run = |command: &Command| {
        let mut terminal = Terminal::start(command);
        converse(&mut terminal);
        terminal
    };
    let (code, shown) = run(&native(words)).end();
    let (code_inside, shown_inside) = run(&inside(words)).end_restored();
    assert_eq!(lines(&shown_inside), lines(&shown), "inside (left) shows something else than natively (right)");
    assert_eq!(code_inside, code, "inside it ends with another code than natively; both show {shown:?}");
}

fn lines(shown: &str) -> Vec<&str> {
    shown.split('\n').collect()
}

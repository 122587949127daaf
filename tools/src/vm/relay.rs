//! The machine's ports, as unix sockets: stdin in, stdout and stderr out, and the exit code.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// What ends a session.
#[derive(Debug)]
pub enum Event {
    /// The command's exit code has arrived; its output has been handed over before.
    Exited(u8),
    /// The control port was closed without an exit code.
    Lost,
}

/// Listening sockets, one a port, and the threads that serve them.
pub struct Relay {
    directory: PathBuf,
    outputs: Vec<JoinHandle<()>>,
}

/// Port names in port-number order, starting at 1; `guest/session.sh` knows them by number.
pub const PORTS: [&str; 4] = ["stdout", "stderr", "stdin", "control"];

impl Relay {
    /// Listens on every port below `directory` and reports the end of the session to `events`.
    pub fn listen(directory: &Path, events: Sender<Event>) -> Result<Self> {
        let mut relay = Self { directory: directory.to_path_buf(), outputs: Vec::new() };
        let [stdout, stderr, stdin, control] = PORTS;
        let listener = relay.listener(stdout)?;
        relay.outputs.push(thread::spawn(move || copy(listener, std::io::stdout())));
        let listener = relay.listener(stderr)?;
        relay.outputs.push(thread::spawn(move || copy(listener, std::io::stderr())));
        let listener = relay.listener(stdin)?;
        thread::spawn(move || feed(&listener));
        let listener = relay.listener(control)?;
        thread::spawn(move || {
            let event = exit_code(listener).map_or(Event::Lost, Event::Exited);
            // The receiver is gone once the session is over.
            let _ = events.send(event);
        });
        Ok(relay)
    }

    /// The socket of a port.
    pub fn socket(&self, port: &str) -> PathBuf {
        self.directory.join(port)
    }

    /// Waits until all output has been passed on; call it after the machine has ended.
    pub fn drain(self) {
        for output in self.outputs {
            // A thread can only have panicked on a closed stdout, which leaves nothing to pass on to.
            let _ = output.join();
        }
    }

    fn listener(&self, port: &str) -> Result<UnixListener> {
        let path = self.socket(port);
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))
    }
}

fn copy(listener: UnixListener, mut to: impl Write) {
    let Ok((mut from, _)) = listener.accept() else {
        return;
    };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                    // Our reader has gone: so goes the command's.
                    let _ = from.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
}

/// Passes stdin on once the other end listens, and its end of file as a closed port.
fn feed(listener: &UnixListener) {
    let Ok((mut to, _)) = listener.accept() else {
        return;
    };
    if to.read_exact(&mut [0]).is_err() {
        return;
    }
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut to);
    let _ = to.shutdown(Shutdown::Write);
    // The port stays open for reading, as QEMU takes a hang-up before the data that came ahead of it.
    let _ = to.read_exact(&mut [0]);
}

fn exit_code(listener: UnixListener) -> Option<u8> {
    let (from, _): (UnixStream, _) = listener.accept().ok()?;
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).ok()?;
    line.trim().strip_prefix("exit ")?.parse().ok()
}

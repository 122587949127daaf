//! Whether the system still works after what was done to it: a child does what programs do, and must succeed in time.

use crate::raw::sys;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use syscalls::Sysno;

/// Says what does not work.
pub fn examine(patience: Duration) -> Result<(), String> {
    make_writable();
    let pid = sys(Sysno::fork, &[]);
    if pid == 0 {
        let code = match everything() {
            Ok(()) => 0,
            Err(what) => {
                println!("fuzz: {what}");
                1
            }
        };
        sys(Sysno::exit_group, &[code]);
    }
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let mut status = 0i32;
        if sys(Sysno::wait4, &[pid as u64, &raw mut status as u64, libc::WNOHANG as u64, 0]) == pid {
            return if status == 0 { Ok(()) } else { Err(format!("its child ended with status {status:#x}")) };
        }
        sys(Sysno::nanosleep, &[[0u64, 2_000_000].as_ptr() as u64, 0]);
    }
    Err("its child hangs".into())
}

/// A case has mounts of its own, but the file systems below them are everybody's: it may have made one read-only (MS_REMOUNT without
/// MS_BIND), as it may in Linux. Where none is mounted, that is EINVAL.
fn make_writable() {
    for path in [c"/", c"/tmp"] {
        let at = path.as_ptr() as u64;
        sys(Sysno::mount, &[at, at, 0, libc::MS_REMOUNT, 0]);
    }
}

/// Writes a file. The cases that run beside may make the file system read-only at any moment, so that takes some tries.
fn write_in_the_end(path: &str, text: &[u8]) -> std::io::Result<()> {
    for _ in 0..100 {
        match std::fs::write(path, text) {
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => make_writable(),
            other => return other,
        }
        sys(Sysno::nanosleep, &[[0u64, 1_000_000].as_ptr() as u64, 0]);
    }
    std::fs::write(path, text)
}

/// A look at what no case should reach: which of these is gone, to be asked after each case.
pub fn glance() -> Result<(), String> {
    for path in ["/", "/tmp", "/bin/echo", "/lib64/ld-linux-x86-64.so.2", "/dev/null", "/proc/self/maps"] {
        std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

fn everything() -> Result<(), String> {
    let wrong = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let path = "/tmp/health";
    let text: Vec<u8> = (0..20_000u32).map(|number| number as u8).collect();
    write_in_the_end(path, &text).map_err(wrong("writing a file"))?;
    if std::fs::read(path).map_err(wrong("reading a file"))? != text {
        return Err("a file is not what was written".into());
    }
    std::fs::remove_file(path).map_err(wrong("removing a file"))?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(wrong("listening"))?;
    let address = listener.local_addr().map_err(wrong("an address"))?;
    let mut client = TcpStream::connect(address).map_err(wrong("connecting"))?;
    let (mut server, _) = listener.accept().map_err(wrong("accepting"))?;
    client.write_all(&text[..1000]).map_err(wrong("sending"))?;
    let mut got = [0; 1000];
    server.read_exact(&mut got).map_err(wrong("receiving"))?;
    if got[..] != text[..1000] {
        return Err("a connection gives other bytes than were sent".into());
    }
    let thread = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(1)));
    thread.join().map_err(|_| "a thread".to_owned())?;
    let output = Command::new("/bin/echo").arg("well").output().map_err(wrong("starting a program"))?;
    if output.stdout != b"well\n" || !output.status.success() {
        return Err(format!("a program ended with {} and said {:?}", output.status, output.stdout));
    }
    Ok(())
}

/// How much memory is free, and how many processes there are: both should come back to where they were.
pub fn figures() -> String {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemFree:")).unwrap_or("?").trim().to_owned();
    let tasks = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let tasks = tasks.split(' ').nth(3).unwrap_or("?").to_owned();
    format!("free {free}, tasks {tasks}")
}

/// What a process that does not end is doing.
pub fn describe(pid: i64) {
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|byte| byte.is_ascii_digit()) && name != "1" {
            let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
            let what = std::fs::read_to_string(format!("/proc/{name}/syscall")).unwrap_or_default();
            println!(
                "fuzz: {} {} {}",
                if name == pid.to_string() { "its first process" } else { "process" },
                stat.trim(),
                what.trim()
            );
        }
    }
}

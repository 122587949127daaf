//! What ringwall says on stderr, and its exit codes. Usable before and after a process is pinned: the one system call is pwritev2.

use crate::vm::Memory;
use crate::vm::image::{self, BLOB};
use linker::boot::{ExitRecord, PanicRecord};
use linker::layout::{EXIT_RECORD, PANIC_RECORD};
use rustix::io::{IoSlice, ReadWriteFlags};
use vm_memory::{Bytes, GuestAddress};
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

/// Exit code of all of ringwall's own failures, as `docker run` and `env` use it.
pub const FAILURE: u8 = 125;
/// First `PORT_EXIT` status that means "killed by signal".
const SIGNALLED: u32 = 256;

/// The exit code for a status as for `PORT_EXIT`: the program's own, or 128 + signal.
pub fn exit_code(status: u32) -> u8 {
    match status.checked_sub(SIGNALLED) {
        None => status as u8,
        Some(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
    }
}

/// One line for the user.
pub fn line(text: &str) {
    raw(format!("ringwall: {text}\n").as_bytes());
}

/// A line that the guest asked for: whatever could upset a terminal is left out.
pub fn guest_line(text: &[u8]) {
    line(&printable(text));
}

fn printable(text: &[u8]) -> String {
    let harmless = |c: char| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c };
    String::from_utf8_lossy(text).trim_end().chars().map(harmless).collect()
}

/// Bytes for stderr. Nobody can be told when that fails.
pub fn raw(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let stderr = rustix::stdio::stderr();
        match rustix::io::pwritev2(stderr, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::empty()) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or(&[]),
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Says what ring0 left behind when it panicked, with a backtrace.
pub fn panic_record(memory: &Memory) {
    let mut record = PanicRecord::new_zeroed();
    if memory.read_slice(record.as_mut_bytes(), GuestAddress(PANIC_RECORD.raw())).is_err() {
        return line("the kernel panicked and left no record");
    }
    let message = record.message.get(..record.message_len as usize).unwrap_or(&record.message);
    guest_line(format!("kernel panic on vCPU {}: {}", record.cpu, String::from_utf8_lossy(message)).as_bytes());
    for (depth, address) in record.frames.into_iter().take_while(|address| *address != 0).enumerate() {
        // A return address may be the first byte of the next function.
        let text = match image::symbol(BLOB, address.wrapping_sub(1)) {
            Some((name, offset)) => format!("  {depth:2}: {address:#x} {name}+{:#x}\n", offset + 1),
            None => format!("  {depth:2}: {address:#x}\n"),
        };
        raw(text.as_bytes());
    }
}

/// Says what the sandbox did, as ring0 counted the calls and we the exits.
pub fn statistics(memory: &Memory, exits: u64, requests: u64) {
    let mut record = ExitRecord::new_zeroed();
    if memory.read_slice(record.as_mut_bytes(), GuestAddress(EXIT_RECORD.raw())).is_err() {
        return line("the kernel left no counts");
    }
    line(&format!("{} system calls served inside, {exits} exits, {requests} requests to the host", record.syscalls));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_guests_cannot_drive_a_terminal() {
        assert_eq!(printable(b"a\x1b[2J\x00b\n"), "a?[2J?b");
    }

    #[test]
    fn a_status_becomes_what_a_shell_expects() {
        assert_eq!(exit_code(0), 0);
        assert_eq!(exit_code(42), 42);
        assert_eq!(exit_code(255), 255);
        assert_eq!(exit_code(256 + 9), 137);
        assert_eq!(exit_code(u32::MAX), 255);
    }
}

//! What a core file is called: `/proc/sys/kernel/core_pattern` (core(5), "Naming of core dump files").

use crate::errno::Errno;
use crate::platform::platform;
use crate::sync::{Lock, Rank};
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::RLIMIT_CORE;

/// Bytes of the pattern at most (include/linux/binfmts.h: CORENAME_MAX_SIZE, with its NUL).
const MAX: usize = 128;

static PATTERN: Lock<Option<Vec<u8>>> = Lock::new(Rank::Leaf, None);

/// The pattern.
pub fn pattern() -> Vec<u8> {
    PATTERN.lock().clone().unwrap_or_else(|| b"core".to_vec())
}

/// Sets it. EOPNOTSUPP for a program (`|`) or a socket (`@`): no program is started here that is not the container's.
pub fn set_pattern(new: &[u8]) -> Result<(), Errno> {
    let line = new.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
    if matches!(line.first(), Some(b'|' | b'@')) {
        return Err(Errno::EOPNOTSUPP);
    }
    let line = line.get(..MAX - 1).unwrap_or(line).to_vec();
    let old = PATTERN.lock().replace(line);
    drop(old);
    Ok(())
}

/// The name for the caller's core.
pub(super) fn of(current: &Current) -> Result<Vec<u8>, Errno> {
    let pattern = pattern();
    let mut name = Vec::new();
    let mut rest = pattern.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        match rest.next() {
            None => break,
            Some(b'%') => name.push(b'%'),
            Some(letter) => name.extend(part(current, letter)),
        }
    }
    // As Linux, which opens nothing for an empty name.
    if name.is_empty() { Err(Errno::ENOENT) } else { Ok(name) }
}

fn part(current: &Current, letter: u8) -> Vec<u8> {
    let process = &current.process;
    let status = process.ending().map_or(0, |status| status.wait_status() & 0x7f);
    let text: String = match letter {
        b'p' => format!("{}", current.shown(process.pid()).raw()),
        b'P' => format!("{}", process.pid().raw()),
        b'i' => format!("{}", current.task.shown_tid().raw()),
        b'I' => format!("{}", current.task.tid().raw()),
        b'u' => format!("{}", current.creds.uid),
        b'g' => format!("{}", current.creds.gid),
        b'd' => format!("{}", process.dumpable()),
        b's' => format!("{status}"),
        b't' => format!("{}", platform().realtime_ns() / 1_000_000_000),
        b'c' => format!("{}", process.soft_limit(RLIMIT_CORE)),
        b'h' => return clean(&current.task.uts().host()),
        b'e' => {
            return clean(current.task.name().split(|byte| *byte == 0).next().unwrap_or_default());
        }
        b'f' => {
            return clean(process.executable().map_or_else(Vec::new, |path| path.dentry().name().to_vec()).as_slice());
        }
        b'E' => {
            return clean(
                process.executable().map_or_else(Vec::new, |path| path.absolute(&current.fs.root())).as_slice(),
            );
        }
        // What is not known is left out.
        _ => String::new(),
    };
    text.into_bytes()
}

/// A part stays one component, and is not "." or "..".
fn clean(text: &[u8]) -> Vec<u8> {
    let dots = matches!(text, b"." | b"..");
    text.iter().map(|byte| if *byte == b'/' || dots && *byte == b'.' { b'!' } else { *byte }).collect()
}

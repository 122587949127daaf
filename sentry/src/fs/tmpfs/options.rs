//! tmpfs's mount options (tmpfs(5)).

use crate::errno::Errno;
use crate::platform::platform;
use alloc::string::String;
use core::fmt::Write;
use linker::layout::PAGE_SIZE;

/// Limits of a tmpfs, and its root directory's attributes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pages at most.
    pub pages: u64,
    /// Inodes at most.
    pub inodes: u64,
    /// Permissions of the root directory.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Options {
    /// What Linux takes: half of memory, and as many inodes as that has pages.
    pub fn new() -> Self {
        let half = platform().memory_info().total_pages / 2;
        Self { pages: half, inodes: half, mode: 0o1777, uid: 0, gid: 0 }
    }

    /// No limits.
    pub fn unlimited() -> Self {
        Self { pages: u64::MAX, inodes: u64::MAX, mode: 0o755, uid: 0, gid: 0 }
    }

    /// Reads `size=64k,mode=755`. EINVAL for what tmpfs does not know or what has no sense.
    pub fn parse(text: &str) -> Result<Self, Errno> {
        let mut options = Self::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => options.pages = limit(size(value)?.div_ceil(PAGE_SIZE)),
                "nr_blocks" => options.pages = limit(size(value)?),
                "nr_inodes" => options.inodes = limit(size(value)?),
                "mode" => options.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
                "uid" => options.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                // Nothing to choose here: there is one node, no swap, and 64-bit inode numbers.
                "huge" | "mpol" | "noswap" | "inode32" | "inode64" | "noquota" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// What /proc/mounts shows.
    pub fn show(text: &str) -> String {
        let mut shown = String::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let comma = if shown.is_empty() { "" } else { "," };
            let _ = match (key, size(value)) {
                ("size", Ok(bytes)) => write!(shown, "{comma}size={}k", bytes.div_ceil(PAGE_SIZE) * (PAGE_SIZE / 1024)),
                _ => write!(shown, "{comma}{option}"),
            };
        }
        shown
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Zero means no limit.
fn limit(count: u64) -> u64 {
    if count == 0 { u64::MAX } else { count }
}

/// A number with a suffix k, m, g or t, or a percentage of memory.
fn size(text: &str) -> Result<u64, Errno> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
        let bytes = platform().memory_info().total_pages.saturating_mul(PAGE_SIZE);
        return Ok((bytes / 100).saturating_mul(percent));
    }
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        Some(b't') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

//! What a task's memory shows: maps, smaps, cmdline, environ, auxv, mem.

use super::{Subject, access};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink, Source};
use crate::mm::{AddressSpace, AreaPages, AreaReport};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt::Write;
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;

/// Bytes of arguments or environment at most (execve's own limit, a quarter of the largest stack).
const STRINGS: u64 = 6 << 20;
/// Auxiliary vector entries at most.
const AUX_ENTRIES: usize = 64;

pub(super) fn mm_of(subject: &Subject) -> Option<Arc<AddressSpace>> {
    subject.task().ok()?.published().mm
}

/// A range of the memory, as far as it can be read.
fn bytes(mm: &AddressSpace, start: u64, end: u64) -> Vec<u8> {
    let len = end.saturating_sub(start).min(STRINGS) as usize;
    let mut bytes = vec![0; len];
    let done = mm.read_remote(UserVa::new(start), &mut bytes).unwrap_or(0);
    bytes.truncate(done);
    bytes
}

/// `/proc/PID/cmdline`: the arguments, or what the program wrote over them (setproctitle(3)).
pub fn cmdline(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(mm) = mm_of(subject) else { return Ok(Vec::new()) };
    let layout = mm.layout();
    let mut line = bytes(&mm, layout.arg_start, layout.arg_end);
    if line.last().is_some_and(|last| *last != 0) {
        // The title goes on in the environment's place, up to its NUL.
        line.extend(bytes(&mm, layout.arg_end, layout.env_end));
        let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
        line.truncate(end);
    }
    Ok(line)
}

/// `/proc/PID/environ`.
pub fn environ(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(mm) = mm_of(subject) else { return Ok(Vec::new()) };
    let layout = mm.layout();
    Ok(bytes(&mm, layout.env_start, layout.env_end))
}

/// `/proc/PID/auxv`, read where execve put it: behind argc, argv and envp on the stack.
pub fn auxv(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    Ok(mm_of(subject).map_or_else(Vec::new, |mm| auxiliary_vector(&mm)))
}

/// It is behind the environment on the stack.
pub(super) fn auxiliary_vector(mm: &AddressSpace) -> Vec<u8> {
    let layout = mm.layout();
    let stack = bytes(mm, layout.start_stack, layout.arg_start);
    let mut words = stack.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let argc = words.next().unwrap_or(0);
    let behind_argv = usize::try_from(argc).unwrap_or(usize::MAX).saturating_add(1);
    let mut words = words.skip(behind_argv).skip_while(|word| *word != 0).skip(1);
    let mut vector = Vec::new();
    for _ in 0..AUX_ENTRIES {
        let (Some(key), Some(value)) = (words.next(), words.next()) else { break };
        vector.extend_from_slice(&key.to_le_bytes());
        vector.extend_from_slice(&value.to_le_bytes());
        if key == 0 {
            break;
        }
    }
    vector
}

/// The first line of an area.
fn area_line(out: &mut Vec<u8>, current: &Current, area: &AreaReport) {
    let attr = area.file.as_ref().and_then(|file| file.inode().attr().ok()).unwrap_or_default();
    let flag = |on: bool, letter: char| if on { letter } else { '-' };
    let mut line = String::new();
    let _ = write!(
        line,
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {}",
        area.start,
        area.end,
        flag(area.prot.read, 'r'),
        flag(area.prot.write, 'w'),
        flag(area.prot.execute, 'x'),
        if area.shared { 's' } else { 'p' },
        area.offset,
        attr.dev >> 32,
        attr.dev & 0xffff_ffff,
        attr.ino,
    );
    let path = area.file.as_ref().and_then(|file| file.path()).map(|path| path.absolute(&current.fs.root()));
    let name = path.unwrap_or_else(|| area.name.clone());
    if !name.is_empty() {
        // Linux pads to column 73, where names begin.
        while line.len() < 72 {
            line.push(' ');
        }
        line.push(' ');
    }
    out.extend_from_slice(line.as_bytes());
    // A newline in a name must not look like the line's end.
    for byte in name {
        match byte {
            b'\n' => out.extend_from_slice(b"\\012"),
            _ => out.push(byte),
        }
    }
    out.push(b'\n');
}

/// `/proc/PID/maps`.
pub fn maps(current: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    for area in mm_of(subject).map(|mm| mm.report()).unwrap_or_default() {
        area_line(&mut out, current, &area);
    }
    Ok(out)
}

fn page_lines(out: &mut Vec<u8>, pages: &AreaPages) {
    let kib = |pages: u64| pages * (PAGE_SIZE / 1024);
    let rows = [
        ("Rss", kib(pages.resident)),
        ("Pss", pages.proportional_bytes / 1024),
        ("Pss_Dirty", 0),
        ("Shared_Clean", kib(pages.shared_clean)),
        ("Shared_Dirty", kib(pages.shared_dirty)),
        ("Private_Clean", kib(pages.private_clean)),
        ("Private_Dirty", kib(pages.private_dirty)),
        ("Referenced", kib(pages.resident)),
        ("Anonymous", kib(pages.anonymous)),
        ("KSM", 0),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", kib(pages.locked)),
    ];
    for (name, kib) in rows {
        let mut label = String::from(name);
        label.push(':');
        let mut line = String::new();
        let _ = writeln!(line, "{label:<16}{kib:>8} kB");
        out.extend_from_slice(line.as_bytes());
    }
}

/// `/proc/PID/smaps`.
pub fn smaps(current: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    let Some(mm) = mm_of(subject) else { return Ok(out) };
    for area in mm.report() {
        area_line(&mut out, current, &area);
        let kib = (area.end - area.start) / 1024;
        let mut line = String::new();
        let _ = write!(line, "Size:           {kib:>8} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n");
        out.extend_from_slice(line.as_bytes());
        page_lines(&mut out, &mm.count_pages(&area));
        out.extend_from_slice(b"THPeligible:           0\nVmFlags:");
        for word in &area.flags {
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
        }
        out.extend_from_slice(b" \n");
    }
    Ok(out)
}

/// `/proc/PID/smaps_rollup`.
pub fn smaps_rollup(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    let Some(mm) = mm_of(subject) else { return Ok(out) };
    let areas = mm.report();
    let mut sum = AreaPages::default();
    for area in &areas {
        let pages = mm.count_pages(area);
        sum.resident += pages.resident;
        sum.private_clean += pages.private_clean;
        sum.private_dirty += pages.private_dirty;
        sum.shared_clean += pages.shared_clean;
        sum.shared_dirty += pages.shared_dirty;
        sum.anonymous += pages.anonymous;
        sum.locked += pages.locked;
        sum.proportional_bytes += pages.proportional_bytes;
    }
    let first = areas.first().map_or(0, |area| area.start);
    let last = areas.last().map_or(0, |area| area.end);
    let mut line = String::new();
    let _ = writeln!(line, "{first:08x}-{last:08x} ---p 00000000 00:00 0                          [rollup]");
    out.extend_from_slice(line.as_bytes());
    page_lines(&mut out, &sum);
    Ok(out)
}

/// Opens `/proc/PID/mem`.
pub fn open_mem(current: &Current, subject: &Subject, _: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    access::may_read(current, subject)?;
    let mm = mm_of(subject).ok_or(Errno::ESRCH)?;
    Ok(Arc::new(Memory(mm)))
}

/// The memory as a file: its offsets are addresses.
struct Memory(Arc<AddressSpace>);

impl FileOps for Memory {
    fn read(&self, _: &Current, _: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        let mut buffer = vec![0; sink.left().min(16 * PAGE_SIZE as usize)];
        let read = self.0.read_remote(UserVa::new(offset), &mut buffer).map_err(|_| Errno::EIO)?;
        Ok(sink.put(buffer.get(..read).unwrap_or_default())?)
    }

    fn write(&self, _: &Current, _: &OpenFile, source: &mut Source<'_>, offset: u64) -> Result<(usize, u64), Fail> {
        let bytes = source.take_vec(16 * PAGE_SIZE as usize)?;
        let written = self.0.write_forced(UserVa::new(offset), &bytes).map_err(|_| Errno::EIO)?;
        Ok((written, offset.saturating_add(written as u64)))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: &OpenFile, _: i64, _: u32) -> Result<u64, Errno> {
        Err(Errno::EINVAL)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

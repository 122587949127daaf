//! Core dumps: the memory and registers of a process that a signal ends, in an ELF file (core(5)).
//!
//! The thread that takes the signal writes. The process's other threads are told to end and, before they do, leave their
//! registers with the `Dump` and wait until the file is there: nothing of the memory changes meanwhile.

mod name;
mod notes;

pub use name::{pattern, set_pattern};

use crate::errno::Errno;
use crate::fs::{FileKind, OpenFile, OpenFlags, Source, open, unlink};
use crate::mm::DumpArea;
use crate::platform::{ThreadRef, platform};
use crate::signal::SigInfo;
use crate::sync::{Lock, Rank, SleepLock};
use crate::syscall::{Fail, Fd};
use crate::task::{Current, ExitStatus};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use linker::addr::UserVa;
use linker::layout::PAGE_SIZE;
use linker::request::SetAttr;
use linux_raw_sys::elf_uapi as elf;
use linux_raw_sys::general as raw;
use notes::Registers;

/// What is dumped at first: private and shared anonymous memory, ELF headers, private huge pages (core(5), coredump_filter).
pub const FILTER: u32 = 0x33;
/// All bits that there are.
pub const FILTERS: u32 = 0x1ff;
/// Smallest limit with which a file is begun (fs/binfmt_elf.c: ELF_EXEC_PAGESIZE).
const SMALLEST: u64 = PAGE_SIZE;
/// Bytes gathered for one write.
const CHUNK: usize = 128 * 1024;
/// Sizes of the ELF file's header and of a program header.
const HEADER: u64 = size_of::<elf::Elf64_Ehdr>() as u64;
const PROGRAM_HEADER: u64 = size_of::<elf::Elf64_Phdr>() as u64;

/// A dump under way.
pub struct Dump {
    others: Lock<Vec<Registers>>,
    writer: ThreadRef,
    signal: u32,
    /// Somebody kills the process, or there is no memory.
    cut_short: AtomicBool,
    /// Held until the file is written.
    writing: SleepLock<()>,
}

impl Dump {
    /// Ends the writing where it is: SIGKILL does not wait for a file.
    pub fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
    }

    /// Another thread ends: its registers are part of the dump, and it waits for that.
    pub fn leave(&self, current: &mut Current) {
        let registers = Registers::of(current, self.signal);
        self.others.lock().push(registers);
        self.writer.unpark();
        drop(self.writing.lock());
    }
}

/// The signal ends the process and leaves a core: writes it where the limits and the program allow. The status that holds;
/// `None` where no dump was made, and nobody was told to end.
pub fn write(current: &mut Current, info: &SigInfo) -> Option<ExitStatus> {
    let limit = current.process.soft_limit(raw::RLIMIT_CORE);
    if limit < SMALLEST || current.process.dumpable() != 1 {
        return None;
    }
    let dump = Arc::new(Dump {
        others: Lock::new(Rank::Leaf, Vec::new()),
        writer: platform().current_thread(),
        signal: info.signal().number(),
        cut_short: AtomicBool::new(false),
        writing: SleepLock::new(()),
    });
    let writing = dump.writing.lock();
    // A signal's number fits: there are 64.
    let status = ExitStatus::Signal { number: info.signal().number() as u8, core: false };
    let others = current.process.begin_dump(status, &dump, &current.task)?;
    for task in &others {
        task.doom();
    }
    while dump.others.lock().len() < others.len() {
        platform().park(None);
    }
    let mut threads = vec![Registers::of(current, dump.signal)];
    threads.append(&mut dump.others.lock());
    let written = open_file(current).and_then(|file| write_file(current, &file, info, &threads, limit, &dump));
    current.process.end_dump(written.is_ok());
    drop(writing);
    current.process.ending()
}

/// The file: a new one, in the place of what had the name.
fn open_file(current: &Current) -> Result<Arc<OpenFile>, Fail> {
    let path = name::of(current)?;
    // What cannot be removed is in the way.
    let _ = unlink(current, Fd::CWD, &path, false);
    let flags = OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY | OpenFlags::NOFOLLOW | OpenFlags::LARGEFILE;
    let file = open(current, Fd::CWD, &path, flags, 0o600)?;
    let attr = file.inode().attr()?;
    let private = attr.mode & 0o677 == 0o600 && attr.uid == current.creds.fsuid && attr.nlink == 1;
    if file.inode().kind() != FileKind::Regular || !private {
        return Err(Errno::EPERM.into());
    }
    Ok(file)
}

fn resize(file: &OpenFile, size: u64) -> Result<(), Errno> {
    file.inode().set_attr(&SetAttr { valid: SetAttr::SIZE, size, ..SetAttr::default() })
}

fn write_file(
    current: &Current,
    file: &OpenFile,
    info: &SigInfo,
    threads: &[Registers],
    limit: u64,
    dump: &Dump,
) -> Result<(), Fail> {
    let areas = current.mm.areas_to_dump(current.process.dump_filter());
    let notes = notes::all(current, info, threads, &areas);
    // One header for the notes. Areas are at most 65530, so all are counted (PN_XNUM is 65535).
    let headers = areas.len() as u64 + 1;
    let notes_at = HEADER + headers * PROGRAM_HEADER;
    let data_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE_SIZE);
    let mut head = elf_header(headers as u16);
    head.extend(program_header(elf::PT_NOTE, 0, notes_at, 0, (notes.len() as u64, 0), 4));
    let mut at = data_at;
    for area in &areas {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let prot =
            flag(area.prot.read, elf::PF_R) | flag(area.prot.write, elf::PF_W) | flag(area.prot.execute, elf::PF_X);
        let sizes = (area.dumped, area.end - area.start);
        head.extend(program_header(elf::PT_LOAD, prot, at, area.start, sizes, PAGE_SIZE));
        at += area.dumped;
    }
    head.extend_from_slice(&notes);
    let mut out = Out { current, file, limit, dump };
    out.write(0, &head)?;
    let mut at = data_at;
    for area in &areas {
        if !out.write_area(area, at)? {
            break;
        }
        at += area.dumped;
    }
    Ok(resize(file, at.min(limit))?)
}

/// The dump's file, cut off at RLIMIT_CORE.
struct Out<'a> {
    current: &'a Current,
    file: &'a OpenFile,
    limit: u64,
    dump: &'a Dump,
}

impl Out<'_> {
    /// False where the limit is reached.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<bool, Fail> {
        let room = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let part = bytes.get(..room).unwrap_or(bytes);
        let mut done = 0;
        while let Some(rest) = part.get(done..).filter(|rest| !rest.is_empty()) {
            let step = self.file.write_at(self.current, &mut Source::kernel(rest), at + done as u64)?;
            if step == 0 {
                return Err(Errno::ENOSPC.into());
            }
            done += step;
        }
        Ok(part.len() == bytes.len())
    }

    /// The pages of an area that are there; the others are holes.
    fn write_area(&mut self, area: &DumpArea, to: u64) -> Result<bool, Fail> {
        let mut buffer = Vec::new();
        let mut begin = 0;
        let mut done = 0;
        while let Some(next) = self.current.mm.next_to_dump(area.start + done, area.start + area.dumped) {
            if self.dump.cut_short.load(Ordering::Relaxed) {
                return Err(Errno::EINTR.into());
            }
            let page = self.current.mm.page_to_dump(UserVa::new(next), area.backed);
            let continues = next == area.start + done && page.is_some() && buffer.len() < CHUNK;
            done = next - area.start;
            if !continues && !buffer.is_empty() {
                if !self.write(to + begin, &buffer)? {
                    return Ok(false);
                }
                buffer.clear();
            }
            if let Some(page) = page {
                if buffer.is_empty() {
                    begin = done;
                }
                buffer.extend_from_slice(&page[..]);
            }
            done += PAGE_SIZE;
        }
        self.write(to + begin, &buffer)
    }
}

fn elf_header(program_headers: u16) -> Vec<u8> {
    let mut header = vec![0x7f, b'E', b'L', b'F', elf::ELFCLASS64 as u8, elf::ELFDATA2LSB as u8, elf::EV_CURRENT as u8];
    header.resize(elf::EI_NIDENT as usize, 0);
    let halves = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    header.extend(halves(&[elf::ET_CORE as u16, elf::EM_X86_64 as u16]));
    header.extend(elf::EV_CURRENT.to_le_bytes());
    // Entry, program headers, section headers.
    header.extend([0, HEADER, 0].into_iter().flat_map(u64::to_le_bytes));
    header.extend(0u32.to_le_bytes());
    header.extend(halves(&[HEADER as u16, PROGRAM_HEADER as u16, program_headers, 0, 0, 0]));
    header
}

fn program_header(
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    (in_file, in_memory): (u64, u64),
    align: u64,
) -> Vec<u8> {
    let words = [offset, address, 0, in_file, in_memory, align].into_iter().flat_map(u64::to_le_bytes);
    [kind, flags].into_iter().flat_map(u32::to_le_bytes).chain(words).collect()
}

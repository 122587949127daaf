//! What to map where: the headers of a 64-bit x86 ELF file, checked.
//!
//! Two steps, because the program headers may lie anywhere in the file: `Header::parse` on the first bytes says where they
//! are, `Plan::new` on theirs says what to map.

use alloc::vec::Vec;
use core::ops::Range;
use goblin::elf64::header::{
    EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, Header as RawHeader,
};
use goblin::elf64::program_header::ProgramHeader as RawSegment;
use goblin::elf64::program_header::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};
use linker::layout::{PAGE_SIZE, USER_END};

/// Bytes of the file header.
pub const HEADER_BYTES: usize = goblin::elf64::header::SIZEOF_EHDR;
/// Bytes of one program header.
pub const SEGMENT_BYTES: usize = goblin::elf64::program_header::SIZEOF_PHDR;
/// Bytes of all program headers at most, as in Linux's `load_elf_phdrs`.
const MAX_TABLE: usize = 65_536;
/// Bytes of an interpreter's path at most, with its NUL (PATH_MAX).
const MAX_PATH: u64 = linux_raw_sys::general::PATH_MAX as u64;

/// What is wrong with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No ELF file.
    NotElf,
    /// It ends within its headers.
    Truncated,
    /// For another machine.
    WrongMachine,
    /// Neither an executable nor a shared object.
    WrongType,
    /// Its program header table is impossible.
    BadTable,
    /// A segment is impossible: overflowing, overlapping, misaligned, outside user memory.
    BadSegment,
    /// Nothing to load.
    NoSegment,
    /// Its interpreter's name is impossible.
    BadInterpreter,
}

impl Error {
    /// Whether Linux notices it only when it maps the segments.
    pub fn is_late(self) -> bool {
        matches!(self, Self::BadSegment | Self::NoSegment)
    }
}

/// The file header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its addresses are relative to wherever it is put (ET_DYN).
    pub relative: bool,
    entry: u64,
    table_offset: u64,
    segments: usize,
}

impl Header {
    /// Parses the first bytes of a file, `HEADER_BYTES` of them unless it is shorter.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let magic = bytes.get(..ELFMAG.len()).ok_or(Error::NotElf)?;
        if magic != ELFMAG {
            return Err(Error::NotElf);
        }
        let bytes = bytes.get(..HEADER_BYTES).ok_or(Error::Truncated)?;
        // As Linux does, EI_CLASS and EI_DATA (elf(5)) are left unread: the machine says it all.
        let mut bytes: [u8; HEADER_BYTES] = bytes.try_into().map_err(|_| Error::Truncated)?;
        bytes[EI_CLASS] = ELFCLASS64;
        bytes[EI_DATA] = ELFDATA2LSB;
        let raw = RawHeader::parse(&bytes).map_err(|_| Error::Truncated)?;
        if raw.e_machine != EM_X86_64 {
            return Err(Error::WrongMachine);
        }
        let relative = match raw.e_type {
            ET_EXEC => false,
            ET_DYN => true,
            _ => return Err(Error::WrongType),
        };
        let segments = usize::from(raw.e_phnum);
        if usize::from(raw.e_phentsize) != SEGMENT_BYTES || segments == 0 || segments * SEGMENT_BYTES > MAX_TABLE {
            return Err(Error::BadTable);
        }
        raw.e_phoff.checked_add(MAX_TABLE as u64).filter(|end| *end <= i64::MAX as u64).ok_or(Error::BadTable)?;
        Ok(Self { relative, entry: raw.e_entry, table_offset: raw.e_phoff, segments })
    }

    /// Where in the file the program headers are: first byte, length.
    pub fn table(&self) -> (u64, usize) {
        (self.table_offset, self.segments * SEGMENT_BYTES)
    }
}

/// One part of the file to map, page by page. Addresses are before the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Segment {
    /// First byte, page-aligned.
    pub start: u64,
    /// File offset of `start`, page-aligned.
    pub offset: u64,
    /// End of the bytes that come from the file; `start` if none do.
    pub file_end: u64,
    /// End of the segment; what lies behind `file_end` is zero.
    pub end: u64,
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    /// First byte that the file names, unaligned.
    pub address: u64,
}

/// A load plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its addresses are relative: any page-aligned bias (a multiple of `align`) may be added to them.
    pub relative: bool,
    /// First instruction.
    pub entry: u64,
    /// By address; not empty.
    pub segments: Vec<Segment>,
    /// Where in the file the interpreter's name is.
    pub interpreter: Option<Range<u64>>,
    /// What PT_GNU_STACK says about an executable stack, if it is there.
    pub executable_stack: Option<bool>,
    /// Address of the program headers in memory, 0 if they are not loaded.
    pub table_address: u64,
    /// How many there are.
    pub table_len: usize,
    /// Largest alignment a segment asks for; at least a page.
    pub align: u64,
}

impl Plan {
    /// Makes the plan from the bytes of the program headers.
    pub fn new(header: &Header, table: &[u8]) -> Result<Self, Error> {
        let table = table.get(..header.segments * SEGMENT_BYTES).ok_or(Error::Truncated)?;
        let mut plan = Self {
            relative: header.relative,
            entry: header.entry,
            segments: Vec::new(),
            interpreter: None,
            executable_stack: None,
            table_address: 0,
            table_len: header.segments,
            align: PAGE_SIZE,
        };
        let mut named_table = None;
        for bytes in table.chunks_exact(SEGMENT_BYTES) {
            let raw = parse_segment(bytes).ok_or(Error::Truncated)?;
            match raw.p_type {
                PT_LOAD => plan.add_segment(&raw)?,
                PT_INTERP if plan.interpreter.is_none() => {
                    if !(2..=MAX_PATH).contains(&raw.p_filesz) {
                        return Err(Error::BadInterpreter);
                    }
                    let end = raw.p_offset.checked_add(raw.p_filesz).ok_or(Error::BadInterpreter)?;
                    plan.interpreter = Some(raw.p_offset..end);
                }
                PT_GNU_STACK => plan.executable_stack = Some(raw.p_flags & PF_X != 0),
                PT_PHDR => named_table = Some(raw.p_vaddr),
                _ => {}
            }
        }
        if plan.segments.is_empty() {
            return Err(Error::NoSegment);
        }
        let holds = plan.segments.iter().find(|segment| {
            let within = header.table_offset.checked_sub(segment.offset);
            within.is_some_and(|within| within < segment.file_end - segment.start)
        });
        let loaded = holds.map(|segment| segment.start + (header.table_offset - segment.offset));
        plan.table_address = named_table.or(loaded).unwrap_or(0);
        Ok(plan)
    }

    fn add_segment(&mut self, raw: &RawSegment) -> Result<(), Error> {
        if raw.p_memsz == 0 {
            return Ok(());
        }
        let within = raw.p_vaddr % PAGE_SIZE;
        let end = raw.p_vaddr.checked_add(raw.p_memsz).filter(|end| *end <= USER_END).ok_or(Error::BadSegment)?;
        raw.p_offset.checked_add(raw.p_filesz).filter(|end| *end <= i64::MAX as u64).ok_or(Error::BadSegment)?;
        if raw.p_filesz > raw.p_memsz || raw.p_filesz > 0 && raw.p_offset % PAGE_SIZE != within {
            return Err(Error::BadSegment);
        }
        // In order and apart, except that one may begin in the page in which the one before ends.
        if self.segments.last().is_some_and(|last| last.end > raw.p_vaddr) {
            return Err(Error::BadSegment);
        }
        let start = raw.p_vaddr - within;
        if raw.p_align.is_power_of_two() && raw.p_align <= 1 << 30 {
            self.align = self.align.max(raw.p_align);
        }
        self.segments.push(Segment {
            start,
            offset: if raw.p_filesz > 0 { raw.p_offset - within } else { 0 },
            file_end: if raw.p_filesz > 0 { raw.p_vaddr + raw.p_filesz } else { start },
            end,
            read: raw.p_flags & PF_R != 0,
            write: raw.p_flags & PF_W != 0,
            execute: raw.p_flags & PF_X != 0,
            address: raw.p_vaddr,
        });
        Ok(())
    }

    /// First address and end, page-aligned.
    pub fn span(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |segment| segment.start);
        let end = self.segments.iter().map(|segment| segment.end).max().unwrap_or(start);
        start..end.next_multiple_of(PAGE_SIZE)
    }

    /// The interpreter's name from its bytes in the file: without its NUL.
    pub fn interpreter_name(bytes: &[u8]) -> Result<&[u8], Error> {
        match bytes.split_last() {
            Some((0, name)) => Ok(name.split(|byte| *byte == 0).next().unwrap_or_default()),
            _ => Err(Error::BadInterpreter),
        }
    }
}

fn parse_segment(bytes: &[u8]) -> Option<RawSegment> {
    let half = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    // Elf64_Phdr, elf(5).
    Some(RawSegment {
        p_type: half(0)?,
        p_flags: half(4)?,
        p_offset: word(8)?,
        p_vaddr: word(16)?,
        p_paddr: word(24)?,
        p_filesz: word(32)?,
        p_memsz: word(40)?,
        p_align: word(48)?,
    })
}

#[cfg(test)]
mod tests;

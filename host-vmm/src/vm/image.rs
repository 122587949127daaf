//! The kernel image: the ELF blob that the build embedded, its segments, and names for a panic's backtrace.

use crate::vm::{Memory, kvm};
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_W, PF_X, PT_LOAD};
use linker::layout::{KERNEL_BASE, KERNEL_IMAGE, LOW_RAM_END, PAGE_SIZE};
use vm_memory::{Bytes, GuestAddress};

/// Begins where a page does, so that its pages are those of the file.
#[repr(C, align(4096))]
struct Aligned<B: ?Sized>(B);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/blob.elf")));

/// The blob that `build.rs` embedded; empty in a build without one.
pub static BLOB: &[u8] = &FILE.0;

/// What is wrong with a kernel image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Built by plain cargo.
    #[error("this ringwall was built without its kernel: use `cargo xtask build`")]
    Missing,
    /// Not an ELF file, or a broken one.
    #[error(transparent)]
    Elf(#[from] goblin::error::Error),
    /// A segment that is not where kernels are, or that is writable and executable.
    #[error("segment at {0:#x} is misplaced, or writable and executable")]
    Segment(u64),
    /// It does not fit into guest memory.
    #[error("does not fit into guest memory: {0}")]
    Memory(#[from] vm_memory::GuestMemoryError),
    /// Its pages cannot be put there.
    #[error("cannot be mapped: {0}")]
    Pages(rustix::io::Errno),
}

/// One loadable segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Guest-physical start.
    pub pa: u64,
    /// Bytes in memory.
    pub len: u64,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
    offset: usize,
    file_len: usize,
}

/// A checked kernel image.
#[derive(Debug)]
pub struct Image {
    bytes: &'static [u8],
    entry: u64,
    segments: Vec<Segment>,
}

impl Image {
    /// Checks an image.
    pub fn parse(bytes: &'static [u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Missing);
        }
        let header = Elf::parse_header(bytes)?;
        let context = goblin::container::Ctx::new(header.container()?, header.endianness()?);
        let headers =
            goblin::elf::ProgramHeader::parse(bytes, header.e_phoff as usize, header.e_phnum as usize, context)?;
        let mut segments = Vec::new();
        for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0) {
            let bad = || Error::Segment(header.p_vaddr);
            let pa = header.p_vaddr.checked_sub(KERNEL_BASE.raw()).ok_or_else(bad)?;
            let end = pa.checked_add(header.p_memsz).ok_or_else(bad)?;
            let file_end = (header.p_offset as usize).checked_add(header.p_filesz as usize).ok_or_else(bad)?;
            let (write, execute) = (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0);
            if pa < KERNEL_IMAGE.raw()
                || end > LOW_RAM_END.raw()
                || pa % PAGE_SIZE != 0
                || header.p_filesz > header.p_memsz
                || file_end > bytes.len()
                || (write && execute)
            {
                return Err(bad());
            }
            let (offset, file_len) = (header.p_offset as usize, header.p_filesz as usize);
            segments.push(Segment { pa, len: header.p_memsz, write, execute, offset, file_len });
        }
        if segments.is_empty() {
            return Err(Error::Segment(header.e_entry));
        }
        Ok(Self { bytes, entry: header.e_entry, segments })
    }

    /// Virtual address of the first instruction.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// The segments in file order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// First and last guest-physical address (exclusive), in whole pages.
    pub fn span(&self) -> (u64, u64) {
        let start = self.segments.iter().map(|s| s.pa).min().unwrap_or(KERNEL_IMAGE.raw());
        let end = self.segments.iter().map(|s| s.pa + s.len).max().unwrap_or(KERNEL_IMAGE.raw());
        (start & !(PAGE_SIZE - 1), end.next_multiple_of(PAGE_SIZE))
    }

    /// Puts the segments into guest memory, which is zero before. What nobody writes is shown, not copied: these pages are the same for all
    /// sandboxes, and take memory only while somebody uses them.
    pub fn load(&self, memory: &Memory) -> Result<(), Error> {
        for segment in &self.segments {
            if !segment.write && self.show(memory, segment)? {
                continue;
            }
            let data = self.bytes.get(segment.offset..segment.offset + segment.file_len).unwrap_or(&[]);
            memory.write_slice(data, GuestAddress(segment.pa))?;
        }
        let (_, end) = self.span();
        // The last page of the BSS must be there too.
        memory.read_obj::<u8>(GuestAddress(end - 1))?;
        Ok(())
    }

    /// Maps a segment's pages of the file; false where that cannot be.
    fn show(&self, memory: &Memory, segment: &Segment) -> Result<bool, Error> {
        let len = segment.file_len.next_multiple_of(PAGE_SIZE as usize);
        let Some(pages) = self.bytes.get(segment.offset..segment.offset + len) else { return Ok(false) };
        kvm::show(memory, GuestAddress(segment.pa), pages).map_err(Error::Pages)
    }
}

/// The function of the embedded blob that holds `address`, and how far in.
pub fn symbol(blob: &[u8], address: u64) -> Option<(String, u64)> {
    let elf = Elf::parse(blob).ok()?;
    elf.syms
        .iter()
        .filter(|sym| sym.is_function() && sym.st_value <= address && address < sym.st_value + sym.st_size.max(1))
        .find_map(|sym| {
            let name = elf.strtab.get_at(sym.st_name)?;
            Some((format!("{:#}", rustc_demangle::demangle(name)), address - sym.st_value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_blob_says_how_to_build_one() {
        let error = Image::parse(&[]).map(|_| ()).expect_err("empty");
        assert!(error.to_string().contains("cargo xtask build"));
    }

    #[test]
    fn garbage_is_not_an_image() {
        assert!(Image::parse(b"#!/bin/sh\n").is_err());
        assert!(Image::parse(&[0x7f; 64]).is_err());
    }
}

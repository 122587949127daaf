//! Where the parts of a program go, and their mappings. Addresses are chosen as Linux chooses them, randomisation included.

use super::{Mapping, Program};
use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::mm::areas::STACK_GAP;
use crate::mm::{ALL, AddressSpace, Bounds, Layout, MapRequest, MemoryFault, Object, Place};
use crate::platform::{Prot, platform};
use crate::random;
use crate::task::{Current, Limits};
use alloc::sync::Arc;
use linker::addr::UserVa;
use linker::layout::{PAGE_SIZE, USER_END};
use loader::elf::{Plan, Segment};

/// personality(2)'s flag (linux/personality.h).
const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
/// Where relative programs with an interpreter go (Linux's ELF_ET_DYN_BASE: two thirds of user memory, page-aligned).
const PROGRAM_BASE: u64 = USER_END / 3 * 2 / PAGE_SIZE * PAGE_SIZE;
/// Random bits, in pages, of mappings and programs (vm.mmap_rnd_bits).
const MAP_PAGES: u64 = 1 << 28;
/// Random pages below the end of user memory for the stack's top (Linux's `stack_maxrandom_size`).
const STACK_PAGES: u64 = 1 << 22;
/// Random pages between a program and its heap (Linux's `arch_randomize_brk`: 32 MiB).
const HEAP_PAGES: u64 = 8192;
/// Stack that is mapped beyond what is written at first (Linux's `setup_arg_pages`).
const STACK_EXTRA: u64 = 128 << 10;

/// A program or interpreter in its place.
pub(super) struct Placed {
    /// What was added to the file's addresses.
    pub(super) bias: u64,
    pub(super) entry: u64,
}

/// Builds an address space.
pub(super) struct Placer {
    mm: Arc<AddressSpace>,
    bounds: Bounds,
    layout: Layout,
    randomize: bool,
    stack_top: u64,
}

fn no_memory(fault: MemoryFault) -> Errno {
    match fault {
        MemoryFault::OutOfMemory => Errno::ENOMEM,
        // A file that ends within a segment whose rest is to be zeroed.
        _ => Errno::ENOEXEC,
    }
}

impl Placer {
    pub(super) fn new(current: &Current, limits: &Limits) -> Result<Self, Errno> {
        let randomize = current.personality & ADDR_NO_RANDOMIZE == 0;
        let bounds = Bounds::new(limits, true);
        let mut placer = Self { mm: AddressSpace::new()?, bounds, layout: Layout::default(), randomize, stack_top: 0 };
        placer.stack_top = USER_END - placer.random(STACK_PAGES);
        // As Linux's `mmap_base`: room for the stack to grow to its limit, within bounds, and for its random place.
        let pad = STACK_PAGES * PAGE_SIZE + STACK_GAP;
        let room = bounds.stack.saturating_add(pad).clamp(128 << 20, USER_END / 6 * 5);
        let base = (USER_END - room / PAGE_SIZE * PAGE_SIZE) / PAGE_SIZE * PAGE_SIZE;
        placer.layout.mmap_base = base - placer.random(MAP_PAGES);
        placer.mm.set_layout(placer.layout);
        placer.mm.set_stack_limit(bounds.stack);
        Ok(placer)
    }

    /// A random number of bytes, whole pages, fewer than `pages`.
    fn random(&self, pages: u64) -> u64 {
        if self.randomize { random::next_u64() % pages * PAGE_SIZE } else { 0 }
    }

    /// Random bytes that do not depend on the personality.
    pub(super) fn random_bytes() -> [u8; 16] {
        let mut bytes = [0; 16];
        random::fill(&mut bytes);
        bytes
    }

    /// A random gap between strings and vectors on the stack, as Linux's `arch_align_stack`.
    pub(super) fn stack_gap(&self) -> u64 {
        if self.randomize { random::next_u64() % 8192 / 16 * 16 } else { 0 }
    }

    pub(super) fn mm(&self) -> &Arc<AddressSpace> {
        &self.mm
    }

    /// Maps the program itself.
    pub(super) fn program(&mut self, program: &Program, interpreted: bool) -> Result<Placed, Errno> {
        let plan = &program.plan;
        let bias = if !plan.relative {
            0
        } else if interpreted {
            let base = (PROGRAM_BASE + self.random(MAP_PAGES)) / plan.align * plan.align;
            base.checked_sub(plan.span().start).ok_or(Errno::EINVAL)?
        } else {
            self.free_bias(plan)?
        };
        self.segments(program, bias)?;
        let data = plan.segments.iter().max_by_key(|segment| segment.address);
        let code = plan.segments.iter().filter(|segment| segment.execute);
        let first = plan.segments.first().map_or(0, |segment| segment.address);
        self.layout.start_code = bias + first;
        self.layout.end_code = bias + code.map(|segment| segment.file_end).max().unwrap_or(first);
        self.layout.start_data = bias + data.map_or(0, |segment| segment.address);
        self.layout.end_data = bias + plan.segments.iter().map(|segment| segment.file_end).max().unwrap_or(0);
        Ok(Placed { bias, entry: bias.wrapping_add(plan.entry) })
    }

    /// Maps its interpreter.
    pub(super) fn interpreter(&mut self, program: &Program) -> Result<Placed, Errno> {
        let bias = if program.plan.relative { self.free_bias(&program.plan)? } else { 0 };
        self.segments(program, bias)?;
        Ok(Placed { bias, entry: bias.wrapping_add(program.plan.entry) })
    }

    /// The bias that puts a plan in free memory among the other mappings.
    fn free_bias(&self, plan: &Plan) -> Result<u64, Errno> {
        let span = plan.span();
        let spare = plan.align - PAGE_SIZE;
        let len = (span.end - span.start).checked_add(spare).ok_or(Errno::ENOMEM)?;
        let at = self.mm.free_range(len).ok_or(Errno::ENOMEM)?;
        at.next_multiple_of(plan.align).checked_sub(span.start).ok_or(Errno::EINVAL)
    }

    fn segments(&self, program: &Program, bias: u64) -> Result<(), Errno> {
        if bias.checked_add(program.plan.span().end).is_none_or(|end| end > USER_END) {
            return Err(Errno::ENOMEM);
        }
        for segment in &program.plan.segments {
            self.segment(&program.mapping, &program.file, segment, bias)?;
        }
        Ok(())
    }

    fn segment(&self, mapping: &Arc<Mapping>, file: &Arc<OpenFile>, segment: &Segment, bias: u64) -> Result<(), Errno> {
        let prot = Prot { read: segment.read, write: segment.write, execute: segment.execute };
        let mapped_end = segment.file_end.next_multiple_of(PAGE_SIZE);
        if segment.file_end > segment.start {
            let object =
                Object::File { mapping: mapping.clone(), file: Some(file.clone()), name: None, offset: segment.offset };
            self.map(bias + segment.start, mapped_end - segment.start, prot, ALL, object)?;
            let dirty_end = mapped_end.min(segment.end);
            if segment.write && dirty_end > segment.file_end {
                let len = (mapped_end - segment.file_end) as usize;
                let zeroed = self.mm.zero_remote(UserVa::new(bias + segment.file_end), len).map_err(no_memory)?;
                if zeroed < len {
                    return Err(Errno::ENOMEM);
                }
            }
        }
        let end = segment.end.next_multiple_of(PAGE_SIZE);
        if end > mapped_end {
            self.map(bias + mapped_end, end - mapped_end, prot, ALL, Object::Anonymous)?;
        }
        Ok(())
    }

    fn map(&self, at: u64, len: u64, prot: Prot, may: Prot, object: Object) -> Result<(), Errno> {
        let request = MapRequest { object, may, ..MapRequest::anonymous(Place::Fixed(at), len, prot) };
        self.mm.map(&request, &self.bounds).map(drop)
    }

    /// Maps the vDSO: its data page, then its code. Returns the address of its ELF image, 0 if there is none.
    pub(super) fn vdso(&mut self) -> Result<u64, Errno> {
        let vdso = platform().vdso();
        if vdso.code.is_empty() {
            return Ok(0);
        }
        let code_len = vdso.code.len() as u64 * PAGE_SIZE;
        let at = self.mm.free_range(PAGE_SIZE + code_len).ok_or(Errno::ENOMEM)?;
        let read = Prot { read: true, write: false, execute: false };
        self.map(at, PAGE_SIZE, read, read, Object::Special("[vvar]", Arc::from([vdso.data])))?;
        let code = Object::Special("[vdso]", Arc::from(vdso.code));
        self.map(at + PAGE_SIZE, code_len, Prot { execute: true, ..read }, ALL, code)?;
        self.layout.vdso = at + PAGE_SIZE;
        Ok(self.layout.vdso)
    }

    /// Says where the heap begins: behind the program, at a random distance.
    pub(super) fn start_heap(&mut self, program: &Program, placed: &Placed, interpreted: bool) {
        let mut end = placed.bias + program.plan.span().end;
        if program.plan.relative && !interpreted && self.randomize {
            // Such a program lies among the mappings, where a heap has no room to grow.
            end = PROGRAM_BASE;
        }
        self.layout.start_brk = end + self.random(HEAP_PAGES);
        self.layout.brk = self.layout.start_brk;
    }

    /// Maps a stack for `len` bytes at its top.
    pub(super) fn stack(&self, len: u64, executable: bool) -> Result<(), Errno> {
        let size = (len.next_multiple_of(PAGE_SIZE) + STACK_EXTRA).min(self.stack_top / 2);
        let prot = Prot { read: true, write: true, execute: executable };
        let at = self.stack_top - size;
        let request = MapRequest { grows_down: true, ..MapRequest::anonymous(Place::Fixed(at), size, prot) };
        self.mm.map(&request, &self.bounds).map(drop)
    }

    pub(super) fn stack_top(&self) -> u64 {
        self.stack_top
    }

    /// Takes note of where the strings are.
    pub(super) fn note_stack(&self, stack: &loader::stack::Image) {
        let mut layout = self.layout;
        layout.start_stack = stack.pointer;
        (layout.arg_start, layout.arg_end) = (stack.arg_start, stack.arg_end);
        (layout.env_start, layout.env_end) = (stack.env_start, stack.env_end);
        self.mm.set_layout(layout);
    }

    pub(super) fn finish(self) -> Arc<AddressSpace> {
        self.mm
    }
}

//! The notes of a core file: registers of each thread, and what is known of the process (include/uapi/linux/elf.h, elfcore.h).

use crate::mm::DumpArea;
use crate::platform::platform;
use crate::signal::SigInfo;
use crate::syscall::registers::UserRegs;
use crate::task::{Current, Usage};
use alloc::vec;
use alloc::vec::Vec;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::elf_uapi as elf;
use zerocopy::IntoBytes;

/// Bytes of the FXSAVE area, and where Linux puts XCR0 in what software may use of it (asm/user.h: USER_XSTATE_XCR0_WORD).
const FXSAVE_BYTES: usize = 512;
const XCR0_AT: usize = 464;
/// Bytes of struct elf_prstatus and elf_prpsinfo on x86-64, of `pr_fname` and of `pr_psargs`.
const STATUS: usize = 336;
const INFO: usize = 136;
const NAME: usize = 16;
const ARGUMENTS: usize = 80;
const NS_PER_SEC: u64 = 1_000_000_000;

/// What is noted of one thread.
pub struct Registers {
    status: Vec<u8>,
    vector: Vec<u8>,
}

impl Registers {
    /// Those of the running thread; `signal` ends the process.
    pub fn of(current: &mut Current, signal: u32) -> Self {
        platform().sync_segment_bases(&mut current.regs);
        let mut vector = vec![0; platform().vector_state_size().max(FXSAVE_BYTES)];
        platform().save_vector_state(&mut vector);
        if let Some(place) = vector.get_mut(XCR0_AT..XCR0_AT + 8) {
            place.copy_from_slice(&platform().vector_state_mask().to_le_bytes());
        }
        Self { status: status(current, signal), vector }
    }
}

/// All notes.
pub fn all(current: &Current, info: &SigInfo, threads: &[Registers], areas: &[DumpArea]) -> Vec<u8> {
    let mut notes = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        note(&mut notes, b"CORE\0", elf::NT_PRSTATUS, &thread.status);
        if index == 0 {
            note(&mut notes, b"CORE\0", elf::NT_PRPSINFO, &process(current));
            note(&mut notes, b"CORE\0", elf::NT_SIGINFO, &info.to_abi());
            note(&mut notes, b"CORE\0", elf::NT_AUXV, &crate::fs::proc::auxv(&current.mm));
            note(&mut notes, b"CORE\0", elf::NT_FILE, &files(current, areas));
        }
        let legacy = thread.vector.get(..FXSAVE_BYTES).unwrap_or_default();
        note(&mut notes, b"CORE\0", elf::NT_PRFPREG, legacy);
        if platform().vector_state_mask() != 0 {
            note(&mut notes, b"LINUX\0", elf::NT_X86_XSTATE, &thread.vector);
        }
    }
    notes
}

fn note(notes: &mut Vec<u8>, name: &[u8], kind: u32, content: &[u8]) {
    // Lengths are bounded: the longest is that of the files' names.
    for word in [name.len() as u32, content.len() as u32, kind] {
        notes.extend_from_slice(&word.to_le_bytes());
    }
    for part in [name, content] {
        notes.extend_from_slice(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// struct elf_prstatus.
fn status(current: &Current, signal: u32) -> Vec<u8> {
    let (task, process) = (&current.task, &current.process);
    let mut out = Vec::with_capacity(STATUS);
    // si_signo, si_code, si_errno, then pr_cursig and what aligns it.
    for word in [signal, 0, 0, signal] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for set in [task.signals.pending().bits(), task.signals.mask().bits()] {
        out.extend_from_slice(&set.to_le_bytes());
    }
    ids(&mut out, current, current.task.shown_tid().raw());
    let own = if task.tid() == process.pid() { process.usage() } else { task.usage() };
    let children = process.children_usage();
    let times = |usage: &Usage| [usage.user_ns, usage.system_ns];
    for ns in [times(&own), times(&children)].concat() {
        for word in [ns / NS_PER_SEC, ns % NS_PER_SEC / 1000] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    out.extend_from_slice(UserRegs::in_call(&current.regs, current.signal.call).as_bytes());
    // pr_fpvalid.
    out.extend_from_slice(&1u32.to_le_bytes());
    out.resize(STATUS, 0);
    out
}

/// pr_pid, pr_ppid, pr_pgrp, pr_sid.
fn ids(out: &mut Vec<u8>, current: &Current, own: u32) {
    let process = &current.process;
    let others = [process.parent_pid(), process.group(), process.session()].map(|id| current.shown(id).raw());
    for id in [own].into_iter().chain(others) {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

/// struct elf_prpsinfo.
fn process(current: &Current) -> Vec<u8> {
    // Running, 'R', no zombie, nice.
    let mut out = vec![0, b'R', 0, current.task.nice() as u8];
    out.resize(8, 0);
    // PF_RANDOMIZE, which every user process has.
    out.extend_from_slice(&0x40_0000u64.to_le_bytes());
    for id in [current.creds.shown_uid(current.creds.uid), current.creds.shown_gid(current.creds.gid)] {
        out.extend_from_slice(&id.to_le_bytes());
    }
    ids(&mut out, current, current.shown(current.process.pid()).raw());
    let name: [u8; NAME] = current.task.name();
    out.extend_from_slice(&name);
    let layout = current.mm.layout();
    let length = layout.arg_end.saturating_sub(layout.arg_start).min(ARGUMENTS as u64 - 1) as usize;
    let mut line = vec![0; length];
    let read = current.mm.read_remote(linker::addr::UserVa::new(layout.arg_start), &mut line).unwrap_or(0);
    line.truncate(read);
    line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    out.extend_from_slice(&line);
    out.resize(INFO, 0);
    out
}

/// NT_FILE: which files are mapped where.
fn files(current: &Current, areas: &[DumpArea]) -> Vec<u8> {
    let root = current.fs.root();
    let (mut table, mut names, mut count) = (Vec::new(), Vec::new(), 0u64);
    for area in areas {
        let Some((file, offset)) = &area.file else { continue };
        let Some(path) = file.path() else { continue };
        for word in [area.start, area.end, offset / PAGE_SIZE] {
            table.extend_from_slice(&word.to_le_bytes());
        }
        names.extend(path.absolute(&root));
        names.push(0);
        count += 1;
    }
    let head = [count, PAGE_SIZE].into_iter().flat_map(u64::to_le_bytes);
    head.chain(table).chain(names).collect()
}

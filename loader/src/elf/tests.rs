//! Good and malformed files.

use super::{Error, HEADER_BYTES, Header, Plan, SEGMENT_BYTES};
use alloc::vec;
use alloc::vec::Vec;
use goblin::elf64::header::{EM_AARCH64, EM_X86_64, ET_CORE, ET_DYN, ET_EXEC, ET_REL};
use goblin::elf64::program_header::{PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};
use linker::layout::USER_END;

struct Phdr {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file: u64,
    memory: u64,
    align: u64,
}

fn load(flags: u32, offset: u64, address: u64, file: u64, memory: u64) -> Phdr {
    Phdr { kind: PT_LOAD, flags, offset, address, file, memory, align: 0x1000 }
}

fn file(kind: u16, machine: u16, segments: &[Phdr]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0x40_1234u64.to_le_bytes());
    bytes.extend((HEADER_BYTES as u64).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    for half in [HEADER_BYTES as u16, SEGMENT_BYTES as u16, segments.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for segment in segments {
        bytes.extend(segment.kind.to_le_bytes());
        bytes.extend(segment.flags.to_le_bytes());
        for word in [segment.offset, segment.address, segment.address, segment.file, segment.memory, segment.align] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes
}

fn plan(bytes: &[u8]) -> Result<Plan, Error> {
    let header = Header::parse(bytes)?;
    let (offset, len) = header.table();
    let from = bytes.get(offset as usize..).unwrap_or_default();
    Plan::new(&header, &from[..len.min(from.len())])
}

fn good() -> Vec<Phdr> {
    vec![
        Phdr { kind: PT_PHDR, flags: 4, offset: 64, address: 0x40_0040, file: 56, memory: 56, align: 8 },
        Phdr { kind: PT_INTERP, flags: 4, offset: 0x2a8, address: 0x40_02a8, file: 28, memory: 28, align: 1 },
        load(5, 0, 0x40_0000, 0x1800, 0x1800),
        load(6, 0x1e10, 0x40_2e10, 0x210, 0x1000),
        Phdr { kind: PT_GNU_STACK, flags: 6, offset: 0, address: 0, file: 0, memory: 0, align: 16 },
    ]
}

#[test]
fn a_normal_program_becomes_a_plan_of_whole_pages() {
    let plan = plan(&file(ET_EXEC, EM_X86_64, &good())).unwrap();
    assert!(!plan.relative);
    assert_eq!((plan.entry, plan.table_address, plan.table_len), (0x40_1234, 0x40_0040, 5));
    assert_eq!(plan.interpreter, Some(0x2a8..0x2a8 + 28));
    assert_eq!(plan.executable_stack, Some(false));
    assert_eq!(plan.span(), 0x40_0000..0x40_4000);
    let data = plan.segments[1];
    assert_eq!((data.start, data.offset, data.file_end, data.end), (0x40_2000, 0x1000, 0x40_3020, 0x40_3e10));
    assert!(data.read && data.write && !data.execute);
}

#[test]
fn program_headers_without_pt_phdr_are_found_in_the_segment_that_loads_them() {
    let plan = plan(&file(ET_DYN, EM_X86_64, &good()[2..])).unwrap();
    assert!(plan.relative);
    assert_eq!(plan.table_address, 0x40_0040);
}

#[test]
fn malformed_headers_are_told_apart() {
    let good = file(ET_EXEC, EM_X86_64, &good());
    let with = |at: usize, bytes: &[u8]| {
        let mut copy = good.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        copy
    };
    let table: &[(&str, Vec<u8>, Error)] = &[
        ("empty", vec![], Error::NotElf),
        ("a script", b"#!/bin/sh\n".to_vec(), Error::NotElf),
        ("three bytes", good[..3].to_vec(), Error::NotElf),
        ("only the magic", good[..4].to_vec(), Error::Truncated),
        ("half a header", good[..40].to_vec(), Error::Truncated),
        ("no program headers in the file", good[..64].to_vec(), Error::Truncated),
        ("half a program header table", good[..100].to_vec(), Error::Truncated),
        ("another machine", with(18, &EM_AARCH64.to_le_bytes()), Error::WrongMachine),
        ("an object file", with(16, &ET_REL.to_le_bytes()), Error::WrongType),
        ("a core dump", with(16, &ET_CORE.to_le_bytes()), Error::WrongType),
        ("entries of another size", with(54, &[55]), Error::BadTable),
        ("no entries", with(56, &[0, 0]), Error::BadTable),
        ("too many entries", with(56, &[0xff, 0xff]), Error::BadTable),
        ("a table behind the end of everything", with(32, &u64::MAX.to_le_bytes()), Error::BadTable),
        ("a table behind the end of the file", with(32, &(1u64 << 40).to_le_bytes()), Error::Truncated),
    ];
    for (what, bytes, expected) in table {
        assert_eq!(plan(bytes), Err(*expected), "{what}");
    }
}

#[test]
fn malformed_segments_are_refused() {
    let interp = |offset, len| Phdr { kind: PT_INTERP, flags: 4, offset, address: 0, file: len, memory: len, align: 1 };
    let table: &[(&str, Vec<Phdr>, Error)] = &[
        ("none to load", vec![interp(0, 10)], Error::NoSegment),
        ("empty ones only", vec![load(4, 0, 0, 0, 0)], Error::NoSegment),
        ("more in the file than in memory", vec![load(4, 0, 0, 0x2000, 0x1000)], Error::BadSegment),
        ("address overflow", vec![load(4, 0, !0xfff, 0, 0x2000)], Error::BadSegment),
        ("in the kernel's half", vec![load(4, 0, 1 << 63, 0x1000, 0x1000)], Error::BadSegment),
        ("over the end of user memory", vec![load(4, 0, USER_END - 0x1000, 0x1000, 0x1001)], Error::BadSegment),
        ("huge", vec![load(4, 0, 0, 0, u64::MAX)], Error::BadSegment),
        ("offset overflow", vec![load(4, u64::MAX - 0xfff, 0, 0x1000, 0x1000)], Error::BadSegment),
        ("offset and address disagree", vec![load(4, 0x10, 0x20, 0x1000, 0x1000)], Error::BadSegment),
        ("overlapping", vec![load(4, 0, 0, 0x2000, 0x2000), load(6, 0x1000, 0x1000, 9, 9)], Error::BadSegment),
        ("out of order", vec![load(4, 0, 0x4000, 9, 9), load(6, 0, 0x1000, 9, 9)], Error::BadSegment),
        ("an empty interpreter name", vec![interp(0, 1)], Error::BadInterpreter),
        ("an endless interpreter name", vec![interp(0, 4097)], Error::BadInterpreter),
        ("an interpreter name behind everything", vec![interp(u64::MAX, 10)], Error::BadInterpreter),
    ];
    for (what, segments, expected) in table {
        assert_eq!(plan(&file(ET_EXEC, EM_X86_64, segments)), Err(*expected), "{what}");
    }
}

#[test]
fn random_damage_never_panics() {
    let good = file(ET_DYN, EM_X86_64, &good());
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        if let Ok(plan) = plan(&bytes) {
            let span = plan.span();
            assert!(span.start < span.end && span.end <= USER_END.next_multiple_of(0x1000));
        }
    }
}

#[test]
fn interpreter_names_end_at_their_nul_and_must_have_one() {
    assert_eq!(Plan::interpreter_name(b"/lib/ld.so\0"), Ok(&b"/lib/ld.so"[..]));
    assert_eq!(Plan::interpreter_name(b"/lib\0x\0"), Ok(&b"/lib"[..]));
    assert_eq!(Plan::interpreter_name(b"/lib/ld.so"), Err(Error::BadInterpreter));
    assert_eq!(Plan::interpreter_name(b""), Err(Error::BadInterpreter));
}

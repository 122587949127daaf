//! Programs made by hand, loaded on the fake machine.

use super::{Arguments, Identity, Image, LoadError, load};
use crate::errno::Errno;
use crate::fake::{self, current};
use crate::fs::{FileKind, FileOps, Inode, OpenFile, OpenFlags, Source};
use crate::mm::{AddressSpace, Mapping};
use crate::platform::Access;
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use linker::addr::UserVa;
use linker::request::{Attr, StatFs};

struct Program(Arc<Mapping>);

impl Inode for Program {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn attr(&self) -> Result<Attr, Errno> {
        Ok(Attr::default())
    }
    fn open(self: Arc<Self>, _current: &Current, _flags: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
        Err(Errno::ENXIO.into())
    }
    fn mapping(&self) -> Result<Arc<Mapping>, Errno> {
        Ok(self.0.clone())
    }
    fn stat_fs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs::default())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct NoOps;

impl FileOps for NoOps {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn open(bytes: &[u8]) -> Arc<OpenFile> {
    fake::install();
    let mapping = Mapping::in_memory(0, None);
    mapping.write(&mut Source::kernel(bytes), Some(0), u64::MAX).unwrap();
    OpenFile::new(Arc::new(NoOps), OpenFlags::empty(), Arc::new(Program(mapping)), None)
}

/// An ELF file with a text segment at `base` and a data segment with a BSS behind it.
fn program(kind: u16, base: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(62u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [base + 0x100, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for (flags, offset, address, file, memory) in
        [(5u32, 0u64, base, 0x200u64, 0x200u64), (6, 0x1100, base + 0x2100, 4, 0x3000)]
    {
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for word in [offset, address, address, file, memory, 0x1000] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x1100, 0x90);
    bytes.extend(b"data and junk behind it");
    bytes
}

fn start(bytes: &[u8]) -> Result<Image, LoadError> {
    let arguments = Arguments { file_name: b"/bin/x".to_vec(), argv: vec![b"x".to_vec()], envp: vec![b"E=1".to_vec()] };
    load(&current(), &open(bytes), arguments, |_| Ok(Identity { uid: 7, ..Identity::default() }))
}

fn read(mm: &AddressSpace, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    assert_eq!(mm.read_remote(UserVa::new(at), &mut bytes), Ok(len));
    bytes
}

fn word(mm: &AddressSpace, at: u64) -> u64 {
    u64::from_le_bytes(read(mm, at, 8).try_into().unwrap())
}

#[test]
fn a_static_program_is_mapped_with_its_bss_zeroed_and_its_stack_written() {
    let image = start(&program(2, 0x40_0000)).unwrap();
    assert_eq!(image.entry.raw(), 0x40_0100);
    assert_eq!(read(&image.mm, 0x40_2100, 8), b"data\0\0\0\0");
    assert_eq!(read(&image.mm, 0x40_5000, 0x100), [0; 0x100]);
    assert!(image.mm.fault(UserVa::new(0x40_0000), Access::Write).is_err());
    assert!(image.mm.fault(UserVa::new(0x40_0000), Access::Execute).is_ok());
    assert!(image.mm.fault(UserVa::new(0x40_6000), Access::Read).is_err());
    let sp = image.stack_pointer.raw();
    assert_eq!((sp % 16, word(&image.mm, sp)), (0, 1));
    assert_eq!(read(&image.mm, word(&image.mm, sp + 8), 2), b"x\0");
    let layout = image.mm.layout();
    assert_eq!(read(&image.mm, layout.env_start, (layout.env_end - layout.env_start) as usize), b"E=1\0");
    let auxv: Vec<(u64, u64)> = (0..)
        .map(|entry| sp + 40 + entry * 16)
        .map(|at| (word(&image.mm, at), word(&image.mm, at + 8)))
        .take_while(|(kind, _)| *kind != 0)
        .collect();
    let find = |kind: u32| auxv.iter().find(|(found, _)| *found == u64::from(kind)).map(|(_, value)| *value);
    assert_eq!(find(linux_raw_sys::auxvec::AT_ENTRY), Some(0x40_0100));
    assert_eq!(find(linux_raw_sys::auxvec::AT_PHDR), Some(0x40_0040));
    assert_eq!(find(linux_raw_sys::auxvec::AT_UID), Some(7));
    let names: Vec<Vec<u8>> =
        image.mm.report().into_iter().map(|area| area.name).filter(|name| !name.is_empty()).collect();
    assert!(names.contains(&b"[stack]".to_vec()) && names.contains(&b"[vdso]".to_vec()), "{names:?}");
}

#[test]
fn a_relative_program_is_put_somewhere_else_every_time() {
    let entries: Vec<u64> = (0..4).map(|_| start(&program(3, 0)).unwrap().entry.raw()).collect();
    assert!(entries.iter().all(|entry| entry % 4096 == 0x100));
    assert!(entries.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn what_is_no_program_is_enoexec() {
    assert_eq!(start(b"just text").err(), Some(LoadError::Refused(Errno::ENOEXEC)));
    assert_eq!(start(b"").err(), Some(LoadError::Refused(Errno::ENOEXEC)));
    assert_eq!(start(b"#!\n").err(), Some(LoadError::Refused(Errno::ENOEXEC)));
    assert_eq!(start(&program(2, 0x40_0000)[..100]).err(), Some(LoadError::Refused(Errno::ENOEXEC)));
    assert_eq!(start(&program(4, 0x40_0000)).err(), Some(LoadError::Refused(Errno::ENOEXEC)));
}

#[test]
fn an_impossible_segment_is_noticed_too_late_to_go_back() {
    assert_eq!(start(&program(2, u64::MAX - 0xffff)).err(), Some(LoadError::Broken(Errno::EINVAL)));
}

#[test]
fn too_long_arguments_are_e2big() {
    let arguments = Arguments { argv: vec![vec![b'x'; 131_072]], ..Arguments::default() };
    let result = load(&current(), &open(&program(2, 0x40_0000)), arguments, |_| Ok(Identity::default()));
    assert_eq!(result.err(), Some(LoadError::Refused(Errno::E2BIG)));
}

#[test]
fn the_vdso_can_be_made_writable_only_as_a_copy() {
    use crate::mm::Bounds;
    use crate::platform::{Prot, platform};
    use crate::task::Limits;
    let image = start(&program(2, 0x40_0000)).unwrap();
    let (vdso, bounds) = (image.mm.layout().vdso, Bounds::new(&Limits::default(), true));
    let writable = Prot { read: true, write: true, execute: true };
    assert_eq!(
        image.mm.protect(vdso - 4096, vdso, writable, false, &bounds),
        Err(Errno::EACCES),
        "the data page never"
    );
    image.mm.protect(vdso, vdso + 4096, writable, false, &bounds).unwrap();
    image.mm.write_remote(UserVa::new(vdso), b"break").unwrap();
    assert_eq!(read(&image.mm, vdso, 5), b"break");
    let mut everybodys = [0; 5];
    platform().frame_read(&platform().vdso().code[0], 0, &mut everybodys);
    assert_eq!(everybodys, [0; 5]);
}

//! What is tmpfs's own: limits, holes, cookies, seals, attributes.

use super::Options;
use crate::errno::Errno;
use crate::fake;
use crate::fs::tests::{names, on_tmpfs, write_file};
use crate::fs::{
    FsContext, FsInfo, Inode, MountFlags, Namespace, OpenFile, OpenFlags, Sink, Source, make, memfd, open, unlink,
};
use crate::syscall::{Fail, Fd};
use crate::task::Current;
use linker::request::SetAttr;
use linux_raw_sys::general as raw;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

fn on_tmpfs_with(options: &str) -> Current {
    let mut current = fake::current();
    let root = super::new(&Options::parse(options).expect("options")).expect("a tmpfs");
    let namespace = Namespace::new(root, MountFlags::default(), FsInfo::default());
    current.fs = FsContext::new(namespace, 0o022);
    current
}

fn create(current: &Current, path: &[u8]) -> Arc<OpenFile> {
    open(current, Fd::CWD, path, OpenFlags::CREAT | OpenFlags::RDWR, 0o644).expect("a file")
}

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

#[test]
fn a_full_tmpfs_gives_enospc_and_room_comes_back() {
    let current = on_tmpfs_with("size=8k,nr_inodes=3");
    let file = create(&current, b"/a");
    let bytes = vec![7; 8192];
    assert_eq!(file.write(&current, &mut Source::kernel(&bytes)).expect("fits"), 8192);
    assert_eq!(errno(file.write(&current, &mut Source::kernel(b"x"))), Some(Errno::ENOSPC));
    create(&current, b"/b");
    assert_eq!(errno(open(&current, Fd::CWD, b"/c", OpenFlags::CREAT, 0o644)), Some(Errno::ENOSPC));
    let numbers = file.inode().stat_fs().expect("numbers");
    assert_eq!((numbers.blocks, numbers.bfree, numbers.files, numbers.ffree), (2, 0, 3, 0));
    unlink(&current, Fd::CWD, b"/a", false).expect("removed");
    drop(file);
    assert_eq!(current.fs.root().inode().stat_fs().expect("numbers").bfree, 2);
}

#[test]
fn options_are_read_as_linux_reads_them() {
    let options = Options::parse("size=64k,mode=755,uid=3,nr_inodes=0").expect("options");
    assert_eq!((options.pages, options.mode, options.uid, options.inodes), (16, 0o755, 3, u64::MAX));
    assert_eq!(Options::parse("size=x").err(), Some(Errno::EINVAL));
    assert_eq!(Options::parse("what=1").err(), Some(Errno::EINVAL));
    assert_eq!(Options::show("size=65536,mode=755"), "size=64k,mode=755");
}

#[test]
fn holes_read_as_zero_and_take_no_pages() {
    let current = on_tmpfs();
    let file = create(&current, b"/sparse");
    file.write_at(&current, &mut Source::kernel(b"end"), 1 << 20).expect("written");
    let attr = file.inode().attr().expect("attr");
    assert_eq!((attr.size, attr.blocks), ((1 << 20) + 3, 8));
    let mut bytes = [1; 8];
    assert_eq!(file.read_at(&current, &mut Sink::kernel(&mut bytes), 4096).expect("read"), 8);
    assert_eq!(bytes, [0; 8]);
    assert_eq!(file.ops().seek(&file, 0, raw::SEEK_DATA), Ok(1 << 20));
    assert_eq!(file.ops().seek(&file, 1 << 20, raw::SEEK_HOLE), Ok((1 << 20) + 3));
    assert_eq!(file.ops().seek(&file, 2 << 20, raw::SEEK_DATA), Err(Errno::ENXIO));
}

#[test]
fn fallocate_grows_and_punches() {
    let current = on_tmpfs();
    let file = create(&current, b"/f");
    let inode = file.inode();
    inode.allocate(0, 0, 8192).expect("allocated");
    assert_eq!((inode.attr().expect("attr").size, inode.attr().expect("attr").blocks), (8192, 16));
    inode.allocate(raw::FALLOC_FL_KEEP_SIZE, 8192, 4096).expect("allocated");
    assert_eq!(inode.attr().expect("attr").size, 8192);
    let punch = raw::FALLOC_FL_PUNCH_HOLE | raw::FALLOC_FL_KEEP_SIZE;
    inode.allocate(punch, 0, 4096).expect("punched");
    assert_eq!(inode.attr().expect("attr").size, 8192);
    assert_eq!(inode.allocate(raw::FALLOC_FL_COLLAPSE_RANGE, 0, 4096), Err(Errno::EOPNOTSUPP));
}

#[test]
fn append_writes_at_the_end_and_truncation_shortens() {
    let current = on_tmpfs();
    let first = create(&current, b"/log");
    first.write(&current, &mut Source::kernel(b"12345")).expect("written");
    let log = open(&current, Fd::CWD, b"/log", OpenFlags::WRONLY | OpenFlags::APPEND, 0).expect("open");
    log.write(&current, &mut Source::kernel(b"67")).expect("written");
    assert_eq!(first.inode().attr().expect("attr").size, 7);
    first.inode().set_attr(&SetAttr { valid: SetAttr::SIZE, size: 2, ..SetAttr::default() }).expect("truncated");
    first.inode().set_attr(&SetAttr { valid: SetAttr::SIZE, size: 4, ..SetAttr::default() }).expect("grown");
    let mut bytes = [9; 8];
    assert_eq!(first.read_at(&current, &mut Sink::kernel(&mut bytes), 0).expect("read"), 4);
    assert_eq!(&bytes[..4], b"12\0\0");
}

#[test]
fn cookies_stay_true_while_entries_go() {
    let current = on_tmpfs();
    for n in 0..300 {
        write_file(&current, &std::format!("/f{n}"), b"");
    }
    let dir = open(&current, Fd::CWD, b"/", OpenFlags::DIRECTORY, 0).expect("a directory");
    let (mut seen, mut position) = (Vec::new(), 0);
    loop {
        let (mut batch, from) = (Vec::new(), position);
        let mut emit = |_: u64, _: u8, name: &[u8], next: u64| {
            if batch.len() == 7 {
                return false;
            }
            batch.push(name.to_vec());
            position = next;
            true
        };
        dir.ops().read_dir(&current, &dir, from, &mut emit).expect("entries");
        if batch.is_empty() {
            break;
        }
        for name in batch.iter().filter(|name| name[0] == b'f') {
            unlink(&current, Fd::CWD, name, false).expect("removed");
        }
        seen.append(&mut batch);
    }
    assert_eq!(seen.len(), 302);
    assert!(names(&current, "/").is_empty());
}

#[test]
fn seals_forbid_what_they_say() {
    let current = on_tmpfs();
    let file = memfd::create(&current, b"m", raw::MFD_ALLOW_SEALING).expect("a memfd");
    file.write(&current, &mut Source::kernel(b"1234")).expect("written");
    let inode: &Arc<dyn Inode> = file.inode();
    inode.add_seals(raw::F_SEAL_SHRINK | raw::F_SEAL_GROW).expect("sealed");
    let resize = |size| inode.set_attr(&SetAttr { valid: SetAttr::SIZE, size, ..SetAttr::default() });
    assert_eq!((resize(1), resize(9)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    assert_eq!(errno(file.write(&current, &mut Source::kernel(b"5"))), Some(Errno::EPERM));
    assert_eq!(file.write_at(&current, &mut Source::kernel(b"0"), 0).expect("in place"), 1);
    inode.add_seals(raw::F_SEAL_WRITE | raw::F_SEAL_SEAL).expect("sealed");
    assert_eq!(errno(file.write_at(&current, &mut Source::kernel(b"0"), 0)), Some(Errno::EPERM));
    assert_eq!(inode.add_seals(raw::F_SEAL_EXEC), Err(Errno::EPERM));
    let plain = memfd::create(&current, b"p", 0).expect("a memfd");
    assert_eq!(plain.inode().seals(), Ok(raw::F_SEAL_SEAL));
    assert_eq!(plain.path().expect("a place").absolute(&current.fs.root()), b"/memfd:p (deleted)");
}

#[test]
fn extended_attributes_are_created_replaced_and_removed() {
    let current = on_tmpfs();
    let inode = make(&current, Fd::CWD, b"/f", raw::S_IFREG | 0o644, 0).expect("a file").inode().clone();
    assert_eq!(inode.get_xattr(b"user.a"), Err(Errno::ENODATA));
    assert_eq!(inode.set_xattr(b"user.a", b"1", raw::XATTR_REPLACE), Err(Errno::ENODATA));
    inode.set_xattr(b"user.a", b"1", raw::XATTR_CREATE).expect("made");
    assert_eq!(inode.set_xattr(b"user.a", b"2", raw::XATTR_CREATE), Err(Errno::EEXIST));
    assert_eq!(inode.get_xattr(b"user.a").as_deref(), Ok(&b"1"[..]));
    assert_eq!(inode.list_xattr().as_deref(), Ok(&b"user.a\0"[..]));
    inode.remove_xattr(b"user.a").expect("removed");
    assert_eq!(inode.remove_xattr(b"user.a"), Err(Errno::ENODATA));
}

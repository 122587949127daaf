//! Host files against a gofer that serves a real directory.

use super::client::Node;
use super::tree::{HostFs, Sharing};
use crate::errno::Errno;
use crate::fake::{self, machine};
use crate::fs::{FileKind, Inode, OpenFile, OpenFlags, Sink, Source};
use crate::task::Current;
use linker::request::{Attr, DirEntry, END_OF_DIRECTORY, MakeArgs, OFFSET_STREAM, Op, Request, SetAttr, Time, Told};
use linux_raw_sys::general as raw;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::vec::Vec;
use std::{format, vec};
use zerocopy::{FromBytes, IntoBytes};

/// A gofer over std::fs. Node and file handles are indices.
pub(super) struct Gofer {
    pub(super) root: PathBuf,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: Vec<PathBuf>,
    files: Vec<fs::File>,
    forgotten: Vec<u32>,
    /// Content that was asked for last.
    pub(super) wanted: u64,
    counts: BTreeMap<u16, usize>,
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().map_or(5, i64::from))
}

fn attr(data: &fs::Metadata) -> Attr {
    let time = |sec, nsec| Time { sec, nsec };
    Attr {
        dev: data.dev(),
        ino: data.ino(),
        size: data.size(),
        blocks: data.blocks(),
        mode: data.mode(),
        nlink: data.nlink() as u32,
        uid: data.uid(),
        gid: data.gid(),
        blksize: data.blksize() as u32,
        pad: 0,
        rdev: data.rdev(),
        atime: time(data.atime(), data.atime_nsec()),
        mtime: time(data.mtime(), data.mtime_nsec()),
        ctime: time(data.ctime(), data.ctime_nsec()),
        btime: Time::default(),
    }
}

fn name(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

impl Gofer {
    pub(super) fn install(test: &str) -> Arc<Self> {
        fake::install();
        let root = std::env::temp_dir().join(format!("ringwall-host-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let gofer = Arc::new(Self { root, state: Mutex::default() });
        let host = gofer.clone();
        machine().set_host(move |request, input, output| host.serve(request, input, output));
        gofer
    }

    pub(super) fn count(&self, op: Op) -> usize {
        self.state.lock().unwrap().counts.get(&(op as u16)).copied().unwrap_or(0)
    }

    fn serve(&self, request: &Request, input: &[u8], output: &mut [u8]) -> Result<u64, Errno> {
        let mut state = self.state.lock().unwrap();
        *state.counts.entry(request.op).or_default() += 1;
        let node = |state: &State, handle: u64| state.nodes.get(handle as usize).cloned().unwrap_or_default();
        let at = node(&state, u64::from(request.handle));
        let mut answer = |state: &mut State, path: PathBuf| {
            let data = fs::symlink_metadata(&path).map_err(errno)?;
            output[..size_of::<Attr>()].copy_from_slice(attr(&data).as_bytes());
            state.nodes.push(path);
            Ok(state.nodes.len() as u64 - 1)
        };
        let made = |bytes: &[u8]| {
            let (args, rest) = MakeArgs::read_from_prefix(bytes).unwrap();
            (args, rest.to_vec())
        };
        match Op::from_raw(request.op).unwrap() {
            Op::Attach => answer(&mut state, self.root.clone()),
            Op::Lookup => answer(&mut state, at.join(name(input))),
            Op::GetAttr => {
                output.copy_from_slice(attr(&fs::symlink_metadata(&at).map_err(errno)?).as_bytes());
                Ok(0)
            }
            Op::SetAttr => {
                let change = SetAttr::read_from_bytes(input).unwrap();
                if change.valid & SetAttr::MODE != 0 {
                    fs::set_permissions(&at, fs::Permissions::from_mode(change.mode)).map_err(errno)?;
                }
                assert_eq!(change.valid & SetAttr::SIZE, 0, "a size is for an open file");
                output.copy_from_slice(attr(&fs::symlink_metadata(&at).map_err(errno)?).as_bytes());
                Ok(0)
            }
            Op::Truncate => {
                state.files[request.handle as usize].set_len(request.offset).map_err(errno)?;
                Ok(0)
            }
            Op::Open => {
                let write = request.arg as u32 & raw::O_ACCMODE != raw::O_RDONLY;
                let file = fs::OpenOptions::new().read(true).write(write).open(&at).map_err(errno)?;
                state.files.push(file);
                Ok(state.files.len() as u64 - 1)
            }
            Op::Create => {
                let (args, rest) = made(input);
                let path = at.join(name(&rest));
                let mut options = fs::OpenOptions::new();
                let file =
                    options.read(true).write(true).create_new(true).mode(args.mode).open(&path).map_err(errno)?;
                state.files.push(file);
                let file = state.files.len() as u32 - 1;
                let node = answer(&mut state, path)?;
                output[size_of::<Attr>()..].copy_from_slice(file.as_bytes());
                Ok(node)
            }
            Op::Make => {
                let (_, rest) = made(input);
                fs::create_dir(at.join(name(&rest))).map_err(errno)?;
                answer(&mut state, at.join(name(&rest)))
            }
            Op::Symlink => {
                let (_, rest) = made(input);
                let (link, target) = rest.split_at(request.offset as usize);
                std::os::unix::fs::symlink(name(target), at.join(name(link))).map_err(errno)?;
                answer(&mut state, at.join(name(link)))
            }
            Op::Link => {
                let target = node(&state, request.arg);
                fs::hard_link(target, at.join(name(input))).map(|()| 0).map_err(errno)
            }
            Op::Unlink => {
                let path = at.join(name(input));
                let data = fs::symlink_metadata(&path).map_err(errno)?;
                output.copy_from_slice(attr(&data).as_bytes());
                let directory = request.arg as u32 == raw::AT_REMOVEDIR;
                if directory { fs::remove_dir(path) } else { fs::remove_file(path) }.map(|()| 0).map_err(errno)
            }
            Op::Rename => {
                let (old, new) = input.split_at(request.offset as u32 as usize);
                let new = node(&state, request.arg).join(name(new));
                if let Ok(data) = fs::symlink_metadata(&new) {
                    output.copy_from_slice(attr(&data).as_bytes());
                }
                fs::rename(at.join(name(old)), new).map(|()| 0).map_err(errno)
            }
            Op::ReadLink => {
                let target = fs::read_link(&at).map_err(errno)?;
                let bytes = target.as_os_str().as_bytes();
                output[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len() as u64)
            }
            Op::ReadDir => {
                let mut entries: Vec<_> =
                    fs::read_dir(&at).map_err(errno)?.map(|entry| entry.unwrap().file_name()).collect();
                entries.sort();
                let mut bytes = Vec::new();
                for (index, name) in entries.iter().enumerate().skip(request.offset as usize) {
                    let entry = DirEntry {
                        ino: 1 + index as u64,
                        next: index as u64 + 1,
                        name_len: name.len() as u16,
                        kind: raw::DT_REG as u8,
                        pad: [0; 5],
                    };
                    bytes.extend_from_slice(entry.as_bytes());
                    bytes.extend_from_slice(name.as_bytes());
                    bytes.resize(bytes.len().next_multiple_of(8), 0);
                }
                output[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len() as u64 | if request.arg == 1 { END_OF_DIRECTORY } else { 0 })
            }
            Op::ListXattr => Ok(0),
            Op::LookupMany => {
                state.wanted = request.arg;
                let mut bytes = Vec::new();
                for name in input.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).map(name) {
                    let mut told = Told { content: Told::NO_CONTENT, ..Told::default() };
                    let mut content = Vec::new();
                    match fs::symlink_metadata(at.join(name)) {
                        Ok(data) => {
                            state.nodes.push(at.join(name));
                            told.node = state.nodes.len() as u32 - 1;
                            told.attr = attr(&data);
                            if data.is_file() && data.len() <= request.arg {
                                content = fs::read(at.join(name)).unwrap();
                                told.content = content.len() as u32;
                            }
                        }
                        Err(error) => told.errno = error.raw_os_error().unwrap() as u32,
                    }
                    if bytes.len() + size_of::<Told>() + content.len().next_multiple_of(8) > output.len() {
                        break;
                    }
                    bytes.extend_from_slice(told.as_bytes());
                    bytes.extend_from_slice(&content);
                    bytes.resize(bytes.len().next_multiple_of(8), 0);
                }
                output[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len() as u64)
            }
            Op::Forget => {
                state.forgotten.push(request.handle);
                Ok(0)
            }
            Op::ForgetMany => {
                state.forgotten.extend(input.chunks(4).map(|handle| u32::read_from_bytes(handle).unwrap()));
                Ok(0)
            }
            Op::Close | Op::CloseMany => Ok(0),
            Op::Read => {
                assert_ne!(request.offset, OFFSET_STREAM);
                let file = &state.files[request.handle as usize];
                file.read_at(output, request.offset).map(|done| done as u64).map_err(errno)
            }
            Op::Write => {
                let file = &state.files[request.handle as usize];
                let append = request.flags & Request::FLAG_APPEND != 0;
                let at = if append { file.metadata().map_err(errno)?.len() } else { request.offset };
                file.write_at(input, at).map(|done| done as u64).map_err(errno)
            }
            Op::Sync => state.files[request.handle as usize].sync_all().map(|()| 0).map_err(errno),
            _ => Err(Errno::ENOSYS),
        }
    }
}

pub(super) fn attach(sharing: Sharing) -> Arc<dyn Inode> {
    let (node, attr) = Node::attach(0).unwrap();
    HostFs::new(sharing).inode(node, attr)
}

pub(super) fn open(current: &Current, inode: &Arc<dyn Inode>, flags: OpenFlags) -> Arc<OpenFile> {
    let ops = inode.clone().open(current, flags).unwrap();
    OpenFile::new(ops, flags, inode.clone(), None)
}

pub(super) fn read(current: &Current, file: &OpenFile, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let done = file.read_at(current, &mut Sink::kernel(&mut bytes), offset).unwrap();
    bytes.truncate(done);
    bytes
}

pub(super) fn regular(mode: u32) -> MakeArgs {
    MakeArgs { mode: raw::S_IFREG | mode, ..MakeArgs::default() }
}

#[test]
fn an_exclusive_file_is_read_once_and_then_from_the_cache() {
    let gofer = Gofer::install("cache");
    let content: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
    fs::write(gofer.root.join("big"), &content).unwrap();
    let current = fake::current();
    let inode = attach(Sharing::Exclusive).lookup(b"big").unwrap();
    assert_eq!(inode.kind(), FileKind::Regular);
    let file = open(&current, &inode, OpenFlags::empty());
    assert_eq!(gofer.count(Op::Open), 0, "opening alone needs no data");
    assert_eq!(read(&current, &file, 0, 5000), &content[..5000]);
    assert_eq!(read(&current, &file, 59_990, 100), &content[59_990..]);
    assert_eq!(read(&current, &file, 0, 60_000), content);
    assert_eq!(gofer.count(Op::Read), 1, "reading from the start reads ahead");
    inode.attr().unwrap();
    assert_eq!(gofer.count(Op::GetAttr), 0);
}

#[test]
fn what_is_written_is_on_the_host_and_in_the_attributes() {
    let gofer = Gofer::install("write");
    let current = fake::current();
    let root = attach(Sharing::Exclusive);
    let inode = root.make(b"new", &regular(0o640)).unwrap();
    let file = open(&current, &inode, OpenFlags::RDWR);
    assert_eq!(gofer.count(Op::Open), 0, "making it has opened it");
    assert_eq!(file.write(&current, &mut Source::kernel(b"hello, ")).unwrap(), 7);
    assert_eq!(file.write(&current, &mut Source::kernel(b"world")).unwrap(), 5);
    assert_eq!(fs::read(gofer.root.join("new")).unwrap(), b"hello, world");
    let attr = inode.attr().unwrap();
    let data = fs::metadata(gofer.root.join("new")).unwrap();
    assert_eq!((attr.size, attr.mtime.nsec, attr.ino), (12, data.mtime_nsec(), data.ino()));
    assert_eq!(read(&current, &file, 7, 100), b"world");
    inode.set_attr(&SetAttr { valid: SetAttr::SIZE, size: 5, ..SetAttr::default() }).unwrap();
    assert_eq!(read(&current, &file, 0, 100), b"hello");
    assert_eq!(fs::read(gofer.root.join("new")).unwrap(), b"hello");
}

#[test]
fn appends_go_to_the_end_whatever_the_position() {
    let gofer = Gofer::install("append");
    fs::write(gofer.root.join("log"), b"one\n").unwrap();
    let current = fake::current();
    let inode = attach(Sharing::Exclusive).lookup(b"log").unwrap();
    let file = open(&current, &inode, OpenFlags::WRONLY | OpenFlags::APPEND);
    file.write(&current, &mut Source::kernel(b"two\n")).unwrap();
    file.write_at(&current, &mut Source::kernel(b"three\n"), 0).unwrap();
    assert_eq!(fs::read(gofer.root.join("log")).unwrap(), b"one\ntwo\nthree\n");
}

#[test]
fn another_change_to_a_shared_file_is_seen_when_it_is_opened_again() {
    let gofer = Gofer::install("shared");
    fs::write(gofer.root.join("conf"), b"before").unwrap();
    let current = fake::current();
    let root = attach(Sharing::Shared);
    assert_eq!(root.trust(), crate::fs::Trust::Never);
    let inode = root.lookup(b"conf").unwrap();
    let file = open(&current, &inode, OpenFlags::empty());
    assert_eq!(read(&current, &file, 0, 100), b"before");
    machine().set_monotonic_ns(1 << 50);
    fs::write(gofer.root.join("conf"), b"afterwards").unwrap();
    let again = root.lookup(b"conf").unwrap();
    assert!(Arc::ptr_eq(&inode, &again), "one file is one inode");
    let file = open(&current, &again, OpenFlags::empty());
    assert_eq!(read(&current, &file, 0, 100), b"afterwards");
    assert_eq!(again.attr().unwrap().size, 10);
}

#[test]
fn two_names_of_a_file_are_one_inode_and_share_pages() {
    let gofer = Gofer::install("links");
    fs::write(gofer.root.join("a"), b"shared").unwrap();
    let current = fake::current();
    let root = attach(Sharing::Exclusive);
    let inode = root.lookup(b"a").unwrap();
    root.link(b"b", &inode).unwrap();
    assert_eq!(inode.attr().unwrap().nlink, 2);
    let other = root.lookup(b"b").unwrap();
    assert!(Arc::ptr_eq(&inode, &other));
    let file = open(&current, &other, OpenFlags::RDWR);
    file.write(&current, &mut Source::kernel(b"S")).unwrap();
    assert_eq!(read(&current, &open(&current, &inode, OpenFlags::empty()), 0, 9), b"Shared");
    root.unlink(b"b", false).unwrap();
    assert_eq!(inode.attr().unwrap().nlink, 1);
    assert_eq!(gofer.count(Op::GetAttr), 2);
}

#[test]
fn after_some_misses_an_exclusive_directory_answers_for_missing_names_itself() {
    let gofer = Gofer::install("missing");
    fs::write(gofer.root.join("there"), b"").unwrap();
    let root = attach(Sharing::Exclusive);
    for round in 0..20 {
        let name = format!("lib{round}.so");
        assert_eq!(root.lookup(name.as_bytes()).err(), Some(Errno::ENOENT));
    }
    assert!(gofer.count(Op::Lookup) <= 4, "{}", gofer.count(Op::Lookup));
    assert!(root.lookup(b"there").is_ok());
    root.make(b"lib7.so", &regular(0o644)).unwrap();
    assert!(root.lookup(b"lib7.so").is_ok());
}

#[test]
fn names_move_and_their_files_with_them() {
    let gofer = Gofer::install("rename");
    let root = attach(Sharing::Exclusive);
    let args = MakeArgs { mode: raw::S_IFDIR | 0o755, ..MakeArgs::default() };
    let dir = root.make(b"dir", &args).unwrap();
    let file = root.make(b"file", &regular(0o600)).unwrap();
    let over = dir.make(b"over", &regular(0o600)).unwrap();
    root.rename(b"file", &dir, b"over", 0).unwrap();
    assert!(Arc::ptr_eq(&dir.lookup(b"over").unwrap(), &file));
    assert_eq!(root.lookup(b"file").err(), Some(Errno::ENOENT));
    assert!(over.attr().is_err() || over.attr().unwrap().ino == file.attr().unwrap().ino);
    assert_eq!(root.unlink(b"dir", true), Err(Errno::ENOTEMPTY));
    dir.unlink(b"over", false).unwrap();
    root.unlink(b"dir", true).unwrap();
    assert!(!gofer.root.join("dir").exists());
}

#[test]
fn links_are_read_once_and_attributes_that_are_not_there_are_asked_for_once() {
    let gofer = Gofer::install("symlink");
    std::os::unix::fs::symlink("usr/bin", gofer.root.join("bin")).unwrap();
    let current = fake::current();
    let link = attach(Sharing::Exclusive).lookup(b"bin").unwrap();
    for _ in 0..3 {
        assert_eq!(link.read_link(&current).unwrap(), b"usr/bin");
        assert_eq!(link.get_xattr(b"security.capability"), Err(Errno::ENODATA));
    }
    assert_eq!((gofer.count(Op::ReadLink), gofer.count(Op::ListXattr)), (1, 1));
}

#[test]
fn a_directory_lists_its_dots_and_entries_and_goes_on_where_it_stopped() {
    let gofer = Gofer::install("list");
    for entry in ["a", "b", "c"] {
        fs::write(gofer.root.join(entry), b"").unwrap();
    }
    let current = fake::current();
    let root = attach(Sharing::Exclusive);
    let file = open(&current, &root, OpenFlags::DIRECTORY);
    let mut names = Vec::new();
    let mut position = 0;
    loop {
        let before = position;
        let mut room = 2;
        let mut emit = |_: u64, _: u8, name: &[u8], next: u64| {
            if room == 0 {
                return false;
            }
            room -= 1;
            names.push(name.to_vec());
            position = next;
            true
        };
        file.ops().read_dir(&current, &file, before, &mut emit).unwrap();
        if position == before {
            break;
        }
    }
    assert_eq!(names, [&b"."[..], b"..", b"a", b"b", b"c"]);
    assert_eq!(gofer.count(Op::ReadDir), 1, "it says that they are all");
}

#[test]
fn in_a_quiet_tree_what_others_do_is_seen_after_a_while_and_not_asked_for_before() {
    let gofer = Gofer::install("quiet");
    // Later than any other test that makes things doubtful.
    machine().set_monotonic_ns(u64::MAX / 4);
    let current = fake::current();
    let root = crate::fs::dentry::Dentry::root(attach(Sharing::Quiet), b"");
    fs::write(gofer.root.join("f"), b"old").unwrap();
    let child = |name: &[u8]| root.child(name).unwrap();
    assert!(child(b"new").is_none());
    let file = child(b"f").expect("a file");
    assert_eq!(read(&current, &open(&current, file.inode(), OpenFlags::empty()), 0, 9), b"old");
    let asked = gofer.count(Op::Lookup);
    fs::write(gofer.root.join("new"), b"").unwrap();
    fs::write(gofer.root.join("f"), b"changed").unwrap();
    assert!(child(b"new").is_none());
    assert!(Arc::ptr_eq(&child(b"f").expect("a file"), &file));
    assert_eq!(gofer.count(Op::Lookup), asked);
    machine().advance_ns(2_000_000_000);
    assert!(child(b"new").is_some());
    let again = child(b"f").expect("a file");
    assert!(Arc::ptr_eq(&again, &file), "the same file keeps its dentry");
    assert_eq!(read(&current, &open(&current, again.inode(), OpenFlags::empty()), 0, 9), b"changed");
    fs::remove_file(gofer.root.join("f")).unwrap();
    assert!(child(b"f").is_some(), "for a while");
    machine().advance_ns(2_000_000_000);
    assert!(child(b"f").is_none());
    fs::write(gofer.root.join("f"), b"copied").unwrap();
    assert!(child(b"f").is_none(), "for a while");
    machine().advance_ns(1);
    crate::fs::doubt();
    assert!(child(b"f").is_some(), "not when somebody may have changed it");
}

#[test]
fn what_we_write_in_a_quiet_tree_is_not_read_again() {
    let gofer = Gofer::install("quiet-write");
    let current = fake::current();
    let root = attach(Sharing::Quiet);
    let file = open(&current, &root.make(b"f", &regular(0o644)).unwrap(), OpenFlags::RDWR);
    file.write(&current, &mut Source::kernel(b"hello")).unwrap();
    machine().set_monotonic_ns(u64::MAX / 2);
    assert_eq!(read(&current, &file, 0, 9), b"hello");
    assert_eq!(gofer.count(Op::Read), 0);
}

#[test]
fn an_append_to_a_shared_file_goes_behind_what_others_appended() {
    let gofer = Gofer::install("shared-append");
    let current = fake::current();
    fs::write(gofer.root.join("log"), b"a").unwrap();
    let inode = attach(Sharing::Shared).lookup(b"log").unwrap();
    let file = open(&current, &inode, OpenFlags::WRONLY | OpenFlags::APPEND);
    let host = fs::OpenOptions::new().append(true).open(gofer.root.join("log")).unwrap();
    std::io::Write::write_all(&mut &host, b"b").unwrap();
    file.write(&current, &mut Source::kernel(b"c")).unwrap();
    assert_eq!(fs::read(gofer.root.join("log")).unwrap(), b"abc");
}

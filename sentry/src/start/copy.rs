//! Copying a tree into an empty file system, before anybody runs: what a mount with `tmpcopyup` begins with.

use crate::errno::Errno;
use crate::fs::entries::Entry;
use crate::fs::{FileKind, Inode, OpenFile, OpenFlags, Sink, Source};
use crate::syscall::Fail;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec;
use linker::request::{Attr, MakeArgs, SetAttr};

/// Bytes copied at once.
const CHUNK: usize = 256 << 10;
/// Directories inside each other at most.
const MAX_DEPTH: usize = 64;

/// Makes `to`, a directory without entries, as `from` is. Where `from` is no directory there is nothing to copy.
pub fn tree(current: &Current, from: &Arc<dyn Inode>, to: &Arc<dyn Inode>) -> Result<(), Errno> {
    if from.kind() != FileKind::Directory {
        return Ok(());
    }
    let attr = from.attr()?;
    let valid = SetAttr::MODE | SetAttr::UID | SetAttr::GID;
    to.set_attr(&SetAttr { valid, mode: attr.mode & 0o7777, uid: attr.uid, gid: attr.gid, ..SetAttr::default() })?;
    entries(current, from, to, 0)
}

fn entries(current: &Current, from: &Arc<dyn Inode>, to: &Arc<dyn Inode>, depth: usize) -> Result<(), Errno> {
    if depth > MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    for Entry { name, .. } in from.list()?.iter() {
        let child = from.lookup(name)?;
        let attr = child.attr()?;
        let args = MakeArgs { mode: attr.mode, uid: attr.uid, gid: attr.gid, pad: 0, rdev: attr.rdev };
        if child.kind() == FileKind::Symlink {
            to.symlink(name, &child.read_link(current)?, &args)?;
            continue;
        }
        let copy = to.make(name, &args)?;
        match child.kind() {
            FileKind::Directory => entries(current, &child, &copy, depth + 1)?,
            FileKind::Regular => bytes(current, &child, &copy)?,
            _ => {}
        }
        keep_times(&copy, &attr)?;
    }
    Ok(())
}

fn bytes(current: &Current, from: &Arc<dyn Inode>, to: &Arc<dyn Inode>) -> Result<(), Errno> {
    let open = |inode: &Arc<dyn Inode>, flags| {
        let ops = inode.clone().open(current, flags).map_err(errno)?;
        Ok::<_, Errno>(OpenFile::new(ops, flags, inode.clone(), None))
    };
    let (from, to) = (open(from, OpenFlags::empty())?, open(to, OpenFlags::WRONLY)?);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(current, &mut Sink::kernel(&mut buffer)).map_err(errno)?;
        if read == 0 {
            return Ok(());
        }
        let mut source = Source::kernel(buffer.get(..read).unwrap_or_default());
        if to.write(current, &mut source).map_err(errno)? < read {
            return Err(Errno::ENOSPC);
        }
    }
}

fn keep_times(copy: &Arc<dyn Inode>, attr: &Attr) -> Result<(), Errno> {
    let valid = SetAttr::ATIME | SetAttr::MTIME;
    copy.set_attr(&SetAttr { valid, atime: attr.atime, mtime: attr.mtime, ..SetAttr::default() })
}

fn errno(fail: Fail) -> Errno {
    match fail {
        Fail::Errno(errno) => errno,
        _ => Errno::EINTR,
    }
}

#[cfg(test)]
mod tests {
    use super::tree;
    use crate::fake;
    use crate::fs::{Inode, OpenFile, OpenFlags, Sink, Source, new_file_system};
    use linker::request::MakeArgs;
    use linux_raw_sys::general as raw;
    use std::sync::Arc;

    #[test]
    fn a_tree_is_copied_with_modes_links_and_bytes() {
        let current = fake::current();
        let (from, to) =
            (new_file_system(None, "tmpfs", "mode=750").unwrap(), new_file_system(None, "tmpfs", "").unwrap());
        let args = |mode| MakeArgs { mode, uid: 3, gid: 4, ..MakeArgs::default() };
        let open = |inode: Arc<dyn Inode>, flags| {
            OpenFile::new(inode.clone().open(&current, flags).unwrap(), flags, inode, None)
        };
        let sub = from.make(b"sub", &args(raw::S_IFDIR | 0o711)).unwrap();
        let file = sub.make(b"file", &args(raw::S_IFREG | 0o640)).unwrap();
        open(file, OpenFlags::WRONLY).write(&current, &mut Source::kernel(b"content")).unwrap();
        from.symlink(b"link", b"sub/file", &args(raw::S_IFLNK | 0o777)).unwrap();
        tree(&current, &from, &to).unwrap();
        assert_eq!(to.attr().unwrap().mode & 0o7777, 0o750);
        assert_eq!(to.lookup(b"link").unwrap().read_link(&current).unwrap(), b"sub/file");
        let copy = to.lookup(b"sub").unwrap().lookup(b"file").unwrap();
        let attr = copy.attr().unwrap();
        assert_eq!((attr.mode & 0o7777, attr.uid, attr.gid, attr.size), (0o640, 3, 4, 7));
        let mut bytes = [0; 16];
        assert_eq!(open(copy, OpenFlags::empty()).read(&current, &mut Sink::kernel(&mut bytes)).unwrap(), 7);
        assert_eq!(&bytes[..7], b"content");
    }
}

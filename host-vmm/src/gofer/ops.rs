//! The path operations. Every name is checked to be one component and is resolved by openat2(2) beneath an open directory,
//! without symbolic or magic links; what would change a read-only export is refused here, whatever the sandbox believes.

use crate::gofer::many;
use crate::gofer::nodes::{Listing, Node};
use crate::gofer::wire::CallHeader;
use crate::gofer::{Gofer, Output};
use linker::request::{Attr, DirEntry, END_OF_DIRECTORY, MakeArgs, Op, SetAttr, StatFs, Time};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, StatxFlags, StatxTimestamp, Timestamps,
    Uid, XattrFlags,
};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::ffi::{CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zerocopy::{FromBytes, IntoBytes};

pub(super) const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);
pub(super) const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Open flags that the sandbox may choose.
const OPEN_FLAGS: OFlags = OFlags::ACCMODE.union(OFlags::TRUNC).union(OFlags::APPEND).union(OFlags::DIRECTORY);
/// What the gofer adds: an open never waits, and never makes a terminal its own.
pub(super) const SAFE_FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Answers one call.
pub fn answer(gofer: &mut Gofer, op: Op, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    match op {
        Op::Attach => attach(gofer, call.handle),
        Op::Lookup => lookup(gofer, call.handle, name(input)?),
        Op::GetAttr => Ok(attr_output(0, &attr(&gofer.nodes.get(call.handle)?.fd)?)),
        Op::SetAttr => set_attr(gofer, call.handle, input),
        Op::Open => open(gofer, call),
        Op::Create => create(gofer, call, input),
        Op::Make => make(gofer, call, input),
        Op::Symlink => symlink(gofer, call, input),
        Op::Link => link(gofer, call, input),
        Op::Unlink => unlink(gofer, call, name(input)?),
        Op::Rename => rename(gofer, call, input),
        Op::ReadLink => {
            let target = rustix::fs::readlinkat(&gofer.nodes.get(call.handle)?.fd, "", Vec::new())?;
            Ok(data_output(target.into_bytes(), call))
        }
        Op::ReadDir => read_dir(gofer, call),
        Op::StatFs => stat_fs(gofer, call.handle),
        Op::GetXattr => get_xattr(gofer, call, input),
        Op::SetXattr => set_xattr(gofer, call, input),
        Op::ListXattr => list_xattr(gofer, call),
        Op::RemoveXattr => {
            let node = gofer.writable(call.handle)?;
            done(rustix::fs::removexattr(magic(&node.fd).as_str(), xattr_name(input)?))
        }
        Op::Forget => done(gofer.nodes.remove(call.handle)),
        Op::LookupMany => many::lookup(gofer, call, input),
        Op::ForgetMany => many::forget(gofer, input),
        Op::Connect => Err(Errno::ACCESS),
        _ => Err(Errno::NOSYS),
    }
}

impl Gofer {
    /// A node of an export that may be changed.
    fn writable(&self, handle: u32) -> Result<&Node, Errno> {
        let node = self.nodes.get(handle)?;
        match self.roots.get(node.export as usize).and_then(Option::as_ref) {
            Some(root) if root.writable => Ok(node),
            _ => Err(Errno::ROFS),
        }
    }

    /// Opens what an `O_PATH` descriptor names.
    pub(super) fn reopen(&self, fd: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(&self.proc, magic(fd).as_str(), flags, Mode::empty(), ResolveFlags::empty())
    }

    /// A node for a new name, which must not have been swapped for a symbolic link's target meanwhile.
    fn adopt(&mut self, directory: u32, name: &OsStr) -> Result<Output, Errno> {
        lookup(self, directory, name)
    }
}

/// One component of a path: nothing that goes elsewhere.
pub(super) fn name(bytes: &[u8]) -> Result<&OsStr, Errno> {
    match bytes {
        [] => Err(Errno::NOENT),
        b"." | b".." => Err(Errno::INVAL),
        _ if bytes.contains(&b'/') || bytes.contains(&0) => Err(Errno::INVAL),
        _ if bytes.len() > linux_raw_sys::general::NAME_MAX as usize => Err(Errno::NAMETOOLONG),
        _ => Ok(OsStr::from_bytes(bytes)),
    }
}

/// The name of a descriptor in `/proc/self/fd`.
fn magic(fd: impl AsFd) -> String {
    fd.as_fd().as_raw_fd().to_string()
}

fn done(result: Result<(), Errno>) -> Result<Output, Errno> {
    result.map(|()| Output::default())
}

fn attr_output(result: u64, attr: &Attr) -> Output {
    Output { result, data: attr.as_bytes().to_vec(), file: None }
}

/// Data whose length is the result, cut to the room there is.
fn data_output(mut data: Vec<u8>, call: &CallHeader) -> Output {
    data.truncate(call.output_len as usize);
    Output { result: data.len() as u64, data, file: None }
}

pub(super) fn attr(fd: impl AsFd) -> Result<Attr, Errno> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, mask)?;
    let device = |major: u32, minor: u32| u64::from(major) << 32 | u64::from(minor);
    let time = |time: StatxTimestamp| Time { sec: time.tv_sec, nsec: i64::from(time.tv_nsec) };
    Ok(Attr {
        dev: device(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        mode: u32::from(stat.stx_mode),
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        blksize: stat.stx_blksize,
        pad: 0,
        rdev: device(stat.stx_rdev_major, stat.stx_rdev_minor),
        atime: time(stat.stx_atime),
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        btime: time(stat.stx_btime),
    })
}

fn attach(gofer: &mut Gofer, export: u32) -> Result<Output, Errno> {
    let root = gofer.roots.get(export as usize).and_then(Option::as_ref).ok_or(Errno::NODEV)?;
    let fd = gofer.reopen(&root.fd, OFlags::PATH | OFlags::CLOEXEC)?;
    let attr = attr(&fd)?;
    Ok(attr_output(u64::from(gofer.nodes.insert(fd, export)?), &attr))
}

fn lookup(gofer: &mut Gofer, directory: u32, name: &OsStr) -> Result<Output, Errno> {
    let node = gofer.nodes.get(directory)?;
    let export = node.export;
    let fd = rustix::fs::openat2(&node.fd, name, PATH_ONLY, Mode::empty(), BENEATH)?;
    let attr = attr(&fd)?;
    Ok(attr_output(u64::from(gofer.nodes.insert(fd, export)?), &attr))
}

fn set_attr(gofer: &Gofer, handle: u32, input: &[u8]) -> Result<Output, Errno> {
    let (set, _) = SetAttr::read_from_prefix(input).map_err(|_| Errno::INVAL)?;
    let node = gofer.writable(handle)?;
    let has = |bit: u32| set.valid & bit != 0;
    if has(SetAttr::SIZE) {
        return Err(Errno::INVAL);
    }
    if has(SetAttr::UID) || has(SetAttr::GID) {
        let uid = has(SetAttr::UID).then(|| Uid::from_raw(set.uid));
        let gid = has(SetAttr::GID).then(|| Gid::from_raw(set.gid));
        rustix::fs::chownat(&node.fd, "", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    // After the owner: chown(2) takes the set-id bits away.
    if has(SetAttr::MODE) {
        if FileType::from_raw_mode(attr(&node.fd)?.mode) == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let mode = Mode::from_raw_mode(set.mode & 0o7777);
        rustix::fs::chmodat(&gofer.proc, magic(&node.fd).as_str(), mode, AtFlags::empty())?;
    }
    if has(SetAttr::ATIME) || has(SetAttr::MTIME) {
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let pick = |bit: u32, time: Time| match has(bit) {
            true if !(0..1_000_000_000).contains(&time.nsec) => Err(Errno::INVAL),
            true => Ok(Timespec { tv_sec: time.sec, tv_nsec: time.nsec }),
            false => Ok(omit),
        };
        let times = Timestamps {
            last_access: pick(SetAttr::ATIME, set.atime)?,
            last_modification: pick(SetAttr::MTIME, set.mtime)?,
        };
        rustix::fs::utimensat(&node.fd, "", &times, AtFlags::EMPTY_PATH)?;
    }
    Ok(attr_output(0, &attr(&node.fd)?))
}

/// Opens a node for data. Only regular files and directories: an open of anything else could wait, or do something.
pub(super) fn open_node(gofer: &Gofer, node: &Node, flags: OFlags) -> Result<OwnedFd, Errno> {
    match FileType::from_raw_mode(attr(&node.fd)?.mode) {
        FileType::RegularFile | FileType::Directory => gofer.reopen(&node.fd, flags | SAFE_FLAGS),
        FileType::Symlink => Err(Errno::LOOP),
        FileType::CharacterDevice | FileType::BlockDevice => Err(Errno::ACCESS),
        _ => Err(Errno::NXIO),
    }
}

fn open(gofer: &Gofer, call: &CallHeader) -> Result<Output, Errno> {
    let flags = OFlags::from_bits_retain(call.arg as u32) & OPEN_FLAGS;
    let changes = flags & OFlags::ACCMODE != OFlags::RDONLY || flags.contains(OFlags::TRUNC);
    let node = if changes { gofer.writable(call.handle)? } else { gofer.nodes.get(call.handle)? };
    Ok(Output { file: Some(open_node(gofer, node, flags)?), ..Output::default() })
}

fn make_args(input: &[u8]) -> Result<(MakeArgs, &[u8]), Errno> {
    MakeArgs::read_from_prefix(input).map_err(|_| Errno::INVAL)
}

/// Gives a new file its owner, and the bits of its mode that chown(2) took away again.
fn own(gofer: &Gofer, fd: BorrowedFd<'_>, args: &MakeArgs) -> Result<(), Errno> {
    let now = attr(fd)?;
    if (now.uid, now.gid) != (args.uid, args.gid) {
        let (uid, gid) = (Uid::from_raw(args.uid), Gid::from_raw(args.gid));
        rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    let kind = FileType::from_raw_mode(now.mode);
    let mode = args.mode & 0o7777;
    if kind != FileType::Symlink && (now.mode & 0o7777 != mode || mode & 0o6000 != 0) {
        rustix::fs::chmodat(&gofer.proc, magic(fd).as_str(), Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

fn create(gofer: &mut Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let (args, rest) = make_args(input)?;
    let name = name(rest)?;
    let directory = gofer.writable(call.handle)?;
    let export = directory.export;
    let flags = OFlags::from_bits_retain(call.arg as u32) & OPEN_FLAGS & !OFlags::DIRECTORY;
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | SAFE_FLAGS;
    let mode = Mode::from_raw_mode(args.mode & 0o7777);
    let file = rustix::fs::openat2(&directory.fd, name, flags | new, mode, BENEATH)?;
    if let Err(errno) = own(gofer, file.as_fd(), &args) {
        let _ = rustix::fs::unlinkat(&directory.fd, name, AtFlags::empty());
        return Err(errno);
    }
    let attr = attr(&file)?;
    let fd = gofer.reopen(&file, OFlags::PATH | OFlags::CLOEXEC)?;
    Ok(Output { file: Some(file), ..attr_output(u64::from(gofer.nodes.insert(fd, export)?), &attr) })
}

fn make(gofer: &mut Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let (args, rest) = make_args(input)?;
    let name = name(rest)?;
    let directory = &gofer.writable(call.handle)?.fd;
    let mode = Mode::from_raw_mode(args.mode & 0o7777);
    let kind = FileType::from_raw_mode(args.mode);
    match kind {
        FileType::Directory => rustix::fs::mkdirat(directory, name, mode)?,
        FileType::Symlink | FileType::Unknown => return Err(Errno::INVAL),
        _ => {
            let device = rustix::fs::makedev((args.rdev >> 32) as u32, args.rdev as u32);
            rustix::fs::mknodat(directory, name, kind, mode, device)?;
        }
    }
    finish_make(gofer, call.handle, name, &args, kind == FileType::Directory)
}

fn symlink(gofer: &mut Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let (args, rest) = make_args(input)?;
    let (new, target) = split(rest, call.offset)?;
    let (name, target) = (name(new)?, CString::new(target).map_err(|_| Errno::INVAL)?);
    rustix::fs::symlinkat(target.as_c_str(), &gofer.writable(call.handle)?.fd, name)?;
    finish_make(gofer, call.handle, name, &args, false)
}

/// Names what was just made and gives it its owner; takes it away again when that fails.
fn finish_make(
    gofer: &mut Gofer,
    directory: u32,
    name: &OsStr,
    args: &MakeArgs,
    is_directory: bool,
) -> Result<Output, Errno> {
    let output = gofer.adopt(directory, name)?;
    let handle = output.result as u32;
    if let Err(errno) = own(gofer, gofer.nodes.get(handle)?.fd.as_fd(), args) {
        let _ = gofer.nodes.remove(handle);
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let _ = rustix::fs::unlinkat(&gofer.nodes.get(directory)?.fd, name, flags);
        return Err(errno);
    }
    Ok(attr_output(output.result, &attr(&gofer.nodes.get(handle)?.fd)?))
}

fn link(gofer: &Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let directory = gofer.writable(call.handle)?;
    let file = gofer.writable(u32::try_from(call.arg).map_err(|_| Errno::BADF)?)?;
    if directory.export != file.export {
        return Err(Errno::XDEV);
    }
    let old = magic(&file.fd);
    done(rustix::fs::linkat(&gofer.proc, old.as_str(), &directory.fd, name(input)?, AtFlags::SYMLINK_FOLLOW))
}

/// The attributes of what a name stands for now, if the sandbox wants them: what loses its name may live on.
fn attr_before(call: &CallHeader, directory: &Node, name: &OsStr) -> Vec<u8> {
    if call.output_len == 0 {
        return Vec::new();
    }
    let fd = rustix::fs::openat2(&directory.fd, name, PATH_ONLY, Mode::empty(), BENEATH);
    fd.and_then(attr).map_or_else(|_| Vec::new(), |attr| attr.as_bytes().to_vec())
}

fn unlink(gofer: &Gofer, call: &CallHeader, name: &OsStr) -> Result<Output, Errno> {
    let directory = gofer.writable(call.handle)?;
    let data = attr_before(call, directory, name);
    let flags = AtFlags::from_bits_retain(call.arg as u32) & AtFlags::REMOVEDIR;
    rustix::fs::unlinkat(&directory.fd, name, flags)?;
    Ok(Output { data, ..Output::default() })
}

fn rename(gofer: &Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let from = gofer.writable(call.handle)?;
    let to = gofer.writable(u32::try_from(call.arg).map_err(|_| Errno::BADF)?)?;
    if from.export != to.export {
        return Err(Errno::XDEV);
    }
    let flags = RenameFlags::from_bits_retain((call.offset >> 32) as u32);
    if !(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(flags) {
        return Err(Errno::INVAL);
    }
    let (old, new) = split(input, call.offset & u64::from(u32::MAX))?;
    let (old, new) = (name(old)?, name(new)?);
    let data = attr_before(call, to, new);
    rustix::fs::renameat_with(&from.fd, old, &to.fd, new, flags)?;
    Ok(Output { data, ..Output::default() })
}

/// Two byte strings that follow each other.
fn split(bytes: &[u8], first_len: u64) -> Result<(&[u8], &[u8]), Errno> {
    usize::try_from(first_len).ok().and_then(|len| bytes.split_at_checked(len)).ok_or(Errno::INVAL)
}

/// Entries of a directory, without `.` and `..`, which the sentry knows better.
fn read_dir(gofer: &mut Gofer, call: &CallHeader) -> Result<Output, Errno> {
    let node = gofer.nodes.get(call.handle)?;
    let mut listing = match &node.listing {
        None => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | SAFE_FLAGS;
            Listing { fd: gofer.reopen(&node.fd, flags)?, position: 0 }
        }
        Some(_) => gofer.nodes.get_mut(call.handle)?.listing.take().ok_or(Errno::BADF)?,
    };
    let output = list(&mut listing, call);
    // The end is when listings are over: the descriptor is not kept for nothing.
    if !matches!(&output, Ok(output) if output.result == 0 || output.result & END_OF_DIRECTORY != 0) {
        gofer.nodes.get_mut(call.handle)?.listing = Some(listing);
    }
    output
}

fn list(listing: &mut Listing, call: &CallHeader) -> Result<Output, Errno> {
    if listing.position != call.offset {
        rustix::fs::seek(&listing.fd, rustix::fs::SeekFrom::Start(call.offset))?;
        listing.position = call.offset;
    }
    let room = call.output_len as usize;
    let mut data: Vec<u8> = Vec::with_capacity(room);
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut raw = RawDir::new(&listing.fd, &mut buffer);
    let (mut full, mut ended) = (false, false);
    let mut next = call.offset;
    loop {
        let Some(entry) = raw.next() else {
            ended = true;
            break;
        };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            next = entry.next_entry_cookie();
        } else {
            let head = DirEntry {
                ino: entry.ino(),
                next: entry.next_entry_cookie(),
                name_len: u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?,
                kind: kind(entry.file_type()),
                pad: [0; 5],
            };
            if data.len() + size_of::<DirEntry>() + name.len().next_multiple_of(8) > room {
                full = true;
                break;
            }
            data.extend_from_slice(head.as_bytes());
            data.extend_from_slice(name);
            data.resize(data.len().next_multiple_of(8), 0);
            next = head.next;
        }
        // What one getdents64(2) found is enough for an answer, unless it was only `.` and `..` or the end is asked for, too.
        if raw.is_buffer_empty() && !data.is_empty() && call.arg != 1 {
            break;
        }
    }
    if full && data.is_empty() {
        return Err(Errno::INVAL);
    }
    // Read further than told: the next listing has to go back.
    listing.position = if full { u64::MAX } else { next };
    let mut output = data_output(data, call);
    if ended && call.arg == 1 {
        output.result |= END_OF_DIRECTORY;
    }
    Ok(output)
}

/// `DT_*`.
fn kind(kind: FileType) -> u8 {
    use linux_raw_sys::general as raw;
    (match kind {
        FileType::Fifo => raw::DT_FIFO,
        FileType::CharacterDevice => raw::DT_CHR,
        FileType::Directory => raw::DT_DIR,
        FileType::BlockDevice => raw::DT_BLK,
        FileType::RegularFile => raw::DT_REG,
        FileType::Symlink => raw::DT_LNK,
        FileType::Socket => raw::DT_SOCK,
        _ => raw::DT_UNKNOWN,
    }) as u8
}

fn stat_fs(gofer: &Gofer, handle: u32) -> Result<Output, Errno> {
    let stat = rustix::fs::fstatfs(&gofer.nodes.get(handle)?.fd)?;
    let answer = StatFs {
        kind: stat.f_type as u64,
        bsize: stat.f_bsize as u64,
        blocks: stat.f_blocks as u64,
        bfree: stat.f_bfree as u64,
        bavail: stat.f_bavail as u64,
        files: stat.f_files as u64,
        ffree: stat.f_ffree as u64,
        namelen: stat.f_namelen as u64,
    };
    Ok(Output { data: answer.as_bytes().to_vec(), ..Output::default() })
}

/// The name of an extended attribute. Those of `trusted.` are the host's own.
fn xattr_name(bytes: &[u8]) -> Result<CString, Errno> {
    if bytes.starts_with(b"trusted.") {
        return Err(Errno::PERM);
    }
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

fn get_xattr(gofer: &Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let node = gofer.nodes.get(call.handle)?;
    let mut value = vec![0; call.output_len as usize];
    let len = rustix::fs::getxattr(magic(&node.fd).as_str(), xattr_name(input)?, value.as_mut_slice())?;
    value.truncate(len);
    Ok(Output { result: len as u64, data: value, file: None })
}

fn set_xattr(gofer: &Gofer, call: &CallHeader, input: &[u8]) -> Result<Output, Errno> {
    let node = gofer.writable(call.handle)?;
    let (name, value) = split(input, call.offset)?;
    let flags = XattrFlags::from_bits(call.arg as u32).ok_or(Errno::INVAL)?;
    done(rustix::fs::setxattr(magic(&node.fd).as_str(), xattr_name(name)?, value, flags))
}

fn list_xattr(gofer: &Gofer, call: &CallHeader) -> Result<Output, Errno> {
    let node = gofer.nodes.get(call.handle)?;
    let mut names = vec![0; call.output_len as usize];
    let len = rustix::fs::listxattr(magic(&node.fd).as_str(), names.as_mut_slice())?;
    names.truncate(len);
    Ok(Output { result: len as u64, data: names, file: None })
}

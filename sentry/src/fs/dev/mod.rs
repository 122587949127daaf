//! `/dev`: a tmpfs with the nodes that a container finds there, and the drivers of the memory devices.
//!
//! Terminals (majors 4, 5, 136) and their nodes' drivers are `tty`'s; here they only get their names.

pub mod mem;

use super::{Inode, device, tmpfs};
use crate::errno::Errno;
use alloc::sync::Arc;
use linker::request::MakeArgs;
use linux_raw_sys::general as raw;
use mem::Device;

/// Major number of `/dev/tty`, `/dev/console` and `/dev/ptmx` (Linux, Documentation/admin-guide/devices.txt).
const TTYAUX_MAJOR: u32 = 5;
/// Group `tty` of every distribution.
const TTY_GROUP: u32 = 5;

/// Registers the drivers of this folder. At start.
pub fn register() {
    device::register_char(mem::MAJOR, mem::open);
}

/// A new `/dev` with the options of a tmpfs; its root directory. `ptmx` leads to the devpts that is mounted on `pts`.
pub fn new(options: &tmpfs::Options) -> Result<Arc<dyn Inode>, Errno> {
    let root = tmpfs::new(options)?;
    let node = |name: &[u8], mode: u32, major: u32, minor: u32, gid: u32| {
        let rdev = u64::from(major) << 32 | u64::from(minor);
        root.make(name, &MakeArgs { mode: raw::S_IFCHR | mode, gid, rdev, ..MakeArgs::default() })
    };
    let devices = [
        (&b"null"[..], Device::Null),
        (b"zero", Device::Zero),
        (b"full", Device::Full),
        (b"random", Device::Random),
        (b"urandom", Device::Urandom),
    ];
    for (name, device) in devices {
        node(name, 0o666, mem::MAJOR, device as u32, 0)?;
    }
    node(b"tty", 0o666, TTYAUX_MAJOR, 0, TTY_GROUP)?;
    node(b"console", 0o620, TTYAUX_MAJOR, 1, TTY_GROUP)?;
    let links: [(&[u8], &[u8]); 6] = [
        (b"ptmx", b"pts/ptmx"),
        (b"fd", b"/proc/self/fd"),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
        (b"core", b"/proc/kcore"),
    ];
    for (name, target) in links {
        root.symlink(name, target, &MakeArgs { mode: raw::S_IFLNK | 0o777, ..MakeArgs::default() })?;
    }
    for (name, mode) in [(&b"shm"[..], 0o1777), (b"pts", 0o755), (b"mqueue", 0o1777)] {
        root.make(name, &MakeArgs { mode: raw::S_IFDIR | mode, ..MakeArgs::default() })?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::tmpfs;
    use crate::errno::Errno;
    use crate::fake;
    use crate::fs::{OpenFile, OpenFlags, Sink, Source};
    use crate::syscall::Fail;
    use crate::task::Current;
    use linux_raw_sys::general as raw;
    use std::sync::Arc;

    fn open(current: &Current, name: &[u8]) -> Arc<OpenFile> {
        let inode = super::new(&tmpfs::Options::unlimited()).unwrap().lookup(name).unwrap();
        let ops = super::mem::open(current, inode.attr().unwrap().rdev, OpenFlags::RDWR).unwrap();
        OpenFile::new(ops, OpenFlags::RDWR, inode, None)
    }

    #[test]
    fn null_is_empty_and_takes_everything() {
        let current = fake::current();
        let null = open(&current, b"null");
        assert_eq!(null.inode().attr().unwrap().rdev, 1 << 32 | 3);
        assert_eq!(null.read(&current, &mut Sink::kernel(&mut [1; 8])).unwrap(), 0);
        assert_eq!(null.write(&current, &mut Source::kernel(b"gone")).unwrap(), 4);
        assert_eq!(null.ops().seek(&null, 100, raw::SEEK_SET), Ok(0));
    }

    #[test]
    fn full_reads_as_zeroes_and_has_no_room() {
        let current = fake::current();
        let full = open(&current, b"full");
        let mut bytes = [1; 8];
        assert_eq!(full.read(&current, &mut Sink::kernel(&mut bytes)).unwrap(), 8);
        assert_eq!(bytes, [0; 8]);
        let result = full.write(&current, &mut Source::kernel(b"x"));
        assert!(matches!(result, Err(Fail::Errno(Errno::ENOSPC))));
    }

    #[test]
    fn random_bytes_differ_from_read_to_read() {
        let current = fake::current();
        let random = open(&current, b"urandom");
        let (mut one, mut two) = ([0; 32], [0; 32]);
        assert_eq!(random.read(&current, &mut Sink::kernel(&mut one)).unwrap(), 32);
        assert_eq!(random.read(&current, &mut Sink::kernel(&mut two)).unwrap(), 32);
        assert_ne!(one, two);
        assert_ne!(one, [0; 32]);
    }

    #[test]
    fn standard_stream_links_lead_through_proc() {
        let current = fake::current();
        let root = super::new(&tmpfs::Options::unlimited()).unwrap();
        assert_eq!(root.lookup(b"stdout").unwrap().read_link(&current).unwrap(), b"/proc/self/fd/1");
        assert_eq!(root.lookup(b"shm").unwrap().attr().unwrap().mode, raw::S_IFDIR | 0o1777);
    }
}

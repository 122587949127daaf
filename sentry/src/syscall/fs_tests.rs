//! The file calls, as a program makes them: by number, with arguments in user memory.

use super::table::HANDLERS;
use super::{Fail, Fd};
use crate::errno::Errno;
use crate::fake::{USER_MEMORY, read_user, write_user};
use crate::fs::tests::on_tmpfs;
use crate::task::Current;
use linux_raw_sys::general as raw;
use std::vec::Vec;
use syscalls::Sysno;

const PATH: u64 = USER_MEMORY.raw();
const OTHER: u64 = PATH + 4096;
const DATA: u64 = PATH + 8192;
const CWD: u64 = raw::AT_FDCWD as i64 as u64;

fn call(current: &mut Current, number: Sysno, args: &[u64]) -> Result<u64, Errno> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let regs = &mut current.regs;
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = all;
    let handler = HANDLERS.get(number as usize).expect("a row");
    match handler(current).result(current) {
        Ok(value) => Ok(value),
        Err(Fail::Errno(errno)) => Err(errno),
        Err(fail) => panic!("{fail:?}"),
    }
}

fn put(current: &Current, at: u64, bytes: &[u8]) -> u64 {
    let mut with_nul = bytes.to_vec();
    with_nul.push(0);
    write_user(current, linker::addr::UserVa::new(at), &with_nul);
    at
}

fn get(current: &Current, at: u64, len: u64) -> Vec<u8> {
    read_user(current, linker::addr::UserVa::new(at), len as usize)
}

fn open(current: &mut Current, path: &[u8], flags: u32) -> Result<u64, Errno> {
    put(current, PATH, path);
    call(current, Sysno::openat, &[CWD, PATH, u64::from(flags), 0o644])
}

#[test]
fn a_program_can_write_seek_and_read() {
    let mut current = on_tmpfs();
    let fd = open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, DATA, b"hello");
    assert_eq!(call(&mut current, Sysno::write, &[fd, DATA, 5]), Ok(5));
    assert_eq!(call(&mut current, Sysno::lseek, &[fd, 1, u64::from(raw::SEEK_SET)]), Ok(1));
    assert_eq!(call(&mut current, Sysno::read, &[fd, DATA + 100, 50]), Ok(4));
    assert_eq!(get(&current, DATA + 100, 4), b"ello");
    assert_eq!(call(&mut current, Sysno::read, &[fd, DATA, 50]), Ok(0));
    assert_eq!(call(&mut current, Sysno::lseek, &[fd, -1i64 as u64, u64::from(raw::SEEK_SET)]), Err(Errno::EINVAL));
    assert_eq!(call(&mut current, Sysno::lseek, &[fd, 0, 9]), Err(Errno::EINVAL));
    assert_eq!(call(&mut current, Sysno::close, &[fd]), Ok(0));
    assert_eq!(call(&mut current, Sysno::close, &[fd]), Err(Errno::EBADF));
}

#[test]
fn access_modes_and_bad_pointers_are_checked() {
    let mut current = on_tmpfs();
    let fd = open(&mut current, b"/f", raw::O_CREAT | raw::O_WRONLY).expect("open");
    assert_eq!(call(&mut current, Sysno::read, &[fd, DATA, 1]), Err(Errno::EBADF));
    assert_eq!(call(&mut current, Sysno::write, &[fd, 8, 1]), Err(Errno::EFAULT));
    assert_eq!(call(&mut current, Sysno::openat, &[CWD, 8, 0, 0]), Err(Errno::EFAULT));
    let dir = open(&mut current, b"/", raw::O_RDONLY).expect("open");
    assert_eq!(call(&mut current, Sysno::read, &[dir, DATA, 1]), Err(Errno::EISDIR));
    assert_eq!(call(&mut current, Sysno::pread64, &[fd, DATA, 1, u64::MAX]), Err(Errno::EINVAL));
    let place = open(&mut current, b"/f", raw::O_PATH).expect("open");
    assert_eq!(call(&mut current, Sysno::read, &[place, DATA, 1]), Err(Errno::EBADF));
    assert_eq!(call(&mut current, Sysno::fchmod, &[place, 0]), Err(Errno::EBADF));
    assert_eq!(call(&mut current, Sysno::fstat, &[place, DATA]), Ok(0));
}

#[test]
fn vectors_are_gathered_and_too_many_pieces_are_refused() {
    let mut current = on_tmpfs();
    let fd = open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, DATA, b"abcdef");
    let vector: Vec<u8> = [DATA, 2, 0, 0, DATA + 4, 2].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    put(&current, OTHER, &vector);
    assert_eq!(call(&mut current, Sysno::writev, &[fd, OTHER, 3]), Ok(4));
    assert_eq!(call(&mut current, Sysno::preadv, &[fd, OTHER, 3, 2]), Ok(2));
    assert_eq!(get(&current, DATA, 6), b"efcdef");
    assert_eq!(call(&mut current, Sysno::readv, &[fd, OTHER, 1025]), Err(Errno::EINVAL));
}

#[test]
fn directories_are_listed_in_both_formats() {
    let mut current = on_tmpfs();
    open(&mut current, b"/name", raw::O_CREAT | raw::O_RDWR).expect("open");
    let dir = open(&mut current, b"/", raw::O_RDONLY | raw::O_DIRECTORY).expect("open");
    let len = call(&mut current, Sysno::getdents64, &[dir, DATA, 4096]).expect("entries");
    assert_eq!(len, 24 + 24 + 24);
    let bytes = get(&current, DATA, len);
    assert_eq!((&bytes[19..21], bytes[18]), (&b".\0"[..], raw::DT_DIR as u8));
    assert_eq!((&bytes[67..72], bytes[66]), (&b"name\0"[..], raw::DT_REG as u8));
    assert_eq!(call(&mut current, Sysno::getdents64, &[dir, DATA, 4096]), Ok(0));
    call(&mut current, Sysno::lseek, &[dir, 0, 0]).expect("rewound");
    assert_eq!(call(&mut current, Sysno::getdents64, &[dir, DATA, 8]), Err(Errno::EINVAL));
    let len = call(&mut current, Sysno::getdents, &[dir, DATA, 4096]).expect("entries");
    let bytes = get(&current, DATA, len);
    assert_eq!(u16::from_le_bytes([bytes[16], bytes[17]]), 24);
    assert_eq!((&bytes[18..20], bytes[23]), (&b".\0"[..], raw::DT_DIR as u8));
}

#[test]
fn descriptors_are_duplicated_and_closed_in_ranges() {
    let mut current = on_tmpfs();
    let fd = open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR | raw::O_CLOEXEC).expect("open");
    let dup = call(&mut current, Sysno::fcntl, &[fd, u64::from(raw::F_DUPFD), 10]).expect("dup");
    assert_eq!(dup, 10);
    assert_eq!(call(&mut current, Sysno::fcntl, &[fd, u64::from(raw::F_GETFD), 0]), Ok(1));
    assert_eq!(call(&mut current, Sysno::fcntl, &[dup, u64::from(raw::F_GETFD), 0]), Ok(0));
    assert_eq!(call(&mut current, Sysno::dup2, &[fd, fd]), Ok(fd));
    assert_eq!(call(&mut current, Sysno::dup3, &[fd, fd, 0]), Err(Errno::EINVAL));
    assert_eq!(call(&mut current, Sysno::dup2, &[fd, 1 << 20]), Err(Errno::EBADF));
    assert_eq!(call(&mut current, Sysno::dup2, &[fd, 7]), Ok(7));
    let flags = call(&mut current, Sysno::fcntl, &[7, u64::from(raw::F_GETFL), 0]).expect("flags");
    assert_eq!(flags, u64::from(raw::O_RDWR | raw::O_LARGEFILE));
    assert_eq!(call(&mut current, Sysno::close_range, &[7, u64::from(u32::MAX), 0]), Ok(0));
    assert_eq!(current.files.get(Fd::new(10)).err(), Some(Errno::EBADF));
    assert!(current.files.get(Fd::new(fd as i32)).is_ok());
}

#[test]
fn openat2_refuses_what_it_does_not_know() {
    let mut current = on_tmpfs();
    put(&current, PATH, b"/f");
    let mut how = |flags: u64, mode: u64, resolve: u64, size: u64| {
        let bytes: Vec<u8> = [flags, mode, resolve, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        put(&current, OTHER, &bytes);
        call(&mut current, Sysno::openat2, &[CWD, PATH, OTHER, size])
    };
    assert_eq!(how(u64::from(raw::O_RDONLY), 0o644, 0, 24), Err(Errno::EINVAL));
    assert_eq!(how(1 << 40, 0, 0, 24), Err(Errno::EINVAL));
    assert_eq!(how(0, 0, 1 << 20, 24), Err(Errno::EINVAL));
    assert_eq!(how(0, 0, 0, 16), Err(Errno::EINVAL));
    assert_eq!(how(0, 0, 0, 32), Err(Errno::ENOENT));
    assert_eq!(how(0, 0, 0, 5000), Err(Errno::E2BIG));
    assert!(how(u64::from(raw::O_CREAT | raw::O_RDWR), 0o644, 0, 32).is_ok());
}

#[test]
fn getcwd_says_where_the_thread_is() {
    let mut current = on_tmpfs();
    put(&current, PATH, b"/d");
    call(&mut current, Sysno::mkdir, &[PATH, 0o755]).expect("made");
    call(&mut current, Sysno::chdir, &[PATH]).expect("entered");
    assert_eq!(call(&mut current, Sysno::getcwd, &[DATA, 3]), Ok(3));
    assert_eq!(get(&current, DATA, 3), b"/d\0");
    assert_eq!(call(&mut current, Sysno::getcwd, &[DATA, 2]), Err(Errno::ERANGE));
    call(&mut current, Sysno::rmdir, &[PATH]).expect("removed");
    assert_eq!(call(&mut current, Sysno::getcwd, &[DATA, 9]), Err(Errno::ENOENT));
}

#[test]
fn bytes_go_from_file_to_file_inside() {
    let mut current = on_tmpfs();
    let from = open(&mut current, b"/a", raw::O_CREAT | raw::O_RDWR).expect("open");
    let to = open(&mut current, b"/b", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, DATA, b"0123456789");
    call(&mut current, Sysno::pwrite64, &[from, DATA, 10, 0]).expect("written");
    assert_eq!(call(&mut current, Sysno::sendfile, &[to, from, 0, 4]), Ok(4));
    put(&current, OTHER, &6u64.to_le_bytes());
    assert_eq!(call(&mut current, Sysno::sendfile, &[to, from, OTHER, 100]), Ok(4));
    assert_eq!(get(&current, OTHER, 8), 10u64.to_le_bytes());
    assert_eq!(call(&mut current, Sysno::copy_file_range, &[from, 0, to, 0, 3, 0]), Ok(3));
    assert_eq!(call(&mut current, Sysno::pread64, &[to, DATA, 50, 0]), Ok(11));
    assert_eq!(get(&current, DATA, 11), b"01236789456");
    assert_eq!(call(&mut current, Sysno::copy_file_range, &[from, 0, from, 0, 3, 0]), Err(Errno::EINVAL));
}

#[test]
fn times_are_set_as_asked() {
    let mut current = on_tmpfs();
    open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    let mut set = |nsec: u64| {
        let times: Vec<u8> = [5, 7, 9, nsec].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        put(&current, OTHER, &times);
        call(&mut current, Sysno::utimensat, &[CWD, PATH, OTHER, 0])
    };
    assert_eq!(set(1_000_000_000), Err(Errno::EINVAL));
    assert_eq!(set(u64::from(raw::UTIME_OMIT)), Ok(0));
    assert_eq!(set(11), Ok(0));
    call(&mut current, Sysno::stat, &[PATH, DATA]).expect("stat");
    let stat = get(&current, DATA, 144);
    let word = |at: usize| u64::from_le_bytes(stat[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!([word(72), word(80), word(88), word(96)], [5, 7, 9, 11]);
}

#[test]
fn mounts_come_and_go_and_busy_ones_stay() {
    let mut current = on_tmpfs();
    put(&current, PATH, b"/m");
    put(&current, OTHER, b"tmpfs");
    call(&mut current, Sysno::mkdir, &[PATH, 0o755]).expect("made");
    assert_eq!(call(&mut current, Sysno::umount2, &[PATH, 0]), Err(Errno::EINVAL));
    assert_eq!(call(&mut current, Sysno::mount, &[OTHER, PATH, OTHER, 0, 0]), Ok(0));
    let fd = open(&mut current, b"/m/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, PATH, b"/m");
    assert_eq!(call(&mut current, Sysno::umount2, &[PATH, 0]), Err(Errno::EBUSY));
    call(&mut current, Sysno::close, &[fd]).expect("closed");
    assert_eq!(call(&mut current, Sysno::umount2, &[PATH, 0]), Ok(0));
    put(&current, OTHER, b"nofs");
    assert_eq!(call(&mut current, Sysno::mount, &[OTHER, PATH, OTHER, 0, 0]), Err(Errno::ENODEV));
}

#[test]
fn extended_attributes_go_by_their_namespace() {
    let mut current = on_tmpfs();
    open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, DATA, b"value");
    let mut set = |name: &[u8], flags: u64| {
        put(&current, OTHER, name);
        call(&mut current, Sysno::setxattr, &[PATH, OTHER, DATA, 5, flags])
    };
    assert_eq!(set(b"user.a", 0), Ok(0));
    assert_eq!(set(b"user.a", u64::from(raw::XATTR_CREATE)), Err(Errno::EEXIST));
    assert_eq!(set(b"user.a", 4), Err(Errno::EINVAL));
    assert_eq!(set(b"other.a", 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(set(b"", 0), Err(Errno::ERANGE));
    put(&current, OTHER, b"user.a");
    assert_eq!(call(&mut current, Sysno::getxattr, &[PATH, OTHER, DATA, 0]), Ok(5));
    assert_eq!(call(&mut current, Sysno::getxattr, &[PATH, OTHER, DATA, 4]), Err(Errno::ERANGE));
    assert_eq!(call(&mut current, Sysno::listxattr, &[PATH, DATA, 100]), Ok(7));
    assert_eq!(call(&mut current, Sysno::removexattr, &[PATH, OTHER]), Ok(0));
    assert_eq!(call(&mut current, Sysno::getxattr, &[PATH, OTHER, DATA, 100]), Err(Errno::ENODATA));
}

#[test]
fn a_file_larger_than_the_limit_is_not_written() {
    let mut current = on_tmpfs();
    current.process.with_limits(|limits| limits.set(raw::RLIMIT_FSIZE, 10, 10));
    let fd = open(&mut current, b"/f", raw::O_CREAT | raw::O_RDWR).expect("open");
    put(&current, DATA, b"0123456789abcdef");
    assert_eq!(call(&mut current, Sysno::write, &[fd, DATA, 16]), Ok(10));
    assert_eq!(call(&mut current, Sysno::write, &[fd, DATA, 16]), Err(Errno::EFBIG));
    assert!(current.interrupted());
    assert_eq!(call(&mut current, Sysno::ftruncate, &[fd, 11]), Err(Errno::EFBIG));
}

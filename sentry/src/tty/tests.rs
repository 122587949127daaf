//! Pseudo-terminals end to end on the fake machine.

use super::device::PTS_MAJOR;
use crate::errno::Errno;
use crate::fake::{USER_MEMORY, current, read_user, write_user};
use crate::fs::{Inode, OpenFile, OpenFlags, Sink, Source};
use crate::signal::{Signal, SignalSet, pending_for, set_mask};
use crate::syscall::Fail;
use crate::task::Current;
use crate::wait::Events;
use linux_raw_sys::{general as raw, ioctl};
use std::sync::Arc;
use std::vec::Vec;

struct Pty {
    current: Current,
    root: Arc<dyn Inode>,
    master: Arc<OpenFile>,
    number: u32,
}

fn open(current: &Current, inode: Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
    let ops = inode.clone().open(current, flags)?;
    Ok(OpenFile::new(ops, flags, inode, None))
}

fn call(current: &Current, file: &OpenFile, command: u32, value: i32) -> Result<i32, Fail> {
    write_user(current, USER_MEMORY, &value.to_ne_bytes());
    file.ops().ioctl(current, file, command, USER_MEMORY.raw())?;
    Ok(i32::from_ne_bytes(read_user(current, USER_MEMORY, 4).try_into().unwrap()))
}

impl Pty {
    fn new() -> Self {
        let current = current();
        let root = super::new_devpts("mode=620,gid=5,ptmxmode=666").unwrap();
        let master = open(&current, root.lookup(b"ptmx").unwrap(), OpenFlags::RDWR).unwrap();
        let number = call(&current, &master, ioctl::TIOCGPTN, 0).unwrap().unsigned_abs();
        Self { current, root, master, number }
    }

    fn unlocked() -> Self {
        let pty = Self::new();
        call(&pty.current, &pty.master, ioctl::TIOCSPTLCK, 0).unwrap();
        pty
    }

    fn open_near(&self, flags: OpenFlags) -> Result<Arc<OpenFile>, Fail> {
        let name = std::format!("{}", self.number);
        open(&self.current, self.root.lookup(name.as_bytes()).map_err(Fail::Errno)?, flags)
    }

    fn write(&self, file: &OpenFile, bytes: &[u8]) -> Result<usize, Fail> {
        file.write(&self.current, &mut Source::kernel(bytes))
    }

    fn read(&self, file: &OpenFile) -> Result<Vec<u8>, Fail> {
        let mut buffer = [0; 256];
        let len = file.read(&self.current, &mut Sink::kernel(&mut buffer))?;
        Ok(buffer[..len].to_vec())
    }
}

fn errno<T>(result: Result<T, Fail>) -> Option<Errno> {
    match result {
        Err(Fail::Errno(errno)) => Some(errno),
        _ => None,
    }
}

#[test]
fn a_locked_terminal_cannot_be_opened() {
    let pty = Pty::new();
    assert_eq!(errno(pty.open_near(OpenFlags::RDWR)), Some(Errno::EIO));
    call(&pty.current, &pty.master, ioctl::TIOCSPTLCK, 0).unwrap();
    let near = pty.open_near(OpenFlags::RDWR).unwrap();
    let attr = near.inode().attr().unwrap();
    assert_eq!((attr.mode, attr.gid), (raw::S_IFCHR | 0o620, 5));
    assert_eq!(attr.rdev, u64::from(PTS_MAJOR) << 32 | u64::from(pty.number));
}

#[test]
fn lines_go_in_edited_and_echoed_and_output_comes_out_processed() {
    let pty = Pty::unlocked();
    let near = pty.open_near(OpenFlags::RDWR | OpenFlags::NOCTTY).unwrap();
    pty.write(&pty.master, b"ab\x7fc\r").unwrap();
    assert_eq!(pty.read(&near).unwrap(), b"ac\n");
    assert_eq!(pty.read(&pty.master).unwrap(), b"ab\x08 \x08c\r\n");
    pty.write(&near, b"hello\n").unwrap();
    assert!(pty.master.readiness(Events::IN).contains(Events::IN));
    assert_eq!(pty.read(&pty.master).unwrap(), b"hello\r\n");
}

#[test]
fn master_reads_the_rest_and_then_eio_after_the_last_close() {
    let pty = Pty::unlocked();
    pty.master.set_flags(OpenFlags::NONBLOCK);
    assert_eq!(errno(pty.read(&pty.master)), Some(Errno::EAGAIN));
    let near = pty.open_near(OpenFlags::RDWR | OpenFlags::NOCTTY).unwrap();
    pty.write(&near, b"bye").unwrap();
    drop(near);
    assert_eq!(pty.read(&pty.master).unwrap(), b"bye");
    assert_eq!(errno(pty.read(&pty.master)), Some(Errno::EIO));
    assert!(pty.master.readiness(Events::IN).contains(Events::HUP));
}

#[test]
fn closing_the_master_hangs_up_and_tells_the_session_leader() {
    let mut pty = Pty::unlocked();
    set_mask(&mut pty.current, SignalSet::of(&[Signal::SIGHUP]));
    let near = pty.open_near(OpenFlags::RDWR).unwrap();
    let foreground = call(&pty.current, &near, ioctl::TIOCGPGRP, 0).unwrap();
    assert_eq!(foreground.unsigned_abs(), pty.current.process.group().raw());
    let (current, root, number) = (pty.current, pty.root, pty.number);
    drop(pty.master);
    assert!(pending_for(&current.task).contains(Signal::SIGHUP));
    assert_eq!(near.read(&current, &mut Sink::kernel(&mut [0; 8])).unwrap(), 0);
    assert_eq!(errno(near.write(&current, &mut Source::kernel(b"x"))), Some(Errno::EIO));
    assert!(root.lookup(std::format!("{number}").as_bytes()).is_err());
}

#[test]
fn interrupt_character_reaches_the_foreground_group() {
    let mut pty = Pty::unlocked();
    set_mask(&mut pty.current, SignalSet::of(&[Signal::SIGINT]));
    let near = pty.open_near(OpenFlags::RDWR).unwrap();
    pty.write(&pty.master, b"\x03").unwrap();
    assert!(pending_for(&pty.current.task).contains(Signal::SIGINT));
    drop(near);
}

#[test]
fn resizing_sends_sigwinch_once() {
    let mut pty = Pty::unlocked();
    let near = pty.open_near(OpenFlags::RDWR).unwrap();
    set_mask(&mut pty.current, SignalSet::of(&[Signal::SIGWINCH]));
    let handler = crate::signal::SigAction { handler: 0x1000, flags: 0, restorer: 0, mask: 0 };
    crate::signal::set_action(&pty.current.process, Signal::SIGWINCH, Some(handler)).unwrap();
    write_user(&pty.current, USER_MEMORY, &[24, 0, 80, 0, 0, 0, 0, 0]);
    for expected in [true, false] {
        pty.master.ops().ioctl(&pty.current, &pty.master, ioctl::TIOCSWINSZ, USER_MEMORY.raw()).unwrap();
        let pending = crate::signal::dequeue(&pty.current.task, SignalSet::of(&[Signal::SIGWINCH]));
        assert_eq!(pending.is_some(), expected);
    }
    drop(near);
}

#[test]
fn packet_mode_prefixes_data_and_reports_flow_control() {
    let pty = Pty::unlocked();
    let near = pty.open_near(OpenFlags::RDWR | OpenFlags::NOCTTY).unwrap();
    call(&pty.current, &pty.master, ioctl::TIOCPKT, 1).unwrap();
    pty.write(&near, b"x").unwrap();
    assert_eq!(pty.read(&pty.master).unwrap(), b"\0x");
    pty.write(&pty.master, b"\x13").unwrap();
    assert_eq!(pty.read(&pty.master).unwrap(), [raw::TIOCPKT_STOP as u8]);
}

#[test]
fn raw_reads_honour_vmin_and_vtime() {
    let pty = Pty::unlocked();
    let near = pty.open_near(OpenFlags::RDWR | OpenFlags::NOCTTY).unwrap();
    let mut termios = {
        near.ops().ioctl(&pty.current, &near, ioctl::TCGETS, USER_MEMORY.raw()).unwrap();
        read_user(&pty.current, USER_MEMORY, 36)
    };
    let local = u32::from_ne_bytes(termios[12..16].try_into().unwrap());
    termios[12..16].copy_from_slice(&(local & !raw::ICANON).to_ne_bytes());
    let mut set = |min: u8, time: u8| {
        termios[17 + raw::VMIN as usize] = min;
        termios[17 + raw::VTIME as usize] = time;
        write_user(&pty.current, USER_MEMORY, &termios);
        near.ops().ioctl(&pty.current, &near, ioctl::TCSETS, USER_MEMORY.raw()).unwrap();
    };
    set(0, 0);
    assert_eq!(pty.read(&near).unwrap(), b"");
    set(0, 1);
    assert_eq!(pty.read(&near).unwrap(), b"");
    set(3, 1);
    pty.write(&pty.master, b"ab").unwrap();
    assert_eq!(pty.read(&near).unwrap(), b"ab", "the pause between bytes ends the read");
    pty.write(&pty.master, b"abcd").unwrap();
    assert_eq!(pty.read(&near).unwrap(), b"abcd");
}

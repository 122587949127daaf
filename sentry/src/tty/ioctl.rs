//! ioctl_tty(2).

use super::job::check_change;
use super::master::PtyMaster;
use super::session;
use super::terminal::Terminal;
use super::termios::{OLD, SHORT, Termios};
use crate::errno::Errno;
use crate::fs::{FdTable, OpenFile, OpenFlags, Path, open_at};
use crate::signal::{SigInfo, Signal, send_to_group};
use crate::syscall::{Fail, UserPtr};
use crate::task::{Cap, Current, Tid, registry};
use alloc::sync::Arc;
use linker::addr::UserVa;
use linux_raw_sys::{general as raw, ioctl as cmd};

fn at<T>(arg: u64) -> UserPtr<T> {
    UserPtr::new(UserVa::new(arg))
}

/// On a terminal's own side.
pub(super) fn terminal(
    current: &Current,
    file: &OpenFile,
    terminal: &Arc<Terminal>,
    command: u32,
    arg: u64,
) -> Result<u64, Fail> {
    if terminal.lock().hung_up {
        return Err(if command == cmd::TIOCSPGRP { Errno::ENOTTY.into() } else { Errno::EIO.into() });
    }
    match command {
        cmd::FIONREAD => {
            let bytes = terminal.lock().discipline.readable_bytes();
            at::<u32>(arg).write(current, &u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        cmd::TIOCSCTTY => {
            if !file.flags().readable() && !current.creds.has(Cap::SysAdmin) {
                return Err(Errno::EPERM.into());
            }
            session::acquire(current, terminal, arg == 1)?;
        }
        cmd::TIOCNOTTY => {
            if !session::controls(terminal, current) {
                return Err(Errno::ENOTTY.into());
            }
            session::release(current);
        }
        cmd::TIOCGPGRP | cmd::TIOCGSID if !session::controls(terminal, current) => {
            return Err(Errno::ENOTTY.into());
        }
        _ => return common(current, terminal, command, arg),
    }
    Ok(0)
}

/// On a pseudo-terminal's master.
pub(super) fn master(
    current: &Current,
    file: &OpenFile,
    master: &PtyMaster,
    command: u32,
    arg: u64,
) -> Result<u64, Fail> {
    let terminal = &master.terminal;
    match command {
        cmd::TIOCGPTN => at::<u32>(arg).write(current, &terminal.number())?,
        cmd::TIOCSPTLCK => {
            let lock = at::<i32>(arg).read(current)? != 0;
            terminal.lock().locked = lock;
        }
        cmd::TIOCGPTLCK => {
            let locked = terminal.lock().locked;
            at::<i32>(arg).write(current, &i32::from(locked))?;
        }
        cmd::TIOCGPTPEER => return open_peer(current, file, master, arg),
        cmd::TIOCPKT => {
            let on = at::<i32>(arg).read(current)? != 0;
            let mut state = terminal.lock();
            if on && !state.packet {
                state.packet_status = 0;
            }
            state.packet = on;
        }
        cmd::TIOCGPKT => {
            let on = terminal.lock().packet;
            at::<i32>(arg).write(current, &i32::from(on))?;
        }
        cmd::TIOCSIG => {
            let number = u32::try_from(arg).ok().and_then(Signal::new).ok_or(Errno::EINVAL)?;
            let group = terminal.lock().foreground;
            if let Some(group) = group {
                let _ = send_to_group(group, SigInfo::kernel(number));
            }
        }
        cmd::FIONREAD => {
            let bytes = terminal.lock().discipline.out().len();
            at::<u32>(arg).write(current, &u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        cmd::TIOCSCTTY | cmd::TIOCNOTTY => return Err(Errno::ENOTTY.into()),
        _ => return common(current, terminal, command, arg),
    }
    Ok(0)
}

/// What both sides answer alike: it is the terminal's own side that has attributes, size and job control.
fn common(current: &Current, terminal: &Arc<Terminal>, command: u32, arg: u64) -> Result<u64, Fail> {
    match command {
        cmd::TCGETS => {
            let termios = *terminal.lock().discipline.termios();
            at(arg).write(current, &termios.short())?;
        }
        cmd::TCGETS2 => {
            let termios = *terminal.lock().discipline.termios();
            at(arg).write(current, &termios)?;
        }
        cmd::TCSETS | cmd::TCSETSW | cmd::TCSETSF => {
            check_change(current, terminal, Signal::SIGTTOU)?;
            let wish = at::<[u8; SHORT]>(arg).read(current)?;
            set_termios(terminal, command == cmd::TCSETSF, |old| old.with_short(&wish));
        }
        cmd::TCSETS2 | cmd::TCSETSW2 | cmd::TCSETSF2 => {
            check_change(current, terminal, Signal::SIGTTOU)?;
            let wish = at::<Termios>(arg).read(current)?;
            set_termios(terminal, command == cmd::TCSETSF2, |_| wish.as_pseudo_terminal());
        }
        cmd::TCGETA => {
            let termios = *terminal.lock().discipline.termios();
            at(arg).write(current, &termios.old())?;
        }
        cmd::TCSETA | cmd::TCSETAW | cmd::TCSETAF => {
            check_change(current, terminal, Signal::SIGTTOU)?;
            let wish = at::<[u8; OLD]>(arg).read(current)?;
            set_termios(terminal, command == cmd::TCSETAF, |old| old.with_old(&wish));
        }
        cmd::TIOCGWINSZ => {
            let size = terminal.lock().size;
            at(arg).write(current, &size)?;
        }
        cmd::TIOCSWINSZ => terminal.resize(at::<[u16; 4]>(arg).read(current)?),
        cmd::TIOCGPGRP => {
            let group = terminal.lock().foreground;
            at(arg).write(current, &group.map_or(0, |group| current.shown(group).raw()))?;
        }
        cmd::TIOCSPGRP => set_foreground(current, terminal, at::<i32>(arg))?,
        cmd::TIOCGSID => {
            let session = terminal.lock().session.ok_or(Errno::ENOTTY)?;
            at(arg).write(current, &session.raw())?;
        }
        cmd::TCFLSH => {
            check_change(current, terminal, Signal::SIGTTOU)?;
            flush(terminal, arg)?;
        }
        cmd::TCXONC => {
            check_change(current, terminal, Signal::SIGTTOU)?;
            flow(terminal, arg)?;
        }
        // Nothing stays on a line, and nobody hears a break.
        cmd::TCSBRK | cmd::TCSBRKP => check_change(current, terminal, Signal::SIGTTOU)?,
        cmd::TIOCOUTQ => at::<u32>(arg).write(current, &0)?,
        // Typing for others is refused, as where dev.tty.legacy_tiocsti is 0.
        cmd::TIOCSTI => return Err(Errno::EIO.into()),
        cmd::TIOCEXCL | cmd::TIOCNXCL => terminal.lock().exclusive = command == cmd::TIOCEXCL,
        cmd::TIOCGEXCL => {
            let exclusive = terminal.lock().exclusive;
            at::<i32>(arg).write(current, &i32::from(exclusive))?;
        }
        // N_TTY (linux/tty.h) is the only line discipline.
        cmd::TIOCGETD => at::<i32>(arg).write(current, &0)?,
        cmd::TIOCSETD => {
            if at::<i32>(arg).read(current)? != 0 {
                return Err(Errno::EINVAL.into());
            }
        }
        cmd::TIOCGDEV => at::<u32>(arg).write(current, &(super::device::PTS_MAJOR << 8 | terminal.number()))?,
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

fn set_termios(terminal: &Terminal, flush: bool, change: impl FnOnce(Termios) -> Termios) {
    {
        let mut state = terminal.lock();
        if flush {
            state.discipline.flush_input();
        }
        let old = *state.discipline.termios();
        let new = change(old);
        state.discipline.set_termios(new);
        let stops = |termios: &Termios| {
            termios.input(raw::IXON) && termios.is(raw::VSTOP, 0x13) && termios.is(raw::VSTART, 0x11)
        };
        match (stops(&old), stops(&new)) {
            (true, false) => state.note_packet(raw::TIOCPKT_NOSTOP),
            (false, true) => state.note_packet(raw::TIOCPKT_DOSTOP),
            _ => {}
        }
    }
    // There may be room where there was none, and something to read where there was nothing.
    terminal.pump();
    terminal.changed();
}

/// TIOCSPGRP.
fn set_foreground(current: &Current, terminal: &Arc<Terminal>, arg: UserPtr<i32>) -> Result<(), Fail> {
    match check_change(current, terminal, Signal::SIGTTOU) {
        Err(Fail::Errno(Errno::EIO)) => return Err(Errno::ENOTTY.into()),
        result => result?,
    }
    let session = current.process.session();
    if !session::controls(terminal, current) || terminal.lock().session != Some(session) {
        return Err(Errno::ENOTTY.into());
    }
    let group = current.meant(Tid::new(u32::try_from(arg.read(current)?).map_err(|_| Errno::EINVAL)?));
    let members = registry().group(group);
    let first = members.first().ok_or(Errno::ESRCH)?;
    if first.session() != session {
        return Err(Errno::EPERM.into());
    }
    terminal.lock().foreground = Some(group);
    Ok(())
}

/// TCFLSH.
fn flush(terminal: &Terminal, which: u64) -> Result<(), Errno> {
    let which = u32::try_from(which).map_err(|_| Errno::EINVAL)?;
    let (input, output) = match which {
        raw::TCIFLUSH => (true, false),
        raw::TCOFLUSH => (false, true),
        raw::TCIOFLUSH => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    {
        let mut state = terminal.lock();
        if input {
            state.flush_input();
            state.note_packet(raw::TIOCPKT_FLUSHREAD);
        }
        if output {
            state.discipline.out().flush();
            state.note_packet(raw::TIOCPKT_FLUSHWRITE);
        }
    }
    terminal.changed();
    Ok(())
}

/// TCXONC.
fn flow(terminal: &Terminal, action: u64) -> Result<(), Errno> {
    {
        let mut state = terminal.lock();
        match u32::try_from(action).map_err(|_| Errno::EINVAL)? {
            raw::TCOOFF => {
                state.discipline.out().stop();
                state.note_packet(raw::TIOCPKT_STOP);
            }
            raw::TCOON => {
                state.discipline.out().start();
                state.note_packet(raw::TIOCPKT_START);
            }
            raw::TCIOFF => state.discipline.send_character(raw::VSTOP),
            raw::TCION => state.discipline.send_character(raw::VSTART),
            _ => return Err(Errno::EINVAL),
        }
    }
    terminal.flush();
    terminal.changed();
    Ok(())
}

/// TIOCGPTPEER: opens the other side without looking up its name.
fn open_peer(current: &Current, file: &OpenFile, master: &PtyMaster, flags: u64) -> Result<u64, Fail> {
    let flags = OpenFlags::from_bits_truncate(flags as u32);
    let name = alloc::format!("{}", master.terminal.number());
    // The master was opened as `ptmx` of the file system that has the other side.
    let mount = file.path().ok_or(Errno::EIO)?.mount().clone();
    let dentry = mount.root().child(name.as_bytes())?.ok_or(Errno::EIO)?;
    let peer = open_at(current, &Path::new(mount, dentry), flags)?;
    let limit = usize::try_from(current.process.soft_limit(raw::RLIMIT_NOFILE)).unwrap_or(usize::MAX);
    let files: &FdTable = &current.files;
    let fd = files.add(peer, flags.contains(OpenFlags::CLOEXEC), 0, limit)?;
    Ok(u64::from(fd.raw().unsigned_abs()))
}

//! Sessions and their controlling terminals.

use super::terminal::Terminal;
use crate::errno::Errno;
use crate::signal::{SigInfo, Signal, send_to_group, send_to_process};
use crate::sync::{Lock, Rank};
use crate::task::{Cap, Current, Process, Tid, registry};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

/// A session that has, or had, a controlling terminal.
#[derive(Default)]
struct Session {
    terminal: Option<Arc<Terminal>>,
    /// The foreground group when the terminal hung up: it hears of the leader's end.
    last_foreground: Option<Tid>,
    /// Members that gave the terminal up for themselves (TIOCNOTTY).
    without: BTreeSet<Tid>,
}

static SESSIONS: Lock<BTreeMap<Tid, Session>> = Lock::new(Rank::Tty, BTreeMap::new());

/// The caller's controlling terminal.
pub(super) fn controlling(process: &Process) -> Option<Arc<Terminal>> {
    let sessions = SESSIONS.lock();
    let session = sessions.get(&process.session())?;
    if session.without.contains(&process.pid()) { None } else { session.terminal.clone() }
}

/// Whether `terminal` controls the caller.
pub(super) fn controls(terminal: &Arc<Terminal>, current: &Current) -> bool {
    controlling(&current.process).is_some_and(|own| Arc::ptr_eq(&own, terminal))
}

/// The device number of a process's controlling terminal (major << 8 | minor, as `/proc/PID/stat` has it), 0 for none.
pub fn controlling_number(process: &Process) -> u32 {
    controlling(process).map_or(0, |terminal| super::device::PTS_MAJOR << 8 | terminal.number())
}

/// The foreground group of a process's controlling terminal, `None` for none (`tpgid` of `/proc/PID/stat`).
pub fn foreground_of(process: &Process) -> Option<Tid> {
    controlling(process).and_then(|terminal| terminal.lock().foreground)
}

/// Opening without O_NOCTTY: a session leader without a terminal gets one that controls no session yet.
pub(super) fn adopt(current: &Current, terminal: &Arc<Terminal>) {
    let _ = acquire(current, terminal, false);
}

/// TIOCSCTTY. EPERM where the caller is no session leader, has a terminal, or the terminal another session (root may steal it).
pub(super) fn acquire(current: &Current, terminal: &Arc<Terminal>, steal: bool) -> Result<(), Errno> {
    let process = &current.process;
    let id = process.session();
    let mut sessions = SESSIONS.lock();
    let own = sessions.get(&id).and_then(|session| session.terminal.as_ref());
    if process.is_session_leader() && own.is_some_and(|own| Arc::ptr_eq(own, terminal)) {
        return Ok(());
    }
    if !process.is_session_leader() || own.is_some() {
        return Err(Errno::EPERM);
    }
    let owner = terminal.lock().session;
    if let Some(owner) = owner {
        if !steal || !current.creds.has(Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if let Some(session) = sessions.get_mut(&owner) {
            session.terminal = None;
        }
    }
    sessions.insert(id, Session { terminal: Some(terminal.clone()), ..Session::default() });
    let mut state = terminal.lock();
    state.session = Some(id);
    state.foreground = Some(process.group());
    Ok(())
}

/// TIOCNOTTY. A leader takes the terminal from its whole session, whose foreground group gets SIGHUP and SIGCONT.
pub(super) fn release(current: &Current) {
    let process = &current.process;
    if !process.is_session_leader() {
        if let Some(session) = SESSIONS.lock().get_mut(&process.session()) {
            session.without.insert(process.pid());
        }
        return;
    }
    if let Some(group) = detach(process.session()) {
        let _ = send_to_group(group, SigInfo::kernel(Signal::SIGHUP));
        let _ = send_to_group(group, SigInfo::kernel(Signal::SIGCONT));
    }
}

/// A session leader is gone: the foreground group gets SIGHUP, and the terminal is free for another session.
pub fn session_leader_exit(process: &Process) {
    let id = process.session();
    let last_foreground = {
        let mut sessions = SESSIONS.lock();
        sessions.get_mut(&id).and_then(|session| session.last_foreground.take())
    };
    if let Some(group) = last_foreground {
        let _ = send_to_group(group, SigInfo::kernel(Signal::SIGHUP));
        let _ = send_to_group(group, SigInfo::kernel(Signal::SIGCONT));
    }
    if let Some(group) = detach(id) {
        let _ = send_to_group(group, SigInfo::kernel(Signal::SIGHUP));
    }
}

/// Parts a session from its terminal; the foreground group.
fn detach(id: Tid) -> Option<Tid> {
    let session = SESSIONS.lock().remove(&id)?;
    let terminal = session.terminal?;
    let mut state = terminal.lock();
    state.session = None;
    state.foreground.take()
}

/// A terminal hung up: its session has none any more, and the session's leader gets SIGHUP and SIGCONT.
pub(super) fn hung_up(terminal: &Terminal) {
    let leader = {
        let mut sessions = SESSIONS.lock();
        let mut state = terminal.lock();
        let foreground = state.foreground.take();
        let Some(id) = state.session.take() else { return };
        drop(state);
        if let Some(session) = sessions.get_mut(&id) {
            session.terminal = None;
            session.last_foreground = foreground;
        }
        id
    };
    if let Some(process) = registry().process(leader) {
        send_to_process(&process, SigInfo::kernel(Signal::SIGHUP));
        send_to_process(&process, SigInfo::kernel(Signal::SIGCONT));
    }
}

//! Restartable sequences (rseq(2)): the number of the thread's CPU in its own memory, and a way out of a piece of code that
//! another thread of the same CPU, a signal or a move to another CPU has interrupted.
//!
//! The platform says when a thread is about to go on elsewhere, or after others (`Trap::Moved`); a system call that ends on
//! the CPU where it began costs nothing, as no sequence may contain one.

use super::Current;
use crate::errno::Errno;
use crate::platform::platform;
use crate::signal::{self, SigInfo, Signal};
use crate::syscall::UserPtr;
use linker::addr::UserVa;
use linker::layout::USER_END;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of `struct rseq` as it was first (include/uapi/linux/rseq.h), with its padding, and its alignment.
pub const ORIGINAL_BYTES: u32 = 32;
/// RSEQ_CPU_ID_UNINITIALIZED (include/uapi/linux/rseq.h).
const UNINITIALIZED: u32 = u32::MAX;

/// Where a thread has its `struct rseq`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Its address.
    pub at: u64,
    /// Its length.
    pub len: u32,
    /// What stands before each abort handler.
    pub signature: u32,
}

/// The beginning of `struct rseq`: only its offsets are used.
#[allow(dead_code)]
#[repr(C)]
struct Area {
    cpu_id_start: u32,
    cpu_id: u32,
    sequence: u64,
    flags: u32,
}

/// `struct rseq_cs`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Sequence {
    version: u32,
    flags: u32,
    start: u64,
    length: u64,
    abort: u64,
}

const SEQUENCE_AT: u64 = core::mem::offset_of!(Area, sequence) as u64;
const FLAGS_AT: u64 = core::mem::offset_of!(Area, flags) as u64;
const _: () = assert!(SEQUENCE_AT == 8 && FLAGS_AT == 16 && size_of::<Sequence>() == 32);

/// Registers; the CPU's number is there when this returns.
pub fn register(current: &mut Current, new: Registration) -> Result<(), Errno> {
    if let Some(old) = current.rseq {
        return Err(match old {
            old if (old.at, old.len) != (new.at, new.len) => Errno::EINVAL,
            old if old.signature != new.signature => Errno::EPERM,
            _ => Errno::EBUSY,
        });
    }
    let aligned = new.at.is_multiple_of(u64::from(ORIGINAL_BYTES));
    if new.len < ORIGINAL_BYTES || !aligned {
        return Err(Errno::EINVAL);
    }
    if new.at.checked_add(u64::from(new.len)).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT);
    }
    // The thread may change CPUs before user mode sees the number, and is told then.
    platform().watch_moves(true);
    let done = write_word(current, new.at + SEQUENCE_AT, 0).and_then(|()| publish_cpu(current, new.at, this_cpu()));
    if done.is_err() {
        platform().watch_moves(false);
    }
    done?;
    current.rseq = Some(new);
    Ok(())
}

/// Takes a registration back.
pub fn unregister(current: &mut Current, given: Registration) -> Result<(), Errno> {
    let old = current.rseq.filter(|old| (old.at, old.len) == (given.at, given.len)).ok_or(Errno::EINVAL)?;
    if old.signature != given.signature {
        return Err(Errno::EPERM);
    }
    UserPtr::<[u32; 2]>::new(UserVa::new(old.at)).write(current, &[0, UNINITIALIZED])?;
    forget(current);
    Ok(())
}

/// Without a word to user memory: it is another program's now.
pub fn forget(current: &mut Current) {
    if current.rseq.take().is_some() {
        platform().watch_moves(false);
    }
}

/// A new thread that inherited a registration (fork) asks for itself.
pub fn started(current: &Current) {
    if current.rseq.is_some() {
        platform().watch_moves(true);
    }
}

/// The thread goes on elsewhere, or after others.
#[cold]
pub fn moved(current: &mut Current) {
    let Some(registration) = current.rseq else { return };
    let done = leave_sequence(current, registration).and_then(|()| publish_cpu(current, registration.at, this_cpu()));
    if done.is_err() {
        signal::force_fault(current, SigInfo::kernel(Signal::SIGSEGV));
    }
}

/// A signal's handler is about to run: the sequence is over. An error is for the caller to make SIGSEGV of.
pub fn interrupted(current: &mut Current) -> Result<(), Errno> {
    match current.rseq {
        Some(registration) => leave_sequence(current, registration),
        None => Ok(()),
    }
}

/// Where the thread is in a sequence, it goes on at its abort handler.
fn leave_sequence(current: &mut Current, registration: Registration) -> Result<(), Errno> {
    let pointer = UserPtr::<u64>::new(UserVa::new(registration.at + SEQUENCE_AT));
    let at = pointer.read(current)?;
    if at == 0 {
        return Ok(());
    }
    if at >= USER_END {
        return Err(Errno::EINVAL);
    }
    let sequence: Sequence = UserPtr::new(UserVa::new(at)).read(current)?;
    let end = sequence.start.checked_add(sequence.length).ok_or(Errno::EINVAL)?;
    let within = |address| (sequence.start..end).contains(&address);
    if sequence.version != 0 || end > USER_END || sequence.abort >= USER_END || within(sequence.abort) {
        return Err(Errno::EINVAL);
    }
    let flags: u32 = UserPtr::new(UserVa::new(registration.at + FLAGS_AT)).read(current)?;
    if flags != 0 || sequence.flags != 0 {
        return Err(Errno::EINVAL);
    }
    if !within(current.regs.rip) {
        // It has left by itself; the pointer may become stale.
        return pointer.write(current, &0);
    }
    let before = sequence.abort.checked_sub(size_of::<u32>() as u64).ok_or(Errno::EINVAL)?;
    let signature: u32 = UserPtr::new(UserVa::new(before)).read(current)?;
    if signature != registration.signature {
        return Err(Errno::EINVAL);
    }
    pointer.write(current, &0)?;
    current.regs.rip = sequence.abort;
    Ok(())
}

/// Writes the number, as `cpu_id_start` and as `cpu_id`.
fn publish_cpu(current: &Current, at: u64, cpu: u32) -> Result<(), Errno> {
    UserPtr::<[u32; 2]>::new(UserVa::new(at)).write(current, &[cpu, cpu])
}

fn write_word(current: &Current, at: u64, value: u64) -> Result<(), Errno> {
    UserPtr::<u64>::new(UserVa::new(at)).write(current, &value)
}

fn this_cpu() -> u32 {
    platform().current_thread().cpu() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{USER_MEMORY, current, read_user, write_user};

    const SIGNATURE: u32 = 0x5305_3053;

    fn registered() -> (Current, Registration) {
        let mut current = current();
        let new = Registration { at: USER_MEMORY.raw(), len: ORIGINAL_BYTES, signature: SIGNATURE };
        register(&mut current, new).unwrap();
        (current, new)
    }

    fn user(offset: u64) -> UserVa {
        UserVa::new(USER_MEMORY.raw() + offset)
    }

    /// A sequence at `USER_MEMORY` + 64: code from 0x40_0000 on, 16 bytes, handler at `USER_MEMORY` + 260.
    fn enter(current: &mut Current, signature: u32) {
        let abort = user(260);
        let sequence = Sequence { version: 0, flags: 0, start: 0x40_0000, length: 16, abort: abort.raw() };
        write_user(current, user(64), sequence.as_bytes());
        write_user(current, user(256), &signature.to_ne_bytes());
        write_user(current, user(8), &user(64).raw().to_ne_bytes());
    }

    #[test]
    fn registration_is_refused_as_by_linux() {
        let (mut current, new) = registered();
        assert_eq!(register(&mut current, new), Err(Errno::EBUSY));
        assert_eq!(register(&mut current, Registration { signature: 1, ..new }), Err(Errno::EPERM));
        assert_eq!(register(&mut current, Registration { len: 64, ..new }), Err(Errno::EINVAL));
        assert_eq!(unregister(&mut current, Registration { signature: 1, ..new }), Err(Errno::EPERM));
        assert_eq!(unregister(&mut current, new), Ok(()));
        assert_eq!(read_user(&current, user(4), 4), UNINITIALIZED.to_ne_bytes());
        assert_eq!(unregister(&mut current, new), Err(Errno::EINVAL));
        assert_eq!(register(&mut current, Registration { at: new.at + 8, ..new }), Err(Errno::EINVAL));
        assert_eq!(register(&mut current, Registration { at: USER_END, ..new }), Err(Errno::EFAULT));
    }

    #[test]
    fn a_thread_that_moves_within_a_sequence_goes_on_at_its_handler() {
        let (mut current, _) = registered();
        enter(&mut current, SIGNATURE);
        current.regs.rip = 0x40_0008;
        moved(&mut current);
        assert_eq!(current.regs.rip, user(260).raw());
        assert_eq!(read_user(&current, user(8), 8), [0; 8]);
    }

    #[test]
    fn a_thread_behind_its_sequence_goes_on_where_it_is() {
        let (mut current, _) = registered();
        enter(&mut current, SIGNATURE);
        current.regs.rip = 0x40_0010;
        moved(&mut current);
        assert_eq!(current.regs.rip, 0x40_0010);
        assert_eq!(read_user(&current, user(8), 8), [0; 8]);
    }

    #[test]
    fn a_handler_without_the_signature_is_a_fault() {
        let (mut current, _) = registered();
        enter(&mut current, SIGNATURE + 1);
        current.regs.rip = 0x40_0008;
        assert_eq!(interrupted(&mut current), Err(Errno::EINVAL));
    }
}

//! execve's memory part: a new address space with program, interpreter, stack and vDSO.

use super::AddressSpace;
use crate::errno::Errno;
use crate::fs::OpenFile;
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::addr::UserVa;

/// What the program is given.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The name it was started by, as execve got it: AT_EXECFN, and a script's argument.
    pub file_name: Vec<u8>,
    /// Arguments, without their NULs.
    pub argv: Vec<Vec<u8>>,
    /// Environment, without NULs.
    pub envp: Vec<Vec<u8>>,
}

/// Who the program will be, for its auxiliary vector.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Identity {
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub egid: u32,
    /// AT_SECURE: set-id bits or capabilities took effect.
    pub secure: bool,
}

/// A loaded program, not running yet.
pub struct Image {
    /// Its memory.
    pub mm: Arc<AddressSpace>,
    /// Where it starts (in its interpreter, if it has one).
    pub entry: UserVa,
    /// Its first stack pointer.
    pub stack_pointer: UserVa,
    /// The program's file: for a script its interpreter (`/proc/PID/exe`).
    pub executable: Arc<OpenFile>,
}

/// Loads `file`, which the caller opened and whose execute permission it checked; `#!` scripts are resolved here. `identify`
/// is called once, with the final program's file, to say who it will be (set-id bits). Nothing of `current` changes.
///
/// Errors are execve(2)'s: ENOEXEC, ELIBBAD, EINVAL, E2BIG, ENOMEM, ELOOP, and what opening an interpreter gives.
pub fn load(
    _current: &Current,
    _file: &Arc<OpenFile>,
    _arguments: Arguments,
    _identify: impl FnOnce(&Arc<OpenFile>) -> Result<Identity, Errno>,
) -> Result<Image, Errno> {
    Err(Errno::ENOEXEC)
}

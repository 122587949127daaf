//! execve's memory part: a new address space with program, interpreter, stack and vDSO.
//!
//! `load` follows `#!` lines to a program, `place` decides and maps where its segments go, `stack` writes what it finds on its
//! stack. Everything happens in a new address space, through its frames, so a failure leaves the caller as it was.

mod place;
mod stack;
#[cfg(test)]
mod tests;

use super::{AddressSpace, Bounds, Mapping};
use crate::errno::Errno;
use crate::fs::text::Claim;
use crate::fs::{OpenFile, Sink, open_exec};
use crate::task::{Current, Limits};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use loader::elf::{self, Header, Plan};
use loader::script;

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

/// Why there is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// execve(2) says so, and the caller goes on.
    Refused(Errno),
    /// The headers are sound, but not what they describe. Linux finds out when the old program is gone already, and the process
    /// dies of SIGSEGV.
    Broken(Errno),
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Scripts whose interpreter is a script, at most (Linux's `exec_binprm`).
const MAX_DEPTH: usize = 5;

/// One ELF file on its way to memory.
struct Program {
    file: Arc<OpenFile>,
    mapping: Arc<Mapping>,
    plan: Plan,
}

/// Loads `file`, which the caller opened and whose execute permission it checked; `#!` scripts are resolved here. `identify`
/// is called once, with the final program's file, to say who it will be (set-id bits). Nothing of `current` changes.
///
/// Errors that are refused are execve(2)'s: ENOEXEC, ELIBBAD, E2BIG, ELOOP, and what opening an interpreter gives.
pub fn load(
    current: &Current,
    file: &Arc<OpenFile>,
    arguments: Arguments,
    identify: impl FnOnce(&Arc<OpenFile>) -> Result<Identity, Errno>,
) -> Result<Image, LoadError> {
    let mut arguments = arguments;
    if arguments.argv.is_empty() {
        // As Linux since 5.18: a program can rely on argv[0].
        arguments.argv.push(Vec::new());
    }
    // Too much is refused before anything is read.
    let limits = current.process.limits();
    let stack_limit = Bounds::new(&limits, false).stack;
    stack::check(&arguments, stack_limit)?;
    let program = resolve(current, file, &mut arguments)?;
    stack::check(&arguments, stack_limit)?;
    let interpreter = program.interpreter(current)?;
    let identity = identify(&program.file)?;
    let text = runnable(&program.file)?;
    let image = place(current, &limits, program, interpreter, &arguments, identity).map_err(LoadError::Broken)?;
    if let Some(text) = text {
        image.mm.runs(Arc::new(text));
    }
    Ok(image)
}

/// Maps everything and fills the stack.
fn place(
    current: &Current,
    limits: &Limits,
    program: Program,
    interpreter: Option<Program>,
    arguments: &Arguments,
    identity: Identity,
) -> Result<Image, Errno> {
    let mut placer = place::Placer::new(current, limits)?;
    let placed = placer.program(&program, interpreter.is_some())?;
    let interpreter = match &interpreter {
        Some(interpreter) => Some(placer.interpreter(interpreter)?),
        None => None,
    };
    let vdso = placer.vdso()?;
    placer.start_heap(&program, &placed, interpreter.is_some());
    let auxiliary =
        stack::Auxiliary { program: &program, placed: &placed, interpreter: interpreter.as_ref(), vdso, identity };
    let stack_pointer = stack::write(&placer, arguments, &auxiliary)?;
    let entry = interpreter.as_ref().map_or(placed.entry, |interpreter| interpreter.entry);
    Ok(Image { mm: placer.finish(), entry: UserVa::new(entry), stack_pointer, executable: program.file })
}

/// The claim on a program's file; none on one that never had a name (memfd).
fn runnable(file: &Arc<OpenFile>) -> Result<Option<Claim>, Errno> {
    match file.path() {
        Some(path) if !path.dentry().is_unnamed() => Claim::to_run(file.inode()).map(Some),
        _ => Ok(None),
    }
}

/// Reads up to `len` bytes of a file; fewer at its end.
fn read(mapping: &Mapping, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let done = mapping.read(&mut Sink::kernel(&mut bytes), offset)?;
    bytes.truncate(done);
    Ok(bytes)
}

/// Follows `#!` lines until an ELF program comes.
fn resolve(current: &Current, file: &Arc<OpenFile>, arguments: &mut Arguments) -> Result<Program, LoadError> {
    let mut file = file.clone();
    let mut name = arguments.file_name.clone();
    for _ in 0..=MAX_DEPTH {
        let mapping = file.inode().mapping().map_err(|_| Errno::EACCES)?;
        let first = read(&mapping, 0, script::FIRST_BYTES)?;
        let Some(script) = script::parse(&first) else {
            let plan = plan(&mapping, &first).map_err(|error| error.program())?;
            return Ok(Program { file, mapping, plan });
        };
        let script = script.ok_or(Errno::ENOEXEC)?;
        let mut argv = vec![script.interpreter.to_vec()];
        argv.extend(script.argument.map(<[u8]>::to_vec));
        argv.push(core::mem::replace(&mut name, script.interpreter.to_vec()));
        argv.extend(arguments.argv.drain(1..));
        arguments.argv = argv;
        (file, _) = open_exec(current, script.interpreter)?;
    }
    Err(Errno::ELOOP.into())
}

/// Why there is no plan.
enum PlanError {
    Elf(elf::Error),
    Io(Errno),
}

impl PlanError {
    fn program(self) -> LoadError {
        match self {
            Self::Elf(error) if error.is_late() => LoadError::Broken(Errno::EINVAL),
            Self::Elf(_) => LoadError::Refused(Errno::ENOEXEC),
            Self::Io(errno) => LoadError::Refused(errno),
        }
    }

    fn interpreter(self) -> LoadError {
        match self {
            Self::Elf(error) if error.is_late() => LoadError::Broken(Errno::EINVAL),
            Self::Elf(_) => LoadError::Refused(Errno::ELIBBAD),
            Self::Io(errno) => LoadError::Refused(errno),
        }
    }
}

fn plan(mapping: &Mapping, first: &[u8]) -> Result<Plan, PlanError> {
    let header = Header::parse(first).map_err(PlanError::Elf)?;
    let (offset, len) = header.table();
    let table = read(mapping, offset, len).map_err(PlanError::Io)?;
    Plan::new(&header, &table).map_err(PlanError::Elf)
}

impl Program {
    /// Opens and reads the interpreter that the program names.
    fn interpreter(&self, current: &Current) -> Result<Option<Program>, LoadError> {
        let Some(range) = &self.plan.interpreter else { return Ok(None) };
        let len = usize::try_from(range.end - range.start).map_err(|_| Errno::ENOEXEC)?;
        let bytes = read(&self.mapping, range.start, len)?;
        if bytes.len() < len {
            return Err(Errno::EIO.into());
        }
        let name = Plan::interpreter_name(&bytes).map_err(|_| Errno::ENOEXEC)?;
        let (file, _) = open_exec(current, name)?;
        let mapping = file.inode().mapping().map_err(|_| Errno::EACCES)?;
        let first = read(&mapping, 0, elf::HEADER_BYTES)?;
        let plan = plan(&mapping, &first).map_err(PlanError::interpreter)?;
        Ok(Some(Program { file, mapping, plan }))
    }
}

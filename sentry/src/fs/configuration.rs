//! File systems in the making: fsopen(2) begins one, fspick(2) takes up one that is mounted, fsconfig(2) says what it shall be
//! like, fsmount(2) mounts it where nobody sees it yet (`detached`). What was wrong can be read from the descriptor.

use super::anon::AnonInode;
use super::io::Sink;
use super::mount::{FileSystem, FsInfo, MountFlags};
use super::open_file::{FileOps, OpenFile, OpenFlags};
use super::path::Path;
use super::tmpfs::{Options, TmpInode};
use super::{detached, new_file_system};
use crate::errno::Errno;
use crate::sync::SleepLock;
use crate::syscall::Fail;
use crate::task::Current;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

/// Messages kept for a reader; the oldest go first (Linux keeps as many).
const MESSAGES: usize = 8;
/// Bytes of options at most, as of mount(2)'s.
const ROOM: usize = linker::layout::PAGE_SIZE as usize;

/// The file behind the descriptor.
pub struct Configuration {
    kind: String,
    state: SleepLock<State>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Takes parameters for a new file system.
    Create,
    /// The file system is there and waits for its mount.
    Made,
    /// Takes parameters for changing it.
    Change,
    Failed,
}

struct State {
    phase: Phase,
    options: String,
    source: Option<String>,
    read_only: Option<bool>,
    subject: Option<Arc<FileSystem>>,
    messages: VecDeque<String>,
}

impl Configuration {
    /// A descriptor's file for a new file system. ENODEV where there is none of that name.
    pub fn open(kind: String) -> Result<Arc<OpenFile>, Errno> {
        if parameters(&kind).is_none() {
            return Err(Errno::ENODEV);
        }
        Ok(Self::file(kind, Phase::Create, None))
    }

    /// One for the file system that is mounted at `place`.
    pub fn pick(place: &Path) -> Result<Arc<OpenFile>, Errno> {
        let mount = place.mount();
        if !Arc::ptr_eq(mount.root(), place.dentry()) {
            return Err(Errno::EINVAL);
        }
        let subject = mount.file_system().clone();
        Ok(Self::file(mount.info().kind.clone(), Phase::Change, Some(subject)))
    }

    fn file(kind: String, phase: Phase, subject: Option<Arc<FileSystem>>) -> Arc<OpenFile> {
        let (options, messages) = (String::new(), VecDeque::new());
        let state = State { phase, options, source: None, read_only: None, subject, messages };
        let configuration = Self { kind, state: SleepLock::new(state) };
        OpenFile::new(Arc::new(configuration), OpenFlags::RDWR, AnonInode::anonymous("[fscontext]"), None)
    }

    /// Takes a parameter: a flag, or a key with its value.
    pub fn set(&self, key: &str, value: Option<&str>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Create | Phase::Change) {
            return Err(Errno::EBUSY);
        }
        match key {
            "ro" => state.read_only = Some(true),
            "rw" => state.read_only = Some(false),
            // There is no medium to be in step with, and no mandatory locking.
            "sync" | "async" | "dirsync" | "lazytime" | "nolazytime" | "mand" | "nomand" => {}
            "source" => {
                let Some(source) = value else { return Err(state.refuse(&self.kind, "Non-string source")) };
                if state.source.is_some() {
                    return Err(state.refuse(&self.kind, "Multiple sources"));
                }
                state.source = Some(source.into());
            }
            _ => self.set_own(&mut state, key, value)?,
        }
        Ok(())
    }

    /// A parameter of the file system's own.
    fn set_own(&self, state: &mut State, key: &str, value: Option<&str>) -> Result<(), Errno> {
        let known = parameters(&self.kind).unwrap_or_default();
        let Some((_, valued)) = known.iter().find(|(name, _)| *name == key) else {
            return Err(state.refuse(&self.kind, &format!("Unknown parameter '{key}'")));
        };
        let text = match value {
            Some(value) => format!("{key}={value}"),
            None => String::from(key),
        };
        let tmpfs = matches!(self.kind.as_str(), "tmpfs" | "devtmpfs");
        let sound = *valued == value.is_some() && !text.contains(',') && (!tmpfs || Options::parse(&text).is_ok());
        if !sound {
            return Err(state.refuse(&self.kind, &format!("Bad value for '{key}'")));
        }
        if state.options.len() + text.len() >= ROOM {
            return Err(state.refuse(&self.kind, "Cumulative options too large"));
        }
        if !state.options.is_empty() {
            state.options.push(',');
        }
        state.options.push_str(&text);
        Ok(())
    }

    /// Makes the file system (FSCONFIG_CMD_CREATE).
    pub fn create(&self, current: &Current) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.phase != Phase::Create {
            return Err(Errno::EBUSY);
        }
        let made = new_file_system(Some(current), &self.kind, &state.options);
        let root = made.inspect_err(|_| state.phase = Phase::Failed)?;
        let options = if self.kind == "tmpfs" { Options::show(&state.options) } else { state.options.clone() };
        let source = state.source.take().unwrap_or_default();
        let read_only = state.read_only == Some(true);
        let info = FsInfo { kind: self.kind.clone(), source, options, read_only };
        state.subject = Some(FileSystem::new(root, info));
        state.phase = Phase::Made;
        Ok(())
    }

    /// Changes the file system (FSCONFIG_CMD_RECONFIGURE).
    pub fn change(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let Some(file_system) = state.subject.clone().filter(|_| state.phase == Phase::Change) else {
            return Err(Errno::EBUSY);
        };
        if !state.options.is_empty()
            && let Some(tmpfs) = file_system.root().inode().as_any().downcast_ref::<TmpInode>()
        {
            let changed = Options::parse(&state.options).and_then(|options| tmpfs.set_limits(&options));
            changed.inspect_err(|_| state.phase = Phase::Failed)?;
        }
        if let Some(read_only) = state.read_only.take() {
            file_system.set_read_only(read_only);
        }
        state.options.clear();
        Ok(())
    }

    /// Mounts it, in no namespace.
    pub fn mount(&self, flags: MountFlags) -> Result<Path, Errno> {
        let mut state = self.state.lock();
        let file_system = state.subject.clone().ok_or(Errno::EINVAL)?;
        if state.phase != Phase::Made {
            return Err(Errno::EBUSY);
        }
        state.phase = Phase::Change;
        state.options.clear();
        state.read_only = None;
        Ok(detached::mount(flags, file_system))
    }
}

impl State {
    /// Notes why, and is the errno.
    fn refuse(&mut self, kind: &str, why: &str) -> Errno {
        if self.messages.len() == MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(format!("e {kind}: {why}\n"));
        Errno::EINVAL
    }
}

impl FileOps for Configuration {
    /// The oldest message, whole.
    fn read(&self, _: &Current, _: &OpenFile, sink: &mut Sink<'_>, _: u64) -> Result<usize, Fail> {
        let message = {
            let mut state = self.state.lock();
            if state.messages.front().ok_or(Errno::ENODATA)?.len() > sink.left() {
                return Err(Errno::EMSGSIZE.into());
            }
            state.messages.pop_front().unwrap_or_default()
        };
        Ok(sink.put(message.as_bytes())?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The parameters that a kind of file system has, and whether each wants a value.
fn parameters(kind: &str) -> Option<&'static [(&'static str, bool)]> {
    const TMPFS: &[(&str, bool)] = &[
        ("size", true),
        ("nr_blocks", true),
        ("nr_inodes", true),
        ("mode", true),
        ("uid", true),
        ("gid", true),
        ("huge", true),
        ("mpol", true),
        ("inode32", false),
        ("inode64", false),
        ("noswap", false),
    ];
    const CGROUP: &[(&str, bool)] = &[
        ("nsdelegate", false),
        ("favordynmods", false),
        ("memory_localevents", false),
        ("memory_recursiveprot", false),
    ];
    const DEVPTS: &[(&str, bool)] =
        &[("uid", true), ("gid", true), ("mode", true), ("ptmxmode", true), ("max", true), ("newinstance", false)];
    match kind {
        "tmpfs" | "devtmpfs" => Some(TMPFS),
        "proc" => Some(&[("hidepid", true), ("gid", true), ("subset", true)]),
        "devpts" => Some(DEVPTS),
        "cgroup2" => Some(CGROUP),
        "sysfs" | "mqueue" => Some(&[]),
        _ => None,
    }
}

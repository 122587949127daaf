//! What is known about a container on disk: `<root>/<id>/state.json`, replaced as a whole, under a lock on the directory.
//!
//! The lock is flock(2) on the directory itself: it goes with its holder, however that ends, and needs no file of its own.

use crate::container::cgroup::Cgroup;
use crate::container::{Error, call, file, said};
use oci_spec::runtime::{Hooks, Process};
use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const FILE: &str = "state.json";
const NEW_FILE: &str = "state.json.new";
/// Name of the monitor's socket in the directory.
const SOCKET: &str = "control";

/// How far a container has come, as far as the disk says. Whether its monitor still lives is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// `create` is at it, or was.
    Creating,
    /// Set up, waiting for `start`.
    Created,
    /// Started.
    Running,
}

/// The contents of `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// From `config.json`.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// The container's name.
    pub id: String,
    /// How far it has come.
    pub stage: Stage,
    /// Its monitor, 0 before there is one.
    pub pid: i32,
    /// When that process started, in ticks, so that a later process of the same number is not taken for it.
    pub start_time: u64,
    /// Absolute.
    pub bundle: PathBuf,
    /// Absolute.
    pub rootfs: PathBuf,
    /// RFC 3339.
    pub created: String,
    /// Host user who created it.
    pub owner: u32,
    /// From `config.json`.
    pub annotations: HashMap<String, String>,
    /// Where its processes are accounted.
    pub cgroup: Cgroup,
    /// From `config.json`: `exec` takes what it is not told from here.
    pub process: Option<Process>,
    /// personality(2) of its programs.
    #[serde(default)]
    pub personality: u32,
    /// It is one of a pod's further containers.
    #[serde(default)]
    pub in_pod: bool,
    /// From `config.json`: the bundle may be gone when they are due.
    pub hooks: Option<Hooks>,
}

/// A container's directory, locked while this lives.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// Refuses names that are no file name.
pub fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    match !id.is_empty() && id != "." && id != ".." && id.len() <= 255 && id.chars().all(allowed) {
        true => Ok(()),
        false => Err(said("invalid container ID format")),
    }
}

impl Directory {
    /// Makes the directory of a new container.
    pub fn create(root: &Path, id: &str) -> Result<Self, Error> {
        check_id(id)?;
        let private = Mode::RWXU;
        std::fs::create_dir_all(root).map_err(file(root))?;
        let path = root.join(id);
        rustix::fs::mkdir(&path, private).map_err(|errno| match errno {
            Errno::EXIST => said("container with given ID already exists"),
            errno => call(path.display().to_string())(errno),
        })?;
        match Self::open(root, id) {
            Ok(directory) => Ok(directory),
            Err(error) => {
                let _ = std::fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Opens and locks the directory of a container; waits for whoever has it locked.
    pub fn open(root: &Path, id: &str) -> Result<Self, Error> {
        check_id(id)?;
        let path = root.join(id);
        let absent = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR => said("container does not exist"),
            errno => call(path.display().to_string())(errno),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(absent)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::LockExclusive)).map_err(call("flock"))?;
        // Whoever had it may have deleted it, and somebody else may have made it anew.
        let (ours, now) = (rustix::fs::fstat(&fd), rustix::fs::lstat(&path));
        match (ours, now) {
            (Ok(ours), Ok(now)) if ours.st_ino == now.st_ino && ours.st_dev == now.st_dev => Ok(Self { fd, path }),
            _ => Err(said("container does not exist")),
        }
    }

    /// Reads the state. `None` when a `create` ended before it wrote any.
    pub fn load(&self) -> Result<Option<State>, Error> {
        let path = self.path.join(FILE);
        let fd = match rustix::fs::openat(&self.fd, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(call(path.display().to_string())(errno)),
        };
        let mut text = Vec::new();
        std::fs::File::from(fd).read_to_end(&mut text).map_err(file(&path))?;
        match serde_json::from_slice(&text) {
            Ok(state) => Ok(Some(state)),
            Err(error) => Err(said(format!("{}: {error}", path.display()))),
        }
    }

    /// Reads the state of a container that a verb is about.
    pub fn state(&self) -> Result<State, Error> {
        self.load()?.ok_or_else(|| said("container does not exist"))
    }

    /// Replaces the state.
    pub fn store(&self, state: &State) -> Result<(), Error> {
        let path = self.path.join(FILE);
        let text = serde_json::to_vec(state).map_err(|error| said(format!("{}: {error}", path.display())))?;
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
        let new = rustix::fs::openat(&self.fd, NEW_FILE, flags, Mode::RUSR | Mode::WUSR);
        let mut new = std::fs::File::from(new.map_err(call(path.display().to_string()))?);
        new.write_all(&text).map_err(file(&path))?;
        rustix::fs::renameat_with(&self.fd, NEW_FILE, &self.fd, FILE, RenameFlags::empty())
            .map_err(call(path.display().to_string()))
    }

    /// The path of the monitor's socket: by descriptor, for the path itself may be longer than a socket's address.
    pub fn socket_path(&self) -> String {
        format!("/proc/self/fd/{}/{SOCKET}", self.fd.as_raw_fd())
    }

    /// Removes the directory and what is in it.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.path).map_err(file(&self.path))
    }

    /// Lets others at it.
    pub fn unlock(&self) {
        let _ = rustix::fs::flock(&self.fd, FlockOperation::Unlock);
    }
}

/// The containers there are, in the order of their names.
pub fn all(root: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file(root)(error)),
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_id(name).is_ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The state directory when none is named.
pub fn default_root() -> PathBuf {
    match (rustix::process::geteuid().is_root(), std::env::var_os("XDG_RUNTIME_DIR")) {
        (false, Some(directory)) if !directory.is_empty() => Path::new(&directory).join("ringwall"),
        _ => PathBuf::from("/run/ringwall"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name() {
        assert!(check_id("a_b+c-d.e").is_ok());
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let root = tempfile::tempdir().expect("directory");
        let first = Directory::create(root.path(), "a").expect("made");
        let second = Directory::create(root.path(), "a").expect_err("refused");
        assert_eq!(second.to_string(), "container with given ID already exists");
        assert!(first.load().expect("read").is_none());
        first.remove().expect("removed");
        let gone = Directory::open(root.path(), "a").expect_err("refused");
        assert_eq!(gone.to_string(), "container does not exist");
    }

    #[test]
    fn who_waited_for_a_deleted_container_is_told_so() {
        let root = tempfile::tempdir().expect("directory");
        let first = Directory::create(root.path(), "a").expect("made");
        let path = root.path().to_path_buf();
        let waiting = std::thread::spawn(move || Directory::open(&path, "a").map(drop).map_err(|e| e.to_string()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        first.remove().expect("removed");
        assert_eq!(waiting.join().expect("ended"), Err("container does not exist".into()));
    }

    #[test]
    fn a_state_that_is_not_json_is_an_error() {
        let root = tempfile::tempdir().expect("directory");
        let directory = Directory::create(root.path(), "a").expect("made");
        std::fs::write(root.path().join("a/state.json"), b"{\"id\":").expect("written");
        assert!(directory.load().expect_err("refused").to_string().contains("state.json"));
    }
}

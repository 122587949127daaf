//! The files of one running machine, gone when it has ended; several machines may run at once.

use crate::project;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of its own in the temporary directory.
pub struct Session {
    directory: PathBuf,
}

impl Session {
    /// Creates the directory.
    pub fn create() -> Result<Self> {
        remove_stale();
        let directory = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The kernel's messages stay for a look; nobody depends on them.
        let _ = fs::copy(self.path("console"), console_copy());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Where the kernel's messages of the last machine are kept.
pub fn console_copy() -> PathBuf {
    project::vm_assets().join("console.log")
}

/// The last lines of a file.
pub fn tail(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

const PREFIX: &str = "ringwall-vm.";

/// Removes what a killed session left: nobody has its process id any more.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let gone = !Path::new("/proc").join(process).exists();
        let ours = process == std::process::id().to_string();
        if gone || ours {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

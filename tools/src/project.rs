//! Where things are: the workspace and the artefacts below its target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's top directory.
pub fn root() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
    tools.parent().unwrap_or(tools).to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    root().join("target")
}

/// What the emulated machines are made of: kernel, modules, initramfs.
pub fn vm_assets() -> PathBuf {
    target().join("vm")
}

/// What all clones on a machine share, so that a fresh one need not download it again.
pub fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    given.unwrap_or_else(home).join("ringwall")
}

/// The cargo that runs us, in the workspace.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

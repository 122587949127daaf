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

/// The cargo that runs us, in the workspace.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

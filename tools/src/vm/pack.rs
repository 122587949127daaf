//! Files of the host with everything they need to run, as entries of an initramfs below `packed/`.
//!
//! An ELF brings its libraries, a script its interpreter, a directory what is in it, a symbolic link what it leads to.

use super::cpio::Archive;
use super::{VmArgs, command, image};
use crate::process;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// What has been collected, by absolute path.
#[derive(Default)]
pub struct Pack {
    entries: BTreeMap<PathBuf, Entry>,
}

enum Entry {
    Directory,
    File { mode: u32, content: Vec<u8> },
    Link(PathBuf),
}

impl Pack {
    /// Adds a file, a directory with everything below, or a program found on `PATH`.
    pub fn add(&mut self, name: &Path) -> Result<PathBuf> {
        let path = if name.components().count() == 1 && !name.exists() {
            process::find(&name.to_string_lossy()).with_context(|| format!("no {} on PATH", name.display()))?
        } else {
            std::path::absolute(name)?
        };
        self.follow(&path, 0).with_context(|| format!("cannot pack {}", path.display()))?;
        Ok(path)
    }

    /// Adds an empty directory of the host's name.
    pub fn directory(&mut self, path: &Path) {
        for ancestor in path.ancestors().filter(|ancestor| ancestor.parent().is_some()) {
            self.entries.entry(ancestor.to_path_buf()).or_insert(Entry::Directory);
        }
    }

    /// Writes all entries; parents come before what is in them.
    pub fn write(self, archive: &mut Archive) {
        archive.directory("packed");
        for (path, entry) in self.entries {
            let name = format!("packed{}", path.display());
            match entry {
                Entry::Directory => archive.directory(&name),
                Entry::File { mode, content } => archive.file(&name, mode, &content),
                Entry::Link(to) => archive.symlink(&name, &to.to_string_lossy()),
            }
        }
    }

    /// Walks a path as the kernel would, recording every link on the way and what is at its end.
    fn follow(&mut self, path: &Path, links: u32) -> Result<()> {
        let mut here = PathBuf::from("/");
        let mut components = path.components();
        while let Some(component) = components.next() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
                Component::ParentDir => {
                    here.pop();
                    continue;
                }
                Component::Normal(name) => here.push(name),
            }
            let kind = fs::symlink_metadata(&here)?.file_type();
            if kind.is_symlink() {
                if links > 40 {
                    bail!("too many symbolic links");
                }
                let to = fs::read_link(&here)?;
                self.entries.insert(here.clone(), Entry::Link(to.clone()));
                here.pop();
                return self.follow(&here.join(to).join(components.as_path()), links + 1);
            }
            if kind.is_dir() {
                self.entries.entry(here.clone()).or_insert(Entry::Directory);
            }
        }
        self.leaf(&here)
    }

    fn leaf(&mut self, path: &Path) -> Result<()> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                let entry = entry?.path();
                // Sockets and dangling links in a tree are no reason to refuse the tree.
                let _ = self.follow(&entry, 0);
            }
            return Ok(());
        }
        if !metadata.is_file() || matches!(self.entries.get(path), Some(Entry::File { .. })) {
            return Ok(());
        }
        let content = fs::read(path)?;
        let needs = needs(path, &content);
        self.entries.insert(path.to_path_buf(), Entry::File { mode: metadata.permissions().mode() & 0o7777, content });
        for need in needs {
            self.add(&need)?;
        }
        Ok(())
    }
}

/// What a program cannot start without.
fn needs(path: &Path, content: &[u8]) -> Vec<PathBuf> {
    if content.starts_with(b"\x7fELF") {
        return libraries(path);
    }
    let Some(line) = content.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) else {
        return Vec::new();
    };
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace().map(PathBuf::from);
    let Some(interpreter) = words.next() else { return Vec::new() };
    let through_env = interpreter.ends_with("env");
    let mut needs = vec![interpreter];
    if through_env {
        needs.extend(words.find(|word| !word.to_string_lossy().starts_with('-')));
    }
    needs
}

/// ldd's lines are `name => /path (address)` and `/path (address)`; it fails on what is linked statically.
fn libraries(path: &Path) -> Vec<PathBuf> {
    let Ok(listing) = process::output(Command::new("ldd").arg(path)) else { return Vec::new() };
    String::from_utf8_lossy(&listing)
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// What programs look up whatever they do.
const ALWAYS: &[&str] = &["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/bin/sh", "/usr/bin/env"];

/// An initramfs with modules, scripts, the command and its files.
pub fn initramfs(args: &VmArgs, tree: &Path, modules: &[&str]) -> Result<Vec<u8>> {
    let mut pack = Pack::default();
    let (program, arguments) = args.command.split_first().context("no command")?;
    let mut command = vec![pack.add(Path::new(program))?.into_os_string()];
    command.extend_from_slice(arguments);
    for file in ALWAYS.iter().map(Path::new).filter(|file| file.exists()).chain(args.with.iter().map(AsRef::as_ref)) {
        pack.add(file)?;
    }
    pack.directory(&std::env::current_dir()?);

    let mut archive = Archive::default();
    image::base(&mut archive)?;
    image::modules(&mut archive, tree, modules)?;
    archive.executable("init", include_bytes!("guest/init-packed.sh"));
    archive.executable("ringwall-vm/session", include_bytes!("guest/session.sh"));
    archive.executable("ringwall-vm/command", &command::script(&command, &[])?);
    pack.write(&mut archive);
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::{Entry, Pack, needs};
    use std::path::{Path, PathBuf};

    #[test]
    fn a_dynamic_program_brings_its_loader() {
        let mut pack = Pack::default();
        let program = pack.add(Path::new("true")).unwrap();
        assert!(pack.entries.contains_key(&program));
        let loaders = pack.entries.iter().filter(|(path, entry)| {
            matches!(entry, Entry::File { .. }) && path.to_string_lossy().contains("ld-linux-x86-64")
        });
        assert_eq!(loaders.count(), 1);
    }

    #[test]
    fn a_script_needs_the_program_that_env_starts() {
        let script = needs(Path::new("x"), b"#!/usr/bin/env -S python3 -u\n");
        assert_eq!(script, [PathBuf::from("/usr/bin/env"), PathBuf::from("python3")]);
    }
}

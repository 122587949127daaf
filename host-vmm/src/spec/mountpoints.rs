//! Mount points that a bundle's root file system lacks are made before the start, as runc makes them: the container may see
//! its root read-only, and then nobody inside could. Nothing is resolved outside of the root.

use linker::spec::{MountKind, MountSpec};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Makes the missing mount points below the opened `root`. `is_directory` says of a mount whether it shows a directory.
pub fn make(root: &OwnedFd, mounts: &[MountSpec], is_directory: impl Fn(u32) -> bool) -> Result<(), (PathBuf, Errno)> {
    let mut covered: Vec<&Path> = Vec::new();
    for mount in mounts.iter().skip(1) {
        let destination = Path::new(OsStr::from_bytes(&mount.destination));
        // What lies below another mount is that file system's affair.
        if !covered.iter().any(|above| destination.starts_with(above)) {
            let directory = match mount.kind {
                MountKind::Host { mount, .. } => is_directory(mount),
                MountKind::Sentry(_) => true,
            };
            let ordinary = match &mount.kind {
                // Where they really are is what masked paths are meant for (CVE-2019-19921).
                MountKind::Sentry(name) if name == "proc" || name == "sysfs" => no_link(root, destination),
                _ => Ok(()),
            };
            ordinary
                .and_then(|()| make_one(root, destination, directory))
                .map_err(|errno| (destination.to_path_buf(), errno))?;
        }
        covered.push(destination);
    }
    Ok(())
}

/// ENOTDIR where a path is a symbolic link or no directory.
fn no_link(root: &OwnedFd, destination: &Path) -> Result<(), Errno> {
    let below = destination.strip_prefix("/").unwrap_or(destination);
    match open_in(root, below, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(found) if !FileType::from_raw_mode(fstat(&found)?.st_mode).is_dir() => Err(Errno::NOTDIR),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn make_one(root: &OwnedFd, destination: &Path, directory: bool) -> Result<(), Errno> {
    let names: Vec<&OsStr> = destination
        .components()
        .filter_map(|component| match component {
            std::path::Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let mut below = PathBuf::from(".");
    for (index, name) in names.iter().enumerate() {
        let parent = below.clone();
        below.push(name);
        match open_in(root, &below, OFlags::PATH) {
            Ok(_) => continue,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let parent = open_in(root, &parent, OFlags::PATH | OFlags::DIRECTORY)?;
        if directory || index + 1 < names.len() {
            mkdirat(&parent, *name, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            openat2(&parent, *name, flags, Mode::from_raw_mode(0o644), ResolveFlags::BENEATH)?;
        }
    }
    Ok(())
}

/// Opens a path as a process would whose root is `root`.
fn open_in(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_made_inside_the_root_only() {
        let directory = std::env::temp_dir().join(format!("ringwall-mountpoints-{}", std::process::id()));
        let outside = directory.join("outside");
        std::fs::create_dir_all(directory.join("root")).expect("directory");
        std::fs::create_dir_all(&outside).expect("directory");
        std::os::unix::fs::symlink(&outside, directory.join("root/way")).expect("symlink");
        let root = rustix::fs::open(directory.join("root"), OFlags::PATH, Mode::empty()).expect("root");
        let mount = |destination: &str, kind| MountSpec {
            destination: destination.into(),
            kind,
            flags: 0,
            data: String::new(),
            source: String::new(),
        };
        let sentry = || MountKind::Sentry("tmpfs".into());
        let host = MountKind::Host { mount: 1, exclusive: false, overlay: false };
        let mounts = [mount("/", sentry()), mount("/a/b", sentry()), mount("/a/b/c", sentry()), mount("/f", host)];
        make(&root, &mounts, |_| false).expect("made");
        assert!(directory.join("root/a/b").is_dir() && !directory.join("root/a/b/c").exists());
        assert!(directory.join("root/f").is_file());
        // The link leads to the root's own /…/outside, which is not there: nothing is made anywhere.
        assert!(make(&root, &[mount("/", sentry()), mount("/way/x", sentry())], |_| true).is_err());
        assert!(!outside.join("x").exists());
        let proc = || MountKind::Sentry("proc".into());
        std::os::unix::fs::symlink("a", directory.join("root/proc")).expect("symlink");
        let refused = make(&root, &[mount("/", sentry()), mount("/proc", proc())], |_| true);
        assert_eq!(refused.expect_err("refused").1, Errno::NOTDIR);
        assert!(make(&root, &[mount("/", sentry()), mount("/a", proc())], |_| true).is_ok());
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}

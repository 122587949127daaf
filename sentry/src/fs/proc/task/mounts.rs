//! The mount tree as a task sees it: mounts, mountinfo, mountstats.

use super::Subject;
use crate::errno::Errno;
use crate::fs::statmount::shown_part;
use crate::fs::{Mount, MountFlags, Path};
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A mount that the task can reach, and where.
struct Seen {
    mount: Arc<Mount>,
    place: Vec<u8>,
}

fn seen(subject: &Subject) -> Result<Vec<Seen>, Errno> {
    let context = subject.task()?.published().fs.ok_or(Errno::EINVAL)?;
    let root = context.root();
    let mounts = context.namespace().mounts().into_iter();
    Ok(mounts
        .filter_map(|mount| {
            let top: Path = mount.root_path();
            let (place, reachable) = top.text(&root);
            reachable.then_some(Seen { mount, place })
        })
        .collect())
}

/// What must not be in a column: blanks and backslashes as octal numbers (getmntent(3)).
fn escaped(text: &[u8]) -> String {
    let mut out = Vec::new();
    for &byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A mount's own options.
fn options(flags: MountFlags) -> String {
    let mut out = String::from(if flags.contains(MountFlags::RDONLY) { "ro" } else { "rw" });
    let rows = [
        (MountFlags::NOSUID, "nosuid"),
        (MountFlags::NODEV, "nodev"),
        (MountFlags::NOEXEC, "noexec"),
        (MountFlags::NOATIME, "noatime"),
        (MountFlags::NODIRATIME, "nodiratime"),
        (MountFlags::NOSYMFOLLOW, "nosymfollow"),
    ];
    for (flag, word) in rows {
        if flags.contains(flag) {
            out.push(',');
            out.push_str(word);
        }
    }
    if !flags.intersects(MountFlags::NOATIME | MountFlags::STRICTATIME) {
        out.push_str(",relatime");
    }
    out
}

/// A file system's own options, each behind a comma.
fn super_options(mount: &Mount) -> String {
    let own = &mount.info().options;
    if own.is_empty() { String::new() } else { format!(",{own}") }
}

fn source(mount: &Mount) -> String {
    let source = &mount.info().source;
    if source.is_empty() { String::from("none") } else { escaped(source.as_bytes()) }
}

/// `/proc/PID/mounts`.
pub fn mounts(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let line = |seen: Seen| {
        let (mount, place) = (&seen.mount, escaped(&seen.place));
        // One word for both: here the mount and its file system are not told apart.
        let read_only = if mount.shows_read_only() { MountFlags::RDONLY } else { MountFlags::empty() };
        let own = options(mount.flags() | read_only);
        format!("{} {place} {} {own}{} 0 0\n", source(mount), mount.info().kind, super_options(mount))
    };
    Ok(seen(subject)?.into_iter().map(line).collect::<String>().into_bytes())
}

/// `/proc/PID/mountinfo`.
pub fn mountinfo(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let line = |seen: Seen| {
        let mount = &seen.mount;
        let parent = mount.mount_point().map_or(1, |place| place.mount().id());
        let dev = mount.root().inode().attr().map_or(0, |attr| attr.dev);
        let writable = if mount.shows_read_only() { "ro" } else { "rw" };
        format!(
            "{} {parent} {}:{} {} {} {}{} - {} {} {writable}{}\n",
            mount.id(),
            dev >> 32,
            dev & 0xffff_ffff,
            escaped(&shown_part(mount)),
            escaped(&seen.place),
            options(mount.flags()),
            mount.propagation().text(),
            mount.info().kind,
            source(mount),
            super_options(mount),
        )
    };
    Ok(seen(subject)?.into_iter().map(line).collect::<String>().into_bytes())
}

/// `/proc/PID/mountstats`.
pub fn mountstats(_: &Current, subject: &Subject) -> Result<Vec<u8>, Errno> {
    let line = |seen: Seen| {
        let place = escaped(&seen.place);
        format!("device {} mounted on {place} with fstype {}\n", source(&seen.mount), seen.mount.info().kind)
    };
    Ok(seen(subject)?.into_iter().map(line).collect::<String>().into_bytes())
}

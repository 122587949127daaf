//! The mounts of an OCI bundle: the sentry's own file systems by name, and binds of the host's files through the gofer.

use crate::gofer::Export;
use crate::spec::oci::{Error, bad};
use crate::spec::submounts;
use linker::spec::{MountKind, MountSpec};
use linux_raw_sys::general as raw;
use oci_spec::runtime::Mount;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Options that set or clear flags. Mounts do not propagate into or out of a VM: what asks for it is accepted, and has no effect.
#[rustfmt::skip]
pub(super) const FLAGS: &[(&str, u32, bool)] = &[
    ("ro", raw::MS_RDONLY, true),           ("rw", raw::MS_RDONLY, false),
    ("nosuid", raw::MS_NOSUID, true),       ("suid", raw::MS_NOSUID, false),
    ("nodev", raw::MS_NODEV, true),         ("dev", raw::MS_NODEV, false),
    ("noexec", raw::MS_NOEXEC, true),       ("exec", raw::MS_NOEXEC, false),
    ("sync", raw::MS_SYNCHRONOUS, true),    ("async", raw::MS_SYNCHRONOUS, false),
    ("noatime", raw::MS_NOATIME, true),     ("atime", raw::MS_NOATIME, false),
    ("nodiratime", raw::MS_NODIRATIME, true), ("diratime", raw::MS_NODIRATIME, false),
    ("relatime", raw::MS_RELATIME, true),   ("norelatime", raw::MS_RELATIME, false),
    ("strictatime", raw::MS_STRICTATIME, true), ("nostrictatime", raw::MS_STRICTATIME, false),
    ("nosymfollow", raw::MS_NOSYMFOLLOW, true), ("symfollow", raw::MS_NOSYMFOLLOW, false),
    ("bind", 0, true), ("rbind", 0, true), ("defaults", 0, true),
    ("private", 0, true), ("rprivate", 0, true), ("slave", 0, true), ("rslave", 0, true),
    ("shared", 0, true), ("rshared", 0, true), ("unbindable", 0, true), ("runbindable", 0, true),
    ("silent", 0, true), ("loud", 0, true), ("nomand", 0, true), ("noiversion", 0, true), ("nolazytime", 0, true),
];

/// File systems of the sentry's, and the options that each keeps.
const SENTRY: &[(&str, &str, &[&str])] = &[
    ("proc", "proc", &["hidepid", "gid"]),
    ("sysfs", "sysfs", &[]),
    ("tmpfs", "tmpfs", &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "tmpcopyup"]),
    ("devpts", "devpts", &["newinstance", "ptmxmode", "mode", "gid", "uid"]),
    ("mqueue", "mqueue", &[]),
    ("cgroup", "cgroup2", &[]),
    ("cgroup2", "cgroup2", &["nsdelegate"]),
];

/// Converts mount number `index`; a bind adds an export, and with `rbind` one for each mount below.
pub fn convert(index: usize, mount: &Mount, bundle: &Path, exports: &mut Vec<Export>) -> Result<Vec<MountSpec>, Error> {
    let property = |field: &str| format!("mounts[{index}].{field}");
    let destination = mount.destination();
    if !destination.is_absolute() {
        return Err(bad(property("destination"), format!("{} is not absolute", destination.display())));
    }
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(bad(property("uidMappings"), "not supported"));
    }
    let options = mount.options().as_deref().unwrap_or_default();
    let kind = mount.typ().as_deref().unwrap_or("none");
    let is_bind = kind == "bind" || options.iter().any(|option| option == "bind" || option == "rbind");

    let keeps = match (is_bind, SENTRY.iter().find(|(name, ..)| *name == kind)) {
        (true, _) => None,
        (false, Some(known)) => Some(known),
        (false, None) => return Err(bad(property("type"), format!("{kind:?}: this file system is not supported"))),
    };
    let (mut flags, mut data, mut of_tree) = (0, Vec::new(), Vec::new());
    for option in options {
        let below = OF_TREES.contains(&option.as_str());
        let name = if below { &option[1..] } else { option };
        match FLAGS.iter().find(|(known, ..)| *known == name) {
            Some((_, flag, set)) => {
                flags = change(flags, *flag, *set);
                if below {
                    of_tree.push((*flag, *set));
                }
            }
            None => {
                let name = option.split('=').next().unwrap_or(option);
                match keeps {
                    Some((_, _, known)) if known.contains(&name) => data.push(option.as_str()),
                    _ => return Err(bad(property("options"), format!("{option:?} is not supported"))),
                }
            }
        }
    }

    let source = mount.source().clone().unwrap_or_default();
    let destination = lexical(destination);
    let mut submounts = Vec::new();
    let kind = match keeps {
        // What a container finds in /dev is made by the runtime.
        Some(("tmpfs", ..)) if destination == Path::new("/dev") => MountKind::Sentry("devtmpfs".into()),
        Some((_, name, _)) => MountKind::Sentry((*name).into()),
        None if source.as_os_str().is_empty() => return Err(bad(property("source"), "missing")),
        None => {
            let mount = u32::try_from(exports.len()).map_err(|_| bad(property("source"), "too many mounts"))?;
            let path = bundle.join(&source);
            exports.push(Export { path: path.clone(), writable: flags & raw::MS_RDONLY == 0 });
            if options.iter().any(|option| option == "rbind") {
                submounts = below(&path, &destination, &of_tree, exports);
            }
            MountKind::Host { mount, exclusive: false, overlay: false }
        }
    };
    let mut all = vec![MountSpec {
        destination: destination.as_os_str().as_bytes().to_vec(),
        kind,
        flags: u64::from(flags),
        data: data.join(","),
        source: source.to_string_lossy().into_owned(),
    }];
    all.append(&mut submounts);
    Ok(all)
}

/// The mounts below `source`, with their own flags but for what is wanted of the whole tree.
fn below(source: &Path, destination: &Path, of_tree: &[(u32, bool)], exports: &mut Vec<Export>) -> Vec<MountSpec> {
    let mut all = Vec::new();
    for submount in submounts::below(source) {
        let Some(destination) = submounts::inside(&submount, source, destination) else { continue };
        let flags = of_tree.iter().fold(submount.flags, |flags, (flag, set)| change(flags, *flag, *set));
        let Ok(mount) = u32::try_from(exports.len()) else { break };
        all.push(MountSpec {
            destination,
            kind: MountKind::Host { mount, exclusive: false, overlay: false },
            flags: u64::from(flags),
            data: String::new(),
            source: submount.path.to_string_lossy().into_owned(),
        });
        exports.push(Export { path: submount.path, writable: flags & raw::MS_RDONLY == 0 });
    }
    all
}

/// Options of a mount and those below it, which mount_setattr(2) can set for a tree; `rbind` and the like are other things.
#[rustfmt::skip]
const OF_TREES: [&str; 18] = [
    "rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnoatime", "ratime", "rnodiratime",
    "rdiratime", "rrelatime", "rnorelatime", "rstrictatime", "rnostrictatime", "rnosymfollow", "rsymfollow",
];

/// Sets or clears a flag. Of the ways to keep access times there is always one.
fn change(flags: u32, flag: u32, set: bool) -> u32 {
    const WAYS: u32 = raw::MS_NOATIME | raw::MS_RELATIME | raw::MS_STRICTATIME;
    match (flag & WAYS != 0, set) {
        (true, true) => flags & !WAYS | flag,
        (_, true) => flags | flag,
        (_, false) => flags & !flag,
    }
}

/// A path without detours, as runc reads it: what `..` takes away is the name before it, whatever that is.
pub(super) fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_no_detours() {
        assert_eq!(lexical(Path::new("/a/../../b/./c/..")), Path::new("/b"));
        assert_eq!(lexical(Path::new("/..")), Path::new("/"));
    }
}

//! The container's mounts, from the start specification.

use super::{StartError, copy};
use crate::errno::Errno;
use crate::fs::host::Sharing;
use crate::fs::{self, FileKind, FsInfo, Inode, LookupFlags, MountFlags, Namespace};
use crate::syscall::Fd;
use crate::task::Current;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linker::request::SetAttr;
use linker::spec::{DeviceSpec, MountKind, MountSpec, StartSpec};

/// The option of a tmpfs that begins with what it covers, as podman's do.
const COPY_UP: &str = "tmpcopyup";

/// A namespace with the first mount of the specification as its root.
pub fn root(spec: &StartSpec) -> Result<Arc<Namespace>, StartError> {
    let mount = spec.mounts.first().ok_or_else(|| StartError::new("mounts", Errno::EINVAL))?;
    let inode = make(None, mount).map_err(|errno| StartError::new("root file system", errno))?;
    Ok(Namespace::new(inode, flags(mount), info(mount)))
}

/// The other mounts, in order. A missing mount point is made, as container engines expect.
pub fn others(current: &Current, spec: &StartSpec) -> Result<(), StartError> {
    for mount in spec.mounts.iter().skip(1) {
        let what = || format!("mount on {}", String::from_utf8_lossy(&mount.destination));
        let inode = make(Some(current), mount).map_err(|errno| StartError::new(&what(), errno))?;
        let directory = inode.kind() == FileKind::Directory;
        fs::make_mount_point(current, &mount.destination, directory)
            .and_then(|place| {
                if copies_up(mount) {
                    copy::tree(current, place.inode(), &inode)?;
                }
                fs::mount_at(&place, inode, flags(mount), info(mount))
            })
            .map_err(|errno| StartError::new(&what(), errno))?;
    }
    Ok(())
}

/// Makes the device nodes and FIFOs that are not there yet.
pub fn make_devices(current: &Current, spec: &StartSpec) -> Result<(), StartError> {
    let umask = current.fs.set_umask(0);
    let made = spec.devices.iter().try_for_each(|device| {
        make_device(current, device)
            .map_err(|errno| StartError::new(&format!("device {}", String::from_utf8_lossy(&device.path)), errno))
    });
    current.fs.set_umask(umask);
    made
}

fn make_device(current: &Current, device: &DeviceSpec) -> Result<(), Errno> {
    if find(current, &device.path)?.is_some() {
        return Ok(());
    }
    if let Some(slash) = device.path.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0) {
        fs::make_mount_point(current, device.path.get(..slash).unwrap_or_default(), true)?;
    }
    let place = fs::make(current, Fd::CWD, &device.path, device.mode, device.rdev)?;
    let owner = SetAttr { valid: SetAttr::UID | SetAttr::GID, uid: device.uid, gid: device.gid, ..SetAttr::default() };
    place.inode().set_attr(&owner)
}

/// Covers what the container is not to see, and takes the right to change what it is not to change. What is not there needs neither.
pub fn hide(current: &Current, spec: &StartSpec) -> Result<(), StartError> {
    for path in &spec.masked_paths {
        cover(current, path)
            .map_err(|errno| StartError::new(&format!("masking {}", String::from_utf8_lossy(path)), errno))?;
    }
    for path in &spec.readonly_paths {
        let bound = find(current, path).and_then(|place| match place {
            Some(place) => fs::bind_at(&place, &place, true).map(Some),
            None => Ok(None),
        });
        match bound {
            Ok(Some(mount)) => mount.set_flags(mount.flags() | MountFlags::RDONLY),
            Ok(None) => {}
            Err(errno) => return Err(StartError::new(&format!("protecting {}", String::from_utf8_lossy(path)), errno)),
        }
    }
    Ok(())
}

fn find(current: &Current, path: &[u8]) -> Result<Option<fs::Path>, Errno> {
    match fs::lookup(current, Fd::CWD, path, LookupFlags::FOLLOW) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn cover(current: &Current, path: &[u8]) -> Result<(), Errno> {
    let Some(place) = find(current, path)? else { return Ok(()) };
    if place.dentry().is_directory() {
        let empty = fs::new_file_system(None, "tmpfs", "mode=555")?;
        let info = FsInfo { kind: "tmpfs".into(), source: "tmpfs".into(), read_only: true, ..FsInfo::default() };
        fs::mount_at(&place, empty, MountFlags::RDONLY, info)?;
    } else if let Some(null) = find(current, b"/dev/null")? {
        fs::bind_at(&place, &null, false)?;
    }
    Ok(())
}

/// The file system's root inode. `maker`: whose numbers and queues it shows.
fn make(maker: Option<&Current>, mount: &MountSpec) -> Result<Arc<dyn Inode>, Errno> {
    match &mount.kind {
        MountKind::Host { mount: index, exclusive, overlay } => {
            // A root is the container's own, but `docker cp` and the like may put something there.
            let sharing = match (exclusive, mount.destination.as_slice()) {
                (true, _) => Sharing::Exclusive,
                (false, b"/") => Sharing::Quiet,
                (false, _) => Sharing::Shared,
            };
            let lower = fs::host::mount(*index, sharing)?;
            if *overlay && lower.kind() == FileKind::Directory { fs::overlay::new(lower) } else { Ok(lower) }
        }
        MountKind::Sentry(name) => {
            let options: Vec<&str> = mount.data.split(',').filter(|option| *option != COPY_UP).collect();
            fs::new_file_system(maker, name, &options.join(","))
        }
    }
}

/// Whether a mount begins with what it covers.
fn copies_up(mount: &MountSpec) -> bool {
    mount.data.split(',').any(|option| option == COPY_UP)
}

fn flags(mount: &MountSpec) -> MountFlags {
    MountFlags::from_bits_truncate(mount.flags as u32)
}

fn info(mount: &MountSpec) -> FsInfo {
    let kind = match &mount.kind {
        MountKind::Host { overlay: true, .. } => String::from("overlay"),
        MountKind::Host { .. } => String::from("ext4"),
        // A bundle asks for a tmpfs there; the runtime fills it.
        MountKind::Sentry(name) if name == "devtmpfs" && mount.source == "tmpfs" => String::from("tmpfs"),
        MountKind::Sentry(name) => name.clone(),
    };
    // A file system of the container's own is mounted as mount(2) would; what the host has is only shown through a read-only mount.
    let read_only = matches!(mount.kind, MountKind::Sentry(_)) && flags(mount).contains(MountFlags::RDONLY);
    FsInfo { kind, source: mount.source.clone(), options: mount.data.clone(), read_only }
}

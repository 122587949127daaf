//! What a domain says to paths. Rules are looked for from a file up to the root of the mount tree; a right is there when every
//! layer finds a rule that gives it on the way.

use super::{Domain, Files, MAX_LAYERS};
use crate::errno::Errno;
use crate::fs::{Dentry, FileKind, OpenFile, OpenFlags, Path, is_internal};
use crate::task::{Credentials, Current};
use alloc::sync::Arc;
use linux_raw_sys::ioctl as ioc;

/// EACCES unless the domain allows `wanted` at `place`.
#[inline]
pub fn check(creds: &Credentials, place: &Path, wanted: Files) -> Result<(), Errno> {
    match creds.landlock.domain() {
        None => Ok(()),
        Some(domain) => domain.check(place, wanted),
    }
}

/// EACCES unless the caller may make a file of this kind in `dir`.
#[inline]
pub fn may_make(current: &Current, dir: &Path, kind: FileKind) -> Result<(), Errno> {
    check(&current.creds, dir, making(kind))
}

/// EACCES unless the caller may remove a name from `dir`.
#[inline]
pub fn may_remove(current: &Current, dir: &Path, directory: bool) -> Result<(), Errno> {
    check(&current.creds, dir, removing(directory))
}

/// Whether the caller may open `place`: EACCES where not, else those of the rights of open files that it does not get.
#[inline]
pub fn may_open(current: &Current, place: &Path, flags: OpenFlags, to_run: bool) -> Result<Files, Errno> {
    match current.creds.landlock.domain() {
        None => Ok(Files::empty()),
        Some(domain) => domain.may_open(place, flags, to_run),
    }
}

/// EACCES where `file` was opened without the right to resize it.
#[inline]
pub fn may_truncate(file: &OpenFile) -> Result<(), Errno> {
    if file.lacks().contains(Files::TRUNCATE) { Err(Errno::EACCES) } else { Ok(()) }
}

/// EACCES for a device's own command on a file that was opened without the right to it.
#[inline]
pub fn may_ioctl(file: &OpenFile, command: u32) -> Result<(), Errno> {
    // include/uapi/linux/fs.h; linux-raw-sys does not export them.
    const FS_IOC_GETFSUUID: u32 = 0x8011_1500;
    const FS_IOC_GETFSSYSFSPATH: u32 = 0x8081_1501;
    // What the VFS serves itself (security/landlock/fs.c: is_masked_device_ioctl).
    const FREE: [u32; 14] = [
        ioc::FIOCLEX,
        ioc::FIONCLEX,
        ioc::FIONBIO,
        ioc::FIOASYNC,
        ioc::FIOQSIZE,
        ioc::FIFREEZE,
        ioc::FITHAW,
        ioc::FS_IOC_FIEMAP,
        ioc::FIGETBSZ,
        ioc::FICLONE,
        ioc::FICLONERANGE,
        ioc::FIDEDUPERANGE,
        FS_IOC_GETFSUUID,
        FS_IOC_GETFSSYSFSPATH,
    ];
    if file.lacks().contains(Files::IOCTL_DEV) && !FREE.contains(&command) { Err(Errno::EACCES) } else { Ok(()) }
}

/// EPERM for a thread that may not change what is mounted where: any with rules about files.
#[inline]
pub fn may_change_mounts(current: &Current) -> Result<(), Errno> {
    match current.creds.landlock.domain() {
        Some(domain) if domain.handles_files() => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

/// As `Refer::check`, for another name of the file at `old`.
#[inline]
pub fn may_link(current: &Current, old: &Path, new_dir: &Path) -> Result<(), Errno> {
    if current.creds.landlock.domain().is_none() {
        return Ok(());
    }
    // A mount's root is in itself.
    let parent = old.dentry().parent().filter(|_| !Arc::ptr_eq(old.dentry(), old.mount().root()));
    let old_dir = &Path::new(old.mount().clone(), parent.unwrap_or_else(|| old.dentry().clone()));
    Refer { old_dir, old: old.dentry(), new_dir, new: None, removes: false, exchange: false }.check(current)
}

/// A rename, or (without `removes`) a link.
pub struct Refer<'a> {
    /// The directory of the name that is there.
    pub old_dir: &'a Path,
    /// What has it.
    pub old: &'a Arc<Dentry>,
    /// Where it goes.
    pub new_dir: &'a Path,
    /// What is there.
    pub new: Option<&'a Arc<Dentry>>,
    /// The old name goes.
    pub removes: bool,
    /// RENAME_EXCHANGE.
    pub exchange: bool,
}

impl Refer<'_> {
    /// EACCES where a name may not be made or removed; EXDEV where a file may not come into another directory, as far as it
    /// would be allowed more there, or without LANDLOCK_ACCESS_FS_REFER.
    #[inline]
    pub fn check(&self, current: &Current) -> Result<(), Errno> {
        match current.creds.landlock.domain() {
            Some(domain) if domain.handles_files() => domain.may_refer(self),
            _ => Ok(()),
        }
    }
}

fn making(kind: FileKind) -> Files {
    match kind {
        FileKind::Symlink => Files::MAKE_SYM,
        FileKind::Regular | FileKind::Anonymous => Files::MAKE_REG,
        FileKind::Directory => Files::MAKE_DIR,
        FileKind::CharDevice => Files::MAKE_CHAR,
        FileKind::BlockDevice => Files::MAKE_BLOCK,
        FileKind::Fifo => Files::MAKE_FIFO,
        FileKind::Socket => Files::MAKE_SOCK,
    }
}

fn removing(directory: bool) -> Files {
    if directory { Files::REMOVE_DIR } else { Files::REMOVE_FILE }
}

/// What each layer has not allowed yet, of what was asked for.
#[derive(Clone, Copy)]
struct Unmet([Files; MAX_LAYERS]);

impl Unmet {
    fn of(domain: &Domain, wanted: Files) -> Self {
        let mut unmet = [Files::empty(); MAX_LAYERS];
        for (unmet, layer) in unmet.iter_mut().zip(&domain.layers) {
            *unmet = layer.files() & wanted;
        }
        Self(unmet)
    }

    /// Strikes out what the rules for this very file allow, of `wanted`.
    fn meet(&mut self, domain: &Domain, dentry: &Dentry, wanted: Files) {
        for (unmet, layer) in self.0.iter_mut().zip(&domain.layers) {
            let left = *unmet & wanted;
            if !left.is_empty() {
                *unmet -= left & layer.rules.of(dentry);
            }
        }
    }

    fn any(&self, of: Files) -> bool {
        self.0.iter().any(|unmet| unmet.intersects(of))
    }

    /// Whether all that is left is left in each layer of `other`, too; of a file that is no directory, only its rights count.
    fn is_within(&self, child: &Self, directory: bool, other: &Self) -> bool {
        let counts = if directory { Files::all() } else { Files::OF_FILES };
        let each = self.0.iter().zip(&child.0).zip(&other.0);
        each.into_iter().all(|((own, child), other)| other.contains(*own & *child & counts))
    }

    fn keep(&mut self, wanted: Files) {
        for unmet in &mut self.0 {
            *unmet &= wanted;
        }
    }
}

/// The file at `place`, then each directory above it up to the root of all mounts, until `look` says that it is enough.
fn upwards(place: &Path, mut look: impl FnMut(&Dentry) -> bool) {
    let mut at = place.clone();
    loop {
        if look(at.dentry()) {
            return;
        }
        while Arc::ptr_eq(at.dentry(), at.mount().root()) {
            // What the mount hides does not count.
            let Some(below) = at.mount().mount_point() else { return };
            at = below;
        }
        let up = at.dentry().parent().unwrap_or_else(|| at.mount().root().clone());
        at = Path::new(at.mount().clone(), up);
    }
}

impl Domain {
    fn check(&self, place: &Path, wanted: Files) -> Result<(), Errno> {
        if self.lacking(place, wanted).is_empty() { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Those of the rights that some layer does not give.
    fn lacking(&self, place: &Path, wanted: Files) -> Files {
        let mut unmet = Unmet::of(self, wanted);
        if !unmet.any(wanted) || is_internal(place) {
            return Files::empty();
        }
        upwards(place, |dentry| {
            unmet.meet(self, dentry, wanted);
            !unmet.any(wanted)
        });
        unmet.0.iter().fold(Files::empty(), |all, unmet| all | *unmet)
    }

    fn may_open(&self, place: &Path, flags: OpenFlags, to_run: bool) -> Result<Files, Errno> {
        let kind = place.inode().kind();
        let mut wanted = Files::empty();
        if flags.readable() && kind == FileKind::Directory {
            wanted = Files::READ_DIR;
        } else {
            wanted.set(Files::READ_FILE, flags.readable());
            wanted.set(Files::WRITE_FILE, flags.writable());
            wanted.set(Files::EXECUTE, to_run);
        }
        let mut later = Files::TRUNCATE;
        later.set(Files::IOCTL_DEV, matches!(kind, FileKind::CharDevice | FileKind::BlockDevice));
        let lacking = self.lacking(place, wanted | later);
        if lacking.intersects(wanted) { Err(Errno::EACCES) } else { Ok(lacking) }
    }

    fn may_refer(&self, refer: &Refer<'_>) -> Result<(), Errno> {
        let kind = |dentry: &Arc<Dentry>| dentry.inode().kind();
        let (mut at_old, mut at_new) = (Files::empty(), making(kind(refer.old)));
        if let Some(new) = refer.new.filter(|_| refer.exchange) {
            at_old |= making(kind(new));
        }
        if refer.removes {
            at_old |= removing(refer.old.is_directory());
            at_new |= refer.new.map_or(Files::empty(), |new| removing(new.is_directory()));
        }
        let (old_dir, new_dir) = (refer.old_dir.dentry(), refer.new_dir.dentry());
        if Arc::ptr_eq(old_dir, new_dir) {
            return self.check(refer.new_dir, at_old | at_new);
        }
        at_old |= Files::REFER;
        at_new |= Files::REFER;
        let top = refer.new_dir.mount().root();
        let mut unmet_old = self.within_mount(top, old_dir);
        let mut unmet_new = self.within_mount(top, new_dir);
        // What is not allowed of the file itself counts where it comes from: it must not be allowed more where it goes.
        let of_child = |child: &Arc<Dentry>| {
            let mut unmet = Unmet::of(self, Files::all());
            unmet.meet(self, child, Files::all());
            (unmet, child.is_directory())
        };
        let old = of_child(refer.old);
        let new = refer.new.filter(|_| refer.exchange).map(of_child);
        let mut compared = false;
        let (mut wanted_old, mut wanted_new) = (Files::all(), Files::all());
        let mut allowed = false;
        let mut step = |dentry: Option<&Dentry>| {
            let no_more = unmet_old.is_within(&old.0, old.1, &unmet_new)
                && new.as_ref().is_none_or(|new| unmet_new.is_within(&new.0, new.1, &unmet_old));
            if !compared && no_more {
                compared = true;
                (wanted_old, wanted_new) = (at_old, at_new);
                unmet_old.keep(at_old);
                unmet_new.keep(at_new);
            }
            if let Some(dentry) = dentry {
                unmet_old.meet(self, dentry, wanted_old);
                unmet_new.meet(self, dentry, wanted_new);
            }
            allowed = !unmet_old.any(wanted_old) && !unmet_new.any(wanted_new);
            allowed
        };
        if !step(None) {
            upwards(&Path::new(refer.new_dir.mount().clone(), top.clone()), |dentry| step(Some(dentry)));
        }
        let named = |unmet: &Unmet, wanted: Files| unmet.any(wanted - Files::REFER);
        if allowed {
            Ok(())
        } else if named(&unmet_old, at_old) || named(&unmet_new, at_new) {
            Err(Errno::EACCES)
        } else {
            Err(Errno::EXDEV)
        }
    }

    /// What is left of all rights on the way from `dir` up to `top`, the root of its mount.
    fn within_mount(&self, top: &Arc<Dentry>, dir: &Arc<Dentry>) -> Unmet {
        let mut unmet = Unmet::of(self, Files::all());
        let mut at = dir.clone();
        loop {
            unmet.meet(self, &at, Files::all());
            if !unmet.any(Files::all()) || Arc::ptr_eq(&at, top) {
                return unmet;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => return unmet,
            }
        }
    }
}

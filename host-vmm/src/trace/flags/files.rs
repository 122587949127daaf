//! Names of what calls on files take.

use super::{CHOICE, Name};
use linux_raw_sys::general;
use linux_raw_sys::general::fsconfig_command;

pub(super) const ACCESS: &[Name] = names! {
    in (CHOICE) { general::F_OK }
    bits { general::R_OK, general::W_OK, general::X_OK }
};

pub(super) const AT: &[Name] = names! {
    bits {
        general::AT_SYMLINK_NOFOLLOW, general::AT_REMOVEDIR, general::AT_SYMLINK_FOLLOW, general::AT_NO_AUTOMOUNT,
        general::AT_EMPTY_PATH, general::AT_RECURSIVE,
    }
};

pub(super) const AT_ACCESS: &[Name] = names! {
    bits { general::AT_SYMLINK_NOFOLLOW, general::AT_EACCESS, general::AT_EMPTY_PATH }
};

pub(super) const AT_REMOVE: &[Name] = names! {
    bits { general::AT_REMOVEDIR }
};

pub(super) const AT_STATX: &[Name] = names! {
    in (general::AT_STATX_SYNC_TYPE) {
        general::AT_STATX_SYNC_AS_STAT, general::AT_STATX_FORCE_SYNC, general::AT_STATX_DONT_SYNC,
    }
    bits {
        general::AT_SYMLINK_NOFOLLOW, general::AT_SYMLINK_FOLLOW, general::AT_NO_AUTOMOUNT, general::AT_EMPTY_PATH,
    }
};

pub(super) const OPEN: &[Name] = names! {
    in (general::O_ACCMODE) { general::O_RDONLY, general::O_WRONLY, general::O_RDWR }
    bits {
        general::O_CREAT, general::O_EXCL, general::O_NOCTTY, general::O_TRUNC, general::O_APPEND,
        general::O_NONBLOCK, general::O_SYNC, general::O_DSYNC, general::FASYNC, general::O_DIRECT,
        general::O_LARGEFILE, general::O_NOFOLLOW, general::O_NOATIME, general::O_CLOEXEC, general::O_PATH,
        general::O_TMPFILE, general::O_DIRECTORY,
    }
};

pub(super) const PIPE: &[Name] = names! {
    bits { general::O_NONBLOCK, general::O_CLOEXEC, general::O_DIRECT, general::O_EXCL }
};

pub(in crate::trace) const RESOLVE: &[Name] = names! {
    bits {
        general::RESOLVE_NO_XDEV, general::RESOLVE_NO_MAGICLINKS, general::RESOLVE_NO_SYMLINKS,
        general::RESOLVE_BENEATH, general::RESOLVE_IN_ROOT, general::RESOLVE_CACHED,
    }
};

pub(super) const RENAME: &[Name] = names! {
    bits { general::RENAME_NOREPLACE, general::RENAME_EXCHANGE, general::RENAME_WHITEOUT }
};

pub(super) const STATX: &[Name] = names! {
    bits {
        general::STATX_ALL, general::STATX_BASIC_STATS, general::STATX_TYPE, general::STATX_MODE,
        general::STATX_NLINK, general::STATX_UID, general::STATX_GID, general::STATX_ATIME, general::STATX_MTIME,
        general::STATX_CTIME, general::STATX_INO, general::STATX_SIZE, general::STATX_BLOCKS, general::STATX_BTIME,
        general::STATX_MNT_ID, general::STATX_DIOALIGN, general::STATX_MNT_ID_UNIQUE, general::STATX_SUBVOL,
        general::STATX_WRITE_ATOMIC, general::STATX_DIO_READ_ALIGN,
    }
};

pub(in crate::trace) const STATX_ATTR: &[Name] = names! {
    bits {
        general::STATX_ATTR_COMPRESSED, general::STATX_ATTR_IMMUTABLE, general::STATX_ATTR_APPEND,
        general::STATX_ATTR_NODUMP, general::STATX_ATTR_ENCRYPTED, general::STATX_ATTR_AUTOMOUNT,
        general::STATX_ATTR_MOUNT_ROOT, general::STATX_ATTR_VERITY, general::STATX_ATTR_DAX,
        general::STATX_ATTR_WRITE_ATOMIC,
    }
};

pub(super) const XATTR: &[Name] = names! {
    bits { general::XATTR_CREATE, general::XATTR_REPLACE }
};

pub(super) const INOTIFY: &[Name] = names! {
    bits { general::IN_NONBLOCK, general::IN_CLOEXEC }
};

pub(super) const INOTIFY_MASK: &[Name] = names! {
    bits {
        general::IN_ACCESS, general::IN_MODIFY, general::IN_ATTRIB, general::IN_CLOSE_WRITE,
        general::IN_CLOSE_NOWRITE, general::IN_OPEN, general::IN_MOVED_FROM, general::IN_MOVED_TO, general::IN_CREATE,
        general::IN_DELETE, general::IN_DELETE_SELF, general::IN_MOVE_SELF, general::IN_UNMOUNT, general::IN_ONLYDIR,
        general::IN_DONT_FOLLOW, general::IN_EXCL_UNLINK, general::IN_MASK_CREATE, general::IN_MASK_ADD,
        general::IN_ISDIR, general::IN_ONESHOT,
    }
};

pub(super) const FANOTIFY: &[Name] = names! {
    in (libc::FAN_CLASS_CONTENT|libc::FAN_CLASS_PRE_CONTENT) {
        libc::FAN_CLASS_NOTIF, libc::FAN_CLASS_CONTENT, libc::FAN_CLASS_PRE_CONTENT,
    }
    bits {
        libc::FAN_CLOEXEC, libc::FAN_NONBLOCK, libc::FAN_UNLIMITED_QUEUE, libc::FAN_UNLIMITED_MARKS,
        libc::FAN_ENABLE_AUDIT, libc::FAN_REPORT_PIDFD, libc::FAN_REPORT_TID, libc::FAN_REPORT_FID,
        libc::FAN_REPORT_DIR_FID, libc::FAN_REPORT_NAME, libc::FAN_REPORT_TARGET_FID,
    }
};

pub(super) const FANOTIFY_MARK: &[Name] = names! {
    bits {
        libc::FAN_MARK_ADD, libc::FAN_MARK_REMOVE, libc::FAN_MARK_DONT_FOLLOW, libc::FAN_MARK_ONLYDIR,
        libc::FAN_MARK_MOUNT, libc::FAN_MARK_IGNORED_MASK, libc::FAN_MARK_IGNORED_SURV_MODIFY, libc::FAN_MARK_FLUSH,
        libc::FAN_MARK_FILESYSTEM, libc::FAN_MARK_EVICTABLE, libc::FAN_MARK_IGNORE,
    }
};

pub(super) const FANOTIFY_MASK: &[Name] = names! {
    bits {
        libc::FAN_ACCESS, libc::FAN_MODIFY, libc::FAN_ATTRIB, libc::FAN_CLOSE_WRITE, libc::FAN_CLOSE_NOWRITE,
        libc::FAN_OPEN, libc::FAN_MOVED_FROM, libc::FAN_MOVED_TO, libc::FAN_CREATE, libc::FAN_DELETE,
        libc::FAN_DELETE_SELF, libc::FAN_MOVE_SELF, libc::FAN_OPEN_EXEC, libc::FAN_OPEN_PERM, libc::FAN_ACCESS_PERM,
        libc::FAN_OPEN_EXEC_PERM, libc::FAN_RENAME, libc::FAN_ONDIR, libc::FAN_EVENT_ON_CHILD,
    }
};

pub(super) const MOUNT: &[Name] = names! {
    bits {
        general::MS_RDONLY, general::MS_NOSUID, general::MS_NODEV, general::MS_NOEXEC, general::MS_SYNCHRONOUS,
        general::MS_REMOUNT, general::MS_MANDLOCK, general::MS_DIRSYNC, general::MS_NOSYMFOLLOW, general::MS_NOATIME,
        general::MS_NODIRATIME, general::MS_BIND, general::MS_MOVE, general::MS_REC, general::MS_SILENT,
        general::MS_POSIXACL, general::MS_UNBINDABLE, general::MS_PRIVATE, general::MS_SLAVE, general::MS_SHARED,
        general::MS_RELATIME, general::MS_I_VERSION, general::MS_STRICTATIME, general::MS_LAZYTIME,
    }
};

pub(super) const UMOUNT: &[Name] = names! {
    bits { general::MNT_FORCE, general::MNT_DETACH, general::MNT_EXPIRE, general::UMOUNT_NOFOLLOW }
};

pub(super) const OPEN_TREE: &[Name] = names! {
    bits {
        general::OPEN_TREE_CLONE, general::OPEN_TREE_CLOEXEC, general::AT_SYMLINK_NOFOLLOW, general::AT_NO_AUTOMOUNT,
        general::AT_EMPTY_PATH, general::AT_RECURSIVE,
    }
};

pub(super) const MOVE_MOUNT: &[Name] = names! {
    bits {
        general::MOVE_MOUNT_F_SYMLINKS, general::MOVE_MOUNT_F_AUTOMOUNTS, general::MOVE_MOUNT_F_EMPTY_PATH,
        general::MOVE_MOUNT_T_SYMLINKS, general::MOVE_MOUNT_T_AUTOMOUNTS, general::MOVE_MOUNT_T_EMPTY_PATH,
        general::MOVE_MOUNT_SET_GROUP, general::MOVE_MOUNT_BENEATH,
    }
};

pub(super) const FSOPEN: &[Name] = names! {
    bits { general::FSOPEN_CLOEXEC }
};

pub(super) const FSCONFIG: &[Name] = names! {
    in (CHOICE) {
        fsconfig_command::FSCONFIG_SET_FLAG, fsconfig_command::FSCONFIG_SET_STRING,
        fsconfig_command::FSCONFIG_SET_BINARY, fsconfig_command::FSCONFIG_SET_PATH,
        fsconfig_command::FSCONFIG_SET_PATH_EMPTY, fsconfig_command::FSCONFIG_SET_FD,
        fsconfig_command::FSCONFIG_CMD_CREATE, fsconfig_command::FSCONFIG_CMD_RECONFIGURE,
        fsconfig_command::FSCONFIG_CMD_CREATE_EXCL,
    }
};

pub(super) const FSMOUNT: &[Name] = names! {
    bits { general::FSMOUNT_CLOEXEC }
};

pub(super) const FSPICK: &[Name] = names! {
    bits {
        general::FSPICK_CLOEXEC, general::FSPICK_SYMLINK_NOFOLLOW, general::FSPICK_NO_AUTOMOUNT,
        general::FSPICK_EMPTY_PATH,
    }
};

pub(super) const MOUNT_ATTR: &[Name] = names! {
    bits {
        general::MOUNT_ATTR_RDONLY, general::MOUNT_ATTR_NOSUID, general::MOUNT_ATTR_NODEV, general::MOUNT_ATTR_NOEXEC,
        general::MOUNT_ATTR_NOATIME, general::MOUNT_ATTR_STRICTATIME, general::MOUNT_ATTR_NODIRATIME,
        general::MOUNT_ATTR_IDMAP, general::MOUNT_ATTR_NOSYMFOLLOW,
    }
};

pub(in crate::trace) const FILE_TYPE: &[Name] = names! {
    in (CHOICE) {
        general::S_IFSOCK, general::S_IFLNK, general::S_IFREG, general::S_IFBLK, general::S_IFDIR, general::S_IFCHR,
        general::S_IFIFO,
    }
};

pub(in crate::trace) const FILE_SYSTEM: &[Name] = names! {
    in (CHOICE) {
        general::EXT2_SUPER_MAGIC, general::TMPFS_MAGIC, general::RAMFS_MAGIC, general::OVERLAYFS_SUPER_MAGIC,
        general::PROC_SUPER_MAGIC, general::SYSFS_MAGIC, general::CGROUP_SUPER_MAGIC, general::CGROUP2_SUPER_MAGIC,
        general::DEVPTS_SUPER_MAGIC, general::XFS_SUPER_MAGIC, general::BTRFS_SUPER_MAGIC, general::FUSE_SUPER_MAGIC,
        general::NFS_SUPER_MAGIC, general::PIPEFS_MAGIC, general::SOCKFS_MAGIC, general::NSFS_MAGIC,
        general::ANON_INODE_FS_MAGIC, general::HUGETLBFS_MAGIC, general::SQUASHFS_MAGIC, general::V9FS_MAGIC,
        general::DEBUGFS_MAGIC, general::TRACEFS_MAGIC, general::SECURITYFS_MAGIC, general::BPF_FS_MAGIC,
        general::BINFMTFS_MAGIC, general::F2FS_SUPER_MAGIC, general::PID_FS_MAGIC,
    }
};

pub(in crate::trace) const STATFS_FLAGS: &[Name] = names! {
    bits {
        libc::ST_RDONLY, libc::ST_NOSUID, libc::ST_NODEV, libc::ST_NOEXEC, libc::ST_SYNCHRONOUS, libc::ST_MANDLOCK,
        libc::ST_NOATIME, libc::ST_NODIRATIME, libc::ST_RELATIME,
    }
};

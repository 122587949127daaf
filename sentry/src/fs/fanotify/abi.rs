//! Numbers of fanotify(7): linux/fanotify.h, which nobody exports.

/// FAN_ACCESS; up to `OPEN` they are inotify's.
pub const ACCESS: u64 = 0x1;
/// FAN_MODIFY.
pub const MODIFY: u64 = 0x2;
/// FAN_CLOSE_WRITE.
pub const CLOSE_WRITE: u64 = 0x8;
/// FAN_CLOSE_NOWRITE.
pub const CLOSE_NOWRITE: u64 = 0x10;
/// FAN_OPEN.
pub const OPEN: u64 = 0x20;
/// FAN_OPEN_EXEC.
pub const OPEN_EXEC: u64 = 0x1000;
/// FAN_Q_OVERFLOW.
pub const OVERFLOW: u64 = 0x4000;
/// FAN_OPEN_PERM.
pub const OPEN_PERM: u64 = 0x1_0000;
/// FAN_ACCESS_PERM.
pub const ACCESS_PERM: u64 = 0x2_0000;
/// FAN_OPEN_EXEC_PERM.
pub const OPEN_EXEC_PERM: u64 = 0x4_0000;
/// FAN_EVENT_ON_CHILD.
pub const ON_CHILD: u64 = 0x0800_0000;
/// FAN_ONDIR.
pub const ON_DIR: u64 = 0x4000_0000;

/// Events that tell of an open file.
pub const EVENTS: u64 = ACCESS | MODIFY | CLOSE_WRITE | CLOSE_NOWRITE | OPEN | OPEN_EXEC;
/// Events that ask.
pub const QUESTIONS: u64 = OPEN_PERM | ACCESS_PERM | OPEN_EXEC_PERM;
/// FANOTIFY_EVENT_FLAGS.
pub const EVENT_FLAGS: u64 = ON_CHILD | ON_DIR;

/// FAN_CLOEXEC.
pub const CLOEXEC: u32 = 0x1;
/// FAN_NONBLOCK.
pub const NONBLOCK: u32 = 0x2;
/// FAN_CLASS_CONTENT; FAN_CLASS_NOTIF is 0.
pub const CLASS_CONTENT: u32 = 0x4;
/// FAN_CLASS_PRE_CONTENT.
pub const CLASS_PRE_CONTENT: u32 = 0x8;
/// FAN_UNLIMITED_QUEUE.
pub const UNLIMITED_QUEUE: u32 = 0x10;
/// FAN_UNLIMITED_MARKS.
pub const UNLIMITED_MARKS: u32 = 0x20;
/// FAN_REPORT_PIDFD.
pub const REPORT_PIDFD: u32 = 0x80;
/// FAN_REPORT_TID.
pub const REPORT_TID: u32 = 0x100;
/// FAN_REPORT_FID, FAN_REPORT_DIR_FID, FAN_REPORT_NAME, FAN_REPORT_TARGET_FID.
pub const REPORT_FIDS: u32 = 0x1e00;

/// FAN_MARK_ADD.
pub const MARK_ADD: u32 = 0x1;
/// FAN_MARK_REMOVE.
pub const MARK_REMOVE: u32 = 0x2;
/// FAN_MARK_DONT_FOLLOW.
pub const MARK_DONT_FOLLOW: u32 = 0x4;
/// FAN_MARK_ONLYDIR.
pub const MARK_ONLYDIR: u32 = 0x8;
/// FAN_MARK_MOUNT; FAN_MARK_INODE is 0.
pub const MARK_MOUNT: u32 = 0x10;
/// FAN_MARK_IGNORED_MASK.
pub const MARK_IGNORED: u32 = 0x20;
/// FAN_MARK_IGNORED_SURV_MODIFY.
pub const MARK_SURVIVES: u32 = 0x40;
/// FAN_MARK_FLUSH.
pub const MARK_FLUSH: u32 = 0x80;
/// FAN_MARK_FILESYSTEM.
pub const MARK_FILESYSTEM: u32 = 0x100;
/// FAN_MARK_EVICTABLE.
pub const MARK_EVICTABLE: u32 = 0x200;

/// FAN_ALLOW.
pub const ALLOW: u32 = 0x1;
/// FAN_DENY.
pub const DENY: u32 = 0x2;
/// FANOTIFY_METADATA_VERSION.
pub const VERSION: u8 = 3;
/// FAN_NOFD, FAN_NOPIDFD.
pub const NO_FD: i32 = -1;
/// FAN_EPIDFD.
pub const NO_PIDFD: i32 = -2;
/// FAN_EVENT_INFO_TYPE_PIDFD.
pub const INFO_PIDFD: u8 = 4;

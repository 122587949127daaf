//! listmount, statmount.

use super::UserPtr;
use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::fs::Mount;
use crate::fs::statmount::{FIRST, View, attributes, shown_part, unique_id};
use crate::task::Current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;
use syscalls::Sysno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// `struct mnt_id_req`, without its size.
struct Request {
    mount: u64,
    parameter: u64,
    namespace: u64,
}

/// Reads what is asked for: a structure that may be of another version.
fn read_request(current: &Current, at: UserPtr<u8>) -> Result<Request, Errno> {
    /// A word in front: the size and a spare.
    const WORDS: usize = size_of::<raw::mnt_id_req>() / size_of::<u64>();
    let size = at.cast::<u32>().read(current)? as usize;
    if size > PAGE_SIZE as usize {
        return Err(Errno::E2BIG);
    }
    if size < raw::MNT_ID_REQ_SIZE_VER0 as usize {
        return Err(Errno::EINVAL);
    }
    let bytes = at.read_vec(current, size)?;
    let known = bytes.len().min(WORDS * size_of::<u64>());
    if bytes.get(known..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        return Err(Errno::E2BIG);
    }
    let mut words = [0u64; WORDS];
    words.as_mut_bytes()[..known].copy_from_slice(&bytes[..known]);
    let [head, mount, parameter, namespace] = words;
    if head >> 32 != 0 || mount <= FIRST {
        return Err(Errno::EINVAL);
    }
    Ok(Request { mount, parameter, namespace })
}

/// listmount(2).
pub fn listmount(
    current: &mut Current,
    request: UserPtr<u8>,
    to: UserPtr<u64>,
    count: usize,
    flags: u32,
) -> Result<usize, Errno> {
    /// Numbers at most (fs/namespace.c).
    const MOST: usize = 1_000_000;
    if flags & !raw::LISTMOUNT_REVERSE != 0 {
        return Err(Errno::EINVAL);
    }
    if count > MOST {
        return Err(Errno::EOVERFLOW);
    }
    let request = read_request(current, request)?;
    if request.parameter != 0 && request.parameter <= FIRST {
        return Err(Errno::EINVAL);
    }
    let view = View::of(current, request.namespace)?;
    let mut ids = view.list(request.mount, request.parameter, flags & raw::LISTMOUNT_REVERSE != 0)?;
    ids.truncate(count);
    to.write_slice(current, &ids)?;
    Ok(ids.len())
}

/// `struct statmount`, without the text behind it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct StatMount {
    size: u32,
    options: u32,
    mask: u64,
    device: [u32; 2],
    magic: u64,
    super_flags: u32,
    kind: u32,
    id: u64,
    parent: u64,
    old_id: u32,
    old_parent: u32,
    attributes: u64,
    propagation: u64,
    peer_group: u64,
    master: u64,
    propagate_from: u64,
    root: u32,
    point: u32,
    namespace: u64,
    subkind: u32,
    source: u32,
    option_count: u32,
    option_array: u32,
    security_count: u32,
    security_array: u32,
    supported: u64,
    maps: [u32; 4],
    spare: [u64; 43],
}

const _: () = {
    assert!(size_of::<StatMount>() == size_of::<raw::statmount>());
    assert!(offset_of!(StatMount, root) == offset_of!(raw::statmount, mnt_root));
    assert!(offset_of!(StatMount, supported) == offset_of!(raw::statmount, supported_mask));
};

/// Everything that can be asked for. What no mount here has is not answered: a subtype, security options, mapped ids.
const SUPPORTED: u32 = raw::STATMOUNT_SB_BASIC
    | raw::STATMOUNT_MNT_BASIC
    | raw::STATMOUNT_PROPAGATE_FROM
    | raw::STATMOUNT_MNT_ROOT
    | raw::STATMOUNT_MNT_POINT
    | raw::STATMOUNT_FS_TYPE
    | raw::STATMOUNT_MNT_NS_ID
    | raw::STATMOUNT_MNT_OPTS
    | raw::STATMOUNT_FS_SUBTYPE
    | raw::STATMOUNT_SB_SOURCE
    | raw::STATMOUNT_OPT_ARRAY
    | raw::STATMOUNT_OPT_SEC_ARRAY
    | raw::STATMOUNT_SUPPORTED_MASK
    | raw::STATMOUNT_MNT_UIDMAP
    | raw::STATMOUNT_MNT_GIDMAP;

/// What of that is text.
const TEXTS: u32 = SUPPORTED
    & !(raw::STATMOUNT_SB_BASIC
        | raw::STATMOUNT_MNT_BASIC
        | raw::STATMOUNT_PROPAGATE_FROM
        | raw::STATMOUNT_MNT_NS_ID
        | raw::STATMOUNT_SUPPORTED_MASK);

/// An answer in the making.
struct Answer {
    wanted: u64,
    fixed: StatMount,
    /// Texts, each with its NUL; the first is the empty one.
    text: Vec<u8>,
}

impl Answer {
    /// Whether that is asked for; it is answered then.
    fn wants(&mut self, bit: u32) -> bool {
        let wanted = self.wanted & u64::from(bit) != 0;
        if wanted {
            self.fixed.mask |= u64::from(bit);
        }
        wanted
    }

    /// The place of a text, if that is asked for and there is one.
    fn text(&mut self, bit: u32, text: &[u8]) -> u32 {
        if text.is_empty() || !self.wants(bit) {
            return 0;
        }
        let place = self.text.len() as u32;
        self.text.extend_from_slice(text);
        self.text.push(0);
        place
    }

    fn basics(&mut self, view: &View, mount: &Arc<Mount>) -> Result<(), Errno> {
        if self.wants(raw::STATMOUNT_SB_BASIC) {
            let device = mount.root().inode().attr()?.dev;
            self.fixed.device = [(device >> 32) as u32, device as u32];
            self.fixed.magic = mount.root().inode().stat_fs()?.kind;
            self.fixed.super_flags = if mount.shows_read_only() { raw::MS_RDONLY } else { 0 };
        }
        let propagation = mount.propagation();
        if self.wants(raw::STATMOUNT_MNT_BASIC) {
            let parent = mount.mount_point().map_or(mount.clone(), |place| place.mount().clone());
            self.fixed.id = unique_id(mount);
            self.fixed.parent = unique_id(&parent);
            self.fixed.old_id = mount.id();
            self.fixed.old_parent = parent.id();
            self.fixed.attributes = attributes(mount.flags());
            self.fixed.propagation = u64::from(propagation.flags());
            (self.fixed.peer_group, self.fixed.master) = propagation.groups();
        }
        if self.wants(raw::STATMOUNT_PROPAGATE_FROM) {
            self.fixed.propagate_from = propagation.groups().1;
        }
        if self.wants(raw::STATMOUNT_MNT_NS_ID) {
            self.fixed.namespace = view.number();
        }
        if self.wants(raw::STATMOUNT_SUPPORTED_MASK) {
            self.fixed.supported = u64::from(SUPPORTED);
        }
        Ok(())
    }

    fn texts(&mut self, view: &View, mount: &Arc<Mount>) {
        let info = mount.info();
        self.fixed.kind = self.text(raw::STATMOUNT_FS_TYPE, info.kind.as_bytes());
        self.fixed.root = self.text(raw::STATMOUNT_MNT_ROOT, &shown_part(mount));
        self.fixed.point = self.text(raw::STATMOUNT_MNT_POINT, &view.place(mount).unwrap_or_default());
        self.fixed.options = self.text(raw::STATMOUNT_MNT_OPTS, info.options.as_bytes());
        let list: Vec<u8> = info.options.bytes().map(|byte| if byte == b',' { 0 } else { byte }).collect();
        self.fixed.option_array = self.text(raw::STATMOUNT_OPT_ARRAY, &list);
        if self.fixed.option_array != 0 {
            self.fixed.option_count = info.options.split(',').count() as u32;
        }
        let source = if info.source.is_empty() { "none" } else { &info.source };
        self.fixed.source = self.text(raw::STATMOUNT_SB_SOURCE, source.as_bytes());
    }
}

/// statmount(2).
pub fn statmount(
    current: &mut Current,
    request: UserPtr<u8>,
    to: UserPtr<u8>,
    size: usize,
    flags: u32,
) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let request = read_request(current, request)?;
    let view = View::of(current, request.namespace)?;
    let mount = view.find(request.mount)?;
    let mut answer = Answer { wanted: request.parameter, fixed: StatMount::new_zeroed(), text: Vec::from([0]) };
    answer.basics(&view, &mount)?;
    answer.texts(&view, &mount);
    let text: &[u8] = if request.parameter & u64::from(TEXTS) != 0 { &answer.text } else { &[] };
    if !text.is_empty() && size_of::<StatMount>() + text.len() > size {
        return Err(Errno::EOVERFLOW);
    }
    let fixed = size.min(size_of::<StatMount>());
    answer.fixed.size = (fixed + text.len()) as u32;
    to.nth(fixed).write_slice(current, text)?;
    to.write_slice(current, &answer.fixed.as_bytes()[..fixed])
}

pub(super) const ROWS: &[Row] = &[
    row!(listmount = listmount(4), Partial, "compared by hand with Linux 6.18, by no test"),
    row!(statmount = statmount(4), Partial, "compared by hand with Linux 6.18, by no test"),
];

#[cfg(test)]
mod tests {
    use super::{StatMount, listmount, raw, statmount};
    use crate::errno::Errno;
    use crate::fake::{USER_MEMORY, read_user, write_user};
    use crate::fs::statmount::{FIRST, ROOT, unique_id};
    use crate::fs::tests::on_tmpfs;
    use crate::syscall::UserPtr;
    use crate::task::Current;
    use linker::addr::UserVa;
    use std::vec::Vec;
    use zerocopy::{FromBytes, IntoBytes};

    const ANSWER: UserVa = UserVa::new(USER_MEMORY.raw() + 4096);
    const FIXED: usize = size_of::<StatMount>();

    fn ask(current: &mut Current, mount: u64, wanted: u32, size: usize) -> Result<(StatMount, Vec<u8>), Errno> {
        put(current, mount, u64::from(wanted));
        statmount(current, UserPtr::new(USER_MEMORY), UserPtr::new(ANSWER), size, 0)?;
        let bytes = read_user(current, ANSWER, 4096);
        let (fixed, rest) = StatMount::read_from_prefix(&bytes).unwrap();
        Ok((fixed, rest[..(fixed.size as usize).saturating_sub(FIXED)].to_vec()))
    }

    fn put(current: &Current, mount: u64, parameter: u64) {
        write_user(current, USER_MEMORY, [u64::from(raw::MNT_ID_REQ_SIZE_VER1), mount, parameter, 0].as_bytes());
    }

    fn list(current: &mut Current, parent: u64, after: u64, flags: u32) -> Result<usize, Errno> {
        put(current, parent, after);
        listmount(current, UserPtr::new(USER_MEMORY), UserPtr::new(ANSWER), 8, flags)
    }

    #[test]
    fn texts_follow_an_empty_one_and_need_room() {
        let mut current = on_tmpfs();
        let id = unique_id(&current.fs.namespace().root());
        let (fixed, text) = ask(&mut current, id, raw::STATMOUNT_MNT_ROOT, FIXED + 3).unwrap();
        assert_eq!((fixed.mask, fixed.root, &text[..]), (u64::from(raw::STATMOUNT_MNT_ROOT), 1, &b"\0/\0"[..]));
        assert_eq!(ask(&mut current, id, raw::STATMOUNT_MNT_ROOT, FIXED + 2).err(), Some(Errno::EOVERFLOW));
        let (fixed, text) = ask(&mut current, id, raw::STATMOUNT_FS_SUBTYPE, 4096).unwrap();
        assert_eq!((fixed.mask, fixed.size as usize, text.len()), (0, FIXED + 1, 1));
        let (fixed, _) = ask(&mut current, id, raw::STATMOUNT_MNT_BASIC, FIXED).unwrap();
        assert_eq!((fixed.id, fixed.propagation), (id, u64::from(raw::MS_PRIVATE)));
        assert_eq!(ask(&mut current, id + 1_000_000, raw::STATMOUNT_MNT_BASIC, FIXED).err(), Some(Errno::ENOENT));
        assert_eq!(ask(&mut current, FIRST, raw::STATMOUNT_MNT_BASIC, FIXED).err(), Some(Errno::EINVAL));
    }

    #[test]
    fn the_root_is_listed_below_itself_only_as_the_root() {
        let mut current = on_tmpfs();
        let id = unique_id(&current.fs.namespace().root());
        assert_eq!(list(&mut current, ROOT, 0, 0), Ok(1));
        assert_eq!(read_user(&current, ANSWER, 8), id.to_ne_bytes());
        assert_eq!(list(&mut current, id, 0, 0), Ok(0));
        assert_eq!(list(&mut current, ROOT, id, 0), Ok(0));
        assert_eq!(list(&mut current, ROOT, id + 1, raw::LISTMOUNT_REVERSE), Ok(1));
        assert_eq!(list(&mut current, ROOT, 7, 0), Err(Errno::EINVAL));
        assert_eq!(list(&mut current, ROOT, 0, 2), Err(Errno::EINVAL));
    }
}

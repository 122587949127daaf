//! The ways a thread's paths went lately: which directory some text led to, so that a name beside the last one is found without going
//! through all directories above it again.
//!
//! Programs look for many names in few directories (modules, headers, a tree). A way is learnt when the same text was walked twice in
//! a row. It holds as long as nothing happened that could lead the text elsewhere or refuse it: `changed` is called, after the change,
//! wherever a directory loses its name, a mount comes or goes, or a directory's permissions change. What somebody outside may change
//! is believed as long as each of the directories is (`Dentry::believed_until`). The way belongs to the credentials it was walked with.
//! Ways with symbolic links or `..` in them are not learnt, and the directory at the end is asked for permission each time.

use super::dentry::Dentry;
use super::mount::Mount;
use super::path::Path;
use crate::platform::platform;
use crate::task::{Credentials, Current};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// Ways a thread remembers.
const WAYS: usize = 4;
/// Longer texts are not remembered, bytes.
const LONGEST: usize = 256;

/// Counts what may have led a way elsewhere.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Something happened after which no learnt way holds any more. To be called when it can be seen.
pub(super) fn changed() {
    CHANGES.fetch_add(1, Ordering::AcqRel);
}

/// The changes so far: to be read before a walk that may be learnt.
#[inline]
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// What one thread remembers.
#[derive(Default)]
pub struct Ways {
    known: [Option<Way>; WAYS],
    /// `changes` when the newest was learnt: one that is older holds no more.
    changes: u64,
    next: usize,
    /// The text of the last walk that was not known.
    seen: Vec<u8>,
}

struct Way {
    /// From the beginning of the path up to its last component, slashes included.
    text: Vec<u8>,
    from: Place,
    to: Place,
    creds: Arc<Credentials>,
    /// Monotonic, ns.
    until_ns: u64,
}

/// A `Path` that keeps neither a mount busy nor a file alive.
struct Place {
    mount: Weak<Mount>,
    dentry: Weak<Dentry>,
}

/// A walk that has come to the last component of its path.
pub(super) struct Walked<'a> {
    /// The path up to there.
    pub text: &'a [u8],
    pub from: &'a Path,
    pub to: &'a Path,
    /// `changes` from before.
    pub changes: u64,
}

/// Notes a walk of the thread's that went through more directories than were known.
#[inline(never)]
pub(super) fn note(current: &Current, walked: &Walked<'_>) {
    if let Ok(mut ways) = current.ways.try_borrow_mut() {
        ways.note(walked, &current.creds);
    }
}

impl Ways {
    /// Where the longest known beginning of `path` leads, and its length. `now`: `changes`.
    #[inline]
    pub(super) fn find(&self, now: u64, from: &Path, creds: &Arc<Credentials>, path: &[u8]) -> Option<(Path, usize)> {
        // Nothing was learnt since the last change: most threads, most of the time.
        if self.changes == now { self.longest(from, creds, path) } else { None }
    }

    fn longest(&self, from: &Path, creds: &Arc<Credentials>, path: &[u8]) -> Option<(Path, usize)> {
        let mut best: Option<&Way> = None;
        for way in self.known.iter().flatten() {
            let len = way.text.len();
            // Only where a component follows at once: of several slashes the walk has to know.
            let next = path.get(len).is_some_and(|byte| *byte != b'/') && path.get(len - 1) == Some(&b'/');
            if next && best.is_none_or(|best| best.text.len() < len) && path.starts_with(&way.text) {
                best = Some(way);
            }
        }
        let way = best?;
        let holds = Arc::ptr_eq(creds, &way.creds)
            && way.from.is(from)
            && (way.until_ns == u64::MAX || platform().monotonic_ns() < way.until_ns);
        let to = if holds { way.to.path()? } else { return None };
        Some((to, way.text.len()))
    }

    /// Learns the walk if it is the same as the last one.
    fn note(&mut self, walked: &Walked<'_>, creds: &Arc<Credentials>) {
        let text = walked.text;
        if text.len() > LONGEST {
            return;
        }
        if self.seen != text {
            self.seen.clear();
            self.seen.extend_from_slice(text);
            return;
        }
        let until_ns = believed_until(walked);
        if until_ns == 0 {
            return;
        }
        if self.changes != walked.changes {
            self.known = Default::default();
            self.changes = walked.changes;
        }
        let old = self.known.iter().position(|way| way.as_ref().is_some_and(|way| way.text == text));
        let place = old.unwrap_or(self.next);
        if old.is_none() {
            self.next = (self.next + 1) % WAYS;
        }
        let way = Way {
            text: text.to_vec(),
            from: Place::of(walked.from),
            to: Place::of(walked.to),
            creds: creds.clone(),
            until_ns,
        };
        if let Some(slot) = self.known.get_mut(place) {
            *slot = Some(way);
        }
    }
}

/// Until when all directories of the way are believed to be where they are; 0: not at all.
fn believed_until(walked: &Walked<'_>) -> u64 {
    let (mut at, mut until_ns) = (walked.to.clone(), u64::MAX);
    let mut covered = false;
    while at != *walked.from {
        if Arc::ptr_eq(at.dentry(), at.mount().root()) {
            let Some(below) = at.mount().mount_point() else { return 0 };
            // It is there as long as the mount on it is.
            (at, covered) = (below, true);
            continue;
        }
        if !covered {
            until_ns = until_ns.min(at.dentry().believed_until());
        }
        let Some(parent) = at.dentry().parent() else { return 0 };
        (at, covered) = (Path::new(at.mount().clone(), parent), false);
    }
    until_ns
}

impl Place {
    fn of(path: &Path) -> Self {
        Self { mount: Arc::downgrade(path.mount()), dentry: Arc::downgrade(path.dentry()) }
    }

    /// Whether it is this one. (An allocation with a `Weak` left is not used again, so the addresses say it.)
    fn is(&self, path: &Path) -> bool {
        core::ptr::eq(self.dentry.as_ptr(), Arc::as_ptr(path.dentry()))
            && core::ptr::eq(self.mount.as_ptr(), Arc::as_ptr(path.mount()))
    }

    fn path(&self) -> Option<Path> {
        Some(Path::new(self.mount.upgrade()?, Dentry::revive(&self.dentry)?))
    }
}

#[cfg(test)]
mod tests {
    use super::changes;
    use crate::fs::tests::{mkdir, on_tmpfs};
    use crate::fs::{LookupFlags, Path, lookup, rename};
    use crate::syscall::Fd;
    use crate::task::Current;

    fn known(current: &Current, path: &str) -> Option<(Path, usize)> {
        current.ways.borrow().find(changes(), &current.fs.root(), &current.creds, path.as_bytes())
    }

    fn walk(current: &Current, path: &str) {
        lookup(current, Fd::CWD, path.as_bytes(), LookupFlags::FOLLOW).expect("it is there");
    }

    #[test]
    fn a_way_is_learnt_when_it_is_walked_again_and_forgotten_when_a_directory_moves() {
        let current = on_tmpfs();
        let directories = ["/one", "/one/two", "/one/two/three", "/one/two/three/four"];
        let last = directories.map(|path| mkdir(&current, path));
        // The tests beside this one change directories too, and then all ways are gone.
        let tries = (0..10_000).find_map(|_| {
            walk(&current, "/one/two/three/four");
            walk(&current, "/one/two/three/four");
            known(&current, "/one/two/three/new")
        });
        let (to, length) = tries.expect("it was learnt");
        assert!(to == last[2]);
        assert_eq!(length, "/one/two/three/".len());
        assert!(known(&current, "/one/two/three//new").is_none(), "slashes are the walk's");
        assert!(known(&current, "/one/two/three/").is_none(), "no component follows");
        rename(&current, Fd::CWD, b"/one/two", Fd::CWD, b"/one/other", 0).expect("renamed");
        assert!(known(&current, "/one/two/three/new").is_none());
    }
}

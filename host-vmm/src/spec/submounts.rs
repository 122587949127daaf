//! The host's mounts below a directory that a container gets with `rbind`: each becomes a mount of the container's, too, so that it is
//! seen in its `/proc/mounts` and can have options of its own.

use linux_raw_sys::general as raw;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A mount of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submount {
    /// Where, from the top of the host's tree.
    pub path: PathBuf,
    /// MS_*.
    pub flags: u32,
}

/// Those strictly below `source`, a directory, that can be reached at all; none where it is not there.
pub fn below(source: &Path) -> Vec<Submount> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let Ok(source) = source.canonicalize() else { return Vec::new() };
    let mut found = listed(&text, &source);
    found.retain(|submount| submount.path.symlink_metadata().is_ok());
    found
}

/// From a mountinfo (proc_pid_mountinfo(5)): 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
fn listed(mountinfo: &[u8], source: &Path) -> Vec<Submount> {
    let mut found: Vec<Submount> = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (Some(path), Some(options)) = (fields.next(), fields.next()) else { continue };
        let path = PathBuf::from(unescape(path));
        // Those are hidden now.
        found.retain(|earlier| !earlier.path.starts_with(&path));
        if path != source && path.starts_with(source) {
            found.push(Submount { path, flags: flags(options) });
        }
    }
    found
}

fn flags(options: &[u8]) -> u32 {
    let mut flags = raw::MS_STRICTATIME;
    for option in options.split(|byte| *byte == b',') {
        match option {
            b"ro" => flags |= raw::MS_RDONLY,
            b"nosuid" => flags |= raw::MS_NOSUID,
            b"nodev" => flags |= raw::MS_NODEV,
            b"noexec" => flags |= raw::MS_NOEXEC,
            b"nosymfollow" => flags |= raw::MS_NOSYMFOLLOW,
            b"nodiratime" => flags |= raw::MS_NODIRATIME,
            b"noatime" => flags = flags & !raw::MS_STRICTATIME | raw::MS_NOATIME,
            b"relatime" => flags &= !raw::MS_STRICTATIME,
            _ => {}
        }
    }
    flags
}

/// Blanks and the like are octal numbers behind a backslash.
fn unescape(text: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let digits =
            more.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    OsString::from_vec(out)
}

/// Where it is in a container that has `source` on `destination`.
pub fn inside(submount: &Submount, source: &Path, destination: &Path) -> Option<Vec<u8>> {
    let source = source.canonicalize().ok()?;
    let below = submount.path.strip_prefix(source).ok()?;
    Some(destination.join(below).as_os_str().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_and_not_hidden_is_found() {
        let text = b"\
20 1 8:1 / / rw,relatime - ext4 /dev/vda rw
21 20 0:5 / /a/hidden rw - tmpfs tmpfs rw
22 20 0:6 / /a rw,relatime shared:1 - tmpfs tmpfs rw
23 22 0:7 / /a/b\\040c ro,nosuid,noatime - tmpfs tmpfs rw
24 22 0:8 / /a/x rw - tmpfs tmpfs rw
25 20 0:9 / /ab rw - tmpfs tmpfs rw
26 24 0:9 / /a/x/y rw,nodev,relatime - tmpfs tmpfs rw";
        let found = listed(text, Path::new("/a"));
        let path = |index: usize| found[index].path.to_str().expect("text");
        assert_eq!(found.len(), 3);
        assert_eq!((path(0), found[0].flags), ("/a/b c", raw::MS_RDONLY | raw::MS_NOSUID | raw::MS_NOATIME));
        assert_eq!((path(1), found[1].flags), ("/a/x", raw::MS_STRICTATIME));
        assert_eq!((path(2), found[2].flags), ("/a/x/y", raw::MS_NODEV));
    }

    #[test]
    fn a_source_that_is_missing_has_none() {
        assert_eq!(below(Path::new("/no/such/directory")), []);
    }
}

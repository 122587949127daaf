//! Compiled profiles, kept below the state directory: a file a profile, found by the hash of its content and of what compiled it, and
//! trusted only if both are the same and its checksum is right. Anything else is compiled again, and a cache that cannot be
//! written is none. What the compiler had to say is kept with its result, and said every time.
//!
//! ```text
//! magic, 8 bytes │ checksum of the rest, 8 bytes │ Entry, as postcard
//! ```

use super::{convert, warnings};
use crate::spec::oci::Error;
use linker::spec::SeccompSpec;
use oci_spec::runtime::LinuxSeccomp;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory's name, which no container can have (`state::check_id`).
const DIRECTORY: &str = ".seccomp:cache";
const MAGIC: &[u8; 8] = b"RWSECC01";
const HEAD: usize = 16;
/// Entries that are kept; then the oldest goes.
const MOST: usize = 64;
/// No entry is longer than this, in bytes.
const LONGEST: u64 = 16 << 20;
/// What compiles: the version, and a hash of the compiler's own source (build.rs).
const COMPILER: &str = concat!(env!("CARGO_PKG_VERSION"), " ", env!("RINGWALL_SECCOMP_SOURCE"));

/// A profile, ready for the sentry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The rules.
    pub spec: SeccompSpec,
    /// A line each, for whoever runs the container.
    pub warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    compiler: String,
    profile: Vec<u8>,
    spec: SeccompSpec,
    warnings: Vec<String>,
}

/// Compiles a profile, or finds it compiled below `root`.
pub fn compile(root: &Path, profile: &LinuxSeccomp) -> Result<Compiled, Error> {
    let Ok(content) = serde_json::to_vec(profile) else { return compile_now(profile) };
    let path = root.join(DIRECTORY).join(format!("{:016x}", hash(&(COMPILER, &content))));
    if let Some(found) = load(&path, &content) {
        return Ok(found);
    }
    let compiled = compile_now(profile)?;
    let entry = Entry {
        compiler: COMPILER.into(),
        profile: content,
        spec: compiled.spec.clone(),
        warnings: compiled.warnings.clone(),
    };
    // Without a cache everything works as well.
    let _ = store(root, &path, &entry);
    Ok(compiled)
}

fn compile_now(profile: &LinuxSeccomp) -> Result<Compiled, Error> {
    let spec = convert(profile)?;
    Ok(Compiled { spec, warnings: warnings::warnings(profile)? })
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The entry at `path`, if it is whole and is of this content.
fn load(path: &Path, content: &[u8]) -> Option<Compiled> {
    if std::fs::metadata(path).ok()?.len() > LONGEST {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let (head, body) = bytes.split_at_checked(HEAD)?;
    let checksum = head.strip_prefix(MAGIC)?;
    if checksum != hash(&body).to_le_bytes() {
        return None;
    }
    let entry: Entry = postcard::from_bytes(body).ok()?;
    (entry.compiler == COMPILER && entry.profile == content)
        .then_some(Compiled { spec: entry.spec, warnings: entry.warnings })
}

/// Puts an entry in its place as a whole.
fn store(root: &Path, path: &Path, entry: &Entry) -> std::io::Result<()> {
    let directory = root.join(DIRECTORY);
    std::fs::create_dir_all(root)?;
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let body = postcard::to_allocvec(entry).map_err(std::io::Error::other)?;
    let bytes = [MAGIC.as_slice(), &hash(&body.as_slice()).to_le_bytes(), &body].concat();
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    prune(&directory);
    written
}

/// Removes what was written longest ago, as long as there are too many.
fn prune(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    for (_, path) in found.iter().take(found.len().saturating_sub(MOST)) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPILER, Compiled, DIRECTORY, MOST, compile, compile_now, load};
    use oci_spec::runtime::LinuxSeccomp;
    use serde_json::json;
    use std::path::{Path, PathBuf};

    fn profile(errno: u32) -> LinuxSeccomp {
        let rules =
            json!([{"names": ["raed"], "action": "SCMP_ACT_ALLOW"}, {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]);
        serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno, "syscalls": rules}))
            .expect("a profile")
    }

    fn entries(root: &Path) -> Vec<PathBuf> {
        let list = std::fs::read_dir(root.join(DIRECTORY)).expect("a directory");
        list.map(|entry| entry.expect("an entry").path()).collect()
    }

    fn compiled(root: &Path, errno: u32) -> Compiled {
        compile(root, &profile(errno)).expect("sound")
    }

    #[test]
    fn warnings_are_said_by_the_compiler_and_by_the_cache() {
        let root = tempfile::tempdir().expect("directory");
        let first = compiled(root.path(), 1);
        assert!(first.warnings.len() == 1 && first.warnings[0].contains("raed"), "{first:?}");
        let content = serde_json::to_vec(&profile(1)).expect("JSON");
        assert_eq!(load(&entries(root.path())[0], &content), Some(first.clone()));
        assert_eq!(compiled(root.path(), 1), first);
        assert_eq!(entries(root.path()).len(), 1);
        assert_ne!(compiled(root.path(), 2).spec, first.spec);
        assert_eq!(entries(root.path()).len(), 2);
    }

    #[test]
    fn an_entry_that_is_not_what_was_written_is_made_again() {
        let root = tempfile::tempdir().expect("directory");
        let sound = compiled(root.path(), 1);
        let path = entries(root.path()).remove(0);
        let bytes = std::fs::read(&path).expect("read");
        let mut broken: Vec<Vec<u8>> = (0..bytes.len()).step_by(7).map(|len| bytes[..len].to_vec()).collect();
        broken.extend((0..bytes.len()).map(|index| {
            let mut flipped = bytes.clone();
            flipped[index] ^= 0x10;
            flipped
        }));
        for wrong in broken {
            std::fs::write(&path, &wrong).expect("written");
            assert_eq!(compiled(root.path(), 1), sound);
            assert_eq!(std::fs::read(&path).expect("read"), bytes, "it was not made again");
        }
        // A directory in its place is left alone.
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        assert_eq!(compiled(root.path(), 1), sound);
    }

    #[test]
    fn an_entry_of_another_profile_or_compiler_is_not_taken() {
        let root = tempfile::tempdir().expect("directory");
        compiled(root.path(), 1);
        let first = entries(root.path()).remove(0);
        let (one, two) =
            (serde_json::to_vec(&profile(1)).expect("JSON"), serde_json::to_vec(&profile(2)).expect("JSON"));
        assert!(load(&first, &one).is_some() && load(&first, &two).is_none());
        assert!(COMPILER.starts_with(env!("CARGO_PKG_VERSION")) && COMPILER.len() > 16);
    }

    #[test]
    fn a_root_that_cannot_be_written_is_no_reason_to_fail() {
        let sound = compile_now(&profile(1)).expect("sound");
        assert_eq!(compiled(Path::new("/proc/none"), 1), sound);
        assert_eq!(compiled(Path::new("/dev/null"), 1), sound);
    }

    #[test]
    fn old_entries_go() {
        let root = tempfile::tempdir().expect("directory");
        (0..MOST as u32 + 20).for_each(|errno| drop(compiled(root.path(), errno)));
        assert_eq!(entries(root.path()).len(), MOST);
    }

    #[test]
    fn ten_thousand_rules_are_compiled_and_kept() {
        let root = tempfile::tempdir().expect("directory");
        let rules: Vec<_> = (0..10_000)
            .map(|value| json!({"names": ["dup3"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]}))
            .collect();
        let profile: LinuxSeccomp =
            serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).expect("a profile");
        let first = compile(root.path(), &profile).expect("sound");
        assert_eq!((first.spec.rules.len(), first.warnings.len()), (10_000, 0));
        assert_eq!(compile(root.path(), &profile).expect("sound"), first);
    }
}

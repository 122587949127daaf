//! A file that is there as a whole or not at all: written beside its place, and put there when it is complete.

use anyhow::Context;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Whether a file can be made there, as far as that can be told before there is anything to write.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let said = || format!("cannot write {}", path.display());
    if path.is_dir() {
        return Err(std::io::Error::from(ErrorKind::IsADirectory)).with_context(said);
    }
    if is_special(path) {
        return Ok(());
    }
    let beside = beside(path);
    drop(File::create_new(&beside).with_context(said)?);
    std::fs::remove_file(&beside).with_context(said)
}

/// Writes it. What was there before stays if that fails.
pub fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    if is_special(path) {
        return std::fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()));
    }
    let beside = beside(path);
    let written = File::create_new(&beside)
        .and_then(|mut file| {
            file.write_all(contents)?;
            // Some file systems say only now that they are full.
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A pipe, a terminal or a device: written to, not replaced.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// A name in the same directory that nobody else takes.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::{check, write};
    use std::path::Path;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("page.html");
        check(&path).expect("can be made");
        write(&path, b"first").expect("written");
        write(&path, b"second").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_place_where_no_file_can_be_is_told_at_once() {
        let directory = tempfile::tempdir().expect("directory");
        assert!(check(directory.path()).is_err());
        let error = check(Path::new("/no/such/page.html")).expect_err("refused");
        assert!(format!("{error:#}").starts_with("cannot write /no/such/page.html: No such file"));
        let full = format!("{:#}", write(Path::new("/dev/full"), b"x").expect_err("full"));
        assert!(full.starts_with("cannot write /dev/full: No space left"), "{full}");
    }
}

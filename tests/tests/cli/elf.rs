//! Programs that are none: `execve` inside must say of each what Linux says.

use ringwall_tests::outcome::outcome;
use ringwall_tests::{elf, guest_program, inside, is_interpreted, native};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn put(directory: &Path, name: &str, content: &[u8]) {
    let path = directory.join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its permissions");
}

/// `name<TAB>what` for each program in the directory.
fn ends(stdout: &str) -> BTreeMap<String, String> {
    stdout.lines().filter_map(|line| line.split_once('\t')).map(|(name, end)| (name.into(), end.into())).collect()
}

#[test]
fn spoilt_programs_end_as_they_do_natively_and_the_sandbox_lives() {
    let directory = TempDir::new().expect("a directory");
    put(directory.path(), "sound", &elf::sound());
    let mut spoilt = elf::spoilt();
    if is_interpreted() {
        // Starting one takes a fifth of a second.
        spoilt = spoilt.into_iter().step_by(5).collect();
    }
    for (name, content) in &spoilt {
        put(directory.path(), name, content);
    }
    let starter = guest_program("start_each");
    let words = [starter.as_os_str(), directory.path().as_os_str()];
    let natively = ends(&outcome(&mut native(words)).stdout);
    let outcome = outcome(&mut inside(words));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let sandboxed = ends(&outcome.stdout);
    assert_eq!(natively.get("sound").map(String::as_str), Some("exit 42"));
    assert_eq!(natively.len(), spoilt.len() + 1);
    let different: Vec<_> = natively
        .iter()
        .map(|(name, end)| (name, end, sandboxed.get(name)))
        .filter(|(name, end, inside)| Some(*end) != *inside && !may_differ(name, end, &spoilt, *inside))
        .collect();
    assert!(different.is_empty(), "name, natively, inside: {different:#?}");
}

#[test]
fn a_first_program_that_is_spoilt_gives_126_and_one_line() {
    let directory = TempDir::new().expect("a directory");
    let mut arm = elf::sound();
    arm[18] = 183;
    for (name, content) in [("arm64", arm.as_slice()), ("empty", b""), ("header", &elf::sound()[..40])] {
        put(directory.path(), name, content);
        let outcome = outcome(&mut inside([directory.path().join(name)]));
        assert_eq!(outcome.code, 126, "{name}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{name}: {outcome:?}");
        assert!(outcome.stderr.contains(name), "{outcome:?}");
    }
}

/// Segments that lie over each other are refused inside, where Linux has the later one win.
fn may_differ(name: &str, end: &str, spoilt: &[(String, Vec<u8>)], inside: Option<&String>) -> bool {
    let file = spoilt.iter().find(|(spoilt, _)| spoilt == name).map(|(_, file)| file);
    let killed = inside.is_some_and(|end| end == "signal 11");
    // Of several defects another may be the first to be seen.
    killed && (file.is_some_and(|file| elf::overlaps(file)) || name.starts_with("several") && end.starts_with("errno"))
}

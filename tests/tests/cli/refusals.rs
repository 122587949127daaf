//! Machines and callers that cannot run a sandbox get one line and 125; unprivileged ones that can, can.

use ringwall_tests::leftovers::Mark;
use ringwall_tests::outcome::{Outcome, outcome};
use ringwall_tests::{native, ringwall};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// `ringwall do -- true` after `preparation` in a mount namespace of its own.
fn after(preparation: &str) -> Outcome {
    let script = format!("{preparation} && exec {} do --vcpus 1 -- true", ringwall().display());
    let mut command = native(["unshare", "--mount", "sh", "-c", &script]);
    let mark = Mark::put(&mut command);
    let outcome = outcome(&mut command);
    mark.assert_nothing_left();
    outcome
}

/// Mount namespaces and other users are root's.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[test]
fn without_dev_kvm_there_is_one_line_and_125() {
    if is_root() {
        after("mount -t tmpfs none /dev").assert_refused("/dev/kvm");
    }
}

#[test]
fn something_else_at_dev_kvm_is_refused_by_name() {
    if is_root() {
        after("mount --bind /etc/passwd /dev/kvm").assert_refused("/dev/kvm");
        after("mount --bind /dev/null /dev/kvm").assert_refused("/dev/kvm");
        after("mount --bind /dev/zero /dev/kvm").assert_refused("/dev/kvm");
    }
}

/// A user that owns nothing.
const NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

#[test]
fn a_user_who_may_not_open_dev_kvm_is_told_so() {
    if !is_root() {
        return;
    }
    // A copy of the device that is root's alone.
    let numbers = fs::metadata("/dev/kvm").expect("a /dev/kvm").rdev();
    let (major, minor) = (rustix::fs::major(numbers), rustix::fs::minor(numbers));
    let script = format!(
        "mount -t tmpfs none /dev && mknod -m 600 /dev/kvm c {major} {minor} && exec {} {} do --vcpus 1 -- true",
        NOBODY.join(" "),
        ringwall().display()
    );
    let mut command = native(["unshare", "--mount", "sh", "-c", &script]);
    let mark = Mark::put(&mut command);
    outcome(&mut command).assert_refused("/dev/kvm");
    mark.assert_nothing_left();
}

#[test]
fn an_unprivileged_user_runs_programs_as_himself() {
    if !is_root() {
        return;
    }
    let numbers = fs::metadata("/dev/kvm").expect("a /dev/kvm").rdev();
    let (major, minor) = (rustix::fs::major(numbers), rustix::fs::minor(numbers));
    let binary = ringwall();
    let copy = tempfile::Builder::new().prefix("ringwall-").tempdir().expect("a directory");
    fs::copy(&binary, copy.path().join("ringwall")).expect("a copy that everybody may read");
    let script = format!(
        "chmod 755 {0} && mkdir {0}/dev && mount -t tmpfs none {0}/dev && mknod -m 666 {0}/dev/kvm c {major} {minor} && \
         mount --bind {0}/dev/kvm /dev/kvm && exec {1} {0}/ringwall do --vcpus 1 -- \
         sh -c 'id -u; id -g; cat /etc/shadow 2>&1; touch /etc/x 2>&1; touch /tmp/x && echo made; grep CapEff /proc/self/status'",
        copy.path().display(),
        NOBODY.join(" ")
    );
    let mut command = native(["unshare", "--mount", "sh", "-c", &script]);
    let mark = Mark::put(&mut command);
    let outcome = outcome(&mut command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(
        outcome.stdout,
        "65534\n65534\ncat: /etc/shadow: Permission denied\ntouch: cannot touch '/etc/x': Permission denied\nmade\n\
         CapEff:\t0000000000000000\n",
        "{outcome:?}"
    );
    mark.assert_nothing_left();
}

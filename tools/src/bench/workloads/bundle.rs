//! The `config.json` that all runtimes get: what an engine would say, and nothing that one of them lacks.

use serde_json::{Value, json};
use std::path::Path;

/// What differs between two containers.
pub struct Bundle<'a> {
    /// Their root file system.
    pub root: &'a Path,
    /// Bound to `/data`.
    pub data: &'a Path,
    /// The shell's script that is run.
    pub script: &'a str,
    /// The network namespace to join; the caller's if there is none.
    pub network: Option<&'a Path>,
    /// Of the cgroup.
    pub id: &'a str,
}

const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Its text.
pub fn config(bundle: &Bundle) -> Value {
    let mut namespaces: Vec<Value> = ["pid", "ipc", "uts", "mount"].iter().map(|kind| json!({"type": kind})).collect();
    namespaces.extend(bundle.network.map(|path| json!({"type": "network", "path": path})));
    let mount = |at: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": source, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["bash", "-c", bundle.script],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true,
        },
        "root": {"path": bundle.root, "readonly": false},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/data", "bind", &bundle.data.to_string_lossy(), &["rbind", "rw"]),
        ],
        "linux": {"namespaces": namespaces, "cgroupsPath": format!("/bench/{}", bundle.id)},
    })
}

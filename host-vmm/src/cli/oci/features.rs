//! `features`.

use crate::spec;
use serde_json::json;
use std::io::Write;

/// Prints what the runtime knows, in the specification's shape.
pub fn run() -> anyhow::Result<u8> {
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": spec::mount_options(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
            "capabilities": spec::capability_names(),
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false},
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
        },
        "annotations": {"org.ringwall.version": env!("CARGO_PKG_VERSION")},
    });
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&features)?)?;
    Ok(0)
}

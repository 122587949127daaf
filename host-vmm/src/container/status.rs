//! What has become of a container: what its files say, and whether its monitor lives.

use crate::container::state::{Stage, State};
use serde_json::{Value, json};
use std::path::Path;

/// As the runtime specification names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being set up.
    Creating,
    /// Waits for `start`.
    Created,
    /// Runs.
    Running,
    /// Runs, and is stopped for a while.
    Paused,
    /// Has ended.
    Stopped,
}

impl Status {
    /// The specification's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// Whether there is somebody to talk to.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Stopped | Self::Creating)
    }
}

/// What a container is at now.
pub fn of(state: &State) -> Status {
    if process_start(state.pid).is_none_or(|start| start != state.start_time) {
        return match state.stage {
            Stage::Creating if state.pid == 0 => Status::Creating,
            _ => Status::Stopped,
        };
    }
    match state.stage {
        Stage::Creating => Status::Creating,
        _ if state.cgroup.is_frozen() => Status::Paused,
        Stage::Created => Status::Created,
        Stage::Running => Status::Running,
    }
}

/// When a process started, in ticks since boot; `None` when it has ended, be it waited for or not.
pub fn process_start(pid: i32) -> Option<u64> {
    if pid <= 0 {
        return None;
    }
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name in brackets may have brackets and spaces in it; see proc(5) for the order.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    match state {
        "Z" | "X" | "x" => None,
        // `state` is field 3, the start time field 22.
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// The state as `state` and the hooks see it.
pub fn document(state: &State, status: Status) -> Value {
    let pid = if status == Status::Stopped { 0 } else { state.pid };
    let mut document = json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": pid,
        "status": status.name(),
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
    });
    if let (false, Some(fields)) = (state.annotations.is_empty(), document.as_object_mut()) {
        fields.insert("annotations".into(), json!(state.annotations));
    }
    document
}

/// The name of a user of the host's, empty where there is none.
pub fn user_name(uid: u32) -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten()
        .map_or_else(String::new, |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = process_start(std::process::id() as i32);
        assert!(own.is_some());
        assert_eq!(own, process_start(std::process::id() as i32));
        assert_eq!(process_start(0), None);
        assert_eq!(process_start(i32::MAX), None);
    }
}

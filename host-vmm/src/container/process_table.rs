//! Processes inside as processes of the host's: `ps` answers with pids that programs of the host's then look up (`docker top`
//! hands them to the host's ps(1)). A container's own have none, so for a while each gets a stand-in: a sleeping process with its
//! command line and its user, in the container's cgroup, with which it goes in any case.

use crate::container::state::State;
use crate::container::{Error, call};
use linker::control::ProcessInfo;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The variable that makes a process of ours a stand-in.
const VARIABLE: &str = "RINGWALL_STAND_IN";
/// How long it stands.
const STAND: Duration = Duration::from_secs(10);
/// So many at a time.
const MAX_STAND_INS: usize = 4096;
/// A group that owns nothing: which one a process inside has is not said.
const NOBODY: u32 = 65_534;
/// Bytes of a command line that are shown.
const MAX_ARGS: usize = 64 << 10;

/// What `main` does first: if this process is to be a stand-in, it is one, and then ends.
pub fn stand_in() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    std::thread::sleep(STAND);
    Some(ExitCode::SUCCESS)
}

/// Starts stand-ins. Returns their pids, in the order of the processes.
pub fn show(state: &State, processes: &[ProcessInfo]) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    for process in processes.iter().take(MAX_STAND_INS) {
        let (mut args, mut room) = (Vec::new(), MAX_ARGS);
        for arg in &process.args {
            let mut arg: Vec<u8> = arg.iter().copied().filter(|byte| *byte != 0).collect();
            arg.truncate(room);
            room -= arg.len();
            args.push(OsString::from_vec(arg));
        }
        let mut args = args.into_iter();
        let mut command = Command::new("/proc/self/exe");
        command.arg0(args.next().unwrap_or_default()).args(args);
        command.env_clear().env(VARIABLE, "1").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            // Users inside are the host's by number.
            command.uid(process.uid).gid(NOBODY);
        }
        let child = command.spawn().map_err(|error| Error::Io("stand-in".into(), error))?;
        let pid = i32::try_from(child.id()).map_err(|_| call("stand-in")(rustix::io::Errno::OVERFLOW))?;
        state.cgroup.enter(pid)?;
        pids.push(pid);
    }
    Ok(pids)
}

//! Hooks: programs of the host's that are run at points of a container's life, with its state on their standard input.

use crate::container::client::Connection;
use crate::container::{Error, said};
use crate::spec::oci_process;
use linker::control::{Outcome, What};
use oci_spec::runtime::{Hook, Process};
use rustix::fs::MemfdFlags;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(2);
/// Of what a hook printed, so much is repeated.
const MAX_OUTPUT: u64 = 4096;

/// Runs hooks in their order; the first that fails is an error.
pub fn run(hooks: Option<&Vec<Hook>>, state: &Value) -> Result<(), Error> {
    let state = state.to_string();
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        run_one(hook, &state).map_err(|what| said(format!("error running hook #{index}: {what}")))?;
    }
    Ok(())
}

/// Runs hooks whose failures change nothing; says them.
pub fn run_all(hooks: Option<&Vec<Hook>>, state: &Value, mut warn: impl FnMut(String)) {
    let state = state.to_string();
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        if let Err(what) = run_one(hook, &state) {
            warn(format!("error running hook #{index}: {what}"));
        }
    }
}

/// Runs hooks inside the container, which waits for `start` or runs, as its own user; the first that fails is an error.
pub fn run_inside(
    hooks: Option<&Vec<Hook>>,
    connection: &mut Connection,
    process: &Process,
    state: &Value,
) -> Result<(), Error> {
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        run_one_inside(hook, connection, process, state)
            .map_err(|what| said(format!("error running startContainer hook #{index}: {what}")))?;
    }
    Ok(())
}

fn run_one_inside(hook: &Hook, connection: &mut Connection, process: &Process, state: &Value) -> Result<(), String> {
    let mut process = process.clone();
    // The first argument is what is executed.
    let rest = hook.args().iter().flatten().skip(1).cloned();
    let args = std::iter::once(hook.path().display().to_string()).chain(rest).collect();
    process.set_args(Some(args));
    // runc: without one of its own it has the program's.
    if let Some(env) = hook.env() {
        process.set_env(Some(env.clone()));
    }
    process.set_cwd("/".into());
    let process = oci_process::convert(&process).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| error.to_string();
    let mut input = scratch().map_err(failed)?;
    input.write_all(state.to_string().as_bytes()).and_then(|()| input.rewind()).map_err(failed)?;
    let output = scratch().map_err(failed)?;
    let files = vec![input.into(), output.try_clone().map_err(failed)?.into(), output.into()];
    let what = What::Exec {
        container: 0,
        process: Box::new(process),
        stdio: [Some(0), Some(1), Some(2)],
        descriptors: Vec::new(),
        terminal: false,
    };
    match connection.ask(what, files).map_err(|error| error.to_string())? {
        Outcome::Started { .. } => {}
        Outcome::Failed { message, .. } => return Err(message),
        other => return Err(format!("the container answers {other:?}")),
    }
    let limit = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    match connection.wait_exit(limit.map(Duration::from_secs)).map_err(|error| error.to_string())? {
        Some(0) => Ok(()),
        Some(status) => Err(format!("wait status {status:#x}")),
        // Its connection goes, and the hook with it.
        None => Err(format!("hook ran past specified timeout of {}.0s", limit.unwrap_or_default())),
    }
}

fn run_one(hook: &Hook, state: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", hook.path().display());
    if !hook.path().is_absolute() {
        return Err(format!("{}: not an absolute path", hook.path().display()));
    }
    let mut command = Command::new(hook.path());
    if let Some([name, rest @ ..]) = hook.args().as_deref() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    for entry in hook.env().iter().flatten() {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        if name.is_empty() || entry.contains('\0') {
            return Err(format!("environment {entry:?}"));
        }
        command.env(name, value);
    }
    // Files, not pipes: a hook need not read its state, and may print more than anybody reads.
    let mut input = scratch().map_err(failed)?;
    input.write_all(state.as_bytes()).and_then(|()| input.rewind()).map_err(failed)?;
    let (mut out, mut err) = (scratch().map_err(failed)?, scratch().map_err(failed)?);
    command.stdin(input).stdout(out.try_clone().map_err(failed)?).stderr(err.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let limit = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let end = limit.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let how = match (status.code(), status.signal()) {
                    (Some(code), _) => format!("exit status {code}"),
                    (None, signal) => format!("signal {}", signal.unwrap_or_default()),
                };
                let (out, err) = (printed(&mut out), printed(&mut err));
                return Err(format!("error running hook: {how}, stdout: {out}, stderr: {err}"));
            }
            None => {}
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("hook ran past specified timeout of {}.0s", limit.unwrap_or_default()));
        }
        std::thread::sleep(STEP);
    }
}

fn scratch() -> Result<File, std::io::Error> {
    Ok(rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC)?.into())
}

fn printed(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.take(MAX_OUTPUT).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shell(script: &str, timeout: i64) -> Vec<Hook> {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"], "timeout": timeout});
        vec![serde_json::from_value(hook).expect("valid")]
    }

    #[test]
    fn a_hook_reads_the_state() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let hooks = shell(&format!("{{ cat; echo $A; }} >{}", file.path().display()), 10);
        run(Some(&hooks), &json!({"id": "x"})).expect("run");
        assert_eq!(std::fs::read_to_string(file.path()).expect("read"), "{\"id\":\"x\"}b\n");
    }

    #[test]
    fn a_hook_that_fails_is_an_error_with_its_output() {
        let error = run(Some(&shell("echo no >&2; exit 3", 10)), &json!({})).expect_err("failed").to_string();
        assert!(error.contains("hook #0") && error.contains("exit status 3") && error.contains("no\n"), "{error}");
    }

    #[test]
    fn a_hook_has_no_more_than_its_time() {
        let error = run(Some(&shell("exec sleep 60", 1)), &json!({})).expect_err("failed").to_string();
        assert!(error.contains("timeout"), "{error}");
    }
}

//! What stands before an OCI verb: runc's options, and those of runsc's that mean something here.

use crate::container::{state, time};
use crate::spec;
use anyhow::{Context, bail, ensure};
use clap::{ArgAction, ValueEnum};
use linker::spec::TraceFilter;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(clap::Args)]
pub struct Global {
    /// Where the containers' states are
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where errors are logged beside standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Show what the sentry does not support and, on a failure, registers
    #[arg(long = "debug", id = "global_debug", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    debug: bool,
    /// Let systemd make the cgroups; linux.cgroupsPath is slice:prefix:name then
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    systemd_cgroup: bool,
    /// Whether limits that only root can set are left out: true, false or auto
    #[arg(long, value_name = "WHETHER", default_value = "auto")]
    rootless: String,
    /// What virtualises: kvm
    #[arg(long, value_name = "NAME", default_value = "kvm")]
    platform: String,
    /// File, or directory with a slash at the end, for what the containers' host processes have to say
    #[arg(long, value_name = "PATH")]
    debug_log: Option<PathBuf>,
    /// What containers have beside loopback
    #[arg(long = "network", id = "global_network", value_name = "MODE", default_value = "sandbox")]
    network: spec::Network,
    /// Where writes to the root file system go: none (to it), or root:memory
    #[arg(long, value_name = "WHERE", default_value = "none")]
    overlay2: String,
    /// Whether others (docker cp) may change a container's root file system while it runs
    #[arg(long, value_name = "HOW", default_value = "shared")]
    file_access: FileAccess,
    /// Whether linux.seccomp is enforced
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    oci_seccomp: bool,
    /// Log system calls, in a file beside that of --debug-log
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    strace: bool,
    /// Of these calls alone, as in openat,read
    #[arg(long, value_name = "LIST")]
    strace_syscalls: Option<spec::SyscallList>,
    /// Whether system calls are counted, for ringwall stats
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    statistics: bool,
    /// vCPUs (default: the CPUs the container may use)
    #[arg(long = "vcpus", id = "global_vcpus", value_name = "N")]
    vcpus: Option<usize>,
    /// Single system calls changed, as in '{"epoll_pwait2":{"action":"enosys"}}', or @FILE with that
    #[arg(long = "syscalls", id = "global_syscalls", value_name = "JSON")]
    syscalls: Option<spec::Overrides>,
    /// Let a name in --syscalls that no system call has be an error
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Who changes a root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileAccess {
    /// The container alone.
    Exclusive,
    /// Others too.
    Shared,
}

/// The options, checked.
#[derive(Clone)]
pub struct Runtime {
    /// State directory.
    pub root: PathBuf,
    /// `--debug`.
    pub debug: bool,
    /// `--network`.
    pub network: spec::Network,
    /// `--overlay2`: writes to the root stay in memory.
    pub overlay: bool,
    /// `--file-access`.
    pub file_access: FileAccess,
    /// `--oci-seccomp`.
    pub oci_seccomp: bool,
    /// `--vcpus`.
    pub vcpus: Option<usize>,
    /// `--syscalls`.
    pub overrides: spec::Overrides,
    /// `--strict`.
    pub strict: bool,
    /// `--strace`, and which calls.
    pub strace: Option<TraceFilter>,
    /// `--statistics`.
    pub statistics: bool,
    /// `--debug-log`.
    pub debug_log: Option<PathBuf>,
    /// `--systemd-cgroup`.
    pub systemd: bool,
}

impl Global {
    /// Checks the options.
    pub fn check(&self) -> anyhow::Result<Runtime> {
        ensure!(
            self.platform == "kvm",
            "--platform={}: ringwall runs on KVM alone: its kernel is the guest of a virtual machine",
            self.platform
        );
        ensure!(!self.strace || self.debug_log.is_some(), "--strace: where to? --debug-log says");
        ensure!(["true", "false", "auto"].contains(&self.rootless.as_str()), "--rootless={}: unknown", self.rootless);
        let overlay = match self.overlay2.as_str() {
            "none" => false,
            "root:memory" => true,
            other => bail!("--overlay2={other}: not supported; none and root:memory are"),
        };
        Ok(Runtime {
            root: self.root.clone().unwrap_or_else(state::default_root),
            debug: self.debug,
            network: self.network,
            overlay,
            file_access: self.file_access,
            oci_seccomp: self.oci_seccomp,
            vcpus: self.vcpus,
            overrides: self.syscalls.clone().unwrap_or_default(),
            strict: self.strict,
            strace: self.strace.then(|| TraceFilter {
                numbers: self.strace_syscalls.clone().unwrap_or_default().0,
                ..TraceFilter::default()
            }),
            statistics: self.statistics,
            debug_log: self.debug_log.clone(),
            systemd: self.systemd_cgroup,
        })
    }

    /// Says an error where it was asked for: in the log, and on standard error.
    pub fn say(&self, message: &str) {
        let Some(path) = &self.log else {
            crate::report::raw(format!("{}\n", line(LogFormat::Text, message)).as_bytes());
            return;
        };
        crate::report::raw(format!("{message}\n").as_bytes());
        let file = OpenOptions::new().create(true).append(true).mode(0o644).open(path);
        // Where the log cannot be written, standard error is all there is.
        let _ = file.and_then(|mut file| writeln!(file, "{}", line(self.log_format, message)));
    }
}

/// A line as runc logs it.
fn line(format: LogFormat, message: &str) -> String {
    let now = time::now_seconds();
    match format {
        LogFormat::Json => json!({"level": "error", "msg": message, "time": now}).to_string(),
        LogFormat::Text => format!("time={:?} level=error msg={message:?}", now),
    }
}

impl Runtime {
    /// Opens the log for a container's host processes. Of the path runsc's marks are replaced: %TIMESTAMP%, %COMMAND%, %ID%.
    pub fn debug_log(&self, verb: &str, id: &str) -> anyhow::Result<Option<Arc<OwnedFd>>> {
        self.open_log(verb, verb, id)
    }

    /// Opens the log for system calls: where that is a directory, a file of its own in it.
    pub fn strace_log(&self, verb: &str, id: &str) -> anyhow::Result<Option<Arc<OwnedFd>>> {
        self.open_log("strace", verb, id)
    }

    fn open_log(&self, what: &str, verb: &str, id: &str) -> anyhow::Result<Option<Arc<OwnedFd>>> {
        let Some(path) = &self.debug_log else { return Ok(None) };
        let now = time::now().replace(':', "");
        let text = path.to_str().with_context(|| format!("--debug-log {}: not UTF-8", path.display()))?;
        let mut file = PathBuf::from(text.replace("%TIMESTAMP%", &now).replace("%COMMAND%", verb).replace("%ID%", id));
        if text.ends_with('/') {
            std::fs::create_dir_all(&file).with_context(|| format!("--debug-log {}", path.display()))?;
            file.push(format!("ringwall.log.{now}.{what}.txt"));
        }
        let opened: Result<File, _> = OpenOptions::new().create(true).append(true).mode(0o640).open(&file);
        let opened = opened.with_context(|| format!("--debug-log {}", Path::new(&file).display()))?;
        Ok(Some(Arc::new(opened.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_as_runc_writes_it() {
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json, "a \"b\"\n")).expect("JSON");
        assert_eq!((&json["level"], &json["msg"]), (&json!("error"), &json!("a \"b\"\n")));
        assert!(line(LogFormat::Text, "a \"b\"").ends_with(r#" level=error msg="a \"b\"""#));
    }
}

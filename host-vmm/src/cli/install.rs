//! `install` and `uninstall`: ringwall's entry in Docker's daemon.json. What else is in the file stays as it is.

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[group(id = "daemon_json")]
pub struct Args {
    /// Docker's configuration
    #[arg(long, visible_alias = "config_file", value_name = "FILE", default_value = "/etc/docker/daemon.json")]
    docker_config: PathBuf,
    /// Name of the runtime, as in docker run --runtime=NAME
    #[arg(long, value_name = "NAME", default_value = "ringwall")]
    runtime: String,
}

#[derive(clap::Args)]
pub struct InstallArgs {
    #[command(flatten)]
    common: Args,
    /// Options that Docker gives ringwall, before the verb
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

/// Enters the runtime.
pub fn install(args: &InstallArgs) -> anyhow::Result<u8> {
    ensure!(!args.common.runtime.is_empty() && args.common.runtime != "runc", "--runtime: choose another name");
    let program = std::env::current_exe().context("where is ringwall?")?;
    let mut entry = Map::from_iter([("path".to_string(), json!(program))]);
    if !args.flags.is_empty() {
        entry.insert("runtimeArgs".into(), json!(args.flags));
    }
    change(&args.common.docker_config, |runtimes| {
        runtimes.insert(args.common.runtime.clone(), Value::Object(entry));
        Ok(())
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: added runtime {}", args.common.docker_config.display(), args.common.runtime)?;
    writeln!(out, "Docker reads it when it is restarted or reloaded (systemctl reload docker).")?;
    Ok(0)
}

/// Takes the runtime out again.
pub fn uninstall(args: &Args) -> anyhow::Result<u8> {
    change(&args.docker_config, |runtimes| match runtimes.remove(&args.runtime) {
        Some(_) => Ok(()),
        None => bail!("runtime {} is not there", args.runtime),
    })?;
    writeln!(std::io::stdout().lock(), "{}: removed runtime {}", args.docker_config.display(), args.runtime)?;
    Ok(0)
}

/// Changes the `runtimes` of a daemon.json and replaces the file as a whole.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let place = || path.display().to_string();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(place),
    };
    let mut config: Value = match text.trim_ascii() {
        [] => json!({}),
        text => serde_json::from_slice(text).with_context(place)?,
    };
    let fields = config.as_object_mut().with_context(|| format!("{}: not an object", place()))?;
    let runtimes = fields.entry("runtimes").or_insert_with(|| json!({}));
    let runtimes = runtimes.as_object_mut().with_context(|| format!("{}: runtimes: not an object", place()))?;
    edit(runtimes)?;
    if runtimes.is_empty() {
        fields.remove("runtimes");
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut new = path.as_os_str().to_os_string();
    new.push(".ringwall");
    let new = PathBuf::from(new);
    let mut text = serde_json::to_string_pretty(&config)?;
    text.push('\n');
    std::fs::write(&new, text).with_context(|| new.display().to_string())?;
    if let Ok(before) = std::fs::metadata(path) {
        let _ = std::fs::set_permissions(&new, before.permissions());
    }
    std::fs::rename(&new, path).with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_stays() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("daemon.json");
        let before = json!({"bridge": "none", "runtimes": {"other": {"path": "/x", "unknown": [1]}}});
        std::fs::write(&path, before.to_string()).expect("written");
        let add = |runtimes: &mut Map<String, Value>| {
            runtimes.insert("ringwall".into(), json!({"path": "/r"}));
            Ok(())
        };
        change(&path, add).expect("changed");
        let after: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(after["runtimes"]["ringwall"]["path"], "/r");
        assert_eq!((&after["bridge"], &after["runtimes"]["other"]), (&before["bridge"], &before["runtimes"]["other"]));
        change(&path, |runtimes| {
            runtimes.remove("ringwall");
            Ok(())
        })
        .expect("changed");
        let after: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(after, before);
    }

    #[test]
    fn a_file_that_is_not_json_is_left_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("daemon.json");
        std::fs::write(&path, "{").expect("written");
        assert!(change(&path, |_| Ok(())).is_err());
        assert_eq!(std::fs::read(&path).expect("read"), b"{");
    }
}

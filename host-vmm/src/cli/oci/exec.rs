//! `exec`.

use super::Runtime;
use crate::container::client::Connection;
use crate::container::exec::{self, Options};
use crate::container::said;
use crate::container::status::Status;
use anyhow::{Context, bail, ensure};
use oci_spec::runtime::{Capabilities, Process, User, UserBuilder};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// The program as a process of config.json, in a file
    #[arg(long, short, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return as soon as it runs
    #[arg(long, short)]
    detach: bool,
    /// Where the pid of the process that stands for it is written
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Unix socket that gets the master of its terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// With a terminal
    #[arg(long, short)]
    tty: bool,
    /// User, and group behind a colon, by number
    #[arg(long, short, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Additional group, by number
    #[arg(long, short = 'g', value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Environment beside the container's, as NAME=value
    #[arg(long, short, value_name = "ENV")]
    env: Vec<String>,
    /// Capability beside the container's
    #[arg(long, short, value_name = "CAP")]
    cap: Vec<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
    /// No effect inside a virtual machine
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// No effect inside a virtual machine
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Where the container is paused, wait until it goes on
    #[arg(long)]
    ignore_paused: bool,
    /// Descriptors beside the standard streams that the program gets, from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Cgroup below the container's (not supported)
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the program. Ends as it ends, unless detached.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    execute(runtime, args).context("exec failed")
}

fn execute(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let descriptors = super::create::preserved(args.preserve_fds)?;
    ensure!(args.cgroup.as_deref().is_none_or(|path| path == "/"), "--cgroup: not supported");
    let found = runtime.find(&args.id)?;
    match found.status {
        Status::Stopped | Status::Creating => bail!("cannot exec in a stopped container"),
        Status::Paused if !args.ignore_paused => bail!("cannot exec in a paused container"),
        _ => {}
    }
    let process = match &args.process {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("--process {}", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("--process {}", path.display()))?
        }
        None => {
            let base = found.state.process.clone().ok_or_else(|| said("the container has no process to start from"))?;
            compose(args, base)?
        }
    };
    let connection = Connection::open(&found.directory)?;
    found.directory.unlock();
    let options = Options {
        process: &process,
        detach: args.detach,
        pid_file: args.pid_file.as_deref(),
        console_socket: args.console_socket.as_deref(),
        descriptors,
    };
    exec::run(connection, &found.state, &options)?;
    Ok(0)
}

/// The container's own process, changed by the command line.
fn compose(args: &Args, mut process: Process) -> anyhow::Result<Process> {
    ensure!(!args.command.is_empty(), "process args cannot be empty");
    process.set_args(Some(args.command.clone()));
    process.set_terminal(Some(args.tty));
    process.set_console_size(None);
    if let Some(user) = &args.user {
        process.set_user(parse_user(user)?);
    }
    if !args.additional_gids.is_empty() {
        let mut user = process.user().clone();
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&args.additional_gids);
        user.set_additional_gids(Some(groups));
        process.set_user(user);
    }
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(args.env.iter().cloned());
    process.set_env(Some(env));
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if !args.cap.is_empty() {
        let mut more = Capabilities::new();
        for name in &args.cap {
            let known = serde_json::from_value(name.to_uppercase().into());
            more.insert(known.map_err(|_| said(format!("--cap {name}: unknown")))?);
        }
        let mut sets = process.capabilities().clone().unwrap_or_default();
        let with = |set: &Option<Capabilities>| Some(set.iter().flatten().chain(&more).copied().collect());
        sets.set_bounding(with(sets.bounding()));
        sets.set_effective(with(sets.effective()));
        sets.set_permitted(with(sets.permitted()));
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

fn parse_user(text: &str) -> anyhow::Result<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u32>().with_context(|| format!("--user {text:?}: not a number"));
    Ok(UserBuilder::default().uid(number(uid)?).gid(number(gid)?).build()?)
}

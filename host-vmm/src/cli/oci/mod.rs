//! The verbs of an OCI runtime, with runc's command line: one file each. `global` is what stands before the verb.

pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod global;
pub mod kill;
pub mod list;
pub mod metrics;
pub mod pause;
pub mod policy;
pub mod ps;
pub mod report;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod stats;
pub mod top;
pub mod trace;
pub mod update;

pub use global::{Global, Runtime};

use crate::container::client::Connection;
use crate::container::state::{Directory, State};
use crate::container::status::{self, Status};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// Set a container up, up to the point where its program could be started
    Create(create::Args),
    /// Start the program of a created container
    Start(start::Args),
    /// Create, start and wait for a container
    Run(run::Args),
    /// Run one more program in a container
    Exec(exec::Args),
    /// Send a signal to a container's first process
    Kill(kill::Args),
    /// Remove a stopped container
    Delete(delete::Args),
    /// Print the state of a container
    State(state::Args),
    /// List containers
    List(list::Args),
    /// Show the processes in a container
    Ps(ps::Args),
    /// Stop a container's CPUs
    Pause(pause::Args),
    /// Let a paused container go on
    Resume(pause::Args),
    /// Change a container's limits
    Update(Box<update::Args>),
    /// Show what a container uses, as events
    Events(events::Args),
    /// Show which system calls a container makes, how often and how long
    Stats(stats::Args),
    /// Show what all containers call, in a live view
    Top(top::Args),
    /// Show a container's system calls as they are made
    Trace(trace::Args),
    /// Show a container's system calls as a page with charts
    Report(report::Args),
    /// Print what containers call, as OpenMetrics text
    Metrics(metrics::Args),
    /// Find out what a container needs of its system calls, and what a profile says
    #[command(subcommand)]
    Policy(policy::Args),
    /// Write a config.json to start from
    Spec(spec::Args),
    /// Say what this runtime knows, as JSON
    Features,
    /// Not supported
    Checkpoint(Unsupported),
    /// Not supported
    Restore(Unsupported),
}

/// Anything at all.
#[derive(clap::Args)]
pub struct Unsupported {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<std::ffi::OsString>,
}

impl Verb {
    /// Its name, for messages and log files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Start(_) => "start",
            Self::Run(_) => "run",
            Self::Exec(_) => "exec",
            Self::Kill(_) => "kill",
            Self::Delete(_) => "delete",
            Self::State(_) => "state",
            Self::List(_) => "list",
            Self::Ps(_) => "ps",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Update(_) => "update",
            Self::Events(_) => "events",
            Self::Stats(_) => "stats",
            Self::Top(_) => "top",
            Self::Trace(_) => "trace",
            Self::Report(_) => "report",
            Self::Metrics(_) => "metrics",
            Self::Policy(_) => "policy",
            Self::Spec(_) => "spec",
            Self::Features => "features",
            Self::Checkpoint(_) => "checkpoint",
            Self::Restore(_) => "restore",
        }
    }

    /// Does what it says.
    pub fn run(self, runtime: &Runtime) -> anyhow::Result<u8> {
        match self {
            Self::Create(args) => create::run(runtime, &args),
            Self::Start(args) => start::run(runtime, &args),
            Self::Run(args) => run::run(runtime, &args),
            Self::Exec(args) => exec::run(runtime, &args),
            Self::Kill(args) => kill::run(runtime, &args),
            Self::Delete(args) => delete::run(runtime, &args),
            Self::State(args) => state::run(runtime, &args),
            Self::List(args) => list::run(runtime, &args),
            Self::Ps(args) => ps::run(runtime, &args),
            Self::Pause(args) => pause::run(runtime, &args, true),
            Self::Resume(args) => pause::run(runtime, &args, false),
            Self::Update(args) => update::run(runtime, &args),
            Self::Events(args) => events::run(runtime, &args),
            Self::Stats(args) => stats::run(runtime, &args),
            Self::Top(args) => top::run(runtime, &args),
            Self::Trace(args) => trace::run(runtime, &args),
            Self::Report(args) => report::run(runtime, &args),
            Self::Metrics(args) => metrics::run(runtime, &args),
            Self::Policy(args) => policy::run(runtime, &args),
            Self::Spec(args) => spec::run(&args),
            Self::Features => features::run(),
            Self::Checkpoint(_) => anyhow::bail!("checkpoint: a running virtual machine cannot be saved yet"),
            Self::Restore(_) => anyhow::bail!("restore: a virtual machine cannot be restored yet"),
        }
    }
}

/// A container, locked, and what it is at.
pub struct Found {
    pub directory: Directory,
    pub state: State,
    pub status: Status,
}

impl Runtime {
    /// Looks a container up as it is now, and lets others change it.
    pub fn find_unlocked(&self, id: &str) -> anyhow::Result<(State, Status)> {
        self.find(id).map(|found| (found.state, found.status))
    }

    /// A connection to a container that runs and is not paused. Others may change it meanwhile.
    pub fn connect(&self, id: &str) -> anyhow::Result<Connection> {
        let found = self.find(id)?;
        match found.status {
            status if !status.is_alive() => anyhow::bail!("container not running"),
            Status::Paused => anyhow::bail!("the container is paused: nobody can be asked"),
            _ => Ok(Connection::open(&found.directory)?),
        }
    }

    /// Looks a container up and keeps others from changing it.
    pub fn find(&self, id: &str) -> anyhow::Result<Found> {
        let directory = Directory::open(&self.root, id)?;
        let state = directory.state()?;
        let status = status::of(&state);
        Ok(Found { directory, state, status })
    }
}

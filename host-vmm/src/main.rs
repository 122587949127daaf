//! `ringwall`: runs Linux programs, each in a KVM virtual machine that has no Linux in it.
//!
//! `cli` reads the command line, `spec` says what to set up, `launch` starts the processes: the parent, which minds the other
//! two; the sandbox process, which runs the machine (`vm`) and serves its requests (`serve`); the gofer, which names files.

mod cli;
mod container;
mod gofer;
mod hostcalls;
mod idle;
mod lat;
mod launch;
mod machine;
mod net;
mod notice;
mod page;
mod parent;
mod pin;
mod process;
mod quirk;
mod report;
mod serve;
mod spec;
mod stats;
mod trace;
mod vm;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::close_inherited(cli::preserved());
    if let Some(code) = container::process_table::stand_in() {
        return code;
    }
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report::line(&format!("{error:#}"));
            ExitCode::from(report::FAILURE)
        }
    }
}

//! The end-to-end tests of the command line (`tests/tests/cli`): built here, run where there is a sound KVM.

use super::programs::{host_soundness, this_tool};
use super::{Budget, cargo_result, counted};
use crate::build::{self, Profile};
use crate::tally::Tally;
use crate::{process, project, setup};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Sandboxes wait for each other's CPU more often than for anything else.
pub const THREADS: &str = "3";

/// Runs them on this machine's KVM, or in the emulated reference.
pub fn run(budget: &Budget) -> Result<Tally> {
    setup::packages(setup::PROGRAMS)?;
    setup::packages(setup::TERMINAL)?;
    setup::packages(setup::WATCHING)?;
    let ringwall = build::ringwall(Profile::Release)?;
    let tests = build_tests()?;
    let host = host_soundness(&ringwall)?;
    let mut command = if host.sound {
        let mut command = Command::new("timeout");
        command.arg(budget.seconds(600)?).current_dir(project::root());
        if host.interpreted {
            command.env("RINGWALL_INTERPRETED", "1");
        }
        command.env("RINGWALL_BROWSER", setup::BROWSER);
        command
    } else {
        let mut vm = this_tool()?;
        vm.args(["vm", "--cpus", "2", "--timeout", &budget.seconds(600)?, "--"]);
        vm
    };
    counted(command.arg(tests).args(["--test-threads", THREADS]), cargo_result)
}

/// The program that has the tests in it.
pub fn build_tests() -> Result<PathBuf> {
    let mut cargo = project::cargo();
    cargo.args(["test", "--quiet", "--package", "ringwall-tests", "--features", "sandbox", "--test", "cli"]);
    let messages = process::output(cargo.args(["--no-run", "--message-format", "json"]))?;
    executable(&String::from_utf8_lossy(&messages)).context("cargo names no test program")
}

/// The last `"executable":"…"` in cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.rsplit_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| path.into())
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_test_program_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/cli-1\",\"fresh\":true}\n{\"reason\":\"x\"}";
        assert_eq!(executable(messages), Some("/t/cli-1".into()));
    }
}

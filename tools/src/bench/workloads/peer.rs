//! The peers: how each of them runs a bundle, and is got rid of again.

use super::site::Site;
use std::path::Path;
use std::process::Command;

/// Ourselves.
pub const OURS: &str = "ringwall";

/// All of them, in the order of the table.
pub const PEERS: &[&str] = &["native", "runc", "crun", OURS, "runsc-systrap", "runsc-kvm"];

/// Whose network a container has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The driver's.
    Host,
    /// One behind a pair of interfaces.
    Sandbox,
}

/// The command of a runtime without its verb, for containers with that network.
pub fn runtime(site: &Site, peer: &str, network: Network) -> Command {
    let mut command = match peer {
        OURS => Command::new(&site.ringwall),
        "runc" | "crun" => Command::new(peer),
        _ => Command::new(site.runsc.as_deref().unwrap_or_else(|| Path::new("runsc"))),
    };
    command.arg("--root").arg(site.state.join(peer));
    let name = match network {
        Network::Host => "--network=host",
        Network::Sandbox => "--network=sandbox",
    };
    match peer {
        OURS => command.arg(name),
        "runsc-systrap" => command.args(["--platform=systrap", "--ignore-cgroups", name]),
        "runsc-kvm" => command.args(["--platform=kvm", "--ignore-cgroups", name]),
        _ => &mut command,
    };
    command
}

/// Why a peer is not here to be measured, where it is not.
pub fn absence(site: &Site, peer: &str) -> Option<String> {
    let missing = match peer {
        "runc" | "crun" => crate::process::find(peer).is_none(),
        "runsc-systrap" | "runsc-kvm" => site.runsc.is_none(),
        _ => false,
    };
    missing.then(|| "it is not installed".to_owned())
}

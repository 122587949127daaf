//! `state`.

use super::Runtime;
use crate::container::status;
use std::io::Write;

#[derive(clap::Args)]
pub struct Args {
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints the state.
pub fn run(runtime: &Runtime, args: &Args) -> anyhow::Result<u8> {
    let found = runtime.find(&args.id)?;
    let mut document = status::document(&found.state, found.status);
    if let Some(fields) = document.as_object_mut() {
        // runc's has a place for the owner, and no owner.
        fields.insert("owner".into(), "".into());
    }
    write!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(0)
}

//! What is generated from the command line's description: shell completions and the manual page.

use super::Cli;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(clap::Args)]
pub struct CompletionArgs {
    /// Of which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints a shell's completions.
pub fn completion(args: &CompletionArgs) -> anyhow::Result<u8> {
    clap_complete::generate(args.shell, &mut Cli::command(), "ringwall", &mut std::io::stdout().lock());
    Ok(0)
}

/// Prints the manual page, with a section for each verb.
pub fn manual() -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let page = clap_mangen::Man::new(verb.clone());
        page.render_name_section(&mut out)?;
        page.render_synopsis_section(&mut out)?;
        page.render_options_section(&mut out)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}

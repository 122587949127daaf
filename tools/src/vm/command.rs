//! The command as a shell script, to run in the same directory with the environment that matters.

use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Variables that go along, besides those with one of [`PREFIXES`].
const NAMES: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TERM"];
const PREFIXES: &[&str] = &["RINGWALL", "LC_", "RUST_"];

/// A script that becomes the command; `more` are further variables.
pub fn script(command: &[OsString], more: &[(&str, &str)]) -> Result<Vec<u8>> {
    let directory = std::env::current_dir().context("no current directory")?;
    let more = more.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let variables = std::env::vars_os().filter(|(name, _)| goes_along(name)).chain(more);
    Ok(script_for(directory.as_os_str(), variables, command))
}

fn goes_along(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn script_for(
    directory: &OsStr,
    variables: impl Iterator<Item = (OsString, OsString)>,
    command: &[OsString],
) -> Vec<u8> {
    let mut script = b"cd ".to_vec();
    quote(&mut script, directory);
    script.extend(b" || exit 125\nexec env -i");
    for (name, value) in variables {
        script.push(b' ');
        let mut pair = name;
        pair.push("=");
        pair.push(value);
        quote(&mut script, &pair);
    }
    for word in command {
        script.push(b' ');
        quote(&mut script, word);
    }
    script.push(b'\n');
    script
}

fn quote(script: &mut Vec<u8>, word: &OsStr) {
    script.push(b'\'');
    for byte in word.as_bytes() {
        match byte {
            b'\'' => script.extend(b"'\\''"),
            _ => script.push(*byte),
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::script_for;

    #[test]
    fn every_word_is_quoted_for_the_shell() {
        let script =
            script_for("/a b".as_ref(), [("HOME".into(), "/it's".into())].into_iter(), &["echo".into(), "$x".into()]);
        assert_eq!(
            String::from_utf8(script).as_deref(),
            Ok("cd '/a b' || exit 125\nexec env -i 'HOME=/it'\\''s' 'echo' '$x'\n")
        );
    }
}

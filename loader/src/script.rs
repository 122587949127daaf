//! The first line of a script: `#!interpreter argument`.

/// How much of a file is looked at (Linux's BINPRM_BUF_SIZE).
pub const FIRST_BYTES: usize = 256;

/// Who runs a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script<'a> {
    /// The interpreter's path.
    pub interpreter: &'a [u8],
    /// Everything behind it, as one argument.
    pub argument: Option<&'a [u8]>,
}

fn blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Parses the first bytes of a file, `FIRST_BYTES` of them unless it is shorter. `None`: no script. `Some(None)`: a script
/// without a usable interpreter (ENOEXEC).
pub fn parse(bytes: &[u8]) -> Option<Option<Script<'_>>> {
    let line = bytes.strip_prefix(b"#!")?;
    // As Linux, which looks at 256 bytes with zeroes behind a shorter file and takes a name only if it sees its end.
    let whole = bytes.len() < FIRST_BYTES;
    let line = line.get(..line.len().min(FIRST_BYTES - 2)).unwrap_or(line);
    let (line, ended) = match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => (line.get(..end).unwrap_or(line), true),
        None => (line.get(..line.len().min(FIRST_BYTES - 3)).unwrap_or(line), whole),
    };
    Some(parse_line(line, ended))
}

fn parse_line(line: &[u8], ended: bool) -> Option<Script<'_>> {
    let start = line.iter().position(|byte| !blank(byte))?;
    let line = line.get(start..)?;
    let name_end = line.iter().position(|byte| blank(byte) || *byte == 0);
    if name_end.is_none() && !ended {
        return None;
    }
    let last = line.iter().rposition(|byte| !blank(byte))?;
    let line = line.get(..=last)?;
    let name_end = name_end.unwrap_or(line.len()).min(line.len());
    let (interpreter, rest) = line.split_at_checked(name_end)?;
    if interpreter.is_empty() {
        return None;
    }
    let argument = match rest.first() {
        // A NUL ends everything: these are C strings.
        None | Some(0) => None,
        Some(_) => rest.iter().position(|byte| !blank(byte)).and_then(|at| rest.get(at..)),
    };
    let argument = argument.and_then(|text| text.split(|byte| *byte == 0).next()).filter(|text| !text.is_empty());
    Some(Script { interpreter, argument })
}

#[cfg(test)]
mod tests {
    use super::{FIRST_BYTES, Script, parse};
    use alloc::vec::Vec;

    fn script<'a>(interpreter: &'a [u8], argument: Option<&'a [u8]>) -> Option<Option<Script<'a>>> {
        Some(Some(Script { interpreter, argument }))
    }

    #[test]
    fn interpreter_and_argument_are_split_at_blanks_and_trimmed() {
        assert_eq!(parse(b"#!/bin/sh\necho"), script(b"/bin/sh", None));
        assert_eq!(parse(b"#! \t/usr/bin/env  python3 -u \t\n"), script(b"/usr/bin/env", Some(b"python3 -u")));
        assert_eq!(parse(b"#!/bin/sh"), script(b"/bin/sh", None));
        assert_eq!(parse(b"#!/bin/sh   \n"), script(b"/bin/sh", None));
    }

    #[test]
    fn files_without_an_interpreter_are_told_apart() {
        assert_eq!(parse(b"\x7fELF"), None);
        assert_eq!(parse(b"#"), None);
        assert_eq!(parse(b"#!\n"), Some(None));
        assert_eq!(parse(b"#!   \n/bin/sh"), Some(None));
        assert_eq!(parse(b"#!"), Some(None));
    }

    #[test]
    fn a_name_that_may_go_on_behind_what_is_seen_is_refused_but_a_cut_argument_is_not() {
        let mut long: Vec<u8> = b"#!/".to_vec();
        long.resize(FIRST_BYTES, b'a');
        assert_eq!(parse(&long), Some(None));
        let mut long: Vec<u8> = b"#!/bin/sh ".to_vec();
        long.resize(FIRST_BYTES, b'a');
        let argument = &long[10..FIRST_BYTES - 1];
        assert_eq!(parse(&long), script(b"/bin/sh", Some(argument)));
    }

    #[test]
    fn a_nul_ends_name_and_argument() {
        assert_eq!(parse(b"#!/bin/sh\0x\n"), script(b"/bin/sh", None));
        assert_eq!(parse(b"#!/bin/sh -e\0x\n"), script(b"/bin/sh", Some(b"-e")));
    }
}

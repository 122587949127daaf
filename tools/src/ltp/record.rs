//! What the driver says of each test, a line each, so that it survives a sandbox that does not.
//!
//! ```text
//! @ltp begin NAME
//! @ltp | what the test printed
//! @ltp end NAME OUTCOME MILLISECONDS
//! ```

use std::fmt;
use std::str::FromStr;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an exit code; 0 is a pass.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// It took longer than it may, and was ended.
    TimedOut,
    /// It answered nothing any more, even when killed, and was ended with its sandbox.
    Hung,
    /// Its sandbox ended before it did.
    Lost,
}

impl Outcome {
    /// Whether the test has passed, all or in part.
    pub fn passed(self) -> bool {
        self == Self::Exited(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("passed"),
            Self::Exited(code) => write!(f, "exit-{code}"),
            Self::Killed(signal) => write!(f, "signal-{signal}"),
            Self::TimedOut => f.write_str("too-long"),
            Self::Hung => f.write_str("hung"),
            Self::Lost => f.write_str("sandbox-ended"),
        }
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse().map_err(|_| ());
        match text {
            "passed" => Ok(Self::Exited(0)),
            "too-long" => Ok(Self::TimedOut),
            "hung" => Ok(Self::Hung),
            "sandbox-ended" => Ok(Self::Lost),
            _ => match text.split_once('-') {
                Some(("exit", code)) => Ok(Self::Exited(number(code)?)),
                Some(("signal", signal)) => Ok(Self::Killed(number(signal)?)),
                _ => Err(()),
            },
        }
    }
}

/// One line of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The test is about to start.
    Begin(String),
    /// A line of what it printed.
    Said(String),
    /// It has ended.
    End(String, Outcome, u64),
}

const MARK: &str = "@ltp ";

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(name) => write!(f, "{MARK}begin {name}"),
            Self::Said(line) => write!(f, "{MARK}| {line}"),
            Self::End(name, outcome, took_ms) => write!(f, "{MARK}end {name} {outcome} {took_ms}"),
        }
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (kind, rest) = line.strip_prefix(MARK).and_then(|line| line.split_once(' ')).ok_or(())?;
        match kind {
            "begin" => Ok(Self::Begin(rest.into())),
            "|" => Ok(Self::Said(rest.into())),
            "end" => {
                let mut words = rest.split(' ');
                let name = words.next().ok_or(())?.into();
                let outcome = words.next().ok_or(())?.parse()?;
                let took_ms = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
                Ok(Self::End(name, outcome, took_ms))
            }
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Record};

    #[test]
    fn records_are_read_as_they_were_written() {
        let outcomes = [Outcome::Exited(0), Outcome::Exited(33), Outcome::Killed(11), Outcome::TimedOut];
        let ends = outcomes.map(|outcome| Record::End("open01".into(), outcome, 12));
        let others = [Record::Begin("open01".into()), Record::Said("a  line | of it".into()), Record::Said("".into())];
        for record in ends.into_iter().chain(others) {
            assert_eq!(record.to_string().parse(), Ok(record));
        }
        assert_eq!("anything else".parse::<Record>(), Err(()));
    }
}

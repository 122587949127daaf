//! Counts of what passed and what failed, printed as they come, and what was said of a failure, to be printed again at the end.

use std::fmt;

/// How many passed and failed.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// What was said of those that failed, line by line.
    pub said: Vec<String>,
}

/// Of one failure, so many lines are said again.
const SAID_AGAIN: usize = 70;

impl Tally {
    /// One that passed, which somebody else has printed.
    pub fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One that failed, which somebody else has printed.
    pub fn failed() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// Counts and prints one that passed.
    pub fn pass(&mut self, name: &str) {
        println!("PASS {name}");
        self.passed += 1;
    }

    /// Counts and prints one that failed, and why.
    pub fn fail(&mut self, name: &str, why: &str) {
        println!("FAIL {name}");
        for line in why.lines() {
            println!("    {line}");
        }
        self.failed += 1;
        self.said.push(format!("FAIL {name}"));
        self.said.extend(why.lines().take(SAID_AGAIN).map(|line| format!("    {line}")));
    }

    /// Adds the counts of a part.
    pub fn add(&mut self, part: Self) {
        self.passed += part.passed;
        self.failed += part.failed;
        self.said.extend(part.said);
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.failed != 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

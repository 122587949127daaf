//! Counts of what passed and what failed, printed as they come.

use std::fmt;

/// How many passed and failed.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
}

impl Tally {
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
    }

    /// Adds the counts of a part.
    pub fn add(&mut self, part: Self) {
        self.passed += part.passed;
        self.failed += part.failed;
    }

    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        u8::from(self.failed != 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

//! The checked-in list: tests that pass natively but not inside, each with the reason.

use super::suite::Suite;
use crate::project;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;

/// `tests/ltp/SUITE.known`: `name reason…` a line, `#` before a remark.
#[derive(Debug, Default)]
pub struct Known {
    reasons: BTreeMap<String, String>,
}

impl Known {
    /// The list of a suite.
    pub fn read(suite: Suite) -> Result<Self> {
        let file = project::root().join(format!("tests/ltp/{}.known", suite.name()));
        let text = fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut known = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((name, reason)) = line.split_once(char::is_whitespace) else {
                bail!("{line}: no reason is given")
            };
            if known.reasons.insert(name.into(), reason.trim().into()).is_some() {
                bail!("{name} is listed twice");
            }
        }
        Ok(known)
    }

    /// Whether the test is listed.
    pub fn contains(&self, name: &str) -> bool {
        self.reasons.contains_key(name)
    }

    /// Why it does not pass inside.
    pub fn reason(&self, name: &str) -> Option<&str> {
        self.reasons.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn an_entry_has_a_reason_and_is_unique() {
        let known = Known::parse("# remark\n\nfanotify01  no fanotify\n").unwrap_or_default();
        assert_eq!(known.reason("fanotify01"), Some("no fanotify"));
        assert!(Known::parse("fanotify01\n").is_err());
        assert!(Known::parse("fanotify01 no\nfanotify01 no\n").is_err());
    }
}

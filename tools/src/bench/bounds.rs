//! Where the numbers must go: the most that a figure may be, beside another one.

/// What a bound is a part of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So many times what it takes natively, or under the named peer.
    Times(f64, &'static str),
    /// A value by itself.
    Most(f64),
    /// Nothing is promised.
    None,
}

/// Natively: what most bounds refer to.
pub const NATIVE: &str = "native";

impl Bound {
    /// The value, given those of the peers.
    pub fn value(self, of: impl Fn(&str) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Times(times, peer) => of(peer).map(|value| value * times),
            Self::Most(value) => Some(value),
            Self::None => None,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Times(times, peer) => format!("{times} × {peer}"),
            Self::Most(value) => value.to_string(),
            Self::None => String::new(),
        }
    }
}

/// Of an operation's instructions.
pub fn of_count(name: &str) -> Bound {
    match name {
        "getppid" => Bound::Most(100.0),
        // They leave the machine, by what they are.
        "pread of 4 KiB, not cached" | "walk of 1,000 files, cold" => Bound::None,
        _ => Bound::Times(1.0, NATIVE),
    }
}

/// Whether a figure keeps its bound; nothing where one of them is not known.
pub fn verdict(bound: Bound, value: Option<f64>, of: impl Fn(&str) -> Option<f64>) -> &'static str {
    match (bound, value, bound.value(of)) {
        (Bound::None, ..) => "",
        (_, Some(value), Some(most)) if value <= most => "ok",
        (_, Some(_), Some(_)) => "MORE",
        _ => "not measured",
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, NATIVE, verdict};

    #[test]
    fn a_figure_above_its_bound_is_said_to_be_more() {
        let native = |peer: &str| (peer == NATIVE).then_some(10.0);
        assert_eq!(verdict(Bound::Times(1.0, NATIVE), Some(10.0), native), "ok");
        assert_eq!(verdict(Bound::Times(1.0, NATIVE), Some(11.0), native), "MORE");
        assert_eq!(verdict(Bound::Times(1.0, "runc"), Some(11.0), native), "not measured");
        assert_eq!(verdict(Bound::None, Some(11.0), native), "");
    }
}

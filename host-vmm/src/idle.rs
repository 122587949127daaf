//! A process that has nothing to do gives back what only starting needed: the pages of its code. They are a file's, so that they come
//! back when they are run again; a hundred idle sandboxes then share next to nothing instead of each counting it. The gofer, which has no
//! call for it once it is pinned, does so just before.

use crate::vm::kvm;
use rustix::event::Timespec;
use std::ops::Range;
use std::sync::OnceLock;

/// How long nothing must have happened.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Where this program's and its libraries' code is.
static CODE: OnceLock<Vec<Range<usize>>> = OnceLock::new();

/// Learns where the code is, for the processes that this one becomes. Later, nobody may ask.
pub fn learn() {
    CODE.get_or_init(|| parse(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default()));
}

/// The private mappings of files that may be executed: nobody has written to their pages (proc(5), /proc/pid/maps).
fn parse(maps: &str) -> Vec<Range<usize>> {
    maps.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (range, kind, path) = (words.next()?, words.next()?, words.nth(3)?);
            let (start, end) = range.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            (kind == "r-xp" && path.starts_with('/')).then_some(number(start)?..number(end)?)
        })
        .collect()
}

/// For a loop that waits: gives the pages back once, when it first has nothing to do.
#[derive(Debug, Default)]
pub struct Quiet(bool);

impl Quiet {
    /// How long to wait at most: not for ever until it has happened.
    pub fn timeout(&self) -> Option<Timespec> {
        (!self.0).then_some(QUIET)
    }

    /// A wait came to its end; `events`: how many things happened.
    pub fn waited(&mut self, events: usize) {
        if events == 0 && !self.0 {
            self.0 = true;
            give_back();
        }
    }
}

/// Gives the pages back.
pub fn give_back() {
    CODE.get().into_iter().flatten().for_each(|range| kvm::forget_code(range.clone()));
}

#[cfg(test)]
mod tests {
    use super::{CODE, Quiet, learn, parse};

    #[test]
    fn only_code_of_files_is_given_back() {
        let maps = "\\
55deedfc4000-55deee83e000 r--p 00000000 fe:00 12  /usr/bin/ringwall
55deee83e000-55deeecad000 r-xp 0087a000 fe:00 12  /usr/bin/ringwall
55df0d693000-55df0d6f6000 rw-p 00000000 00:00 0   [heap]
7fc9ffafc000-7fc9ffc52000 r-xp 00026000 fe:00 13  /usr/lib/libc.so.6
7ffeea9f0000-7ffeea9f2000 r-xp 00000000 00:00 0   [vdso]
7ffeea9f2000-7ffeea9f4000 r-xp 00000000 00:00 0
nonsense
";
        assert_eq!(parse(maps), [0x55de_ee83_e000..0x55de_eeca_d000, 0x7fc9_ffaf_c000..0x7fc9_ffc5_2000]);
    }

    #[test]
    fn code_that_was_given_back_runs() {
        learn();
        assert!(!CODE.get().expect("learnt").is_empty());
        let mut quiet = Quiet::default();
        quiet.waited(1);
        assert!(quiet.timeout().is_some());
        quiet.waited(0);
        assert!(quiet.timeout().is_none());
        assert_eq!(std::fs::read_to_string("/proc/self/comm").map(|name| name.is_empty()).ok(), Some(false));
    }
}

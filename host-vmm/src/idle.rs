//! A process that has nothing to do gives back what only starting needed: the pages of its code and its constants. They are a file's, so
//! that they come back when they are used again; a hundred idle sandboxes then share next to nothing instead of each counting it. So are
//! those of the guest's kernel. And what it allocated and freed goes. The gofer, which has no call for it once it is pinned, does so just
//! before.

use crate::process;
use crate::vm::kvm;
use rustix::event::Timespec;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

/// How long nothing must have happened.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Where this program's and its libraries' code and constants are.
static PAGES: OnceLock<Vec<Range<usize>>> = OnceLock::new();
/// What came later.
static MORE: Mutex<Vec<Range<usize>>> = Mutex::new(Vec::new());

/// Learns where the pages are, for the processes that this one becomes. Later, nobody may ask.
pub fn learn() {
    PAGES.get_or_init(|| parse(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default()));
}

/// A further mapping of the program's file.
pub fn also(range: Range<usize>) {
    MORE.lock().unwrap_or_else(PoisonError::into_inner).push(range);
}

/// A line of /proc/pid/maps (proc(5)).
struct Line<'a> {
    range: Range<usize>,
    kind: &'a str,
    path: &'a str,
}

/// The private mappings of files that nobody has written to: what may be executed; what may be read alone, right before that, where a file
/// begins; and right behind it, if more of the kind follows. The last of these was written to while the program was linked.
fn parse(maps: &str) -> Vec<Range<usize>> {
    let lines: Vec<Line<'_>> = maps.lines().filter_map(line).collect();
    let next_to = |one: &Line<'_>, other: Option<&Line<'_>>, kind: &str| {
        other.is_some_and(|other| {
            let touches = other.range.start == one.range.end || other.range.end == one.range.start;
            touches && other.path == one.path && other.kind == kind
        })
    };
    let is_unwritten = |(index, line): &(usize, &Line<'_>)| {
        let (before, behind) = (index.checked_sub(1).and_then(|before| lines.get(before)), lines.get(index + 1));
        let is_constant =
            next_to(line, behind, "r-xp") || next_to(line, before, "r-xp") && next_to(line, behind, "r--p");
        line.path.starts_with('/') && (line.kind == "r-xp" || line.kind == "r--p" && is_constant)
    };
    lines.iter().enumerate().filter(is_unwritten).map(|(_, line)| line.range.clone()).collect()
}

fn line(line: &str) -> Option<Line<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (range, kind, path) = (words.next()?, words.next()?, words.nth(3).unwrap_or(""));
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(Line { range: number(start)?..number(end)?, kind, path })
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
    process::trim_heap();
    let more = MORE.lock().unwrap_or_else(PoisonError::into_inner);
    PAGES.get().into_iter().flatten().chain(more.iter()).for_each(|range| kvm::forget_pages(range.clone()));
}

#[cfg(test)]
mod tests {
    use super::{PAGES, Quiet, learn, parse};

    #[test]
    fn only_what_nobody_has_written_to_is_given_back() {
        let maps = "\
55deedfc4000-55deee83e000 r--p 00000000 fe:00 12  /usr/bin/ringwall
55deee83e000-55deeecad000 r-xp 0087a000 fe:00 12  /usr/bin/ringwall
55deeecad000-55deeed16000 r--p 00d0b000 fe:00 12  /usr/bin/ringwall
55deeed16000-55deeed18000 rw-p 00d73000 fe:00 12  /usr/bin/ringwall
55df0d693000-55df0d6f6000 rw-p 00000000 00:00 0   [heap]
7fc9ff7f7000-7fc9ff803000 rw-p 00000000 00:00 0
7fc9ffad6000-7fc9ffafc000 r--p 00000000 fe:00 13  /usr/lib/libc.so.6
7fc9ffafc000-7fc9ffc52000 r-xp 00026000 fe:00 13  /usr/lib/libc.so.6
7fc9ffc52000-7fc9ffca5000 r--p 0017c000 fe:00 13  /usr/lib/libc.so.6
7fc9ffca5000-7fc9ffca9000 r--p 001cf000 fe:00 13  /usr/lib/libc.so.6
7fc9ffca9000-7fc9ffcab000 rw-p 001d3000 fe:00 13  /usr/lib/libc.so.6
7ffeea9f0000-7ffeea9f2000 r-xp 00000000 00:00 0   [vdso]
7ffeea9f2000-7ffeea9f4000 r-xp 00000000 00:00 0
nonsense
";
        let program = [0x55de_edfc_4000..0x55de_ee83_e000, 0x55de_ee83_e000..0x55de_eeca_d000];
        let library = [
            0x7fc9_ffad_6000..0x7fc9_ffaf_c000,
            0x7fc9_ffaf_c000..0x7fc9_ffc5_2000,
            0x7fc9_ffc5_2000..0x7fc9_ffca_5000,
        ];
        assert_eq!(parse(maps), [&program[..], &library].concat());
    }

    #[test]
    fn what_was_given_back_is_there_again() {
        learn();
        assert!(!PAGES.get().expect("learnt").is_empty());
        let mut quiet = Quiet::default();
        quiet.waited(1);
        assert!(quiet.timeout().is_some());
        quiet.waited(0);
        assert!(quiet.timeout().is_none());
        assert_eq!(std::fs::read_to_string("/proc/self/comm").map(|name| name.is_empty()).ok(), Some(false));
    }
}

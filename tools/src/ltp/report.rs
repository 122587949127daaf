//! The table: what passed natively and inside, what differs, and what of that is news.

use super::known::Known;
use super::side::Run;

/// A test on both sides; inside only if it passed natively.
pub struct Pair {
    /// The test.
    pub name: String,
    /// Under this machine's own Linux.
    pub native: Run,
    /// Under ringwall.
    pub inside: Option<Run>,
}

impl Pair {
    fn differs(&self) -> bool {
        self.native.outcome.passed() && !self.passed_inside()
    }

    fn passed_inside(&self) -> bool {
        self.inside.as_ref().is_some_and(|run| run.outcome.passed())
    }
}

/// All tests of a run.
#[derive(Default)]
pub struct Report {
    /// In the suite's order.
    pub pairs: Vec<Pair>,
}

/// Before the sum of what the tests took by their own clock.
pub const TOOK: &str = "== seconds by the tests' own clock: ";

/// Lines of a new failure that are shown.
const SHOWN: usize = 30;

impl Report {
    /// Prints the table, then what is new with its output, then what is stale, then the sums.
    pub fn print(&self, known: &Known) {
        println!("== passed natively, not inside");
        for pair in self.pairs.iter().filter(|pair| pair.differs()) {
            let inside = pair.inside.as_ref().map_or_else(|| "not run".into(), |run| run.outcome.to_string());
            println!("{:<32} {inside:<14} {}", pair.name, known.reason(&pair.name).unwrap_or("NEW"));
        }
        for pair in self.new_ones(known) {
            println!("== {} is new:", pair.name);
            let said = pair.inside.as_ref().map_or(&[][..], |run| &run.said);
            let telling: Vec<&String> = said.iter().filter(|line| is_telling(line)).collect();
            for line in &telling[telling.len().saturating_sub(SHOWN)..] {
                println!("    {line}");
            }
        }
        for pair in self.stale_ones(known) {
            println!("== {} is listed, but passed inside: {}", pair.name, known.reason(&pair.name).unwrap_or_default());
        }
        let native = self.pairs.iter().filter(|pair| pair.native.outcome.passed()).count();
        let inside = self.pairs.iter().filter(|pair| pair.passed_inside()).count();
        println!("{TOOK}{}", self.reported_s());
        println!(
            "== {} tests, {native} passed natively, of these {inside} inside ({}.{} %); {} differ, {} of them new; {} entries stale",
            self.pairs.len(),
            inside * 100 / native.max(1),
            inside * 1000 / native.max(1) % 10,
            native - inside,
            self.new_ones(known).count(),
            self.stale_ones(known).count(),
        );
    }

    /// Seconds that the tests say they took, on both sides.
    pub fn reported_s(&self) -> u64 {
        let runs = self.pairs.iter().flat_map(|pair| std::iter::once(&pair.native).chain(&pair.inside));
        runs.map(|run| run.took_ms).sum::<u64>() / 1000
    }

    /// Not 0 where the list is wrong.
    pub fn exit_code(&self, known: &Known) -> u8 {
        u8::from(self.new_ones(known).next().is_some() || self.stale_ones(known).next().is_some())
    }

    fn new_ones<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = &'a Pair> {
        self.pairs.iter().filter(|pair| pair.differs() && !known.contains(&pair.name))
    }

    fn stale_ones<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = &'a Pair> {
        self.pairs.iter().filter(|pair| pair.passed_inside() && known.contains(&pair.name))
    }
}

/// Not what passed, nor what the test library says of itself.
fn is_telling(line: &str) -> bool {
    !line.contains("TPASS") && !line.contains(" TINFO: ") && !line.trim().is_empty()
}

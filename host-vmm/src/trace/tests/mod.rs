//! Hand-built records, as a tracer would write them.

mod lines;
mod nested;
mod reading;

use super::record::{Reader, Record};
use linker::trace::{Capture, Head, Kind};
use syscalls::Sysno;

/// A call with these arguments, that captured nothing yet.
fn call(call: Sysno, args: &[u64], result: i64) -> Record {
    let mut head = Head { kind: Kind::Call as u32, pid: 12, tid: 13, number: call as u32, result, ..Head::default() };
    head.args[..args.len()].copy_from_slice(args);
    Record { head, captures: Vec::new(), kind: Kind::Call }
}

impl Record {
    fn with(self, argument: u8, bytes: &[u8]) -> Self {
        self.capture(Capture { argument, ..Capture::default() }, bytes)
    }

    fn with_part(self, argument: u8, bytes: &[u8]) -> Self {
        self.capture(Capture { argument, flags: Capture::CUT, ..Capture::default() }, bytes)
    }

    fn with_element(self, argument: u8, element: u16, flags: u8, bytes: &[u8]) -> Self {
        self.capture(Capture { argument, flags: flags | Capture::ELEMENT, element, len: 0 }, bytes)
    }

    fn with_piece(self, argument: u8, part: u8, element: u16, bytes: &[u8]) -> Self {
        self.capture(Capture { argument, flags: part, element, len: 0 }, bytes)
    }

    fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.head.kind = kind as u32;
        self
    }

    fn capture(mut self, capture: Capture, bytes: &[u8]) -> Self {
        self.captures.push((Capture { len: bytes.len() as u32, ..capture }, bytes.to_vec()));
        self
    }

    /// The same, through the stream.
    fn read_back(&self) -> Record {
        let mut reader = Reader::default();
        reader.feed(&self.to_bytes());
        let record = reader.record().unwrap().unwrap();
        reader.finish().unwrap();
        record
    }
}

/// Numbers as they lie in memory.
fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The same of 32 bits.
fn halves(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

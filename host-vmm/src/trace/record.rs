//! Reads records out of a byte stream. The other end is the sandbox: a record that contradicts itself ends the reading, and no
//! length of its own is believed before it is checked.

use linker::trace::{Capture, Head, Kind};
use zerocopy::FromBytes;

/// A record and what it captured.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its head.
    pub head: Head,
    /// What was copied of the caller's memory, in the record's order.
    pub captures: Vec<(Capture, Vec<u8>)>,
    /// What it tells.
    pub kind: Kind,
}

/// A stream that is none of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// A length that no record has.
    #[error("a record of {0} bytes")]
    Length(u32),
    /// A kind that does not exist.
    #[error("a record of kind {0}")]
    Kind(u32),
    /// A capture that does not fit into its record, or of an argument that does not exist.
    #[error("a capture of {len} bytes of argument {argument}, where {room} are left")]
    Capture {
        /// The argument it says.
        argument: u8,
        /// The length it says.
        len: u32,
        /// Bytes left in the record.
        room: usize,
    },
    /// The end within a record.
    #[error("the stream ends within a record, after {0} bytes of it")]
    Truncated(usize),
}

/// Collects bytes and takes records out of them.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// How much of `buffer` has been read.
    read: usize,
    /// Once a record was malformed there is no telling where the next one starts.
    broken: Option<Malformed>,
}

impl Reader {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.drain(..self.read);
            self.read = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next record; none until more is fed.
    pub fn record(&mut self) -> Result<Option<Record>, Malformed> {
        if let Some(malformed) = self.broken {
            return Err(malformed);
        }
        let parsed = parse(&self.buffer[self.read..]);
        match parsed {
            Ok(Some((record, len))) => {
                self.read += len;
                Ok(Some(record))
            }
            Ok(None) => Ok(None),
            Err(malformed) => {
                self.broken = Some(malformed);
                self.buffer = Vec::new();
                self.read = 0;
                Err(malformed)
            }
        }
    }

    /// Says at the end of the stream whether that is where a record ends.
    pub fn finish(&self) -> Result<(), Malformed> {
        match (self.broken, self.buffer.len() - self.read) {
            (Some(malformed), _) => Err(malformed),
            (None, 0) => Ok(()),
            (None, left) => Err(Malformed::Truncated(left)),
        }
    }
}

/// A record's bytes at most.
const RECORD_MAX: usize = 64 << 10;
/// What captures are padded to, and records with them.
const ALIGN: usize = 8;

/// The record that starts here and its length, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Record, usize)>, Malformed> {
    let Some(len) = bytes.first_chunk().map(|len| u32::from_ne_bytes(*len)) else {
        return Ok(None);
    };
    let size = usize::try_from(len).ok().filter(|size| (size_of::<Head>()..=RECORD_MAX).contains(size));
    let Some(size) = size.filter(|size| size.is_multiple_of(ALIGN)) else {
        return Err(Malformed::Length(len));
    };
    let Some(bytes) = bytes.get(..size) else {
        return Ok(None);
    };
    let Ok((head, mut rest)) = Head::read_from_prefix(bytes) else {
        return Err(Malformed::Length(len));
    };
    let kind = kind(head.kind).ok_or(Malformed::Kind(head.kind))?;
    let mut captures = Vec::new();
    while !rest.is_empty() {
        let (capture, after) = capture(rest)?;
        captures.push(capture);
        rest = after;
    }
    Ok(Some((Record { head, captures, kind }, size)))
}

fn kind(kind: u32) -> Option<Kind> {
    [Kind::Call, Kind::Entry, Kind::Lost, Kind::End].into_iter().find(|known| *known as u32 == kind)
}

/// The capture that starts here, and what follows it.
fn capture(bytes: &[u8]) -> Result<((Capture, Vec<u8>), &[u8]), Malformed> {
    let room = bytes.len();
    let Ok((capture, rest)) = Capture::read_from_prefix(bytes) else {
        return Err(Malformed::Capture { argument: 0, len: 0, room });
    };
    let malformed = Malformed::Capture { argument: capture.argument, len: capture.len, room: rest.len() };
    let len = usize::try_from(capture.len).map_err(|_| malformed)?;
    let padded = len.checked_next_multiple_of(ALIGN).ok_or(malformed)?;
    let after = rest.get(padded..).ok_or(malformed)?;
    if usize::from(capture.argument) >= Head::default().args.len() {
        return Err(malformed);
    }
    Ok(((capture, rest[..len].to_vec()), after))
}

#[cfg(test)]
impl Record {
    /// The bytes that a tracer would write.
    pub fn to_bytes(&self) -> Vec<u8> {
        use zerocopy::IntoBytes;
        let mut body = Vec::new();
        for (capture, bytes) in &self.captures {
            body.extend_from_slice(capture.as_bytes());
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(ALIGN), 0);
        }
        let len = (size_of::<Head>() + body.len()) as u32;
        [Head { len, ..self.head }.as_bytes(), &body].concat()
    }
}

//! Records of system calls, as a traced sandbox writes them and the host reads them: a `Head`, then what was captured of
//! the caller's memory. They come one after the other in a stream; `Head::len` leads to the next.
//!
//! ```text
//! Head, 104 bytes │ Capture, 8 bytes │ bytes, padded to 8 │ Capture │ bytes │ …
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A call that has returned.
    Call = 1,
    /// A call that does not return (exit), or has not within the trace.
    Entry = 2,
    /// Records that there was no room for: how many is in `args[0]`.
    Lost = 3,
    /// A thread that ended; `result` is its wait status.
    End = 4,
}

/// The head of a record.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    /// Bytes of the whole record, a multiple of 8.
    pub len: u32,
    /// `Kind`.
    pub kind: u32,
    /// Process and thread, by their numbers in the container.
    pub pid: u32,
    /// See `pid`.
    pub tid: u32,
    /// The call's number.
    pub number: u32,
    /// Explicit padding.
    pub pad: u32,
    /// CLOCK_REALTIME when it came, in ns. (In the buffers of the sandbox ticks, as the duration; its writer makes ns of both.)
    pub start_ns: u64,
    /// How long it took, in ns.
    pub duration_ns: u64,
    /// What it asked of the host.
    pub exits: u64,
    /// The arguments' registers.
    pub args: [u64; 6],
    /// What it returned: a value, or a negative errno.
    pub result: i64,
}

const _: () = assert!(size_of::<Head>() == 8 * Head::WORDS);

impl Head {
    /// Words of it.
    pub const WORDS: usize = 13;

    /// As words, for whoever writes it without a detour over memory.
    #[inline(always)]
    pub const fn words(&self) -> [u64; Self::WORDS] {
        let [a, b, c, d, e, f] = self.args;
        [
            pair(self.len, self.kind),
            pair(self.pid, self.tid),
            pair(self.number, self.pad),
            self.start_ns,
            self.duration_ns,
            self.exits,
            a,
            b,
            c,
            d,
            e,
            f,
            self.result.cast_unsigned(),
        ]
    }

    /// From words again.
    pub fn of_words(words: [u64; Self::WORDS]) -> Self {
        zerocopy::transmute!(words)
    }

    /// When the call had ended, in the units of `start_ns`.
    pub const fn end(&self) -> u64 {
        self.start_ns.wrapping_add(self.duration_ns)
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// What of the caller's memory follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Capture {
    /// The argument that points there, 0 to 5.
    pub argument: u8,
    /// `Capture::CUT`, and one of `Capture::PARTS` where it is no copy of what the argument itself points to.
    pub flags: u8,
    /// For a part: of which element.
    pub element: u16,
    /// Bytes that follow, before padding.
    pub len: u32,
}

impl Capture {
    /// There is more than was captured.
    pub const CUT: u8 = 1;
    /// The bytes are those of an element (of an iovec, of argv), not of the argument itself.
    pub const ELEMENT: u8 = 2;
    /// Where a message comes from or goes to.
    pub const NAME: u8 = 4;
    /// A message's control messages.
    pub const CONTROL: u8 = 8;
    /// The iovec of a message or a request.
    pub const VECTOR: u8 = 16;
    /// A buffer of a message or a request: its number in the lower byte of `element`, the other's in the upper one.
    pub const DATA: u8 = 32;
    /// All that are not of the argument itself.
    pub const PARTS: u8 = Self::ELEMENT | Self::NAME | Self::CONTROL | Self::VECTOR | Self::DATA;
}

const _: () = assert!(size_of::<Capture>() == 8);

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn words_are_the_head_as_it_lies_in_memory() {
        let head = Head {
            len: 1,
            kind: 2,
            pid: 3,
            tid: 4,
            number: 5,
            pad: 6,
            start_ns: 7,
            duration_ns: 8,
            exits: 9,
            args: [10, 11, 12, 13, 14, 15],
            result: -16,
        };
        let words: [u64; Head::WORDS] = zerocopy::transmute!(head);
        assert_eq!(head.words(), words);
        assert_eq!((Head::of_words(words).result, head.end()), (-16, 15));
    }
}

//! Arguments as text: what their registers hold, and what was captured where they point.

use super::record::Record;
use super::text::{address, hex, octal, quoted, quoted_string};
use super::{flags, messages, rings, signals, socket_address, structs};
use linker::calls::{Arg, Set, Shape, Signature};
use linker::trace::Capture;
use linux_raw_sys::general;
use syscalls::Sysno;

/// All arguments that the signature (which `Signature::with` has narrowed) shows.
pub(super) fn all(record: &Record, signature: &Signature) -> Vec<String> {
    let args = record.head.args;
    if signature.call == Sysno::clone {
        return clone(args);
    }
    let shown = (0u8..).zip(args).zip(signature.args).filter(|(_, kind)| **kind != Arg::Unused);
    shown.map(|((index, value), kind)| one(&Captured { record, index }, *kind, value)).collect()
}

/// What the events of a call that waits for many were, to stand behind its result.
pub(super) fn ready(record: &Record, signature: &Signature) -> Option<String> {
    // The sets of select(2), in their order.
    let mut names = ["in", "out", "except"].into_iter();
    let mut parts = Vec::new();
    for (index, kind) in (0u8..).zip(signature.args) {
        let captured = Captured { record, index };
        match kind {
            Arg::Poll(_) => parts.push(list(structs::poll_out(captured.at_exit()?.1), captured.at_exit()?.0)),
            Arg::FdSet(_) => {
                let name = names.next().unwrap_or_default();
                if let Some((_, bytes)) = captured.at_exit().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)) {
                    parts.push(format!("{name} {}", structs::bits(bytes)));
                }
            }
            _ => {}
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// One argument.
fn one(captured: &Captured, kind: Arg, value: u64) -> String {
    // Half of the kinds are 32 bits wide, and the upper half of their registers means nothing.
    let (word, number) = (u64::from(value as u32), value as i32);
    let behind = match kind {
        Arg::Unused => Some(String::new()),
        Arg::Int | Arg::Fd | Arg::Pid => Some(number.to_string()),
        Arg::Uint => Some(word.to_string()),
        Arg::Long => Some(value.cast_signed().to_string()),
        Arg::Size => Some(value.to_string()),
        Arg::Hex => Some(hex(value)),
        Arg::DirFd if number == general::AT_FDCWD => Some("AT_FDCWD".to_owned()),
        Arg::DirFd => Some(number.to_string()),
        Arg::Flags(set) | Arg::Choice(set) => Some(flags::show(set, word)),
        Arg::Mode => Some(octal(word)),
        Arg::NodeMode => Some(structs::mode(value as u32)),
        Arg::Device => Some(structs::device(value)),
        Arg::Signal => Some(signals::name(number)),
        // -1 leaves it as it is.
        Arg::Id => Some(if number == -1 { "-1".to_owned() } else { word.to_string() }),
        Arg::Address => None,
        Arg::Path | Arg::Text | Arg::TextOut => captured.string(),
        Arg::Strings => captured.strings(),
        Arg::BytesIn(_) | Arg::BytesOut(_) => captured.data(),
        Arg::VectorIn(_) | Arg::VectorOut(_) => captured.vector(),
        Arg::In(shape) | Arg::Out(shape) => captured.whole().first().and_then(|(_, bytes)| alone(shape, bytes)),
        Arg::InOut(Shape::UringParams) => rings::parameters(captured),
        Arg::InOut(shape) => captured.changed(shape),
        Arg::ArrayIn(shape, _) | Arg::ArrayOut(shape, _) => captured.array(shape),
        Arg::MessageIn => messages::sent(captured),
        Arg::MessageOut => messages::received(captured),
        Arg::MessagesIn(_) => messages::many_sent(captured),
        Arg::MessagesOut(_) => messages::many_received(captured),
        Arg::Requests(_) => rings::requests(captured),
        Arg::FilesUpdate(_) => rings::files_update(captured),
        Arg::Poll(_) => captured.at_entry().map(|(cut, bytes)| list(structs::poll_in(bytes), cut)),
        Arg::FdSet(_) | Arg::CpusIn(_) | Arg::CpusOut(_) => captured.at_entry().map(|(_, bytes)| structs::bits(bytes)),
        Arg::SocketAddressIn(_) | Arg::SocketAddressOut(_) => {
            captured.at_entry().and_then(|(_, bytes)| socket_address::show(bytes))
        }
        Arg::OptionIn(_) | Arg::OptionOut(_) => captured.at_entry().map(|(cut, bytes)| option(bytes, cut)),
    };
    behind.unwrap_or_else(|| address(value))
}

/// A struct that is no element of anything.
fn alone(shape: Shape, bytes: &[u8]) -> Option<String> {
    let text = structs::show(shape, bytes)?;
    Some(if structs::is_scalar(shape) { format!("[{text}]") } else { text })
}

/// A socket option: most are an `int`.
fn option(bytes: &[u8], cut: bool) -> String {
    match bytes.try_into() {
        Ok(number) => format!("[{}]", i32::from_ne_bytes(number)),
        Err(_) => quoted(bytes, cut),
    }
}

pub(super) fn list(mut elements: Vec<String>, cut: bool) -> String {
    if cut {
        elements.push("...".to_owned());
    }
    format!("[{}]", elements.join(", "))
}

/// An iovec, with the data of each element where that was copied.
fn vector<'a>((cut, bytes): (bool, &[u8]), data: impl Fn(usize) -> Option<(bool, &'a [u8])>) -> String {
    let one = |(index, bytes): (usize, &[u8])| {
        let (base, len) = structs::iovec(bytes);
        let data = data(index).map_or_else(|| address(base), |(cut, bytes)| quoted(bytes, cut));
        format!("{{iov_base={data}, iov_len={len}}}")
    };
    list(bytes.chunks_exact(size_of::<general::iovec>()).enumerate().map(one).collect(), cut)
}

/// clone(2): strace names its arguments, since their order differs between architectures, and leaves out what no flag asks for.
fn clone([all, stack, parent, child, tls, _]: [u64; 6]) -> Vec<String> {
    let asks = |flags: u32| all & u64::from(flags) != 0;
    let mut shown = vec![
        format!("child_stack={}", address(stack)),
        format!("flags={}", flags::show(Set::Clone, u64::from(all as u32))),
    ];
    if asks(general::CLONE_PARENT_SETTID | general::CLONE_PIDFD) {
        shown.push(format!("parent_tid={}", address(parent)));
    }
    if asks(general::CLONE_SETTLS) {
        shown.push(format!("tls={}", address(tls)));
    }
    if asks(general::CLONE_CHILD_SETTID | general::CLONE_CHILD_CLEARTID) {
        shown.push(format!("child_tidptr={}", address(child)));
    }
    shown
}

/// What a record captured of one argument.
pub(super) struct Captured<'a> {
    record: &'a Record,
    index: u8,
}

impl<'a> Captured<'a> {
    /// Where the argument itself points: what was copied at entry, then what at exit, each with whether there was more.
    fn whole(&self) -> Vec<(bool, &'a [u8])> {
        let own = self
            .record
            .captures
            .iter()
            .filter(|(capture, _)| capture.argument == self.index && capture.flags & Capture::PARTS == 0);
        own.map(|(capture, bytes)| (capture.flags & Capture::CUT != 0, bytes.as_slice())).collect()
    }

    fn element(&self, wanted: usize) -> Option<(bool, &'a [u8])> {
        self.part(Capture::ELEMENT, wanted)
    }

    /// What was copied of one element, or of a part of it.
    pub(super) fn part(&self, kind: u8, wanted: usize) -> Option<(bool, &'a [u8])> {
        let (capture, bytes) = self.record.captures.iter().find(|(capture, _)| {
            capture.argument == self.index
                && capture.flags & Capture::PARTS == kind
                && usize::from(capture.element) == wanted
        })?;
        Some((capture.flags & Capture::CUT != 0, bytes))
    }

    /// The first capture: of an argument that has but one, that one.
    pub(super) fn at_entry(&self) -> Option<(bool, &'a [u8])> {
        self.whole().first().copied()
    }

    /// The second capture: of an argument that is taken and changed.
    pub(super) fn at_exit(&self) -> Option<(bool, &'a [u8])> {
        self.whole().get(1).copied()
    }

    fn string(&self) -> Option<String> {
        self.at_entry().map(|(cut, bytes)| quoted_string(bytes, cut))
    }

    fn data(&self) -> Option<String> {
        self.at_entry().map(|(cut, bytes)| quoted(bytes, cut))
    }

    fn array(&self, shape: Shape) -> Option<String> {
        let (cut, bytes) = self.at_entry()?;
        let size = usize::try_from(shape.size()).ok()?;
        Some(list(bytes.chunks_exact(size).filter_map(|bytes| structs::show(shape, bytes)).collect(), cut))
    }

    fn changed(&self, shape: Shape) -> Option<String> {
        let before = structs::show(shape, self.at_entry()?.1)?;
        let after = self.at_exit().and_then(|(_, bytes)| structs::show(shape, bytes));
        let text = match after.filter(|after| *after != before) {
            Some(after) => format!("{before} => {after}"),
            None => before,
        };
        Some(if structs::is_scalar(shape) { format!("[{text}]") } else { text })
    }

    fn vector(&self) -> Option<String> {
        Some(vector(self.at_entry()?, |index| self.element(index)))
    }

    /// The iovec of an element.
    pub(super) fn nested_vector(&self, of: usize) -> Option<String> {
        Some(vector(self.part(Capture::VECTOR, of)?, |index| self.part(Capture::DATA, of << 8 | index)))
    }

    fn strings(&self) -> Option<String> {
        let (cut, bytes) = self.at_entry()?;
        let (pointers, _) = bytes.as_chunks();
        let one = |(index, pointer): (usize, &[u8; 8])| match self.element(index) {
            Some((cut, bytes)) => quoted_string(bytes, cut),
            None => address(u64::from_ne_bytes(*pointer)),
        };
        Some(list(pointers.iter().enumerate().map(one).collect(), cut))
    }
}

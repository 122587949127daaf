//! What a record has of the caller's memory: `linker::calls` says what belongs to it. What cannot be read is left out.

use crate::platform::Access;
use crate::task::Current;
use alloc::vec;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linker::calls::{DATA_MAX, Nested, Signature, What, captures};
use linker::trace::Capture;
use linux_raw_sys::general::iovec;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Adds what belongs to a call that has just come (`result` is none), or that has succeeded.
pub(super) fn take(current: &Current, signature: &Signature, args: &[u64; 6], result: Option<i64>, to: &mut Vec<u8>) {
    for wanted in captures(signature, args, result) {
        let name = Capture { argument: wanted.argument, ..Capture::default() };
        one(current, wanted.address, wanted.what, name, to);
    }
}

fn one(current: &Current, address: u64, what: What, name: Capture, to: &mut Vec<u8>) {
    let at = UserVa::new(address);
    match what {
        What::String { max } => string(current, at, max, name, to),
        What::Bytes { len, cut } => bytes(current, at, len, cut, name, to),
        What::Counted { length_at, max } => {
            let mut len = 0u32;
            if current.copy_in(UserVa::new(length_at), len.as_mut_bytes()).is_ok() {
                bytes(current, at, len.min(max), len > max, name, to);
            }
        }
        What::Iovec { count, cut, limit } => vector(current, at, count, cut, limit, name, to),
        What::Strings { max_elements } => strings(current, at, max_elements, name, to),
        What::Structs { of, count, cut } => structs(current, at, of, count, cut, name, to),
        What::Pointers { of, count, cut } => pointers(current, at, of, count, cut, name, to),
    }
}

fn put(name: Capture, bytes: &[u8], cut: bool, to: &mut Vec<u8>) {
    let flags = name.flags | if cut { Capture::CUT } else { 0 };
    let head = Capture { flags, len: bytes.len() as u32, ..name };
    to.extend_from_slice(head.as_bytes());
    to.extend_from_slice(bytes);
    to.resize(to.len().next_multiple_of(size_of::<u64>()), 0);
}

fn bytes(current: &Current, at: UserVa, len: u32, cut: bool, name: Capture, to: &mut Vec<u8>) {
    let mut buffer = vec![0; len as usize];
    if current.copy_in(at, &mut buffer).is_ok() {
        put(name, &buffer, cut, to);
    }
}

fn string(current: &Current, at: UserVa, max: u32, name: Capture, to: &mut Vec<u8>) {
    let mut buffer = vec![0; max as usize];
    match current.retry(Access::Read, |platform| platform.copy_string_from_user(at, &mut buffer)) {
        Ok(Some(len)) => put(name, buffer.get(..len).unwrap_or_default(), false, to),
        Ok(None) => put(name, &buffer, true, to),
        Err(_) => {}
    }
}

fn vector(current: &Current, at: UserVa, count: u32, cut: bool, limit: u64, name: Capture, to: &mut Vec<u8>) {
    let size = size_of::<iovec>();
    let mut list = vec![0; count as usize * size];
    if current.copy_in(at, &mut list).is_err() {
        return;
    }
    put(name, &list, cut, to);
    let mut left = limit;
    for (element, entry) in (0u16..).zip(list.chunks_exact(size)) {
        let [base, len] = words(entry);
        let there = len.min(left);
        left -= there;
        let len = there.min(DATA_MAX.into()) as u32;
        let name = match name.flags & Capture::PARTS {
            0 => Capture { flags: Capture::ELEMENT, element, ..name },
            // Of what has this iovec among its parts.
            _ => Capture { flags: Capture::DATA, element: name.element << 8 | element, ..name },
        };
        bytes(current, UserVa::new(base), len, there > DATA_MAX.into(), name, to);
    }
}

/// Structs, and what they point to.
fn structs(current: &Current, at: UserVa, of: Nested, count: u32, cut: bool, name: Capture, to: &mut Vec<u8>) {
    let size = of.size() as usize;
    let mut list = vec![0; count as usize * size];
    if current.copy_in(at, &mut list).is_err() {
        return;
    }
    put(name, &list, cut, to);
    for (element, entry) in (0u16..).zip(list.chunks_exact(size)) {
        parts(current, of, entry, Capture { element, ..name }, to);
    }
}

/// The same through pointers.
fn pointers(current: &Current, at: UserVa, of: Nested, count: u32, cut: bool, name: Capture, to: &mut Vec<u8>) {
    let mut list = vec![0u64; count as usize];
    if current.copy_in(at, list.as_mut_bytes()).is_err() {
        return;
    }
    put(name, list.as_bytes(), cut, to);
    for (element, pointer) in (0u16..).zip(list) {
        let mut entry = vec![0; of.size() as usize];
        if current.copy_in(UserVa::new(pointer), &mut entry).is_ok() {
            put(Capture { flags: Capture::ELEMENT, element, ..name }, &entry, false, to);
            parts(current, of, &entry, Capture { element, ..name }, to);
        }
    }
}

fn parts(current: &Current, of: Nested, entry: &[u8], name: Capture, to: &mut Vec<u8>) {
    for part in of.parts(entry) {
        let element = if part.flags == Capture::DATA { name.element << 8 } else { name.element };
        one(current, part.address, part.what, Capture { flags: part.flags, element, ..name }, to);
    }
}

fn strings(current: &Current, at: UserVa, max: u32, name: Capture, to: &mut Vec<u8>) {
    let mut pointers = Vec::new();
    let mut cut = false;
    for index in 0..=u64::from(max) {
        let mut pointer = 0u64;
        let place = UserVa::new(at.raw().wrapping_add(index * size_of::<u64>() as u64));
        if current.copy_in(place, pointer.as_mut_bytes()).is_err() {
            return;
        }
        if pointer == 0 {
            break;
        }
        cut = index == u64::from(max);
        if !cut {
            pointers.push(pointer);
        }
    }
    put(name, pointers.as_bytes(), cut, to);
    for (element, pointer) in (0u16..).zip(pointers) {
        let name = Capture { flags: Capture::ELEMENT, element, ..name };
        string(current, UserVa::new(pointer), DATA_MAX, name, to);
    }
}

/// The two words of an iovec.
fn words(entry: &[u8]) -> [u64; 2] {
    <[u64; 2]>::read_from_bytes(entry).unwrap_or_else(|_| <[u64; 2]>::new_zeroed())
}

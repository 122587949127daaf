//! Streams, whole and broken.

use super::super::record::{Malformed, Reader};
use super::call;
use linker::trace::{Capture, Head, Kind};
use syscalls::Sysno;
use zerocopy::IntoBytes;

/// Bytes of a record that captured nothing.
const HEAD: u32 = size_of::<Head>() as u32;

fn read() -> Vec<u8> {
    call(Sysno::read, &[3, 0x1000, 100], 5).with(1, b"hello").to_bytes()
}

fn only(bytes: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::default();
    reader.feed(bytes);
    reader.record().map(|record| record.is_some())
}

#[test]
fn records_come_out_whole_however_the_stream_is_cut() {
    let stream = [read(), call(Sysno::close, &[9], -9).to_bytes(), read()].concat();
    for step in [1, 7, HEAD as usize, HEAD as usize + 1, stream.len()] {
        let mut reader = Reader::default();
        let mut numbers = Vec::new();
        for bytes in stream.chunks(step) {
            reader.feed(bytes);
            while let Some(record) = reader.record().unwrap() {
                numbers.push(record.head.number);
                let captured: Vec<&[u8]> = record.captures.iter().map(|(_, bytes)| bytes.as_slice()).collect();
                assert!(captured.is_empty() || captured == [b"hello"]);
            }
        }
        assert_eq!(numbers, [Sysno::read as u32, Sysno::close as u32, Sysno::read as u32]);
        assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn a_length_that_no_record_has_is_refused_before_the_rest_comes() {
    for len in [0, 8, HEAD - 1, HEAD + 1, HEAD + 5, (64 << 10) + 8, u32::MAX] {
        let head = Head { len, kind: Kind::Call as u32, ..Head::default() };
        assert_eq!(only(&head.as_bytes()[..4]), Err(Malformed::Length(len)));
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, 5, u32::MAX] {
        let head = Head { len: HEAD, kind, ..Head::default() };
        assert_eq!(only(head.as_bytes()), Err(Malformed::Kind(kind)));
    }
}

#[test]
fn a_capture_longer_than_its_record_is_refused() {
    for len in [9, 64 << 10, u32::MAX - 7, u32::MAX] {
        let capture = Capture { len, ..Capture::default() };
        let head = Head { len: HEAD + 16, kind: Kind::Call as u32, ..Head::default() };
        let bytes = [head.as_bytes(), capture.as_bytes(), &[0; 8]].concat();
        assert_eq!(only(&bytes), Err(Malformed::Capture { argument: 0, len, room: 8 }));
    }
}

#[test]
fn a_capture_of_a_seventh_argument_is_refused() {
    let record = call(Sysno::read, &[], 0).with(6, b"");
    assert!(matches!(only(&record.to_bytes()), Err(Malformed::Capture { argument: 6, .. })));
}

#[test]
fn nothing_is_read_after_a_malformed_record() {
    let mut reader = Reader::default();
    reader.feed(&[0xff; 64]);
    assert!(reader.record().is_err());
    reader.feed(&read());
    assert!(reader.record().is_err());
    assert!(reader.finish().is_err());
}

#[test]
fn a_stream_that_ends_within_a_record_is_truncated() {
    let mut reader = Reader::default();
    let cut = HEAD as usize + 8;
    reader.feed(&read()[..cut]);
    assert!(reader.record().unwrap().is_none());
    assert_eq!(reader.finish(), Err(Malformed::Truncated(cut)));
}

#[test]
fn captures_that_fit_no_argument_are_printed_without_a_panic() {
    for number in 0..512 {
        for len in 0..80 {
            let mut record = call(Sysno::read, &[1, 1, 1, 1, 1, 1], 1);
            record.head.number = number;
            for argument in 0..6 {
                record = record.with(argument, &vec![0xff; len]).with_part(argument, &vec![1; len]);
                record = record.with_element(argument, 0, 0, &vec![7; len]);
                for part in [Capture::NAME, Capture::CONTROL, Capture::VECTOR, Capture::DATA] {
                    record = record.with_piece(argument, part, 0, &vec![1; len]);
                }
            }
            let line = super::super::format::line(&record.read_back(), &Default::default());
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        }
    }
}

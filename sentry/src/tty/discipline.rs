//! The line discipline: what becomes of bytes on their way in (editing, echo, signals, flow control) and out (newlines, tabs).
//! Pure: bytes in, bytes and signals out. Behaves as Linux's N_TTY, whose order of decisions it keeps.

use super::echo::{Output, is_continuation, is_control};
use super::termios::Termios;
use crate::signal::Signal;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Input that is ready or being edited holds at most this much (Linux: N_TTY_BUF_SIZE).
pub const INPUT_BYTES: usize = 4096;
/// Of this much input the last byte is kept for the character that ends the line.
const LINE_BYTES: usize = INPUT_BYTES - 1;

/// What follows a byte of input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// More of the same line.
    Nothing,
    /// The line ends with this byte.
    End,
    /// The line ends before this byte, which nobody reads (VEOF).
    EndOfFile,
}

/// One terminal's line discipline.
#[derive(Default)]
pub struct Discipline {
    termios: Termios,
    /// Completed lines, then the line being edited.
    input: VecDeque<(u8, Mark)>,
    /// How much of `input` is completed lines.
    complete: usize,
    /// The next byte has no special meaning (VLNEXT).
    literal: bool,
    /// Inside `\…/` of ECHOPRT.
    erasing: bool,
    out: Output,
}

/// What a received byte asks of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing more.
    None,
    /// A signal for the foreground group.
    Signal(Signal),
}

impl Discipline {
    /// The attributes.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the attributes. What was typed so far becomes a line of its own where canonical mode begins.
    pub fn set_termios(&mut self, termios: Termios) {
        let was = self.termios.canonical();
        self.termios = termios;
        if was != termios.canonical() {
            self.complete = 0;
            self.literal = false;
            self.erasing = false;
            for (_, mark) in &mut self.input {
                *mark = Mark::Nothing;
            }
            if termios.canonical() {
                if let Some((_, mark)) = self.input.back_mut() {
                    *mark = Mark::End;
                }
                self.complete = self.input.len();
            }
        }
        if !termios.input(raw::IXON) {
            self.out.start();
        }
    }

    /// Bytes on their way out.
    pub fn out(&mut self) -> &mut Output {
        &mut self.out
    }

    /// Whether another byte can be received. A full line being edited still takes (and drops) what comes, as Linux does.
    pub fn has_room(&self) -> bool {
        self.input.len() < LINE_BYTES || self.termios.canonical() && self.complete == 0
    }

    /// Sends bytes out, as the program wrote them. Returns how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.out.write(&self.termios, bytes)
    }

    /// Sends a special character out, as if the program had typed it (TCIOFF, TCION).
    pub fn send_character(&mut self, index: u32) {
        if let Some(byte) = self.termios.character(index) {
            self.out.echo_raw(&self.termios, byte);
        }
    }

    /// A byte arrives from the far side.
    pub fn receive(&mut self, byte: u8) -> Effect {
        let termios = self.termios;
        let mut byte = if termios.input(raw::ISTRIP) { byte & 0x7f } else { byte };
        if termios.input(raw::IUCLC) && termios.local(raw::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if core::mem::take(&mut self.literal) {
            self.plain(byte);
            return Effect::None;
        }
        if termios.input(raw::IXON) {
            if termios.is(raw::VSTART, byte) {
                self.out.start();
                return Effect::None;
            }
            if termios.is(raw::VSTOP, byte) {
                self.out.stop();
                return Effect::None;
            }
        }
        if termios.local(raw::ISIG)
            && let Some(signal) = signal_of(&termios, byte)
        {
            return self.interrupt(signal, byte);
        }
        if termios.input(raw::IXON) && termios.input(raw::IXANY) {
            self.out.start();
        }
        match byte {
            b'\r' if termios.input(raw::IGNCR) => return Effect::None,
            b'\r' if termios.input(raw::ICRNL) => byte = b'\n',
            b'\n' if termios.input(raw::INLCR) => byte = b'\r',
            _ => {}
        }
        if termios.canonical() && self.edit(byte) {
            return Effect::None;
        }
        self.plain(byte);
        Effect::None
    }

    /// VINTR, VQUIT, VSUSP.
    fn interrupt(&mut self, signal: Signal, byte: u8) -> Effect {
        if !self.termios.local(raw::NOFLSH) {
            self.flush_input();
            self.out.flush();
        }
        if self.termios.input(raw::IXON) {
            self.out.start();
        }
        if self.termios.local(raw::ECHO) {
            self.out.echo(&self.termios, byte);
        }
        Effect::Signal(signal)
    }

    /// Canonical mode's special characters; true where `byte` was one.
    fn edit(&mut self, byte: u8) -> bool {
        let termios = self.termios;
        let extended = termios.local(raw::IEXTEN);
        if termios.is(raw::VERASE, byte) {
            self.erase(Erase::Character);
        } else if termios.is(raw::VKILL, byte) {
            self.kill(byte);
        } else if extended && termios.is(raw::VWERASE, byte) {
            self.erase(Erase::Word);
        } else if extended && termios.is(raw::VLNEXT, byte) {
            self.literal = true;
            if termios.local(raw::ECHO) {
                self.finish_erasing();
                if termios.local(raw::ECHOCTL) {
                    self.out.echo_raw(&termios, b'^');
                    self.out.echo_raw(&termios, 8);
                }
            }
        } else if extended && termios.local(raw::ECHO) && termios.is(raw::VREPRINT, byte) {
            self.reprint(byte);
        } else if byte == b'\n' {
            if termios.local(raw::ECHO) || termios.local(raw::ECHONL) {
                self.out.echo_raw(&termios, b'\n');
            }
            self.end_line(byte, Mark::End);
        } else if termios.is(raw::VEOF, byte) {
            self.end_line(0, Mark::EndOfFile);
        } else if termios.is(raw::VEOL, byte) || extended && termios.is(raw::VEOL2, byte) {
            if termios.local(raw::ECHO) {
                self.note_column();
                self.out.echo(&termios, byte);
            }
            self.end_line(byte, Mark::End);
        } else {
            return false;
        }
        true
    }

    /// A byte without special meaning here.
    fn plain(&mut self, byte: u8) {
        let full = self.input.len() >= LINE_BYTES;
        if full && self.termios.canonical() {
            // No room but for the end of the line: it is dropped, unheard.
            return;
        }
        if self.termios.local(raw::ECHO) {
            self.finish_erasing();
            if byte == b'\n' {
                self.out.echo_raw(&self.termios, byte);
            } else {
                self.note_column();
                self.out.echo(&self.termios, byte);
            }
        }
        if byte == 0xff && self.termios.input(raw::PARMRK) {
            self.put(byte, Mark::Nothing);
        }
        self.put(byte, Mark::Nothing);
    }

    fn put(&mut self, byte: u8, mark: Mark) {
        if self.input.len() < INPUT_BYTES {
            self.input.push_back((byte, mark));
        }
    }

    fn end_line(&mut self, byte: u8, mark: Mark) {
        self.put(byte, mark);
        self.complete = self.input.len();
    }

    /// Where the line being edited begins on the screen.
    fn note_column(&mut self) {
        if self.complete == self.input.len() {
            self.out.note_column();
        }
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.out.echo_raw(&self.termios, b'/');
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.finish_erasing();
        self.out.echo(&self.termios, byte);
        self.out.echo_raw(&self.termios, b'\n');
        let line: Vec<u8> = self.input.iter().skip(self.complete).map(|(byte, _)| *byte).collect();
        for byte in line {
            self.out.echo(&self.termios, byte);
        }
    }

    /// VKILL: takes the whole line back, visibly where the screen can show it.
    fn kill(&mut self, byte: u8) {
        if self.input.len() == self.complete {
            return;
        }
        let termios = self.termios;
        if termios.local(raw::ECHO)
            && termios.local(raw::ECHOK)
            && termios.local(raw::ECHOKE)
            && termios.local(raw::ECHOE)
        {
            return self.erase(Erase::Line);
        }
        self.input.truncate(self.complete);
        if termios.local(raw::ECHO) {
            self.finish_erasing();
            self.out.echo(&termios, byte);
            if termios.local(raw::ECHOK) {
                self.out.echo_raw(&termios, b'\n');
            }
        }
    }

    /// Takes characters of the line back, one, a word or all, and off the screen.
    fn erase(&mut self, what: Erase) {
        let termios = self.termios;
        let mut in_word = false;
        while self.input.len() > self.complete {
            let Some(taken) = self.last_character() else { break };
            let first = taken.first().copied().unwrap_or(0);
            if what == Erase::Word {
                if first.is_ascii_alphanumeric() || first == b'_' {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            self.input.truncate(self.input.len() - taken.len());
            if termios.local(raw::ECHO) {
                self.unecho(&taken, what);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.input.len() == self.complete && termios.local(raw::ECHO) {
            self.finish_erasing();
        }
    }

    /// The last character of the line being edited: several bytes where IUTF8 says so. `None` for half a one.
    fn last_character(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for (byte, _) in self.input.range(self.complete..).rev() {
            bytes.insert(0, *byte);
            if !is_continuation(&self.termios, *byte) {
                return Some(bytes);
            }
        }
        None
    }

    /// Shows that `taken` is gone.
    fn unecho(&mut self, taken: &[u8], what: Erase) {
        let termios = self.termios;
        let first = taken.first().copied().unwrap_or(0);
        if termios.local(raw::ECHOPRT) {
            if !core::mem::replace(&mut self.erasing, true) {
                self.out.echo_raw(&termios, b'\\');
            }
            for (index, byte) in taken.iter().enumerate() {
                if index == 0 {
                    self.out.echo(&termios, *byte);
                } else {
                    self.out.echo_raw(&termios, *byte);
                }
            }
        } else if what == Erase::Character && !termios.local(raw::ECHOE) {
            if let Some(erase) = termios.character(raw::VERASE) {
                self.out.echo(&termios, erase);
            }
        } else if first == b'\t' {
            let (columns, after_tab) = self.columns_before_tab();
            self.out.erase_tab(&termios, columns, after_tab);
        } else {
            if is_control(first) && termios.local(raw::ECHOCTL) {
                self.out.erase_column(&termios);
            }
            if !is_control(first) || termios.local(raw::ECHOCTL) {
                self.out.erase_column(&termios);
            }
        }
    }

    /// How wide what now ends the line is, back to the tab before it or the line's beginning.
    fn columns_before_tab(&self) -> (usize, bool) {
        let mut columns = 0;
        for (byte, _) in self.input.range(self.complete..).rev() {
            match *byte {
                b'\t' => return (columns, true),
                byte if is_control(byte) => columns += if self.termios.local(raw::ECHOCTL) { 2 } else { 0 },
                byte if is_continuation(&self.termios, byte) => {}
                _ => columns += 1,
            }
        }
        (columns, false)
    }

    /// Whether a read would find something; `polled`: poll waits for VMIN bytes where nobody set a time.
    pub fn readable(&self, polled: bool) -> bool {
        if self.termios.canonical() {
            return self.complete > 0;
        }
        let minimum = match (polled, self.termios.number(raw::VTIME), self.termios.number(raw::VMIN)) {
            (true, 0, minimum) if minimum > 0 => usize::from(minimum),
            _ => 1,
        };
        self.input.len() >= minimum
    }

    /// FIONREAD.
    pub fn readable_bytes(&self) -> usize {
        if !self.termios.canonical() {
            return self.input.len();
        }
        self.input.range(..self.complete).filter(|(_, mark)| *mark != Mark::EndOfFile).count()
    }

    /// Takes input for a read of `max` bytes: in canonical mode of one line at most.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.termios.canonical() {
            bytes.extend(self.input.drain(..max.min(self.input.len())).map(|(byte, _)| byte));
            return bytes;
        }
        while self.complete > 0 {
            let Some((byte, mark)) = self.input.front().copied() else { break };
            // The end of file behind what just fits belongs to it; alone it would look like another end of file.
            if bytes.len() == max && mark != Mark::EndOfFile {
                break;
            }
            self.input.pop_front();
            self.complete -= 1;
            if mark != Mark::EndOfFile {
                bytes.push(byte);
            }
            if mark != Mark::Nothing || bytes.len() > max {
                break;
            }
        }
        bytes
    }

    /// Forgets all input.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.complete = 0;
        self.literal = false;
        self.erasing = false;
    }
}

/// How much is taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

fn signal_of(termios: &Termios, byte: u8) -> Option<Signal> {
    let signals = [(raw::VINTR, Signal::SIGINT), (raw::VQUIT, Signal::SIGQUIT), (raw::VSUSP, Signal::SIGTSTP)];
    signals.into_iter().find(|(index, _)| termios.is(*index, byte)).map(|(_, signal)| signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromBytes, IntoBytes};

    fn typed(discipline: &mut Discipline, text: &[u8]) -> std::vec::Vec<Signal> {
        let effects = text.iter().map(|byte| discipline.receive(*byte));
        effects.filter_map(|effect| if let Effect::Signal(signal) = effect { Some(signal) } else { None }).collect()
    }

    /// Default attributes with flags of the four words set and cleared.
    fn with(set: [u32; 4], clear: [u32; 4]) -> Discipline {
        let mut bytes = Termios::default().as_bytes().to_vec();
        for index in 0..4 {
            let at = index * 4..index * 4 + 4;
            let word = u32::from_ne_bytes(bytes[at.clone()].try_into().unwrap());
            bytes[at].copy_from_slice(&(word & !clear[index] | set[index]).to_ne_bytes());
        }
        let mut discipline = Discipline::default();
        discipline.set_termios(Termios::read_from_bytes(&bytes).unwrap());
        discipline
    }

    fn shown(discipline: &mut Discipline) -> std::vec::Vec<u8> {
        discipline.out().take(usize::MAX)
    }

    #[test]
    fn a_line_can_be_read_only_when_it_is_complete() {
        let mut tty = Discipline::default();
        typed(&mut tty, b"abc");
        assert!(!tty.readable(false));
        typed(&mut tty, b"\rde\n");
        assert_eq!(tty.readable_bytes(), 7);
        assert_eq!(tty.take(100), b"abc\n");
        assert_eq!(tty.take(2), b"de");
        assert_eq!(tty.take(100), b"\n");
        assert!(!tty.readable(false));
        assert_eq!(shown(&mut tty), b"abc\r\nde\r\n");
    }

    #[test]
    fn erase_word_and_kill_take_back_what_was_typed_and_shown() {
        let mut tty = Discipline::default();
        typed(&mut tty, b"ab\x7f");
        assert_eq!(shown(&mut tty), b"ab\x08 \x08");
        typed(&mut tty, b"c foo-bar\x17");
        assert_eq!(shown(&mut tty), b"c foo-bar\x08 \x08\x08 \x08\x08 \x08");
        typed(&mut tty, b"\n");
        assert_eq!(tty.take(100), b"ac foo-\n");
        typed(&mut tty, b"xyz\x15\x7f\n");
        assert_eq!(tty.take(100), b"\n");
    }

    #[test]
    fn erasing_tabs_controls_and_utf8_moves_back_as_far_as_they_reach() {
        let mut tty = with([raw::IUTF8, 0, 0, 0], [0; 4]);
        typed(&mut tty, b"a\t\x7f");
        assert_eq!(shown(&mut tty), b"a\t\x08\x08\x08\x08\x08\x08\x08");
        typed(&mut tty, b"\x01\x7f");
        assert_eq!(shown(&mut tty), b"^A\x08 \x08\x08 \x08");
        typed(&mut tty, "ü\x7f\n".as_bytes());
        assert_eq!(shown(&mut tty), "ü\x08 \x08\r\n".as_bytes());
        assert_eq!(tty.take(100), b"a\n");
    }

    #[test]
    fn end_of_file_ends_a_line_or_the_input_and_is_not_read() {
        let mut tty = Discipline::default();
        typed(&mut tty, b"ab\x04\x04cd\n");
        assert_eq!(tty.readable_bytes(), 5);
        assert_eq!(tty.take(2), b"ab", "the mark behind it goes with it");
        assert_eq!(tty.take(100), b"");
        assert_eq!(tty.take(100), b"cd\n");
    }

    #[test]
    fn signal_characters_flush_and_show_themselves() {
        let mut tty = Discipline::default();
        typed(&mut tty, b"old\nhalf");
        shown(&mut tty);
        assert_eq!(typed(&mut tty, b"\x03\x1c\x1a"), [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP]);
        assert!(!tty.readable(false));
        assert_eq!(shown(&mut tty), b"^Z");
        let mut tty = with([0, 0, 0, raw::NOFLSH], [0; 4]);
        typed(&mut tty, b"kept\n\x03");
        assert_eq!(tty.take(100), b"kept\n");
    }

    #[test]
    fn literal_next_takes_the_meaning_off_a_character() {
        let mut tty = Discipline::default();
        assert!(typed(&mut tty, b"\x16\x03\n").is_empty());
        assert_eq!(tty.take(100), b"\x03\n");
        assert_eq!(shown(&mut tty), b"^\x08^C\r\n");
    }

    #[test]
    fn stop_holds_output_back_and_start_lets_it_go() {
        let mut tty = Discipline::default();
        typed(&mut tty, b"\x13a");
        assert_eq!(tty.write(b"out"), 0);
        assert_eq!(shown(&mut tty), b"");
        typed(&mut tty, b"\x11");
        assert_eq!(tty.write(b"out"), 3);
        assert_eq!(shown(&mut tty), b"aout");
    }

    #[test]
    fn raw_input_is_readable_at_once_and_unchanged() {
        let mut tty = with([0; 4], [raw::ICRNL | raw::IXON, raw::OPOST, 0, raw::ICANON | raw::ECHO | raw::ISIG]);
        assert!(typed(&mut tty, b"\x03\r\x04\x13").is_empty());
        assert_eq!(tty.take(2), b"\x03\r");
        assert_eq!(tty.take(9), b"\x04\x13");
        assert_eq!(tty.write(b"a\nb"), 3);
        assert_eq!(shown(&mut tty), b"a\nb");
    }

    #[test]
    fn output_processing_knows_its_column() {
        let mut tty = with([0, raw::XTABS, 0, 0], [0; 4]);
        tty.write(b"ab\tc\n\td");
        assert_eq!(shown(&mut tty), b"ab      c\r\n        d");
    }

    #[test]
    fn a_line_that_is_too_long_loses_its_tail_but_can_be_ended() {
        let mut tty = Discipline::default();
        typed(&mut tty, &[b'x'; 5000]);
        assert!(tty.has_room());
        typed(&mut tty, b"\n");
        let line = tty.take(10_000);
        assert_eq!((line.len(), line.last()), (4096, Some(&b'\n')));
    }

    #[test]
    fn switching_to_canonical_mode_makes_a_line_of_what_is_there() {
        let mut tty = with([0; 4], [0, 0, 0, raw::ICANON]);
        typed(&mut tty, b"ab");
        let raw_mode = *tty.termios();
        tty.set_termios(Termios::default());
        assert!(tty.readable(false));
        assert_eq!(tty.take(9), b"ab");
        typed(&mut tty, b"cd\n");
        tty.set_termios(raw_mode);
        assert_eq!(tty.take(9), b"cd\n");
    }
}

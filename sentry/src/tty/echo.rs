//! Output: what a program writes and what is echoed, on the way to the far side.

use super::termios::Termios;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Output that the far side has not taken holds at most this much (Linux: TTYB_DEFAULT_MEM_LIMIT).
pub const OUTPUT_BYTES: usize = 64 << 10;
/// Echo that waits behind stopped output holds at most this much.
const HELD_BYTES: usize = 4096;

/// Bytes on their way out.
#[derive(Default)]
pub struct Output {
    bytes: VecDeque<u8>,
    /// Echo while the output is stopped.
    held: Vec<u8>,
    /// Stopped by VSTOP or TCOOFF.
    stopped: bool,
    /// Where the cursor is, and where it was at the beginning of the line being edited.
    column: usize,
    line_column: usize,
}

impl Output {
    /// Whether it is stopped.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Lets it go on.
    pub fn start(&mut self) {
        if core::mem::take(&mut self.stopped) {
            self.bytes.extend(self.held.drain(..));
        }
    }

    /// How much waits to be taken.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a write would take something.
    pub fn has_room(&self) -> bool {
        !self.stopped && self.bytes.len() < OUTPUT_BYTES
    }

    /// Takes up to `max` bytes for the far side.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        let len = max.min(self.bytes.len());
        self.bytes.drain(..len).collect()
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.bytes.clear();
        self.held.clear();
    }

    /// What a program writes; returns how many bytes of it were taken.
    pub fn write(&mut self, termios: &Termios, bytes: &[u8]) -> usize {
        if self.stopped {
            return 0;
        }
        for (index, byte) in bytes.iter().enumerate() {
            if self.bytes.len() >= OUTPUT_BYTES {
                return index;
            }
            self.process(termios, *byte, false);
        }
        bytes.len()
    }

    /// Echoes a character, control characters as `^X` where ECHOCTL says so.
    pub(super) fn echo(&mut self, termios: &Termios, byte: u8) {
        if termios.local(raw::ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.push(b'^', true);
            self.push(byte ^ 0x40, true);
            self.column += 2;
        } else {
            self.echo_raw(termios, byte);
        }
    }

    /// Echoes a byte as it is (but for what output processing does to it).
    pub(super) fn echo_raw(&mut self, termios: &Termios, byte: u8) {
        self.process(termios, byte, true);
    }

    /// Clears the character before the cursor.
    pub(super) fn erase_column(&mut self, termios: &Termios) {
        for byte in [8, b' ', 8] {
            self.echo_raw(termios, byte);
        }
    }

    /// Goes back over a tab: `columns` stand before it, since another tab or since the beginning of the line.
    pub(super) fn erase_tab(&mut self, termios: &Termios, columns: usize, after_tab: bool) {
        let before = if after_tab { columns } else { columns + self.line_column };
        for _ in 0..8 - before % 8 {
            self.echo_raw(termios, 8);
        }
    }

    /// The line being edited begins here.
    pub(super) fn note_column(&mut self) {
        self.line_column = self.column;
    }

    fn push(&mut self, byte: u8, echo: bool) {
        if !self.stopped {
            self.bytes.push_back(byte);
        } else if echo && self.held.len() < HELD_BYTES {
            self.held.push(byte);
        }
    }

    fn process(&mut self, termios: &Termios, byte: u8, echo: bool) {
        if !termios.output(raw::OPOST) {
            return self.push(byte, echo);
        }
        match byte {
            b'\n' => {
                if termios.output(raw::ONLCR) {
                    self.push(b'\r', echo);
                }
                if termios.output(raw::ONLCR) || termios.output(raw::ONLRET) {
                    (self.column, self.line_column) = (0, 0);
                }
                self.push(b'\n', echo);
            }
            b'\r' if termios.output(raw::ONOCR) && self.column == 0 => {}
            b'\r' if termios.output(raw::OCRNL) => {
                if termios.output(raw::ONLRET) {
                    (self.column, self.line_column) = (0, 0);
                }
                self.push(b'\n', echo);
            }
            b'\r' => {
                (self.column, self.line_column) = (0, 0);
                self.push(b'\r', echo);
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if termios.expands_tabs() {
                    (0..spaces).for_each(|_| self.push(b' ', echo));
                } else {
                    self.push(b'\t', echo);
                }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                self.push(8, echo);
            }
            byte => {
                let byte = if termios.output(raw::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                if !is_control(byte) && !is_continuation(termios, byte) {
                    self.column += 1;
                }
                self.push(byte, echo);
            }
        }
    }
}

/// C0 controls and DEL.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// Whether `byte` goes on with a character of UTF-8 that began before it.
pub(super) fn is_continuation(termios: &Termios, byte: u8) -> bool {
    termios.input(raw::IUTF8) && byte & 0xc0 == 0x80
}

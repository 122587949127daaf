//! Terminal attributes, as TCGETS and TCGETS2 show them, and questions about them.

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many special characters there are.
const CHARACTERS: usize = raw::NCCS as usize;

/// struct termios2 (and, without the speeds, struct termios).
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; CHARACTERS],
    input_speed: u32,
    output_speed: u32,
}

/// Bytes of struct termios: without the speeds.
pub const SHORT: usize = core::mem::offset_of!(Termios, input_speed);

/// Bytes of struct termio, which the oldest programs use; where its line discipline is, and how many characters follow.
pub const OLD: usize = size_of::<raw::termio>();
const OLD_LINE: usize = core::mem::offset_of!(raw::termio, c_line);
const OLD_CHARACTERS: usize = 8;

const _: () = {
    assert!(size_of::<Termios>() == size_of::<raw::termios2>());
    assert!(SHORT == size_of::<raw::termios>());
    assert!(core::mem::offset_of!(Termios, characters) == core::mem::offset_of!(raw::termios2, c_cc));
};

/// The speed that B38400 stands for.
const SPEED: u32 = 38400;

const fn control(letter: u8) -> u8 {
    letter & 0x1f
}

impl Default for Termios {
    /// What Linux gives a terminal that is opened for the first time.
    fn default() -> Self {
        let mut characters = [0; CHARACTERS];
        characters[raw::VINTR as usize] = control(b'C');
        characters[raw::VQUIT as usize] = control(b'\\');
        characters[raw::VERASE as usize] = 0x7f;
        characters[raw::VKILL as usize] = control(b'U');
        characters[raw::VEOF as usize] = control(b'D');
        characters[raw::VMIN as usize] = 1;
        characters[raw::VSTART as usize] = control(b'Q');
        characters[raw::VSTOP as usize] = control(b'S');
        characters[raw::VSUSP as usize] = control(b'Z');
        characters[raw::VREPRINT as usize] = control(b'R');
        characters[raw::VDISCARD as usize] = control(b'O');
        characters[raw::VWERASE as usize] = control(b'W');
        characters[raw::VLNEXT as usize] = control(b'V');
        let echo = raw::ECHO | raw::ECHOE | raw::ECHOK | raw::ECHOCTL | raw::ECHOKE;
        Self {
            input: raw::ICRNL | raw::IXON,
            output: raw::OPOST | raw::ONLCR,
            control: raw::B38400 | raw::CS8 | raw::CREAD,
            local: raw::ISIG | raw::ICANON | raw::IEXTEN | echo,
            line: 0,
            characters,
            input_speed: SPEED,
            output_speed: SPEED,
        }
    }
}

impl Termios {
    /// As struct termio has it: half of each word of flags, eight of the characters.
    pub fn old(&self) -> [u8; OLD] {
        let mut bytes = [0; OLD];
        let flags = [self.input, self.output, self.control, self.local];
        for (place, flags) in bytes.chunks_exact_mut(2).zip(flags) {
            place.copy_from_slice(&(flags as u16).to_ne_bytes());
        }
        bytes[OLD_LINE] = self.line;
        for (place, character) in bytes.iter_mut().skip(OLD_LINE + 1).zip(self.characters.iter().take(OLD_CHARACTERS)) {
            *place = *character;
        }
        bytes
    }

    /// With what struct termio can say replaced.
    pub fn with_old(mut self, bytes: &[u8; OLD]) -> Self {
        let flags = [&mut self.input, &mut self.output, &mut self.control, &mut self.local];
        for (place, flags) in bytes.chunks_exact(2).zip(flags) {
            *flags =
                *flags & !0xffff | u32::from(place.iter().rev().fold(0u16, |word, byte| word << 8 | u16::from(*byte)));
        }
        self.line = bytes[OLD_LINE];
        for (place, character) in self.characters.iter_mut().zip(bytes.iter().skip(OLD_LINE + 1)).take(OLD_CHARACTERS) {
            *place = *character;
        }
        self
    }

    /// Whether an input flag is set.
    #[inline]
    pub fn input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    /// Whether an output flag is set.
    #[inline]
    pub fn output(&self, flag: u32) -> bool {
        self.output & flag != 0
    }

    /// Whether a local flag is set.
    #[inline]
    pub fn local(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    /// Lines are edited before they can be read.
    #[inline]
    pub fn canonical(&self) -> bool {
        self.local(raw::ICANON)
    }

    /// What expands tabs.
    pub fn expands_tabs(&self) -> bool {
        self.output & raw::TABDLY == raw::XTABS
    }

    /// A special character by its index; `None` where it is switched off.
    #[inline]
    pub fn character(&self, index: u32) -> Option<u8> {
        self.characters.get(index as usize).copied().filter(|character| *character != 0)
    }

    /// VMIN or VTIME, which share no meaning with special characters.
    pub fn number(&self, index: u32) -> u8 {
        self.characters.get(index as usize).copied().unwrap_or(0)
    }

    /// Whether `byte` is that special character.
    #[inline]
    pub fn is(&self, index: u32, byte: u8) -> bool {
        self.character(index) == Some(byte)
    }

    /// struct termios: without the speeds.
    pub fn short(&self) -> [u8; SHORT] {
        let mut bytes = [0; SHORT];
        bytes.copy_from_slice(self.as_bytes().get(..SHORT).unwrap_or(&[0; SHORT]));
        bytes
    }

    /// With everything but the speeds from a struct termios.
    pub fn with_short(mut self, bytes: &[u8; SHORT]) -> Self {
        if let Some(target) = self.as_mut_bytes().get_mut(..SHORT) {
            target.copy_from_slice(bytes);
        }
        self.as_pseudo_terminal()
    }

    /// What a pseudo-terminal makes of a wish: it always has 8 bits, no parity, and receives.
    pub fn as_pseudo_terminal(mut self) -> Self {
        self.control = self.control & !(raw::CSIZE | raw::PARENB) | raw::CS8 | raw::CREAD;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_terminal_is_canonical_and_echoes() {
        let termios = Termios::default();
        assert!(termios.canonical() && termios.local(raw::ECHO) && termios.output(raw::ONLCR));
        assert!(termios.is(raw::VINTR, 3) && termios.is(raw::VERASE, 0x7f));
        assert_eq!(termios.character(raw::VEOL), None);
        assert_eq!(termios.with_short(&termios.short()), termios);
    }
}

//! A new program's first stack, as Linux lays it out, from the top: 8 zero bytes, the file name, environment strings, argument
//! strings, (a random gap,) platform name, random bytes, alignment, auxiliary vector, environment pointers, argument pointers,
//! argument count: there the stack pointer is, 16-byte aligned.

use alloc::vec::Vec;
use linux_raw_sys::auxvec::{AT_EXECFN, AT_NULL, AT_PLATFORM, AT_RANDOM};
use linux_raw_sys::general::ARG_MAX;

/// Bytes of one argument or environment string at most, with its NUL (32 pages; execve(2)).
pub const MAX_STRING: usize = 131_072;
/// Bytes of all strings and their pointers at most, whatever the stack's limit: three quarters of 8 MiB (execve(2)).
const MAX_TOTAL: u64 = 6 << 20;

/// What goes there.
#[derive(Clone, Debug, Default)]
pub struct Contents<'a> {
    /// Arguments.
    pub argv: &'a [Vec<u8>],
    /// Environment.
    pub envp: &'a [Vec<u8>],
    /// AT_EXECFN.
    pub file_name: &'a [u8],
    /// AT_PLATFORM.
    pub platform: &'a [u8],
    /// AT_RANDOM.
    pub random: [u8; 16],
    /// The other auxiliary entries, in order.
    pub auxv: &'a [(u32, u64)],
    /// Bytes left free between strings and vectors; a multiple of 16.
    pub gap: u64,
}

/// The bytes of a stack and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Image {
    /// Address of the first byte: the stack pointer.
    pub pointer: u64,
    /// Up to the stack's top.
    pub bytes: Vec<u8>,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

/// The strings do not fit (E2BIG).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooBig;

/// Checks execve(2)'s limits; `stack_limit` is RLIMIT_STACK.
pub fn check(contents: &Contents<'_>, stack_limit: u64) -> Result<(), TooBig> {
    let limit = MAX_TOTAL.min(stack_limit / 4).max(u64::from(ARG_MAX));
    let strings = || contents.argv.iter().chain(contents.envp);
    if strings().any(|string| string.len() >= MAX_STRING) {
        return Err(TooBig);
    }
    let pointers = (contents.argv.len().max(1) + contents.envp.len()) as u64 * 8;
    let bytes: u64 = strings().map(|string| string.len() as u64 + 1).sum();
    if pointers + bytes + contents.file_name.len() as u64 + 1 > limit { Err(TooBig) } else { Ok(()) }
}

/// Lays the stack out below `top` (page-aligned). Call `check` first.
pub fn build(contents: &Contents<'_>, top: u64) -> Image {
    let sizes = |strings: &[Vec<u8>]| strings.iter().map(|string| string.len() as u64 + 1).sum::<u64>();
    let name_start = top - 8 - (contents.file_name.len() as u64 + 1);
    let env_end = name_start;
    let env_start = env_end - sizes(contents.envp);
    let arg_end = env_start;
    let arg_start = arg_end - sizes(contents.argv);
    let platform = (arg_start - contents.gap) / 16 * 16 - (contents.platform.len() as u64 + 1).next_multiple_of(16);
    let random = platform - 16;
    let entries = contents.auxv.len() as u64 + 4;
    let words = 1 + contents.argv.len() as u64 + 1 + contents.envp.len() as u64 + 1 + entries * 2;
    let pointer = (random - words * 8) / 16 * 16;

    let mut image = Writer { start: pointer, bytes: alloc::vec![0; (top - pointer) as usize] };
    image.put(name_start, contents.file_name);
    image.put(platform, contents.platform);
    image.put(random, &contents.random);
    let mut at = pointer;
    let mut word = |image: &mut Writer, value: u64| {
        image.put(at, &value.to_le_bytes());
        at += 8;
    };
    word(&mut image, contents.argv.len() as u64);
    for (strings, start) in [(contents.argv, arg_start), (contents.envp, env_start)] {
        let mut string_at = start;
        for string in strings {
            image.put(string_at, string);
            word(&mut image, string_at);
            string_at += string.len() as u64 + 1;
        }
        word(&mut image, 0);
    }
    for (kind, value) in contents.auxv {
        word(&mut image, u64::from(*kind));
        word(&mut image, *value);
    }
    for (kind, value) in [(AT_RANDOM, random), (AT_EXECFN, name_start), (AT_PLATFORM, platform), (AT_NULL, 0)] {
        word(&mut image, u64::from(kind));
        word(&mut image, value);
    }
    Image { pointer, bytes: image.bytes, arg_start, arg_end, env_start, env_end }
}

struct Writer {
    start: u64,
    bytes: Vec<u8>,
}

impl Writer {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let from = (at - self.start) as usize;
        if let Some(to) = self.bytes.get_mut(from..from + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, MAX_STRING, TooBig, build, check};
    use alloc::vec;
    use alloc::vec::Vec;

    const TOP: u64 = 0x7fff_ffff_f000;

    fn word(image: &super::Image, at: u64) -> u64 {
        let from = (at - image.pointer) as usize;
        u64::from_le_bytes(image.bytes[from..from + 8].try_into().unwrap())
    }

    fn string(image: &super::Image, at: u64) -> &[u8] {
        let from = &image.bytes[(at - image.pointer) as usize..];
        from.split(|byte| *byte == 0).next().unwrap()
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_auxiliary_vector() {
        let (argv, envp) = (vec![b"ls".to_vec(), b"-l".to_vec()], vec![b"A=1".to_vec()]);
        let auxv = [(6, 4096), (25, 77)];
        let contents = Contents {
            argv: &argv,
            envp: &envp,
            file_name: b"/bin/ls",
            platform: b"x86_64",
            random: [3; 16],
            auxv: &auxv[..1],
            gap: 160,
        };
        let image = build(&contents, TOP);
        let sp = image.pointer;
        assert_eq!(sp % 16, 0);
        assert_eq!(sp + image.bytes.len() as u64, TOP);
        assert_eq!(word(&image, sp), 2);
        assert_eq!(string(&image, word(&image, sp + 8)), b"ls");
        assert_eq!(string(&image, word(&image, sp + 16)), b"-l");
        assert_eq!(word(&image, sp + 24), 0);
        assert_eq!(string(&image, word(&image, sp + 32)), b"A=1");
        assert_eq!(word(&image, sp + 40), 0);
        assert_eq!((word(&image, sp + 48), word(&image, sp + 56)), (6, 4096));
        assert_eq!((word(&image, sp + 64), word(&image, word(&image, sp + 72))), (25, 0x0303_0303_0303_0303));
        assert_eq!((word(&image, sp + 80), string(&image, word(&image, sp + 88))), (31, &b"/bin/ls"[..]));
        assert_eq!((word(&image, sp + 96), string(&image, word(&image, sp + 104))), (15, &b"x86_64"[..]));
        assert_eq!((word(&image, sp + 112), word(&image, sp + 120)), (0, 0));
        assert_eq!(word(&image, TOP - 8), 0);
        assert_eq!((image.arg_start, image.arg_end - image.arg_start), (word(&image, sp + 8), 6));
        assert_eq!((image.env_start, image.env_end - image.env_start), (image.arg_end, 4));
    }

    #[test]
    fn limits_are_those_of_execve() {
        let long: Vec<Vec<u8>> = vec![vec![b'x'; MAX_STRING - 1]];
        let one = Contents { argv: &long, ..Contents::default() };
        assert_eq!(check(&one, 8 << 20), Ok(()));
        let longer = vec![vec![b'x'; MAX_STRING]];
        assert_eq!(check(&Contents { argv: &longer, ..Contents::default() }, 8 << 20), Err(TooBig));
        let many = vec![long[0].clone(); 17];
        assert_eq!(check(&Contents { envp: &many, ..Contents::default() }, 8 << 20), Err(TooBig));
        assert_eq!(check(&Contents { envp: &many, ..Contents::default() }, 64 << 20), Ok(()));
        let small = vec![vec![b'x'; 1000]; 100];
        assert_eq!(check(&Contents { argv: &small, ..Contents::default() }, 0), Ok(()), "128 KiB are always allowed");
    }
}

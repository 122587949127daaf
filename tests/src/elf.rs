//! A small static program, made by hand, and ways to spoil it.

/// The header, the program headers and their fields (elf(5)): where each is in the file, and how many bytes it has.
struct Field {
    name: &'static str,
    at: usize,
    bytes: usize,
}

const fn field(name: &'static str, at: usize, bytes: usize) -> Field {
    Field { name, at, bytes }
}

/// Of what Linux does not read (OS ABI, section headers, flags) only a little.
const HEADER: [Field; 13] = [
    field("magic", 0, 4),
    field("class", 4, 1),
    field("data", 5, 1),
    field("version", 6, 1),
    field("osabi", 7, 1),
    field("e_type", 16, 2),
    field("e_machine", 18, 2),
    field("e_entry", 24, 8),
    field("e_phoff", 32, 8),
    field("e_flags", 48, 4),
    field("e_phentsize", 54, 2),
    field("e_phnum", 56, 2),
    field("e_shnum", 60, 2),
];

const PROGRAM_HEADER: [Field; 8] = [
    field("p_type", 0, 4),
    field("p_flags", 4, 4),
    field("p_offset", 8, 8),
    field("p_vaddr", 16, 8),
    field("p_paddr", 24, 8),
    field("p_filesz", 32, 8),
    field("p_memsz", 40, 8),
    field("p_align", 48, 8),
];

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PROGRAM_HEADERS: usize = 3;
const CODE: usize = HEADER_BYTES + PROGRAM_HEADERS * PROGRAM_HEADER_BYTES;
const PAGE: u64 = 4096;
const TEXT: u64 = 0x40_0000;
const DATA: u64 = 0x40_2000;

/// `mov edi, [DATA]; mov byte [DATA + 0x800], 1; mov eax, 60; syscall`: ends with the code that lies in its data, after a write
/// to what has to be zeroed behind it.
const TEXT_BYTES: [u8; 22] = [
    0x8b, 0x3c, 0x25, 0x00, 0x20, 0x40, 0x00, 0xc6, 0x04, 0x25, 0x00, 0x28, 0x40, 0x00, 0x01, 0xb8, 60, 0, 0, 0, 0x0f,
    0x05,
];

/// The exit code of the sound program.
pub const EXIT_CODE: u8 = 42;

/// The sound program: a text segment, a data segment with room behind it, a stack that cannot be executed.
pub fn sound() -> Vec<u8> {
    let mut file = vec![0; PAGE as usize];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, bytes, value) in [
        (16, 2, 2),
        (18, 2, 62),
        (20, 4, 1),
        (24, 8, TEXT + CODE as u64),
        (32, 8, HEADER_BYTES as u64),
        (52, 2, HEADER_BYTES as u64),
        (54, 2, PROGRAM_HEADER_BYTES as u64),
        (56, 2, PROGRAM_HEADERS as u64),
    ] {
        set(&mut file, at, bytes, value);
    }
    let segments: [[u64; 8]; PROGRAM_HEADERS] = [
        [1, 5, 0, TEXT, TEXT, (CODE + TEXT_BYTES.len()) as u64, (CODE + TEXT_BYTES.len()) as u64, PAGE],
        [1, 6, PAGE, DATA, DATA, 16, 2 * PAGE, PAGE],
        [0x6474_e551, 6, 0, 0, 0, 0, 0, 16],
    ];
    for (index, segment) in segments.iter().enumerate() {
        for (field, value) in PROGRAM_HEADER.iter().zip(segment) {
            set(&mut file, HEADER_BYTES + index * PROGRAM_HEADER_BYTES + field.at, field.bytes, *value);
        }
    }
    file[CODE..CODE + TEXT_BYTES.len()].copy_from_slice(&TEXT_BYTES);
    file.extend([EXIT_CODE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file
}

/// Spoilt copies with names that say how: every prefix that ends near an edge, every field with every odd value, and some
/// with several fields changed. The same ones each time.
pub fn spoilt() -> Vec<(String, Vec<u8>)> {
    let sound = sound();
    let edges = [0, 1, 3, 4, 16, 52, HEADER_BYTES, HEADER_BYTES + PROGRAM_HEADER_BYTES, CODE, CODE + 8, PAGE as usize];
    let ends = edges.into_iter().flat_map(|edge| [edge, edge + 1]);
    let mut all: Vec<_> = ends.map(|end| (format!("first-{end:04}-bytes"), sound[..end].to_vec())).collect();
    for (name, at, bytes) in fields() {
        for value in ODD_VALUES {
            let mut file = sound.clone();
            set(&mut file, at, bytes, value);
            let value = value & (u64::MAX >> (64 - 8 * bytes));
            if file != sound {
                all.push((format!("{name}-{value:x}"), file));
            }
        }
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        // xorshift64, Marsaglia (2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap_or(0) % below
    };
    for number in 0..60 {
        let mut file = sound.clone();
        for _ in 0..2 + next(3) {
            let (_, at, bytes) = fields()[next(fields().len())];
            let value = match next(3) {
                0 => ODD_VALUES[next(ODD_VALUES.len())],
                1 => next(1 << 20) as u64,
                _ => (next(1 << 31) as u64) << 20 | PAGE,
            };
            set(&mut file, at, bytes, value);
        }
        all.push((format!("several-{number:03}"), file));
    }
    all.sort();
    all.dedup_by(|one, other| one.0 == other.0);
    all
}

/// What no field expects.
const ODD_VALUES: [u64; 12] =
    [0, 1, 3, 64, PAGE - 1, PAGE, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_f000, 0xffff_8000_0000_0000, u64::MAX];

fn fields() -> Vec<(String, usize, usize)> {
    let header = HEADER.iter().map(|field| (field.name.to_owned(), field.at, field.bytes));
    let segments = (0..PROGRAM_HEADERS).flat_map(|index| {
        let start = HEADER_BYTES + index * PROGRAM_HEADER_BYTES;
        PROGRAM_HEADER.iter().map(move |field| (format!("{index}-{}", field.name), start + field.at, field.bytes))
    });
    header.chain(segments).collect()
}

/// Whether its segments lie over each other or are out of order.
pub fn overlaps(file: &[u8]) -> bool {
    let word = |at: usize| {
        file.get(at..at + 8).map_or(0, |bytes| bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    let headers = (0..PROGRAM_HEADERS).map(|index| HEADER_BYTES + index * PROGRAM_HEADER_BYTES);
    let loaded: Vec<_> = headers.filter(|at| word(*at) as u32 == 1).map(|at| (word(at + 16), word(at + 40))).collect();
    loaded.windows(2).any(|pair| pair[0].0.checked_add(pair[0].1).is_none_or(|end| end > pair[1].0))
}

fn set(file: &mut [u8], at: usize, bytes: usize, value: u64) {
    file[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}

#[cfg(test)]
mod tests {
    use super::{CODE, TEXT_BYTES, sound, spoilt};

    #[test]
    fn every_spoilt_copy_differs_from_the_sound_one() {
        let sound = sound();
        assert_eq!(sound[CODE..][..TEXT_BYTES.len()], TEXT_BYTES);
        let spoilt = spoilt();
        assert!(spoilt.len() > 250);
        assert!(spoilt.iter().all(|(_, file)| *file != sound));
    }
}

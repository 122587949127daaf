//! SO_ATTACH_FILTER (socket(7)): a program of the socket owner's that says of each packet how much of it is kept.

use crate::bpf::{self, Instruction};
use crate::errno::Errno;
use crate::random;
use crate::syscall::UserPtr;
use crate::task::Current;
use alloc::vec::Vec;
use linker::addr::UserVa;
use linux_raw_sys::ptrace as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where data about the packet begins, which is not in it, and the headers, whatever the program otherwise sees first.
const ABOUT: u32 = raw::SKF_AD_OFF as u32;
const NETWORK: u32 = raw::SKF_NET_OFF as u32;
const LINK: u32 = raw::SKF_LL_OFF as u32;
/// More than a byte's worth below `ABOUT` no place is one.
const ABOUT_END: u32 = ABOUT + raw::SKF_AD_MAX;

/// `struct sock_fprog`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Given {
    len: u16,
    pad: [u16; 3],
    code: u64,
}

/// A checked program.
#[derive(Debug)]
pub struct Filter(Vec<Instruction>);

/// A packet, as a program sees it.
#[derive(Clone, Copy, Default)]
pub struct Subject<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Where the program's data begins.
    pub start: usize,
    /// Where the network layer's header begins.
    pub network: usize,
    /// ETH_P_*.
    pub protocol: u16,
    /// PACKET_HOST and so on.
    pub kind: u8,
    /// Its interface.
    pub interface: u32,
    /// ARPHRD_*.
    pub hardware: u16,
}

impl Filter {
    /// The program that `value`, a `struct sock_fprog`, points to.
    pub fn read(current: &Current, value: &[u8]) -> Result<Self, Errno> {
        let given = Given::read_from_bytes(value).map_err(|_| Errno::EINVAL)?;
        let len = usize::from(given.len);
        if len == 0 || len > bpf::MAX_INSTRUCTIONS {
            return Err(Errno::EINVAL);
        }
        Self::new(UserPtr::<Instruction>::new(UserVa::new(given.code)).read_vec(current, len)?)
    }

    /// Checks `code`; EINVAL where Linux would not take it.
    pub fn new(code: Vec<Instruction>) -> Result<Self, Errno> {
        bpf::check(&code, is_allowed)?;
        Ok(Self(code))
    }

    /// How many instructions there are, and they themselves.
    pub fn code(&self) -> &[Instruction] {
        &self.0
    }

    /// Bytes to keep, from the start of the program's data on; `None`: the packet is not wanted.
    pub fn run(&self, subject: &Subject<'_>) -> Option<usize> {
        let data = subject.bytes.get(subject.start..)?;
        let kept = bpf::execute(&self.0, data.len() as u32, |size, offset| subject.load(size, offset)).unwrap_or(0);
        (kept != 0).then_some((kept as usize).min(data.len()))
    }
}

/// What a program for sockets may have beyond the common instructions (`bpf_check_classic`).
fn is_allowed(instruction: &Instruction) -> bool {
    const MOD_K: u32 = raw::BPF_ALU | raw::BPF_MOD | raw::BPF_K;
    const MOD_X: u32 = raw::BPF_ALU | raw::BPF_MOD | raw::BPF_X;
    match u32::from(instruction.code) {
        bpf::LD_ABS | bpf::LDH_ABS | bpf::LDB_ABS => instruction.k < ABOUT || is_known(instruction.k - ABOUT),
        bpf::LD_IND | bpf::LDH_IND | bpf::LDB_IND | bpf::LDX_MSH | MOD_X => true,
        MOD_K => instruction.k != 0,
        _ => false,
    }
}

/// Whether there is something at this place about a packet.
fn is_known(place: u32) -> bool {
    matches!(
        place,
        raw::SKF_AD_PROTOCOL
            | raw::SKF_AD_PKTTYPE
            | raw::SKF_AD_IFINDEX
            | raw::SKF_AD_MARK
            | raw::SKF_AD_QUEUE
            | raw::SKF_AD_HATYPE
            | raw::SKF_AD_RXHASH
            | raw::SKF_AD_CPU
            | raw::SKF_AD_VLAN_TAG
            | raw::SKF_AD_VLAN_TAG_PRESENT
            | raw::SKF_AD_VLAN_TPID
            | raw::SKF_AD_RANDOM
    )
}

impl Subject<'_> {
    fn load(&self, size: u32, offset: u32) -> Option<u32> {
        let at = match offset {
            ABOUT..ABOUT_END => return self.about(offset - ABOUT),
            NETWORK.. => self.network.checked_add((offset - NETWORK) as usize)?,
            LINK.. => (offset - LINK) as usize,
            _ => self.start.checked_add(offset as usize)?,
        };
        let bytes = self.bytes.get(at..at.checked_add(size as usize)?)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn about(&self, place: u32) -> Option<u32> {
        Some(match place {
            raw::SKF_AD_PROTOCOL => u32::from(self.protocol),
            raw::SKF_AD_PKTTYPE => u32::from(self.kind),
            raw::SKF_AD_IFINDEX => self.interface,
            raw::SKF_AD_HATYPE => u32::from(self.hardware),
            raw::SKF_AD_RANDOM => {
                let mut bytes = [0; 4];
                random::fill(&mut bytes);
                u32::from_ne_bytes(bytes)
            }
            // No marks, queues, hashes and tags of VLANs here.
            place if is_known(place) => 0,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ABOUT, Filter, Subject};
    use crate::bpf::{self, Instruction};
    use linux_raw_sys::ptrace as raw;
    use std::vec::Vec;

    fn op(code: u32, k: u32) -> Instruction {
        Instruction { code: code as u16, jt: 0, jf: 0, k }
    }

    fn run(code: &[Instruction], bytes: &[u8]) -> Option<usize> {
        let subject = Subject { bytes, start: 2, network: 4, protocol: 0x800, interface: 7, ..Subject::default() };
        Filter::new(Vec::from(code)).expect("a program").run(&subject)
    }

    const RETURN_A: u32 = raw::BPF_RET | raw::BPF_A;

    #[test]
    fn loads_count_from_the_data_the_headers_or_what_is_known_about_the_packet() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(run(&[op(bpf::LDB_ABS, 0), op(RETURN_A, 0)], &bytes), Some(2));
        assert_eq!(run(&[op(bpf::LDB_ABS, raw::SKF_NET_OFF as u32), op(RETURN_A, 0)], &bytes), Some(4));
        assert_eq!(run(&[op(bpf::LDB_ABS, raw::SKF_LL_OFF as u32 + 1), op(RETURN_A, 0)], &bytes), Some(1));
        assert_eq!(run(&[op(bpf::LD_ABS, ABOUT + raw::SKF_AD_IFINDEX), op(RETURN_A, 0)], &bytes), Some(6));
        // Beyond the end: not wanted.
        assert_eq!(run(&[op(bpf::LD_ABS, 3), op(raw::BPF_RET, 9)], &bytes), None);
        assert_eq!(run(&[op(bpf::LDX_MSH, 0), op(raw::BPF_MISC | raw::BPF_TXA, 0), op(RETURN_A, 0)], &bytes), Some(6));
    }

    #[test]
    fn what_linux_does_not_take_is_invalid() {
        for code in [op(bpf::LD_ABS, ABOUT + 1), op(bpf::LD_ABS, ABOUT + raw::SKF_AD_MAX), op(0xff, 0)] {
            assert!(Filter::new(Vec::from([code, op(raw::BPF_RET, 1)])).is_err());
        }
        let modulo = raw::BPF_ALU | raw::BPF_MOD;
        assert!(Filter::new(Vec::from([op(modulo, 0), op(raw::BPF_RET, 1)])).is_err());
        assert!(Filter::new(Vec::from([op(modulo, 3), op(raw::BPF_RET, 1)])).is_ok());
    }
}

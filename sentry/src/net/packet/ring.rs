//! PACKET_RX_RING (packet(7), Documentation/networking/packet_mmap): frames are put into memory that the program maps. Versions 1
//! and 2; version 3 hands over blocks after a time, and is not served.

use super::tap::ETHERNET;
use crate::errno::Errno;
use crate::mm::Mapping;
use crate::platform::{Frame, platform};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;
use linker::layout::PAGE_SIZE;
use linux_raw_sys::if_packet as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const PAGE: usize = PAGE_SIZE as usize;
const ALIGN: usize = raw::TPACKET_ALIGNMENT as usize;
/// Bytes before a packet's network header at least, where it has no header of the link (net/packet/af_packet.c).
const LINK_ROOM: usize = 16;
/// Bytes of a ring at most: they are not counted against the program's own memory.
const MAX_BYTES: u64 = 64 << 20;

/// How frames are headed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// TPACKET_V1.
    #[default]
    One,
    /// TPACKET_V2.
    Two,
}

/// `struct tpacket_req`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sizes {
    pub block_size: u32,
    pub blocks: u32,
    pub frame_size: u32,
    pub frames: u32,
}

/// `struct tpacket_hdr`.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Header1 {
    status: u64,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    sec: u32,
    usec: u32,
    pad: u32,
}

/// `struct tpacket2_hdr`.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Header2 {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    sec: u32,
    nsec: u32,
    vlan: u16,
    vlan_type: u16,
    pad: [u8; 4],
}

const _: () = {
    assert!(size_of::<Sizes>() == size_of::<raw::tpacket_req>());
    assert!(size_of::<Header1>() == size_of::<raw::tpacket_hdr>());
    assert!(size_of::<Header2>() == size_of::<raw::tpacket2_hdr>());
    assert!(offset_of!(Header2, mac) == offset_of!(raw::tpacket2_hdr, tp_mac));
    assert!(offset_of!(Header1, mac) == offset_of!(raw::tpacket_hdr, tp_mac));
};

impl Version {
    /// TPACKET_V1 and so on; EINVAL for one that is not served.
    pub fn new(number: i32) -> Result<Self, Errno> {
        match u32::try_from(number) {
            Ok(number) if number == raw::tpacket_versions::TPACKET_V1 as u32 => Ok(Self::One),
            Ok(number) if number == raw::tpacket_versions::TPACKET_V2 as u32 => Ok(Self::Two),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Bytes of the header alone (PACKET_HDRLEN).
    pub fn own(self) -> usize {
        match self {
            Self::One => size_of::<Header1>(),
            Self::Two => size_of::<Header2>(),
        }
    }

    /// Bytes of header and address (TPACKET_HDRLEN, TPACKET2_HDRLEN).
    pub fn header_bytes(self) -> usize {
        self.own().next_multiple_of(ALIGN) + size_of::<raw::sockaddr_ll>()
    }
}

/// What is written of a frame.
pub struct Entry<'a> {
    /// Its bytes, from the header of the link on, or from the network's on where `cooked`.
    pub data: &'a [u8],
    /// Bytes that there were.
    pub len: usize,
    /// Without the link's header.
    pub cooked: bool,
    /// TP_STATUS_* beside TP_STATUS_USER.
    pub status: u32,
    /// When it passed.
    pub time_ns: u64,
    /// `struct sockaddr_ll`.
    pub address: &'a [u8],
}

/// A ring.
pub struct Ring {
    version: Version,
    sizes: Sizes,
    reserve: usize,
    mapping: Arc<Mapping>,
    pages: Vec<Frame>,
    next: u32,
}

impl Ring {
    /// Checks as Linux does, and makes one.
    pub fn new(version: Version, sizes: Sizes, reserve: usize) -> Result<Self, Errno> {
        let Sizes { block_size, blocks, frame_size, frames } = sizes;
        let block = usize::try_from(block_size).map_err(|_| Errno::EINVAL)?;
        let frame = usize::try_from(frame_size).map_err(|_| Errno::EINVAL)?;
        if i32::try_from(block_size).is_err() || block == 0 || block % PAGE != 0 {
            return Err(Errno::EINVAL);
        }
        if frame < version.header_bytes() + reserve || frame % ALIGN != 0 {
            return Err(Errno::EINVAL);
        }
        let per_block = block_size / frame_size;
        if per_block == 0 || block_size > u32::MAX / blocks.max(1) || per_block.checked_mul(blocks) != Some(frames) {
            return Err(Errno::EINVAL);
        }
        let bytes = u64::from(block_size) * u64::from(blocks);
        if bytes > MAX_BYTES {
            return Err(Errno::ENOMEM);
        }
        let mapping = Mapping::in_memory(bytes, None);
        let page = |index| mapping.frame(index, true).map_err(|_| Errno::ENOMEM);
        let pages = (0..bytes / PAGE_SIZE).map(page).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { version, sizes, reserve, mapping, pages, next: 0 })
    }

    /// What mmap gives.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Whether a program has it mapped.
    pub fn is_mapped(&self) -> bool {
        Arc::strong_count(&self.mapping) > 1
    }

    fn place(&self, frame: u32) -> usize {
        let per_block = self.sizes.block_size / self.sizes.frame_size;
        let (block, index) = (frame / per_block, frame % per_block);
        block as usize * self.sizes.block_size as usize + index as usize * self.sizes.frame_size as usize
    }

    fn status(&self, frame: u32) -> u32 {
        let at = self.place(frame);
        self.pages.get(at / PAGE).map_or(0, |page| platform().frame_load_u32(page, at % PAGE))
    }

    fn write(&self, mut at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(page) = self.pages.get(at / PAGE) else { return };
            let len = bytes.len().min(PAGE - at % PAGE);
            let (now, rest) = bytes.split_at(len);
            platform().frame_write(page, at % PAGE, now);
            (at, bytes) = (at + len, rest);
        }
    }

    /// Whether the program has not taken all that there is.
    pub fn is_ready(&self) -> bool {
        let last = self.next.checked_sub(1).unwrap_or(self.sizes.frames.saturating_sub(1));
        self.status(last) != raw::TP_STATUS_KERNEL
    }

    /// Adds a frame; false where the program has not taken the one that is there.
    pub fn put(&mut self, entry: &Entry<'_>, losing: bool) -> bool {
        let frame = self.next;
        if self.status(frame) != raw::TP_STATUS_KERNEL {
            return false;
        }
        self.next = (frame + 1) % self.sizes.frames.max(1);
        let (mac, net) = if entry.cooked {
            let net = self.version.header_bytes().next_multiple_of(ALIGN) + LINK_ROOM + self.reserve;
            (net, net)
        } else {
            let net = (self.version.header_bytes() + LINK_ROOM).next_multiple_of(ALIGN) + self.reserve;
            (net - ETHERNET, net)
        };
        let room = (self.sizes.frame_size as usize).saturating_sub(mac);
        let data = entry.data.get(..room).unwrap_or(entry.data);
        let start = self.place(frame);
        self.write(start + mac, data);
        self.write(start + self.version.own().next_multiple_of(ALIGN), entry.address);
        let losing = if losing { raw::TP_STATUS_LOSING } else { 0 };
        let status = raw::TP_STATUS_USER | entry.status | losing;
        let (sec, nsec) = ((entry.time_ns / 1_000_000_000) as u32, (entry.time_ns % 1_000_000_000) as u32);
        let (len, snaplen, mac, net) = (entry.len as u32, data.len() as u32, mac as u16, net as u16);
        // The status last: with it the frame is the program's.
        match self.version {
            Version::One => {
                let usec = nsec / 1000;
                let head = Header1 { status: 0, len, snaplen, mac, net, sec, usec, pad: 0 };
                self.write(start, head.as_bytes());
            }
            Version::Two => {
                let head = Header2 { len, snaplen, mac, net, sec, nsec, ..Header2::default() };
                self.write(start, head.as_bytes());
            }
        }
        if let Some(page) = self.pages.get(start / PAGE) {
            platform().frame_store_u32(page, start % PAGE, status);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Ring, Sizes, Version};
    use crate::errno::Errno;
    use crate::fake;
    use crate::platform::platform;

    const SIZES: Sizes = Sizes { block_size: 8192, blocks: 2, frame_size: 4096, frames: 4 };

    #[test]
    fn sizes_that_linux_refuses_are_refused() {
        fake::install();
        let new = |sizes| Ring::new(Version::Two, sizes, 0).err();
        assert_eq!(new(SIZES), None);
        assert_eq!(new(Sizes { block_size: 100, ..SIZES }), Some(Errno::EINVAL));
        assert_eq!(new(Sizes { frame_size: 32, ..SIZES }), Some(Errno::EINVAL));
        assert_eq!(new(Sizes { frame_size: 100, ..SIZES }), Some(Errno::EINVAL));
        assert_eq!(new(Sizes { frames: 3, ..SIZES }), Some(Errno::EINVAL));
        assert_eq!(new(Sizes { blocks: 1 << 20, frames: 2 << 20, ..SIZES }), Some(Errno::EINVAL));
        assert_eq!(new(Sizes { blocks: 1 << 15, frames: 2 << 15, ..SIZES }), Some(Errno::ENOMEM));
    }

    #[test]
    fn frames_are_the_programs_until_it_gives_them_back() {
        fake::install();
        let mut ring = Ring::new(Version::Two, SIZES, 0).unwrap();
        let entry = Entry { data: &[7; 60], len: 100, cooked: false, status: 0, time_ns: 0, address: &[9; 20] };
        assert!(!ring.is_ready());
        for _ in 0..4 {
            assert!(ring.put(&entry, false) && ring.is_ready());
        }
        assert!(!ring.put(&entry, false));
        platform().frame_store_u32(&ring.pages[0], 0, 0);
        assert!(ring.put(&entry, true));
        let mut bytes = [0; 160];
        platform().frame_read(&ring.pages[0], 0, &mut bytes);
        assert_eq!(bytes[..8], [5, 0, 0, 0, 100, 0, 0, 0]);
        let mac = usize::from(u16::from_ne_bytes([bytes[12], bytes[13]]));
        assert_eq!((mac, bytes[mac], bytes[mac + 59], bytes[mac + 60]), (66, 7, 7, 0));
        assert_eq!(bytes[32..52], [9; 20]);
    }
}

//! Ethernet frames between guest memory and a packet socket, many in one request. The sockets are nonblocking, and nobody else
//! has them.

use crate::serve::file::HostFile;
use crate::serve::{Answer, Server};
use crate::vm::guest_io::Pieces;
use linker::addr::GuestPa;
use linker::request::{FrameHeader, GuestBuf, Request};
use rustix::io::{Errno, ReadWriteFlags};
use std::mem::{offset_of, size_of};
use std::os::fd::AsFd;
use vm_memory::{Bytes, GuestAddress};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of a `FrameHeader` before those that the socket itself reads and writes.
const OWN_BYTES: u64 = offset_of!(FrameHeader, flags) as u64;
/// Frames of one request at most, so that one interface does not keep the others waiting.
const MAX_FRAMES: u64 = 1024;

/// The room for the frames of one `ReceiveFrames`.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    first: u64,
    stride: u64,
    count: u64,
}

impl Slots {
    /// Checks the shape; the place is checked when it is used.
    pub fn new(request: &Request) -> Result<Self, Errno> {
        let GuestBuf { pa, len } = request.output;
        let stride = request.arg;
        if stride < size_of::<FrameHeader>() as u64 || !stride.is_multiple_of(4) || stride > len {
            return Err(Errno::INVAL);
        }
        Ok(Self { first: pa.raw(), stride, count: (len / stride).min(MAX_FRAMES) })
    }
}

impl Server {
    /// Fills slots with the frames that have come. EAGAIN where there is none.
    pub(super) fn receive_frames(&self, file: &HostFile, slots: &Slots) -> Answer {
        let mut filled = 0;
        while filled < slots.count {
            let at = filled.checked_mul(slots.stride).and_then(|offset| slots.first.checked_add(offset));
            let at = at.ok_or(Errno::FAULT)?;
            let room = GuestBuf { pa: GuestPa::new(at + OWN_BYTES), len: slots.stride - OWN_BYTES };
            let received = Pieces::new(&self.memory, &[room])
                .and_then(|pieces| pieces.read_from(file.as_fd(), u64::MAX, ReadWriteFlags::empty()));
            match received {
                Ok(bytes) if bytes >= FrameHeader::VIRTIO_BYTES => {
                    let len = (bytes - FrameHeader::VIRTIO_BYTES) as u32;
                    let own = [u64::from(len)].map(u64::to_ne_bytes).concat();
                    let own = own.get(..OWN_BYTES as usize).unwrap_or(&[]);
                    self.memory.write_slice(own, GuestAddress(at)).map_err(|_| Errno::FAULT)?;
                    filled += 1;
                }
                Err(Errno::AGAIN) if filled == 0 => return Err(Errno::AGAIN),
                Err(Errno::AGAIN) => break,
                Err(Errno::FAULT) => return Err(Errno::FAULT),
                // A frame that cannot be described with a virtio header, or word of the interface going down: there is nothing to hand on.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(filled)
    }

    /// Sends frames; whether all are done with. The request becomes what is left of it.
    pub(super) fn send_frames(&self, request: &mut Request) -> Result<bool, Errno> {
        let file = self.files.get(request.handle)?;
        while request.input.len != 0 {
            let GuestBuf { pa, len } = request.input;
            let mut header = FrameHeader::new_zeroed();
            self.memory.read_slice(header.as_mut_bytes(), GuestAddress(pa.raw())).map_err(|_| Errno::FAULT)?;
            let whole = size_of::<FrameHeader>() as u64 + u64::from(header.len);
            if whole > len {
                return Err(Errno::INVAL);
            }
            let bytes = GuestBuf { pa: GuestPa::new(pa.raw() + OWN_BYTES), len: whole - OWN_BYTES };
            match Pieces::new(&self.memory, &[bytes])?.write_to(file.as_fd(), u64::MAX, ReadWriteFlags::empty()) {
                Err(Errno::AGAIN) => return Ok(false),
                // Too long, no buffer, link down: lost, as on a wire.
                Ok(_) | Err(_) => {
                    let done = whole.next_multiple_of(4).min(len);
                    request.input = GuestBuf { pa: GuestPa::new(pa.raw() + done), len: len - done };
                }
            }
        }
        Ok(true)
    }
}

//! SOL_PACKET's options.

use super::ring::{Ring, Sizes, Version};
use super::tap::{ETHERNET, Tapped};
use super::{Packet, State};
use crate::errno::Errno;
use crate::net::options::int;
use crate::syscall::UserPtr;
use crate::task::Current;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use linux_raw_sys::if_packet as raw;
use linux_raw_sys::net::SOL_PACKET;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct packet_mreq`.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, Immutable)]
#[repr(C)]
struct Membership {
    interface: u32,
    kind: u16,
    len: u16,
    address: [u8; 8],
}

/// `struct tpacket_auxdata`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Auxdata {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan: u16,
    vlan_type: u16,
}

const _: () = {
    assert!(size_of::<Auxdata>() == size_of::<raw::tpacket_auxdata>());
    assert!(size_of::<Membership>() == 16);
};

/// Options that are numbers: name, greatest value.
const NUMBERS: &[(u32, i32)] = &[
    (raw::PACKET_COPY_THRESH, i32::MAX),
    (raw::PACKET_AUXDATA, i32::MAX),
    (raw::PACKET_ORIGDEV, i32::MAX),
    (raw::PACKET_TIMESTAMP, i32::MAX),
    (raw::PACKET_IGNORE_OUTGOING, 1),
    (raw::PACKET_QDISC_BYPASS, i32::MAX),
];
/// Those that are on or off: any number turns them on.
const SWITCHES: &[u32] = &[raw::PACKET_AUXDATA, raw::PACKET_ORIGDEV, raw::PACKET_QDISC_BYPASS];

/// What was set.
#[derive(Default)]
pub(super) struct Settings {
    version: Version,
    reserve: usize,
    numbers: BTreeMap<u32, i32>,
    members: Vec<Membership>,
}

impl Settings {
    fn number(&self, name: u32) -> i32 {
        self.numbers.get(&name).copied().unwrap_or(0)
    }

    pub(super) fn ignores_outgoing(&self) -> bool {
        self.number(raw::PACKET_IGNORE_OUTGOING) != 0
    }

    pub(super) fn wants_auxdata(&self) -> bool {
        self.number(raw::PACKET_AUXDATA) != 0
    }
}

/// The control message about a frame of which `kept` bytes from `start` on were given.
pub(super) fn auxdata(tapped: &Tapped, start: usize, kept: usize) -> (u32, u32, Vec<u8>) {
    let aux = Auxdata {
        status: raw::TP_STATUS_USER | tapped.checksum,
        len: (tapped.frame.len() - start) as u32,
        snaplen: kept as u32,
        mac: 0,
        net: (ETHERNET - start) as u16,
        vlan: 0,
        vlan_type: 0,
    };
    (SOL_PACKET, raw::PACKET_AUXDATA, aux.as_bytes().to_vec())
}

/// PACKET_HDRLEN: the version is in the very place where the answer goes.
pub fn header_length(current: &Current, value: UserPtr<i32>, len: UserPtr<i32>) -> Result<(), Errno> {
    if len.read(current)? < size_of::<i32>() as i32 {
        return Err(Errno::EINVAL);
    }
    let bytes = Version::new(value.read(current)?)?.own();
    len.write(current, &(size_of::<i32>() as i32))?;
    value.write(current, &(bytes as i32))
}

pub(super) fn get(state: &mut State, name: u32) -> Result<Vec<u8>, Errno> {
    let number = match name {
        raw::PACKET_STATISTICS => {
            let (packets, drops) = (core::mem::take(&mut state.packets), core::mem::take(&mut state.drops));
            return Ok([packets, drops].map(u32::to_ne_bytes).concat());
        }
        raw::PACKET_VERSION => match state.settings.version {
            Version::One => raw::tpacket_versions::TPACKET_V1 as i32,
            Version::Two => raw::tpacket_versions::TPACKET_V2 as i32,
        },
        raw::PACKET_RESERVE => state.settings.reserve as i32,
        name if NUMBERS.iter().any(|number| number.0 == name) => state.settings.number(name),
        _ => return Err(Errno::ENOPROTOOPT),
    };
    Ok(number.to_ne_bytes().to_vec())
}

pub(super) fn set(socket: &Packet, name: u32, value: &[u8]) -> Result<(), Errno> {
    match name {
        raw::PACKET_ADD_MEMBERSHIP | raw::PACKET_DROP_MEMBERSHIP => {
            return membership(socket, value, name == raw::PACKET_ADD_MEMBERSHIP);
        }
        raw::PACKET_RX_RING => return ring(socket, value),
        _ => {}
    }
    let mut state = socket.state.lock();
    let busy = state.ring.is_some();
    match name {
        raw::PACKET_VERSION => {
            let version = Version::new(int(value)?)?;
            if busy {
                return Err(Errno::EBUSY);
            }
            state.settings.version = version;
            Ok(())
        }
        raw::PACKET_RESERVE => {
            let reserve = usize::try_from(int(value)?).map_err(|_| Errno::EINVAL)?;
            if busy {
                return Err(Errno::EBUSY);
            }
            state.settings.reserve = reserve;
            Ok(())
        }
        _ => {
            let (_, most) = NUMBERS.iter().find(|number| number.0 == name).ok_or(Errno::ENOPROTOOPT)?;
            let number = int(value)?;
            let number = if SWITCHES.contains(&name) { i32::from(number != 0) } else { number };
            if number < 0 || number > *most {
                return Err(Errno::EINVAL);
            }
            state.settings.numbers.insert(name, number);
            Ok(())
        }
    }
}

/// All frames that come to an interface are seen in any case: there is no hardware that filters.
fn membership(socket: &Packet, value: &[u8], join: bool) -> Result<(), Errno> {
    /// Bytes of an Ethernet address.
    const ADDRESS: u16 = 6;
    const ADDRESSED: [u32; 2] = [raw::PACKET_MR_MULTICAST, raw::PACKET_MR_UNICAST];
    let (wanted, _) = Membership::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    if usize::from(wanted.len) > wanted.address.len() {
        return Err(Errno::EINVAL);
    }
    if join && !socket.exists(wanted.interface) {
        return Err(Errno::ENODEV);
    }
    let addressed = ADDRESSED.contains(&u32::from(wanted.kind));
    if join && (wanted.len > ADDRESS || addressed && wanted.len != ADDRESS) {
        return Err(Errno::EINVAL);
    }
    let members = &mut socket.state.lock().settings.members;
    if join {
        members.push(wanted);
        return Ok(());
    }
    // Leaving what was not joined is fine.
    if let Some(index) = members.iter().position(|member| *member == wanted) {
        members.swap_remove(index);
    }
    Ok(())
}

fn ring(socket: &Packet, value: &[u8]) -> Result<(), Errno> {
    let (sizes, _) = Sizes::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    let (version, reserve) = {
        let state = socket.state.lock();
        match &state.ring {
            Some(ring) if ring.is_mapped() => return Err(Errno::EBUSY),
            Some(_) if sizes.blocks != 0 => return Err(Errno::EBUSY),
            _ => {}
        }
        (state.settings.version, state.settings.reserve)
    };
    let new = match (sizes.blocks, sizes.frames) {
        (0, 0) => None,
        (0, _) => return Err(Errno::EINVAL),
        _ => Some(Ring::new(version, sizes, reserve)?),
    };
    let old = {
        let mut state = socket.state.lock();
        (core::mem::replace(&mut state.ring, new), core::mem::take(&mut state.incoming))
    };
    socket.state.lock().used = 0;
    drop(old);
    Ok(())
}

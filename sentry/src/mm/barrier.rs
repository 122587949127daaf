//! membarrier(2).

use super::address_space::AddressSpace;
use crate::errno::Errno;
use crate::platform::platform;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::membarrier_cmd as cmd;

const GLOBAL: u32 = cmd::MEMBARRIER_CMD_GLOBAL as u32;
const GLOBAL_EXPEDITED: u32 = cmd::MEMBARRIER_CMD_GLOBAL_EXPEDITED as u32;
const REGISTER_GLOBAL: u32 = cmd::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as u32;
const PRIVATE: u32 = cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED as u32;
const REGISTER_PRIVATE: u32 = cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as u32;
const CORE: u32 = cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as u32;
const REGISTER_CORE: u32 = cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as u32;
const REGISTRATIONS: u32 = cmd::MEMBARRIER_CMD_GET_REGISTRATIONS as u32;
const ALL: u32 =
    GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL | PRIVATE | REGISTER_PRIVATE | CORE | REGISTER_CORE | REGISTRATIONS;

impl AddressSpace {
    /// One membarrier command.
    pub fn barrier(&self, command: u32) -> Result<u32, Errno> {
        let registered = self.barriers.load(Ordering::Relaxed);
        match command {
            0 => return Ok(ALL),
            GLOBAL | GLOBAL_EXPEDITED => platform().barrier_all(),
            REGISTER_GLOBAL | REGISTER_PRIVATE | REGISTER_CORE => {
                self.barriers.fetch_or(command, Ordering::Relaxed);
            }
            // An interrupt's return serialises the core too.
            PRIVATE if registered & REGISTER_PRIVATE != 0 => platform().barrier_all(),
            CORE if registered & REGISTER_CORE != 0 => platform().barrier_all(),
            PRIVATE | CORE => return Err(Errno::EPERM),
            REGISTRATIONS => return Ok(registered),
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }
}

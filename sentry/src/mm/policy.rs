//! Where memory should come from (numa(7)): remembered and shown. There is one node, so every wish that can be met is.

use super::address_space::AddressSpace;
use super::vma::VmaFlags;
use crate::errno::Errno;

/// A policy as set_mempolicy(2) has it: a mode, and whether it names the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// MPOL_*, without flags.
    pub mode: u32,
    /// The mask has node 0.
    pub node: bool,
}

/// The place of the mode in an area's flags.
const MODE_SHIFT: u32 = VmaFlags::POLICY_MODE.bits().trailing_zeros();

impl Policy {
    fn flags(self) -> VmaFlags {
        let mode = VmaFlags::from_bits_truncate(self.mode << MODE_SHIFT) & VmaFlags::POLICY_MODE;
        if self.node { mode | VmaFlags::POLICY_NODE } else { mode }
    }

    fn of(flags: VmaFlags) -> Self {
        let mode = (flags & VmaFlags::POLICY_MODE).bits() >> MODE_SHIFT;
        Self { mode, node: flags.contains(VmaFlags::POLICY_NODE) }
    }
}

impl AddressSpace {
    /// mbind(2). EFAULT where something is not mapped.
    pub fn set_policy(&self, start: u64, end: u64, policy: Policy) -> Result<(), Errno> {
        let mut areas = self.areas.write();
        if !areas.covers(start, end) {
            return Err(Errno::EFAULT);
        }
        let spare = areas.change(start, end, |vma| {
            vma.flags -= VmaFlags::POLICY_MODE | VmaFlags::POLICY_NODE;
            vma.flags |= policy.flags();
        });
        drop(areas);
        drop(spare);
        Ok(())
    }

    /// The policy of the area that holds `at`; EFAULT where none does.
    pub fn policy_at(&self, at: u64) -> Result<Policy, Errno> {
        let areas = self.areas.read();
        areas.find(at).map(|vma| Policy::of(vma.flags)).ok_or(Errno::EFAULT)
    }
}

//! The alternate signal stack: sigaltstack(2).

use crate::errno::Errno;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// stack_t.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StackT {
    /// Lowest address.
    pub sp: u64,
    /// SS_*.
    pub flags: u32,
    /// Padding.
    pub pad: u32,
    /// Bytes.
    pub size: u64,
}

const _: () = {
    assert!(size_of::<StackT>() == size_of::<raw::sigaltstack>());
    assert!(core::mem::offset_of!(StackT, flags) == core::mem::offset_of!(raw::sigaltstack, ss_flags));
    assert!(core::mem::offset_of!(StackT, size) == core::mem::offset_of!(raw::sigaltstack, ss_size));
};

/// A thread's alternate stack; of size 0 where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct AlternateStack {
    sp: u64,
    size: u64,
    flags: u32,
}

impl Default for AlternateStack {
    fn default() -> Self {
        Self { sp: 0, size: 0, flags: raw::SS_DISABLE }
    }
}

impl AlternateStack {
    /// Whether `sp` lies on it, wherever the thread came from.
    pub(super) fn covers(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }

    /// Whether a thread with stack pointer `sp` runs on it. With SS_AUTODISARM nobody ever does: the frame's owner may switch away.
    pub(super) fn active(&self, sp: u64) -> bool {
        self.flags & raw::SS_AUTODISARM == 0 && self.covers(sp)
    }

    /// The first stack pointer of a handler that has to run on it, `None` where there is none.
    pub(super) fn top(&self) -> Option<u64> {
        (self.size != 0).then(|| self.sp.wrapping_add(self.size))
    }

    /// What sigaltstack(2) reports to a thread at `sp`.
    pub(super) fn report(&self, sp: u64) -> StackT {
        let state = match self.size {
            0 => raw::SS_DISABLE,
            _ if self.active(sp) => raw::SS_ONSTACK,
            _ => 0,
        };
        StackT { sp: self.sp, flags: state | self.flags & raw::SS_FLAG_BITS, pad: 0, size: self.size }
    }

    /// What a handler's `uc_stack` holds: the setting, not the state.
    pub(super) fn saved(&self) -> StackT {
        StackT { sp: self.sp, flags: self.flags, pad: 0, size: self.size }
    }

    /// Disarms it while a handler runs on it, if SS_AUTODISARM says so.
    pub(super) fn auto_disarm(&mut self) {
        if self.flags & raw::SS_AUTODISARM != 0 {
            *self = Self::default();
        }
    }

    /// Sets it, for a thread at `sp`: EPERM while the thread runs on it, ENOMEM where it is too small.
    pub(super) fn set(&mut self, new: &StackT, sp: u64, minimum: u64) -> Result<(), Errno> {
        if self.active(sp) {
            return Err(Errno::EPERM);
        }
        let mode = new.flags & !raw::SS_FLAG_BITS;
        if mode != raw::SS_DISABLE && mode != raw::SS_ONSTACK && mode != 0 {
            return Err(Errno::EINVAL);
        }
        if mode == raw::SS_DISABLE {
            *self = Self { sp: 0, size: 0, flags: new.flags };
            return Ok(());
        }
        if new.size < minimum {
            return Err(Errno::ENOMEM);
        }
        *self = Self { sp: new.sp, size: new.size, flags: new.flags };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: StackT = StackT { sp: 0x10000, flags: 0, pad: 0, size: 0x4000 };

    #[test]
    fn alternate_stack_cannot_be_changed_while_in_use() {
        let mut stack = AlternateStack::default();
        assert_eq!(stack.set(&STACK, 0x7000_0000, 2048), Ok(()));
        assert_eq!(stack.set(&STACK, 0x12000, 2048), Err(Errno::EPERM));
        assert_eq!(stack.report(0x12000).flags, raw::SS_ONSTACK);
        assert_eq!(stack.report(0x7000_0000).flags, 0);
    }

    #[test]
    fn too_small_stack_gets_enomem_and_unknown_mode_einval() {
        let mut stack = AlternateStack::default();
        assert_eq!(stack.set(&StackT { size: 100, ..STACK }, 0, 2048), Err(Errno::ENOMEM));
        assert_eq!(stack.set(&StackT { flags: 4, ..STACK }, 0, 2048), Err(Errno::EINVAL));
        assert_eq!(stack.report(0).flags, raw::SS_DISABLE);
    }

    #[test]
    fn autodisarm_stack_counts_as_unused_and_disarms() {
        let mut stack = AlternateStack::default();
        stack.set(&StackT { flags: raw::SS_AUTODISARM, ..STACK }, 0, 2048).unwrap();
        assert!(!stack.active(0x12000));
        stack.auto_disarm();
        assert_eq!(stack.top(), None);
    }
}

//! Actions: what a process wants done with each signal. One table a process, shared by CLONE_SIGHAND.

use super::number::{DefaultAction, Signal, SignalSet};
use crate::sync::{Lock, LockGuard, Rank};
use alloc::boxed::Box;
use bitflags::bitflags;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// sigaction(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    #[allow(missing_docs)]
    pub struct ActionFlags: u64 {
        const NOCLDSTOP = raw::SA_NOCLDSTOP as u64;
        const NOCLDWAIT = raw::SA_NOCLDWAIT as u64;
        const SIGINFO = raw::SA_SIGINFO as u64;
        const EXPOSE_TAGBITS = raw::SA_EXPOSE_TAGBITS as u64;
        const RESTORER = raw::SA_RESTORER as u64;
        const ONSTACK = raw::SA_ONSTACK as u64;
        const RESTART = raw::SA_RESTART as u64;
        const NODEFER = raw::SA_NODEFER as u64;
        const RESETHAND = raw::SA_RESETHAND as u64;
    }
}

/// struct sigaction of the x86-64 kernel ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigAction {
    /// SIG_DFL, SIG_IGN or a function.
    pub handler: u64,
    /// `ActionFlags`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// What is blocked while the handler runs.
    pub mask: u64,
}

const _: () = {
    assert!(size_of::<SigAction>() == size_of::<raw::sigaction>());
    assert!(core::mem::offset_of!(SigAction, flags) == core::mem::offset_of!(raw::sigaction, sa_flags));
    assert!(core::mem::offset_of!(SigAction, mask) == core::mem::offset_of!(raw::sigaction, sa_mask));
};

impl SigAction {
    /// SIG_DFL (asm-generic/signal-defs.h).
    pub const DEFAULT: u64 = 0;
    /// SIG_IGN.
    pub const IGNORE: u64 = 1;

    /// The flags that are known.
    pub fn flags(&self) -> ActionFlags {
        ActionFlags::from_bits_truncate(self.flags)
    }

    /// What is blocked while the handler runs.
    pub fn mask(&self) -> SignalSet {
        SignalSet::from_bits(self.mask)
    }

    /// Whether a signal with this action vanishes.
    pub(super) fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            Self::IGNORE => true,
            Self::DEFAULT => {
                matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue)
            }
            _ => false,
        }
    }
}

/// A table of actions.
pub struct Actions {
    table: Lock<Box<ActionTable>>,
}

/// Its content.
#[derive(Clone)]
pub struct ActionTable {
    actions: [SigAction; Signal::COUNT],
}

impl Default for Actions {
    fn default() -> Self {
        Self::new(ActionTable { actions: [SigAction::default(); Signal::COUNT] })
    }
}

impl Actions {
    fn new(table: ActionTable) -> Self {
        Self { table: Lock::new(Rank::SignalActions, Box::new(table)) }
    }

    /// A copy for fork.
    pub fn duplicate(&self) -> Self {
        let copy = (**self.table.lock()).clone();
        Self::new(copy)
    }

    /// A copy for execve: handlers go back to the default, ignored stays ignored.
    pub fn for_exec(&self) -> Self {
        let mut copy = (**self.table.lock()).clone();
        for action in &mut copy.actions {
            let handler = if action.handler == SigAction::IGNORE { SigAction::IGNORE } else { SigAction::DEFAULT };
            *action = SigAction { handler, ..SigAction::default() };
        }
        Self::new(copy)
    }

    /// One action.
    pub fn get(&self, signal: Signal) -> SigAction {
        self.table.lock().get(signal)
    }

    /// The signals set to SIG_IGN and those with a handler, for `/proc/PID/status`.
    pub fn ignored_and_caught(&self) -> (SignalSet, SignalSet) {
        let table = self.table.lock();
        let (mut ignored, mut caught) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for signal in (1..=Signal::COUNT as u32).filter_map(Signal::new) {
            match table.get(signal).handler {
                SigAction::DEFAULT => {}
                SigAction::IGNORE => ignored = ignored.with(signal),
                _ => caught = caught.with(signal),
            }
        }
        (ignored, caught)
    }

    pub(super) fn lock(&self) -> LockGuard<'_, Box<ActionTable>> {
        self.table.lock()
    }
}

impl ActionTable {
    /// One action.
    pub(super) fn get(&self, signal: Signal) -> SigAction {
        self.actions.get(signal.index()).copied().unwrap_or_default()
    }

    /// Replaces one action.
    pub(super) fn set(&mut self, signal: Signal, action: SigAction) {
        if let Some(slot) = self.actions.get_mut(signal.index()) {
            *slot = action;
        }
    }
}

//! Signal numbers, sets of them, and what each does by default.

use linux_raw_sys::general as raw;

/// A signal, 1–64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal does where no handler is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Ends the process.
    Terminate,
    /// Ends the process, with a core file where a limit above 0 allows it.
    Core,
    /// Stops the process.
    Stop,
    /// Continues the process; nothing else.
    Continue,
    /// Nothing.
    Ignore,
}

macro_rules! signals {
    ($($name:ident)*) => {
        #[allow(missing_docs)]
        impl Signal {
            $(pub const $name: Self = Self(raw::$name as u8);)*

            /// The name; `None` for real-time signals.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 as u32 { $(raw::$name => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT
    SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS
}

impl Signal {
    /// How many there are.
    pub const COUNT: usize = raw::_NSIG as usize;

    /// Signal `number`, if there is one.
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= raw::_NSIG { Some(Self(number as u8)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// Its place in a table of all signals.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether every instance is queued, in order.
    pub const fn is_realtime(self) -> bool {
        self.0 as u32 >= raw::SIGRTMIN
    }

    /// What it does where no handler is set.
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            Self::SIGSTOP | Self::SIGTSTP | Self::SIGTTIN | Self::SIGTTOU => DefaultAction::Stop,
            Self::SIGQUIT
            | Self::SIGILL
            | Self::SIGTRAP
            | Self::SIGABRT
            | Self::SIGBUS
            | Self::SIGFPE
            | Self::SIGSEGV => DefaultAction::Core,
            Self::SIGXCPU | Self::SIGXFSZ | Self::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals: bit n-1 for signal n, as in user space.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignalSet(u64);

impl SignalSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// What can be neither blocked nor caught.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// What the default action stops on.
    pub const STOPS: Self = Self::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// What instructions cause: served before all others.
    pub const SYNCHRONOUS: Self =
        Self::of(&[Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGFPE, Signal::SIGSYS]);

    /// The set of these signals.
    pub const fn of(signals: &[Signal]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < signals.len() {
            bits |= 1 << signals[index].index();
            index += 1;
        }
        Self(bits)
    }

    /// The set in user space's form.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// User space's form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A blocked mask: without what cannot be blocked.
    pub const fn blockable(self) -> Self {
        self.minus(Self::UNBLOCKABLE)
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 >> signal.index() & 1 != 0
    }

    /// With `signal`.
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | 1 << signal.index())
    }

    /// Without `signal`.
    pub const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !(1 << signal.index()))
    }

    /// What is in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one only.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// All signals that are not in it.
    pub const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// The one to serve first: synchronous ones, then the lowest number.
    pub fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(Self::SYNCHRONOUS);
        let bits = if synchronous.is_empty() { self.0 } else { synchronous.0 };
        (bits != 0).then(|| Signal(bits.trailing_zeros() as u8 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_zero_and_sixty_five_do_not_exist() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(u32::MAX), None);
        assert_eq!(Signal::new(64).map(Signal::number), Some(64));
    }

    #[test]
    fn synchronous_signals_come_before_lower_numbers() {
        let set = SignalSet::of(&[Signal::SIGHUP, Signal::SIGSEGV, Signal::SIGINT]);
        assert_eq!(set.first(), Some(Signal::SIGSEGV));
        assert_eq!(set.without(Signal::SIGSEGV).first(), Some(Signal::SIGHUP));
        assert_eq!(SignalSet::EMPTY.first(), None);
    }

    #[test]
    fn kill_and_stop_cannot_be_blocked() {
        let mask = SignalSet::EMPTY.complement().blockable();
        assert!(!mask.contains(Signal::SIGKILL) && !mask.contains(Signal::SIGSTOP));
        assert!(mask.contains(Signal::SIGTERM));
    }
}

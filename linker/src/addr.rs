//! Address newtypes. A number that is an address says whose.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw address. Proves nothing about it.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw address.
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// `self + bytes`, or `None` where that overflows.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// The start of the 4 KiB page that holds this address.
            pub const fn page_floor(self) -> Self {
                Self(self.0 & !(crate::layout::PAGE_SIZE - 1))
            }

            /// The next 4 KiB boundary at or above this address, or `None` where that overflows.
            pub const fn page_ceil(self) -> Option<Self> {
                match self.0.checked_add(crate::layout::PAGE_SIZE - 1) {
                    Some(raw) => Some(Self(raw & !(crate::layout::PAGE_SIZE - 1))),
                    None => None,
                }
            }

            /// The offset of this address in its page, in bytes.
            pub const fn page_offset(self) -> u64 {
                self.0 & (crate::layout::PAGE_SIZE - 1)
            }

            /// Whether this address is a multiple of 4 KiB.
            pub const fn is_page_aligned(self) -> bool {
                self.page_offset() == 0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address! {
    /// An address in the guest's physical memory.
    GuestPa
}
address! {
    /// An address in the kernel half of the guest's virtual memory.
    KernelVa
}
address! {
    /// An address in the user half of the guest's virtual memory, as a program says it: an allegation.
    UserVa
}

//! Argument types. A user pointer is an allegation: making one checks nothing and touches nothing; all access goes through
//! `Current`, which faults pages in and answers EFAULT.

use crate::errno::Errno;
use crate::task::Current;
use alloc::vec::Vec;
use core::marker::PhantomData;
use linker::addr::UserVa;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Decodes one register.
pub trait FromArg: Sized {
    /// The typed argument, or the errno that an impossible value gets.
    fn from_arg(raw: u64) -> Result<Self, Errno>;
}

macro_rules! integers {
    ($($kind:ty)*) => { $(impl FromArg for $kind {
        #[inline]
        fn from_arg(raw: u64) -> Result<Self, Errno> {
            // The ABI: a narrower argument is the register's low bits, the rest is unspecified.
            Ok(raw as $kind)
        }
    })* };
}
integers!(u64 i64 usize u32 i32 u16);

impl FromArg for UserVa {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self::new(raw))
    }
}

/// Implements `FromArg` for a bitflags type: unknown bits get `$errno`. The register's low 32 bits count.
#[macro_export]
macro_rules! flags_from_arg {
    ($kind:ty, $errno:ident) => {
        impl $crate::syscall::FromArg for $kind {
            fn from_arg(raw: u64) -> Result<Self, $crate::errno::Errno> {
                Self::from_bits(raw as u32 as _).ok_or($crate::errno::Errno::$errno)
            }
        }
    };
}

/// A file descriptor number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(i32);

impl Fd {
    /// AT_FDCWD.
    pub const CWD: Self = Self(linux_raw_sys::general::AT_FDCWD);

    /// Descriptor `raw`, which may be anything.
    pub const fn new(raw: i32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl FromArg for Fd {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as i32))
    }
}

/// A pointer to a `T` (or to the first of several) in user memory.
pub struct UserPtr<T>(UserVa, PhantomData<fn() -> T>);

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> FromArg for UserPtr<T> {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self::new(UserVa::new(raw)))
    }
}

impl<T> UserPtr<T> {
    /// A pointer to `at`.
    pub const fn new(at: UserVa) -> Self {
        Self(at, PhantomData)
    }

    /// The address.
    pub const fn addr(self) -> UserVa {
        self.0
    }

    /// Whether it is NULL.
    pub const fn is_null(self) -> bool {
        self.0.raw() == 0
    }

    /// `None` for NULL: for optional arguments.
    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// The `index`th element's pointer; wraps on overflow, as an allegation may.
    pub const fn nth(self, index: usize) -> Self {
        Self::new(UserVa::new(self.0.raw().wrapping_add((index as u64).wrapping_mul(size_of::<T>() as u64))))
    }

    /// The same address, as a pointer to something else.
    pub const fn cast<U>(self) -> UserPtr<U> {
        UserPtr::new(self.0)
    }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Copies the value in. EFAULT where it cannot be read.
    pub fn read(self, current: &Current) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        current.copy_in(self.0, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies the value out. EFAULT where it cannot be written.
    pub fn write(self, current: &Current, value: &T) -> Result<(), Errno> {
        current.copy_out(self.0, value.as_bytes())
    }

    /// Copies `count` values in; the caller bounds `count` first.
    pub fn read_vec(self, current: &Current, count: usize) -> Result<Vec<T>, Errno> {
        let mut values = T::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
        current.copy_in(self.0, values.as_mut_slice().as_mut_bytes())?;
        Ok(values)
    }

    /// Copies values out.
    pub fn write_slice(self, current: &Current, values: &[T]) -> Result<(), Errno> {
        current.copy_out(self.0, values.as_bytes())
    }
}

/// A NUL-terminated string in user memory: a path, an argument.
#[derive(Clone, Copy)]
pub struct UserStr(UserVa);

impl FromArg for UserStr {
    #[inline]
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(UserVa::new(raw)))
    }
}

impl UserStr {
    /// The string at `at`.
    pub const fn new(at: UserVa) -> Self {
        Self(at)
    }

    /// The address.
    pub const fn addr(self) -> UserVa {
        self.0
    }

    /// Whether it is NULL.
    pub const fn is_null(self) -> bool {
        self.0.raw() == 0
    }

    /// Copies it in without its NUL; `too_long` where none comes within `max` bytes (the NUL counted).
    pub fn read(self, current: &Current, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
        current.copy_in_string(self.0, max, too_long)
    }

    /// Copies a path in: ENAMETOOLONG from PATH_MAX on.
    pub fn read_path(self, current: &Current) -> Result<Vec<u8>, Errno> {
        self.read(current, linux_raw_sys::general::PATH_MAX as usize, Errno::ENAMETOOLONG)
    }
}

/// Address and length of a buffer, made from two arguments by the handler.
#[derive(Clone, Copy, Debug)]
pub struct UserBuf {
    /// First byte.
    pub addr: UserVa,
    /// Bytes.
    pub len: usize,
}

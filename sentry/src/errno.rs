//! `Errno`: what user space sees. Restart, exit and no-return are not errnos; see `syscall::Outcome`.

use linux_raw_sys::errno as raw;

/// A Linux error number, 1–4095.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Self = Self(raw::$name as u16);)*

            /// The name, `None` for a number without one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 as u32 { $(raw::$name => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV
    ENOTDIR EISDIR EINVAL EBADFD EBADR ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG
    ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENODATA ETIME ENOLINK EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK EDESTADDRREQ
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED
    EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ENOMEDIUM ECANCELED EOWNERDEAD ENOTRECOVERABLE ENOTUNIQ EREMOTEIO
    ELIBBAD ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED ERFKILL EHWPOISON
}

impl Errno {
    /// The errno with this number; anything outside 1–4095 is EIO.
    pub const fn from_raw(raw: i64) -> Self {
        if raw >= 1 && raw <= 4095 { Self(raw as u16) } else { Self::EIO }
    }

    /// The number.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// What `rax` holds.
    pub const fn to_ret(self) -> u64 {
        (-(self.0 as i64)) as u64
    }
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Kernel error codes: Linux's errno values as a one-word type. Every level uses it; no locks.
//! Source: `errno(3)`, `asm-generic/errno.h` of the UAPI headers.

#![no_std]
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::num::NonZeroI32;

/// A kernel error: a positive errno below `MAX_ERRNO`. `Result<usize>` fits two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// The result of a kernel operation.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Largest errno value a system call can return.
pub const MAX_ERRNO: i32 = 4095;

impl Error {
    /// An error from a positive or negative errno; values out of range become `EINVAL`.
    pub const fn from_errno(errno: i32) -> Self {
        let value = if errno < 0 { errno.wrapping_neg() } else { errno };
        match NonZeroI32::new(value) {
            Some(v) if value > 0 && value <= MAX_ERRNO => Self(v),
            _ => code::EINVAL,
        }
    }

    /// The negative errno, as R4L's `to_errno` gives it.
    pub const fn to_errno(self) -> i32 {
        -self.0.get()
    }

    /// The value a system call leaves in `rax`.
    pub const fn to_ret(self) -> isize {
        -(self.0.get() as isize)
    }

    /// The symbolic name (`"ENOENT"`), if the code has one, as R4L's `name` gives it.
    pub const fn name(&self) -> Option<&'static CStr> {
        code::name(self.0.get())
    }

    /// The error as a pointer that is never one (`ERR_PTR`), as R4L's `to_ptr` gives it.
    pub const fn to_ptr<T>(self) -> *mut T {
        core::ptr::without_provenance_mut(self.to_ret().cast_unsigned())
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            // Names are ASCII.
            Some(name) => f.write_str(name.to_str().unwrap_or_default()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl From<core::num::TryFromIntError> for Error {
    fn from(_: core::num::TryFromIntError) -> Self {
        code::EINVAL
    }
}

impl From<core::str::Utf8Error> for Error {
    fn from(_: core::str::Utf8Error) -> Self {
        code::EINVAL
    }
}

impl From<core::fmt::Error> for Error {
    fn from(_: core::fmt::Error) -> Self {
        code::EINVAL
    }
}

impl From<core::convert::Infallible> for Error {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// A text with its zero byte as a C string.
const fn text(text: &'static str) -> Option<&'static CStr> {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => Some(text),
        Err(_) => None,
    }
}

macro_rules! declare_errors {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: super::Error = super::Error(match core::num::NonZeroI32::new($value) {
            Some(v) => v,
            None => core::num::NonZeroI32::MIN,
        });)*
        pub(super) const fn name(errno: i32) -> Option<&'static core::ffi::CStr> {
            match errno {
                $($value => super::text(concat!(stringify!($name), "\0")),)*
                _ => None,
            }
        }
    };
}

/// The codes themselves (`use errno::code::*`).
pub mod code {
    declare_errors! {
        EPERM = 1, "Operation not permitted.";
        ENOENT = 2, "No such file or directory.";
        ESRCH = 3, "No such process.";
        EINTR = 4, "Interrupted system call.";
        EIO = 5, "I/O error.";
        ENXIO = 6, "No such device or address.";
        E2BIG = 7, "Argument list too long.";
        ENOEXEC = 8, "Exec format error.";
        EBADF = 9, "Bad file number.";
        ECHILD = 10, "No child processes.";
        EAGAIN = 11, "Try again.";
        ENOMEM = 12, "Out of memory.";
        EACCES = 13, "Permission denied.";
        EFAULT = 14, "Bad address.";
        ENOTBLK = 15, "Block device required.";
        EBUSY = 16, "Device or resource busy.";
        EEXIST = 17, "File exists.";
        EXDEV = 18, "Cross-device link.";
        ENODEV = 19, "No such device.";
        ENOTDIR = 20, "Not a directory.";
        EISDIR = 21, "Is a directory.";
        EINVAL = 22, "Invalid argument.";
        ENFILE = 23, "File table overflow.";
        EMFILE = 24, "Too many open files.";
        ENOTTY = 25, "Not a typewriter.";
        ETXTBSY = 26, "Text file busy.";
        EFBIG = 27, "File too large.";
        ENOSPC = 28, "No space left on device.";
        ESPIPE = 29, "Illegal seek.";
        EROFS = 30, "Read-only file system.";
        EMLINK = 31, "Too many links.";
        EPIPE = 32, "Broken pipe.";
        EDOM = 33, "Math argument out of domain of function.";
        ERANGE = 34, "Math result not representable.";
        EDEADLK = 35, "Resource deadlock would occur.";
        ENAMETOOLONG = 36, "File name too long.";
        ENOLCK = 37, "No record locks available.";
        ENOSYS = 38, "Invalid system call number.";
        ENOTEMPTY = 39, "Directory not empty.";
        ELOOP = 40, "Too many symbolic links encountered.";
        ENOMSG = 42, "No message of desired type.";
        EIDRM = 43, "Identifier removed.";
        ECHRNG = 44, "Channel number out of range.";
        EL2NSYNC = 45, "Level 2 not synchronized.";
        EL3HLT = 46, "Level 3 halted.";
        EL3RST = 47, "Level 3 reset.";
        ELNRNG = 48, "Link number out of range.";
        EUNATCH = 49, "Protocol driver not attached.";
        ENOCSI = 50, "No CSI structure available.";
        EL2HLT = 51, "Level 2 halted.";
        EBADE = 52, "Invalid exchange.";
        EBADR = 53, "Invalid request descriptor.";
        EXFULL = 54, "Exchange full.";
        ENOANO = 55, "No anode.";
        EBADRQC = 56, "Invalid request code.";
        EBADSLT = 57, "Invalid slot.";
        EBFONT = 59, "Bad font file format.";
        ENOSTR = 60, "Device not a stream.";
        ENODATA = 61, "No data available.";
        ETIME = 62, "Timer expired.";
        ENOSR = 63, "Out of streams resources.";
        ENONET = 64, "Machine is not on the network.";
        ENOPKG = 65, "Package not installed.";
        EREMOTE = 66, "Object is remote.";
        ENOLINK = 67, "Link has been severed.";
        EADV = 68, "Advertise error.";
        ESRMNT = 69, "Srmount error.";
        ECOMM = 70, "Communication error on send.";
        EPROTO = 71, "Protocol error.";
        EMULTIHOP = 72, "Multihop attempted.";
        EDOTDOT = 73, "RFS specific error.";
        EBADMSG = 74, "Not a data message.";
        EOVERFLOW = 75, "Value too large for defined data type.";
        ENOTUNIQ = 76, "Name not unique on network.";
        EBADFD = 77, "File descriptor in bad state.";
        EREMCHG = 78, "Remote address changed.";
        ELIBACC = 79, "Can not access a needed shared library.";
        ELIBBAD = 80, "Accessing a corrupted shared library.";
        ELIBSCN = 81, ".lib section in a.out corrupted.";
        ELIBMAX = 82, "Attempting to link in too many shared libraries.";
        ELIBEXEC = 83, "Cannot exec a shared library directly.";
        EILSEQ = 84, "Illegal byte sequence.";
        ERESTART = 85, "Interrupted system call should be restarted.";
        ESTRPIPE = 86, "Streams pipe error.";
        EUSERS = 87, "Too many users.";
        ENOTSOCK = 88, "Socket operation on non-socket.";
        EDESTADDRREQ = 89, "Destination address required.";
        EMSGSIZE = 90, "Message too long.";
        EPROTOTYPE = 91, "Protocol wrong type for socket.";
        ENOPROTOOPT = 92, "Protocol not available.";
        EPROTONOSUPPORT = 93, "Protocol not supported.";
        ESOCKTNOSUPPORT = 94, "Socket type not supported.";
        EOPNOTSUPP = 95, "Operation not supported on transport endpoint.";
        EPFNOSUPPORT = 96, "Protocol family not supported.";
        EAFNOSUPPORT = 97, "Address family not supported by protocol.";
        EADDRINUSE = 98, "Address already in use.";
        EADDRNOTAVAIL = 99, "Cannot assign requested address.";
        ENETDOWN = 100, "Network is down.";
        ENETUNREACH = 101, "Network is unreachable.";
        ENETRESET = 102, "Network dropped connection because of reset.";
        ECONNABORTED = 103, "Software caused connection abort.";
        ECONNRESET = 104, "Connection reset by peer.";
        ENOBUFS = 105, "No buffer space available.";
        EISCONN = 106, "Transport endpoint is already connected.";
        ENOTCONN = 107, "Transport endpoint is not connected.";
        ESHUTDOWN = 108, "Cannot send after transport endpoint shutdown.";
        ETOOMANYREFS = 109, "Too many references: cannot splice.";
        ETIMEDOUT = 110, "Connection timed out.";
        ECONNREFUSED = 111, "Connection refused.";
        EHOSTDOWN = 112, "Host is down.";
        EHOSTUNREACH = 113, "No route to host.";
        EALREADY = 114, "Operation already in progress.";
        EINPROGRESS = 115, "Operation now in progress.";
        ESTALE = 116, "Stale file handle.";
        EUCLEAN = 117, "Structure needs cleaning.";
        ENOTNAM = 118, "Not a XENIX named type file.";
        ENAVAIL = 119, "No XENIX semaphores available.";
        EISNAM = 120, "Is a named type file.";
        EREMOTEIO = 121, "Remote I/O error.";
        EDQUOT = 122, "Quota exceeded.";
        ENOMEDIUM = 123, "No medium found.";
        EMEDIUMTYPE = 124, "Wrong medium type.";
        ECANCELED = 125, "Operation canceled.";
        ENOKEY = 126, "Required key not available.";
        EKEYEXPIRED = 127, "Key has expired.";
        EKEYREVOKED = 128, "Key has been revoked.";
        EKEYREJECTED = 129, "Key was rejected by service.";
        EOWNERDEAD = 130, "Owner died.";
        ENOTRECOVERABLE = 131, "State not recoverable.";
        ERFKILL = 132, "Operation not possible due to RF-kill.";
        EHWPOISON = 133, "Memory page has hardware error.";
        ERESTARTSYS = 512, "Restart the system call (kernel-internal: a signal interrupted it).";
        ERESTARTNOINTR = 513, "Restart always (kernel-internal).";
        ERESTARTNOHAND = 514, "Restart if there is no handler (kernel-internal).";
        ENOIOCTLCMD = 515, "No ioctl command (kernel-internal; becomes ENOTTY).";
        ERESTART_RESTARTBLOCK = 516, "Restart through restart_syscall (kernel-internal).";
        EPROBE_DEFER = 517, "Driver requests probe retry (kernel-internal).";
        EOPENSTALE = 518, "Open found a stale dentry (kernel-internal).";
        ERECALLCONFLICT = 519, "Conflict with recalled state (kernel-internal).";
        ENOGRACE = 520, "NFS file lock reclaim refused (kernel-internal).";
        EBADHANDLE = 521, "Illegal NFS file handle (kernel-internal).";
        ENOTSYNC = 522, "Update synchronization mismatch (kernel-internal).";
        EBADCOOKIE = 523, "Cookie is stale (kernel-internal).";
        ENOTSUPP = 524, "Operation is not supported (kernel-internal).";
        ETOOSMALL = 525, "Buffer or request is too small (kernel-internal).";
        ESERVERFAULT = 526, "An untranslatable error occurred (kernel-internal).";
        EBADTYPE = 527, "Type not supported by server (kernel-internal).";
        EJUKEBOX = 528, "Request initiated, but will not complete before timeout (kernel-internal).";
        EIOCBQUEUED = 529, "iocb queued, will get completion event (kernel-internal).";
    }
    /// Same value as `EAGAIN` on x86.
    pub const EWOULDBLOCK: super::Error = EAGAIN;
    /// Same value as `EDEADLK` on x86.
    pub const EDEADLOCK: super::Error = EDEADLK;
}

// SPDX-License-Identifier: GPL-2.0
//! Open files: `kernel::fs::file`.

use crate::cred::Credential;
use crate::sync::aref::{ARef, AlwaysRefCounted};
use crate::types::NotThreadSafe;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use errno::{Error, Result, code::EBADF};
use kalloc::Arc;

/// A position in a file.
pub type Offset = i64;

/// Flags of open files.
pub mod flags {
    macro_rules! flags {
        ($($name:ident)*) => { $(#[doc = concat!("`", stringify!($name), "` of `open(2)`.")] pub const $name: u32 = uapi::$name;)* };
    }
    flags! {
        O_APPEND O_CLOEXEC O_CREAT O_DIRECT O_DIRECTORY O_DSYNC O_EXCL O_LARGEFILE O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK
        O_PATH O_TRUNC O_ACCMODE O_RDONLY O_WRONLY O_RDWR
    }
    /// `O_ASYNC` of `open(2)`.
    pub const O_ASYNC: u32 = uapi::FASYNC;
    /// `O_NDELAY` of `open(2)`.
    pub const O_NDELAY: u32 = uapi::O_NONBLOCK;
    /// `O_SYNC` of `open(2)`.
    pub const O_SYNC: u32 = uapi::__O_SYNC | uapi::O_DSYNC;
    /// `O_TMPFILE` of `open(2)`.
    pub const O_TMPFILE: u32 = uapi::__O_TMPFILE | uapi::O_DIRECTORY;
}

/// An open file that may go to other threads.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct File {
    inner: LocalFile,
}

/// An open file as `fget` finds it.
///
/// # Invariants
/// As for [`File`].
#[repr(transparent)]
pub struct LocalFile {
    inner: vfs::File,
}

impl File {
    /// The file of the level below.
    pub(crate) fn from_vfs(file: &vfs::File) -> &Self {
        // SAFETY: `File` is its `vfs::File`, which always lives in an `Arc`.
        unsafe { &*core::ptr::from_ref(file).cast() }
    }
}

impl Deref for File {
    type Target = LocalFile;

    fn deref(&self) -> &LocalFile {
        &self.inner
    }
}

impl LocalFile {
    /// The file behind a descriptor of this task.
    pub fn fget(fd: u32) -> Result<ARef<LocalFile>, BadFdError> {
        let guard = vfs::fdget(fd as usize).map_err(|_| BadFdError)?;
        Ok(ARef::from(&**File::from_vfs(&guard)))
    }

    /// As a file that may go to other threads.
    ///
    /// # Safety
    /// No system call of this task is using the file's position without its lock: here none ever does.
    pub unsafe fn assume_no_fdget_pos(me: ARef<LocalFile>) -> ARef<File> {
        // SAFETY: The two types are the same inside; the reference goes over.
        unsafe { ARef::from_raw(ARef::into_raw(me).cast()) }
    }

    /// Who opened it.
    pub fn cred(&self) -> &Credential {
        Credential::from_arc(self.inner.cred())
    }

    /// Its flags.
    pub fn flags(&self) -> u32 {
        self.inner.flags().0
    }
}

macro_rules! counted {
    ($name:ident) => {
        // SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
        unsafe impl AlwaysRefCounted for $name {
            fn inc_ref(&self) {
                // SAFETY: The value lives in an `Arc`; that of the caller is only looked at, and a new one is kept.
                let arc = ManuallyDrop::new(unsafe { Arc::from_raw(core::ptr::from_ref(self).cast::<vfs::File>()) });
                core::mem::forget(Arc::clone(&arc));
            }

            unsafe fn dec_ref(obj: NonNull<Self>) {
                // SAFETY: The caller gives up a reference that was counted.
                drop(unsafe { Arc::from_raw(obj.as_ptr().cast::<vfs::File>()) });
            }
        }
    };
}
counted!(File);
counted!(LocalFile);

/// A descriptor of this task that no file has yet.
pub struct FileDescriptorReservation {
    fd: vfs::FdGuard,
    _not_send: NotThreadSafe,
}

impl FileDescriptorReservation {
    /// Takes the lowest free descriptor. `EMFILE`. `flags`: `O_CLOEXEC`.
    pub fn get_unused_fd_flags(flags: u32) -> Result<Self> {
        Ok(Self { fd: vfs::get_unused_fd(flags & flags::O_CLOEXEC != 0)?, _not_send: NotThreadSafe })
    }

    /// The descriptor.
    pub fn reserved_fd(&self) -> u32 {
        self.fd.fd()
    }

    /// Gives the descriptor its file.
    pub fn fd_install(self, file: ARef<File>) {
        // SAFETY: The reference that `file` counted goes over.
        let file = unsafe { Arc::from_raw(ARef::into_raw(file).as_ptr().cast::<vfs::File>()) };
        self.fd.install(file);
    }
}

/// There is no such descriptor.
#[derive(Copy, Clone, Eq, PartialEq)]
pub struct BadFdError;

impl From<BadFdError> for Error {
    fn from(_: BadFdError) -> Error {
        EBADF
    }
}

impl fmt::Debug for BadFdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("EBADF")
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Errors: `kernel::error`, over the crate `errno`.
//!
//! ```
//! use kernel::error::{from_err_ptr, to_result};
//!
//! assert_eq!(to_result(0), Ok(()));
//! assert_eq!(to_result(-22), Err(EINVAL));
//! assert_eq!(from_err_ptr(core::ptr::without_provenance_mut::<u8>(12_usize.wrapping_neg())), Err(ENOMEM));
//! ```

pub use errno::{Error, Result, code};

/// What methods of a `#[vtable]` trait say that must not be called because an implementation lacks them.
pub const VTABLE_DEFAULT_ERROR: &str = "This function must not be called, see the #[vtable] documentation.";

/// Turns a C-style return value into a `Result`.
pub fn to_result(err: crate::ffi::c_int) -> Result {
    if err < 0 { Err(Error::from_errno(err)) } else { Ok(()) }
}

/// Turns a pointer that may stand for an error (`IS_ERR`) into a `Result`.
pub fn from_err_ptr<T>(ptr: *mut T) -> Result<*mut T> {
    let value = ptr.addr().cast_signed();
    if (-(errno::MAX_ERRNO as isize)..0).contains(&value) {
        // The value is a small negative number.
        return Err(Error::from_errno(value as i32));
    }
    Ok(ptr)
}

/// Turns a `Result` into a C-style return value.
pub fn from_result<T: From<i16>>(f: impl FnOnce() -> Result<T>) -> T {
    match f() {
        Ok(value) => value,
        // An errno is 4095 at most.
        Err(error) => T::from(error.to_errno() as i16),
    }
}

/// What [`Error`] has in Rust-for-Linux beyond what the crate `errno` gives it.
pub trait ErrorExt {
    /// The error as a pointer that is none (`ERR_PTR`).
    fn to_ptr<T>(self) -> *mut T;
}

impl ErrorExt for Error {
    #[inline]
    fn to_ptr<T>(self) -> *mut T {
        core::ptr::without_provenance_mut(self.to_errno() as isize as usize)
    }
}

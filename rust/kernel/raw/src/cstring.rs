// SPDX-License-Identifier: GPL-2.0
//! `CString`, and what `CStr` can do beyond `core`.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::ops::{Deref, DerefMut};
use errno::{Error, code::EINVAL};
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVec};

/// `char`, as the API has it: without a sign.
#[allow(non_camel_case_types, reason = "as C has it")]
type c_char = u8;

mod sealed {
    pub trait Sealed {}
    impl Sealed for core::ffi::CStr {}
}

/// More methods of `CStr`.
pub trait CStrExt: sealed::Sealed {
    /// The string at `ptr`.
    ///
    /// # Safety
    /// `ptr` leads to a string with its NUL, valid and unchanged for `'a`.
    unsafe fn from_char_ptr<'a>(ptr: *const c_char) -> &'a Self;

    /// Bytes as a string that may be changed.
    ///
    /// # Safety
    /// The last byte is NUL and no other is.
    unsafe fn from_bytes_with_nul_unchecked_mut(bytes: &mut [u8]) -> &mut Self;

    /// Where the string is.
    fn as_char_ptr(&self) -> *const c_char;

    /// A copy.
    fn to_cstring(&self) -> Result<CString, AllocError>;

    /// Makes ASCII letters small.
    fn make_ascii_lowercase(&mut self);

    /// Makes ASCII letters large.
    fn make_ascii_uppercase(&mut self);

    /// A copy with small ASCII letters.
    fn to_ascii_lowercase(&self) -> Result<CString, AllocError>;

    /// A copy with large ASCII letters.
    fn to_ascii_uppercase(&self) -> Result<CString, AllocError>;
}

/// The bytes of a string, to be changed but for the NUL.
///
/// # Safety
/// No NUL is written, and the last stays.
unsafe fn bytes_mut(string: &mut CStr) -> &mut [u8] {
    let len = string.count_bytes();
    // SAFETY: A `CStr` is its bytes with the NUL; the slice ends before that, and is borrowed as the string was.
    unsafe { core::slice::from_raw_parts_mut((core::ptr::from_mut(string) as *mut [u8]).cast::<u8>(), len) }
}

impl CStrExt for CStr {
    unsafe fn from_char_ptr<'a>(ptr: *const c_char) -> &'a Self {
        // SAFETY: The caller's contract.
        unsafe { CStr::from_ptr(ptr.cast()) }
    }

    unsafe fn from_bytes_with_nul_unchecked_mut(bytes: &mut [u8]) -> &mut Self {
        // SAFETY: A `CStr` is its bytes; the caller says that they are one.
        unsafe { &mut *(core::ptr::from_mut(bytes) as *mut CStr) }
    }

    fn as_char_ptr(&self) -> *const c_char {
        self.as_ptr().cast()
    }

    fn to_cstring(&self) -> Result<CString, AllocError> {
        CString::try_from(self)
    }

    fn make_ascii_lowercase(&mut self) {
        // SAFETY: A letter becomes a letter.
        unsafe { bytes_mut(self) }.make_ascii_lowercase();
    }

    fn make_ascii_uppercase(&mut self) {
        // SAFETY: A letter becomes a letter.
        unsafe { bytes_mut(self) }.make_ascii_uppercase();
    }

    fn to_ascii_lowercase(&self) -> Result<CString, AllocError> {
        let mut copy = self.to_cstring()?;
        copy.make_ascii_lowercase();
        Ok(copy)
    }

    fn to_ascii_uppercase(&self) -> Result<CString, AllocError> {
        let mut copy = self.to_cstring()?;
        copy.make_ascii_uppercase();
        Ok(copy)
    }
}

/// An owned C string.
///
/// # Invariants
/// The last byte is NUL, and no other is.
pub struct CString {
    buf: KVec<u8>,
}

/// Refuses a NUL inside.
struct NoNul(KVec<u8>, bool);

impl Write for NoNul {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.0.extend_from_slice(s.as_bytes(), GFP_KERNEL).is_err() {
            self.1 = true;
            return Err(fmt::Error);
        }
        if s.as_bytes().contains(&0) { Err(fmt::Error) } else { Ok(()) }
    }
}

impl CString {
    /// Formatted text. `ENOMEM`; `EINVAL` if there is a NUL in it.
    pub fn try_from_fmt(args: fmt::Arguments<'_>) -> Result<Self, Error> {
        let mut text = NoNul(KVec::new(), false);
        if text.write_fmt(args).is_err() {
            return Err(if text.1 { AllocError.into() } else { EINVAL });
        }
        let mut buf = text.0;
        buf.push(0, GFP_KERNEL)?;
        Ok(Self { buf })
    }
}

impl Deref for CString {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_bytes_with_nul_unchecked(&self.buf) }
    }
}

impl DerefMut for CString {
    fn deref_mut(&mut self) -> &mut CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_bytes_with_nul_unchecked_mut(&mut self.buf) }
    }
}

impl<'a> TryFrom<&'a CStr> for CString {
    type Error = AllocError;

    fn try_from(text: &'a CStr) -> Result<Self, AllocError> {
        Ok(Self { buf: KVec::from_slice(text.to_bytes_with_nul(), GFP_KERNEL)? })
    }
}

impl fmt::Debug for CString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

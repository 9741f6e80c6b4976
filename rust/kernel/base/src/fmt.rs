// SPDX-License-Identifier: GPL-2.0
//! Formatting: `kernel::fmt`. The traits are `core`'s. What has text in the kernel but no `core::fmt::Display` (C strings) can
//! be printed all the same: `fmt!` passes each argument through [`Tag`], which chooses by type. So pointers are printed by `{:p}` as
//! numbers that say no more than which are the same ([`HashedPtr`]).

pub use core::fmt::{Arguments, Binary, Debug, Display, Error, Formatter, LowerExp, LowerHex, Octal, Pointer, Result};
pub use core::fmt::{UpperExp, UpperHex, Write, from_fn};
pub use module_macro::fmt;

use core::ffi::CStr;
use kernel_raw::cstring::CString;

mod pointer;

pub use pointer::HashedPtr;
#[doc(hidden)]
pub use pointer::{AsPointer, Pointed};

/// A type that is text without being `Display`.
pub trait AsText {
    /// Its bytes.
    fn text(&self) -> &[u8];
}

impl AsText for CStr {
    fn text(&self) -> &[u8] {
        self.to_bytes()
    }
}

impl AsText for CString {
    fn text(&self) -> &[u8] {
        self.to_bytes()
    }
}

impl<T: ?Sized + AsText> AsText for &T {
    fn text(&self) -> &[u8] {
        (**self).text()
    }
}

/// An argument of which it is not known yet how it is printed: what is [`AsText`] has a method `shown` of its own, which is found
/// before that of what this dereferences to.
#[doc(hidden)]
pub struct Tag<'a, T: ?Sized>(MaybePointer<'a, T>);

/// An argument that may be a pointer.
#[doc(hidden)]
pub struct MaybePointer<'a, T: ?Sized>(Plain<'a, T>);

/// An argument that is printed as it is.
#[doc(hidden)]
pub struct Plain<'a, T: ?Sized>(&'a T);

impl<'a, T: ?Sized> Tag<'a, T> {
    /// An argument.
    #[inline(always)]
    pub fn new(value: &'a T) -> Self {
        Self(MaybePointer(Plain(value)))
    }
}

impl<'a, T: ?Sized + AsText> Tag<'a, T> {
    /// The argument as text.
    #[inline(always)]
    pub fn shown(&self) -> Shown<'a, T> {
        Shown(self.0.0.0)
    }
}

impl<'a, T: ?Sized> core::ops::Deref for Tag<'a, T> {
    type Target = MaybePointer<'a, T>;

    #[inline(always)]
    fn deref(&self) -> &MaybePointer<'a, T> {
        &self.0
    }
}

impl<'a, T: ?Sized + AsPointer> MaybePointer<'a, T> {
    /// The argument as a pointer.
    #[inline(always)]
    pub fn shown(&self) -> Pointed<'a, T> {
        Pointed(self.0.0)
    }
}

impl<'a, T: ?Sized> core::ops::Deref for MaybePointer<'a, T> {
    type Target = Plain<'a, T>;

    #[inline(always)]
    fn deref(&self) -> &Plain<'a, T> {
        &self.0
    }
}

impl<'a, T: ?Sized> Plain<'a, T> {
    /// The argument.
    #[inline(always)]
    pub fn shown(&self) -> &'a T {
        self.0
    }
}

/// Text: printable bytes as they are, others as `\xNN`.
#[doc(hidden)]
pub struct Shown<'a, T: ?Sized>(&'a T);

impl<T: ?Sized + AsText> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for &byte in self.0.text() {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                byte => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl<T: ?Sized + Debug> Debug for Shown<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.fmt(f)
    }
}

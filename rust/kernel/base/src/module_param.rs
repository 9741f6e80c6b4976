// SPDX-License-Identifier: GPL-2.0
//! Parameters of modules: `kernel::module_param`. Numbers are read as the kernel reads them: decimal, `0x`, `0o`/leading `0`,
//! `0b`. A value that is not given is the default; one that is given stays.

use crate::error::{Result, code::*};
use crate::str::kstrtobool_bytes;
use crate::str::parse_int::split;
use core::fmt::{self, Write};
use locking::SetOnce;
use module_core::ParamValue;

/// A type that a parameter can have.
pub trait ModuleParam: Sized + Copy + Send + Sync + 'static {
    /// Reads a value. `EINVAL`; `ERANGE` if it does not fit.
    fn try_from_param_arg(arg: &[u8]) -> Result<Self>;

    /// Writes a value as sysfs shows it.
    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Whether it may be given several times: who reads it keeps each; [`ModuleParamAccess::value`] is the first.
    fn may_repeat() -> bool {
        false
    }

    /// The value of a name alone, if that is allowed.
    fn without_text() -> Option<Self> {
        None
    }
}

/// A number with its sign. `EINVAL` if it is none, `ERANGE` if no type has it.
fn number(text: &[u8]) -> Result<i128> {
    let (negative, base, digits) = split(text.trim_ascii());
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let mut value = 0i128;
    for &byte in digits {
        let digit = char::from(byte).to_digit(base).ok_or(EINVAL)?;
        value = value.checked_mul(base.into()).and_then(|v| v.checked_add(digit.into())).ok_or(ERANGE)?;
    }
    Ok(if negative { value.wrapping_neg() } else { value })
}

macro_rules! integers {
    ($($ty:ty),*) => {
        $(
            impl ModuleParam for $ty {
                fn try_from_param_arg(arg: &[u8]) -> Result<Self> {
                    number(arg)?.try_into().map_err(|_| ERANGE)
                }

                fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
                    write!(out, "{self}")
                }
            }
        )*
    };
}

integers!(i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);

impl ModuleParam for bool {
    fn try_from_param_arg(arg: &[u8]) -> Result<Self> {
        kstrtobool_bytes(arg)
    }

    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_char(if *self { 'Y' } else { 'N' })
    }

    fn without_text() -> Option<Self> {
        Some(true)
    }
}

/// A text: a parameter that `module!` calls `str`, and that is `charp` to programs. It has at most [`Text::MOST`] bytes, and no memory of
/// its own, so that nothing has to be given back.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Self::MOST],
    len: usize,
}

impl Text {
    /// Bytes that there can be, as in Linux.
    pub const MOST: usize = 1024;

    /// A text that is known when the module is built; a longer one does not compile.
    pub const fn new(text: &str) -> Self {
        match Self::from_bytes(text.as_bytes()) {
            Some(text) => text,
            None => panic!("the text is too long"),
        }
    }

    const fn from_bytes(text: &[u8]) -> Option<Self> {
        if text.len() > Self::MOST {
            return None;
        }
        let mut bytes = [0; Self::MOST];
        bytes.split_at_mut(text.len()).0.copy_from_slice(text);
        Some(Self { bytes, len: text.len() })
    }

    /// Its bytes, which programs chose.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

/// What is no UTF-8 is shown as the replacement character.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.as_bytes().utf8_chunks() {
            f.write_str(part.valid())?;
            if !part.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl ModuleParam for Text {
    fn try_from_param_arg(arg: &[u8]) -> Result<Self> {
        Self::from_bytes(arg).ok_or(ENOSPC)
    }

    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// A parameter: its default, and what was given.
pub struct ModuleParamAccess<T> {
    given: SetOnce<T>,
    default: T,
}

impl<T: ModuleParam> ModuleParamAccess<T> {
    #[doc(hidden)]
    pub const fn new(default: T) -> Self {
        Self { given: SetOnce::new(), default }
    }

    /// The value: what was given when the module was loaded, else the default.
    pub fn value(&self) -> T {
        *self.value_ref()
    }

    /// As [`Self::value`], where it is.
    pub fn value_ref(&self) -> &T {
        self.given.get().unwrap_or(&self.default)
    }
}

impl<T: ModuleParam> ParamValue for ModuleParamAccess<T> {
    fn set(&self, text: Option<&[u8]>) -> Result {
        let value = match text {
            Some(text) => T::try_from_param_arg(text)?,
            None => T::without_text().ok_or(EINVAL)?,
        };
        // As in Linux's Rust API a value is set once: `value` gives a reference for ever.
        match self.given.set(value) {
            Err(_) if !T::may_repeat() => Err(EEXIST),
            _ => Ok(()),
        }
    }

    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.value_ref().show(out)
    }

    fn takes_no_text(&self) -> bool {
        T::without_text().is_some()
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Strings.
//!
//! ```
//! use kernel::str::{CString, kstrtobool};
//! use kernel::str::parse_int::ParseInt;
//!
//! let name = CString::try_from_fmt(fmt!("{}-{}", "queue", 3))?;
//! assert_eq!(name.to_bytes(), b"queue-3");
//! assert_eq!(kstrtobool(c"yes")?, true);
//! assert_eq!(u16::from_str(b_str("0x1f"))?, 31);
//! # fn b_str(text: &str) -> &kernel::str::BStr { kernel::str::BStr::from_bytes(text.as_bytes()) }
//! # Ok::<(), Error>(())
//! ```

pub mod formatter;
pub mod parse_int;

pub use crate::{b_str, c_str};
pub use ::cmdline::kstrtobool as kstrtobool_bytes;
pub use core::ffi::CStr;
pub use kernel_raw::bstr::BStr;
pub use kernel_raw::cstring::{CStrExt, CString};

use errno::Result;

/// The C string's bytes pointer, in constants.
pub const fn as_char_ptr_in_const_context(c_str: &CStr) -> *const crate::ffi::c_char {
    c_str.as_ptr().cast()
}

/// A C string of a literal (or of what macros make of one).
#[macro_export]
macro_rules! c_str {
    ($str:expr) => {{
        const S: &str = ::core::concat!($str, "\0");
        const C: &$crate::str::CStr = match $crate::str::CStr::from_bytes_with_nul(S.as_bytes()) {
            Ok(v) => v,
            Err(_) => panic!("string contains interior NUL"),
        };
        C
    }};
}

/// A byte string of a literal.
#[macro_export]
macro_rules! b_str {
    ($str:literal) => {{
        const S: &'static str = $str;
        const C: &'static $crate::str::BStr = $crate::str::BStr::from_bytes(S.as_bytes());
        C
    }};
}

/// Yes or no, as people write it: `y`, `Y`, `t`, `T`, `1`, `on` (any case), and the opposites. `EINVAL` else.
pub fn kstrtobool(string: &CStr) -> Result<bool> {
    kstrtobool_bytes(string.to_bytes())
}

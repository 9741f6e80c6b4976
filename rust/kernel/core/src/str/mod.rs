// SPDX-License-Identifier: GPL-2.0
//! Strings: `kernel::str`.

pub use kernel_base::str::formatter::{Formatter, NullTerminatedFormatter, RawFormatter};
pub use kernel_base::str::{
    BStr, CStr, as_char_ptr_in_const_context, b_str, c_str, kstrtobool, kstrtobool_bytes, parse_int,
};
pub use kernel_base::str::{CStrExt, CString};

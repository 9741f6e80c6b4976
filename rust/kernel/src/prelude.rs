// SPDX-License-Identifier: GPL-2.0
//! What every module imports: `use kernel::prelude::*;`.

pub use core::mem::{align_of, align_of_val, size_of, size_of_val};
pub use core::pin::Pin;

pub use crate::alloc::flags::*;
pub use crate::alloc::{Box, KBox, KVBox, KVVec, KVec, VBox, VVec, Vec};
pub use crate::build_assert::{build_assert, build_error, const_assert, static_assert};
pub use crate::error::code::*;
pub use crate::error::{Error, ErrorExt as _, Result};
pub use crate::ffi::{
    CStr, c_char, c_int, c_long, c_longlong, c_schar, c_short, c_uchar, c_uint, c_ulong, c_ulonglong, c_ushort, c_void,
};
pub use crate::init::InPlaceInit;
pub use crate::kvec;
pub use crate::page::VmallocExt as _;
pub use crate::str::CStrExt as _;
pub use crate::uaccess::UserPtr;
pub use crate::{Module, ThisModule};
pub use crate::{current, dbg, try_init, try_pin_init};
pub use crate::{dev_alert, dev_crit, dev_dbg, dev_emerg, dev_err, dev_info, dev_notice, dev_warn};
pub use crate::{pr_alert, pr_cont, pr_crit, pr_debug, pr_emerg, pr_err, pr_info, pr_notice, pr_warn};
pub use macros::kunit_tests;
pub use module_macro::{export, fmt, module, vtable};
pub use pin_init::{InPlaceWrite, Init, PinInit, PinnedDrop, Zeroable, init, pin_data, pin_init, pinned_drop};
pub use pin_init::{init_from_closure, pin_init_from_closure, stack_pin_init};
pub use zerocopy::{FromBytes, IntoBytes};

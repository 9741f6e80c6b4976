// SPDX-License-Identifier: GPL-2.0
//! What every module imports: `use kernel::prelude::*;`.

pub use core::mem::{align_of, align_of_val, size_of, size_of_val};
pub use core::pin::Pin;

pub use crate::alloc::flags::*;
pub use crate::alloc::{Box, KBox, KVBox, KVVec, KVec, VBox, VVec, Vec};
pub use crate::dbg;
pub use crate::error::code::*;
pub use crate::error::{Error, Result};
pub use crate::ffi::{
    CStr, c_char, c_int, c_long, c_longlong, c_schar, c_short, c_uchar, c_uint, c_ulong, c_ulonglong, c_ushort, c_void,
};
pub use crate::fmt;
pub use crate::init::InPlaceInit;
pub use crate::{Module, ThisModule};
pub use crate::{pr_alert, pr_cont, pr_crit, pr_debug, pr_emerg, pr_err, pr_info, pr_notice, pr_warn};
pub use kalloc::kvec;
pub use macros::{kunit_tests, vtable};
pub use module_macro::module;
pub use pinned_init::{
    Init, PinInit, PinnedDrop, Zeroable, init, init_from_closure, pin_data, pin_init, pin_init_from_closure,
    pinned_drop, stack_pin_init, try_init, try_pin_init,
};

// SPDX-License-Identifier: GPL-2.0
//! User memory as files and system calls see it: `IovIter`, where a transfer's bytes come from or go to, and strings. Over
//! `x86_uaccess`; callers find both as `x86_mm::uaccess`. No locks; every function may sleep as an access may fault.

#![no_std]
#![forbid(unsafe_code)]

mod iter;
mod strings;

pub use iter::{IoVec, IovIter, MAX_RW_COUNT};
pub use strings::{strncpy_from_user, strnlen_user, update_user_u32};

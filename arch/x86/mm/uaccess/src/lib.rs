// SPDX-License-Identifier: GPL-2.0
//! Copies between the kernel and user memory. Each access may fault: the page fault handler brings the page in (the caller may
//! sleep then), or the copy stops and says how far it came. Addresses at or above `TASK_SIZE` are refused before any access.
//!
//! Every user of these functions must be in task context with its own address space loaded. The kernel's buffers are plain
//! slices; user memory may change at any time, so each function reads it once. What is made of these without unsafe
//! code is in `uaccess`; callers find both as `x86_mm::uaccess`.

#![no_std]

mod copy;
mod xstate;

pub use copy::{
    UserValue, access_ok, clear_user, cmpxchg_user_u32, copy_from_user, copy_from_user_append, copy_from_user_partial,
    copy_from_user_uninit, copy_page_from_user, copy_page_to_user, copy_to_user, copy_to_user_partial, get_user,
    put_user,
};
pub use xstate::{xrstor_from_user, xsave_to_user};

/// An address in user space, unchecked: only the functions here turn it into an access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct UserPtr(usize);

impl UserPtr {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    /// From a number that a program gave.
    #[inline(always)]
    pub const fn from_addr(addr: usize) -> Self {
        Self(addr)
    }

    /// The number.
    #[inline(always)]
    pub const fn addr(self) -> usize {
        self.0
    }

    /// Whether it is null.
    #[inline(always)]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `add` bytes further (wrapping: a wrapped address is refused when it is used).
    #[inline(always)]
    pub const fn wrapping_byte_add(self, add: usize) -> Self {
        Self(self.0.wrapping_add(add))
    }
}

impl From<usize> for UserPtr {
    fn from(addr: usize) -> Self {
        Self(addr)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Copies between the kernel and user memory: the accesses (`x86_uaccess`), and what is made of them (`uaccess`).

pub use ::uaccess::*;
pub use x86_uaccess::*;

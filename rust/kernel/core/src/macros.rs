// SPDX-License-Identifier: GPL-2.0
//! The procedural macros: `kernel::macros`.

pub use ::macros::kunit_tests;
pub use module_macro::{concat_idents, export, fmt, module, paste, vtable};

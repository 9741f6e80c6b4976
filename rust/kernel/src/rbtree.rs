// SPDX-License-Identifier: GPL-2.0
//! Ordered maps with nodes that can be allocated ahead: `kernel::rbtree`, over `lib/containers`.

pub use containers::rbtree::*;

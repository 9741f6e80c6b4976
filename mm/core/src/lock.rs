// SPDX-License-Identifier: GPL-2.0
//! The sleeping lock of an address space, by the name under which the crate uses it.

pub(crate) use sync::RwSemaphore;

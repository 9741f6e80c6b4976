// SPDX-License-Identifier: GPL-2.0
//! The sleeping lock of an address space, by the name under which the crate uses it: threads that fault on several CPUs at once must
//! not meet on it.

pub(crate) use sync::BiasedRwSemaphore as RwSemaphore;

// SPDX-License-Identifier: GPL-2.0
//! Tasks, of which the claimed map says that they may sleep.

/// Says nothing.
pub fn might_sleep() {}

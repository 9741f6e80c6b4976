// SPDX-License-Identifier: GPL-2.0
//! A module that other modules use: its public functions and statics are exported, versioned, and counted as a dependency by
//! whoever calls them (`rust_shared_user`). `depmod` and `modprobe` see that.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;

module! {
    type: Shared,
    name: "rust_shared",
    authors: ["The Rideau developers"],
    description: "A module that others use",
    license: "GPL",
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts one more; the value is the new count.
#[inline(never)]
pub fn count() -> u64 {
    COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

struct Shared;

impl kernel::Module for Shared {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("ready\n");
        Ok(Self)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        pr_info!("counted to {}\n", COUNT.load(Ordering::Relaxed));
    }
}

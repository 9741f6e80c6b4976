// SPDX-License-Identifier: GPL-2.0
//! A module whose `init` panics.

use kernel::prelude::*;

module! {
    type: Panics,
    name: "panics",
    authors: ["The Rideau developers"],
    description: "A module whose start is its end",
    license: "GPL",
}

struct Panics;

/// In what goes when `init` is over: the trace names that, too.
#[inline(never)]
#[link_section = ".init.text"]
fn too_far(numbers: &[u32], at: usize) -> u32 {
    numbers[at]
}

impl kernel::Module for Panics {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let mut numbers = KVec::new();
        numbers.push(1u32, GFP_KERNEL)?;
        // As many as the compiler does not know.
        let at = if module.header().is_some() { numbers.len() } else { 0 };
        pr_info!("{}\n", too_far(&numbers, at));
        Ok(Self)
    }
}

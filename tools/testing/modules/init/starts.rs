// SPDX-License-Identifier: GPL-2.0
//! A module with 4 MB that only its `init` needs.

use kernel::prelude::*;

module! {
    type: Starts,
    name: "starts",
    authors: ["The Rideau developers"],
    description: "A module whose start is most of it",
    license: "GPL",
}

#[link_section = ".init.rodata"]
static NUMBERS: [u8; 4 << 20] = [7; 4 << 20];

#[inline(never)]
#[link_section = ".init.text"]
fn sum(numbers: &[u8]) -> u64 {
    numbers.iter().map(|&number| u64::from(number)).sum()
}

struct Starts;

impl kernel::Module for Starts {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("the sum is {}\n", sum(core::hint::black_box(&NUMBERS)));
        Ok(Self)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A module that calls another one (`rust_shared`), which cannot be unloaded meanwhile.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: User,
    name: "rust_shared_user",
    authors: ["The Rideau developers"],
    description: "A module that uses another",
    license: "GPL",
}

struct User;

impl kernel::Module for User {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("the count is {}\n", rust_shared::count());
        Ok(Self)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The smallest module: it says that it is there, keeps three numbers, and prints them when it goes. One parameter.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Minimal,
    name: "rust_minimal",
    authors: ["The Rideau developers"],
    description: "Rust minimal sample",
    license: "GPL",
    params: {
        test_parameter: i64 {
            default: 1,
            description: "This parameter has a default of 1",
        },
    },
}

struct Minimal {
    numbers: KVec<i32>,
}

impl kernel::Module for Minimal {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("Rust minimal sample (init)\n");
        pr_info!("Am I built-in? {}\n", !cfg!(MODULE));
        pr_info!("test_parameter: {}\n", module_parameters::test_parameter.value());
        let mut numbers = KVec::new();
        for number in [72, 108, 200] {
            numbers.push(number, GFP_KERNEL)?;
        }
        Ok(Self { numbers })
    }
}

impl Drop for Minimal {
    fn drop(&mut self) {
        pr_info!("My numbers are {:?}\n", self.numbers);
        pr_info!("Rust minimal sample (exit)\n");
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A module with a parameter of each kind. `insmod rust_parameters.ko small=0x10 text='"two words"' flag` sets three of them; those that
//! have permissions are files in `/sys/module/rust_parameters/parameters`.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Parameters,
    name: "rust_parameters",
    authors: ["The Rideau developers"],
    description: "A parameter of each kind",
    license: "GPL",
    alias: ["rust-parameters-sample"],
    params: {
        small: u8 { default: 1, description: "A number from 0 to 255", permissions: 0o444 },
        signed: i8 { default: -1, description: "A number from -128 to 127", permissions: 0o444 },
        count: u32 { default: 0, description: "A number of 32 bits" },
        offset: i64 { default: 0, description: "A number of 64 bits", permissions: 0o444 },
        size: usize { default: 4096, description: "A size" },
        flag: bool { default: false, description: "On or off; the name alone is on", permissions: 0o444 },
        text: str { default: "nothing", description: "A text", permissions: 0o444 },
    },
}

struct Parameters;

impl kernel::Module for Parameters {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let (small, signed) = (module_parameters::small.value(), module_parameters::signed.value());
        let (count, offset, size) =
            (module_parameters::count.value(), module_parameters::offset.value(), module_parameters::size.value());
        pr_info!("numbers: {small} {signed} {count} {offset} {size}\n");
        pr_info!("flag: {}\n", module_parameters::flag.value());
        pr_info!("text: {}\n", module_parameters::text.value_ref());
        Ok(Self)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Parameters: numbers, a switch, a text. They are given when the module is loaded (`insmod rust_params.ko level=3 word="two words"`) or,
//! if it is part of the image, on the command line (`rust_params.level=3`). Those with permissions are files in
//! `/sys/module/rust_params/parameters`. As in Rust-for-Linux a value is set once.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Params,
    name: "rust_params",
    authors: ["The Rideau developers"],
    description: "Parameters of every kind",
    license: "GPL",
    params: {
        level: u8 {
            default: 1,
            description: "A small number, 0 to 255",
            permissions: 0o444,
        },
        offset: i64 {
            default: -1,
            description: "A number with a sign, also as 0x.. or 0..",
            permissions: 0o444,
        },
        verbose: bool {
            default: false,
            description: "A switch: y, n, 1, 0, or the name alone",
            permissions: 0o400,
        },
        word: str {
            default: "nothing",
            description: "A text of 1024 bytes at most",
            permissions: 0o644,
        },
        secret: u32 {
            default: 7,
            description: "A number that sysfs does not show",
        },
    },
}

struct Params;

impl kernel::Module for Params {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let (level, offset) = (module_parameters::level.value(), module_parameters::offset.value());
        // A value may be good for its type, and not for the module.
        if level > 200 {
            pr_err!("level {} is above 200\n", level);
            return Err(EINVAL);
        }
        pr_info!("level {}, offset {}, verbose {}\n", level, offset, module_parameters::verbose.value());
        pr_info!("word '{}', secret {}\n", module_parameters::word.value_ref(), module_parameters::secret.value());
        Ok(Self)
    }
}

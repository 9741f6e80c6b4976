// SPDX-License-Identifier: GPL-2.0
//! Sizes by name: `kernel::sizes`.
//!
//! ```
//! use kernel::sizes::{SZ_4K, SZ_1M};
//!
//! assert_eq!(SZ_1M / SZ_4K, 256);
//! ```

macro_rules! sizes {
    ($($name:ident = $value:expr;)*) => { $(
        #[doc = concat!("`", stringify!($value), "` bytes.")]
        pub const $name: usize = $value;
    )* };
}
sizes! {
    SZ_1 = 1; SZ_2 = 2; SZ_4 = 4; SZ_8 = 8; SZ_16 = 16; SZ_32 = 32; SZ_64 = 64; SZ_128 = 128; SZ_256 = 256; SZ_512 = 512;
    SZ_1K = 1 << 10; SZ_2K = 2 << 10; SZ_4K = 4 << 10; SZ_8K = 8 << 10; SZ_16K = 16 << 10; SZ_32K = 32 << 10;
    SZ_64K = 64 << 10; SZ_128K = 128 << 10; SZ_256K = 256 << 10; SZ_512K = 512 << 10;
    SZ_1M = 1 << 20; SZ_2M = 2 << 20; SZ_4M = 4 << 20; SZ_8M = 8 << 20; SZ_16M = 16 << 20; SZ_32M = 32 << 20;
    SZ_64M = 64 << 20; SZ_128M = 128 << 20; SZ_256M = 256 << 20; SZ_512M = 512 << 20;
    SZ_1G = 1 << 30; SZ_2G = 2 << 30; SZ_4G = 4 << 30; SZ_8G = 8 << 30; SZ_16G = 16 << 30; SZ_32G = 32 << 30; SZ_64T = 64 << 40;
}

macro_rules! constants {
    ($($name:ident = $shift:literal,)*) => {
        /// Sizes as constants of an integer type.
        pub trait SizeConstants { $(
            #[doc = concat!("2 to the power of ", stringify!($shift), ".")]
            const $name: Self;
        )* }

        impl SizeConstants for u32 { $(const $name: Self = 1 << $shift;)* }
        impl SizeConstants for u64 { $(const $name: Self = 1 << $shift;)* }
        impl SizeConstants for usize { $(const $name: Self = 1 << $shift;)* }
    };
}
constants! {
    SZ_1K = 10,
    SZ_2K = 11,
    SZ_4K = 12,
    SZ_8K = 13,
    SZ_16K = 14,
    SZ_32K = 15,
    SZ_64K = 16,
    SZ_128K = 17,
    SZ_256K = 18,
    SZ_512K = 19,
    SZ_1M = 20,
    SZ_2M = 21,
    SZ_4M = 22,
    SZ_8M = 23,
    SZ_16M = 24,
    SZ_32M = 25,
    SZ_64M = 26,
    SZ_128M = 27,
    SZ_256M = 28,
    SZ_512M = 29,
    SZ_1G = 30,
    SZ_2G = 31,
}

// SPDX-License-Identifier: GPL-2.0
//! `Dev`: the number of a device, as the kernel keeps it and as programs see it. No locks. Source: `makedev(3)`.

#![no_std]
#![forbid(unsafe_code)]

/// A device number in the kernel's form: 12 bits major, 20 bits minor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Dev(pub u32);

impl Dev {
    /// A number from its parts; bits that do not fit are cut off.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self((major & 0xfff) << 20 | minor & 0xf_ffff)
    }

    /// The driver's part.
    pub const fn major(self) -> u32 {
        self.0 >> 20
    }

    /// The device's part.
    pub const fn minor(self) -> u32 {
        self.0 & 0xf_ffff
    }

    /// As `stat(2)` shows it (`new_encode_dev`).
    pub const fn encode(self) -> u64 {
        (self.minor() & 0xff | self.major() << 8 | (self.minor() & !0xff) << 12) as u64
    }

    /// From `mknod(2)`'s argument (`new_decode_dev`).
    pub const fn decode(dev: u32) -> Self {
        Self::new((dev & 0xf_ff00) >> 8, dev & 0xff | dev >> 12 & 0xf_ff00)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Numbers of `ioctl(2)` requests: `kernel::ioctl`. Direction, size, type and number in one word, as `asm-generic/ioctl.h` has it.
//!
//! ```
//! use kernel::ioctl::{_IOC_NR, _IOC_SIZE, _IOR};
//!
//! const GET_VALUE: u32 = _IOR::<u64>('|' as u32, 0x81);
//! assert_eq!((_IOC_NR(GET_VALUE), _IOC_SIZE(GET_VALUE)), (0x81, 8));
//! assert_eq!(GET_VALUE, 0x8008_7c81);
//! ```

#![expect(non_snake_case, reason = "the names are C's")]

const NR_BITS: u32 = 8;
const TYPE_SHIFT: u32 = NR_BITS;
const SIZE_SHIFT: u32 = 16;
const SIZE_BITS: u32 = 14;
const DIR_SHIFT: u32 = 30;
const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

const fn _IOC(dir: u32, ty: u32, nr: u32, size: usize) -> u32 {
    assert!(dir < 4 && ty < 256 && nr < 256 && size < 1 << SIZE_BITS, "a part of the request does not fit");
    dir << DIR_SHIFT | (size as u32) << SIZE_SHIFT | ty << TYPE_SHIFT | nr
}

/// A request without an argument.
pub const fn _IO(ty: u32, nr: u32) -> u32 {
    _IOC(NONE, ty, nr, 0)
}

/// A request that the program reads a `T` from.
pub const fn _IOR<T>(ty: u32, nr: u32) -> u32 {
    _IOC(READ, ty, nr, size_of::<T>())
}

/// A request that the program writes a `T` to.
pub const fn _IOW<T>(ty: u32, nr: u32) -> u32 {
    _IOC(WRITE, ty, nr, size_of::<T>())
}

/// A request that does both.
pub const fn _IOWR<T>(ty: u32, nr: u32) -> u32 {
    _IOC(READ | WRITE, ty, nr, size_of::<T>())
}

/// The direction of a request.
pub const fn _IOC_DIR(nr: u32) -> u32 {
    nr >> DIR_SHIFT
}

/// The type of a request.
pub const fn _IOC_TYPE(nr: u32) -> u32 {
    nr >> TYPE_SHIFT & 0xff
}

/// The number of a request.
pub const fn _IOC_NR(nr: u32) -> u32 {
    nr & 0xff
}

/// Bytes of the argument of a request.
pub const fn _IOC_SIZE(nr: u32) -> usize {
    (nr >> SIZE_SHIFT & ((1 << SIZE_BITS) - 1)) as usize
}

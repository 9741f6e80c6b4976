// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of accesses to memory as a device's, of registers, and of parts of views.

use crate::io::register::{Array, RegisterBase, WithBase};
use crate::io::{Io, IoSysMap, Mmio, Region, for_tests, io_project, io_read, io_write, register};

/// The parts of the made-up device.
struct Parts;

/// Its second part.
struct Second;

impl RegisterBase<Parts> for Second {
    const BASE: usize = 0x20;
}

register! {
    ID(u32) @ 0x0 {
        31:16 vendor;
        15:0 model;
    }

    COUNT(u16)[4, stride = 4] @ 0x10 {
        15:0 value;
    }

    LAST(u16) => COUNT[3] {
        7:0 low;
    }

    MODE(u8) @ Parts + 0x1 {
        0:0 on => bool;
    }

    SLOT(u8)[3] @ Parts + 0x4 {
        7:0 value;
    }
}

/// What a device's memory may hold.
#[repr(C)]
#[derive(zerocopy::FromBytes, zerocopy::IntoBytes, Clone, Copy, PartialEq, Debug)]
struct Entry {
    id: u32,
    pair: [u16; 2],
}

/// Memory in a device's place.
#[repr(C, align(8))]
struct Memory([u8; 0x40]);

#[macros::kunit_tests(rust_kernel_io)]
mod cases {
    use super::*;
    use crate::error::{Result, code::*};

    /// A view of it as of a device's memory.
    fn view(memory: &mut Memory) -> Mmio<'_, Region<0x40>> {
        for_tests::mmio(&mut memory.0).unwrap_or_else(|_| unreachable!())
    }

    /// By number: widths, bounds, alignment.
    #[test]
    fn numbers() {
        let mut memory = Memory([0; 0x40]);
        let io = view(&mut memory);
        io.write32(0x1234_5678, 8);
        assert_eq!((io.read8(8), io.read16(10), io.relaxed().read64(8)), (0x78, 0x1234, 0x1234_5678));
        assert_eq!(io.try_read32(0x3c), Ok(0));
        assert_eq!(io.try_read32(0x3d), Err(EINVAL));
        assert_eq!(io.try_read16(9), Err(EINVAL));
        assert_eq!(io.try_write64(0, usize::MAX - 3), Err(EINVAL));
        io.update(8, |value: u32| value + 1);
        assert_eq!(io.read32(8), 0x1234_5679);
        assert_eq!(io.size(), 0x40);
    }

    /// By name: fixed registers, arrays, parts, aliases.
    #[test]
    fn registers() {
        let mut memory = Memory([0; 0x40]);
        let io = view(&mut memory);
        io.write_reg(ID::zeroed().with_vendor(0x1af4u16).with_const_model::<0x1000>());
        assert_eq!(io.read32(0), 0x1af4_1000);
        io.update(ID, |id| id.with_model(7u8));
        assert_eq!(io.read(ID).model(), 7u32);
        io.write(COUNT::at(3), COUNT::from(0x1234));
        assert_eq!((io.read16(0x1c), io.read(LAST).low().get()), (0x1234, 0x34));
        assert!(COUNT::try_at(4).is_none());
        io.write(WithBase::of::<Second>(), MODE::zeroed().with_on(true));
        io.write(SLOT::of::<Second>().at(2), SLOT::from(9));
        assert_eq!((io.read8(0x21), io.read8(0x26)), (1, 9));
    }

    /// Parts of typed views, and copies.
    #[test]
    fn parts() -> Result {
        let mut table = [Entry { id: 1, pair: [2, 3] }; 4];
        let memory = for_tests::sys_mem(&mut table[..]);
        let io = IoSysMap::from(memory);
        io_write!(io, [try: 2].pair[panic: 1], 0x55);
        assert_eq!(io_read!(memory, [try: 2].pair[try: 1]), 0x55);
        assert_eq!(io_project!(memory, [try: 1]).copy_read(), Entry { id: 1, pair: [2, 3] });
        io_project!(memory, [try: 3]).copy_write(Entry { id: 7, pair: [8, 9] });
        let beyond = || -> Result<u32> { Ok(io_read!(memory, [try: 4].id)) };
        assert_eq!(beyond(), Err(ERANGE));
        assert_eq!((table[3].id, table[2].pair[1], table.len()), (7, 0x55, 4));
        Ok(())
    }

    /// Copies of bytes at odd places.
    #[test]
    fn copies() -> Result {
        let mut memory = Memory([0; 0x40]);
        let io = view(&mut memory);
        let bytes: Mmio<'_, [u8; 0x40]> = io.try_cast()?;
        io_project!(bytes, [try: 3..14]).copy_from_slice(b"hello world");
        let mut back = [0; 11];
        io_project!(bytes, [try: 3..14]).copy_to_slice(&mut back);
        assert_eq!(&back, b"hello world");
        assert_eq!((memory.0[2], memory.0[3], memory.0[14]), (0, b'h', 0));
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Entries of page tables: their bits, and what mappings of the kernel have. No locks.

use x86_cpu::cpuid;

/// Page-table entry bits (Intel SDM volume 3, table 4-20).
pub mod bits {
    /// Present.
    pub const PRESENT: u64 = 1 << 0;
    /// Writable.
    pub const WRITE: u64 = 1 << 1;
    /// User may access.
    pub const USER: u64 = 1 << 2;
    /// Page-level write-through: with our PAT alone, write-combining.
    pub const PWT: u64 = 1 << 3;
    /// Page-level cache disable.
    pub const PCD: u64 = 1 << 4;
    /// Accessed.
    pub const ACCESSED: u64 = 1 << 5;
    /// Dirty.
    pub const DIRTY: u64 = 1 << 6;
    /// A large page, in upper levels.
    pub const HUGE: u64 = 1 << 7;
    /// Kept over a reload of CR3.
    pub const GLOBAL: u64 = 1 << 8;
    /// Software: the frame is not counted by this entry (the zero page, device memory).
    pub const SPECIAL: u64 = 1 << 9;
    /// Software: private memory that no other entry has, though it cannot be written at the moment.
    pub const OWN: u64 = 1 << 10;
    /// Software: was written, which `DIRTY` says no more (`/proc/PID/clear_refs` 4 begins anew).
    pub const SOFT_DIRTY: u64 = 1 << 11;
    /// Software: a page of private memory that may be dropped as long as `DIRTY` does not say that it was written since
    /// (`MADV_FREE`).
    pub const LAZY: u64 = 1 << 58;
    /// The protection key of a user page is above this bit.
    pub const KEY_SHIFT: u32 = 59;
    /// The protection key.
    pub const KEY: u64 = 15 << KEY_SHIFT;
    /// No execute.
    pub const NX: u64 = 1 << 63;
    /// The address in an entry.
    pub const ADDR: u64 = 0x000f_ffff_ffff_f000;
    /// An entry that leads to a table.
    pub const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED | DIRTY;
    /// An entry of the kernel half that leads to a table.
    pub const KERNEL_TABLE: u64 = PRESENT | WRITE | ACCESSED | DIRTY;
}

/// Access and cache mode of a kernel mapping. There is no writable and executable one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prot(u64);

impl Prot {
    /// Read and write.
    pub const RW: Self = Self(BASE | bits::WRITE | bits::NX);
    /// Read only.
    pub const RO: Self = Self(BASE | bits::NX);
    /// Read and execute.
    pub const RX: Self = Self(BASE);
    /// Read and write, uncached: device registers.
    pub const UNCACHED: Self = Self(BASE | bits::WRITE | bits::NX | bits::PCD | bits::PWT);
    /// Read and write, write-combining: frame buffers.
    pub const WRITE_COMBINE: Self = Self(BASE | bits::WRITE | bits::NX | bits::PWT);

    /// The bits of an entry, as far as this CPU has them.
    #[inline]
    pub fn bits(self) -> u64 {
        let f = cpuid::features();
        let mut value = self.0;
        if !f.nx {
            value &= !bits::NX;
        }
        if !f.pge {
            value &= !bits::GLOBAL;
        }
        value
    }
}

const BASE: u64 = bits::PRESENT | bits::ACCESSED | bits::DIRTY | bits::GLOBAL;

// SPDX-License-Identifier: GPL-2.0
//! What a last-level page-table entry of a user address says. Pure bit work; no locks.

use mm_alloc::kpt::bits;
use mm_alloc::{Page, PhysAddr};

/// Software bit of an entry that is not present for the hardware: it still holds its page (`PROT_NONE`).
pub const PROT_NONE: u64 = 1 << 8;

/// What the one entry of a page of private memory has, before it is shared.
pub const OWN: u64 = bits::WRITE | bits::OWN;

/// What a user program may do with a page right now.
///
/// # Invariants
/// No bit of an address is set, so on whatever page it is put, an entry maps that page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserProt(u64);

impl UserProt {
    /// No access; the page stays.
    pub const NONE: Self = Self(PROT_NONE | bits::NX);

    /// Readable, and more as told (x86 has no unreadable writable or executable pages but by protection keys).
    #[inline(always)]
    pub const fn new(write: bool, exec: bool) -> Self {
        let mut value = bits::PRESENT | bits::USER | bits::ACCESSED;
        if write {
            value |= bits::WRITE | bits::DIRTY;
        }
        if !exec {
            value |= bits::NX;
        }
        Self(value)
    }

    /// The same without write access.
    #[inline(always)]
    pub const fn read_only(self) -> Self {
        Self(self.0 & !(bits::WRITE | bits::DIRTY))
    }

    /// The same with a protection key, of 16.
    #[inline(always)]
    pub const fn with_key(self, key: u8) -> Self {
        Self(self.0 & !bits::KEY | (key as u64) << bits::KEY_SHIFT & bits::KEY)
    }

    /// Whether writes are allowed.
    #[inline(always)]
    pub const fn writable(self) -> bool {
        self.0 & bits::WRITE != 0
    }

    /// What an entry has of it; without NX where the CPU does not know that.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        if x86_cpu::cpuid::features().nx { self.0 } else { self.0 & !bits::NX }
    }
}

/// A copy of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry(u64);

impl Entry {
    /// A copy of an entry that has `value`.
    #[inline(always)]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// All its bits.
    #[inline(always)]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Nothing is mapped.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The program can at least read.
    #[inline(always)]
    pub const fn is_present(self) -> bool {
        self.0 & bits::PRESENT != 0
    }

    /// The program can write.
    #[inline(always)]
    pub const fn is_writable(self) -> bool {
        self.0 & (bits::WRITE | bits::PRESENT) == bits::WRITE | bits::PRESENT
    }

    /// Was written through this entry.
    #[inline(always)]
    pub const fn is_dirty(self) -> bool {
        self.0 & bits::DIRTY != 0
    }

    /// Was written through this entry since `PageTable::clear_soft_dirty`, also if it is in swap space now.
    #[inline(always)]
    pub const fn is_soft_dirty(self) -> bool {
        if self.0 & bits::SPECIAL != 0 {
            return self.0 & bits::SOFT_DIRTY != 0;
        }
        self.0 & (bits::DIRTY | bits::SOFT_DIRTY) != 0
    }

    /// Was used through this entry since the bit was cleared.
    #[inline(always)]
    pub const fn is_accessed(self) -> bool {
        self.0 & bits::ACCESSED != 0
    }

    /// The page's protection key.
    #[inline(always)]
    pub const fn key(self) -> u8 {
        ((self.0 & bits::KEY) >> bits::KEY_SHIFT) as u8
    }

    /// No other entry has the page of private memory, though it may not be written at the moment: a write needs no copy, whoever holds it.
    #[inline(always)]
    pub const fn is_own(self) -> bool {
        self.0 & bits::SPECIAL == 0 && self.0 & (bits::WRITE | bits::OWN) != 0
    }

    /// The page may be dropped: nothing was written since the program said that it does not need it (`MADV_FREE`).
    #[inline(always)]
    pub const fn is_lazy(self) -> bool {
        self.0 & (bits::LAZY | bits::DIRTY) == bits::LAZY
    }

    /// Not a counted page: the zero page, a device, or a place in swap space.
    #[inline(always)]
    pub const fn is_special(self) -> bool {
        self.0 & bits::SPECIAL != 0
    }

    /// The physical address.
    #[inline(always)]
    pub const fn phys(self) -> PhysAddr {
        self.0 & bits::ADDR
    }

    /// Whether this maps `page`.
    #[inline(always)]
    pub fn maps(self, page: &Page) -> bool {
        self.0 != 0 && self.phys() == page.phys()
    }
}

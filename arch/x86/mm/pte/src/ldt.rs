// SPDX-License-Identifier: GPL-2.0
//! Local descriptor tables: the segments that a program makes for itself with `modify_ldt(2)`. A table does not change once it
//! is made. 16-bit segments are refused, as by Linux without `CONFIG_X86_16BIT`: a return to a 16-bit stack would show the program
//! bits 16 to 31 of the kernel's stack pointer. Source: Intel SDM volume 3, 3.4.5 and 3.5.1. No locks.

use errno::Result;
use errno::code::EINVAL;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec};

/// Most entries of a table (`LDT_ENTRIES`).
pub const LDT_ENTRIES: usize = 8192;

const PRESENT: u64 = 1 << 47;
/// Code or data, of privilege 3, accessed already: the hardware writes nothing into the table.
const FIXED: u64 = 1 << 44 | 3 << 45 | 1 << 40;

/// `struct user_desc`: a segment as programs describe it.
#[derive(Clone, Copy, Debug)]
pub struct UserDesc {
    /// Index in the table.
    pub entry_number: u32,
    /// First address.
    pub base_addr: u32,
    /// Last offset, in bytes or pages.
    pub limit: u32,
    /// The bits of the last word.
    flags: u32,
}

impl UserDesc {
    /// Of 32 bits.
    pub const SEG_32BIT: u32 = 1;
    /// `contents` from here on.
    pub const CONTENTS: u32 = 1;
    /// Data that cannot be written, code that cannot be read.
    pub const READ_EXEC_ONLY: u32 = 1 << 3;
    /// The limit counts pages.
    pub const LIMIT_IN_PAGES: u32 = 1 << 4;
    /// Not there.
    pub const SEG_NOT_PRESENT: u32 = 1 << 5;
    /// The bit for free use.
    pub const USEABLE: u32 = 1 << 6;
    const ALL: u32 = 0xff;

    /// From the four words that a program hands over. Bits that have no meaning are ignored.
    pub fn new([entry_number, base_addr, limit, flags]: [u32; 4]) -> Self {
        Self { entry_number, base_addr, limit, flags: flags & Self::ALL }
    }

    /// `contents`: 0 data, 1 data that grows down, 2 code, 3 conforming code.
    fn contents(&self) -> u32 {
        self.flags >> Self::CONTENTS & 3
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether it asks for an empty entry: no base, no limit, and nothing but "read only" and "not present".
    fn is_empty(&self) -> bool {
        self.base_addr == 0 && self.limit == 0 && self.flags == Self::READ_EXEC_ONLY | Self::SEG_NOT_PRESENT
    }

    /// The descriptor; `old` as the first form of the call has it: base and limit 0 clear the entry, and the bit for free use is
    /// not set. EINVAL for an index that no table has, conforming code that is present, and 16-bit segments.
    fn descriptor(&self, old: bool) -> Result<u64> {
        if self.entry_number as usize >= LDT_ENTRIES {
            return Err(EINVAL);
        }
        if self.contents() == 3 && (old || !self.has(Self::SEG_NOT_PRESENT)) {
            return Err(EINVAL);
        }
        if old && self.base_addr == 0 && self.limit == 0 || self.is_empty() {
            return Ok(0);
        }
        if !self.has(Self::SEG_32BIT) {
            return Err(EINVAL);
        }
        let (base, limit) = (u64::from(self.base_addr), u64::from(self.limit));
        let bit = |flag: u32, at: u32| u64::from(self.has(flag)) << at;
        let kind = u64::from(self.contents()) << 42 | u64::from(!self.has(Self::READ_EXEC_ONLY)) << 41;
        let present = if self.has(Self::SEG_NOT_PRESENT) { 0 } else { PRESENT };
        let free = if old { 0 } else { bit(Self::USEABLE, 52) };
        Ok(limit & 0xffff
            | (base & 0xff_ffff) << 16
            | kind
            | FIXED
            | present
            | (limit & 0xf_0000) << 32
            | free
            | bit(Self::SEG_32BIT, 54)
            | bit(Self::LIMIT_IN_PAGES, 55)
            | (base >> 24) << 56)
    }
}

/// A table.
///
/// # Invariants
/// There is at least one entry and at most [`LDT_ENTRIES`]; each is 0 or what `UserDesc::descriptor` made.
pub struct Ldt {
    entries: KVVec<u64>,
}

impl Ldt {
    /// A copy of `old` with one entry changed. EINVAL (see `struct user_desc`), ENOMEM. May sleep.
    pub fn changed(old: Option<&Ldt>, desc: &UserDesc, old_form: bool) -> Result<Arc<Self>> {
        let descriptor = desc.descriptor(old_form)?;
        let (index, before) = (desc.entry_number as usize, old.map_or(&[][..], |ldt| &ldt.entries));
        let mut entries = KVVec::with_capacity(before.len().max(index.saturating_add(1)), GFP_KERNEL)?;
        entries.extend_from_slice(before, GFP_KERNEL)?;
        while entries.len() <= index {
            entries.push(0, GFP_KERNEL)?;
        }
        if let Some(entry) = entries.get_mut(index) {
            *entry = descriptor;
        }
        Ok(Arc::new(Self { entries }, GFP_KERNEL)?)
    }

    /// The descriptors.
    pub fn entries(&self) -> &[u64] {
        &self.entries
    }
}

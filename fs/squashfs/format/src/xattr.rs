// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: sets of them, which inodes name by number. No locks.

use crate::image::{Cursor, Image, Store};
use crate::inode::NO_XATTR;
use crate::le::Fields;
use errno::Result;
use errno::code::EIO;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// A name space of attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// `user.`
    User,
    /// `trusted.`
    Trusted,
    /// `security.`
    Security,
}

impl Space {
    const fn of(kind: u16) -> Option<Self> {
        match kind & 0xff {
            0 => Some(Self::User),
            1 => Some(Self::Trusted),
            2 => Some(Self::Security),
            _ => None,
        }
    }

    /// With its dot.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::User => b"user.",
            Self::Trusted => b"trusted.",
            Self::Security => b"security.",
        }
    }
}

/// The value stands elsewhere, and here where.
const ELSEWHERE: u16 = 0x100;
/// Longest value, and longest name, of Linux.
const VALUE_MAX: u32 = 65536;
const NAME_MAX: u16 = 255;

impl<S: Store> Image<S> {
    fn set(&self, number: u32) -> Result<Option<(Cursor, u32)>> {
        if number == NO_XATTR {
            return Ok(None);
        }
        let Some(table) = self.xattr_table() else { return Ok(None) };
        if number >= table.count {
            return Err(EIO);
        }
        let entry = self.entry(&table.index, number)?;
        let mut f = Fields(&entry);
        let (at, count) = (f.u64()?, f.u32()?);
        Ok(Some((self.xattr_at(table.start, at)?, count)))
    }

    fn xattr_at(&self, start: u64, at: u64) -> Result<Cursor> {
        Ok(Cursor { block: start.checked_add(at >> 16).ok_or(EIO)?, offset: (at & 0xffff) as usize })
    }

    /// Calls `f` with each attribute of set `number`: its name space, its name, and a cursor for `xattr_value`; until it says false.
    fn each(&self, number: u32, mut f: impl FnMut(Option<Space>, &[u8], u16, Cursor) -> Result<bool>) -> Result {
        let Some((mut cursor, count)) = self.set(number)? else { return Ok(()) };
        for _ in 0..count {
            let bytes = self.record::<4>(&mut cursor)?;
            let mut fields = Fields(&bytes);
            let (kind, len) = (fields.u16()?, fields.u16()?);
            if len > NAME_MAX || len == 0 {
                return Err(EIO);
            }
            let mut name = [0u8; NAME_MAX as usize];
            let name = name.get_mut(..len.into()).ok_or(EIO)?;
            self.read(&mut cursor, name)?;
            if name.contains(&0) {
                return Err(EIO);
            }
            if !f(Space::of(kind), name, kind, cursor)? {
                break;
            }
            let len = u32::from_le_bytes(self.record(&mut cursor)?);
            if len > VALUE_MAX {
                return Err(EIO);
            }
            self.skip(&mut cursor, len as usize)?;
        }
        Ok(())
    }

    /// Calls `f` with each attribute that set `number` has. EIO.
    pub fn xattrs(&self, number: u32, mut f: impl FnMut(Space, &[u8]) -> Result) -> Result {
        self.each(number, |space, name, _, _| {
            if let Some(space) = space {
                f(space, name)?;
            }
            Ok(true)
        })
    }

    /// The value of an attribute of set `number`. EIO.
    pub fn xattr(&self, number: u32, space: Space, name: &[u8]) -> Result<Option<KVec<u8>>> {
        let mut value = None;
        self.each(number, |found, its, kind, cursor| {
            if found != Some(space) || its != name {
                return Ok(true);
            }
            value = Some(self.value(kind, cursor)?);
            Ok(false)
        })?;
        Ok(value)
    }

    fn value(&self, kind: u16, mut cursor: Cursor) -> Result<KVec<u8>> {
        if kind & ELSEWHERE != 0 {
            let bytes = self.record::<12>(&mut cursor)?;
            let mut f = Fields(&bytes);
            let (_, at) = (f.u32()?, f.u64()?);
            let start = self.xattr_table().ok_or(EIO)?.start;
            cursor = self.xattr_at(start, at)?;
        }
        let len = u32::from_le_bytes(self.record(&mut cursor)?);
        if len > VALUE_MAX {
            return Err(EIO);
        }
        let mut value = KVec::from_elem(0u8, len as usize, GFP_NOFS)?;
        self.read(&mut cursor, &mut value)?;
        Ok(value)
    }
}

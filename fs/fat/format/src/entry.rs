// SPDX-License-Identifier: GPL-2.0
//! Directory entries, and the slots of long names that come before them.

use crate::date::Stamp;
use crate::{ENTRY, SLOT_UNITS, byte, le16, le32};

/// Bits of an entry's attributes.
pub mod attr {
    /// Nobody writes it.
    pub const RO: u8 = 1;
    /// Not listed by default.
    pub const HIDDEN: u8 = 2;
    /// The system's.
    pub const SYS: u8 = 4;
    /// The volume's label.
    pub const VOLUME: u8 = 8;
    /// A directory.
    pub const DIR: u8 = 16;
    /// Changed since it was archived.
    pub const ARCH: u8 = 32;
    /// A slot of a long name.
    pub const EXT: u8 = RO | HIDDEN | SYS | VOLUME;
}

/// The name in eleven bytes.
pub type Short = [u8; 11];

/// `.` and `..`.
pub const DOT: Short = *b".          ";
/// See [`DOT`].
pub const DOTDOT: Short = *b"..         ";

/// The first byte of a free entry that was in use.
pub const DELETED: u8 = 0xe5;
/// What stands for that byte in a name.
const KANJI: u8 = 5;

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Name, as stored.
    pub name: Short,
    /// Bits of [`attr`].
    pub attr: u8,
    /// Which parts of the name are shown in small letters ([`crate::short::LOWER_BASE`]).
    pub lcase: u8,
    /// Creation.
    pub created: Stamp,
    /// Last access: a day.
    pub accessed: u16,
    /// Last change.
    pub changed: Stamp,
    /// First cluster, 0 for none.
    pub start: u32,
    /// Bytes; 0 for directories.
    pub size: u32,
}

/// What the 32 bytes at a place of a directory are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing.
    Free,
    /// A piece of a long name.
    Slot(Slot),
    /// An entry, perhaps the volume's label.
    Entry(Entry),
}

/// A piece of a long name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Which: from 1, the first of the name.
    pub number: u8,
    /// It comes first in the directory, and is the last of the name.
    pub last: bool,
    /// Of the short name that it belongs to.
    pub checksum: u8,
    /// Its piece of the name, ended by 0 if it is shorter.
    pub units: [u16; SLOT_UNITS],
}

/// Places of a slot's units.
const UNITS_AT: [usize; SLOT_UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

impl Kind {
    /// Reads the bytes at a place. `wide`: entries have 32-bit clusters.
    pub fn parse(bytes: &[u8; ENTRY], wide: bool) -> Self {
        if bytes[0] == 0 || bytes[0] == DELETED {
            return Self::Free;
        }
        if bytes[11] & 0x3f == attr::EXT {
            return Self::Slot(Slot {
                number: bytes[0] & !0x40,
                last: bytes[0] & 0x40 != 0,
                checksum: bytes[13],
                units: UNITS_AT.map(|at| le16(bytes, at)),
            });
        }
        let mut name = [0; 11];
        for (to, from) in name.iter_mut().zip(bytes) {
            *to = *from;
        }
        let high = if wide { u32::from(le16(bytes, 20)) << 16 } else { 0 };
        Self::Entry(Entry {
            name,
            attr: bytes[11],
            lcase: bytes[12],
            created: Stamp { time: le16(bytes, 14), date: le16(bytes, 16), hundredths: bytes[13] },
            accessed: le16(bytes, 18),
            changed: Stamp { time: le16(bytes, 22), date: le16(bytes, 24), hundredths: 0 },
            start: high | u32::from(le16(bytes, 26)),
            size: le32(bytes, 28),
        })
    }
}

fn put(out: &mut [u8; ENTRY], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl Entry {
    /// As it is stored.
    pub fn store(&self, wide: bool) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        put(&mut out, 0, &self.name);
        (out[11], out[12]) = (self.attr, self.lcase);
        self.put_times(&mut out);
        self.put_place(&mut out, wide);
        out
    }

    fn put_times(&self, out: &mut [u8; ENTRY]) {
        out[13] = self.created.hundredths;
        let fields = [self.created.time, self.created.date, self.accessed];
        for (at, value) in [14, 16, 18].into_iter().zip(fields) {
            put(out, at, &value.to_le_bytes());
        }
        put(out, 22, &self.changed.time.to_le_bytes());
        put(out, 24, &self.changed.date.to_le_bytes());
    }

    fn put_place(&self, out: &mut [u8; ENTRY], wide: bool) {
        let [a, b, c, d] = self.start.to_le_bytes();
        put(out, 26, &[a, b]);
        if wide {
            put(out, 20, &[c, d]);
        }
        put(out, 28, &self.size.to_le_bytes());
    }

    /// Changes all but the name in a stored entry.
    pub fn update(&self, out: &mut [u8; ENTRY], wide: bool) {
        out[11] = self.attr;
        self.put_times(out);
        self.put_place(out, wide);
    }
}

impl Slot {
    /// As it is stored.
    pub fn store(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[0] = self.number | if self.last { 0x40 } else { 0 };
        (out[11], out[13]) = (attr::EXT, self.checksum);
        for (at, unit) in UNITS_AT.into_iter().zip(self.units) {
            put(&mut out, at, &unit.to_le_bytes());
        }
        out
    }
}

/// The slots of a long name, in the order of the directory. More than 255 units are cut off.
pub fn slots(units: &[u16], checksum: u8) -> impl Iterator<Item = Slot> {
    let count = units.len().div_ceil(SLOT_UNITS).min(20);
    (0..count).rev().map(move |index| {
        let mut slot =
            Slot { number: index as u8 + 1, last: index + 1 == count, checksum, units: [0xffff; SLOT_UNITS] };
        let piece = units.get(index * SLOT_UNITS..).unwrap_or(&[]);
        // What is shorter is ended by a 0.
        for (to, from) in slot.units.iter_mut().zip(piece.iter().copied().chain(core::iter::once(0))) {
            *to = from;
        }
        slot
    })
}

/// The number in slots by which they know their short name.
pub fn checksum(name: &Short) -> u8 {
    name.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The name's first byte as it is stored and as it is meant: 0xe5 would mark a free entry.
pub fn escape(first: u8) -> u8 {
    if first == DELETED { KANJI } else { first }
}

/// Undoes [`escape`].
pub fn unescape(first: u8) -> u8 {
    if first == KANJI { DELETED } else { first }
}

/// Whether stored bytes are free.
pub fn is_free(bytes: &[u8]) -> bool {
    matches!(byte(bytes, 0), 0 | DELETED)
}

// SPDX-License-Identifier: GPL-2.0
//! Gathers the slots of a file from a directory's places, given one after the other.

use crate::entry::{Entry, Kind, Slot, checksum};
use crate::{ENTRY, LONG_MAX, SLOT_UNITS};

/// Most slots of a name.
const SLOTS: usize = 20;

/// What came so far.
pub struct Reader {
    units: [u16; SLOTS * SLOT_UNITS],
    /// Number of the slot that must come next; 0: the entry itself.
    next: u8,
    slots: u8,
    checksum: u8,
}

/// A file in a directory.
pub struct Found {
    /// Its entry.
    pub entry: Entry,
    /// Slots of its long name; 0 if it has none.
    pub slots: u8,
}

impl Default for Reader {
    fn default() -> Self {
        Self { units: [0; SLOTS * SLOT_UNITS], next: 0, slots: 0, checksum: 0 }
    }
}

impl Reader {
    /// Takes the next place. A file, once its entry comes. Slots that are not in order belong to nobody.
    pub fn take(&mut self, bytes: &[u8; ENTRY], wide: bool) -> Option<Found> {
        match Kind::parse(bytes, wide) {
            Kind::Free => self.slots = 0,
            Kind::Slot(slot) => self.slot(&slot),
            Kind::Entry(entry) => {
                let whole = self.slots != 0 && self.next == 0 && checksum(&entry.name) == self.checksum;
                let slots = if whole { self.slots } else { 0 };
                self.slots = 0;
                if entry.attr & crate::entry::attr::VOLUME == 0 {
                    self.next = 0;
                    return Some(Found { entry, slots });
                }
            }
        }
        None
    }

    fn slot(&mut self, slot: &Slot) {
        if slot.last {
            let fits = (1..=SLOTS).contains(&usize::from(slot.number));
            self.slots = if fits { slot.number } else { 0 };
            (self.next, self.checksum) = (slot.number, slot.checksum);
            self.units = [0; SLOTS * SLOT_UNITS];
        }
        if self.slots == 0 || slot.number != self.next || slot.checksum != self.checksum || slot.number == 0 {
            self.slots = 0;
            return;
        }
        self.next -= 1;
        let at = usize::from(self.next) * SLOT_UNITS;
        if let Some(place) = self.units.get_mut(at..at + SLOT_UNITS) {
            place.copy_from_slice(&slot.units);
        }
    }

    /// The long name of what [`Self::take`] just gave, if that has slots.
    pub fn long(&self) -> &[u16] {
        let end = self.units.iter().position(|unit| *unit == 0).unwrap_or(LONG_MAX).min(LONG_MAX);
        self.units.get(..end).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{attr, slots};
    use proptest::prelude::*;

    fn places(units: &[u16], entry: &Entry) -> std::vec::Vec<[u8; ENTRY]> {
        let mut out: std::vec::Vec<_> = slots(units, checksum(&entry.name)).map(|slot| slot.store()).collect();
        out.push(entry.store(true));
        out
    }

    #[test]
    fn out_of_order() {
        let entry = Entry { name: *b"NAME    TXT", attr: attr::ARCH, ..Entry::default() };
        let whole = places(&[b'x'.into(); 30], &entry);
        assert_eq!(whole.len(), 4);
        for missing in 0..3 {
            let mut reader = Reader::default();
            let kept = whole.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, place)| place);
            let found = kept.filter_map(|place| reader.take(place, true)).last().unwrap();
            assert_eq!(found.slots, 0);
        }
        let other = Entry { name: *b"OTHER   TXT", ..entry };
        let mut reader = Reader::default();
        whole[..3].iter().for_each(|place| assert!(reader.take(place, true).is_none()));
        assert_eq!(reader.take(&other.store(true), true).unwrap().slots, 0);
    }

    proptest! {
        #[test]
        fn back_and_forth(units in proptest::collection::vec(1u16..0xffff, 1..256), start: u32, size: u32) {
            let entry = Entry { name: *b"NAME~1  TXT", attr: attr::ARCH, start, size, ..Entry::default() };
            let mut reader = Reader::default();
            let mut found = None;
            for place in places(&units, &entry) {
                found = reader.take(&place, true);
            }
            let found = found.unwrap();
            prop_assert_eq!(found.entry, entry);
            prop_assert_eq!(usize::from(found.slots), units.len().div_ceil(SLOT_UNITS));
            prop_assert_eq!(reader.long(), &units[..]);
        }

        #[test]
        fn anything(places in proptest::collection::vec(any::<[u8; ENTRY]>(), 0..64)) {
            let mut reader = Reader::default();
            for place in &places {
                let _ = reader.take(place, false);
                prop_assert!(reader.long().len() <= LONG_MAX);
            }
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Names of new files: what is stored for them.

use crate::dir::{Stored, without_stops};
use crate::node::Shared;
use fat_format::LONG_MAX;
use fat_format::charset::Wrong;
use fat_format::entry::{Entry, Short, checksum, slots};
use fat_format::short::{self, Made};
use kalloc::{KBox, KVec};
use kernel::filesystem::ktime;
use kernel::prelude::*;

/// Names with a number that are tried: as many as the number has values.
const TRIES: u32 = 65536;

impl Shared {
    /// The slots and the entry that give `name` to what `entry` says. EINVAL for a name that cannot be stored, ENAMETOOLONG, EEXIST.
    pub(crate) fn stored(&self, name: &[u8], entry: &Entry) -> Result<Stored> {
        let name = without_stops(name);
        if name.is_empty() {
            return Err(ENOENT);
        }
        let mut units = KBox::new([0u16; LONG_MAX], GFP_KERNEL)?;
        let len = self.mounted.options.coding.read(name, &mut units).map_err(|wrong| match wrong {
            Wrong::Long => ENAMETOOLONG,
            Wrong::Text => EINVAL,
        })?;
        let units = units.get(..len).ok_or(EINVAL)?;
        if !short::is_valid(units) {
            return Err(EINVAL);
        }
        let made = short::make(units, self.mounted.options.style).ok_or(EINVAL)?;
        let entry = Entry { name: self.short_name(&made)?, lcase: made.lcase, ..*entry };
        let mut out = KVec::new();
        if !made.alone {
            for slot in slots(units, checksum(&entry.name)) {
                out.push(slot.store(), GFP_KERNEL)?;
            }
        }
        out.push(entry.store(self.mounted.wide()), GFP_KERNEL)?;
        Ok(out)
    }

    /// A short name that no other file of the directory has.
    fn short_name(&self, made: &Made) -> Result<Short> {
        let is_free = |name: &Short| Ok::<_, Error>(self.find_short(name)?.is_none());
        if made.exact {
            return if is_free(&made.name)? { Ok(made.name) } else { Err(EEXIST) };
        }
        if !self.mounted.options.numtail && is_free(&made.name)? {
            return Ok(made.name);
        }
        let seed = (ktime::real_coarse_ns() / 4_000_000) as u32;
        for n in 1..TRIES {
            let name = made.numbered(n, seed);
            if is_free(&name)? {
                return Ok(name);
            }
        }
        Err(EEXIST)
    }
}

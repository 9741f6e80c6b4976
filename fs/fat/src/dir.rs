// SPDX-License-Identifier: GPL-2.0
//! Places of a directory: going through them, finding a name, adding, removing. The directory inode's lock is held by the caller.

use crate::node::Shared;
use fat_format::ENTRY;
use fat_format::charset::NAME_BYTES;
use fat_format::entry::{self, DELETED, DOT, DOTDOT, Entry, Short, attr};
use fat_format::reader::Reader;
use fat_format::short;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::buffer::Buffer;
use kernel::prelude::*;

/// Most bytes of a directory.
const MOST: u64 = 65536 * ENTRY as u64;

/// A file that was found.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) entry: Entry,
    /// Byte of the disk where its entry is.
    pub(crate) place: u64,
    /// Byte of the directory behind it.
    pub(crate) end: u64,
    /// Places of its slots and itself.
    pub(crate) count: u64,
}

/// Goes through a directory's places.
pub(crate) struct Scan<'a> {
    dir: &'a Shared,
    /// Next byte.
    pub(crate) pos: u64,
    buffer: Option<Arc<Buffer>>,
    reader: KBox<Reader>,
}

impl<'a> Scan<'a> {
    /// From byte `pos` on.
    pub(crate) fn new(dir: &'a Shared, pos: u64) -> Result<Self> {
        Ok(Self { dir, pos, buffer: None, reader: KBox::new(Reader::default(), GFP_KERNEL)? })
    }

    /// The next place's bytes, and where it is on the disk; `None` at the end.
    fn place(&mut self) -> Result<Option<([u8; ENTRY], u64)>> {
        let size = u64::from(self.dir.mounted.geo.sector);
        let offset = (self.pos % size) as usize;
        if offset == 0 || self.buffer.is_none() {
            let Some(sector) = self.dir.sector(self.pos)? else { return Ok(None) };
            self.buffer = Some(self.dir.mounted.bread(sector)?);
        }
        let buffer = self.buffer.as_ref().ok_or(EIO)?;
        let bytes = buffer.read().get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or(EIO)?;
        self.pos += ENTRY as u64;
        Ok(Some((bytes, buffer.pos() + offset as u64)))
    }

    /// The next file; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Hit>> {
        let wide = self.dir.mounted.wide();
        while let Some((bytes, place)) = self.place()? {
            if let Some(found) = self.reader.take(&bytes, wide) {
                let count = u64::from(found.slots) + 1;
                return Ok(Some(Hit { entry: found.entry, place, end: self.pos, count }));
            }
        }
        Ok(None)
    }

    /// The name of what [`Self::next`] just gave, as programs see it: the long one, if it has one.
    pub(crate) fn name<'b>(&self, hit: &Hit, out: &'b mut [u8]) -> &'b [u8] {
        match hit.count {
            1 => self.short_name(hit, out),
            _ => self.dir.mounted.options.coding.show(self.reader.long(), out),
        }
    }

    fn short_name<'b>(&self, hit: &Hit, out: &'b mut [u8]) -> &'b [u8] {
        let options = &self.dir.mounted.options;
        let (units, len) = short::shown(&hit.entry.name, hit.entry.lcase, options.style);
        options.coding.show(units.get(..len).unwrap_or(&[]), out)
    }

    /// Whether it has this name, long or short.
    fn has_name(&self, hit: &Hit, name: &[u8], out: &mut [u8]) -> bool {
        let coding = &self.dir.mounted.options.coding;
        coding.same(self.short_name(hit, out), name) || hit.count > 1 && coding.same(self.name(hit, out), name)
    }
}

/// The name of an entry that is a directory's own or its parent's.
pub(crate) fn is_dot(entry: &Entry) -> bool {
    entry.name == DOT || entry.name == DOTDOT
}

/// A buffer for a name.
pub(crate) fn name_buffer() -> Result<KVec<u8>> {
    Ok(KVec::from_elem(0, NAME_BYTES, GFP_KERNEL)?)
}

impl Shared {
    /// The first file for which `f` is true.
    fn search(&self, mut f: impl FnMut(&Scan<'_>, &Hit) -> bool) -> Result<Option<Hit>> {
        let mut scan = Scan::new(self, 0)?;
        while let Some(hit) = scan.next()? {
            if f(&scan, &hit) {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    /// The file of that name; full stops at the end do not count.
    pub(crate) fn find(&self, name: &[u8]) -> Result<Option<Hit>> {
        let name = without_stops(name);
        if name.is_empty() {
            return Ok(None);
        }
        let mut buffer = name_buffer()?;
        self.search(|scan, hit| !is_dot(&hit.entry) && scan.has_name(hit, name, &mut buffer))
    }

    /// The file whose entry is at `place`.
    pub(crate) fn find_place(&self, place: u64) -> Result<Hit> {
        self.search(|_, hit| hit.place == place)?.ok_or(EIO)
    }

    /// The entry with that short name.
    pub(crate) fn find_short(&self, name: &Short) -> Result<Option<Hit>> {
        self.search(|_, hit| hit.entry.name == *name)
    }

    /// Directories in it, its own entries among them.
    pub(crate) fn directories(&self) -> Result<u32> {
        let mut count: u32 = 0;
        self.search(|_, hit| {
            count = count.saturating_add(u32::from(hit.entry.attr & attr::DIR != 0));
            false
        })?;
        Ok(count)
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(self.search(|_, hit| !is_dot(&hit.entry))?.is_none())
    }

    /// Marks the entry and its slots as free.
    pub(crate) fn remove(&self, hit: &Hit) -> Result {
        self.mounted.writable()?;
        for index in 0..hit.count {
            let pos = hit.end.checked_sub((index + 1) * ENTRY as u64).ok_or(EIO)?;
            self.change(pos, |bytes| bytes[0] = DELETED)?;
        }
        Ok(())
    }

    /// Changes the place at byte `pos` of the directory. Returns where it is on the disk.
    fn change(&self, pos: u64, f: impl FnOnce(&mut [u8; ENTRY])) -> Result<u64> {
        let size = u64::from(self.mounted.geo.sector);
        let buffer = self.mounted.bread(self.sector(pos)?.ok_or(EIO)?)?;
        let offset = (pos % size) as usize;
        let at = buffer.pos() + offset as u64;
        {
            let mut data = buffer.write();
            let place = data.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()).ok_or(EIO)?;
            f(place);
        }
        buffer.mark_dirty();
        Ok(at)
    }

    /// Puts slots and an entry into free places, one after the other; a directory that is full grows. Returns where the entry is on the
    /// disk. ENOSPC.
    pub(crate) fn add(&self, places: &[[u8; ENTRY]]) -> Result<u64> {
        self.mounted.writable()?;
        let first = self.room(places.len())?;
        let mut at = Err(EINVAL);
        for (index, bytes) in places.iter().enumerate() {
            let pos = first + (index * ENTRY) as u64;
            at = self.change(pos, |place| *place = *bytes);
            if at.is_err() {
                // Those that are there already belong to nobody.
                for index in 0..index {
                    let _ = self.change(first + (index * ENTRY) as u64, |place| place[0] = DELETED);
                }
                break;
            }
        }
        at
    }

    /// The first byte of `count` free places in a row.
    fn room(&self, count: usize) -> Result<u64> {
        let wanted = (count * ENTRY) as u64;
        let mut scan = Scan::new(self, 0)?;
        let mut run = 0;
        while let Some((bytes, _)) = scan.place()? {
            if scan.pos > MOST {
                return Err(ENOSPC);
            }
            run = if entry::is_free(&bytes) { run + ENTRY as u64 } else { 0 };
            if run == wanted {
                return Ok(scan.pos - wanted);
            }
        }
        let end = scan.pos;
        if self.is_fixed_root() || end + wanted - run > MOST {
            return Err(ENOSPC);
        }
        let cluster = u64::from(self.mounted.geo.cluster_bytes());
        let more = (wanted - run).div_ceil(cluster);
        for _ in 0..more {
            self.grow_zeroed()?;
        }
        Ok(end - run)
    }

    /// Makes a directory one cluster longer. Returns the cluster.
    pub(crate) fn grow_zeroed(&self) -> Result<u32> {
        let mut chain = self.chain.lock();
        let len = chain.len(&self.mounted)?;
        chain.grow(&self.mounted, len + 1)?;
        let (cluster, _) = chain.map(&self.mounted, len, 1)?.ok_or(EIO)?;
        self.set_allocated(len + 1);
        drop(chain);
        let first = self.mounted.geo.cluster_at(cluster) / u64::from(self.mounted.geo.sector);
        for sector in first..first + u64::from(self.mounted.geo.cluster_sectors) {
            let buffer = self.mounted.cache().getblk(sector, self.mounted.geo.sector)?;
            buffer.wait_written();
            buffer.write().fill(0);
            buffer.mark_dirty();
        }
        Ok(cluster)
    }

    /// Sets the first cluster of `..`.
    pub(crate) fn set_parent(&self, start: u32) -> Result {
        let Some(hit) = self.find_short(&DOTDOT)? else {
            return Err(self.mounted.error(format_args!("directory without an entry for its parent")));
        };
        let wide = self.mounted.wide();
        let changed = Entry { start, ..hit.entry };
        self.change(hit.end - ENTRY as u64, |place| changed.update(place, wide)).map(drop)
    }
}

/// A name without full stops at its end.
pub(crate) fn without_stops(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|c| *c != b'.').map_or(0, |last| last + 1);
    name.get(..end).unwrap_or(b"")
}

/// Slots and an entry as they are stored.
pub(crate) type Stored = KVec<[u8; ENTRY]>;

// SPDX-License-Identifier: GPL-2.0
//! Inodes: what is known of a file, its attributes, writing them into its entry. Locks: `place` is held while the entry is written, so
//! that it is the right one; `chain` guards the clusters.

use crate::chain::Chain;
use crate::mounted::Mounted;
use crate::pages::Pages;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};
use fat_format::ENTRY;
use fat_format::date::Stamp;
use fat_format::entry::{Entry, attr};
use kalloc::{Arc, KBox};
use kernel::filesystem::block::OpFlags;
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{Dev, Inode, InodeInit, Kstat, SuperBlock, SuperDevice, Timespec, iop};
use kernel::prelude::*;

/// No place: the root, and files whose name is gone.
pub(crate) const NOWHERE: u64 = 0;
/// The root's number.
pub(crate) const ROOT: u64 = 1;

/// What is known of an inode.
pub(crate) struct Shared {
    pub(crate) mounted: Arc<Mounted>,
    pub(crate) is_dir: bool,
    is_root: bool,
    pub(crate) chain: Mutex<Chain>,
    /// Byte of the disk where its entry is.
    pub(crate) place: Mutex<u64>,
    /// Attributes that are no part of the mode.
    attrs: AtomicU8,
    /// Clusters that it has.
    allocated: AtomicU32,
}

/// An inode's own part.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
}

/// Attributes that programs and the mode do not change.
const KEPT: u8 = attr::VOLUME | attr::ARCH | attr::SYS | attr::HIDDEN;

impl Shared {
    fn new(mounted: &Arc<Mounted>, is_dir: bool, is_root: bool, start: u32, place: u64) -> Self {
        Self {
            mounted: mounted.clone(),
            is_dir,
            is_root,
            chain: Mutex::new(Chain::new(start)),
            place: Mutex::new(place),
            attrs: AtomicU8::new(0),
            allocated: AtomicU32::new(0),
        }
    }

    /// A directory that has no name yet and no clusters.
    pub(crate) fn unnamed(mounted: &Arc<Mounted>) -> Self {
        Self::new(mounted, true, false, 0, NOWHERE)
    }

    /// It was written to since it was archived.
    pub(crate) fn mark_changed(&self) {
        self.attrs.fetch_or(attr::ARCH, Relaxed);
    }

    /// Whether its entry is there.
    pub(crate) fn is_at(&self, place: u64) -> bool {
        *self.place.lock() == place
    }

    /// The root of 12 and 16 bits: it is no chain.
    pub(crate) fn is_fixed_root(&self) -> bool {
        self.is_root && !self.mounted.wide()
    }

    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// The sector of byte `pos` of a directory; `None` behind its end.
    pub(crate) fn sector(&self, pos: u64) -> Result<Option<u64>> {
        let geo = &self.mounted.geo;
        if self.is_fixed_root() {
            let inside = pos < u64::from(geo.root_entries) * ENTRY as u64;
            return Ok(inside.then(|| u64::from(geo.root_start) + pos / u64::from(geo.sector)));
        }
        let cluster = u64::from(geo.cluster_bytes());
        let Ok(number) = u32::try_from(pos / cluster) else { return Ok(None) };
        let found = self.chain.lock().map(&self.mounted, number, 1)?;
        Ok(found.map(|(disk, _)| (geo.cluster_at(disk) + pos % cluster) / u64::from(geo.sector)))
    }

    /// Clusters it has, as far as is known.
    pub(crate) fn allocated(&self) -> u32 {
        self.allocated.load(Relaxed)
    }

    pub(crate) fn set_allocated(&self, clusters: u32) {
        self.allocated.store(clusters, Relaxed);
    }

    /// Clusters that `bytes` take.
    pub(crate) fn clusters(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(self.mounted.geo.cluster_bytes().into())).unwrap_or(u32::MAX)
    }

    /// Whether the mode shows the read-only attribute.
    fn holds_ro(&self) -> bool {
        let options = &self.mounted.options;
        let mask = if self.is_dir { options.dmask } else { options.fmask };
        (options.rodir || !self.is_dir) && !mask & 0o222 != 0
    }

    fn keep_attrs(&self, attrs: u8) {
        let kept = if self.holds_ro() { KEPT } else { KEPT | attr::RO };
        self.attrs.store(attrs & kept, Relaxed);
    }

    /// The attributes of an inode.
    pub(crate) fn attributes(&self, mode: u32) -> u8 {
        let mut attrs = self.attrs.load(Relaxed);
        if self.is_dir {
            attrs |= attr::DIR;
        }
        if self.holds_ro() && mode & 0o222 == 0 {
            attrs |= attr::RO;
        }
        attrs
    }

    /// Replaces the attributes. Returns the mode that goes with them.
    pub(crate) fn set_attributes(&self, attrs: u8, mode: u32) -> u32 {
        self.keep_attrs(attrs);
        let rights = if self.is_dir { 0o777 } else { 0o666 | mode & 0o111 };
        self.mode(attrs, rights)
    }

    /// The mode of a file with these attributes.
    fn mode(&self, attrs: u8, rights: u32) -> u32 {
        let options = &self.mounted.options;
        let refused = attrs & attr::RO != 0 && (!self.is_dir || options.rodir);
        let rights = if refused { rights & !0o222 } else { rights };
        if self.is_dir { rights & !options.dmask | uapi::S_IFDIR } else { rights & !options.fmask | uapi::S_IFREG }
    }

    /// Whether `mode` can be stored: but for writing for all or none, it is the mount's.
    pub(crate) fn sane_mode(&self, old: u32, mode: u32) -> bool {
        let options = &self.mounted.options;
        let mask = if self.is_dir { options.dmask } else { options.fmask };
        let rights = mode & 0o7777 & !mask;
        let writes = rights & 0o222;
        let all = 0o222 & !mask;
        rights & 0o555 == old & 0o555 && (writes == all || writes == 0 && self.holds_ro())
    }

    /// A time of access as the disk has it: a day.
    fn day(&self, time: Timespec) -> Timespec {
        const DAY: i64 = 24 * 60 * 60;
        let local = time.sec.saturating_sub(self.mounted.options.west());
        Timespec { sec: time.sec.saturating_sub(local.rem_euclid(DAY)), nsec: 0 }
    }

    /// What `stat` shows.
    pub(crate) fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        inode.fill_btime(stat);
        stat.blksize = self.mounted.geo.cluster_bytes();
        stat.blocks = u64::from(self.allocated()) * u64::from(self.mounted.geo.cluster_bytes() >> 9);
        stat.atime = self.day(stat.atime);
        // In steps of two seconds.
        stat.mtime = Timespec { sec: stat.mtime.sec & !1, nsec: 0 };
        // There is no place for another.
        stat.ctime = stat.mtime;
    }

    /// The entry of an inode; its name is not said.
    pub(crate) fn entry(&self, inode: &Inode) -> Entry {
        let west = self.mounted.options.west();
        let stamp = |time: Timespec| Stamp::from_unix(time.sec, time.nsec, west);
        Entry {
            attr: self.attributes(inode.mode()),
            created: stamp(inode.btime.get()),
            accessed: stamp(inode.atime.get()).date,
            changed: Stamp { hundredths: 0, ..stamp(inode.mtime.get()) },
            start: self.chain.lock().start,
            size: if self.is_dir { 0 } else { u32::try_from(inode.size()).unwrap_or(u32::MAX) },
            ..Entry::default()
        }
    }

    /// Writes what is known of `inode` into its entry; with `wait` until it is there.
    pub(crate) fn write(&self, inode: &Inode, wait: bool) -> Result {
        let place = self.place.lock();
        if *place == NOWHERE {
            return Ok(());
        }
        let size = u64::from(self.mounted.geo.sector);
        let buffer = self.mounted.bread(*place / size)?;
        let entry = self.entry(inode);
        {
            let mut data = buffer.write();
            let offset = (*place % size) as usize;
            let bytes = data.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()).ok_or(EIO)?;
            entry.update(bytes, self.mounted.wide());
        }
        buffer.mark_dirty();
        if wait {
            self.mounted.cache().write_buffers(core::slice::from_ref(&buffer), OpFlags::NONE)?;
        }
        Ok(())
    }
}

impl Node {
    /// The node of an inode of this type.
    pub(crate) fn of(inode: &Inode) -> Result<&Self> {
        inode.private().ok_or(EIO)
    }

    /// The root.
    pub(crate) fn root(sb: &Arc<SuperBlock>, mounted: &Arc<Mounted>) -> Result<Arc<Inode>> {
        let start = if mounted.wide() { mounted.geo.root_cluster } else { 0 };
        let shared = Shared::new(mounted, true, true, start, NOWHERE);
        // Its own and its parent's entry are not stored.
        let links = shared.directories()?.saturating_add(2);
        let mode = shared.mode(attr::DIR, 0o777);
        let inode = Self::finish(sb, shared, mode, ROOT, 0)?;
        inode.set_nlink(links);
        let epoch = Timespec::default();
        for time in [&inode.atime, &inode.mtime, &inode.ctime, &inode.btime] {
            time.set(epoch);
        }
        Ok(inode)
    }

    /// The inode of an entry, which is at `place`.
    pub(crate) fn inode(sb: &Arc<SuperBlock>, mounted: &Arc<Mounted>, entry: &Entry, place: u64) -> Result<Arc<Inode>> {
        let is_dir = entry.attr & attr::DIR != 0;
        let shared = Shared::new(mounted, is_dir, false, entry.start, place);
        shared.keep_attrs(entry.attr);
        let options = &mounted.options;
        let program = |ext: &[u8]| [&b"EXE"[..], b"COM", b"BAT"].contains(&ext);
        let plain = !is_dir && options.showexec && !entry.name.get(8..).is_some_and(program);
        let mode = shared.mode(entry.attr, if plain { 0o666 } else { 0o777 });
        let links = if is_dir { shared.directories()?.max(2) } else { 1 };
        let inode = Self::finish(sb, shared, mode, sb.next_ino(), entry.size.into())?;
        inode.set_nlink(links);
        let time = |stamp: Stamp| {
            let (sec, nsec) = stamp.to_unix(options.west());
            Timespec { sec, nsec }
        };
        inode.mtime.set(time(entry.changed));
        inode.ctime.set(time(entry.changed));
        inode.atime.set(time(Stamp { date: entry.accessed, ..Stamp::default() }));
        inode.btime.set(time(entry.created));
        Ok(inode)
    }

    fn finish(sb: &Arc<SuperBlock>, shared: Shared, mode: u32, ino: u64, bytes: u64) -> Result<Arc<Inode>> {
        let shared = Arc::new(shared, GFP_KERNEL)?;
        let mounted = &shared.mounted;
        let (uid, gid) = (mounted.options.uid, mounted.options.gid);
        // Names are found whatever the case of their letters, and by their short form.
        let iflags = if shared.is_dir { iop::ALIASES | iop::NOATIME } else { 0 };
        let init = InodeInit { sb, ino, mode, uid, gid, rdev: Dev::default(), iflags };
        let inode = Inode::new(init, KBox::new(Node { shared: shared.clone() }, GFP_KERNEL)?)?;
        if shared.is_dir {
            let clusters = shared.chain.lock().len(mounted)?;
            shared.set_allocated(clusters);
            inode.set_size(shared.dir_size());
        } else {
            shared.set_allocated(shared.clusters(bytes));
            inode.set_size(bytes);
            let pages = KBox::new(Pages(shared.clone()), GFP_KERNEL)?;
            inode.set_mapping(Mapping::new_on(pages, bytes, mounted.device.bdi())?)?;
        }
        sb.insert_inode(&inode)?;
        Ok(inode)
    }
}

impl Shared {
    /// Bytes of a directory.
    pub(crate) fn dir_size(&self) -> u64 {
        if self.is_fixed_root() {
            return u64::from(self.mounted.geo.root_entries) * ENTRY as u64;
        }
        u64::from(self.allocated()) * u64::from(self.mounted.geo.cluster_bytes())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What an inode of a file system on a device has beyond others: its cached pages, whether it must be written, its place in the
//! device's queue. Locks: `writing` (sleeping) around writing it; marking dirty takes none but the queue's.

use crate::inode::Inode;
use crate::super_block::SuperBlock;
use crate::writeback::{DirtyItem, DirtyNode};
use core::sync::atomic::{AtomicU32, Ordering::*, fence};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use locking::SetOnce;
use mm::{Mapping, MappingHost, WriteControl};
use module_core::ModuleRef;
use sync::Mutex;

/// Why an inode is dirty (`I_DIRTY_*`).
pub mod idirty {
    /// Attributes changed, none that data need (times).
    pub const SYNC: u32 = 1 << 0;
    /// Attributes changed that are needed to find the data (size, blocks).
    pub const DATASYNC: u32 = 1 << 1;
    /// Pages are dirty.
    pub const PAGES: u32 = 1 << 2;
    /// Times changed that are written lazily (`lazytime`).
    pub const TIME: u32 = 1 << 3;
    /// Attributes in any way.
    pub const INODE: u32 = SYNC | DATASYNC;
}

/// The part of an inode on a device.
pub(crate) struct DiskInode {
    me: WeakArc<Inode>,
    mapping: SetOnce<Arc<Mapping>>,
    dirty: AtomicU32,
    node: DirtyNode,
    lazy: DirtyNode,
    writing: Mutex<()>,
}

impl DiskInode {
    pub(crate) fn new(me: &WeakArc<Inode>) -> Result<KBox<Self>> {
        let disk = Self {
            me: me.clone(),
            mapping: SetOnce::new(),
            dirty: AtomicU32::new(0),
            node: DirtyNode::default(),
            lazy: DirtyNode::default(),
            writing: Mutex::new(()),
        };
        Ok(KBox::new(disk, GFP_KERNEL)?)
    }
}

/// Tells the inode what happens to its pages. These may outlive the inode for a moment (a mapping that goes, the look for pages to
/// reclaim): the module that knows where they come from must not go before.
struct Host {
    inode: WeakArc<Inode>,
    _module: ModuleRef,
}

impl MappingHost for Host {
    fn dirtied(&self) {
        if let Some(inode) = self.inode.upgrade() {
            inode.queue_dirty(idirty::PAGES);
            // The caller has the mapping, so it has the inode: this is not the last reference. Should it be after all, it must not
            // go here.
            rcu::defer_drop(inode);
        }
    }

    fn write_error(&self, error: Error) {
        if let Some(inode) = self.inode.upgrade() {
            inode.sb().errors().set(error);
            rcu::defer_drop(inode);
        }
    }
}

impl Inode {
    /// The cached pages, for files on devices (`i_mapping`).
    #[inline]
    pub fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.disk()?.mapping.get()
    }

    /// Sets the cached pages, once, before the inode can be found: `mapping`'s dirty pages make the inode dirty from now on.
    pub fn set_mapping(&self, mapping: Arc<Mapping>) -> Result {
        let Some(disk) = self.disk() else { return Err(errno::code::EINVAL) };
        let _module = ModuleRef::get(self.sb().fs_type.owner()).ok_or(errno::code::ENODEV)?;
        mapping.set_host(KBox::new(Host { inode: disk.me.clone(), _module }, GFP_KERNEL)?);
        // Set once by contract: a second one would be dropped.
        drop(disk.mapping.set(mapping));
        Ok(())
    }

    /// Marks the inode dirty ([`idirty`]): it will be written by `SuperOps::write_inode`. Nothing on file systems without a device.
    /// Calls `SuperOps::dirty_inode`, which may sleep.
    #[inline]
    pub fn mark_dirty(&self, why: u32) {
        if let Some(disk) = self.disk() {
            self.mark_dirty_disk(disk, why);
        }
    }

    fn mark_dirty_disk(&self, disk: &DiskInode, why: u32) {
        if self.sb().is_rdonly() {
            return;
        }
        if why & idirty::INODE != 0 {
            self.sb().ops().dirty_inode(self, why);
        }
        // Either who writes it, and takes the flags first, sees what was changed before this, or the flags are seen gone here.
        fence(SeqCst);
        let node = if why == idirty::TIME { &disk.lazy } else { &disk.node };
        if disk.dirty.load(Acquire) & why != why || !node.is_queued() {
            self.queue_dirty(why);
        }
    }

    /// Why it is dirty.
    pub fn dirty_flags(&self) -> u32 {
        self.disk().map_or(0, |disk| disk.dirty.load(Acquire))
    }

    /// The file system has written the attributes another way (in a transaction): they need not be written again.
    pub fn clear_dirty(&self, why: u32) {
        if let Some(disk) = self.disk() {
            disk.dirty.fetch_and(!why, AcqRel);
        }
    }

    /// Sets flags and queues it for its device's thread. Does not sleep.
    fn queue_dirty(&self, why: u32) {
        let Some(disk) = self.disk() else { return };
        disk.dirty.fetch_or(why, AcqRel);
        let times = why & idirty::TIME != 0 && !disk.lazy.is_queued();
        let other = why & !idirty::TIME != 0 && !disk.node.is_queued();
        if !times && !other {
            return;
        }
        if let (Some(me), Some(writer)) = (disk.me.upgrade(), self.sb().writer()) {
            let item: Arc<dyn DirtyItem> = me;
            // Whoever called has a reference of its own: this is not the last.
            if times {
                writer.queue_times(&item);
            }
            if other {
                writer.queue(&item);
            }
        }
    }

    /// Writes its pages of the bytes `[start, end]` and waits; then its attributes if they are dirty (with `datasync` only those
    /// that the data need), waiting for them too. For `fsync` of file systems without a journal. May sleep.
    pub fn write_and_wait(&self, start: u64, end: u64, datasync: bool) -> Result {
        let Some(disk) = self.disk() else { return Ok(()) };
        let pages = disk.mapping.get().map_or(Ok(()), |mapping| mapping.write_and_wait(start, end));
        let _writing = disk.writing.lock();
        let wanted = if datasync { idirty::DATASYNC } else { idirty::INODE | idirty::TIME };
        if disk.dirty.load(Acquire) & wanted == 0 {
            return pages;
        }
        disk.dirty.fetch_and(!(idirty::INODE | idirty::TIME), AcqRel);
        pages.and(self.sb().ops().write_inode(self, true))
    }

    /// Waits until nobody writes it.
    pub(crate) fn wait_not_writing(&self) {
        if let Some(disk) = self.disk() {
            drop(disk.writing.lock());
        }
    }
}

impl DirtyItem for Inode {
    fn node(&self) -> &DirtyNode {
        static NONE: DirtyNode = DirtyNode::new();
        self.disk().map_or(&NONE, |disk| &disk.node)
    }

    fn group(&self) -> usize {
        Arc::as_ptr(self.sb()).addr()
    }

    fn write_back(&self, sync: bool, budget: i64) -> Result {
        let Some(disk) = self.disk() else { return Ok(()) };
        let _writing = disk.writing.lock();
        if self.is_evicted() {
            return Ok(());
        }
        let mut result = Ok(());
        if let Some(mapping) = disk.mapping.get() {
            disk.dirty.fetch_and(!idirty::PAGES, AcqRel);
            let mut wbc = if sync { WriteControl::sync(0, u64::MAX) } else { WriteControl::background(budget) };
            result = mapping.write_pages(&mut wbc);
            if sync {
                mapping.wait_writeback_range(0, u64::MAX);
            }
            if mapping.is_dirty() {
                disk.dirty.fetch_or(idirty::PAGES, AcqRel);
            }
        }
        let all = idirty::INODE | idirty::TIME;
        // Times alone may wait; they are written with what else there is.
        let wanted = if sync { all } else { idirty::INODE };
        if disk.dirty.load(Acquire) & wanted != 0 && disk.dirty.fetch_and(!all, AcqRel) & all != 0 {
            result = result.and(self.sb().ops().write_inode(self, sync));
        }
        result
    }

    fn is_dirty(&self) -> bool {
        !self.is_evicted() && self.dirty_flags() & !idirty::TIME != 0
    }

    fn lazy_node(&self) -> Option<&DirtyNode> {
        self.disk().map(|disk| &disk.lazy)
    }

    fn write_times(&self) -> Result {
        let Some(disk) = self.disk() else { return Ok(()) };
        let _writing = disk.writing.lock();
        if self.is_evicted() || disk.dirty.fetch_and(!idirty::TIME, AcqRel) & idirty::TIME == 0 {
            return Ok(());
        }
        self.sb().ops().write_inode(self, false)
    }
}

/// Whether inodes of `sb` have this part.
pub(crate) fn wanted(sb: &SuperBlock) -> bool {
    sb.device().is_some()
}

// SPDX-License-Identifier: GPL-2.0
//! `DeviceCache`: what is cached of a block device: its pages (for programs) and its buffers (for file systems).

use crate::bios;
use crate::buffer::Buffer;
use crate::direct::Endings;
use crate::table::Table;
use block::{BdevCache, BlockDevice, OpFlags};
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use mm::{BackingDev, Mapping, MappingHost, MappingOps, Ratios, ReadRun, Settings, WriteControl, WriteRun};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use sync::Mutex;
use vfs::writeback::{DirtyItem, DirtyNode, Writer, writer_of};

/// The cached pages and buffers of a device.
pub struct DeviceCache {
    pub(crate) me: WeakArc<DeviceCache>,
    bdev: WeakArc<BlockDevice>,
    name: KString,
    pub(crate) mapping: Arc<Mapping>,
    bdi: Arc<BackingDev>,
    writer: Arc<Writer>,
    node: DirtyNode,
    writing: Mutex<()>,
    pub(crate) table: Table,
    pub(crate) count: AtomicUsize,
    /// Sizes of buffers that were ever made, as their sum.
    pub(crate) sizes: AtomicU32,
    pub(crate) hand: AtomicUsize,
    pub(crate) dirty: SpinLock<DirtyList>,
    /// What a write of buffers that nobody waited for ended with: the next who waits for all hears of it.
    pub(crate) lost: AtomicI32,
    dead: AtomicBool,
    endings: Arc<Endings>,
}

/// Dirty buffers, first in, first out.
#[derive(Default)]
pub(crate) struct DirtyList {
    head: Option<Arc<Buffer>>,
    tail: Option<Arc<Buffer>>,
    pub(crate) len: usize,
}

impl DirtyList {
    pub(crate) fn push(&mut self, buffer: Arc<Buffer>) {
        match self.tail.replace(buffer.clone()) {
            Some(last) => *last.next_dirty.lock_irqsave() = Some(buffer),
            None => self.head = Some(buffer),
        }
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Arc<Buffer>> {
        let first = self.head.take()?;
        self.head = first.next_dirty.lock_irqsave().take();
        if self.head.is_none() {
            // Another reference to the same buffer.
            drop(self.tail.take());
        }
        self.len -= 1;
        Some(first)
    }
}

/// Tells the cache of dirty pages.
struct Host(WeakArc<DeviceCache>);

impl MappingHost for Host {
    fn dirtied(&self) {
        if let Some(cache) = self.0.upgrade() {
            cache.queue();
            rcu::defer_drop(cache);
        }
    }

    fn write_error(&self, _error: Error) {}
}

/// What is set of a disk holds for all its devices.
struct OfDisk(WeakArc<BlockDevice>);

impl Settings for OfDisk {
    fn ra_pages(&self) -> u32 {
        self.0.upgrade().map_or(0, |bdev| bdev.disk().read_ahead_kb() / 4)
    }

    fn ratios(&self) -> Ratios {
        self.0.upgrade().map_or_else(Ratios::default, |bdev| {
            let (min, max) = bdev.disk().dirty().get();
            Ratios { min, max, all_min: block::DirtyRatios::all_min() }
        })
    }
}

/// Where the pages of a device come from: its cache, once that is made.
struct Shared(Arc<SetOnce<WeakArc<DeviceCache>>>);

impl Shared {
    fn cache(&self) -> Result<Arc<DeviceCache>> {
        self.0.get().and_then(WeakArc::upgrade).ok_or(EIO)
    }
}

impl MappingOps for Shared {
    fn read_pages(&self, _mapping: &Mapping, run: ReadRun) {
        if let Ok(cache) = self.cache() {
            cache.read_run(run);
        }
    }

    fn write_run(&self, run: WriteRun) -> Result {
        self.cache()?.write_run(run)
    }

    fn has_small_blocks(&self) -> bool {
        true
    }
}

impl DeviceCache {
    /// The cache of `bdev`, made at the first call. ENOMEM. May sleep.
    pub fn of(bdev: &Arc<BlockDevice>) -> Result<Arc<Self>> {
        if let Some(cache) = Self::existing(bdev) {
            return Ok(cache);
        }
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock();
        if let Some(cache) = Self::existing(bdev) {
            return Ok(cache);
        }
        let limits = bdev.disk().limits();
        let bdi = BackingDev::new(bdev.disk().read_ahead_kb() / 4, limits.max_sectors >> 3)?;
        bdi.set_settings(KBox::new(OfDisk(Arc::downgrade(bdev)), GFP_KERNEL)?);
        let name = bdev.name()?;
        let writer = writer_of(&bdi, name.to_str().unwrap_or("block"))?;
        let back = Arc::new(SetOnce::new(), GFP_KERNEL)?;
        let mapping = Mapping::new_on(KBox::new(Shared(back.clone()), GFP_KERNEL)?, bdev.size(), &bdi)?;
        let table = Table::new()?;
        let endings = Endings::new()?;
        let make = |me: &WeakArc<Self>| Self {
            me: me.clone(),
            bdev: Arc::downgrade(bdev),
            name,
            mapping,
            bdi,
            writer,
            node: DirtyNode::new(),
            writing: Mutex::new(()),
            table,
            count: AtomicUsize::new(0),
            sizes: AtomicU32::new(0),
            hand: AtomicUsize::new(0),
            dirty: SpinLock::new(DirtyList::default()),
            lost: AtomicI32::new(0),
            dead: AtomicBool::new(false),
            endings,
        };
        let cache = Arc::new_cyclic(make, GFP_KERNEL)?;
        // New, so the cells are empty.
        drop(back.set(Arc::downgrade(&cache)));
        cache.mapping.set_host(KBox::new(Host(Arc::downgrade(&cache)), GFP_KERNEL)?);
        // `MAKING` keeps others out.
        drop(bdev.set_cache(cache.clone()));
        note(&cache)?;
        Ok(cache)
    }

    fn existing(bdev: &BlockDevice) -> Option<Arc<Self>> {
        let cache: &dyn Any = &**bdev.cache()?;
        cache.downcast_ref::<Self>()?.me.upgrade()
    }

    /// The device; EIO once it is gone.
    pub fn bdev(&self) -> Result<Arc<BlockDevice>> {
        if self.dead.load(Acquire) { Err(EIO) } else { self.bdev.upgrade().ok_or(EIO) }
    }

    /// Its name (`vda1`).
    pub fn name(&self) -> &str {
        self.name.to_str().unwrap_or("")
    }

    /// Its pages.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// What the page cache knows of it.
    pub fn bdi(&self) -> &Arc<BackingDev> {
        &self.bdi
    }

    /// What a worker has to do at the end of transfers past the cache.
    pub fn endings(&self) -> &Arc<Endings> {
        &self.endings
    }

    /// Buffers in memory.
    pub fn buffers(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Bytes of the device.
    pub fn bytes(&self) -> u64 {
        self.mapping.size()
    }

    /// Takes over the size of the device as it is now.
    pub fn refresh(&self) {
        if let Some(bdev) = self.bdev.upgrade() {
            self.mapping.set_size(bdev.size());
            self.bdi.set_io_pages(bdev.disk().limits().max_sectors >> 3);
        }
    }

    /// Makes the device's thread look at it.
    pub(crate) fn queue(&self) {
        if !self.node.is_queued()
            && let Some(me) = self.me.upgrade()
        {
            let item: Arc<dyn DirtyItem> = me;
            self.writer.queue(&item);
        }
    }

    /// Reads pages; those in which buffers lie get the buffers' bytes.
    fn read_run(&self, run: ReadRun) {
        let Ok(bdev) = self.bdev() else { return };
        let mut run = run;
        while !run.pages().is_empty() {
            let plain = self.plain_pages(&run);
            let pos = run.pos();
            let Ok(front) = run.split_front(plain.max(1)) else { return };
            if plain == 0 {
                let filled = front.pages().first().map_or(Ok(()), |page| self.fill_page(&bdev, pos, page));
                if filled.is_ok() {
                    drop(front.start());
                }
                continue;
            }
            let flags = if front.is_ahead() { OpFlags::RAHEAD } else { OpFlags::SYNC };
            let Ok(io) = front.start() else { return };
            // Errors are in `io`.
            let _ = self.read_plain(&bdev, &io, pos, flags);
        }
    }

    fn read_plain(&self, bdev: &Arc<BlockDevice>, io: &Arc<mm::ReadIo>, pos: u64, flags: OpFlags) -> Result {
        let pages = io.pages().len();
        let whole = (bdev.size().saturating_sub(pos) >> PAGE_SHIFT).min(pages as u64) as usize;
        if whole != 0 {
            bios::transfer(bdev, io, 0, whole, pos, flags)?;
        }
        // The device may end within a page.
        for (i, page) in io.pages().iter().enumerate().skip(whole) {
            if let Err(error) = read_tail(bdev, pos + (i << PAGE_SHIFT) as u64, page) {
                io.fail(error);
            }
        }
        Ok(())
    }

    /// How many pages at the front of `run` have no buffers.
    fn plain_pages(&self, run: &ReadRun) -> usize {
        if self.count.load(Relaxed) == 0 {
            return run.pages().len();
        }
        let has = |i: usize| {
            let start = run.pos() + (i << PAGE_SHIFT) as u64;
            self.each_in(start, start + PAGE_SIZE as u64, |_| Err(EEXIST)).is_err()
        };
        (0..run.pages().len()).find(|i| has(*i)).unwrap_or(run.pages().len())
    }

    /// Reads a page in which buffers lie, and waits.
    fn fill_page(&self, bdev: &Arc<BlockDevice>, pos: u64, page: &Page) -> Result {
        read_tail(bdev, pos, page)?;
        self.each_in(pos, pos + PAGE_SIZE as u64, |buffer| {
            if buffer.is_uptodate() {
                page.write((buffer.pos() - pos) as usize, &buffer.read())?;
            }
            Ok(())
        })
    }

    /// A buffer was changed: so is the page, if it is cached.
    pub(crate) fn show_in_page(&self, pos: u64, data: &[u8]) {
        if self.mapping.page_count() != 0
            && let Some(page) = self.mapping.get(pos >> PAGE_SHIFT)
        {
            // A buffer lies within one page.
            let _ = page.write(pos as usize % PAGE_SIZE, data);
        }
    }

    /// The device's pages of the bytes `[start, end)` were changed by a program: so are the buffers there. May sleep.
    pub(crate) fn show_in_buffers(&self, start: u64, end: u64) -> Result {
        self.each_in(start, end, |buffer| {
            if let Some(page) = self.mapping.get(buffer.pos() >> PAGE_SHIFT) {
                let mut data = buffer.write_raw();
                page.read(buffer.pos() as usize % PAGE_SIZE, &mut data)?;
                buffer.clear_verified();
                buffer.set_uptodate();
            }
            Ok(())
        })
    }

    /// Writes dirty pages.
    fn write_run(&self, run: WriteRun) -> Result {
        let bdev = self.bdev()?;
        let first = run.pos();
        // Programs may have changed them through mapped memory.
        self.show_in_buffers(first, first + (run.pages().len() << PAGE_SHIFT) as u64)?;
        let io = run.start()?;
        let size = bdev.size();
        let pieces = io.pages().iter().enumerate().map(|(i, page)| {
            let at = first + (i << PAGE_SHIFT) as u64;
            let len = usize::try_from(size.saturating_sub(at)).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            bios::Piece { page: page.clone(), offset: 0, len }
        });
        bios::transfer_pieces(&bdev, &io, first, pieces.filter(|piece| piece.len != 0), OpFlags::NONE)
    }

    /// Writes all dirty pages and buffers and waits; the device's own cache is not flushed. An error of a buffer that was written in the
    /// background since the last call is told, too. May sleep.
    pub fn write_all(&self) -> Result {
        let written = DirtyItem::write_back(self, true, i64::MAX);
        let earlier = match self.lost.swap(0, AcqRel) {
            0 => Ok(()),
            errno => Err(Error::from_errno(errno)),
        };
        written.and(earlier)
    }

    /// Writes all, for a caller who can be told of no error: the next one who can is. May sleep.
    pub(crate) fn sync_unheard(&self) {
        if let Err(error) = DirtyItem::write_back(self, true, i64::MAX) {
            self.lost.store(error.to_errno(), Release);
        }
        // A device that is gone, or has no medium, has lost nothing by this.
        let _ = self.flush();
    }

    /// Writes all, and the device's own cache out. May sleep.
    pub fn sync_and_flush(&self) -> Result {
        let written = self.write_all();
        written.and(self.flush())
    }

    /// Writes the device's own cache out. May sleep.
    pub fn flush(&self) -> Result {
        block::issue_flush(&self.bdev()?)
    }

    /// Drops clean pages and buffers that nobody uses. May sleep.
    pub fn drop_unused(&self) -> usize {
        self.mapping.drop_clean(0, u64::MAX) + self.shrink(usize::MAX)
    }

    /// Drops the cached pages of the bytes `[start, end)`, which were written first: somebody writes past them.
    pub(crate) fn drop_pages(&self, start: u64, end: u64) {
        if start < end && self.mapping.page_count() != 0 {
            let _guard = self.mapping.invalidate_lock();
            self.mapping.remove(start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
        }
    }
}

/// Reads one page, which may reach beyond the device's end: there it is zero.
fn read_tail(bdev: &Arc<BlockDevice>, pos: u64, page: &Page) -> Result {
    let left = usize::try_from(bdev.size().saturating_sub(pos)).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
    if left == PAGE_SIZE {
        return block::read_pages(bdev, pos >> 9, core::slice::from_ref(page));
    }
    let mut bytes = KVec::from_elem(0u8, left, kalloc::flags::GFP_NOFS)?;
    block::read_bytes(bdev, pos, &mut bytes)?;
    page.zero();
    page.write(0, &bytes)
}

impl DirtyItem for DeviceCache {
    fn node(&self) -> &DirtyNode {
        &self.node
    }

    fn group(&self) -> usize {
        0
    }

    fn write_back(&self, sync: bool, budget: i64) -> Result {
        let _writing = self.writing.lock();
        let buffers = self.write_dirty(sync);
        let mut wbc = if sync { WriteControl::sync(0, u64::MAX) } else { WriteControl::background(budget) };
        let pages = {
            let _plug = block::Plug::start();
            self.mapping.write_pages(&mut wbc)
        };
        if sync {
            self.mapping.wait_writeback_range(0, u64::MAX);
        }
        buffers.and(pages)
    }

    fn is_dirty(&self) -> bool {
        !self.dead.load(Acquire) && (self.mapping.is_dirty() || self.dirty.lock().len != 0)
    }
}

impl BdevCache for DeviceCache {
    fn write_back(&self) -> Result {
        self.write_all()
    }

    fn invalidate(&self) {
        self.drop_unused();
    }

    fn forget(&self) {
        {
            let _guard = self.mapping.invalidate_lock();
            self.mapping.remove(0, u64::MAX);
        }
        self.drop_buffers(0);
    }

    fn kill(&self) {
        self.dead.store(true, Release);
        self.mapping.remove(0, u64::MAX);
        self.drop_buffers(0);
        self.writer.stop();
        // What was dirty when it was last written waits there for its age still: the two would keep each other.
        if let Some(me) = self.me.upgrade() {
            let item: Arc<dyn DirtyItem> = me;
            self.writer.remove(&item);
        }
        for place in CACHES.lock().iter_mut().filter(|place| place.as_ref().is_some_and(|cache| cache.ptr_eq(&self.me)))
        {
            *place = None;
        }
    }
}

/// All caches, for `sync(2)` and reclaim. One that goes leaves a hole: the others' places do not change under who goes through them.
static CACHES: Mutex<KVec<Option<WeakArc<DeviceCache>>>> = Mutex::new(KVec::new());

fn note(cache: &Arc<DeviceCache>) -> Result {
    let weak = Some(Arc::downgrade(cache));
    let mut caches = CACHES.lock();
    match caches.iter_mut().find(|place| place.is_none()) {
        Some(hole) => *hole = weak,
        None => caches.push(weak, GFP_KERNEL)?,
    }
    Ok(())
}

/// Calls `f` for each device's cache. `f` may sleep.
pub(crate) fn for_each(mut f: impl FnMut(&Arc<DeviceCache>)) {
    let mut index = 0;
    loop {
        let found = {
            let caches = CACHES.lock();
            match caches.get(index) {
                Some(place) => place.as_ref().and_then(WeakArc::upgrade),
                None => return,
            }
        };
        if let Some(cache) = found {
            f(&cache);
        }
        index += 1;
    }
}

// SPDX-License-Identifier: GPL-2.0
//! `Buffer`: one block of metadata in memory.
//!
//! State bits change atomically. `DIRTY`: to be written some time. `WRITING`: its bytes, as they were, are on their way; a change
//! meanwhile makes it dirty again. A journal that has the buffer in a transaction takes `DIRTY` away ([`Buffer::claim`]) and sets it
//! after the commit ([`Buffer::mark_dirty`]): the background writes only what is `DIRTY`.

use crate::device::DeviceCache;
use core::any::Any;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use rcu::RcuLink;
use sync::{RwReadGuard, RwSemaphore, RwWriteGuard, WaitQueue};

pub(crate) const UPTODATE: u32 = 1 << 0;
pub(crate) const DIRTY: u32 = 1 << 1;
pub(crate) const WRITING: u32 = 1 << 2;
/// On the device's list of dirty buffers.
pub(crate) const QUEUED: u32 = 1 << 3;
pub(crate) const WRITE_ERROR: u32 = 1 << 4;
const VERIFIED: u32 = 1 << 5;
/// Out of the table: who still has it has an orphan.
pub(crate) const UNHASHED: u32 = 1 << 6;

/// Buffers that are being written, waited for.
static WAIT: [WaitQueue; 64] = [const { WaitQueue::new() }; 64];

/// A block of metadata. Always in an `Arc`; while somebody has one, the block stays in memory.
pub struct Buffer {
    pub(crate) link: RcuLink<Buffer>,
    cache: WeakArc<DeviceCache>,
    block: u64,
    size: u32,
    state: AtomicU32,
    data: RwSemaphore<KVec<u8>>,
    pub(crate) next_dirty: SpinLock<Option<Arc<Buffer>>>,
    private: SetOnce<KBox<dyn Any + Send + Sync>>,
}

rcu::rcu_listed!(Buffer, link);

/// What became of [`Buffer::claim`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is being written: nothing was changed.
    Busy,
    /// It will not be written before it is marked dirty again; whether it was dirty.
    Claimed(bool),
}

impl Buffer {
    /// An empty (zero) buffer that is not up to date. ENOMEM.
    pub(crate) fn new(cache: &WeakArc<DeviceCache>, block: u64, size: u32) -> Result<Arc<Self>> {
        let buffer = Self {
            link: RcuLink::new(),
            cache: cache.clone(),
            block,
            size,
            state: AtomicU32::new(0),
            data: RwSemaphore::new(KVec::from_elem(0u8, size as usize, GFP_NOFS)?),
            next_dirty: SpinLock::new(None),
            private: SetOnce::new(),
        };
        Ok(Arc::new(buffer, GFP_NOFS)?)
    }

    /// Number of the block, in units of its size.
    #[inline]
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Bytes.
    #[inline]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// First byte on the device.
    #[inline]
    pub fn pos(&self) -> u64 {
        // `table` makes buffers only where the product fits.
        self.block.saturating_mul(self.size.into())
    }

    /// The device's cache; `None` once the device is gone.
    pub fn cache(&self) -> Option<Arc<DeviceCache>> {
        self.cache.upgrade()
    }

    #[inline]
    pub(crate) fn has(&self, bits: u32) -> bool {
        self.state.load(Acquire) & bits == bits
    }

    #[inline]
    pub(crate) fn set(&self, bits: u32) -> u32 {
        self.state.fetch_or(bits, AcqRel)
    }

    #[inline]
    pub(crate) fn clear(&self, bits: u32) -> u32 {
        self.state.fetch_and(!bits, AcqRel)
    }

    /// The bytes, for reading. May sleep; to be held briefly.
    pub fn read(&self) -> BufferRead<'_> {
        BufferRead(self.data.read())
    }

    /// The bytes, for changing. Dropping it makes the change visible in the device's pages; it does not make the buffer dirty. May
    /// sleep; to be held briefly.
    pub fn write(&self) -> BufferWrite<'_> {
        BufferWrite { data: Some(self.data.write()), buffer: self }
    }

    /// The bytes, for changing, without telling the device's pages: they come from there.
    pub(crate) fn write_raw(&self) -> RwWriteGuard<'_, KVec<u8>> {
        self.data.write()
    }

    /// Copies the bytes to `out`. EINVAL if that is shorter. May sleep.
    pub fn copy_to(&self, out: &mut [u8]) -> Result {
        let data = self.data.read();
        out.get_mut(..data.len()).ok_or(EINVAL)?.copy_from_slice(&data);
        Ok(())
    }

    /// Whether the bytes are the device's, or newer.
    #[inline]
    pub fn is_uptodate(&self) -> bool {
        self.has(UPTODATE)
    }

    /// The bytes were all written by the caller: they are valid.
    pub fn set_uptodate(&self) {
        self.set(UPTODATE);
    }

    /// Whether somebody checked the bytes since they were read ([`Buffer::set_verified`]).
    #[inline]
    pub fn is_verified(&self) -> bool {
        self.has(VERIFIED)
    }

    /// The bytes were checked (checksum, structure). Goes when they are read anew.
    pub fn set_verified(&self) {
        self.set(VERIFIED);
    }

    pub(crate) fn clear_verified(&self) {
        self.clear(VERIFIED);
    }

    /// It is to be written some time. Does not sleep.
    pub fn mark_dirty(self: &Arc<Self>) {
        let old = self.set(DIRTY | UPTODATE);
        if old & QUEUED == 0
            && let Some(cache) = self.cache()
        {
            cache.queue_dirty(self);
        }
    }

    /// Whether it is to be written.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        self.has(DIRTY)
    }

    /// It need not be written: somebody wrote it, or its contents do not matter. Does not wait for a write that is going on.
    pub fn clear_dirty(&self) {
        self.clear(DIRTY);
    }

    /// Takes the dirty state away for a journal, unless the buffer is being written now. Does not sleep.
    pub fn claim(&self) -> Claim {
        let claimed =
            self.state.fetch_update(AcqRel, Acquire, |state| (state & WRITING == 0).then_some(state & !DIRTY));
        match claimed {
            Ok(old) => Claim::Claimed(old & DIRTY != 0),
            Err(_) => Claim::Busy,
        }
    }

    /// Begins a write if it is dirty and none is going on.
    pub(crate) fn begin_write(&self) -> bool {
        let ready = |state: u32| (state & (DIRTY | WRITING) == DIRTY).then_some(state & !DIRTY | WRITING);
        self.state.fetch_update(AcqRel, Acquire, ready).is_ok()
    }

    /// Ends a write. Any context.
    pub(crate) fn end_write(&self, result: Result) {
        if result.is_err() {
            self.set(WRITE_ERROR);
        }
        self.clear(WRITING);
        self.queue().wake_up_all();
    }

    fn queue(&self) -> &'static WaitQueue {
        // In bounds: the mask is the (constant) length less one.
        &WAIT[(self.block as usize ^ self.block as usize >> 6) & 63]
    }

    /// Waits until no write is going on. May sleep.
    pub fn wait_written(&self) {
        if self.has(WRITING) {
            self.queue().wait_until(|| !self.has(WRITING));
        }
    }

    /// Whether there is something to write, or it is being written.
    pub fn is_busy(&self) -> bool {
        self.state.load(Acquire) & (DIRTY | WRITING) != 0
    }

    /// Whether a write failed since it was last changed.
    pub fn has_failed(&self) -> bool {
        self.has(WRITE_ERROR)
    }

    /// Forgets that a write failed.
    pub fn clear_failed(&self) {
        self.clear(WRITE_ERROR);
    }

    /// The block is free: its bytes are not written any more, and read anew if the block is wanted again. Does not sleep.
    pub fn forget(&self) {
        self.clear(DIRTY | UPTODATE | VERIFIED | WRITE_ERROR);
    }

    /// What a journal keeps with the buffer, if it is a `T`.
    pub fn private<T: Any>(&self) -> Option<&T> {
        let private: &(dyn Any + Send + Sync) = &**self.private.get()?;
        private.downcast_ref()
    }

    /// Sets what a journal keeps with the buffer; the value comes back in `Err` if another was first.
    pub fn set_private(&self, value: KBox<dyn Any + Send + Sync>) -> Result<(), KBox<dyn Any + Send + Sync>> {
        self.private.set(value)
    }
}

/// Read access to a buffer's bytes.
pub struct BufferRead<'a>(RwReadGuard<'a, KVec<u8>>);

impl Deref for BufferRead<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Write access to a buffer's bytes.
pub struct BufferWrite<'a> {
    data: Option<RwWriteGuard<'a, KVec<u8>>>,
    buffer: &'a Buffer,
}

impl Deref for BufferWrite<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.data.as_ref().map_or(&[], |data| data)
    }
}

impl DerefMut for BufferWrite<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.data {
            Some(data) => data,
            None => &mut [],
        }
    }
}

impl Drop for BufferWrite<'_> {
    fn drop(&mut self) {
        if let (Some(data), Some(cache)) = (&self.data, self.buffer.cache()) {
            cache.show_in_page(self.buffer.pos(), data);
        }
        self.data = None;
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The device under an image, and the decompressed blocks that are kept: metadata and fragments, the last used first. Decoders are kept
//! as well, as many as there are CPUs: who finds none makes one.
//!
//! Locks: `kept` and `decoders` (spin), innermost; blocks are read without them, so two readers may read the same one.

use kalloc::flags::{GFP_ATOMIC, GFP_NOFS};
use kalloc::{Arc, KVec};
use kernel::ext::num_online_cpus;
use kernel::filesystem::block::{self, BlockDevice};
use kernel::filesystem::buffer::MountedDevice;
use kernel::filesystem::locking::SpinLock;
use kernel::filesystem::mm_alloc::Page;
use kernel::prelude::*;
use squashfs_format::{Block, Decoder, Kind};

const PAGE: u64 = 4096;
/// Blocks that are kept of metadata (8 KiB each), and fragments (a block of the image each).
const METADATA_KEPT: usize = 64;
const FRAGMENTS_KEPT: usize = 4;

struct Kept {
    metadata: KVec<(u64, Arc<Block>)>,
    fragments: KVec<(u64, Arc<Block>)>,
}

impl Kept {
    fn of(&mut self, kind: Kind) -> (&mut KVec<(u64, Arc<Block>)>, usize) {
        match kind {
            Kind::Metadata => (&mut self.metadata, METADATA_KEPT),
            Kind::Fragment => (&mut self.fragments, FRAGMENTS_KEPT),
        }
    }
}

/// Where an image is.
pub(crate) struct Store {
    device: Arc<MountedDevice>,
    kept: SpinLock<Kept>,
    decoders: SpinLock<KVec<Decoder>>,
}

impl Store {
    /// On a device.
    pub(crate) fn new(device: Arc<MountedDevice>) -> Result<Self> {
        let metadata = KVec::with_capacity(METADATA_KEPT, GFP_KERNEL)?;
        let fragments = KVec::with_capacity(FRAGMENTS_KEPT, GFP_KERNEL)?;
        let decoders = KVec::with_capacity(num_online_cpus() as usize, GFP_KERNEL)?;
        let kept = SpinLock::new(Kept { metadata, fragments });
        Ok(Self { device, kept, decoders: SpinLock::new(decoders) })
    }

    fn bdev(&self) -> &Arc<BlockDevice> {
        self.device.bdev()
    }
}

impl squashfs_format::Store for Store {
    fn read(&self, pos: u64, to: &mut [u8]) -> Result {
        let end = pos.checked_add(to.len() as u64).ok_or(EIO)?;
        // Whole pages in one go; the device may end within the last.
        let first = pos - pos % PAGE;
        let whole = end.next_multiple_of(PAGE).min(self.bdev().size() / PAGE * PAGE);
        if whole < end {
            return block::read_bytes(self.bdev(), pos, to);
        }
        let count = usize::try_from((whole - first) / PAGE).map_err(|_| EIO)?;
        let mut pages = KVec::with_capacity(count, GFP_NOFS)?;
        for _ in 0..count {
            pages.push(Page::alloc(GFP_NOFS)?, GFP_NOFS)?;
        }
        block::read_pages(self.bdev(), first >> 9, &pages)?;
        let (mut offset, mut rest) = ((pos - first) as usize, to);
        for page in pages.iter() {
            let n = rest.len().min(PAGE as usize - offset);
            let (part, tail) = rest.split_at_mut(n);
            page.read(offset, part)?;
            (offset, rest) = (0, tail);
        }
        Ok(())
    }

    fn find(&self, kind: Kind, pos: u64) -> Option<Arc<Block>> {
        let mut kept = self.kept.lock();
        let (list, _) = kept.of(kind);
        let at = list.iter().rposition(|(there, _)| *there == pos)?;
        // The last is the last used.
        list.get_mut(at..)?.rotate_left(1);
        list.last().map(|(_, block)| block.clone())
    }

    fn keep(&self, kind: Kind, pos: u64, block: &Arc<Block>) {
        let mut kept = self.kept.lock();
        let (list, most) = kept.of(kind);
        if list.iter().any(|(there, _)| *there == pos) {
            return;
        }
        let old = if list.len() >= most { list.drain(..1).next() } else { None };
        // The room is there.
        let _ = list.push((pos, block.clone()), GFP_ATOMIC);
        drop(kept);
        drop(old);
    }

    fn take_decoder(&self) -> Option<Decoder> {
        self.decoders.lock().pop()
    }

    fn keep_decoder(&self, decoder: Decoder) {
        let refused = self.decoders.lock().push_within_capacity(decoder);
        // Dropped after the lock.
        drop(refused);
    }
}

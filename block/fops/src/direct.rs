// SPDX-License-Identifier: GPL-2.0
//! Transfers between a program's own pages and the device, past the cache: bios are made of the pages behind the program's memory,
//! which are held until the device is done. The submitter waits for the end, or is told (asynchronous I/O).
//!
//! Memory that is not aligned as the device wants it (`dma_alignment`) is not taken here: its bytes are copied (`rw`).

use crate::BlockFile;
use block::{Bio, BioEnd, BlockDevice, EndIo, Op, OpFlags, submit_bio};
use buffer::DeviceCache;
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox};
use locking::SpinLock;
use mm::Mm;
use mm_alloc::PAGE_SIZE;
use sync::Completion;
use vfs::kiocb::IoDone;
use x86_mm::uaccess::IovIter;

/// Most pages of one bio.
const BIO_PAGES: usize = 256;

/// Who hears of the end.
enum Receiver {
    Waiter,
    Told(KBox<dyn IoDone>),
}

/// A transfer on its way.
struct Dio {
    /// Bios, and one while they are made.
    left: AtomicUsize,
    bytes: AtomicU64,
    error: AtomicI32,
    receiver: SpinLock<Option<Receiver>>,
    waiter: Completion,
    /// What a write makes old.
    cache: Option<(Arc<DeviceCache>, u64, u64)>,
}

impl Dio {
    fn result(&self) -> Result<usize> {
        match self.error.load(Acquire) {
            0 => Ok(self.bytes.load(Acquire) as usize),
            errno => Err(Error::from_errno(errno)),
        }
    }

    fn fail(&self, error: Error) {
        let _ = self.error.compare_exchange(0, error.to_errno(), AcqRel, Relaxed);
    }

    fn put(self: &Arc<Self>) {
        if self.left.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let receiver = self.receiver.lock_irqsave().take();
        match receiver {
            None => {}
            Some(Receiver::Waiter) => self.waiter.complete(),
            Some(Receiver::Told(done)) => match &self.cache {
                // What was read in meanwhile is old; forgetting it sleeps.
                Some((cache, start, end)) if cache.mapping().page_count() != 0 => {
                    let (cache, start, end, result) = (cache.clone(), *start, *end, self.result());
                    // Without memory for that, at least the program is told.
                    let Ok(told) = Arc::new(SpinLock::new(None), GFP_ATOMIC) else { return done.done(result) };
                    *told.lock_irqsave() = Some(done);
                    let its: Arc<SpinLock<Option<KBox<dyn IoDone>>>> = told.clone();
                    let queued = workqueue::spawn(move || {
                        let _ = buffer::io::after_direct(&cache, start, end);
                        if let Some(done) = its.lock_irqsave().take() {
                            done.done(result);
                        }
                    });
                    if queued.is_err()
                        && let Some(done) = told.lock_irqsave().take()
                    {
                        done.done(self.result());
                    }
                }
                _ => done.done(self.result()),
            },
        }
    }
}

/// Hears of the bios.
struct End(Arc<Dio>);

impl EndIo for End {
    fn end_io(&self, bio: KBox<Bio>) {
        match bio.status() {
            Ok(()) => {
                self.0.bytes.fetch_add(bio.len(), AcqRel);
            }
            Err(error) => self.0.fail(error),
        }
        drop(bio);
        self.0.put();
    }
}

/// Whether all of the program's memory is aligned as the device wants it.
pub(crate) fn is_aligned(bdev: &BlockDevice, iter: &IovIter<'_>) -> bool {
    iter.user_alignment().is_some_and(|bits| bits & bdev.disk().limits().dma_alignment as usize == 0)
}

/// What is transferred.
pub(crate) struct Transfer<'a, 'b> {
    pub(crate) file: &'a BlockFile,
    pub(crate) iter: &'a mut IovIter<'b>,
    pub(crate) pos: u64,
    pub(crate) write: bool,
    /// It is to be on stable storage.
    pub(crate) sync: bool,
}

impl Transfer<'_, '_> {
    /// Transfers and waits: how many bytes.
    pub(crate) fn wait(self) -> Result<usize> {
        let dio = self.begin(Receiver::Waiter)?;
        dio.put();
        dio.waiter.wait_io();
        dio.result()
    }

    /// Begins; `done` hears of the end.
    pub(crate) fn submit(self, done: KBox<dyn IoDone>) {
        match self.begin(Receiver::Waiter) {
            Ok(dio) => {
                // Before the count that was held while the bios were made is given up.
                *dio.receiver.lock_irqsave() = Some(Receiver::Told(done));
                dio.put();
            }
            Err(error) => done.done(Err(error)),
        }
    }

    /// Sends all bios. What could not be sent is the transfer's error, once something was.
    fn begin(mut self, receiver: Receiver) -> Result<Arc<Dio>> {
        let end = self.pos.saturating_add(self.iter.count() as u64);
        let cache = self.write.then(|| (self.file.cache.clone(), self.pos, end));
        let dio = Dio {
            left: AtomicUsize::new(1),
            bytes: AtomicU64::new(0),
            error: AtomicI32::new(0),
            receiver: SpinLock::new(Some(receiver)),
            waiter: Completion::new(),
            cache,
        };
        let dio = Arc::new(dio, GFP_KERNEL)?;
        let mm = mm::current_mm().ok_or(EFAULT)?;
        let hears: Arc<dyn EndIo> = Arc::new(End(dio.clone()), GFP_KERNEL)?;
        let _plug = (self.iter.count() > PAGE_SIZE).then(block::Plug::start);
        while !self.iter.is_empty() {
            let mut bio = match self.bio(&mm) {
                Ok(bio) => bio,
                Err(error) => {
                    dio.fail(error);
                    break;
                }
            };
            self.pos = self.pos.saturating_add(bio.len());
            bio.set_end(BioEnd::Shared(hears.clone()));
            dio.left.fetch_add(1, AcqRel);
            submit_bio(bio);
        }
        Ok(dio)
    }

    /// The next bio: as many pages as fit, whole blocks.
    fn bio(&mut self, mm: &Mm) -> Result<KBox<Bio>> {
        let bdev = self.file.bdev();
        let (op, mut flags) = if self.write { (Op::Write, OpFlags::SYNC) } else { (Op::Read, OpFlags::SYNC) };
        if self.sync {
            flags = flags | OpFlags::FUA;
        }
        let room = self.iter.count().div_ceil(PAGE_SIZE).saturating_add(1).min(BIO_PAGES);
        let mut bio = Bio::new(bdev, op, flags, room, GFP_KERNEL)?;
        bio.set_sector(self.pos >> 9);
        let unit = u64::from(bdev.logical_block_size());
        while let Some((part, len)) = self.iter.next_part().filter(|part| part.1 != 0) {
            let at = part.addr();
            let len = len.min(PAGE_SIZE - at % PAGE_SIZE);
            if bio.segments().len() >= room {
                if bio.len().is_multiple_of(unit) {
                    break;
                }
                // Pieces smaller than a block: room for the block's rest.
                bio.reserve(1, GFP_KERNEL)?;
            }
            // The device writes to memory when the program reads.
            let page = mm.pin_page(at, !self.write)?;
            bio.add_page(page, (at % PAGE_SIZE) as u32, len as u32)?;
            self.iter.advance(len);
        }
        if self.write {
            task_io::count(|io| io.write_bytes.add(bio.len()));
        }
        Ok(bio)
    }
}

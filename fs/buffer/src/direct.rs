// SPDX-License-Identifier: GPL-2.0
//! Transfers between a program's own pages and a device, past any cache: bios are made of the pages behind the program's memory, which
//! are held until the device is done. The submitter waits for the end ([`Direct::wait`]), or goes on and somebody is told
//! ([`Direct::submit`]). For device files and for files of file systems on devices (`O_DIRECT`).
//!
//! The kernel's own memory (a loop device's) need not be pages: its bytes go through pages of the transfer's, and the submitter waits
//! ([`Direct::wait_into`]). Those are had without reclaim's writing, which may wait for that loop device.
//!
//! What is left to do at the end and may sleep (marking blocks written, dropping cached pages that are old now, waiting for stable
//! storage) is an [`Ending`]; a worker of the device does it ([`Endings`]). All transfers that ended meanwhile are settled before the
//! first of them waits for stable storage, so that one commit serves them.
//!
//! Locks: none while memory is pinned, so the caller holds none that a page fault takes; spin locks for handing over (interrupts off),
//! not nested.

use block::{Bio, BioEnd, BlockDevice, EndIo, Op, OpFlags, Plug, submit_bio};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::{GFP_KERNEL, GFP_NOIO};
use kalloc::{Arc, KBox, KVec};
use locking::{SetOnce, SpinLock};
use mm::{Mm, pin};
use mm_alloc::{PAGE_SIZE, Page};
use sync::{Completion, WaitQueue};
use vfs::IovIter;
use vfs::kiocb::IoDone;
use workqueue::Work;

/// Most pages of one bio.
const BIO_PAGES: usize = 256;

/// What a transfer leaves to do at its end. It is dropped, in any context, before anybody hears of the end.
pub trait Ending: Send + Sync {
    /// Whether there is anything to do but to tell `result`. Any context.
    fn needs_task(&self, result: Result<usize>) -> bool;

    /// What was moved becomes part of the file; the result that is told. May sleep, takes no lock that is held by who waits for the
    /// transfer.
    fn settle(&mut self, result: Result<usize>) -> Result<usize>;

    /// Whether [`Self::sync`] is to be called.
    fn wants_sync(&self) -> bool {
        false
    }

    /// What was moved gets to stable storage. May sleep.
    fn sync(&mut self) -> Result {
        Ok(())
    }
}

/// Does what there is to do in a task.
pub fn conclude(end: &mut dyn Ending, result: Result<usize>) -> Result<usize> {
    let done = end.settle(result)?;
    if end.wants_sync() {
        end.sync()?;
    }
    Ok(done)
}

/// What is left to do, who is told, and who does it if it sleeps.
type Parts = (KBox<dyn Ending>, KBox<dyn IoDone>, Arc<Endings>);

/// The end of a transfer that somebody is told of.
struct Tail {
    /// Its parts; it is allocated before they are there.
    parts: Option<Parts>,
    /// Pages of files that the device wrote to.
    cached: KVec<Page>,
    result: Result<usize>,
    next: Option<KBox<Tail>>,
}

/// The device wrote to pages of files that programs have mapped: those that were written back meanwhile are dirty again. May sleep.
fn dirty(cached: &mut KVec<Page>) {
    cached.drain_all().filter(pin::is_clean).for_each(|page| pin::dirty_page(&page));
}

impl Tail {
    fn tell(mut self: KBox<Self>) {
        if let Some((end, done, queue)) = self.parts.take() {
            // Whoever hears of it may let go of the file, and that of the file system: neither is in use any more.
            self.cached.clear();
            drop(end);
            drop(queue);
            done.done(self.result);
        }
    }

    /// All bios are done.
    fn end(self: KBox<Self>, may_sleep: bool) {
        match &self.parts {
            Some((end, _, _)) if !end.needs_task(self.result) && !self.cached.iter().any(pin::is_clean) => self.tell(),
            Some((_, _, queue)) if !may_sleep => {
                let queue = queue.clone();
                queue.push(self);
            }
            _ => {
                let mut tail = self;
                let Tail { parts, result, cached, .. } = &mut *tail;
                dirty(cached);
                if let Some((end, _, _)) = parts {
                    *result = conclude(&mut **end, *result);
                }
                tail.tell();
            }
        }
    }
}

/// The transfers of a device that a task is to end.
pub struct Endings {
    /// Last first.
    list: SpinLock<Option<KBox<Tail>>>,
    work: SetOnce<Arc<Work>>,
}

impl Endings {
    /// Nothing to do yet. ENOMEM. May sleep.
    pub fn new() -> Result<Arc<Self>> {
        let endings = Arc::new(Self { list: SpinLock::new(None), work: SetOnce::new() }, GFP_KERNEL)?;
        let weak = Arc::downgrade(&endings);
        let work = Work::new(move || {
            // Who is told at the end holds the file, and that holds this until then.
            if let Some(endings) = weak.upgrade() {
                endings.run();
            }
        })?;
        // New, so it is empty.
        drop(endings.work.set(work));
        Ok(endings)
    }

    fn push(&self, mut tail: KBox<Tail>) {
        {
            let mut list = self.list.lock_irqsave();
            tail.next = list.take();
            *list = Some(tail);
        }
        if let Some(work) = self.work.get() {
            work.queue();
        }
    }

    fn run(&self) {
        let mut list = self.list.lock_irqsave().take();
        // First in, first out.
        let mut first = None;
        while let Some(mut tail) = list {
            list = tail.next.take();
            tail.next = first;
            first = Some(tail);
        }
        let mut synced = None;
        while let Some(mut tail) = first {
            first = tail.next.take();
            let Tail { parts, result, cached, .. } = &mut *tail;
            dirty(cached);
            let Some((end, _, _)) = parts else { continue };
            *result = end.settle(*result);
            if result.is_ok() && end.wants_sync() {
                tail.next = synced;
                synced = Some(tail);
            } else {
                tail.tell();
            }
        }
        while let Some(mut tail) = synced {
            synced = tail.next.take();
            let Tail { parts, result, .. } = &mut *tail;
            if let Some((end, _, _)) = parts
                && let Err(error) = end.sync()
            {
                *result = Err(error);
            }
            tail.tell();
        }
    }
}

/// How many transfers of a file (or a file system) are on their way: who takes blocks away waits until there are none.
pub struct InFlight {
    count: AtomicU32,
    waiters: WaitQueue,
}

impl InFlight {
    /// None.
    #[track_caller]
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), waiters: WaitQueue::new() }
    }

    /// One more.
    pub fn begin(&self) {
        self.count.fetch_add(1, SeqCst);
    }

    /// One is over. Any context.
    pub fn end(&self) {
        if self.count.fetch_sub(1, SeqCst) == 1 {
            self.waiters.wake_up_all();
        }
    }

    /// Waits until there are none; the caller keeps new ones from beginning. May sleep.
    pub fn wait(&self) {
        if self.count.load(SeqCst) != 0 {
            self.waiters.wait_until(|| self.count.load(SeqCst) == 0);
        }
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new()
    }
}

/// A transfer on its way: hears of its bios.
struct Dio {
    /// Bios, and one while they are made.
    left: AtomicUsize,
    bytes: AtomicU64,
    /// What is told at most: the device moves whole sectors, a file may end within one.
    most: u64,
    error: AtomicI32,
    tail: SpinLock<Option<KBox<Tail>>>,
    waiter: Completion,
}

impl Dio {
    fn result(&self) -> Result<usize> {
        match self.error.load(Acquire) {
            0 => Ok(self.bytes.load(Acquire).min(self.most) as usize),
            errno => Err(Error::from_errno(errno)),
        }
    }

    fn put(&self, may_sleep: bool) {
        if self.left.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let tail = self.tail.lock_irqsave().take();
        match tail {
            None => self.waiter.complete(),
            Some(mut tail) => {
                tail.result = self.result();
                tail.end(may_sleep);
            }
        }
    }
}

impl EndIo for Dio {
    fn end_io(&self, bio: KBox<Bio>) {
        match bio.status() {
            Ok(()) => {
                self.bytes.fetch_add(bio.len(), AcqRel);
            }
            Err(error) => {
                let _ = self.error.compare_exchange(0, error.to_errno(), AcqRel, Relaxed);
            }
        }
        // The pages go before anybody hears of it.
        drop(bio);
        self.put(false);
    }
}

/// Whether all of the program's memory is aligned as `bdev` wants it: addresses for its memory access, lengths to whole sectors. False for
/// the kernel's own memory.
pub fn is_aligned(bdev: &BlockDevice, iter: &IovIter<'_>) -> bool {
    let limits = bdev.disk().limits();
    iter.user_alignment().is_some_and(|(addresses, lengths)| {
        addresses & limits.dma_alignment as usize == 0 && lengths & (limits.logical_block_size as usize - 1) == 0
    })
}

/// A transfer that is being made. It ends with [`Self::wait`] or [`Self::submit`], also if something failed.
pub struct Direct<'a> {
    bdev: &'a Arc<BlockDevice>,
    op: Op,
    flags: OpFlags,
    mm: Option<Arc<Mm>>,
    dio: Arc<Dio>,
    tail: Option<KBox<Tail>>,
    /// What is read for the kernel itself, in order: pages of the transfer's own, or zeros; and how much of each.
    own: KVec<(Option<Page>, usize)>,
    /// Pages of files that the device writes to.
    cached: KVec<Page>,
    plug: Option<Plug>,
}

impl<'a> Direct<'a> {
    /// Nothing yet; at most `most` bytes are told of. `fua`: a write that is to be on stable storage when it is done. `told`: the end is to
    /// be told. ENOMEM. May sleep.
    pub fn new(bdev: &'a Arc<BlockDevice>, write: bool, fua: bool, most: usize, told: bool) -> Result<Self> {
        let (op, mut flags) = if write { (Op::Write, OpFlags::SYNC) } else { (Op::Read, OpFlags::SYNC) };
        if fua {
            flags = flags | OpFlags::FUA;
        }
        let tail = match told {
            true => Some(KBox::new(Tail { parts: None, cached: KVec::new(), result: Ok(0), next: None }, GFP_KERNEL)?),
            false => None,
        };
        let dio = Dio {
            left: AtomicUsize::new(1),
            bytes: AtomicU64::new(0),
            most: most as u64,
            error: AtomicI32::new(0),
            tail: SpinLock::new(None),
            waiter: Completion::new(),
        };
        let dio = Arc::new(dio, GFP_KERNEL)?;
        let plug = (most > PAGE_SIZE).then(Plug::start);
        let mm = mm::current_mm();
        Ok(Self { bdev, op, flags, mm, dio, tail, own: KVec::new(), cached: KVec::new(), plug })
    }

    /// The submitter will look for the end itself ([`BlockDevice::poll`]).
    pub fn set_polled(&mut self) {
        self.flags = self.flags | OpFlags::POLLED;
    }

    /// Sends the next `len` bytes of memory, whole sectors, from or to the device's `sector`. An error is the transfer's
    /// ([`Self::fail`] is for the caller). May sleep, and takes page faults.
    pub fn send(&mut self, iter: &mut IovIter<'_>, mut sector: u64, len: usize) -> Result {
        let mut left = len;
        while left != 0 {
            let mut bio = self.bio(iter, sector, left)?;
            let moved = bio.len();
            // A bio has at least a sector, or there is an error.
            left = left.saturating_sub(moved as usize);
            sector = sector.saturating_add(moved >> 9);
            bio.set_end(BioEnd::Shared(self.dio.clone()));
            self.dio.left.fetch_add(1, AcqRel);
            submit_bio(bio);
        }
        Ok(())
    }

    /// The next bio of at most `len` bytes: as many pages as fit, whole sectors.
    fn bio(&mut self, iter: &mut IovIter<'_>, sector: u64, len: usize) -> Result<KBox<Bio>> {
        let room = len.div_ceil(PAGE_SIZE).saturating_add(1).min(BIO_PAGES);
        let mut bio = Bio::new(self.bdev, self.op, self.flags, room, GFP_KERNEL)?;
        bio.set_sector(sector);
        let unit = u64::from(self.bdev.logical_block_size());
        let mut left = len;
        while left != 0 {
            let (at, here) = match iter.next_part() {
                Some((part, here)) => (part.addr(), here),
                None => (0, PAGE_SIZE),
            };
            let here = here.min(PAGE_SIZE - at % PAGE_SIZE).min(left);
            if iter.is_empty() || here == 0 {
                // Not as much memory as was said.
                return Err(EFAULT);
            }
            if bio.segments().len() >= room {
                if bio.len().is_multiple_of(unit) {
                    break;
                }
                // Pieces smaller than a sector: room for the sector's rest.
                bio.reserve(1, GFP_KERNEL)?;
            }
            if iter.next_part().is_none() {
                bio.add_page(self.own_page(iter, here)?, 0, here as u32)?;
                left -= here;
                continue;
            }
            // The device writes to memory when the program reads.
            let page = self.mm.as_ref().ok_or(EFAULT)?.pin_page(at, self.op == Op::Read)?;
            if self.op == Op::Read && pin::is_cached(&page) {
                self.cached.push(page.clone(), GFP_KERNEL)?;
            }
            bio.add_page(page, (at % PAGE_SIZE) as u32, here as u32)?;
            iter.advance(here);
            left -= here;
        }
        if self.op == Op::Write {
            task_io::count(|io| io.write_bytes.add(bio.len()));
        }
        Ok(bio)
    }

    /// A page for the next `len` bytes of the kernel's own memory. What is read into it is copied when it is there ([`Self::wait_into`]).
    fn own_page(&mut self, iter: &mut IovIter<'_>, len: usize) -> Result<Page> {
        let page = Page::alloc(GFP_NOIO)?;
        if self.op == Op::Read {
            self.own.push((Some(page.clone()), len), GFP_NOIO)?;
        } else if iter.copy_page_from_iter(&page, 0, len) < len {
            return Err(EFAULT);
        }
        Ok(page)
    }

    /// A hole: the next `len` bytes of memory become zeros. EFAULT. May take page faults.
    pub fn zeros(&mut self, iter: &mut IovIter<'_>, len: usize) -> Result {
        if iter.next_part().is_none() && !iter.is_empty() {
            self.own.push((None, len), GFP_NOIO)?;
        } else if iter.zero(len) < len {
            return Err(EFAULT);
        }
        self.dio.bytes.fetch_add(len as u64, AcqRel);
        Ok(())
    }

    /// The transfer ends with this error, unless it has one.
    pub fn fail(&self, error: Error) {
        let _ = self.dio.error.compare_exchange(0, error.to_errno(), AcqRel, Relaxed);
    }

    /// Waits for the end: how many bytes were moved, or the first error. Sleeps.
    pub fn wait(mut self) -> Result<usize> {
        drop(self.plug.take());
        self.dio.put(true);
        self.dio.waiter.wait_io();
        dirty(&mut self.cached);
        self.dio.result()
    }

    /// As [`Self::wait`], for a read whose memory may be the kernel's.
    pub fn wait_into(mut self, to: &mut IovIter<'_>) -> Result<usize> {
        let own = core::mem::take(&mut self.own);
        let done = self.wait()?;
        let mut left = done;
        for (page, len) in &own {
            let here = left.min(*len);
            let copied = match page {
                Some(page) => to.copy_page_to_iter(page, 0, here),
                None => to.zero(here),
            };
            if copied < here {
                return Err(EFAULT);
            }
            left -= here;
        }
        Ok(done)
    }

    /// Goes on without the caller, who gave a program's memory: when all is done, `end` does what is left, in a worker of `queue` if it
    /// sleeps, and `done` is told. If it is done already that happens here, so the caller holds no locks.
    pub fn submit(mut self, end: KBox<dyn Ending>, done: KBox<dyn IoDone>, queue: &Arc<Endings>) {
        let Some(mut tail) = self.tail.take() else {
            // Made for a waiter.
            let mut end = end;
            let result = conclude(&mut *end, self.wait());
            drop(end);
            return done.done(result);
        };
        tail.parts = Some((end, done, queue.clone()));
        tail.cached = core::mem::take(&mut self.cached);
        *self.dio.tail.lock_irqsave() = Some(tail);
        drop(self.plug.take());
        self.dio.put(true);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(buffer_direct)]
mod tests {
    use super::*;

    /// What happened, in order: a digit for who, a letter for what.
    struct Log {
        said: SpinLock<KVec<(u8, u8)>>,
        told: Completion,
    }

    impl Log {
        fn say(&self, who: u8, what: u8) {
            // Room was made for all.
            let _ = self.said.lock_irqsave().push_within_capacity((who, what));
        }
    }

    struct End(u8, Arc<Log>);

    impl Ending for End {
        fn needs_task(&self, result: Result<usize>) -> bool {
            result.is_ok()
        }

        fn settle(&mut self, result: Result<usize>) -> Result<usize> {
            self.1.say(self.0, b's');
            result
        }

        fn wants_sync(&self) -> bool {
            self.0 != 1
        }

        fn sync(&mut self) -> Result {
            self.1.say(self.0, b'y');
            Err(ENOSPC)
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            self.1.say(self.0, b'd');
        }
    }

    struct Told(u8, Arc<Log>);

    impl IoDone for Told {
        fn done(self: KBox<Self>, result: Result<usize>) {
            self.1.say(self.0, if result.is_ok() { b't' } else { b'e' });
            self.1.told.complete();
        }
    }

    fn tail(who: u8, log: &Arc<Log>, queue: &Arc<Endings>, result: Result<usize>) -> Result<KBox<Tail>> {
        let end: KBox<dyn Ending> = KBox::new(End(who, log.clone()), GFP_KERNEL)?;
        let done: KBox<dyn IoDone> = KBox::new(Told(who, log.clone()), GFP_KERNEL)?;
        let parts = Some((end, done, queue.clone()));
        Ok(KBox::new(Tail { parts, cached: KVec::new(), result, next: None }, GFP_KERNEL)?)
    }

    #[test]
    fn ends_are_settled_before_they_are_synced_and_told() -> Result {
        let room = KVec::with_capacity(32, GFP_KERNEL)?;
        let log = Arc::new(Log { said: SpinLock::new(room), told: Completion::new() }, GFP_KERNEL)?;
        let queue = Endings::new()?;
        // Not yet: the worker is to find all three.
        for who in [0, 1, 2] {
            let mut tail = tail(who, &log, &queue, Ok(4096))?;
            let mut list = queue.list.lock_irqsave();
            tail.next = list.take();
            *list = Some(tail);
        }
        queue.run();
        (0..3).for_each(|_| log.told.wait());
        let all = b"0s1s1d1t2s2y2d2e0y0d0e";
        let said = core::mem::take(&mut *log.said.lock_irqsave());
        assert!(said.iter().map(|(who, what)| [who + b'0', *what]).eq(all.as_chunks::<2>().0.iter().copied()));
        Ok(())
    }

    #[test]
    fn a_worker_does_what_an_interrupt_cannot() -> Result {
        let room = KVec::with_capacity(32, GFP_KERNEL)?;
        let log = Arc::new(Log { said: SpinLock::new(room), told: Completion::new() }, GFP_KERNEL)?;
        let queue = Endings::new()?;
        tail(1, &log, &queue, Ok(512))?.end(false);
        log.told.wait();
        // Nothing to do for an error.
        tail(2, &log, &queue, Err(EIO))?.end(false);
        assert!(log.told.try_wait());
        // In a task all is done at once.
        tail(3, &log, &queue, Ok(0))?.end(true);
        assert!(log.told.try_wait());
        let all = b"1s1d1t2d2e3s3y3d3e";
        let said = core::mem::take(&mut *log.said.lock_irqsave());
        assert!(said.iter().map(|(who, what)| [who + b'0', *what]).eq(all.as_chunks::<2>().0.iter().copied()));
        Ok(())
    }

    #[test]
    fn who_waits_for_those_on_their_way_sees_none() {
        let flight = InFlight::new();
        flight.begin();
        flight.begin();
        flight.end();
        assert_eq!(flight.count.load(SeqCst), 1);
        flight.end();
        flight.wait();
    }
}

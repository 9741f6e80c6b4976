// SPDX-License-Identifier: GPL-2.0
//! `Mounted`: what a mounted file system consists of, and what its parts ask of each other.

use crate::bdev::Device;
use crate::health::Policy;
use crate::journal::{Journal, Listener};
use crate::node::{Node, Shared};
use crate::options::{Options, ask};
use crate::show::Shown;
use crate::store::{Base, KernelStore};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::{Error, Result};
use ext4_core::{Fs, Tx};
use ext4_format::inode::flag;
use ext4_store::Store;
use jbd2::{OrderedRange, Tid};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, WeakArc};
use kernel::filesystem::buffer::direct::InFlight;
use kernel::filesystem::cred;
use kernel::filesystem::locking::{SetOnce, SpinLock};
use kernel::filesystem::mm::BackingDev;
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::sync::WaitQueue;
use kernel::filesystem::vfs::{Dev, Inode, SuperBlock, SuperDevice};

/// A mounted file system.
pub(crate) struct Mounted {
    pub(crate) core: KBox<Fs<KernelStore>>,
    pub(crate) base: Arc<Base>,
    options: SpinLock<Options>,
    /// Those that operations ask for (`ask`).
    asked: AtomicU32,
    device: Arc<dyn SuperDevice>,
    pub(crate) sb: SetOnce<WeakArc<SuperBlock>>,
    /// Somebody makes it larger.
    pub(crate) resizing: AtomicBool,
    /// `FIFREEZE` came: writers wait.
    frozen: AtomicBool,
    /// Blocks get their place when they are written back (`delalloc`).
    delayed: AtomicBool,
    /// Who may use blocks that are kept for root besides root: a user, and a group if not 0.
    reserved_for: [AtomicU32; 2],
    thawed: WaitQueue,
    /// Direct writes on their way, which `FIFREEZE` waits for.
    pub(crate) direct: InFlight,
    /// It was clean when it was last made writable.
    pub(crate) was_valid: AtomicBool,
    /// It was writable once.
    pub(crate) was_writable: AtomicBool,
    /// The process id of the journal's thread, 0 without one.
    pub(crate) journal_task: AtomicU32,
    /// Sectors that were written to the device before, and KiB in the file system's life.
    sectors_before: u64,
    kbytes_before: u64,
    /// The thread of multiple-mount protection, while the file system may be written.
    pub(crate) beat: SpinLock<Option<crate::mmp::Beating>>,
    /// What `/sys` and `/proc` have of it.
    pub(crate) shown: SpinLock<Option<Shown>>,
}

impl Mounted {
    pub(crate) fn new(
        core: KBox<Fs<KernelStore>>,
        base: Arc<Base>,
        options: Options,
        device: Arc<dyn SuperDevice>,
    ) -> Self {
        let sectors_before = written_sectors(&base);
        let kbytes_before = core.with_super(|sb| sb.kbytes_written.get());
        Self {
            was_valid: AtomicBool::new(false),
            was_writable: AtomicBool::new(false),
            journal_task: AtomicU32::new(0),
            sectors_before,
            kbytes_before,
            beat: SpinLock::new(None),
            shown: SpinLock::new(None),
            core,
            base,
            delayed: AtomicBool::new(options.delalloc),
            reserved_for: [options.resuid, options.resgid].map(AtomicU32::new),
            asked: AtomicU32::new(options.bits()),
            options: SpinLock::new(options),
            device,
            sb: SetOnce::new(),
            resizing: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            thawed: WaitQueue::new(),
            direct: InFlight::new(),
        }
    }

    /// Waits while the file system is frozen: what needs no operation at once must not change pages either.
    #[inline]
    pub(crate) fn wait_thawed(&self) {
        if self.frozen.load(Ordering::Acquire) {
            self.thawed.wait_until(|| !self.frozen.load(Ordering::Acquire));
        }
    }

    /// Whether the data of a file with these flags on the disk goes through the journal.
    pub(crate) fn journals_data(&self, flags: u32) -> bool {
        let wanted = self.has(ask::JOURNAL) || flags & flag::JOURNAL_DATA != 0;
        wanted && self.journal().is_some()
    }

    /// KiB written since it was mounted.
    pub(crate) fn session_kbytes(&self) -> u64 {
        written_sectors(&self.base).saturating_sub(self.sectors_before) / 2
    }

    /// KiB written since it was made.
    pub(crate) fn lifetime_kbytes(&self) -> u64 {
        self.kbytes_before.saturating_add(self.session_kbytes())
    }

    /// For a direct write: the file system is not frozen while the result is there. May sleep; no lock of an inode is held.
    pub(crate) fn writing_direct(&self) -> Writing<'_> {
        loop {
            self.wait_thawed();
            self.direct.begin();
            let writing = Writing(self);
            // Either this is seen here, or who freezes sees that there is one more.
            if !self.frozen.load(Ordering::SeqCst) {
                return writing;
            }
        }
    }

    /// Lets writers in again, or keeps them out.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
        if !frozen {
            self.thawed.wake_up_all();
        }
    }

    /// Says that nobody has the file system any more, if it is protected (`mmp`).
    pub(crate) fn end_beat(&self) {
        let beat = self.beat.lock().take();
        // Without the lock: the thread is waited for.
        drop(beat);
    }

    /// How quotas are kept, as messages say it: with the journal, or past it.
    pub(crate) fn quota_mode(&self) -> &'static str {
        match (self.core.has_quotas(), self.journal()) {
            (false, _) => "none",
            (true, Some(_)) => "journalled",
            (true, None) => "writeback",
        }
    }

    /// The options in force.
    pub(crate) fn options(&self) -> Options {
        *self.options.lock()
    }

    /// Whether an option of `ask` is on.
    #[inline]
    pub(crate) fn has(&self, option: u32) -> bool {
        self.asked.load(Ordering::Relaxed) & option != 0
    }

    pub(crate) fn set_options(&self, options: Options) {
        *self.options.lock() = options;
        self.delayed.store(options.delalloc, Ordering::Relaxed);
        self.asked.store(options.bits(), Ordering::Relaxed);
        for (place, id) in self.reserved_for.iter().zip([options.resuid, options.resgid]) {
            place.store(id, Ordering::Relaxed);
        }
        self.base.health.set_policy(options.errors);
    }

    /// Whether blocks get their place when they are written back.
    #[inline]
    pub(crate) fn delays(&self) -> bool {
        self.delayed.load(Ordering::Relaxed)
    }

    /// The device of the log, if it has one of its own.
    pub(crate) fn log_dev(&self) -> Option<Dev> {
        self.device.as_any().downcast_ref::<Device>().and_then(Device::log_dev)
    }

    /// The log's name: of its device, or of its inode on the file system's.
    pub(crate) fn journal_name(&self) -> Result<KString> {
        let log = self.device.as_any().downcast_ref::<Device>().and_then(Device::log_name);
        match log {
            Some(name) => Ok(name?),
            None => {
                let number = ext4_format::inode::ino::JOURNAL;
                Ok(KString::from_fmt(format_args!("{}-{number}", self.base.health.name), GFP_KERNEL)?)
            }
        }
    }

    /// The device, as the page cache knows it.
    pub(crate) fn bdi(&self) -> &Arc<BackingDev> {
        self.device.bdi()
    }

    /// Whether the device cannot be written.
    pub(crate) fn bdev_read_only(&self) -> bool {
        self.base.cache.device.bdev.is_read_only()
    }

    /// The journal.
    pub(crate) fn journal(&self) -> Option<&Arc<Journal>> {
        self.base.journal.get()
    }

    /// Whether the current task may use blocks that are kept for root.
    pub(crate) fn is_privileged(&self) -> bool {
        let [resuid, resgid] = self.reserved_for.each_ref().map(|id| id.load(Ordering::Relaxed));
        let Ok(cred) = cred::current_cred() else { return false };
        cred.fsuid == resuid || (resgid != 0 && cred.in_group(resgid)) || cred.capable(cred::CAP_SYS_RESOURCE)
    }

    /// Runs an operation on behalf of the current task. With blocks kept back until a commit, ENOSPC is only believed after it.
    pub(crate) fn run<R>(&self, credits: u32, mut f: impl FnMut(&mut Tx<KernelStore>) -> Result<R>) -> Result<R> {
        let privileged = self.is_privileged();
        let result = self.core.run(credits, privileged, &mut f);
        match (result, self.journal()) {
            (Err(error), Some(journal)) if error == errno::code::ENOSPC && self.core.has_pending() => {
                journal.commit_all()?;
                self.core.run(credits, privileged, &mut f)
            }
            (result, _) => result,
        }
    }

    /// Has the operation wait until its changes are on the disk, if `sync` says so.
    pub(crate) fn sync_if(&self, tx: &mut Tx<KernelStore>, sync: bool) {
        if sync {
            self.core.store.set_sync(&mut tx.handle);
        }
    }

    /// The transaction of an operation under way.
    pub(crate) fn tid(&self, tx: &Tx<KernelStore>) -> Tid {
        self.core.store.tid(&tx.handle)
    }

    /// A file whose data is inside its inode gets a block for it: the data must be where pages can be written back to.
    pub(crate) fn leave_inline(&self, shared: &Shared) -> Result {
        let credits = self.core.credits_for_map(&shared.tree.read().inode) + 8;
        self.run(credits, |tx| {
            let mut tree = shared.tree.write();
            if !tree.inode.is_inline() {
                shared.count(&tree);
                return Ok(());
            }
            let left =
                self.core.inline_leave(tx, &mut tree.inode, |tx, block, data| self.put_first(shared, tx, block, data));
            shared.note(self.tid(tx), true);
            shared.count(&tree);
            left
        })
    }

    /// Writes the content of a file that was inside its inode to its first block.
    fn put_first(&self, shared: &Shared, tx: &mut Tx<KernelStore>, block: u64, data: &[u8]) -> Result {
        let mut bytes = kalloc::KVec::from_elem(0u8, self.core.geo.block_size, kalloc::flags::GFP_NOFS)?;
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = *from;
        }
        if shared.is_journaled() {
            return crate::journal_data::put(self, tx, block, |to| {
                to.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
            });
        }
        jbd2::BlockDevice::write(&self.base.cache.device, block, &bytes, jbd2::WriteFlags::default())
    }

    /// Changes the superblock on the disk at once, past the journal, which must not have it.
    pub(crate) fn past_journal(&self, change: impl FnOnce(&mut ext4_format::SuperBlock)) -> Result {
        let was = self.base.journaling.swap(false, Ordering::AcqRel);
        let done = self.core.run(4, true, |tx| self.core.update_super(tx, change));
        self.base.journaling.store(was, Ordering::Release);
        done?;
        self.base.cache.sync()?;
        self.base.cache.device.flush_cache()
    }

    /// The superblock of a read-only file system may have been changed on the disk: by e2fsck.
    pub(crate) fn reread_super(&self) {
        let Some(device) = self.device.as_any().downcast_ref::<Device>() else { return };
        if let Ok(disk) = crate::mount::read_super(device, true) {
            self.core.refresh_super(&disk);
        }
    }

    /// Notes errors that were found in the superblock, and brings its counts up to date.
    pub(crate) fn sync_super(&self) -> Result {
        let record = core::mem::take(&mut *self.base.health.record.lock());
        let done = self.core.run(8, true, |tx| {
            if record.count != 0 {
                self.core.update_super(tx, |sb| crate::super_block::note_errors(sb, &record))?;
            }
            let kbytes = self.lifetime_kbytes();
            self.core.update_super(tx, |sb| sb.kbytes_written.set(kbytes))?;
            self.core.sync_super(tx)
        });
        if done.is_err() {
            // They wait for the next time.
            self.base.health.record.lock().put_back(record);
        }
        done
    }
}

/// A direct write is on its way.
pub(crate) struct Writing<'a>(&'a Mounted);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.direct.end();
    }
}

/// Sectors written to the device so far.
fn written_sectors(base: &Base) -> u64 {
    base.cache.device.bdev.totals().sectors.get(1).copied().unwrap_or(0)
}

impl Listener for Mounted {
    fn committed(&self, tid: Tid) {
        let discard = self.has(ask::DISCARD);
        self.core.committed(tid, |block, count| {
            if discard {
                let device = &self.base.cache.device;
                let sectors = device.sector(count.into());
                // What the device cannot forget it keeps.
                let _ = kernel::filesystem::block::issue_discard(&device.bdev, device.sector(block), sectors);
            }
        });
    }

    fn aborted(&self, error: Error) {
        kernel::pr_crit!("EXT4-fs ({}): Detected aborted journal ({error})\n", self.base.health.name);
        self.base.health.kill();
        match self.base.health.policy() {
            // Somebody asked for it: no error.
            _ if self.base.health.is_shut_down() => {}
            Policy::Panic => self.base.health.panic(),
            // Nothing can be changed any more, whatever the policy.
            Policy::Continue | Policy::RemountRo => {
                if let Some(sb) = self.sb.get().and_then(WeakArc::upgrade) {
                    kernel::pr_crit!("EXT4-fs ({}): Remounting filesystem read-only\n", self.base.health.name);
                    sb.set_rdonly();
                }
            }
        }
    }

    fn wait_data(&self, range: &OrderedRange) -> Result {
        let inode = self.sb.get().and_then(WeakArc::upgrade).and_then(|sb| sb.find_inode(range.ino));
        if let Some(mapping) = inode.as_ref().and_then(|inode| inode.mapping()) {
            let page = PAGE_SIZE as u64;
            mapping.wait_writeback_range(range.from / page, range.to.saturating_sub(1) / page);
        }
        Ok(())
    }
}

/// The node and the mounted file system of an inode.
pub(crate) fn parts(inode: &Inode) -> Result<(&Node, &Mounted)> {
    let node = Node::of(inode)?;
    Ok((node, node.mount()))
}

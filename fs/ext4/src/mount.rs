// SPDX-License-Identifier: GPL-2.0
//! Mounting: the superblock, the journal's recovery, orphans; the types `ext4`, `ext3`, `ext2`.

use crate::bdev::{Device, number_of};
use crate::buffer::Cache;
use crate::device::Blocks;
use crate::fast_commit::FastCommits;
use crate::health::Health;
use crate::journal::{Journal, Sys};
use crate::mounted::Mounted;
use crate::node::new_vfs_inode;
use crate::options::{DataMode, Options};
use crate::recover::finish_last_use;
use crate::show;
use crate::store::{Base, KernelStore};
use crate::super_block::{Ext4Super, apply, apply_quotas};
use core::sync::atomic::AtomicBool;
use errno::Result;
use errno::code::{EACCES, EBUSY, EINVAL, EROFS, ESTALE, EUCLEAN};
use ext4_core::Fs;
use ext4_format::SuperBlock as DiskSuper;
use ext4_format::feature::{incompat, ro_compat};
use jbd2::format::{
    COMPAT_CHECKSUM, INCOMPAT_64BIT, INCOMPAT_ASYNC_COMMIT, INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3, INCOMPAT_FAST_COMMIT,
};
use jbd2::{Config, Geometry, Run};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::ext::ModuleHeader;
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::vfs::super_block::on_device;
use kernel::filesystem::vfs::{Dentry, Dev, FileSystemType, FsContext, SuperBlock, SuperDevice, SuperInit};
use kernel::filesystem::{block, freezer, mm, process, task};
use kernel::prelude::*;

/// `s_magic`.
const MAGIC: u16 = 0xef53;
const ROOT_INO: u32 = ext4_format::inode::ino::ROOT;
const JOURNAL_INO: u32 = ext4_format::inode::ino::JOURNAL;
/// Where the log's superblock has the number of file systems that use it.
const LOG_USERS: usize = 0x40;

/// A type of file system that this driver mounts.
pub(crate) struct Type {
    name: &'static str,
    /// Features that images of this type may have.
    accepts: fn(&DiskSuper) -> bool,
}

fn any(_: &DiskSuper) -> bool {
    true
}

/// ext3: a journal, and nothing of ext4's.
fn is_ext3(sb: &DiskSuper) -> bool {
    sb.has_journal() && has_old_features(sb)
}

/// ext2: nothing of ext4's, and no journal.
fn is_ext2(sb: &DiskSuper) -> bool {
    !sb.has_journal() && has_old_features(sb)
}

fn has_old_features(sb: &DiskSuper) -> bool {
    let known = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
    let ro_known = ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE;
    sb.feature_incompat.get() & !known == 0 && sb.feature_ro_compat.get() & !ro_known == 0
}

/// `ext4`.
pub(crate) static EXT4: Type = Type { name: "ext4", accepts: any };
/// `ext3`.
pub(crate) static EXT3: Type = Type { name: "ext3", accepts: is_ext3 };
/// `ext2`.
pub(crate) static EXT2: Type = Type { name: "ext2", accepts: is_ext2 };

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        self.name
    }

    fn requires_dev(&self) -> bool {
        true
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::Ext4 as kernel::ModuleMetadata>::this_module().header()
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let dev = number_of(context.source)?;
        let rdonly = context.flags & uapi::MS_RDONLY != 0;
        if let Some(sb) = on_device(self, dev) {
            return if sb.is_rdonly() == rdonly { Ok(sb) } else { Err(EBUSY) };
        }
        let device = Device::open(dev, !rdonly)?;
        // An inode that every file system has is said to be free: that is damage.
        let stale = |error| if error == ESTALE { EUCLEAN } else { error };
        let mounted = self.mount(context, &device).map_err(stale);
        if mounted.is_err() {
            device.release();
        }
        mounted
    }
}

impl Type {
    // Stages of their own, each off the stack before the next: the core and the superblock are large values.
    #[inline(never)]
    fn mount(&'static self, context: &FsContext<'_>, device: &Arc<Device>) -> Result<Arc<SuperBlock>> {
        let rdonly = context.flags & uapi::MS_RDONLY != 0;
        let silent = context.flags & uapi::MS_SILENT != 0;
        let disk = read_super(device, silent)?;
        let name = SuperDevice::name(&**device);
        if !(self.accepts)(&disk) {
            if !silent {
                pr_info!("{}: couldn't mount because of unsupported optional features\n", self.name);
            }
            return Err(EINVAL);
        }
        features_ok(&disk, &name, rdonly)?;
        // It asks for that itself.
        let rdonly = rdonly || disk.has_ro_compat(ro_compat::READONLY);
        let options = Options::of_disk(&disk).parse(context)?;
        let block_size = 1024usize << disk.log_block_size.get();
        let blocks = Blocks::new(device.bdev(), block_size)?;
        blocks.set_barrier(options.barrier);
        device.set_blocks(&blocks);
        let memory = mm::meminfo().total as usize * 4096;
        let cache = Cache::new(blocks.clone(), (memory / 16 / block_size).max(256))?;
        let health = Health::new(KString::from_fmt(format_args!("{name}"), GFP_KERNEL)?, options.errors);
        let base = Base { cache: cache.clone(), health, journal: SetOnce::new(), journaling: AtomicBool::new(false) };
        let base = Arc::new(base, GFP_KERNEL)?;
        // Before anything is written, and while the log is replayed; that nobody has it is said if what follows fails.
        let beat = if rdonly || !disk.has_incompat(incompat::MMP) { None } else { protect(&base)? };
        let journal = if disk.has_journal() && !options.noload {
            Some(open_journal(&base, &disk, &options, device, blocks, rdonly)?)
        } else {
            if disk.has_incompat(incompat::RECOVER) && !rdonly {
                pr_err!("EXT4-fs ({name}): required journal recovery suppressed and not mounted read-only\n");
                return Err(EINVAL);
            }
            if let Some(option) = options.of_journal() {
                pr_err!("EXT4-fs ({name}): can't mount with {option}, fs mounted w/o journal\n");
                return Err(EINVAL);
            }
            None
        };
        let core_options = ext4_core::Options {
            read_only: rdonly,
            stripe: options.stripe,
            journal_data: journal.is_some() && options.data == DataMode::Journal,
            ..Default::default()
        };
        let mount = Mounted::new(core_of(&base, core_options)?, base, options, device.clone());
        let mount = Arc::new(mount, GFP_KERNEL)?;
        *mount.beat.lock() = beat;
        let unclean = disk.last_orphan.get() != 0
            || disk.has_ro_compat(ro_compat::ORPHAN_PRESENT)
            || disk.has_incompat(incompat::RECOVER);
        let made = self.build(context, device, &mount, journal, rdonly, unclean);
        if made.is_err()
            && let Some(journal) = mount.journal()
        {
            let _ = journal.close();
        }
        if made.is_err() {
            mount.end_beat();
        }
        made
    }

    /// Makes the super block, and finishes what the last mount left.
    #[inline(never)]
    fn build(
        &'static self,
        context: &FsContext<'_>,
        device: &Arc<Device>,
        mount: &Arc<Mounted>,
        journal: Option<Arc<Journal>>,
        rdonly: bool,
        unclean: bool,
    ) -> Result<Arc<SuperBlock>> {
        let geo = &mount.core.geo;
        let init = SuperInit {
            magic: MAGIC.into(),
            block_size: geo.block_size as u32,
            max_bytes: geo.max_size(geo.extents()),
            // The umask is left to this file system whether ACLs count or not: that may change at a remount.
            flags: context.flags | uapi::MS_POSIXACL | if rdonly { uapi::MS_RDONLY } else { 0 },
        };
        let ops = KBox::new(Ext4Super(mount.clone()), GFP_KERNEL)?;
        let sb = SuperBlock::new_on(self, init, ops, device.clone())?;
        // New cells, set here alone.
        let _ = mount.sb.set(Arc::downgrade(&sb));
        let _ = mount.base.health.sb.set(Arc::downgrade(&sb));
        if let Some(journal) = journal {
            start_journal(mount, &journal)?;
        }
        apply(mount, &mount.options());
        apply_quotas(mount)?;
        let root = mount.core.root()?;
        if !root.is_dir() || root.raw.size == 0 {
            pr_err!("EXT4-fs ({}): corrupt root inode, run e2fsck\n", mount.base.health.name);
            return Err(EUCLEAN);
        }
        finish_last_use(mount, rdonly, unclean)?;
        let root = sb.iget(ROOT_INO.into(), || new_vfs_inode(&sb, mount, root))?;
        sb.set_root(Dentry::new_root(root)?);
        match show::add(mount) {
            Ok(shown) => *mount.shown.lock() = Some(shown),
            Err(error) => pr_warn!("EXT4-fs ({}): no entries in /sys: {error}\n", mount.base.health.name),
        }
        let mode = match mount.journal() {
            Some(_) => mount.options().data.name(),
            None => "without journal",
        };
        let access = if rdonly { "ro" } else { "r/w" };
        let data = if mount.journal().is_some() { " data mode" } else { "" };
        pr_info!(
            "EXT4-fs ({}): mounted filesystem {} {access} with {mode}{data}. Quota mode: {}.\n",
            mount.base.health.name,
            Uuid(&mount.core.with_super(|sb| sb.uuid)),
            mount.quota_mode(),
        );
        Ok(sb)
    }
}

/// A UUID as it is written.
struct Uuid<'a>(&'a [u8; 16]);

impl core::fmt::Display for Uuid<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The core over what is on the disk now.
#[inline(never)]
fn core_of(base: &Arc<Base>, options: ext4_core::Options) -> Result<KBox<Fs<KernelStore>>> {
    Fs::mount_boxed(KernelStore(base.clone()), options)
}

/// Multiple-mount protection, by what the disk says before its log is looked at.
#[inline(never)]
fn protect(base: &Arc<Base>) -> Result<Option<crate::mmp::Beating>> {
    let beat = crate::mmp::protect(base, &*core_of(base, ext4_core::Options::before_recovery())?);
    base.cache.drop_unused();
    beat
}

/// Reads the superblock, and looks whether it is one.
#[inline(never)]
pub(crate) fn read_super(device: &Device, silent: bool) -> Result<KBox<DiskSuper>> {
    let name = SuperDevice::name(device);
    let mut bytes = KVec::from_elem(0u8, ext4_format::superblock::SIZE, GFP_KERNEL)?;
    block::read_bytes(device.bdev(), ext4_format::superblock::OFFSET, &mut bytes).inspect_err(|_| {
        pr_err!("EXT4-fs ({name}): unable to read superblock\n");
    })?;
    let disk = DiskSuper::boxed(&bytes)?;
    if disk.magic.get() != MAGIC {
        if !silent {
            pr_err!("VFS: Can't find ext4 filesystem on dev {name}.\n");
        }
        return Err(EINVAL);
    }
    let bits = disk.log_block_size.get();
    if bits > 2 {
        pr_err!("EXT4-fs ({name}): bad block size {}\n", 1024u64.checked_shl(bits).unwrap_or(0));
        return Err(EINVAL);
    }
    Ok(disk)
}

/// Whether all is known that must be to read it, or to write it (one with the feature `read-only` is to be mounted so). `EINVAL`, with
/// what is missing in the log.
pub(crate) fn features_ok(disk: &DiskSuper, name: &dyn core::fmt::Display, rdonly: bool) -> Result {
    let missing = disk.feature_incompat.get() & !incompat::SUPPORTED;
    if missing & incompat::CASEFOLD != 0 {
        pr_err!("EXT4-fs ({name}): Filesystem with casefold feature cannot be mounted without CONFIG_UNICODE\n");
        return Err(EINVAL);
    }
    if missing != 0 {
        pr_err!("EXT4-fs ({name}): Couldn't mount because of unsupported optional features ({missing:x})\n");
        return Err(EINVAL);
    }
    if rdonly {
        return Ok(());
    }
    if disk.has_ro_compat(ro_compat::READONLY) {
        pr_info!("EXT4-fs ({name}): filesystem is read-only\n");
        return Ok(());
    }
    let missing = disk.feature_ro_compat.get() & !ro_compat::SUPPORTED;
    if missing != 0 {
        pr_err!("EXT4-fs ({name}): couldn't mount RDWR because of unsupported optional features ({missing:x})\n");
        return Err(EINVAL);
    }
    Ok(())
}

/// Where the log lies: the runs of the journal's inode.
#[inline(never)]
fn log_runs(core: &Fs<KernelStore>) -> Result<Geometry> {
    let inode = core.inode(JOURNAL_INO)?;
    if !inode.is_regular() || inode.raw.links_count == 0 {
        return Err(EINVAL);
    }
    let blocks = u32::try_from(inode.raw.size >> core.geo.block_bits).map_err(|_| EINVAL)?;
    let mut runs: KVec<Run> = KVec::new();
    let mut at = 0;
    while at < blocks {
        let found = core.map(&inode, at, blocks - at)?;
        let physical = found.block().ok_or(EUCLEAN)?;
        let len = found.len.clamp(1, blocks - at);
        runs.push(Run { logical: at, physical, len }, GFP_KERNEL)?;
        at += len;
    }
    Geometry::new(runs.iter().copied())
}

/// The log on a device of its own, which is claimed, and how its blocks are numbered: those of the log are the device's, but for
/// the journal's superblock, which is block 0.
#[inline(never)]
fn external_log(device: &Device, disk: &DiskSuper, options: &Options, block_size: usize) -> Result<(Geometry, Blocks)> {
    let name = SuperDevice::name(device);
    let of_disk = Dev::decode(disk.journal_dev.get());
    let dev = options.journal_dev.unwrap_or(of_disk);
    let log = Device::open(dev, true).map_err(|error| {
        pr_err!("EXT4-fs: failed to open journal device unknown-block({},{}) {error}\n", dev.major(), dev.minor());
        if error == EACCES { EROFS } else { error }
    })?;
    let made = check_external(&log, disk, block_size);
    match made {
        Ok((geometry, blocks)) => {
            blocks.set_barrier(options.barrier);
            log.set_blocks(&blocks);
            device.set_log(log);
            Ok((geometry, blocks))
        }
        Err(error) => {
            pr_err!("EXT4-fs ({name}): external journal has bad superblock or is another file system's\n");
            log.release();
            Err(error)
        }
    }
}

#[inline(never)]
fn check_external(log: &Device, disk: &DiskSuper, block_size: usize) -> Result<(Geometry, Blocks)> {
    let mut bytes = KVec::from_elem(0u8, ext4_format::superblock::SIZE, GFP_KERNEL)?;
    block::read_bytes(log.bdev(), ext4_format::superblock::OFFSET, &mut bytes)?;
    let sb = DiskSuper::boxed(&bytes)?;
    let bits = block_size.trailing_zeros().saturating_sub(10);
    if sb.magic.get() != MAGIC
        || sb.feature_incompat.get() & incompat::JOURNAL_DEV == 0
        || sb.uuid != disk.journal_uuid
        || sb.log_block_size.get() != bits
    {
        return Err(EINVAL);
    }
    let blocks = Blocks::new(log.bdev(), block_size)?;
    let start = ext4_format::superblock::OFFSET / block_size as u64 + 1;
    let total = u32::try_from(sb.blocks_count().min(blocks.count())).map_err(|_| EINVAL)?;
    // The log's own superblock: a log of several file systems is nobody's.
    block::read_bytes(log.bdev(), start * block_size as u64, &mut bytes)?;
    let users =
        bytes.get(LOG_USERS..).and_then(|rest| rest.first_chunk()).map_or(0, |users| u32::from_be_bytes(*users));
    if users != 1 {
        pr_err!("EXT4-fs: External journal has more than one user (unsupported) - {users}\n");
        return Err(EINVAL);
    }
    let rest = total.checked_sub(1).ok_or(EINVAL)?;
    let runs = [Run { logical: 0, physical: start, len: 1 }, Run { logical: 1, physical: 1, len: rest }];
    Ok((Geometry::new(runs)?, blocks))
}

/// Opens the journal, recovering what is in it.
#[inline(never)]
fn open_journal(
    base: &Arc<Base>,
    disk: &DiskSuper,
    options: &Options,
    device: &Device,
    blocks: Blocks,
    rdonly: bool,
) -> Result<Arc<Journal>> {
    let name = SuperDevice::name(device);
    let recover = disk.has_incompat(incompat::RECOVER);
    if recover && rdonly {
        pr_info!("EXT4-fs ({name}): INFO: recovery required on readonly filesystem\n");
        if device.bdev().is_read_only() {
            pr_err!("EXT4-fs ({name}): write access unavailable, cannot proceed (try mounting with noload)\n");
            return Err(EROFS);
        }
        pr_info!("EXT4-fs ({name}): write access will be enabled during recovery\n");
    }
    let block_size = blocks.block_size;
    let external = disk.journal_inum.get() == 0;
    if !external && (disk.journal_dev.get() != 0 || options.journal_dev.is_some()) {
        pr_err!("EXT4-fs ({name}): filesystem has both journal inode and journal device!\n");
        return Err(EINVAL);
    }
    if options.async_commit && options.data == DataMode::Ordered {
        pr_err!("EXT4-fs ({name}): can't mount with journal_async_commit in data=ordered mode\n");
        return Err(EINVAL);
    }
    let (geometry, blocks) = if external {
        external_log(device, disk, options, block_size)?
    } else {
        let core = core_of(base, ext4_core::Options::before_recovery())?;
        let runs = log_runs(&core).inspect_err(|_| {
            pr_err!("EXT4-fs ({name}): no journal found\n");
        })?;
        (runs, blocks)
    };
    // What was looked at so far may be older than what the log has.
    base.cache.drop_unused();
    let sums = disk.has_metadata_csum();
    let wanted = options.journal_checksum || options.async_commit;
    let mut config = Config {
        commit_interval_ns: u64::from(options.commit) * 1_000_000_000,
        barrier: options.barrier,
        // What the last mount was told is not what this one is. Fast commits are replayed, but not written.
        clear_compat: COMPAT_CHECKSUM,
        clear_incompat: INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3 | INCOMPAT_ASYNC_COMMIT | INCOMPAT_FAST_COMMIT,
        set_compat: if wanted && !sums { COMPAT_CHECKSUM } else { 0 },
        set_incompat: if wanted && sums { INCOMPAT_CSUM_V3 } else { 0 },
        skip: !recover,
        read_only: device.bdev().is_read_only(),
        ..Config::default()
    };
    if disk.has_incompat(incompat::BIT64) {
        config.set_incompat |= INCOMPAT_64BIT;
    }
    if options.async_commit {
        config.set_incompat |= INCOMPAT_ASYNC_COMMIT;
    }
    let sys = Sys::new(blocks, base.cache.clone(), external);
    let mut fast = FastCommits::new(base, disk.inode_size());
    let opened = Journal::open_with(sys, geometry, block_size, config, Some(&mut fast));
    let (journal, _) = opened.inspect_err(|error| pr_err!("EXT4-fs ({name}): error loading journal: {error}\n"))?;
    base.cache.drop_unused();
    Ok(journal)
}

/// Puts the journal into use, with its thread.
#[inline(never)]
fn start_journal(mount: &Arc<Mounted>, journal: &Arc<Journal>) -> Result {
    // New cells, set here alone. The journal does not keep the file system alive, which keeps it.
    let _ = journal.system().listener.set(Arc::downgrade(mount));
    let _ = mount.base.health.journal.set(journal.clone());
    let _ = mount.base.journal.set(journal.clone());
    let name = KString::from_fmt(format_args!("jbd2/{}", mount.journal_name()?), GFP_KERNEL)?;
    journal.begin_thread();
    let of_thread = journal.clone();
    let run = move || {
        // As Linux's: it does not write to a disk that is going to sleep.
        freezer::set_freezable();
        of_thread.run_thread_in(|wait| freezer::freezable(wait));
    };
    match task::kthread_run(name.as_bytes(), run) {
        Ok(thread) => {
            let pid = process::process_of(&thread).map_or(0, |process| process.pid());
            mount.journal_task.store(pid, core::sync::atomic::Ordering::Relaxed);
        }
        Err(error) => {
            journal.no_thread();
            return Err(error);
        }
    }
    mount.base.journaling.store(true, core::sync::atomic::Ordering::Release);
    Ok(())
}

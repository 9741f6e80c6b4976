// SPDX-License-Identifier: GPL-2.0
//! Mounted file systems as the VFS sees them: statfs, sync, remount, unmount.

use crate::health::{Noted, Policy, Record};
use crate::mount::features_ok;
use crate::mounted::Mounted;
use crate::node::{Node, iget};
use crate::options::Options;
use crate::recover::{note_journal_error, recommend_check};
use core::fmt::Write;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EACCES, EINVAL, ERANGE, EROFS, ESTALE};
use ext4_core::{Cursor, Quota, QuotaKind};
use ext4_format::SuperBlock as DiskSuper;
use ext4_format::feature::{incompat, ro_compat};
use kalloc::Arc;
use kernel::filesystem::vfs::handle::FileId;
use kernel::filesystem::vfs::super_block::{QuotaInfo, QuotaLimits};
use kernel::filesystem::vfs::{FsContext, Inode, Kstatfs, SuperBlock, SuperOps};
use kernel::prelude::*;

/// Types of handles.
const FILEID_INO32_GEN: i32 = 1;
const FILEID_INO32_GEN_PARENT: i32 = 2;

/// `s_state`.
pub(crate) const VALID_FS: u16 = 1;
pub(crate) const ERROR_FS: u16 = 2;

/// The file system's part of a super block.
pub(crate) struct Ext4Super(pub(crate) Arc<Mounted>);

/// Puts errors into the superblock.
pub(crate) fn note_errors(sb: &mut DiskSuper, record: &Record) {
    sb.state.set(sb.state.get() | ERROR_FS);
    let code = |noted: &Noted| match noted.report.error {
        errno::code::EBADMSG => 14,
        errno::code::EUCLEAN => 13,
        errno::code::ENOMEM => 3,
        errno::code::EROFS => 10,
        _ => 2,
    };
    let name = |noted: &Noted| {
        let mut text = [0u8; 32];
        for (to, from) in text.iter_mut().zip(noted.report.what.bytes().take(31)) {
            *to = from;
        }
        text
    };
    if let Some(first) = record.first.as_ref().filter(|_| sb.error_count.get() == 0) {
        sb.first_error_time.set(first.time as u32);
        sb.first_error_time_hi = (first.time >> 32) as u8;
        sb.first_error_ino.set(first.report.ino);
        sb.first_error_block.set(first.report.block);
        sb.first_error_func = name(first);
        sb.first_error_errcode = code(first);
    }
    if let Some(last) = &record.last {
        sb.last_error_time.set(last.time as u32);
        sb.last_error_time_hi = (last.time >> 32) as u8;
        sb.last_error_ino.set(last.report.ino);
        sb.last_error_block.set(last.report.block);
        sb.last_error_func = name(last);
        sb.last_error_errcode = code(last);
    }
    sb.error_count.set(sb.error_count.get().saturating_add(record.count));
}

impl Ext4Super {
    /// Marks the file system as in use: it must be recovered (or checked) after a crash from now on.
    pub(crate) fn mark_in_use(mount: &Mounted) -> Result {
        let journal = mount.journal().is_some();
        let now = ext4_store::Store::now(&mount.core.store).sec;
        // Where the log was found this time.
        let log = mount.log_dev();
        mount.core.with_super(|sb| mount.was_valid.store(sb.state.get() & VALID_FS != 0, Ordering::Relaxed));
        mount.was_writable.store(true, Ordering::Relaxed);
        recommend_check(mount);
        mount.past_journal(|sb| {
            if journal {
                sb.feature_incompat.set(sb.feature_incompat.get() | incompat::RECOVER);
            } else {
                sb.state.set(sb.state.get() & !VALID_FS);
            }
            mount.core.orphan_feature(sb, true);
            if let Some(log) = log {
                sb.journal_dev.set(log.encode() as u32);
            }
            sb.mnt_count.set(sb.mnt_count.get().saturating_add(1));
            sb.mtime.set(now as u32);
            sb.mtime_hi = (now >> 32) as u8;
        })
    }

    /// Makes a file system that was mounted read-only writable: with all that a mount for writing asks of it, and does. `EROFS` if it
    /// cannot be written; `EINVAL` if the mount had to leave orphans, which only another mount finishes.
    fn begin_writing(mount: &Mounted) -> Result {
        if mount.base.health.is_dead() {
            return Err(EROFS);
        }
        let name = &mount.base.health.name;
        // What e2fsck did to it meanwhile is true.
        mount.reread_super();
        let asks = mount.core.with_super(|sb| sb.has_ro_compat(ro_compat::READONLY));
        if asks || mount.core.with_super(|sb| features_ok(sb, name, false)).is_err() {
            return Err(EROFS);
        }
        if !mount.core.orphans_empty() {
            pr_warn!(
                "EXT4-fs ({name}): Couldn't remount RDWR because of unprocessed orphan inode list.  \
                 Please umount/remount instead\n"
            );
            return Err(EINVAL);
        }
        mount.core.load_for_writing()?;
        let beat = crate::mmp::protect(&mount.base, &mount.core)?;
        *mount.beat.lock() = beat;
        mount.core.set_read_only(false);
        let begun = note_journal_error(mount).and_then(|()| Self::mark_in_use(mount));
        if begun.is_err() {
            mount.core.set_read_only(true);
            mount.end_beat();
        }
        begun
    }

    /// Brings everything home and marks the file system as clean. After that nothing may be changed.
    fn settle(&self) -> Result {
        let mount = &*self.0;
        if mount.core.read_only() {
            return Ok(());
        }
        mount.core.discard_all();
        let mut result = mount.sync_super();
        if let Some(journal) = mount.journal() {
            result = result.and(journal.flush());
        }
        if mount.base.health.is_dead() {
            return result.and(Err(errno::code::EIO));
        }
        result?;
        // Past the journal, which is empty.
        let valid = mount.was_valid.load(Ordering::Relaxed);
        mount.past_journal(|sb| {
            sb.feature_incompat.set(sb.feature_incompat.get() & !incompat::RECOVER);
            // One that nobody checked after a crash without a journal stays unclean.
            if valid && sb.state.get() & ERROR_FS == 0 {
                sb.state.set(sb.state.get() | VALID_FS);
            }
            mount.core.orphan_feature(sb, false);
        })
    }
}

impl SuperOps for Ext4Super {
    fn statfs(&self, _sb: &SuperBlock, out: &mut Kstatfs) -> Result {
        let numbers = self.0.core.statfs();
        out.bsize = self.0.core.geo.block_size as u64;
        out.blocks = if self.0.options().minixdf { self.0.core.blocks_count() } else { numbers.blocks };
        out.bfree = numbers.free;
        out.bavail = numbers.available;
        out.files = numbers.inodes;
        out.ffree = numbers.free_inodes;
        Ok(())
    }

    fn uuid(&self) -> [u8; 16] {
        self.0.core.with_super(|sb| sb.uuid)
    }

    fn file_id(&self, inode: &Inode) -> Option<FileId> {
        let generation = Node::of(inode).ok()?.shared.tree.read().inode.raw.generation;
        Some(FileId::new(FILEID_INO32_GEN, &[inode.ino as u32, generation]))
    }

    fn inode_by_id(&self, sb: &Arc<SuperBlock>, kind: i32, words: &[u32]) -> Result<Arc<Inode>> {
        let &[number, generation, ..] = words else { return Err(ESTALE) };
        if !matches!(kind, FILEID_INO32_GEN | FILEID_INO32_GEN_PARENT) || !self.0.core.valid_ino(number) {
            return Err(ESTALE);
        }
        let inode = iget(sb, &self.0, number)?;
        let own = Node::of(&inode)?.shared.tree.read().inode.raw.generation;
        // As in Linux 0 is any.
        if generation == 0 || generation == own { Ok(inode) } else { Err(ESTALE) }
    }

    fn place_of(&self, dir: &Arc<Inode>) -> Result<(Arc<Inode>, KVec<u8>)> {
        let up = self.0.core.lookup(&Node::of(dir)?.shared.tree.read().inode, b"..")?;
        let (number, _) = up.ok_or(ESTALE)?;
        let parent = iget(dir.sb(), &self.0, number)?;
        let (mut name, mut cursor) = (KVec::new(), Cursor::default());
        {
            let tree = Node::of(&parent)?.shared.tree.read();
            let mut copied = Ok(());
            self.0.core.list(&tree.inode, &mut cursor, |found| {
                let here = u64::from(found.ino) == dir.ino && !matches!(found.name, b"." | b"..");
                if here {
                    copied = name.extend_from_slice(found.name, GFP_KERNEL);
                }
                !here
            })?;
            copied?;
        }
        if name.is_empty() { Err(ESTALE) } else { Ok((parent, name)) }
    }

    fn sync(&self, _sb: &SuperBlock, wait: bool) -> Result {
        let mount = &*self.0;
        if mount.core.read_only() {
            return Ok(());
        }
        let Some(journal) = mount.journal() else {
            mount.sync_super()?;
            return mount.base.cache.sync();
        };
        if wait {
            if mount.base.health.record.lock().count != 0 {
                mount.sync_super()?;
            }
            journal.commit_all()
        } else {
            journal.start_commit_running();
            Ok(())
        }
    }

    fn write_inode(&self, inode: &Inode, wait: bool) -> Result {
        crate::inode_ops::write_attributes(inode, wait)
    }

    fn freeze(&self, sb: &SuperBlock) -> Result {
        self.0.set_frozen(true);
        self.0.direct.wait();
        let result = sb.sync_all().and_then(|()| {
            let Some(journal) = self.0.journal() else { return Ok(()) };
            journal.lock_updates();
            journal.flush().inspect_err(|_| journal.unlock_updates())
        });
        if result.is_err() {
            self.0.set_frozen(false);
        }
        result
    }

    fn unfreeze(&self, _sb: &SuperBlock) -> Result {
        if let Some(journal) = self.0.journal() {
            journal.unlock_updates();
        }
        self.0.set_frozen(false);
        Ok(())
    }

    fn quota_enable(&self, kind: u32, on: bool) -> Result {
        self.0.core.quota_switch(quota_kind(kind)?, self.0.was_writable.load(Ordering::Relaxed), on)
    }

    fn quota_info(&self, kind: u32) -> Result<QuotaInfo> {
        let (space, inodes) = self.0.core.quota_grace(quota_kind(kind)?)?;
        Ok(QuotaInfo { block_grace: space.into(), inode_grace: inodes.into() })
    }

    fn quota_set_info(&self, kind: u32, info: QuotaInfo) -> Result {
        let seconds = |time: u64| u32::try_from(time).map_err(|_| ERANGE);
        self.0.core.quota_set_grace(quota_kind(kind)?, seconds(info.block_grace)?, seconds(info.inode_grace)?)
    }

    fn quota_get(&self, kind: u32, id: u32) -> Result<QuotaLimits> {
        self.0.core.quota_get(quota_kind(kind)?, id).map(limits)
    }

    fn quota_next(&self, kind: u32, id: u32) -> Result<(u32, QuotaLimits)> {
        self.0.core.quota_next(quota_kind(kind)?, id).map(|(id, found)| (id, limits(found)))
    }

    fn quota_set(&self, kind: u32, id: u32, new: &QuotaLimits) -> Result {
        let new = Quota {
            block_hard: new.block_hard,
            block_soft: new.block_soft,
            space: new.space,
            inode_hard: new.inode_hard,
            inode_soft: new.inode_soft,
            inodes: new.inodes,
            block_time: new.block_time,
            inode_time: new.inode_time,
        };
        self.0.core.quota_set(quota_kind(kind)?, id, &new)
    }

    fn show_options(&self, _sb: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        self.0.options().show(self.0.journal().is_some(), out)
    }

    fn remount(&self, sb: &SuperBlock, flags: u32, options: &[u8]) -> Result {
        let mount = &*self.0;
        if flags & uapi::MS_RDONLY == 0 && mount.bdev_read_only() {
            return Err(EACCES);
        }
        let old = mount.options();
        let context = FsContext { source: b"", flags, options };
        if context.iter_options().any(|(key, _)| matches!(key, b"journal_dev" | b"journal_path")) {
            pr_err!("EXT4-fs: Cannot specify journal on remount\n");
            return Err(EINVAL);
        }
        let mut new = old.parse(&context)?;
        if new.journal_checksum != old.journal_checksum {
            let name = &mount.base.health.name;
            pr_err!("EXT4-fs ({name}): changing journal_checksum during remount not supported; ignoring\n");
            new.journal_checksum = old.journal_checksum;
        }
        if new.noload != old.noload
            || new.async_commit != old.async_commit
            || new.data != old.data
            || new.quotas != old.quotas
        {
            return Err(EINVAL);
        }
        let rdonly = flags & uapi::MS_RDONLY != 0;
        if rdonly && !mount.core.read_only() {
            // What an error has ended nothing is written of any more, as it is.
            if !mount.base.health.is_dead() {
                sb.sync_all()?;
                self.settle()?;
            }
            mount.core.set_read_only(true);
            mount.end_beat();
        } else if !rdonly && mount.core.read_only() {
            if new.noload {
                return Err(EROFS);
            }
            Self::begin_writing(mount)?;
        }
        mount.set_options(new);
        apply(mount, &new);
        pr_info!(
            "EXT4-fs ({}): re-mounted {}. Quota mode: {}.\n",
            mount.base.health.name,
            if rdonly { "ro" } else { "r/w" },
            mount.quota_mode(),
        );
        Ok(())
    }

    fn put_super(&self, _sb: &SuperBlock) {
        let mount = &*self.0;
        let shown = mount.shown.lock().take();
        drop(shown);
        if let Err(error) = self.settle() {
            pr_err!("EXT4-fs ({}): Couldn't clean up the journal: {error}\n", mount.base.health.name);
        }
        mount.core.set_read_only(true);
        if let Some(journal) = mount.journal() {
            // Flushed already: this ends the thread.
            let _ = journal.close();
        }
        mount.end_beat();
        pr_info!("EXT4-fs ({}): unmounting filesystem.\n", mount.base.health.name);
    }
}

fn limits(found: Quota) -> QuotaLimits {
    QuotaLimits {
        block_hard: found.block_hard,
        block_soft: found.block_soft,
        space: found.space,
        inode_hard: found.inode_hard,
        inode_soft: found.inode_soft,
        inodes: found.inodes,
        block_time: found.block_time,
        inode_time: found.inode_time,
    }
}

fn quota_kind(kind: u32) -> Result<QuotaKind> {
    match kind {
        0 => Ok(QuotaKind::User),
        1 => Ok(QuotaKind::Group),
        2 => Ok(QuotaKind::Project),
        _ => Err(EINVAL),
    }
}

/// Turns limits on, as the options say. EINVAL for a kind that the file system does not count.
pub(crate) fn apply_quotas(mount: &Mounted) -> Result {
    let wanted = mount.options().quotas;
    for (kind, _) in
        [QuotaKind::User, QuotaKind::Group, QuotaKind::Project].into_iter().zip(wanted).filter(|(_, on)| *on)
    {
        mount.core.quota_enforce(kind, true).map_err(|_| EINVAL)?;
    }
    Ok(())
}

/// Gives the journal and the device what the options say of them.
pub(crate) fn apply(mount: &Mounted, options: &Options) {
    mount.base.cache.device.set_barrier(options.barrier);
    mount.core.set_stripe(options.stripe);
    mount.core.set_max_dir(options.max_dir);
    if let Some(journal) = mount.journal() {
        journal.system().set_barrier(options.barrier);
        journal.set_config(jbd2::Config {
            commit_interval_ns: u64::from(options.commit) * 1_000_000_000,
            min_batch_ns: u64::from(options.min_batch) * 1000,
            max_batch_ns: u64::from(options.max_batch) * 1000,
            barrier: options.barrier,
            ..journal.config()
        });
    }
    debug_assert!(options.errors == mount.base.health.policy() || options.errors != Policy::Panic);
}

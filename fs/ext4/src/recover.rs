// SPDX-License-Identifier: GPL-2.0
//! What the last use of a file system left to be done: orphans, an error that only the log knows of, marks that it is in use. A mount does
//! it, a read-only one too if the device can be written. No locks: nobody else uses the file system yet, or can change it.

use crate::mount::features_ok;
use crate::mounted::Mounted;
use crate::store::KernelStore;
use crate::super_block::{ERROR_FS, VALID_FS};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::EUCLEAN;
use ext4_core::{Fs, Inode};
use ext4_format::feature::{incompat, ro_compat};
use ext4_store::Report;
use kernel::prelude::*;

/// The journal was aborted in the last use: the superblock is to know.
pub(crate) fn note_journal_error(mount: &Mounted) -> Result {
    let Some(journal) = mount.journal() else { return Ok(()) };
    let Some(error) = journal.recorded_error() else { return Ok(()) };
    let name = &mount.base.health.name;
    pr_warn!("EXT4-fs ({name}): Filesystem error recorded from previous mount: {error}\n");
    pr_warn!("EXT4-fs ({name}): Marking fs in need of filesystem check.\n");
    mount.past_journal(|sb| sb.state.set(sb.state.get() | ERROR_FS))?;
    journal.clear_error()
}

/// Says that e2fsck should look at a file system that is about to be written.
pub(crate) fn recommend_check(mount: &Mounted) {
    let now = ext4_store::Store::now(&mount.core.store).sec;
    let why = mount.core.with_super(|sb| {
        let (state, most) = (sb.state.get(), sb.max_mnt_count.get().cast_signed());
        let interval = i64::from(sb.checkinterval.get());
        let last = i64::from(sb.lastcheck.get()) | i64::from(sb.lastcheck_hi) << 32;
        match () {
            () if state & VALID_FS == 0 => Some("mounting unchecked fs"),
            () if state & ERROR_FS != 0 => Some("mounting fs with errors"),
            () if most > 0 && sb.mnt_count.get() >= most.cast_unsigned() => Some("maximal mount count reached"),
            () if interval != 0 && last.saturating_add(interval) <= now => Some("checktime reached"),
            () => None,
        }
    });
    if let Some(why) = why {
        let name = &mount.base.health.name;
        pr_warn!("EXT4-fs ({name}): warning: {why}, running e2fsck is recommended\n");
    }
}

/// Lets a read-only file system be changed while `f` runs. `None` if its device cannot be written.
fn writing<R>(mount: &Mounted, f: impl FnOnce() -> Result<R>) -> Option<Result<R>> {
    if mount.bdev_read_only() {
        return None;
    }
    let was = mount.core.read_only();
    mount.core.set_read_only(false);
    let done = f();
    mount.core.set_read_only(was);
    Some(done)
}

/// What a mount does before the file system is used. `unclean`: the superblock said, before the log was replayed, that it was in use.
pub(crate) fn finish_last_use(mount: &Mounted, rdonly: bool, unclean: bool) -> Result {
    if !rdonly {
        note_journal_error(mount)?;
        crate::super_block::Ext4Super::mark_in_use(mount)?;
    } else if let Some(noted) = writing(mount, || note_journal_error(mount)) {
        noted?;
    }
    finish_orphans(mount, rdonly)?;
    if !unclean || mount.journal().is_none() {
        return Ok(());
    }
    pr_info!("EXT4-fs ({}): recovery complete\n", mount.base.health.name);
    if rdonly { mark_unused(mount) } else { Ok(()) }
}

/// Finishes the orphans, with a line in the log. On a file system with errors they are left to e2fsck: who knows what they are.
fn finish_orphans(mount: &Mounted, rdonly: bool) -> Result {
    let (core, name) = (&mount.core, &mount.base.health.name);
    if !core.has_orphans() && !core.has_orphan_file() {
        return Ok(());
    }
    if mount.bdev_read_only() {
        pr_err!("EXT4-fs ({name}): write access unavailable, skipping orphan cleanup\n");
        return Ok(());
    }
    if core.with_super(|sb| features_ok(sb, name, false)).is_err() {
        pr_info!("EXT4-fs ({name}): Skipping orphan cleanup due to unknown ROCOMPAT features\n");
        return Ok(());
    }
    if core.with_super(|sb| sb.state.get()) & ERROR_FS != 0 {
        if rdonly || !core.has_orphans() {
            return Ok(());
        }
        pr_info!("EXT4-fs ({name}): Errors on filesystem, clearing orphan list.\n");
        return core.forget_orphans();
    }
    if rdonly {
        if mount.journal().is_none() && core.with_super(|sb| sb.has_incompat(incompat::RECOVER)) {
            // With `noload` what is on the disk is not yet what the log makes of it.
            return Ok(());
        }
        pr_info!("EXT4-fs ({name}): orphan cleanup on readonly fs\n");
        if core.orphans_empty() {
            return Ok(());
        }
    }
    writing(mount, || finish_each(mount, rdonly)).unwrap_or(Ok(()))
}

fn finish_each(mount: &Mounted, rdonly: bool) -> Result {
    let (core, name) = (&mount.core, &mount.base.health.name);
    if rdonly {
        if let Err(error) = core.load_for_writing() {
            pr_err!("EXT4-fs ({name}): Cannot turn on quotas: error -{}\n", error.to_errno());
        }
        // The log is used: a crash must not leave it unread.
        if mount.journal().is_some() {
            mount.past_journal(|sb| sb.feature_incompat.set(sb.feature_incompat.get() | incompat::RECOVER))?;
        }
    }
    let (mut freed, mut cut) = (0u32, 0u32);
    let errors = mount.base.health.errors.load(Ordering::Relaxed);
    let done = core.recover_orphans(|core, inode| {
        let count = if inode.raw.links_count == 0 { &mut freed } else { &mut cut };
        finish_orphan(core, inode)?;
        *count += 1;
        Ok(())
    });
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    if freed != 0 {
        pr_info!("EXT4-fs ({name}): {freed} orphan inode{} deleted\n", plural(freed));
    }
    if cut != 0 {
        pr_info!("EXT4-fs ({name}): {cut} truncate{} cleaned up\n", plural(cut));
    }
    let dead = mount.base.health.is_dead();
    match done {
        Ok(_) => {}
        // Damage has made the file system read-only, as `errors=` says.
        Err(_) if dead => return Ok(()),
        // Damage ends the list, for e2fsck: the superblock says that there are errors.
        Err(_) if mount.base.health.errors.load(Ordering::Relaxed) != errors => core.forget_orphans()?,
        Err(error) => return Err(error),
    }
    if !rdonly || dead {
        return Ok(());
    }
    // Nothing else brings it to the disk. In use it was only for this.
    settle(mount)?;
    if mount.journal().is_some() { mark_unused(mount) } else { Ok(()) }
}

/// Brings all to its place on the disk.
fn settle(mount: &Mounted) -> Result {
    mount.sync_super()?;
    if let Some(journal) = mount.journal() {
        journal.flush()?;
    }
    mount.base.cache.sync()?;
    mount.base.cache.device.flush_cache()
}

/// A read-only file system with a journal, whose log is replayed and whose orphans are finished, is in use no more. Orphans of the file
/// of orphans that could not be finished are damage.
fn mark_unused(mount: &Mounted) -> Result {
    let (core, health) = (&mount.core, &mount.base.health);
    let in_use =
        core.with_super(|sb| sb.has_incompat(incompat::RECOVER) || sb.has_ro_compat(ro_compat::ORPHAN_PRESENT));
    if !in_use || health.is_dead() {
        return Ok(());
    }
    if !core.orphan_file_empty() {
        pr_err!("EXT4-fs ({}): Orphan file not empty on read-only fs.\n", health.name);
        return Err(health.report(&Report { what: "orphan_file", ino: 0, block: 0, error: EUCLEAN }));
    }
    let cleared = writing(mount, || {
        settle(mount)?;
        mount.past_journal(|sb| {
            sb.feature_incompat.set(sb.feature_incompat.get() & !incompat::RECOVER);
            sb.feature_ro_compat.set(sb.feature_ro_compat.get() & !ro_compat::ORPHAN_PRESENT);
        })
    });
    cleared.unwrap_or(Ok(()))
}

/// Frees an inode that lost its last name, or cuts one that was being truncated, before the last mount ended.
fn finish_orphan(core: &Fs<KernelStore>, mut inode: Inode) -> Result {
    // Each step frees a block at least, but for a few at the end: more steps than blocks go nowhere.
    for _ in 0..core.blocks_count().saturating_add(64) {
        let credits = core.credits_for_truncate(&inode);
        let done = core.run(credits, true, |tx| {
            if inode.raw.links_count == 0 { core.evict(tx, &mut inode) } else { core.truncate(tx, &mut inode) }
        })?;
        if done {
            return Ok(());
        }
    }
    Err(EUCLEAN)
}

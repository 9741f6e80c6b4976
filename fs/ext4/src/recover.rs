// SPDX-License-Identifier: GPL-2.0
//! What the last use of a file system left to be done before it is written again, at a mount or a remount for writing: orphans, and an
//! error that only the log knows of. No locks: nobody else uses the file system yet, or can change it.

use crate::mounted::Mounted;
use crate::store::KernelStore;
use crate::super_block::ERROR_FS;
use errno::Result;
use errno::code::EUCLEAN;
use ext4_core::{Fs, Inode};
use kernel::prelude::*;

/// The journal was aborted in the last use: the superblock is to know.
pub(crate) fn note_journal_error(mount: &Mounted) -> Result {
    let Some(journal) = mount.journal() else { return Ok(()) };
    let Some(error) = journal.recorded_error() else { return Ok(()) };
    let name = &mount.base.health.name;
    pr_warn!("EXT4-fs ({name}): Filesystem error recorded from previous mount: {error}\n");
    pr_warn!("EXT4-fs ({name}): Marking fs in need of filesystem check.\n");
    mount.core.run(4, true, |tx| mount.core.update_super(tx, |sb| sb.state.set(sb.state.get() | ERROR_FS)))?;
    journal.commit_all()?;
    journal.clear_error()
}

/// Finishes the orphans, with a line in the log. On a file system with errors they are left to e2fsck: who knows what they are.
pub(crate) fn finish_orphans(mount: &Mounted) -> Result {
    let name = &mount.base.health.name;
    if mount.core.with_super(|sb| sb.state.get()) & ERROR_FS != 0 {
        if mount.core.has_orphans() {
            pr_info!("EXT4-fs ({name}): Errors on filesystem, clearing orphan list.\n");
        }
        return mount.core.forget_orphans();
    }
    match mount.core.recover_orphans(finish_orphan) {
        Ok(0) => Ok(()),
        Ok(count) => {
            pr_info!("EXT4-fs ({name}): {count} orphan inodes deleted or truncated\n");
            Ok(())
        }
        // Damage has made the file system read-only, as `errors=` says.
        Err(_) if mount.base.health.is_dead() => Ok(()),
        Err(error) => Err(error),
    }
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

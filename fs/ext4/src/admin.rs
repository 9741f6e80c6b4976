// SPDX-License-Identifier: GPL-2.0
//! Requests for the file system as a whole: discarding free space, growing, its name and number, checkpoint, shutdown.

use crate::mounted::Mounted;
use crate::super_block::ERROR_FS;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EBUSY, EINVAL, ENODEV, EOPNOTSUPP, EPERM, EROFS};
use ext4_format::SuperBlock as DiskSuper;
use ext4_format::feature::{incompat, ro_compat};
use kernel::filesystem::cred::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE, capable};
use kernel::filesystem::uaccess::{copy_from_user, copy_to_user, get_user, put_user};
use kernel::filesystem::vfs::{File, Inode, user};
use kernel::filesystem::{block, process, task};
use kernel::prelude::*;

const LABEL: usize = 16;
/// Bytes of the label's buffer (`FSLABEL_MAX`).
const LABEL_BUFFER: usize = 256;
const UUID: usize = 16;

fn admin() -> Result {
    if capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
}

/// `FITRIM`: tells the device which blocks are free.
pub(crate) fn trim(mount: &Mounted, arg: usize) -> Result {
    admin()?;
    let device = &mount.base.cache.device;
    let limits = device.bdev.disk().limits();
    if limits.max_discard_sectors == 0 {
        return Err(EOPNOTSUPP);
    }
    if mount.options().noload && mount.core.with_super(DiskSuper::has_journal) {
        return Err(EROFS);
    }
    let [start, len, least] = [0, 8, 16].map(|at| get_user::<u64>(arg.wrapping_add(at)));
    let (start, len, least) = (start?, len?, least?.max(limits.discard_granularity.into()));
    let geo = &mount.core.geo;
    let (bits, total) = (geo.block_bits, mount.core.blocks_count());
    let first = start >> bits;
    let least = least.div_ceil((geo.block_size as u64) << geo.cluster_bits);
    if least > geo.clusters_per_group.into() || first >= total || len < geo.block_size as u64 {
        return Err(EINVAL);
    }
    let end = first.saturating_add(len >> bits).min(total);
    let first = first.max(geo.first_data_block);
    let mut trimmed = 0;
    if end > first {
        let ((low, from), (high, to)) = (geo.locate(first), geo.locate(end - 1));
        for number in low..=high {
            let from = if number == low { from } else { 0 };
            let to = if number == high { to + 1 } else { u32::MAX };
            trimmed += mount.core.trim_group(number, (from, to), least.max(1) as u32, |block, count| {
                block::issue_discard(&device.bdev, device.sector(block), device.sector(count.into()))
            })?;
            // Who is to end stops here, and is told how far it came.
            if process::fatal_pending(&task::current()) {
                break;
            }
        }
    }
    put_user(arg.wrapping_add(8), trimmed << bits)
}

/// `EXT4_IOC_RESIZE_FS`, and (`last_group`) `EXT4_IOC_GROUP_EXTEND`, which fills the last group only.
pub(crate) fn resize(file: &File, mount: &Mounted, arg: usize, last_group: bool) -> Result {
    if !capable(CAP_SYS_RESOURCE) {
        return Err(EPERM);
    }
    let blocks = if last_group { get_user::<u32>(arg)?.into() } else { get_user::<u64>(arg)? };
    let _write = file.path().mnt.want_write()?;
    if mount.resizing.swap(true, Ordering::AcqRel) {
        return Err(EBUSY);
    }
    let result = grow(mount, blocks, last_group);
    mount.resizing.store(false, Ordering::Release);
    result
}

fn grow(mount: &Mounted, blocks: u64, last_group: bool) -> Result {
    let core = &mount.core;
    let before = core.blocks_count();
    if core.with_super(|sb| sb.state.get()) & ERROR_FS != 0 || mount.base.health.errors.load(Ordering::Relaxed) != 0 {
        pr_warn!(
            "EXT4-fs ({}): There are errors in the filesystem, so online resizing is not allowed\n",
            mount.base.health.name
        );
        return Err(EPERM);
    }
    let mut blocks = blocks;
    if last_group {
        let end = core.geo.group_start(core.groups_count());
        if blocks == 0 || blocks == before {
            return Ok(());
        }
        if before == end {
            // Another group is `EXT4_IOC_RESIZE_FS`'s to add.
            return Err(EPERM);
        }
        blocks = blocks.min(end);
    }
    let target = core.grow_begin(blocks)?;
    if target == before {
        return Ok(());
    }
    pr_info!("EXT4-fs ({}): resizing filesystem from {before} to {target} blocks\n", mount.base.health.name);
    while !mount.run(core.credits_for_grow(), |tx| core.grow_step(tx, target))? {}
    write_backups(mount)?;
    bring_home(mount)?;
    pr_info!("EXT4-fs ({}): resized filesystem to {target}\n", mount.base.health.name);
    Ok(())
}

/// Brings the copies of superblock and descriptors up to date.
fn write_backups(mount: &Mounted) -> Result {
    let core = &mount.core;
    for number in (1..core.groups_count()).filter(|&number| core.geo.has_super(number)) {
        mount.run(8, |tx| core.write_backup(tx, number))?;
    }
    Ok(())
}

fn change_super(file: &File, mount: &Mounted, mut change: impl FnMut(&mut DiskSuper)) -> Result {
    let _write = file.path().mnt.want_write()?;
    mount.run(4, |tx| mount.core.update_super(tx, &mut change))?;
    write_backups(mount)?;
    bring_home(mount)
}

/// Has the superblock where programs that read the device see it.
fn bring_home(mount: &Mounted) -> Result {
    match mount.journal() {
        Some(journal) => journal.flush(),
        None => mount.base.cache.sync(),
    }
}

/// `FS_IOC_GETFSLABEL`.
pub(crate) fn get_label(mount: &Mounted, arg: usize) -> Result {
    let name = mount.core.with_super(|sb| sb.volume_name);
    let mut text = [0u8; LABEL + 1];
    for (to, from) in text.iter_mut().zip(name) {
        *to = from;
    }
    copy_to_user(arg, &text)
}

/// `FS_IOC_SETFSLABEL`.
pub(crate) fn set_label(file: &File, mount: &Mounted, arg: usize) -> Result {
    admin()?;
    let mut text = [0u8; LABEL_BUFFER];
    let len = user::string_in(arg, &mut text)?;
    let name = text.get(..len).filter(|name| name.len() <= LABEL).ok_or(EINVAL)?;
    change_super(file, mount, |sb| {
        sb.volume_name = [0; LABEL];
        for (to, from) in sb.volume_name.iter_mut().zip(name) {
            *to = *from;
        }
    })
}

/// `EXT4_IOC_GETFSUUID`: `struct fsuuid` is a length, flags, and the bytes.
pub(crate) fn get_uuid(mount: &Mounted, arg: usize) -> Result {
    let (len, flags) = (get_user::<u32>(arg)?, get_user::<u32>(arg.wrapping_add(4))?);
    if len == 0 {
        return put_user(arg, UUID as u32);
    }
    if (len as usize) < UUID || flags != 0 {
        return Err(EINVAL);
    }
    put_user(arg, UUID as u32)?;
    copy_to_user(arg.wrapping_add(8), &mount.core.with_super(|sb| sb.uuid))
}

/// `EXT4_IOC_SETFSUUID`. Where checksums begin with the UUID: `EOPNOTSUPP`.
pub(crate) fn set_uuid(file: &File, mount: &Mounted, arg: usize) -> Result {
    const STABLE_INODES: u32 = 0x800;
    admin()?;
    let geo = &mount.core.geo;
    let sums = geo.csum || geo.has_ro_compat(ro_compat::GDT_CSUM);
    if (sums && !geo.has_incompat(incompat::CSUM_SEED)) || geo.has_compat(STABLE_INODES) {
        return Err(EOPNOTSUPP);
    }
    let (len, flags) = (get_user::<u32>(arg)?, get_user::<u32>(arg.wrapping_add(4))?);
    if len as usize != UUID || flags != 0 {
        return Err(EINVAL);
    }
    let mut uuid = [0u8; UUID];
    copy_from_user(&mut uuid, arg.wrapping_add(8))?;
    change_super(file, mount, |sb| sb.uuid = uuid)
}

/// `EXT4_IOC_CHECKPOINT`: all of the log goes home. Erasing the log's blocks is not built in.
pub(crate) fn checkpoint(mount: &Mounted, arg: usize) -> Result {
    const DISCARD: u32 = 1;
    const ZEROOUT: u32 = 2;
    const DRY_RUN: u32 = 4;
    let flags = get_user::<u32>(arg)?;
    admin()?;
    if flags & !(DISCARD | ZEROOUT | DRY_RUN) != 0 || flags & (DISCARD | ZEROOUT) == DISCARD | ZEROOUT {
        return Err(EINVAL);
    }
    let Some(journal) = mount.journal() else { return Err(ENODEV) };
    if flags & (DISCARD | ZEROOUT) != 0 {
        return Err(EOPNOTSUPP);
    }
    if flags & DRY_RUN != 0 {
        return Ok(());
    }
    journal.lock_updates();
    let done = journal.flush();
    journal.unlock_updates();
    done
}

/// `EXT4_IOC_SHUTDOWN`: nothing is changed any more.
pub(crate) fn shutdown(inode: &Inode, mount: &Mounted, arg: usize) -> Result {
    // All is written; the log is (1); nothing is.
    const DEFAULT: u32 = 0;
    const NOLOGFLUSH: u32 = 2;
    admin()?;
    let how = get_user::<u32>(arg)?;
    if how > NOLOGFLUSH {
        return Err(EINVAL);
    }
    if mount.base.health.is_shut_down() {
        return Ok(());
    }
    pr_alert!("EXT4-fs ({}): shut down requested ({how})\n", mount.base.health.name);
    if how == DEFAULT {
        inode.sb().sync_all()?;
    }
    if let Some(journal) = mount.journal().filter(|_| how != NOLOGFLUSH) {
        let flushed = journal.commit_all();
        // A log that can be written no more keeps nobody from shutting down that alone.
        if how == DEFAULT {
            flushed?;
        }
    }
    mount.base.health.shut_down();
    if let Some(journal) = mount.journal() {
        journal.abort(errno::code::ESHUTDOWN);
    }
    Ok(())
}

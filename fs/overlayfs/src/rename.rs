// SPDX-License-Identifier: GPL-2.0
//! Renaming. Directories with a part in a lower layer stay where they are (`EXDEV`). Where a lower layer has the old name, a whiteout
//! comes to it; if the machine stops before that, the lower file is seen there again.

use crate::copy_up::change;
use crate::entries::{discard, lost_name, tidied, whiteout};
use crate::lookup::shows_below;
use crate::merge;
use crate::node::{Node, node, refresh};
use kalloc::Arc;
use kernel::filesystem::vfs::namei::kernel::{kernel_lookup, kernel_make, kernel_rename};
use kernel::filesystem::vfs::namei::remove::kernel_remove;
use kernel::filesystem::vfs::{Inode, Path, Rename, SetAttr, current_time};
use kernel::prelude::*;

/// Whether an inode can move: a directory that is in a lower layer would leave its contents there.
fn may_move(inode: &Inode) -> Result {
    if inode.is_dir() && !node(inode)?.lower.is_empty() { Err(EXDEV) } else { Ok(()) }
}

/// `InodeOps::rename`.
pub(crate) fn rename(rename: &Rename<'_>) -> Result {
    if rename.flags & !(uapi::RENAME_EXCHANGE | uapi::RENAME_NOREPLACE) != 0 {
        return Err(EINVAL);
    }
    let exchange = rename.flags & uapi::RENAME_EXCHANGE != 0;
    may_move(rename.inode)?;
    if let Some(target) = rename.target {
        if exchange {
            may_move(target)?;
        } else if target.is_dir() && !merge::is_empty(node(target)?)? {
            return Err(ENOTEMPTY);
        }
    }
    let (from, to) = (node(rename.old_dir)?, node(rename.new_dir)?);
    from.copy_up(rename.old_dir, None)?;
    to.copy_up(rename.new_dir, None)?;
    node(rename.inode)?.copy_up(rename.inode, None)?;
    if let Some(target) = rename.target.filter(|_| exchange) {
        node(target)?.copy_up(target, None)?;
    }
    {
        let _acting = from.fs.act()?;
        let _write = from.fs.upper_mount()?.want_write()?;
        if exchange { swap(rename, from, to)? } else { replace(rename, from, to)? }
    }
    refresh(rename.inode);
    match rename.target {
        Some(target) if exchange => refresh(target),
        Some(target) => lost_name(target),
        None => {}
    }
    refresh(rename.old_dir);
    refresh(rename.new_dir);
    Ok(())
}

/// A directory that comes to where directories are merged hides what is below its new name.
fn hide(moved: &Inode, to: &Node) -> Result {
    let node = node(moved)?;
    match node.upper.get() {
        Some(dentry) if moved.is_dir() && !to.lower.is_empty() => node.fs.set_opaque(dentry),
        _ => Ok(()),
    }
}

fn swap(rename: &Rename<'_>, from: &Node, to: &Node) -> Result {
    hide(rename.inode, to)?;
    if let Some(target) = rename.target {
        hide(target, from)?;
    }
    let (old_up, new_up) = (from.upper_path()?.ok_or(EIO)?, to.upper_path()?.ok_or(EIO)?);
    kernel_rename(&old_up, rename.old_name, &new_up, rename.new_name, uapi::RENAME_EXCHANGE)
}

fn replace(rename: &Rename<'_>, from: &Node, to: &Node) -> Result {
    let fs = &from.fs;
    let (old_name, new_name) = (rename.old_name, rename.new_name);
    let (old_up, new_up) = (from.upper_path()?.ok_or(EIO)?, to.upper_path()?.ok_or(EIO)?);
    hide(rename.inode, to)?;
    let there = kernel_lookup(&new_up, new_name)?;
    let white = match &there {
        Some(dentry) => fs.is_whiteout(new_up.inode()?, dentry.positive()?)?,
        None => false,
    };
    let below = shows_below(from, old_name)?;
    if white && (below || rename.inode.is_dir()) {
        // The whiteout comes to the old name; it is not needed there if nothing is below.
        kernel_rename(&old_up, old_name, &new_up, new_name, uapi::RENAME_EXCHANGE)?;
        if !below {
            tidied(kernel_remove(&old_up, old_name));
        }
        return Ok(());
    }
    if let Some(dentry) = &there
        && !white
        && dentry.positive()?.is_dir()
    {
        empty(from, &new_up, new_name, dentry.positive()?)?;
    }
    if !below {
        return kernel_rename(&old_up, old_name, &new_up, new_name, 0);
    }
    // Made first: afterwards nothing but a rename is left to do.
    let white = whiteout(fs)?;
    let work = fs.work()?;
    let moved = kernel_rename(&old_up, old_name, &new_up, new_name, 0);
    if moved.is_err() {
        let _ = kernel_remove(work, &white);
        return moved;
    }
    kernel_rename(work, &white, &old_up, old_name, 0)
}

/// Gives a directory that is about to be replaced, and has whiteouts, an empty one for its place.
fn empty(own: &Node, dir: &Path, name: &[u8], inode: &Arc<Inode>) -> Result {
    let fs = &own.fs;
    let Some(dentry) = kernel_lookup(dir, name)? else { return Ok(()) };
    if !merge::has_any(Path { mnt: dir.mnt.clone(), dentry })? {
        return Ok(());
    }
    let work = fs.work()?;
    let temporary = fs.temporary()?;
    let made = kernel_make(work, &temporary, |work| work.ops().mkdir(work, &temporary, inode.mode()))?;
    let attr = SetAttr { uid: Some(inode.uid()), gid: Some(inode.gid()), ctime: current_time(), ..SetAttr::default() };
    let done = change(made.positive()?, &attr)
        .and_then(|()| fs.set_opaque(&made))
        .and_then(|()| kernel_rename(work, &temporary, dir, name, uapi::RENAME_EXCHANGE));
    // Either the new directory, which did not come to its place, or the old one.
    discard(fs, &temporary);
    done
}

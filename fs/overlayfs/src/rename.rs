// SPDX-License-Identifier: GPL-2.0
//! Renaming. Directories with a part in a lower layer stay where they are (`EXDEV`), or say where that part is (`redirect_dir=on`). Where a
//! lower layer has the old name, a whiteout comes to it; if the machine stops before that, the lower file is seen there again.

use crate::copy_up::change;
use crate::entries::{discard, lost_name, tidied, whiteout};
use crate::lookup::shows_below;
use crate::merge;
use crate::node::{Node, node, refresh};
use kalloc::{Arc, KVec};
use kernel::filesystem::vfs::namei::kernel::{kernel_lookup, kernel_make, kernel_rename};
use kernel::filesystem::vfs::namei::remove::kernel_remove;
use kernel::filesystem::vfs::{Dentry, Inode, Path, Rename, SetAttr, current_time};
use kernel::prelude::*;

/// Bytes of the longest path that says where a directory is (`redirect_max`).
const LONGEST: usize = 256;

/// Whether an inode can move: a directory that is in a lower layer would leave its contents there, unless it can say where they are.
fn may_move(inode: &Inode) -> Result {
    let node = node(inode)?;
    let stays = inode.is_dir() && !node.lower.is_empty() && !node.fs.options.redirect.makes();
    if stays { Err(EXDEV) } else { Ok(()) }
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

/// What moves gets ready: a directory that is merged says where the rest of it is; another one that comes to where directories are merged
/// hides what is below its new name. `same`: its directory stays the same.
fn get_ready(moved: &Inode, place: &Arc<Dentry>, to: &Node, same: bool) -> Result {
    let node = node(moved)?;
    let upper = node.upper.get().ok_or(EIO)?;
    if !node.lower.is_empty() {
        if moved.is_dir() {
            set_redirect(node, place, same)?;
        }
        // Its number is that of the lower one.
        return node.fs.set_impure(to.upper.get().ok_or(EIO)?.positive()?);
    }
    if moved.is_dir() && !to.lower.is_empty() { node.fs.set_opaque(upper) } else { Ok(()) }
}

/// Directory `own`, which is at `place`, says where the rest of it is: by its old name, if its directory stays the `same`. `EXDEV` if that
/// cannot be kept: programs move it by copying then.
fn set_redirect(own: &Node, place: &Arc<Dentry>, same: bool) -> Result {
    if own.redirect.lock().as_ref().is_some_and(|known| same || known.first() == Some(&b'/')) {
        return Ok(());
    }
    let to = if same { place.name()? } else { absolute(place)? };
    let upper = own.upper.get().ok_or(EIO)?.positive()?;
    if let Err(error) = own.fs.set_attribute(upper, b"redirect", &to) {
        pr_warn!("overlayfs: failed to set redirect ({})\n", error.to_errno());
        return Err(EXDEV);
    }
    let old = own.redirect.lock().replace(to);
    drop(old);
    Ok(())
}

/// Where the rest of the directory at `place` is, from the root of the layers. `EXDEV` if that is too long.
fn absolute(place: &Arc<Dentry>) -> Result<KVec<u8>> {
    // The names from below upwards, each backwards.
    let mut path: KVec<u8> = KVec::new();
    let mut at = place.clone();
    while !at.is_root() {
        let known = match node(at.positive()?)?.redirect.lock().as_ref() {
            Some(known) => Some(known.try_clone(GFP_KERNEL)?),
            None => None,
        };
        let name = match known {
            Some(known) => known,
            None => at.name()?,
        };
        let is_path = name.first() == Some(&b'/');
        if path.len() + name.len() + usize::from(!is_path) > LONGEST {
            return Err(EXDEV);
        }
        for &byte in name.iter().rev() {
            path.push(byte, GFP_KERNEL)?;
        }
        if is_path {
            break;
        }
        path.push(b'/', GFP_KERNEL)?;
        at = at.parent_arc().ok_or(EIO)?;
    }
    path.reverse();
    Ok(path)
}

fn swap(rename: &Rename<'_>, from: &Node, to: &Node) -> Result {
    let same = Arc::ptr_eq(rename.old_dir, rename.new_dir);
    get_ready(rename.inode, rename.place, to, same)?;
    if let (Some(target), Some(place)) = (rename.target, rename.target_place) {
        get_ready(target, place, from, same)?;
    }
    let (old_up, new_up) = (from.upper_path()?.ok_or(EIO)?, to.upper_path()?.ok_or(EIO)?);
    kernel_rename(&old_up, rename.old_name, &new_up, rename.new_name, uapi::RENAME_EXCHANGE)
}

fn replace(rename: &Rename<'_>, from: &Node, to: &Node) -> Result {
    let fs = &from.fs;
    let (old_name, new_name) = (rename.old_name, rename.new_name);
    let (old_up, new_up) = (from.upper_path()?.ok_or(EIO)?, to.upper_path()?.ok_or(EIO)?);
    get_ready(rename.inode, rename.place, to, Arc::ptr_eq(rename.old_dir, rename.new_dir))?;
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

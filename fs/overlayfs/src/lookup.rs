// SPDX-License-Identifier: GPL-2.0
//! What a name stands for in all layers.

use crate::node::{Home, Lower, Node};
use kalloc::{Arc, KVec};
use kernel::filesystem::vfs::namei::kernel::kernel_lookup;
use kernel::filesystem::vfs::{Dentry, Inode};
use kernel::prelude::*;

/// The overlay's inode for `name` in `dir`.
pub(crate) fn lookup(node: &Node, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
    let _acting = node.fs.act()?;
    let mut lower = KVec::new();
    let upper = match in_upper(node, name)? {
        Upper::Hidden => return Ok(None),
        Upper::None => None,
        Upper::File(dentry) => Some((dentry, false)),
        Upper::Dir(dentry) => Some((dentry, true)),
        Upper::Opaque(dentry) => Some((dentry, false)),
    };
    let merges = upper.as_ref().is_none_or(|(_, merges)| *merges);
    if merges {
        in_lower(node, name, upper.is_some(), &mut lower)?;
    }
    let upper = upper.map(|(dentry, _)| dentry);
    if upper.is_none() && lower.is_empty() {
        return Ok(None);
    }
    let home = Home { parent: dir.clone(), name: KVec::from_slice(name, GFP_KERNEL)? };
    // Whoever is in the upper layer needs no way there.
    let home = upper.is_none().then_some(home);
    Node::inode(dir.sb(), &node.fs, upper, lower, home).map(Some)
}

enum Upper {
    None,
    /// A whiteout.
    Hidden,
    File(Arc<Dentry>),
    Dir(Arc<Dentry>),
    /// A directory that hides what lies below.
    Opaque(Arc<Dentry>),
}

fn in_upper(node: &Node, name: &[u8]) -> Result<Upper> {
    let Some(path) = node.upper_path()? else { return Ok(Upper::None) };
    let Some(dentry) = kernel_lookup(&path, name)? else { return Ok(Upper::None) };
    let inode = dentry.positive()?;
    if node.fs.is_whiteout(path.inode()?, inode)? {
        return Ok(Upper::Hidden);
    }
    if !inode.is_dir() {
        whole(node, inode, name)?;
        return Ok(Upper::File(dentry));
    }
    if node.fs.is_opaque(inode)? {
        return Ok(Upper::Opaque(dentry));
    }
    if !node.lower.is_empty() {
        in_place(node, inode, name)?;
    }
    Ok(Upper::Dir(dentry))
}

/// `EPERM` for a file whose data is in a layer below (`metacopy`): following is not built.
fn whole(node: &Node, inode: &Inode, name: &[u8]) -> Result {
    if inode.is_reg() && node.fs.attribute(inode, b"metacopy")?.is_some() {
        pr_warn!("overlayfs: refusing to follow metacopy origin for ({})\n", name.escape_ascii());
        return Err(EPERM);
    }
    Ok(())
}

/// `EPERM` for a directory that is to be merged with one of another name (`redirect`): following is not built.
fn in_place(node: &Node, inode: &Inode, name: &[u8]) -> Result {
    if node.fs.attribute(inode, b"redirect")?.is_some() {
        pr_warn!("overlayfs: refusing to follow redirect for ({})\n", name.escape_ascii());
        return Err(EPERM);
    }
    Ok(())
}

/// Collects what is to be merged; `merging`: there is a directory above already.
fn in_lower(node: &Node, name: &[u8], merging: bool, out: &mut KVec<Lower>) -> Result {
    for (index, lower) in node.lower.iter().enumerate() {
        let path = node.lower_path(lower)?;
        let dentry = match kernel_lookup(&path, name) {
            Ok(Some(dentry)) => dentry,
            Ok(None) => continue,
            // A name that a layer cannot have is not there.
            Err(error) if error == ENAMETOOLONG => continue,
            Err(error) => return Err(error),
        };
        let inode = dentry.positive()?;
        if node.fs.is_whiteout(path.inode()?, inode)? {
            return Ok(());
        }
        if !inode.is_dir() {
            if !merging && out.is_empty() {
                whole(node, inode, name)?;
                out.push(Lower { layer: lower.layer, dentry: dentry.clone() }, GFP_KERNEL)?;
            }
            return Ok(());
        }
        if node.fs.traps.iter().any(|trap| Arc::ptr_eq(trap, &dentry)) {
            return Err(ELOOP);
        }
        out.push(Lower { layer: lower.layer, dentry: dentry.clone() }, GFP_KERNEL)?;
        if node.fs.is_opaque(inode)? {
            return Ok(());
        }
        // Below the last layer is nothing to go to.
        if index + 1 != node.lower.len() {
            in_place(node, inode, name)?;
        }
    }
    Ok(())
}

/// Whether `name` is in a lower layer of directory `node`, and would be seen if the upper one had no such name.
pub(crate) fn shows_below(node: &Node, name: &[u8]) -> Result<bool> {
    let mut found = KVec::new();
    in_lower(node, name, false, &mut found)?;
    Ok(!found.is_empty())
}

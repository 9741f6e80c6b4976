// SPDX-License-Identifier: GPL-2.0
//! Making and removing names. What comes where a whiteout is, and what goes where a lower layer has the same name, is prepared in the
//! work directory and comes to its place by a rename.

use crate::copy_up::change;
use crate::layers::Fs;
use crate::lookup::shows_below;
use crate::merge;
use crate::node::{Node, node, refresh};
use kalloc::{Arc, KVec};
use kernel::filesystem::vfs::inode::owner_for_new;
use kernel::filesystem::vfs::namei::create::current_umask;
use kernel::filesystem::vfs::namei::kernel::{kernel_lookup, kernel_make, kernel_rename};
use kernel::filesystem::vfs::namei::remove::kernel_remove;
use kernel::filesystem::vfs::{Dentry, Dev, Inode, Path, SetAttr, current_time};
use kernel::prelude::*;

/// Makes a new file, directory or link. `mode` with its type; the umask was left to us.
pub(crate) fn make(
    own: &Node,
    dir: &Arc<Inode>,
    name: &[u8],
    mode: u32,
    kind: impl FnOnce(&Arc<Inode>, &[u8], u32) -> Result<Arc<Inode>>,
) -> Result<Arc<Inode>> {
    own.copy_up(dir, None)?;
    let dentry = add(own, name, mode, kind)?;
    refresh(dir);
    Node::inode(dir.sb(), &own.fs, Some(dentry), KVec::new(), None, None)
}

/// The mode for the upper layer, which looks at the umask itself if it has ACLs.
fn masked(at: &Inode, mode: u32) -> u32 {
    let link = mode & uapi::S_IFMT == uapi::S_IFLNK;
    if link || at.sb().flags() & uapi::MS_POSIXACL != 0 { mode } else { mode & !current_umask() }
}

/// Adds an entry in the upper layer, where `own` is.
fn add(
    own: &Node,
    name: &[u8],
    mode: u32,
    kind: impl FnOnce(&Arc<Inode>, &[u8], u32) -> Result<Arc<Inode>>,
) -> Result<Arc<Dentry>> {
    let fs = &own.fs;
    let up = own.upper_path()?.ok_or(EIO)?;
    let at = up.inode()?.clone();
    let _write = up.mnt.want_write()?;
    let is_dir = mode & uapi::S_IFMT == uapi::S_IFDIR;
    let Some(whiteout) = kernel_lookup(&up, name)? else {
        let dentry = kernel_make(&up, name, |at| kind(at, name, masked(at, mode)))?;
        if is_dir && !own.lower.is_empty() {
            // Only saves looking below: nothing is there.
            let _ = fs.set_opaque(&dentry);
        }
        return Ok(dentry);
    };
    if !fs.is_whiteout(&at, whiteout.positive()?)? {
        return Err(ESTALE);
    }
    let work = fs.work()?;
    let temporary = fs.temporary()?;
    let (uid, gid, owned) = owner_for_new(&at, mode)?;
    let mode = masked(&at, mode);
    let mut is_new = true;
    let dentry = kernel_make(work, &temporary, |work| {
        let made = kind(work, &temporary, mode)?;
        // A further name of a file changes nothing of it.
        is_new = made.nlink() <= if made.is_dir() { 2 } else { 1 };
        Ok(made)
    })?;
    let place = || {
        if is_new {
            // Group and set-group-id bit are what they would be in the directory itself.
            let made = dentry.positive()?.mode();
            let sgid = (owned & uapi::S_ISGID != 0).then_some((made | uapi::S_ISGID) & 0o7777);
            let link = mode & uapi::S_IFMT == uapi::S_IFLNK;
            let attr = SetAttr {
                uid: Some(uid),
                gid: Some(gid),
                mode: sgid.filter(|_| !link),
                ctime: current_time(),
                ..SetAttr::default()
            };
            change(dentry.positive()?, &attr)?;
        }
        if is_dir {
            fs.set_opaque(&dentry)?;
            kernel_rename(work, &temporary, &up, name, uapi::RENAME_EXCHANGE)?;
            tidied(kernel_remove(work, &temporary));
            Ok(())
        } else {
            kernel_rename(work, &temporary, &up, name, 0)
        }
    };
    if let Err(error) = place() {
        let _ = kernel_remove(work, &temporary);
        return Err(error);
    }
    Ok(dentry)
}

/// An unnamed file in the upper layer.
pub(crate) fn tmpfile(own: &Node, dir: &Arc<Inode>, mode: u32) -> Result<Arc<Inode>> {
    own.copy_up(dir, None)?;
    let up = own.upper_path()?.ok_or(EIO)?;
    let _write = up.mnt.want_write()?;
    let at = up.inode()?;
    let made = at.ops().tmpfile(at, masked(at, mode))?;
    let dentry = Dentry::new_anon(made, b"")?;
    let inode = Node::inode(dir.sb(), &own.fs, Some(dentry), KVec::new(), None, None)?;
    inode.set_nlink(0);
    Ok(inode)
}

/// Another name for a file: it comes to the upper layer for that.
pub(crate) fn link(own: &Node, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
    own.copy_up(dir, None)?;
    node(inode)?.copy_up(inode, None)?;
    let real = node(inode)?.real()?.clone();
    add(own, name, real.mode(), |at, name, _| {
        let _lock = real.lock.write();
        at.ops().link(at, name, &real)?;
        Ok(real.clone())
    })?;
    refresh(inode);
    refresh(dir);
    Ok(())
}

/// A device 0:0 in the work directory; its name.
pub(crate) fn whiteout(fs: &Fs) -> Result<KVec<u8>> {
    let name = fs.temporary()?;
    kernel_make(fs.work()?, &name, |work| work.ops().mknod(work, &name, uapi::S_IFCHR, Dev::default()))?;
    Ok(name)
}

/// Takes the name of a file, or of a directory that shows no entries.
pub(crate) fn remove(own: &Node, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
    let gone = node(inode)?;
    if inode.is_dir() && !merge::is_empty(gone)? {
        return Err(ENOTEMPTY);
    }
    own.copy_up(dir, None)?;
    let fs = &own.fs;
    let up = own.upper_path()?.ok_or(EIO)?;
    {
        let _acting = fs.act()?;
        let _write = up.mnt.want_write()?;
        let there = kernel_lookup(&up, name)?;
        if shows_below(own, name)? {
            let white = whiteout(fs)?;
            let work = fs.work()?;
            let exchange = there.is_some() && inode.is_dir();
            let flags = if exchange { uapi::RENAME_EXCHANGE } else { 0 };
            if let Err(error) = kernel_rename(work, &white, &up, name, flags) {
                let _ = kernel_remove(work, &white);
                return Err(error);
            }
            if exchange {
                discard(fs, &white);
            }
        } else {
            let there = there.ok_or(ENOENT)?;
            if inode.is_dir() {
                remove_dir(fs, &up, name, &there)?;
            } else {
                kernel_remove(&up, name)?;
            }
        }
    }
    lost_name(inode);
    refresh(dir);
    Ok(())
}

/// The inode has a name less.
pub(crate) fn lost_name(inode: &Arc<Inode>) {
    let Ok(node) = node(inode) else { return };
    if inode.is_dir() {
        inode.set_nlink(0);
    } else if node.upper.get().is_some() {
        refresh(inode);
    } else {
        inode.drop_nlink();
    }
}

/// Removes a directory of the upper layer that has at most whiteouts.
fn remove_dir(fs: &Fs, up: &Path, name: &[u8], dentry: &Arc<Dentry>) -> Result {
    if !merge::has_any(Path { mnt: up.mnt.clone(), dentry: dentry.clone() })? {
        return kernel_remove(up, name);
    }
    let temporary = fs.temporary()?;
    kernel_rename(up, name, fs.work()?, &temporary, 0)?;
    discard(fs, &temporary);
    Ok(())
}

/// Removes what was moved to the work directory: a directory goes with its whiteouts.
pub(crate) fn discard(fs: &Fs, name: &[u8]) {
    tidied(fs.work().and_then(|work| clear(work, name, 0)));
}

/// Something was to be cleaned up after the operation itself, which has happened: an error is told and no more. The work directory is
/// emptied at the next mount.
pub(crate) fn tidied(result: Result) {
    if let Err(error) = result {
        pr_err!("overlayfs: cleanup failed ({})\n", error.to_errno());
    }
}

/// Removes an entry of a directory and what is in it, a few levels deep. `ENOTEMPTY` for what is deeper.
pub(crate) fn clear(dir: &Path, name: &[u8], depth: u32) -> Result {
    let Some(dentry) = kernel_lookup(dir, name)? else { return Ok(()) };
    if dentry.positive()?.is_dir() {
        let path = Path { mnt: dir.mnt.clone(), dentry };
        if depth < 3 {
            let names = merge::names(path.clone())?;
            for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
                clear(&path, name, depth + 1)?;
            }
        }
    }
    kernel_remove(dir, name)
}

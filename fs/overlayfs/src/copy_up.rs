// SPDX-License-Identifier: GPL-2.0
//! A file or directory comes to the upper layer, with all directories above it: made under another name in the work directory,
//! filled, and renamed to its place, so that it is there whole or not at all.

use crate::layers::Fs;
use crate::node::{Node, key, node, refresh};
use kalloc::{Arc, KVVec, KVec};
use kernel::filesystem::vfs::namei::kernel::{kernel_make, kernel_open_real, kernel_rename};
use kernel::filesystem::vfs::namei::remove::kernel_remove;
use kernel::filesystem::vfs::{
    Dentry, FileType, Inode, Link, Path, Prepared, SetAttr, current_time, kernel_read, kernel_write,
};
use kernel::prelude::*;

/// Bytes that are copied at a time.
const CHUNK: usize = 64 << 10;

impl Node {
    /// Makes sure that `inode`, whose node this is, is in the upper layer. `size`: so much of a regular file is enough. `EROFS`
    /// without an upper layer. May sleep.
    pub(crate) fn copy_up(&self, inode: &Inode, size: Option<u64>) -> Result {
        if self.upper.get().is_some() {
            return Ok(());
        }
        self.fs.upper_mount()?;
        // Directories above that are to come along, the nearest first.
        let mut above: KVec<Arc<Inode>> = KVec::new();
        let mut at = &self.home.as_ref().ok_or(EIO)?.parent;
        while node(at)?.upper.get().is_none() {
            above.push(at.clone(), GFP_KERNEL)?;
            at = &node(at)?.home.as_ref().ok_or(EIO)?.parent;
        }
        for dir in above.iter().rev() {
            node(dir)?.copy_one(dir, None)?;
        }
        self.copy_one(inode, size)
    }

    fn copy_one(&self, inode: &Inode, size: Option<u64>) -> Result {
        let _copying = self.copying.lock();
        if self.upper.get().is_some() {
            return Ok(());
        }
        let home = self.home.as_ref().ok_or(EIO)?;
        let parent = node(&home.parent)?.upper_path()?.ok_or(EIO)?;
        let _acting = self.fs.act()?;
        let _write = self.fs.upper_mount()?.want_write()?;
        let work = self.fs.work()?;
        let temporary = self.fs.temporary()?;
        let dentry = self.make(work, &temporary)?;
        let real = dentry.positive()?.clone();
        let dir = parent.inode()?;
        let times = (dir.atime.get(), dir.mtime.get());
        let place = || {
            self.fill(Path { mnt: work.mnt.clone(), dentry: dentry.clone() }, size)?;
            if real.is_reg() {
                *self.held.lock() = Some(Prepared::user(&real)?);
            }
            // Whoever finds it at its place finds this inode.
            if let Some(own) = self.own.get() {
                self.fs.table.add(key(&real), own.clone())?;
            }
            // A whiteout, or another file, is there if the name was removed meanwhile.
            kernel_rename(work, &temporary, &parent, &home.name, uapi::RENAME_NOREPLACE)
        };
        if let Err(error) = place() {
            self.fs.table.remove(key(&real));
            // What is left is removed at the next mount.
            let _ = kernel_remove(work, &temporary);
            self.let_go();
            return Err(error);
        }
        // The directory did not change for who looks at the overlay.
        let attr = SetAttr {
            atime: Some(times.0),
            mtime: Some(times.1),
            times_set: true,
            ctime: current_time(),
            ..SetAttr::default()
        };
        let _ = change(dir, &attr);
        // Set once, under `copying`.
        drop(self.upper.set(dentry));
        refresh(&home.parent);
        refresh(inode);
        Ok(())
    }

    /// The file of the upper layer may go with its last name, as far as this inode is concerned. May sleep.
    pub(crate) fn let_go(&self) {
        let held = self.held.lock().take();
        drop(held);
    }

    /// An empty file of the same kind in the work directory.
    fn make(&self, work: &Path, name: &[u8]) -> Result<Arc<Dentry>> {
        let real = self.real()?;
        let mode = real.mode();
        let link = if real.is_symlink() {
            match real.ops().get_link(real)? {
                Link::Text(text) => KVec::from_slice(text, GFP_KERNEL)?,
                Link::Owned(text) => text,
                Link::Jump(_) => return Err(EPERM),
            }
        } else {
            KVec::new()
        };
        kernel_make(work, name, |dir| match FileType::of(mode) {
            FileType::Reg => dir.ops().create(dir, name, uapi::S_IFREG | 0o600),
            FileType::Dir => dir.ops().mkdir(dir, name, uapi::S_IFDIR | 0o700),
            FileType::Link => dir.ops().symlink(dir, name, &link),
            _ => dir.ops().mknod(dir, name, mode, real.rdev),
        })
    }

    /// Data, extended attributes, owner, mode and times.
    fn fill(&self, to: Path, size: Option<u64>) -> Result {
        let real = self.real()?;
        let new = to.inode()?.clone();
        if real.is_reg() {
            copy_data(self.real_path()?, to, size.unwrap_or(u64::MAX).min(real.size()), self.fs.syncs()?)?;
        }
        copy_attributes(&self.fs, real, &new)?;
        // A file with several names below becomes several: none of them has its number. Attributes of users are for files and directories.
        let one = real.is_dir() || real.nlink() == 1;
        if one && (real.is_dir() || real.is_reg() || !self.fs.options.userxattr) {
            let origin = crate::origin::encode(&self.real_path()?)?;
            match self.fs.set_attribute(&new, b"origin", &origin) {
                Err(EPERM | EOPNOTSUPP) => {}
                set => set?,
            }
        }
        let attr = SetAttr {
            uid: Some(real.uid()),
            gid: Some(real.gid()),
            mode: (!real.is_symlink()).then_some(real.mode() & 0o7777),
            atime: Some(real.atime.get()),
            mtime: Some(real.mtime.get()),
            times_set: true,
            ctime: current_time(),
            size: None,
        };
        change(&new, &attr)
    }
}

/// `setattr` of a file of the upper layer.
pub(crate) fn change(inode: &Inode, attr: &SetAttr) -> Result {
    let _lock = inode.lock.write();
    inode.ops().setattr(inode, attr)
}

/// Copies `size` bytes, leaving holes where the source has them, and writes them to the disk if it `syncs`.
fn copy_data(from: Path, to: Path, size: u64, syncs: bool) -> Result {
    let from = kernel_open_real(from, uapi::O_RDONLY | uapi::O_LARGEFILE | uapi::O_NOATIME)?;
    let to = kernel_open_real(to, uapi::O_WRONLY | uapi::O_LARGEFILE)?;
    let mut buffer = KVVec::from_elem(0u8, CHUNK.min(size.max(1) as usize), GFP_KERNEL)?;
    let mut at = 0;
    while at < size {
        let mut pos = 0;
        match from.ops().llseek(&from, &mut pos, at.cast_signed(), uapi::SEEK_DATA) {
            Ok(data) => at = at.max(data.cast_unsigned()),
            // Only a hole is left.
            Err(error) if error == ENXIO => break,
            Err(_) => {}
        }
        let want = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let Some(chunk) = buffer.get_mut(..want).filter(|chunk| !chunk.is_empty()) else { break };
        let n = kernel_read(&from, at.cast_signed(), chunk)?;
        if n == 0 {
            break;
        }
        kernel_write(&to, at.cast_signed(), chunk.get(..n).unwrap_or(&[]))?;
        at += n as u64;
    }
    if to.inode().size() < size {
        change(to.inode(), &SetAttr { size: Some(size), ctime: current_time(), ..SetAttr::default() })?;
    }
    if syncs && to.inode().sb().device().is_some() { to.fsync(false) } else { Ok(()) }
}

/// Copies the extended attributes but for our own. What the upper layer cannot keep is left out, unless it says who may do what.
fn copy_attributes(fs: &Fs, from: &Arc<Inode>, to: &Arc<Inode>) -> Result {
    let names = match from.ops().listxattr(from) {
        Err(error) if error == EOPNOTSUPP => return Ok(()),
        names => names?,
    };
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty() && !name.starts_with(fs.prefix())) {
        let value = match from.ops().getxattr(from, name) {
            Ok(value) => value,
            Err(error) if error == ENODATA => continue,
            Err(error) => return Err(error),
        };
        let _lock = to.lock.write();
        match to.ops().setxattr(to, name, Some(&value), 0) {
            Err(error) if error == EOPNOTSUPP && !name.starts_with(b"security.") && !name.starts_with(b"system.") => {}
            result => result?,
        }
    }
    Ok(())
}

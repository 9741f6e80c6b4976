// SPDX-License-Identifier: GPL-2.0
//! Renaming. Locks, in order: the file system's `rename_lock` (if two directories are involved), the directory that is an
//! ancestor of the other, the other one, the directory that is replaced, the files that move or lose a name (by number). Source:
//! `rename(2)`.

use super::create::may_create;
use super::pathname::PathName;
use super::remove::may_delete;
use super::slow::lookup_locked;
use super::walk::{Start, Walker};
use crate::dcache::{self, Move, Pending};
use crate::dentry::Dentry;
use crate::inode::{Inode, Rename};
use crate::mount::is_mountpoint;
use crate::name::Key;
use crate::notify;
use crate::path::Path;
use crate::perm::{MAY_WRITE, inode_permission};
use core::cell::Cell;
use errno::{Result, code::*};
use kalloc::Arc;
use sync::{MutexGuard, RwWriteGuard};

use uapi::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};

/// Both directories, locked.
pub(super) struct Locked<'a> {
    _first: RwWriteGuard<'a, ()>,
    _second: Option<RwWriteGuard<'a, ()>>,
    _shape: Option<MutexGuard<'a, ()>>,
}

pub(super) fn lock_both<'a>(old: &'a Path, new: &'a Path) -> Result<Locked<'a>> {
    let (a, b) = (old.inode()?, new.inode()?);
    if Arc::ptr_eq(a, b) {
        return Ok(Locked { _first: a.lock.write(), _second: None, _shape: None });
    }
    let shape = a.sb().rename_lock.lock();
    // The ancestor first, as every walk down does; two that are not related cannot be locked by others in the wrong order while
    // `rename_lock` is held.
    let (first, second) = if dcache::is_subdir(&old.dentry, &new.dentry) { (b, a) } else { (a, b) };
    Ok(Locked { _first: first.lock.write(), _second: Some(second.lock.write_nested()), _shape: Some(shape) })
}

/// What moves, and what it meets, locked but for directories that move: a file's times and links change with its name, and who writes to
/// it changes the times, too.
fn lock_moved<'a>(inode: &'a Inode, target: Option<&'a Inode>, exchange: bool) -> [Option<RwWriteGuard<'a, ()>>; 2] {
    let file = Some(inode).filter(|inode| !inode.is_dir());
    let target = target.filter(|target| !target.is_dir() || !exchange);
    let (first, second) = match (file, target) {
        (Some(file), Some(target)) if target.ino < file.ino => (Some(target), Some(file)),
        (None, target) => (target, None),
        both => both,
    };
    [first.map(|inode| inode.lock.write()), second.map(|inode| inode.lock.write_nested())]
}

pub(super) struct Plan<'a> {
    pub(super) old_dir: &'a Path,
    pub(super) old_key: &'a Key<'a>,
    pub(super) old_slash: bool,
    pub(super) new_dir: &'a Path,
    pub(super) new_key: &'a Key<'a>,
    pub(super) new_slash: bool,
    pub(super) flags: u32,
    /// The kernel's own: no permissions are asked.
    pub(super) trusted: bool,
}

/// `EINVAL` if the flags of `renameat2` make no sense.
pub fn check_flags(flags: u32) -> Result {
    if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0
        || flags & RENAME_EXCHANGE != 0 && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0
    {
        return Err(EINVAL);
    }
    Ok(())
}

/// Where the old name is: the walk to its directory has been made.
pub struct Source<'a> {
    walk: Walker<'a>,
    dir: Parent,
}

/// The directory of a last name; without one (`/`), what the path leads to.
type Parent = core::result::Result<Path, Path>;

fn parent(walk: &mut Walker<'_>) -> Result<Parent> {
    match walk.parent()? {
        Some(dir) => Ok(Ok(dir)),
        None => walk.run(|place| Ok(Err(place.to_path()))),
    }
}

impl<'a> Source<'a> {
    /// Walks to the directory of `old`. May sleep. Errors of the walk.
    pub fn new(from: Start<'a>, old: &'a PathName) -> Result<Self> {
        let mut walk = Walker::new(from, old, 0)?;
        let dir = parent(&mut walk)?;
        Ok(Self { walk, dir })
    }
}

/// `renameat2`, whose flags have been checked.
pub fn rename(source: Source<'_>, to: Start<'_>, new: &PathName, flags: u32) -> Result {
    let Source { walk: old_walk, dir: old_dir } = source;
    let mut new_walk = Walker::new(to, new, 0)?;
    let new_dir = parent(&mut new_walk)?;
    let (Ok(old_place) | Err(old_place), Ok(new_place) | Err(new_place)) = (&old_dir, &new_dir);
    if !Arc::ptr_eq(&old_place.mnt, &new_place.mnt) {
        return Err(EXDEV);
    }
    let taken = if flags & RENAME_NOREPLACE != 0 { EEXIST } else { EBUSY };
    let old_dir = old_dir.map_err(|_| EBUSY)?;
    let (old_key, old_slash) = old_walk.last();
    if old_key.dots() != 0 {
        return Err(EBUSY);
    }
    let new_dir = new_dir.map_err(|_| taken)?;
    let (new_key, new_slash) = new_walk.last();
    if new_key.dots() != 0 {
        return Err(taken);
    }
    let _write = old_dir.mnt.want_write()?;
    let plan = Plan {
        old_dir: &old_dir,
        old_key: &old_key,
        old_slash,
        new_dir: &new_dir,
        new_key: &new_key,
        new_slash,
        flags,
        trusted: false,
    };
    let replaced = {
        let _locks = lock_both(&old_dir, &new_dir)?;
        plan.run()?
    };
    if let Some(inode) = replaced {
        // Outside of the locks: giving back the data may take long.
        inode.put_user(false);
    }
    Ok(())
}

impl Plan<'_> {
    /// With the directories locked. Returns what lost a name.
    pub(super) fn run(&self) -> Result<Option<Arc<Inode>>> {
        let dentry = lookup_locked(&self.old_dir.dentry, self.old_key)?.ok_or(ENOENT)?;
        let inode = dentry.positive()?;
        let found = lookup_locked(&self.new_dir.dentry, self.new_key)?;
        let target = found.as_ref().filter(|found| found.inode().is_some());
        self.check(&dentry, inode, target)?;
        let (old_dir, new_dir) = (self.old_dir.inode()?, self.new_dir.inode()?);
        let victim = match target {
            Some(target) => Some(target.positive()?),
            None => None,
        };
        if victim.is_some_and(|victim| Arc::ptr_eq(victim, inode)) {
            return Ok(None);
        }
        if self.trusted {
            self.fits(inode, victim)?;
        } else {
            self.permissions(inode, old_dir, new_dir, victim)?;
        }
        if is_mountpoint(&dentry) || target.is_some_and(|target| is_mountpoint(target)) {
            return Err(EBUSY);
        }
        let exchange = self.flags & RENAME_EXCHANGE != 0;
        // What may fail, before the file system changes anything.
        let forth = Move::prepare(&dentry, &self.new_dir.dentry, self.new_key)?;
        let back = match target {
            Some(target) if exchange => Some(Move::prepare(target, &self.old_dir.dentry, self.old_key)?),
            _ => None,
        };
        let whiteout = match self.flags & RENAME_WHITEOUT {
            0 => None,
            _ => Some(Pending::new(&self.old_dir.dentry, self.old_key, None)?),
        };
        let moved_locks = lock_moved(inode, victim.map(|victim| &**victim), exchange);
        let rename = Rename {
            old_dir,
            old_name: self.old_key.bytes,
            inode,
            place: &dentry,
            new_dir,
            new_name: self.new_key.bytes,
            target: victim,
            target_place: target,
            flags: self.flags,
            whiteout: Cell::new(None),
        };
        old_dir.ops().rename(&rename)?;
        // Before the move, so that the old name leads somewhere all the time: who looks finds the newer entry first.
        if let (Some(pending), Some(inode)) = (whiteout, rename.whiteout.take()) {
            pending.commit(inode);
        }
        match back {
            Some(back) => {
                dcache::apply_moves([forth, back], None);
                drop(moved_locks);
                let (from, to) = ((&**old_dir, self.old_key.bytes), (&**new_dir, self.new_key.bytes));
                notify::moved(from, to, inode, None);
                if let Some(victim) = victim {
                    notify::moved(to, from, victim, None);
                }
                Ok(None)
            }
            None => {
                dcache::apply_moves([forth], found.as_ref());
                dcache::entry_made(&self.new_dir.dentry);
                drop(moved_locks);
                let (from, to) = ((&**old_dir, self.old_key.bytes), (&**new_dir, self.new_key.bytes));
                notify::moved(from, to, inode, victim.map(|victim| &**victim));
                Ok(victim.cloned())
            }
        }
    }

    fn check(&self, dentry: &Arc<Dentry>, inode: &Inode, target: Option<&Arc<Dentry>>) -> Result {
        let exchange = self.flags & RENAME_EXCHANGE != 0;
        if self.flags & RENAME_NOREPLACE != 0 && target.is_some() {
            return Err(EEXIST);
        }
        if exchange {
            let target = target.ok_or(ENOENT)?.positive()?;
            if !target.is_dir() && self.new_slash {
                return Err(ENOTDIR);
            }
        }
        if !inode.is_dir() && (self.old_slash || !exchange && self.new_slash) {
            return Err(ENOTDIR);
        }
        if dcache::is_subdir(&self.new_dir.dentry, dentry) {
            return Err(EINVAL);
        }
        if let Some(target) = target
            && dcache::is_subdir(&self.old_dir.dentry, target)
        {
            return Err(if exchange { EINVAL } else { ENOTEMPTY });
        }
        Ok(())
    }

    /// A directory replaces a directory, other files others.
    fn fits(&self, inode: &Inode, victim: Option<&Arc<Inode>>) -> Result {
        match victim.filter(|_| self.flags & RENAME_EXCHANGE == 0).map(|victim| (inode.is_dir(), victim.is_dir())) {
            Some((true, false)) => Err(ENOTDIR),
            Some((false, true)) => Err(EISDIR),
            _ => Ok(()),
        }
    }

    fn permissions(
        &self,
        inode: &Arc<Inode>,
        old_dir: &Arc<Inode>,
        new_dir: &Arc<Inode>,
        victim: Option<&Arc<Inode>>,
    ) -> Result {
        let exchange = self.flags & RENAME_EXCHANGE != 0;
        may_delete(old_dir, inode, inode.is_dir())?;
        match victim {
            None => may_create(new_dir)?,
            Some(victim) => may_delete(new_dir, victim, if exchange { victim.is_dir() } else { inode.is_dir() })?,
        }
        // A directory that changes its parent is written to (`..`).
        if !Arc::ptr_eq(old_dir, new_dir) {
            if inode.is_dir() {
                inode_permission(inode, MAY_WRITE)?;
            }
            if let Some(victim) = victim.filter(|victim| exchange && victim.is_dir()) {
                inode_permission(victim, MAY_WRITE)?;
            }
        }
        Ok(())
    }
}

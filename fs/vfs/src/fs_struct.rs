// SPDX-License-Identifier: GPL-2.0
//! Root, working directory and umask of a task (`fs_struct`). Threads (`CLONE_FS`) share one.
//!
//! Locks: a spin lock among writers. Readers borrow under RCU: a walk from the working directory counts nothing.

use crate::mnt_ns::MntNs;
use crate::path::Path;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, ArcBorrow, KBox};
use locking::SpinLock;
use rcu::{RcuArc, ReadGuard};
use task::{Task, TaskLocal};

/// Root and working directory, which change together or not at all.
pub struct FsPaths {
    /// Where absolute paths start, and above which nothing is seen.
    pub root: Path,
    /// Where relative paths start.
    pub pwd: Path,
}

/// See the module's text.
pub struct FsStruct {
    paths: RcuArc<FsPaths>,
    umask: AtomicU32,
    writers: SpinLock<()>,
    /// The mount name space that the task (and all who share this) is in. `None` before the root is mounted.
    ns: SpinLock<Option<Arc<MntNs>>>,
}

/// A task's place for its `FsStruct`.
pub struct FsSlot(RcuArc<FsStruct>);

static FS: TaskLocal<FsSlot> = TaskLocal::new();

impl FsStruct {
    /// Both at `root`, in the first name space.
    pub fn new(root: Path) -> Result<Arc<Self>> {
        let ns = SpinLock::new(crate::mnt_ns::first());
        let paths = Arc::new(FsPaths { pwd: root.clone(), root }, GFP_KERNEL)?;
        let fs = Self { paths: RcuArc::new(Some(paths)), umask: AtomicU32::new(0o022), writers: SpinLock::new(()), ns };
        Ok(Arc::new(fs, GFP_KERNEL)?)
    }

    /// A copy of its own for a child.
    pub fn duplicate(&self) -> Result<Arc<Self>> {
        // The paths never change, only the place that holds them, so both may share them.
        let fs = Self {
            paths: RcuArc::new(self.paths.get()),
            umask: AtomicU32::new(self.umask()),
            writers: SpinLock::new(()),
            ns: SpinLock::new(self.ns()),
        };
        Ok(Arc::new(fs, GFP_KERNEL)?)
    }

    /// Root and working directory, for the length of a section.
    #[inline(always)]
    pub fn borrow<'g>(&self, section: &'g ReadGuard) -> Option<ArcBorrow<'g, FsPaths>> {
        self.paths.borrow(section)
    }

    /// Root and working directory, counted.
    pub fn paths(&self) -> Result<Arc<FsPaths>> {
        self.paths.get().ok_or(ENOENT)
    }

    /// The mount name space.
    pub fn ns(&self) -> Option<Arc<MntNs>> {
        self.ns.lock().clone()
    }

    /// Changes the mount name space. May sleep: the last one to leave a name space takes it apart.
    pub(crate) fn set_ns(&self, ns: Arc<MntNs>) {
        let old = self.ns.lock().replace(ns);
        drop(old);
    }

    /// The bits that new files do not get.
    #[inline(always)]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }

    /// Changes root or working directory. May sleep.
    pub fn change(&self, root: Option<Path>, pwd: Option<Path>) -> Result {
        // Another thread may change the other half meanwhile: then start again from what it left.
        loop {
            let old = self.paths()?;
            let new = FsPaths {
                root: root.clone().unwrap_or_else(|| old.root.clone()),
                pwd: pwd.clone().unwrap_or_else(|| old.pwd.clone()),
            };
            let new = Arc::new(new, GFP_KERNEL)?;
            let writers = self.writers.lock();
            if core::ptr::eq(self.paths.as_ptr(), &*old) {
                self.paths.replace(Some(new));
                return Ok(());
            }
            drop(writers);
        }
    }

    /// Replaces every place that is `old` by `new` (`pivot_root`). May sleep.
    pub fn replace(&self, old: &Path, new: &Path) -> Result {
        let paths = self.paths()?;
        let root = paths.root.same(old).then(|| new.clone());
        let pwd = paths.pwd.same(old).then(|| new.clone());
        if root.is_some() || pwd.is_some() { self.change(root, pwd) } else { Ok(()) }
    }
}

/// Gives a new task its `FsStruct`; once, before it runs. May sleep.
pub fn attach_fs(task: &Task, fs: Arc<FsStruct>) -> Result {
    FS.set(task, KBox::new(FsSlot(RcuArc::new(Some(fs))), GFP_KERNEL)?).map_err(|_| EBUSY)
}

/// `task`'s, counted; `None` once it has exited.
pub fn task_fs(task: &Task) -> Option<Arc<FsStruct>> {
    FS.get(task)?.0.get()
}

/// The current task's, for the length of a section.
#[inline(always)]
pub fn borrow_fs<'g>(section: &'g ReadGuard) -> Option<ArcBorrow<'g, FsStruct>> {
    let current = task::try_current()?;
    FS.get(&current)?.0.borrow(section)
}

/// The current task's, counted.
pub fn current_fs() -> Result<Arc<FsStruct>> {
    task_fs(&task::current()).ok_or(ENOENT)
}

/// Replaces the current task's (`unshare`), or takes it away (`exit`).
pub fn set_current_fs(fs: Option<Arc<FsStruct>>) {
    if let Some(slot) = FS.get(&task::current()) {
        slot.0.replace(fs);
    }
}

// SPDX-License-Identifier: GPL-2.0
//! `SuperBlock`: a mounted file system. Source: `mount(2)`, `statfs(2)`.
//!
//! Locks: `rename_lock` of a super block is the outermost lock of a rename that changes the shape of the tree; `ON_DEVICES` (sleeping),
//! the list of those on devices.

mod ops;

pub use ops::{Kstatfs, QuotaInfo, QuotaLimits, SimpleSuper, SuperDevice, SuperOps};

use crate::dentry::Dentry;
use crate::fs_type::FileSystemType;
use crate::handle::Known;
use crate::icache::InodeCache;
use crate::inode::Inode;
use crate::types::Dev;
use crate::writeback::Writer;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use mm::ErrSeq;
use module_core::ModuleRef;
use sync::{Mutex, MutexGuard};

/// A mounted file system.
pub struct SuperBlock {
    /// Its device number (`st_dev`).
    pub dev: Dev,
    /// Unit of I/O.
    pub block_size: u32,
    /// Magic number for `statfs(2)`.
    pub magic: u64,
    /// Largest file.
    pub max_bytes: u64,
    /// Its type.
    pub fs_type: &'static dyn FileSystemType,
    flags: AtomicU32,
    next_ino: AtomicU64,
    /// Mounts of it.
    mounts: AtomicU32,
    /// Writers of all its mounts ([`crate::mount::Mount::want_write`]), those that are attached nowhere any more among them.
    pub(crate) writers: AtomicU32,
    root: SpinLock<Option<Arc<Dentry>>>,
    /// Inodes that were ever watched.
    pub(crate) marked: Mutex<KVec<WeakArc<Inode>>>,
    /// Serialises renames between directories.
    pub(crate) rename_lock: Mutex<()>,
    device: Option<OnDevice>,
    /// Errors of writing back, for `syncfs`.
    errors: ErrSeq,
    /// Inodes of which handles were given; made with the first one.
    known: SetOnce<KBox<Known>>,
    /// Frozen (`FIFREEZE`); the lock is held while that, or flags and options, change.
    frozen: Mutex<bool>,
    ops: KBox<dyn SuperOps>,
    /// The module that its type is in: given back last.
    _module: ModuleRef,
}

/// What only a file system on a device has.
struct OnDevice {
    device: Arc<dyn SuperDevice>,
    writer: Arc<Writer>,
    inodes: InodeCache,
}

/// What [`SuperBlock::new`] needs.
pub struct SuperInit {
    /// Magic number.
    pub magic: u64,
    /// Unit of I/O.
    pub block_size: u32,
    /// Largest file.
    pub max_bytes: u64,
    /// `MS_*` flags that belong to the super block.
    pub flags: u32,
}

/// A flag of our own beside [`SB_FLAGS`]: it is about to become read-only.
pub(crate) const REMOUNTING: u32 = 1 << 30;

/// `MS_*` flags that are the super block's, not the mount's.
pub const SB_FLAGS: u32 = uapi::MS_RDONLY
    | uapi::MS_SYNCHRONOUS
    | uapi::MS_MANDLOCK
    | uapi::MS_DIRSYNC
    | uapi::MS_SILENT
    | uapi::MS_POSIXACL
    | uapi::MS_LAZYTIME
    | uapi::MS_I_VERSION;

impl SuperBlock {
    /// A file system without a device of its own: it gets an anonymous device number.
    pub fn new(fs_type: &'static dyn FileSystemType, init: SuperInit, ops: KBox<dyn SuperOps>) -> Result<Arc<Self>> {
        Self::build(fs_type, init, ops, anon_dev()?, None)
    }

    /// A file system on `device`: it has an inode cache, and its dirty inodes are written back in the background.
    pub fn new_on(
        fs_type: &'static dyn FileSystemType,
        init: SuperInit,
        ops: KBox<dyn SuperOps>,
        device: Arc<dyn SuperDevice>,
    ) -> Result<Arc<Self>> {
        let writer = crate::writeback::writer_of(device.bdi(), device.name())?;
        let dev = device.dev();
        let on = OnDevice { device, writer, inodes: InodeCache::new()? };
        let sb = Self::build(fs_type, init, ops, dev, Some(on))?;
        let mut supers = ON_DEVICES.lock();
        supers.retain(|other| other.strong_count() != 0);
        supers.push(Arc::downgrade(&sb), GFP_KERNEL)?;
        Ok(sb)
    }

    #[allow(clippy::if_same_then_else, reason = "each `Mutex::new` is a lock class of its own")]
    fn build(
        fs_type: &'static dyn FileSystemType,
        init: SuperInit,
        ops: KBox<dyn SuperOps>,
        dev: Dev,
        device: Option<OnDevice>,
    ) -> Result<Arc<Self>> {
        let sb = Self {
            dev,
            block_size: init.block_size,
            magic: init.magic,
            max_bytes: init.max_bytes,
            fs_type,
            flags: AtomicU32::new(init.flags & SB_FLAGS),
            next_ino: AtomicU64::new(1),
            mounts: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            root: SpinLock::new(None),
            marked: Mutex::new(KVec::new()),
            rename_lock: if fs_type.stacks() { Mutex::new(()) } else { Mutex::new(()) },
            device,
            errors: ErrSeq::new(),
            known: SetOnce::new(),
            frozen: Mutex::new(false),
            ops,
            _module: ModuleRef::get(fs_type.owner()).ok_or(ENODEV)?,
        };
        Ok(Arc::new(sb, GFP_KERNEL)?)
    }

    /// Sets the root dentry, once, before the file system is mounted.
    pub fn set_root(&self, root: Arc<Dentry>) {
        *self.root.lock() = Some(root);
    }

    /// The root dentry. `None` before it is set and after the file system was shut down.
    pub fn root(&self) -> Option<Arc<Dentry>> {
        self.root.lock().clone()
    }

    /// The inodes of which handles were given. ENOMEM.
    pub(crate) fn known(&self) -> Result<&Known> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let new = KBox::new(Known::new()?, GFP_KERNEL)?;
        Ok(self.known.get_or_init(move || new))
    }

    /// Gives back the memory of inodes that are gone and of which handles were given. Does not wait.
    pub(crate) fn prune_known(&self) {
        if let Some(known) = self.known.get() {
            known.prune();
        }
    }

    /// The inode `ino`, if a handle of it was given and it is still there. For file systems that keep their inodes nowhere else.
    pub fn known_inode(&self, ino: u64) -> Option<Arc<Inode>> {
        self.known.get()?.inode(ino)
    }

    /// Its operations.
    pub fn ops(&self) -> &dyn SuperOps {
        &*self.ops
    }

    /// Its own part, if it is a `T`.
    pub fn private<T: SuperOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// `MS_*` flags.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::SeqCst) & SB_FLAGS
    }

    /// Replaces the flags, [`REMOUNTING`] among them.
    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags & (SB_FLAGS | REMOUNTING), Ordering::SeqCst);
    }

    /// Whether nobody may begin to change something: it is read-only, or about to be.
    #[inline(always)]
    pub(crate) fn refuses_writers(&self) -> bool {
        self.flags.load(Ordering::SeqCst) & (uapi::MS_RDONLY | REMOUNTING) != 0
    }

    /// Whether nothing may be changed.
    #[inline(always)]
    pub fn is_rdonly(&self) -> bool {
        self.flags() & uapi::MS_RDONLY != 0
    }

    /// The device it is on.
    #[inline]
    pub fn device(&self) -> Option<&Arc<dyn SuperDevice>> {
        self.device.as_ref().map(|on| &on.device)
    }

    /// Who writes its dirty inodes.
    pub(crate) fn writer(&self) -> Option<&Arc<Writer>> {
        self.device.as_ref().map(|on| &on.writer)
    }

    pub(crate) fn icache(&self) -> Option<&InodeCache> {
        self.device.as_ref().map(|on| &on.inodes)
    }

    /// Errors of writing back, for `syncfs`.
    pub fn errors(&self) -> &ErrSeq {
        &self.errors
    }

    /// Sets `MS_RDONLY` (a file system that found an error and was told `errors=remount-ro`).
    pub fn set_rdonly(&self) {
        self.flags.fetch_or(uapi::MS_RDONLY, Ordering::Relaxed);
    }

    /// Writes all inodes and their pages, then what the file system keeps, then the device's pages, and waits. The first error. May
    /// sleep.
    pub fn sync_all(&self) -> Result {
        let mut result = Ok(());
        if let Some(on) = &self.device {
            result = on.writer.sync(on.device.bdi(), core::ptr::from_ref(self).addr());
        }
        result = result.and(self.ops.sync(self, true));
        if let Some(on) = &self.device {
            result = result.and(on.device.sync());
        }
        result
    }

    /// Freezes (`FIFREEZE`) or thaws it. `EBUSY` and `EINVAL` if it is so already. May sleep.
    pub fn set_frozen(&self, frozen: bool) -> Result {
        let mut now = self.frozen.lock();
        if *now == frozen {
            return Err(if frozen { errno::code::EBUSY } else { errno::code::EINVAL });
        }
        if frozen {
            self.ops.freeze(self)?;
        } else {
            self.ops.unfreeze(self)?;
        }
        *now = frozen;
        Ok(())
    }

    /// Nobody freezes it, or gives it other flags, while the result is there. `EBUSY` if it is frozen. May sleep.
    pub(crate) fn keep_thawed(&self) -> Result<MutexGuard<'_, bool>> {
        let now = self.frozen.lock();
        if *now { Err(errno::code::EBUSY) } else { Ok(now) }
    }

    /// Starts writing without waiting (the first half of `sync(2)`).
    pub(crate) fn sync_start(&self) {
        if let Some(on) = &self.device {
            on.writer.start_all();
        }
    }

    /// What `statfs(2)` shows of it. May sleep.
    pub fn statfs(&self) -> Result<Kstatfs> {
        let mut stat = Kstatfs {
            f_type: self.magic,
            bsize: mm_alloc::layout::PAGE_SIZE as u64,
            namelen: 255,
            ..Kstatfs::default()
        };
        self.ops.statfs(self, &mut stat)?;
        Ok(stat)
    }

    /// Whether somebody has it mounted.
    pub fn is_mounted(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    /// A number for a new inode.
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get_mount(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// A mount is gone; the last one shuts the file system down. May sleep.
    pub(crate) fn put_mount(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) == 1 && !self.fs_type.keeps_super() {
            self.shutdown();
        }
    }

    fn shutdown(&self) {
        crate::notify::unmounted(self);
        let root = self.root.lock().take();
        // Nobody could thaw it later.
        let _ = self.set_frozen(false);
        // What cannot be written back is lost with the file system; there is nobody left to tell.
        let _ = self.sync_all();
        if let Some(root) = root {
            crate::dcache::drop_tree(&root);
        }
        if let Some(on) = &self.device {
            on.inodes.clear();
            on.writer.forget(core::ptr::from_ref(self).addr());
        }
        self.ops.put_super(self);
        if let Some(on) = &self.device {
            // The super block itself was perhaps written just now.
            let _ = on.device.sync();
            on.device.release();
        }
    }
}

impl Drop for SuperBlock {
    fn drop(&mut self) {
        if self.device.is_none() {
            free_anon_dev(self.dev);
        }
    }
}

/// File systems on devices.
static ON_DEVICES: Mutex<KVec<WeakArc<SuperBlock>>> = Mutex::new(KVec::new());

/// The mounted file system of type `fs_type` on device `dev`.
pub fn on_device(fs_type: &'static dyn FileSystemType, dev: Dev) -> Option<Arc<SuperBlock>> {
    let supers = ON_DEVICES.lock();
    supers
        .iter()
        .filter_map(WeakArc::upgrade)
        .find(|sb| sb.dev == dev && sb.fs_type.name() == fs_type.name() && sb.root().is_some())
}

/// Calls `f` for each file system on a device. `f` may sleep.
pub fn for_each_on_device(mut f: impl FnMut(&Arc<SuperBlock>)) {
    let mut index = 0;
    loop {
        // One at a time: `f` must not run with the list locked.
        let found = {
            let supers = ON_DEVICES.lock();
            match supers.get(index) {
                Some(weak) => weak.upgrade(),
                None => return,
            }
        };
        if let Some(sb) = found {
            f(&sb);
        }
        index += 1;
    }
}

/// What `mount(2)` says to a file system.
pub struct FsContext<'a> {
    /// The device or other source, as given.
    pub source: &'a [u8],
    /// `MS_*` flags for the super block.
    pub flags: u32,
    /// Options, separated by commas.
    pub options: &'a [u8],
}

impl<'a> FsContext<'a> {
    /// The options, each as a key and perhaps a value.
    pub fn iter_options(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let options = self.options;
        options.split(|&b| b == b',').filter(|option| !option.is_empty()).map(|option| {
            let mut parts = option.splitn(2, |&b| b == b'=');
            (parts.next().unwrap_or(option), parts.next())
        })
    }
}

/// Minor numbers of anonymous devices (major 0) in use.
static ANON_MINORS: SpinLock<[u64; 64]> = SpinLock::new({
    let mut map = [0; 64];
    map[0] = 1; // 0:0 is no device
    map
});

fn anon_dev() -> Result<Dev> {
    let mut map = ANON_MINORS.lock();
    for (index, word) in map.iter_mut().enumerate() {
        let bit = word.trailing_ones();
        if bit < 64 {
            *word |= 1 << bit;
            return Ok(Dev::new(0, index as u32 * 64 + bit));
        }
    }
    Err(EMFILE)
}

/// A device number that belongs to no device, as long as this is there: for what shall have a `st_dev` of its own.
pub struct AnonDev(Dev);

impl AnonDev {
    /// `EMFILE` if there is none left.
    pub fn new() -> Result<Self> {
        anon_dev().map(Self)
    }

    /// The number.
    pub fn dev(&self) -> Dev {
        self.0
    }
}

impl Drop for AnonDev {
    fn drop(&mut self) {
        free_anon_dev(self.0);
    }
}

fn free_anon_dev(dev: Dev) {
    if let Some(word) = ANON_MINORS.lock().get_mut(dev.minor() as usize / 64) {
        *word &= !(1 << (dev.minor() % 64));
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A mounted file system: what an error does, the state in the boot sector, the free count on the disk, inodes by the place of their
//! entry. Locks: a list of `inodes`, around making an inode for a place.

use crate::node::Node;
use crate::options::{Options, Policy};
use crate::table::Free;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use fat_format::boot::{self, DIRTY, Geometry};
use kalloc::{Arc, KVVec, KVec, WeakArc};
use kernel::filesystem::block::OpFlags;
use kernel::filesystem::buffer::{Buffer, DeviceCache, MountedDevice};
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{Inode, SuperBlock};
use kernel::prelude::*;

/// Lists of inodes by place.
const LISTS: usize = 64;

type List = KVec<(u64, WeakArc<Inode>)>;

/// A mounted file system.
pub(crate) struct Mounted {
    pub(crate) geo: Geometry,
    pub(crate) device: Arc<MountedDevice>,
    pub(crate) options: Options,
    pub(crate) free: Mutex<Free>,
    pub(crate) sb: SetOnce<WeakArc<SuperBlock>>,
    /// An error made it read-only.
    failed: AtomicBool,
    inodes: KVVec<Mutex<List>>,
}

impl Mounted {
    pub(crate) fn new(geo: Geometry, device: Arc<MountedDevice>, options: Options, free: Free) -> Result<Self> {
        let mut inodes = KVVec::with_capacity(LISTS, GFP_KERNEL)?;
        for _ in 0..LISTS {
            inodes.push(Mutex::new(KVec::new()), GFP_KERNEL)?;
        }
        Ok(Self {
            geo,
            device,
            options,
            free: Mutex::new(free),
            sb: SetOnce::new(),
            failed: AtomicBool::new(false),
            inodes,
        })
    }

    pub(crate) fn cache(&self) -> &Arc<DeviceCache> {
        self.device.cache()
    }

    /// The buffer of a sector, read in. EIO.
    pub(crate) fn bread(&self, sector: u64) -> Result<Arc<Buffer>> {
        self.cache().bread(sector, self.geo.sector)
    }

    /// Whether entries have 32-bit clusters.
    pub(crate) fn wide(&self) -> bool {
        self.geo.width == fat_format::link::Width::Bits32
    }

    /// `EROFS` once an error made it read-only.
    pub(crate) fn writable(&self) -> Result {
        if self.failed.load(Relaxed) { Err(EROFS) } else { Ok(()) }
    }

    /// It is mounted for writing again.
    pub(crate) fn recover(&self) {
        self.failed.store(false, Relaxed);
    }

    /// Something is wrong on the disk: says so, and does what `errors=` says. Returns EIO.
    #[cold]
    pub(crate) fn error(&self, what: fmt::Arguments<'_>) -> Error {
        use kernel::filesystem::vfs::SuperDevice;
        let name = self.device.name();
        pr_err!("FAT-fs ({name}): error, {what}\n");
        match self.options.errors {
            Policy::Continue => {}
            Policy::Panic => kernel::filesystem::panic(format_args!("FAT-fs ({name}): fs panic from previous error")),
            Policy::ReadOnly => {
                let sb = self.sb.get().and_then(WeakArc::upgrade).filter(|sb| !sb.is_rdonly());
                if let Some(sb) = sb {
                    self.failed.store(true, Relaxed);
                    sb.set_rdonly();
                    pr_err!("FAT-fs ({name}): Filesystem has been set read-only\n");
                }
            }
        }
        EIO
    }

    /// Notes in the boot sector whether it is mounted for writing, and waits. One that was not unmounted before stays marked.
    pub(crate) fn set_state(&self, mounted: bool) -> Result {
        if self.geo.dirty {
            return Ok(());
        }
        let buffer = self.bread(0)?;
        {
            let mut data = buffer.write();
            let Some(state) = data.get_mut(self.geo.state_at()) else { return Err(EIO) };
            *state = if mounted { *state | DIRTY } else { *state & !DIRTY };
        }
        buffer.mark_dirty();
        self.cache().write_buffers(core::slice::from_ref(&buffer), OpFlags::NONE)
    }

    /// Puts the free count where the disk has it.
    pub(crate) fn store_info(&self) -> Result {
        if !self.wide() || self.geo.info_sector == 0 {
            return Ok(());
        }
        let (free, next) = {
            let mut free = self.free.lock();
            if !core::mem::take(&mut free.changed) {
                return Ok(());
            }
            (free.count.unwrap_or(u32::MAX), free.next)
        };
        let buffer = self.bread(self.geo.info_sector.into())?;
        // Without its marks it is somebody else's.
        if boot::info(&buffer.read()).is_some() {
            boot::set_info(&mut buffer.write(), free, next);
            buffer.mark_dirty();
        }
        Ok(())
    }

    fn list(&self, place: u64) -> Result<&Mutex<List>> {
        self.inodes.get((place / fat_format::ENTRY as u64) as usize % LISTS).ok_or(EINVAL)
    }

    /// The inode whose entry is at `place`, made by `make` if there is none.
    pub(crate) fn inode_at(&self, place: u64, make: impl FnOnce() -> Result<Arc<Inode>>) -> Result<Arc<Inode>> {
        let mut list = self.list(place)?.lock();
        if let Some(inode) = Self::find(&list, place) {
            return Ok(inode);
        }
        // Those that are gone leave when others come.
        list.retain(|(_, inode)| inode.strong_count() != 0);
        list.reserve(1, GFP_KERNEL)?;
        let inode = make()?;
        list.push((place, Arc::downgrade(&inode)), GFP_KERNEL)?;
        Ok(inode)
    }

    /// The number of the inode whose entry is at `place`, if it is known.
    pub(crate) fn number_at(&self, place: u64) -> Option<u64> {
        Self::find(&self.list(place).ok()?.lock(), place).map(|inode| inode.ino)
    }

    fn find(list: &List, place: u64) -> Option<Arc<Inode>> {
        let mut there = list.iter().filter(|(at, _)| *at == place).filter_map(|(_, inode)| inode.upgrade());
        // An entry may be used anew while its old file is still open.
        there.find(|inode| inode.private::<Node>().is_some_and(|node| node.shared.is_at(place)))
    }

    /// An inode's entry is elsewhere now. ENOMEM before anything changed.
    pub(crate) fn reserve_at(&self, place: u64) -> Result {
        let mut list = self.list(place)?.lock();
        list.retain(|(_, inode)| inode.strong_count() != 0);
        Ok(list.reserve(2, GFP_KERNEL)?)
    }

    /// Makes `inode` known at `place`, for which there is room.
    pub(crate) fn attach(&self, place: u64, inode: &Arc<Inode>) -> Result {
        let mut list = self.list(place)?.lock();
        list.retain(|(at, there)| *at != place && there.strong_count() != 0);
        Ok(list.push((place, Arc::downgrade(inode)), GFP_KERNEL)?)
    }
}

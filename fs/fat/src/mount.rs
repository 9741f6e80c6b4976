// SPDX-License-Identifier: GPL-2.0
//! Mounting, and the super block.

use crate::mounted::Mounted;
use crate::node::Node;
use crate::options::Options;
use crate::table::Free;
use core::fmt::Write;
use fat_format::boot::{self, FIRST, Geometry};
use fat_format::link::Width;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::block;
use kernel::filesystem::buffer::{MountedDevice, mount_bdev};
use kernel::filesystem::vfs::{
    Dentry, FileSystemType, FsContext, Inode, SuperBlock, SuperDevice, SuperInit, SuperOps, super_block::Kstatfs,
};
use kernel::prelude::*;

/// `MSDOS_SUPER_MAGIC`.
const MAGIC: u64 = 0x4d44;
/// Bytes that a unit of a name may take.
const UNIT_BYTES: u64 = 6;

/// The type `vfat`.
pub(crate) struct Type;

/// `vfat`.
pub(crate) static VFAT: Type = Type;

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "vfat"
    }

    fn requires_dev(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::parse(context)?;
        mount_bdev(self, context, |device| self.fill(context, device, options))
    }
}

/// The first sector's first 512 bytes say what there is.
fn geometry(device: &MountedDevice, silent: bool) -> Result<Geometry> {
    let mut bytes = KVec::from_elem(0u8, 512, GFP_KERNEL)?;
    block::read_bytes(device.bdev(), 0, &mut bytes)?;
    Geometry::parse(&bytes).map_err(|why| {
        if !silent {
            pr_err!("FAT-fs ({}): {why}\n", device.name());
            pr_info!("FAT-fs ({}): Can't find a valid FAT filesystem\n", device.name());
        }
        EINVAL
    })
}

impl Type {
    #[inline(never)]
    fn fill(
        &'static self,
        context: &FsContext<'_>,
        device: Arc<MountedDevice>,
        options: Options,
    ) -> Result<Arc<SuperBlock>> {
        // The first sector is read past the device's cached pages.
        SuperDevice::sync(&*device)?;
        let geo = geometry(&device, context.flags & uapi::MS_SILENT != 0)?;
        if device.bdev().logical_block_size() > geo.sector {
            pr_err!("FAT-fs ({}): logical sector size too small for device\n", device.name());
            return Err(EIO);
        }
        let free = Free { count: None, next: FIRST, changed: false };
        let mounted = Mounted::new(geo, device.clone(), options, free)?;
        mounted.read_info()?;
        let mounted = Arc::new(mounted, GFP_KERNEL)?;
        let init = SuperInit { magic: MAGIC, block_size: geo.sector, max_bytes: u32::MAX.into(), flags: context.flags };
        let sb = SuperBlock::new_on(self, init, KBox::new(Super(mounted.clone()), GFP_KERNEL)?, device)?;
        // The cell is new and empty.
        drop(mounted.sb.set(Arc::downgrade(&sb)));
        // The first number: see `node::ROOT`.
        sb.next_ino();
        let root = Node::root(&sb, &mounted)?;
        if context.flags & uapi::MS_RDONLY == 0 {
            mounted.begin()?;
        }
        sb.set_root(Dentry::new_root(root)?);
        Ok(sb)
    }
}

impl Mounted {
    /// Reads the free count and where to look for a cluster.
    fn read_info(&self) -> Result {
        if self.geo.width != Width::Bits32 {
            return Ok(());
        }
        let buffer = self.bread(self.geo.info_sector.into())?;
        let Some((count, next)) = boot::info(&buffer.read()) else {
            pr_warn!("FAT-fs ({}): Invalid FSINFO signature (sector = {})\n", self.device.name(), self.geo.info_sector);
            return Ok(());
        };
        let mut free = self.free.lock();
        // It may be wrong after a crash: it is believed only if the mount says so.
        free.count = Some(count).filter(|count| self.options.usefree && *count <= self.geo.clusters);
        free.next = if self.geo.has(next) { next } else { FIRST };
        Ok(())
    }

    /// Writing begins.
    fn begin(&self) -> Result {
        if self.geo.dirty {
            pr_warn!(
                "FAT-fs ({}): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.\n",
                self.device.name()
            );
        }
        self.set_state(true)
    }

    /// Writing ends: all is on the disk, and marked so.
    fn end(&self) -> Result {
        self.store_info()?;
        SuperDevice::sync(&*self.device)?;
        self.set_state(false)?;
        self.device.flush()
    }
}

/// The super block's operations.
struct Super(Arc<Mounted>);

impl SuperOps for Super {
    fn statfs(&self, _: &SuperBlock, out: &mut Kstatfs) -> Result {
        let geo = &self.0.geo;
        out.bsize = geo.cluster_bytes().into();
        out.blocks = geo.clusters.into();
        out.bfree = self.0.free_count()?.into();
        out.bavail = out.bfree;
        out.namelen = fat_format::LONG_MAX as u64 * UNIT_BYTES;
        Ok(())
    }

    fn sync(&self, _: &SuperBlock, _wait: bool) -> Result {
        self.0.store_info()
    }

    fn write_inode(&self, inode: &Inode, wait: bool) -> Result {
        Node::of(inode)?.shared.write(inode, wait)
    }

    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        self.0.options.show(out)
    }

    /// Options are those of the mount and stay so, as on Linux.
    fn remount(&self, sb: &SuperBlock, flags: u32, _options: &[u8]) -> Result {
        match (flags & uapi::MS_RDONLY != 0, sb.is_rdonly()) {
            (true, false) => {
                sb.sync_all()?;
                self.0.end()
            }
            (false, true) => {
                if !self.0.device.writes() {
                    return Err(EACCES);
                }
                self.0.recover();
                self.0.begin()
            }
            _ => Ok(()),
        }
    }

    fn put_super(&self, sb: &SuperBlock) {
        if !sb.is_rdonly()
            && let Err(error) = self.0.end()
        {
            pr_err!("FAT-fs ({}): unmount: {error}\n", self.0.device.name());
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Mounting, and the super block.

use crate::node::Node;
use crate::options::Options;
use core::fmt::Write;
use isofs_format::Volume;
use kalloc::{Arc, KBox};
use kernel::filesystem::block::BlockDevice;
use kernel::filesystem::buffer::{MountedDevice, mount_bdev};
use kernel::filesystem::vfs::{
    Dentry, FileSystemType, FsContext, SuperBlock, SuperDevice, SuperInit, SuperOps, super_block::Kstatfs,
};
use kernel::prelude::*;

/// `ISOFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x9660;

/// The type `iso9660`.
pub(crate) struct Type;

/// `iso9660`.
pub(crate) static ISO9660: Type = Type;

/// Where a disc is.
pub(crate) struct Disc(Arc<MountedDevice>);

impl Disc {
    /// The device.
    pub(crate) fn bdev(&self) -> &Arc<BlockDevice> {
        self.0.bdev()
    }
}

impl isofs_format::Store for Disc {
    fn read(&self, pos: u64, to: &mut [u8]) -> Result {
        crate::pages::read_cached(&self.0, pos, to)
    }
}

/// A mounted disc.
pub(crate) struct Mounted {
    pub(crate) volume: Volume<Disc>,
    pub(crate) options: Options,
}

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "iso9660"
    }

    fn requires_dev(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        // Checked first: a disc that is mounted already has its own.
        Options::parse(context)?;
        mount_bdev(self, context, |device| self.fill(context, device))
    }
}

impl Type {
    #[inline(never)]
    fn fill(&'static self, context: &FsContext<'_>, device: Arc<MountedDevice>) -> Result<Arc<SuperBlock>> {
        // Reading goes past the device's cached pages.
        SuperDevice::sync(&*device)?;
        let options = Options::parse(context)?;
        let volume = Volume::open(Disc(device.clone()), options.choice).map_err(|(error, why)| {
            if context.flags & uapi::MS_SILENT == 0 {
                pr_warn!("isofs_fill_super: {}: {why}\n", device.name());
            }
            error
        })?;
        if context.flags & uapi::MS_RDONLY == 0 {
            return Err(EACCES);
        }
        if device.bdev().disk().limits().logical_block_size > volume.block_size {
            pr_warn!("isofs_fill_super: {}: blocks are smaller than the device's\n", device.name());
            return Err(EINVAL);
        }
        let root = volume.inode(volume.root)?;
        if !root.is_dir {
            return Err(EINVAL);
        }
        let block_size = volume.block_size;
        let mounted = Arc::new(Mounted { volume, options }, GFP_KERNEL)?;
        let init = SuperInit { magic: MAGIC, block_size, max_bytes: 0x800_0000_0000, flags: context.flags };
        let sb = SuperBlock::new_on(self, init, KBox::new(Super(mounted.clone()), GFP_KERNEL)?, device)?;
        let ino = mounted.volume.root.ino();
        let root = sb.iget(ino, || Node::inode(&sb, &mounted, root))?;
        sb.set_root(Dentry::new_root(root)?);
        Ok(sb)
    }
}

/// The super block's operations.
struct Super(Arc<Mounted>);

impl SuperOps for Super {
    fn statfs(&self, _: &SuperBlock, out: &mut Kstatfs) -> Result {
        out.bsize = self.0.volume.block_size.into();
        out.blocks = self.0.volume.blocks.into();
        Ok(())
    }

    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        self.0.options.show(out, &self.0.volume)
    }

    /// Options are those of the mount and stay so: mount(8) hands back what /proc/mounts shows, which has other names than what is
    /// asked for.
    fn remount(&self, _: &SuperBlock, flags: u32, _options: &[u8]) -> Result {
        if flags & uapi::MS_RDONLY == 0 { Err(EROFS) } else { Ok(()) }
    }
}

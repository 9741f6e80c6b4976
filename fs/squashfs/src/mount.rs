// SPDX-License-Identifier: GPL-2.0
//! Mounting, options (`errors=continue|panic`), what `statfs` and `/proc/mounts` show.

use crate::node::Node;
use crate::store::Store;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kalloc::{Arc, KBox};
use kernel::ext::ModuleHeader;
use kernel::filesystem::buffer::{MountedDevice, mount_bdev};
use kernel::filesystem::vfs::{
    Dentry, FileSystemType, FsContext, SuperBlock, SuperDevice, SuperInit, SuperOps, super_block::Kstatfs,
};
use kernel::prelude::*;
use squashfs_format::{Image, MAGIC};

/// The type `squashfs`.
pub(crate) struct Type;

/// `squashfs`.
pub(crate) static SQUASHFS: Type = Type;

/// A mounted image.
pub(crate) struct Mounted {
    pub(crate) image: Image<Store>,
    pub(crate) device: Arc<MountedDevice>,
    panics: AtomicBool,
}

impl Mounted {
    /// Passes on what reading gave; damage is told, and obeyed as `errors=` says.
    pub(crate) fn checked<T>(&self, what: &str, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && *error == EIO
        {
            pr_err!("error: {}: unable to read {what}\n", self.device.name());
            if self.panics.load(Relaxed) {
                kernel::filesystem::panic(format_args!("squashfs read failed"));
            }
        }
        result
    }
}

/// Whether `errors=panic`; `None`: not said. EINVAL for what is not known.
fn parse(context: &FsContext<'_>) -> Result<Option<bool>> {
    let mut panics = None;
    for option in context.iter_options() {
        panics = match option {
            (b"errors", Some(b"continue")) => Some(false),
            (b"errors", Some(b"panic")) => Some(true),
            _ => return Err(EINVAL),
        };
    }
    Ok(panics)
}

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "squashfs"
    }

    fn requires_dev(&self) -> bool {
        true
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::Squashfs as kernel::ModuleMetadata>::this_module().header()
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let panics = parse(context)?.unwrap_or(false);
        mount_bdev(self, context, |device| self.fill(context, device, panics))
    }
}

impl Type {
    #[inline(never)]
    fn fill(
        &'static self,
        context: &FsContext<'_>,
        device: Arc<MountedDevice>,
        panics: bool,
    ) -> Result<Arc<SuperBlock>> {
        // Reading goes past the device's cached pages.
        SuperDevice::sync(&*device)?;
        let store = Store::new(device.clone())?;
        let image = Image::open(store, device.bdev().size()).map_err(|(error, why)| {
            if context.flags & uapi::MS_SILENT == 0 {
                pr_err!("error: {}: {why}\n", device.name());
            }
            error
        })?;
        let mounted = Mounted { image, device: device.clone(), panics: AtomicBool::new(panics) };
        let mounted = Arc::new(mounted, GFP_KERNEL)?;
        let init = SuperInit {
            magic: MAGIC.into(),
            block_size: 1024,
            max_bytes: i64::MAX.cast_unsigned(),
            flags: context.flags | uapi::MS_RDONLY,
        };
        let ops = KBox::new(Super(mounted.clone()), GFP_KERNEL)?;
        let sb = SuperBlock::new_on(self, init, ops, device)?;
        let disk = mounted.checked("the root inode", mounted.image.inode(mounted.image.sb.root))?;
        if disk.mode & uapi::S_IFMT != uapi::S_IFDIR {
            pr_err!("error: {}: the root inode is no directory\n", mounted.device.name());
            return Err(EINVAL);
        }
        let root = sb.iget(disk.ino.into(), || Node::inode(&sb, &mounted, disk))?;
        sb.set_root(Dentry::new_root(root)?);
        Ok(sb)
    }
}

/// The super block's operations.
struct Super(Arc<Mounted>);

impl SuperOps for Super {
    fn statfs(&self, _: &SuperBlock, out: &mut Kstatfs) -> Result {
        let sb = &self.0.image.sb;
        out.bsize = sb.block_size.into();
        out.blocks = (sb.bytes_used.saturating_sub(1) >> sb.block_log) + 1;
        out.files = sb.inodes.into();
        out.namelen = squashfs_format::NAME_LEN as u64;
        Ok(())
    }

    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        out.write_str(if self.0.panics.load(Relaxed) { ",errors=panic" } else { ",errors=continue" })
    }

    fn remount(&self, _: &SuperBlock, flags: u32, options: &[u8]) -> Result {
        let panics = parse(&FsContext { source: b"", flags, options })?;
        // It stays read-only; Linux says nothing of it, but here the caller would store the flags.
        if flags & uapi::MS_RDONLY == 0 {
            return Err(EROFS);
        }
        if let Some(panics) = panics {
            self.0.panics.store(panics, Relaxed);
        }
        Ok(())
    }
}

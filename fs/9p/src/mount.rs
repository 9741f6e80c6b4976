// SPDX-License-Identifier: GPL-2.0
//! Mounting, and the super block.

use crate::node::Node;
use crate::options::{Access, Options, cache};
use crate::session::Session;
use core::any::Any;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kalloc::{Arc, KBox, KString};
use kernel::ext::ModuleHeader;
use kernel::filesystem::mm::BackingDev;
use kernel::filesystem::rcu;
use kernel::filesystem::vfs::super_block::{AnonDev, Kstatfs};
use kernel::filesystem::vfs::writeback;
use kernel::filesystem::vfs::{Dentry, Dev, FileSystemType, FsContext, SuperBlock, SuperDevice, SuperInit, SuperOps};
use kernel::prelude::*;
use p9net::proto::NONUNAME;
use p9net::{Client, Options as Connection, find_transport};

/// `V9FS_MAGIC`.
const MAGIC: u64 = 0x0102_1997;

/// Levels of directories whose end unmounting waits for.
const LEVELS: usize = 32;

/// The type `9p`.
pub(crate) struct Type;

/// `9p`.
pub(crate) static V9FS: Type = Type;

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "9p"
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::V9fs as kernel::ModuleMetadata>::this_module().header()
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::parse(context)?;
        let name = core::str::from_utf8(&options.transport)?;
        let transport = find_transport(name).ok_or_else(|| {
            pr_err!("Could not find request transport: {name}\n");
            EINVAL
        })?;
        if context.source.is_empty() {
            return Err(EINVAL);
        }
        let client = Client::connect(Connection { transport, address: context.source, msize: options.msize })?;
        self.fill(context, client.clone(), options).inspect_err(|_| client.close())
    }
}

/// What stands for a device: pages and inodes are kept and written as those of a disk are.
struct Server {
    dev: AnonDev,
    name: KString,
    bdi: Arc<BackingDev>,
}

impl SuperDevice for Server {
    fn dev(&self) -> Dev {
        self.dev.dev()
    }

    fn name(&self) -> &str {
        self.name.to_str().unwrap_or("9p")
    }

    fn bdi(&self) -> &Arc<BackingDev> {
        &self.bdi
    }

    /// There are no pages but those of files.
    fn sync(&self) -> Result {
        Ok(())
    }

    /// What a server keeps back, `Tfsync` writes, file by file.
    fn flush(&self) -> Result {
        Ok(())
    }

    fn release(&self) {
        if let Some(writer) = writeback::existing(&self.bdi) {
            writer.stop();
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Type {
    #[inline(never)]
    fn fill(&'static self, context: &FsContext<'_>, client: Arc<Client>, options: Options) -> Result<Arc<SuperBlock>> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let uid = if let Access::Single(uid) = options.access { uid } else { NONUNAME };
        let root = client.attach_as(&options.uname, &options.aname, uid)?;
        let pages = client.max_data() >> 12;
        // Without a cache pages are there for mapped files alone.
        let ahead = if options.caches(cache::FILE) { pages } else { 0 };
        let bdi = BackingDev::new(ahead, pages)?;
        let block_size = client.max_data().next_power_of_two();
        let name = KString::from_fmt(format_args!("9p-{}", NUMBERS.fetch_add(1, Relaxed)), GFP_KERNEL)?;
        let device = Arc::new(Server { dev: AnonDev::new()?, name, bdi: bdi.clone() }, GFP_KERNEL)?;
        let session = Session { client, options, bdi, _alive: crate::ALIVE.count() };
        let session = Arc::new(session, GFP_KERNEL)?;
        let init = SuperInit { magic: MAGIC, block_size, max_bytes: i64::MAX.cast_unsigned(), flags: context.flags };
        let ops = KBox::new(Super(session.clone()), GFP_KERNEL)?;
        let sb = SuperBlock::new_on(self, init, ops, device.clone())?;
        let made = Node::inode(&sb, &session, root, None)
            .and_then(|inode| if inode.is_dir() { Dentry::new_root(inode) } else { Err(ENOTDIR) });
        let root = made.inspect_err(|_| device.release())?;
        sb.set_root(root);
        Ok(sb)
    }
}

/// The super block's operations.
struct Super(Arc<Session>);

impl SuperOps for Super {
    fn statfs(&self, sb: &SuperBlock, out: &mut Kstatfs) -> Result {
        let root = sb.root().ok_or(ESTALE)?;
        let inode = root.inode().ok_or(ESTALE)?;
        let stat = match self.0.fid(inode)?.statfs() {
            // The server does not count.
            Err(ENOSYS) => return Ok(()),
            other => other?,
        };
        out.f_type = stat.kind.into();
        out.bsize = stat.bsize.into();
        out.blocks = stat.blocks;
        out.bfree = stat.bfree;
        out.bavail = stat.bavail;
        out.files = stat.files;
        out.ffree = stat.ffree;
        out.namelen = stat.namelen.into();
        Ok(())
    }

    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        let Session { client, options, .. } = &*self.0;
        options.show(out)?;
        options.show_connection(client.msize(), client.transport(), out)
    }

    /// Options are those of the mount and stay so.
    fn remount(&self, sb: &SuperBlock, flags: u32, _options: &[u8]) -> Result {
        if flags & uapi::MS_RDONLY != 0 && !sb.is_rdonly() { sb.sync_all() } else { Ok(()) }
    }

    fn put_super(&self, _: &SuperBlock) {
        // Inodes that went give their fids back first, so that the server hears of each: after a grace period, directories after what is in
        // them. What is deeper than this the server forgets at the next mount.
        for _ in 0..LEVELS {
            rcu::barrier();
            if self.0.client.fids_in_use() == 0 {
                break;
            }
        }
        self.0.client.close();
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Inodes under the VFS: looking up, listing, links. No locks of our own.

use crate::mount::Mounted;
use crate::pages::Pages;
use isofs_format::{DirReader, Place};
use kalloc::{Arc, KBox};
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::vfs::file::PushPage;
use kernel::filesystem::vfs::filemap::{generic_read, generic_splice_read};
use kernel::filesystem::vfs::{
    Dev, DirContext, File, FileOps, FileType, Inode, InodeInit, InodeOps, IovIter, Kstat, Link, OpenFlags, SuperBlock,
    Timespec, fmode, iop,
};
use kernel::prelude::*;

/// What is known of an inode.
pub(crate) struct Shared {
    pub(crate) mounted: Arc<Mounted>,
    pub(crate) disc: isofs_format::Inode,
}

/// An inode's own part.
pub(crate) struct Node(Arc<Shared>);

/// The mode that an inode has on this mount.
fn mode(mounted: &Mounted, disc: &isofs_format::Inode) -> u32 {
    let options = &mounted.options;
    let (kind, asked, default) = match disc.is_dir {
        true => (uapi::S_IFDIR, options.dmode, 0o555),
        false => (uapi::S_IFREG, options.mode, 0o555),
    };
    match disc.mode {
        None => kind | asked.unwrap_or(default),
        Some(mode) if options.override_rock && mode & uapi::S_IFMT == kind => kind | asked.unwrap_or(mode & 0o7777),
        Some(mode) => mode,
    }
}

impl Node {
    /// The inode of the VFS for one that was read.
    pub(crate) fn inode(sb: &Arc<SuperBlock>, mounted: &Arc<Mounted>, disc: isofs_format::Inode) -> Result<Arc<Inode>> {
        let mode = mode(mounted, &disc);
        let (uid, gid) = disc.owner.unwrap_or((0, 0));
        let (uid, gid) = (mounted.options.uid.unwrap_or(uid), mounted.options.gid.unwrap_or(gid));
        let rdev = match FileType::of(mode) {
            FileType::Char | FileType::Block => Dev::new(disc.device.0, disc.device.1),
            _ => Dev::default(),
        };
        let shared = Arc::new(Shared { mounted: mounted.clone(), disc }, GFP_KERNEL)?;
        let disc = &shared.disc;
        let volume = &mounted.volume;
        // Names are found whatever the case of their letters, or with full stops behind them.
        let aliases = disc.is_dir && (volume.relaxed() || volume.joliet != 0);
        let iflags = if aliases { iop::ALIASES } else { 0 };
        let init = InodeInit { sb, ino: disc.ino, mode, uid, gid, rdev, iflags };
        let inode = Inode::new(init, KBox::new(Node(shared.clone()), GFP_KERNEL)?)?;
        inode.set_nlink(disc.nlink);
        inode.set_size(disc.size);
        inode.add_blocks(disc.taken.div_ceil(512).cast_signed());
        let [mtime, atime, ctime] = disc.times.map(|sec| Timespec { sec, nsec: 0 });
        inode.mtime.set(mtime);
        inode.atime.set(atime);
        inode.ctime.set(ctime);
        if inode.is_reg() {
            let pages = KBox::new(Pages(shared.clone()), GFP_KERNEL)?;
            let device = sb.device().ok_or(EIO)?;
            inode.set_mapping(Mapping::new_on(pages, disc.size, device.bdi())?)?;
        }
        Ok(inode)
    }

    fn get(&self, sb: &Arc<SuperBlock>, at: Place) -> Result<Arc<Inode>> {
        let mounted = &self.0.mounted;
        sb.iget(at.ino(), || Node::inode(sb, mounted, mounted.volume.inode(at)?))
    }
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Shared { mounted, disc } = &*self.0;
        let Some(at) = mounted.volume.lookup(disc, name)? else { return Ok(None) };
        let inode = self.get(dir.sb(), at)?;
        // A damaged directory must not lead back up: whoever goes down would never be done.
        let root = inode.ino == mounted.volume.root.ino();
        if inode.ino == dir.ino || root { Err(EIO) } else { Ok(Some(inode)) }
    }

    fn get_link<'a>(&'a self, _: &'a Inode) -> Result<Link<'a>> {
        Ok(Link::Text(&self.0.disc.link))
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        stat.result_mask &= !uapi::STATX_BTIME;
        stat.btime = Timespec::default();
    }

    fn open(&self, inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match inode.file_type() {
            FileType::Dir => Ok(KBox::new(DirFile, GFP_KERNEL)?),
            FileType::Reg => Ok(KBox::new(RegFile, GFP_KERNEL)?),
            _ => Err(ENXIO),
        }
    }
}

/// An open directory: positions are bytes of it.
struct DirFile;

impl FileOps for DirFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let node = file.inode().private::<Node>().ok_or(EIO)?;
        let Shared { mounted, disc } = &*node.0;
        let from = u64::try_from(context.pos).map_err(|_| EINVAL)?;
        let mut reader = DirReader::new(&mounted.volume, disc, from)?;
        while let Some(entry) = reader.next(&mounted.volume)? {
            let next = i64::try_from(entry.next).map_err(|_| EIO)?;
            let (ino, kind) = match entry.dots {
                0 => (entry.at.ino(), FileType::of(entry.kind)),
                1 => (file.inode().ino, FileType::Dir),
                _ => {
                    let parent = file.path().dentry.parent_arc();
                    let above =
                        parent.as_ref().and_then(|dentry| dentry.inode()).map_or(file.inode().ino, |dir| dir.ino);
                    (above, FileType::Dir)
                }
            };
            if !context.emit(&entry.name, ino, kind, next) {
                break;
            }
        }
        file.accessed();
        Ok(())
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        Err(EINVAL)
    }
}

/// An open regular file.
struct RegFile;

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        generic_read(file, file.inode().mapping().ok_or(EINVAL)?, to, pos)
    }

    fn splice_read(&self, file: &File, pos: &mut i64, len: usize, push: PushPage<'_>) -> Option<Result<usize>> {
        Some(
            file.inode().mapping().ok_or(EINVAL).and_then(|mapping| generic_splice_read(file, mapping, pos, len, push)),
        )
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        Err(EINVAL)
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        file.inode().mapping()
    }
}

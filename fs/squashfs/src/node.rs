// SPDX-License-Identifier: GPL-2.0
//! Inodes under the VFS: looking up, listing, links, attributes. No locks but `map` around what is remembered of a file's blocks.

use crate::mount::Mounted;
use crate::pages::Pages;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::cred;
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::file::PushPage;
use kernel::filesystem::vfs::filemap::{generic_read, generic_splice_read};
use kernel::filesystem::vfs::{
    Dev, DirContext, File, FileOps, FileType, Inode, InodeInit, InodeOps, IovIter, Kstat, Link, OpenFlags, SuperBlock,
    SuperDevice, Timespec, fmode,
};
use kernel::prelude::*;
use squashfs_format::{Data, FileMap, NO_XATTR, Space};

/// What is known of an inode.
pub(crate) struct Shared {
    pub(crate) mounted: Arc<Mounted>,
    pub(crate) disk: squashfs_format::Inode,
    pub(crate) map: Mutex<FileMap>,
}

/// An inode's own part.
pub(crate) struct Node(Arc<Shared>);

impl Node {
    /// The inode of the VFS for one that was read.
    pub(crate) fn inode(
        sb: &Arc<SuperBlock>,
        mounted: &Arc<Mounted>,
        disk: squashfs_format::Inode,
    ) -> Result<Arc<Inode>> {
        let shared = Shared { mounted: mounted.clone(), disk, map: Mutex::new(FileMap::new()) };
        let shared = Arc::new(shared, GFP_KERNEL)?;
        let disk = &shared.disk;
        let rdev = match disk.data {
            Data::Device { major, minor } => Dev::new(major, minor),
            _ => Dev::default(),
        };
        let init =
            InodeInit { sb, ino: disk.ino.into(), mode: disk.mode, uid: disk.uid, gid: disk.gid, rdev, iflags: 0 };
        let inode = Inode::new(init, KBox::new(Node(shared.clone()), GFP_KERNEL)?)?;
        inode.set_nlink(disk.nlink);
        inode.set_size(disk.size);
        let time = Timespec { sec: disk.mtime.into(), nsec: 0 };
        for at in [&inode.atime, &inode.mtime, &inode.ctime] {
            at.set(time);
        }
        if let Data::Reg { sparse, .. } = disk.data {
            inode.add_blocks(disk.size.saturating_sub(sparse).div_ceil(512).cast_signed());
            let pages = KBox::new(Pages(shared.clone()), GFP_KERNEL)?;
            inode.set_mapping(Mapping::new_on(pages, disk.size, SuperDevice::bdi(&*mounted.device))?)?;
        }
        Ok(inode)
    }
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Shared { mounted, disk, .. } = &*self.0;
        let image = &mounted.image;
        if name.len() > squashfs_format::NAME_LEN {
            return Err(ENAMETOOLONG);
        }
        let Some(entry) = mounted.checked("a directory", image.lookup(disk, name))? else { return Ok(None) };
        let sb = dir.sb();
        let read = || {
            let found = mounted.checked("an inode", image.inode(entry.at))?;
            // A damaged directory must not lead back up: whoever goes down would never be done.
            let lost = matches!(found.data, Data::Dir { parent, .. } if parent != disk.ino);
            if found.ino != entry.ino || lost {
                return mounted.checked("an inode", Err(EIO));
            }
            Node::inode(sb, mounted, found)
        };
        let inode = sb.iget(entry.ino.into(), read)?;
        let parent = match inode.private::<Node>().map(|node| &node.0.disk.data) {
            Some(Data::Dir { parent, .. }) => *parent,
            _ => disk.ino,
        };
        let is_root = sb.root().and_then(|root| root.inode().cloned()).is_some_and(|root| root.ino == inode.ino);
        if parent != disk.ino || is_root {
            return mounted.checked("a directory", Err(EIO));
        }
        Ok(Some(inode))
    }

    fn get_link<'a>(&'a self, _: &'a Inode) -> Result<Link<'a>> {
        match &self.0.disk.data {
            Data::Link(target) => Ok(Link::Text(target)),
            _ => Err(EINVAL),
        }
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

    fn getxattr(&self, _: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        let Shared { mounted, disk, .. } = &*self.0;
        let spaces = [Space::User, Space::Trusted, Space::Security];
        let (space, name) = spaces
            .into_iter()
            .find_map(|space| name.strip_prefix(space.prefix()).map(|rest| (space, rest)))
            .ok_or(EOPNOTSUPP)?;
        if name.is_empty() {
            return Err(EINVAL);
        }
        mounted.checked("an attribute", mounted.image.xattr(disk.xattr, space, name))?.ok_or(ENODATA)
    }

    fn listxattr(&self, _: &Inode) -> Result<KVec<u8>> {
        let Shared { mounted, disk, .. } = &*self.0;
        if !mounted.image.has_xattrs() {
            return Err(EOPNOTSUPP);
        }
        let mut names = KVec::new();
        if disk.xattr == NO_XATTR {
            return Ok(names);
        }
        let trusted = cred::capable(cred::CAP_SYS_ADMIN);
        let listed = mounted.image.xattrs(disk.xattr, |space, name| {
            if space != Space::Trusted || trusted {
                names.extend_from_slice(space.prefix(), GFP_KERNEL)?;
                names.extend_from_slice(name, GFP_KERNEL)?;
                names.push(0, GFP_KERNEL)?;
            }
            // What no program can be given takes no memory.
            if names.len() > LIST_MAX { Err(E2BIG) } else { Ok(()) }
        });
        mounted.checked("attributes", listed)?;
        Ok(names)
    }
}

/// Bytes of the longest list of attributes (`XATTR_LIST_MAX`).
const LIST_MAX: usize = 65536;

/// What a position in a directory is more than the byte of the entry: `.` and `..` come before.
const FIRST: i64 = 3;

/// An open directory.
struct DirFile;

impl FileOps for DirFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let node = file.inode().private::<Node>().ok_or(EIO)?;
        let Shared { mounted, disk, .. } = &*node.0;
        let Data::Dir { parent, .. } = disk.data else { return Err(ENOTDIR) };
        if context.pos < 1 && !context.emit(b".", disk.ino.into(), FileType::Dir, 1) {
            return Ok(());
        }
        if context.pos < FIRST && !context.emit(b"..", parent.into(), FileType::Dir, FIRST) {
            return Ok(());
        }
        let from = (context.pos - FIRST).cast_unsigned();
        let image = &mounted.image;
        let mut reader = mounted.checked("a directory", image.list(disk, from))?;
        while let Some(entry) = mounted.checked("a directory", reader.next(image))? {
            if entry.next <= from {
                continue;
            }
            let next = i64::try_from(entry.next).map_err(|_| EIO)?.saturating_add(FIRST);
            if !context.emit(reader.name(), entry.ino.into(), FileType::of(entry.mode), next) {
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

// SPDX-License-Identifier: GPL-2.0
//! `Node`: the file system's part of an inode.
//!
//! Locks, outermost first: the VFS's lock of the inode, a handle, page locks, `tree`. `tree` guards the core's inode: shared for
//! looking blocks up, exclusively for changes.

use crate::acl::{self, Acl, Kind};
use crate::mounted::Mounted;
use crate::pages::Pages;
use crate::ranges::Ranges;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::Result;
use errno::code::{EINVAL, EIO};
use ext4_core::Inode as CoreInode;
use ext4_format::inode::{DiskTime, flag};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox};
use kernel::filesystem::buffer::direct::InFlight;
use kernel::filesystem::locking::{SetOnce, SpinLock};
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::sync::RwSemaphore;
use kernel::filesystem::vfs::{Dev, FileType, Inode, InodeInit, SuperBlock, Timespec, iop};

/// What `tree` guards.
pub(crate) struct Tree {
    pub(crate) inode: CoreInode,
    /// Blocks with reserved space and no place yet.
    pub(crate) delayed: Ranges,
}

/// The part of an inode that its pages share.
pub(crate) struct Shared {
    pub(crate) mount: Arc<Mounted>,
    pub(crate) tree: RwSemaphore<Tree>,
    /// The transaction that last changed the inode, and the one that last changed what its data needs.
    pub(crate) sync_tid: AtomicU32,
    pub(crate) datasync_tid: AtomicU32,
    /// Units of 512 bytes, with what is reserved.
    pub(crate) sectors: core::sync::atomic::AtomicU64,
    /// Its data is inside the inode; as `tree` says it, for those who cannot wait for that. Changes with `tree` held.
    inline: AtomicBool,
    /// Was cut to nothing: what replaces the content is written when the file is closed (`auto_da_alloc`).
    pub(crate) flush_on_close: AtomicBool,
    /// Every change is to reach the disk at once (`chattr +S`; of a directory `+D` too).
    pub(crate) write_through: AtomicBool,
    /// Its data goes through the journal (`data=journal`, `chattr +j`). Changes under the inode's lock, with nothing in the cache dirty.
    pub(crate) journaled: AtomicBool,
    /// Direct transfers on their way, which begin under the inode's lock: who takes blocks away, or says otherwise where data is, holds
    /// that exclusively and waits for them.
    pub(crate) direct: InFlight,
}

/// The file system's part of an inode.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    /// What a symbolic link says, once it was read.
    pub(crate) link: SetOnce<kalloc::KVec<u8>>,
    /// The access ACL, if there is one.
    pub(crate) acl: SpinLock<Option<Arc<Acl>>>,
}

fn timespec(time: DiskTime) -> Timespec {
    Timespec { sec: time.sec, nsec: time.nsec }
}

fn disk_time(time: Timespec) -> DiskTime {
    DiskTime { sec: time.sec, nsec: time.nsec }
}

impl Shared {
    /// Notes that the inode is part of transaction `tid`.
    pub(crate) fn note(&self, tid: u32, data: bool) {
        self.sync_tid.store(tid, Ordering::Release);
        if data {
            self.datasync_tid.store(tid, Ordering::Release);
        }
    }

    /// Whether changes are to be on the disk before they are said to be done: by the flags of the inode, or of the mount.
    pub(crate) fn is_synchronous(&self, inode: &Inode) -> bool {
        let mount = uapi::MS_SYNCHRONOUS | if inode.is_dir() { uapi::MS_DIRSYNC } else { 0 };
        self.write_through.load(Ordering::Relaxed) || inode.sb().flags() & mount != 0
    }

    /// Whether its data goes through the journal.
    pub(crate) fn is_journaled(&self) -> bool {
        self.journaled.load(Ordering::Relaxed)
    }

    /// Brings the count of blocks that `stat` shows up to date.
    pub(crate) fn count(&self, tree: &Tree) {
        let geo = &self.mount.core.geo;
        let reserved = tree.inode.reserved << (geo.cluster_bits + geo.block_bits - 9);
        self.sectors.store(tree.inode.sectors(geo.block_bits) + reserved, Ordering::Relaxed);
        let inline = tree.inode.is_inline();
        if self.inline.load(Ordering::Relaxed) != inline {
            self.inline.store(inline, Ordering::Release);
        }
    }

    /// Whether the data is inside the inode. Only with `tree`, or with the inode's lock and no write-back, does the answer last.
    #[inline]
    pub(crate) fn is_inline(&self) -> bool {
        self.inline.load(Ordering::Acquire)
    }
}

impl Node {
    /// The node of an inode of this file system.
    #[inline]
    pub(crate) fn of(inode: &Inode) -> Result<&Node> {
        inode.private::<Node>().ok_or(EINVAL)
    }

    /// The mounted file system.
    #[inline]
    pub(crate) fn mount(&self) -> &Arc<Mounted> {
        &self.shared.mount
    }
}

/// Flags of the VFS for those of the disk.
pub(crate) fn iflags(disk: u32) -> u32 {
    let mut flags = 0;
    for (bit, iop) in [(flag::IMMUTABLE, iop::IMMUTABLE), (flag::APPEND, iop::APPEND), (flag::NOATIME, iop::NOATIME)] {
        if disk & bit != 0 {
            flags |= iop;
        }
    }
    flags
}

/// Whether the flags of an inode ask for changes at once.
pub(crate) fn writes_through(is_dir: bool, disk: u32) -> bool {
    disk & flag::SYNC != 0 || (is_dir && disk & flag::DIRSYNC != 0)
}

/// The VFS's inode for one of the core.
pub(crate) fn new_vfs_inode(sb: &Arc<SuperBlock>, mount: &Arc<Mounted>, core: CoreInode) -> Result<Arc<Inode>> {
    let raw = &core.raw;
    let mode = u32::from(raw.mode);
    let rdev = core.rdev().map_or(Dev::default(), |(major, minor)| Dev::new(major, minor));
    let init =
        InodeInit { sb, ino: core.ino.into(), mode, uid: raw.uid, gid: raw.gid, rdev, iflags: iflags(raw.flags) };
    let (size, links, generation) = (raw.size, u32::from(raw.links_count), raw.version);
    let write_through = writes_through(core.is_dir(), raw.flags);
    let journaled = mount.journals_data(raw.flags);
    let access = acl::load(mount, &core, Kind::Access)?;
    let times = [raw.atime, raw.mtime, raw.ctime, raw.crtime].map(timespec);
    let shared = Shared {
        mount: mount.clone(),
        tree: RwSemaphore::new(Tree { inode: core, delayed: Ranges::default() }),
        sync_tid: AtomicU32::new(0),
        datasync_tid: AtomicU32::new(0),
        sectors: 0.into(),
        inline: AtomicBool::new(false),
        flush_on_close: AtomicBool::new(false),
        write_through: AtomicBool::new(write_through),
        journaled: AtomicBool::new(journaled),
        direct: InFlight::new(),
    };
    let shared = Arc::new(shared, GFP_NOFS)?;
    shared.count(&shared.tree.read());
    let node = KBox::new(Node { shared: shared.clone(), link: SetOnce::new(), acl: SpinLock::new(None) }, GFP_NOFS)?;
    let inode = Inode::new(init, node)?;
    if access.is_some() {
        acl::remember(&inode, Node::of(&inode)?, access)?;
    }
    inode.set_nlink(links);
    inode.set_size(size);
    inode.version.store(generation, Ordering::Relaxed);
    let [atime, mtime, ctime, btime] = times;
    inode.atime.set(atime);
    inode.mtime.set(mtime);
    inode.ctime.set(ctime);
    inode.btime.set(btime);
    if inode.file_type() == FileType::Reg {
        let ops = KBox::new(Pages(shared), GFP_NOFS)?;
        inode.set_mapping(Mapping::new_on(ops, size, mount.bdi())?)?;
    }
    Ok(inode)
}

/// The inode `number`, from the cache or the disk.
pub(crate) fn iget(sb: &Arc<SuperBlock>, mount: &Arc<Mounted>, number: u32) -> Result<Arc<Inode>> {
    sb.iget(number.into(), || new_vfs_inode(sb, mount, mount.core.file_inode(number)?))
}

/// Copies what the VFS may have changed (owner, mode, times) into the core's inode.
pub(crate) fn to_core(inode: &Inode, core: &mut CoreInode) {
    let raw = &mut core.raw;
    raw.mode = inode.mode() as u16;
    raw.uid = inode.uid();
    raw.gid = inode.gid();
    raw.atime = disk_time(inode.atime.get());
    raw.mtime = disk_time(inode.mtime.get());
    raw.ctime = disk_time(inode.ctime.get());
    raw.version = inode.version.load(Ordering::Relaxed);
}

/// Copies what the core may have changed (times, links; of a directory its size) into the VFS's inode.
pub(crate) fn from_core(inode: &Inode, core: &CoreInode) {
    let raw = &core.raw;
    inode.mtime.set(timespec(raw.mtime));
    inode.ctime.set(timespec(raw.ctime));
    inode.set_nlink(raw.links_count.into());
    inode.version.store(raw.version, Ordering::Relaxed);
    if inode.is_dir() {
        inode.set_size(raw.size);
    }
}

/// The number of an inode of the VFS as the core knows it.
pub(crate) fn number(inode: &Inode) -> Result<u32> {
    u32::try_from(inode.ino).map_err(|_| EIO)
}

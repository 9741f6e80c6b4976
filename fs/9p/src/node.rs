// SPDX-License-Identifier: GPL-2.0
//! Inodes: the server's files behind them, and their attributes as the server told them last. Locks: each of a [`Shared`]'s is held for a
//! moment.

use crate::options::cache;
use crate::pages::Pages;
use crate::session::Session;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox, KVec, WeakArc};
use kernel::filesystem::mm::Mapping;
use kernel::filesystem::rcu;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{Dev, Inode, InodeInit, SuperBlock, Timespec, iop};
use kernel::prelude::*;
use p9net::Fid;
use p9net::proto::{Attributes, Qid, getattr};

/// An open file of the server.
pub(crate) struct Opened {
    pub(crate) fid: Fid,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// What is known of a file.
pub(crate) struct Shared {
    pub(crate) session: Arc<Session>,
    pub(crate) qid: Qid,
    /// The server's time of its last change, and of what generation it is: another file may get its number.
    generation: u64,
    /// It as each user sees it, not open.
    fids: Mutex<KVec<Arc<Fid>>>,
    /// Where it is; `None`: the root.
    place: Mutex<Option<(Arc<Inode>, KVec<u8>)>>,
    /// It was made a moment ago by this task, which is about to open it.
    made: Mutex<Option<(usize, Opened)>>,
    /// Open files that its pages can be read and written through.
    open: Mutex<KVec<WeakArc<Opened>>>,
    blksize: AtomicU32,
    /// One of its names went.
    stale: AtomicBool,
    /// Changes with its contents, as the server said last.
    version: AtomicU64,
}

/// An inode's own part.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
}

/// A number for the current task.
fn me() -> usize {
    core::ptr::from_ref(&*kernel::filesystem::task::current()).addr()
}

/// The number that programs see.
pub(crate) fn ino_of(qid: &Qid) -> u64 {
    qid.path.wrapping_add(2)
}

fn time((sec, nsec): (u64, u64)) -> Timespec {
    Timespec { sec: sec.cast_signed(), nsec: u32::try_from(nsec).unwrap_or(0).min(999_999_999) }
}

/// A device's number in the server's form (`new_decode_dev`).
fn device(rdev: u64) -> Dev {
    let dev = rdev as u32;
    Dev::new((dev & 0xf_ff00) >> 8, dev & 0xff | dev >> 12 & 0xf_ff00)
}

impl Node {
    /// An inode's part. EINVAL for an inode of another file system.
    pub(crate) fn of(inode: &Inode) -> Result<&Self> {
        inode.private::<Self>().ok_or(EINVAL)
    }

    /// The inode for what `fid` is; `place`: where it is.
    pub(crate) fn inode(
        sb: &Arc<SuperBlock>,
        session: &Arc<Session>,
        fid: Fid,
        place: Option<(&Arc<Inode>, &[u8])>,
    ) -> Result<Arc<Inode>> {
        let attributes = fid.attributes(getattr::BASIC)?;
        if !matches!(attributes.mode & uapi::S_IFMT, uapi::S_IFREG | uapi::S_IFDIR | uapi::S_IFLNK | uapi::S_IFCHR)
            && !matches!(attributes.mode & uapi::S_IFMT, uapi::S_IFBLK | uapi::S_IFIFO | uapi::S_IFSOCK)
        {
            return Err(EIO);
        }
        let fid = Arc::new(fid, GFP_KERNEL)?;
        let ino = ino_of(&attributes.qid);
        if session.asks() {
            return Self::make(sb, session, &attributes, fid, place);
        }
        let mut first = Some(fid.clone());
        let inode = sb.iget(ino, || Self::make(sb, session, &attributes, first.take().ok_or(EIO)?, place))?;
        let shared = &Node::of(&inode)?.shared;
        if !shared.is(&attributes, &inode) {
            // Another file has the number now; the one that had it may still be open.
            return Self::make(sb, session, &attributes, fid, place);
        }
        if first.is_some() {
            shared.met_again(&inode, &attributes)?;
            shared.keep_shared(fid)?;
        }
        Ok(inode)
    }

    #[inline(never)]
    fn make(
        sb: &Arc<SuperBlock>,
        session: &Arc<Session>,
        attributes: &Attributes,
        fid: Arc<Fid>,
        place: Option<(&Arc<Inode>, &[u8])>,
    ) -> Result<Arc<Inode>> {
        let mut fids = KVec::new();
        fids.push(fid, GFP_KERNEL)?;
        let is_root = place.is_none();
        let place = match place {
            Some((dir, name)) => Some((dir.clone(), KVec::from_slice(name, GFP_KERNEL)?)),
            None => None,
        };
        let shared = Shared {
            session: session.clone(),
            qid: attributes.qid,
            generation: attributes.gen_,
            fids: Mutex::new(fids),
            place: Mutex::new(place),
            made: Mutex::new(None),
            open: Mutex::new(KVec::new()),
            blksize: AtomicU32::new(0),
            stale: AtomicBool::new(false),
            version: AtomicU64::new(0),
        };
        let shared = Arc::new(shared, GFP_KERNEL)?;
        let mut iflags = iop::NOATIME | iop::NO_NEGATIVE;
        iflags |= if session.asks() { iop::REFRESH } else { 0 };
        iflags |= if is_root { 0 } else { iop::REVALIDATE };
        let init = InodeInit {
            sb,
            ino: ino_of(&attributes.qid),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: device(attributes.rdev),
            iflags,
        };
        let inode = Inode::new(init, KBox::new(Node { shared: shared.clone() }, GFP_KERNEL)?)?;
        if inode.is_reg() {
            let pages = KBox::new(Pages(shared.clone()), GFP_KERNEL)?;
            inode.set_mapping(Mapping::new_on(pages, attributes.size, &session.bdi)?)?;
        }
        shared.update(&inode, attributes);
        Ok(inode)
    }
}

impl Shared {
    /// Whether these are the attributes of this file.
    pub(crate) fn is(&self, attributes: &Attributes, inode: &Inode) -> bool {
        attributes.qid.path == self.qid.path
            && attributes.qid.kind == self.qid.kind
            && attributes.gen_ == self.generation
            && attributes.mode & uapi::S_IFMT == inode.mode() & uapi::S_IFMT
    }

    /// It as `uid` sees it, if he was here.
    pub(crate) fn fid_of(&self, uid: u32) -> Option<Arc<Fid>> {
        self.fids.lock().iter().find(|fid| fid.uid() == uid).cloned()
    }

    /// It as anybody sees it.
    pub(crate) fn any_fid(&self) -> Result<Arc<Fid>> {
        self.fids.lock().first().cloned().ok_or(ESTALE)
    }

    /// Keeps it as a user sees it.
    pub(crate) fn keep(&self, fid: Fid) -> Result<Arc<Fid>> {
        self.keep_shared(Arc::new(fid, GFP_KERNEL)?)
    }

    fn keep_shared(&self, fid: Arc<Fid>) -> Result<Arc<Fid>> {
        let mut fids = self.fids.lock();
        if let Some(other) = fids.iter().find(|other| other.uid() == fid.uid()) {
            return Ok(other.clone());
        }
        fids.push(fid.clone(), GFP_NOFS)?;
        Ok(fid)
    }

    /// Where it is; `None`: it is the root.
    pub(crate) fn place(&self) -> Result<Option<(Arc<Inode>, KVec<u8>)>> {
        match &*self.place.lock() {
            Some((dir, name)) => Ok(Some((dir.clone(), name.try_clone(GFP_NOFS)?))),
            None => Ok(None),
        }
    }

    /// It is there now.
    pub(crate) fn moved(&self, dir: &Arc<Inode>, name: KVec<u8>) {
        let old = self.place.lock().replace((dir.clone(), name));
        drop(old);
    }

    /// It was made just now, and is open.
    pub(crate) fn set_made(&self, opened: Opened) {
        let old = self.made.lock().replace((me(), opened));
        drop(old);
    }

    /// The open file that the current task made just now.
    pub(crate) fn take_made(&self) -> Option<Opened> {
        let made = self.made.lock().take();
        made.filter(|(task, _)| *task == me()).map(|(_, opened)| opened)
    }

    /// Pages can be read and written through `opened`, while it is there.
    pub(crate) fn add_open(&self, opened: &Arc<Opened>) -> Result {
        let mut open = self.open.lock();
        open.retain(|other| other.strong_count() != 0);
        Ok(open.push(Arc::downgrade(opened), GFP_NOFS)?)
    }

    /// An open file that can do this, opened now if there is none.
    pub(crate) fn for_pages(&self, write: bool) -> Result<Arc<Opened>> {
        {
            let open = self.open.lock();
            let mut there = open.iter().filter_map(WeakArc::upgrade);
            if let Some(found) = there.find(|opened| if write { opened.writes } else { opened.reads }) {
                return Ok(found);
            }
        }
        let flags = if write { uapi::O_WRONLY } else { uapi::O_RDONLY };
        let fid = self.any_fid()?.walk(&[])?.open(flags)?;
        Ok(Arc::new(Opened { fid, reads: !write, writes: write }, GFP_KERNEL)?)
    }

    /// The unit of I/O that `stat` shows; 0: the server says none.
    pub(crate) fn blksize(&self) -> u32 {
        self.blksize.load(Relaxed)
    }

    /// Takes over what the server said; nobody writes to pages here that it knows nothing of. Whether the contents are others than the
    /// last time.
    fn update(&self, inode: &Inode, attributes: &Attributes) -> bool {
        inode.set_mode(attributes.mode & 0o7777 | inode.mode() & uapi::S_IFMT);
        inode.set_owner(attributes.uid, attributes.gid);
        inode.set_nlink(u32::try_from(attributes.nlink).unwrap_or(u32::MAX));
        inode.add_blocks((attributes.blocks.wrapping_sub(inode.blocks())).cast_signed());
        inode.atime.set(time(attributes.atime));
        inode.mtime.set(time(attributes.mtime));
        inode.ctime.set(time(attributes.ctime));
        self.blksize.store(u32::try_from(attributes.blksize).unwrap_or(0), Relaxed);
        let most = inode.sb().max_bytes;
        let (sec, nsec) = attributes.mtime;
        let mut version = u64::from(attributes.qid.version) << 32 ^ sec.wrapping_mul(1_000_000_000).wrapping_add(nsec);
        let new = attributes.size.min(most);
        version ^= new.rotate_left(20);
        if new != inode.size() {
            inode.set_size(new);
            if let Some(mapping) = inode.mapping() {
                mapping.set_size(new);
            }
        }
        self.version.swap(version, Relaxed) != version
    }

    /// Asks the server for the attributes. ESTALE: it is another file now. Whether the contents changed.
    pub(crate) fn refresh(&self, inode: &Inode) -> Result<bool> {
        self.with_size(inode, || self.refresh_locked(inode))
    }

    /// As [`Self::refresh`], with the inode's lock held.
    pub(crate) fn refresh_locked(&self, inode: &Inode) -> Result<bool> {
        self.tell_size(inode)?;
        let told = self.session.fid(inode)?.attributes(getattr::BASIC);
        match told.and_then(|attributes| self.learn(inode, &attributes)) {
            // Its name is gone, but it is open: what was known stays.
            Err(ENOENT | ESTALE) if inode.nlink() == 0 => Ok(false),
            other => other,
        }
    }

    /// Takes over what the server says of the file at a place. ESTALE: it is another. Whether the contents changed.
    fn learn(&self, inode: &Inode, attributes: &Attributes) -> Result<bool> {
        if !self.is(attributes, inode) {
            return Err(ESTALE);
        }
        Ok(self.update(inode, attributes))
    }

    /// As [`Self::refresh`], by the name that it has in `dir`, which `dir_fid` stands for. ENOENT: none has it. It is known by that name
    /// from now on: the one before may be gone.
    pub(crate) fn check(&self, inode: &Inode, dir: &Arc<Inode>, dir_fid: &Fid, name: &[u8]) -> Result {
        let fid = Arc::new(dir_fid.walk(&[name])?, GFP_KERNEL)?;
        self.with_size(inode, || {
            self.tell_size(inode)?;
            self.learn(inode, &fid.attributes(getattr::BASIC)?)
        })?;
        self.stale.store(false, Release);
        let old = {
            let mut fids = self.fids.lock();
            match fids.iter_mut().find(|other| other.uid() == fid.uid()) {
                Some(other) => Some(core::mem::replace(other, fid)),
                None => {
                    fids.push(fid, GFP_NOFS)?;
                    None
                }
            }
        };
        drop(old);
        if !self.is_at(dir, name) {
            // Where others were, their fids may be of a name that is gone.
            self.keep_only(dir_fid.uid());
            self.moved(dir, KVec::from_slice(name, GFP_KERNEL)?);
        }
        Ok(())
    }

    /// Whether it is known by this name.
    fn is_at(&self, dir: &Arc<Inode>, name: &[u8]) -> bool {
        self.place.lock().as_ref().is_some_and(|(at, known)| Arc::ptr_eq(at, dir) && known.iter().eq(name))
    }

    /// Gives back what it is to other users.
    fn keep_only(&self, uid: u32) {
        let mut gone = KVec::new();
        {
            let mut fids = self.fids.lock();
            core::mem::swap(&mut *fids, &mut gone);
            if let Some(at) = gone.iter().position(|fid: &Arc<Fid>| fid.uid() == uid)
                && let Some(fid) = gone.swap_remove(at)
            {
                // Without memory for it, it is walked to again when it is needed.
                let _ = fids.push(fid, GFP_NOFS);
            }
        }
        drop(gone);
    }

    /// One of its names is gone: perhaps the one it is known by. The next walk to another looks.
    pub(crate) fn lost_a_name(&self) {
        self.stale.store(true, Release);
    }

    /// Whether it is known by a name that may be gone.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Acquire)
    }

    /// A look-up led to it, which is cached already: what it was then is perhaps old.
    fn met_again(&self, inode: &Inode, attributes: &Attributes) -> Result {
        // Who writes to it now knows better.
        let Some(_lock) = inode.lock.try_write() else { return Ok(()) };
        if inode.mapping().is_some_and(|mapping| mapping.is_dirty()) {
            return Ok(());
        }
        if self.update(inode, attributes)
            && let Some(mapping) = inode.mapping()
        {
            mapping.drop_clean(0, u64::MAX);
        }
        Ok(())
    }

    /// Calls `f` while nobody writes to pages behind the end that the server knows of, where that can be.
    fn with_size<R>(&self, inode: &Inode, f: impl FnOnce() -> R) -> R {
        let writers = self.session.options.caches(cache::WRITEBACK) && inode.is_reg();
        let _lock = writers.then(|| inode.lock.read());
        f()
    }

    /// Pages that are written later go to the server now: it must know the size before it is asked.
    fn tell_size(&self, inode: &Inode) -> Result {
        match inode.mapping() {
            Some(mapping) if mapping.page_count() != 0 => mapping.write_and_wait(0, u64::MAX),
            _ => Ok(()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some((dir, _)) = self.place.get_mut().take() {
            // Not here: the directory's own directory, and so on, would go inside of this call.
            rcu::defer_drop(dir);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! File handles (`name_to_handle_at(2)`, `open_by_handle_at(2)`): a file system's lasting name of an inode, and the way from there
//! back to a place in the tree.
//!
//! An inode does not know its names. A file system whose handles are asked for remembers where each inode was last seen, weakly; a
//! directory that is not remembered is found from the root, by what the file system says of its parents. Any other file can be
//! opened without a name.
//!
//! Locks: a bucket of [`Known`] (sleeping), innermost.

use crate::dentry::Dentry;
use crate::inode::Inode;
use crate::mount::Mount;
use crate::namei::kernel::kernel_lookup;
use crate::path::Path;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec, WeakArc};
use sync::Mutex;

/// Words of the longest handle.
pub const MAX_WORDS: usize = 3;
/// Directories deeper than this are not looked for.
const MAX_DEPTH: usize = 2048;
const BUCKETS: usize = 64;

/// What a file system says of an inode.
#[derive(Clone, Copy, Debug)]
pub struct FileId {
    /// `FILEID_*`.
    pub kind: i32,
    words: [u32; MAX_WORDS],
    len: usize,
}

impl FileId {
    /// A handle of `words`; those that do not fit are left out.
    pub fn new(kind: i32, words: &[u32]) -> Self {
        let mut id = Self { kind, words: [0; MAX_WORDS], len: words.len().min(MAX_WORDS) };
        for (to, from) in id.words.iter_mut().zip(words) {
            *to = *from;
        }
        id
    }

    /// Its words.
    pub fn words(&self) -> &[u32] {
        self.words.get(..self.len).unwrap_or(&self.words)
    }
}

/// An inode of which a handle was given, and where it was then. Both weakly: it keeps nothing alive.
struct Seen {
    ino: u64,
    inode: WeakArc<Inode>,
    dentry: WeakArc<Dentry>,
}

/// The inodes of one file system of which handles were given.
pub(crate) struct Known {
    buckets: KVec<Mutex<KVec<Seen>>>,
}

impl Known {
    pub(crate) fn new() -> Result<Self> {
        let mut buckets = KVec::with_capacity(BUCKETS, GFP_KERNEL)?;
        for _ in 0..BUCKETS {
            buckets.push(Mutex::new(KVec::new()), GFP_KERNEL)?;
        }
        Ok(Self { buckets })
    }

    fn bucket(&self, ino: u64) -> Result<&Mutex<KVec<Seen>>> {
        self.buckets.get(ino as usize % BUCKETS).ok_or(ESTALE)
    }

    fn remember(&self, inode: &Arc<Inode>, dentry: &Arc<Dentry>) -> Result {
        let seen = Seen { ino: inode.ino, inode: Arc::downgrade(inode), dentry: Arc::downgrade(dentry) };
        let mut bucket = self.bucket(inode.ino)?.lock();
        if let Some(old) = bucket.iter_mut().find(|old| old.ino == inode.ino) {
            *old = seen;
            return Ok(());
        }
        if bucket.len() == bucket.capacity() {
            // Before it grows: what is gone needs no place, only its memory is kept.
            bucket.retain(|old| old.inode.strong_count() != 0);
        }
        bucket.push(seen, GFP_KERNEL)?;
        Ok(())
    }

    fn find<T>(&self, ino: u64, f: impl FnOnce(&Seen) -> Option<T>) -> Option<T> {
        f(self.bucket(ino).ok()?.lock().iter().find(|seen| seen.ino == ino)?)
    }

    /// The inode, if a handle of it was given and it is alive.
    pub(crate) fn inode(&self, ino: u64) -> Option<Arc<Inode>> {
        self.find(ino, |seen| seen.inode.upgrade())
    }

    fn dentry(&self, inode: &Arc<Inode>) -> Option<Arc<Dentry>> {
        let dentry = self.find(inode.ino, |seen| seen.dentry.upgrade())?;
        dentry.inode().is_some_and(|own| Arc::ptr_eq(own, inode)).then_some(dentry)
    }
}

/// The handle of what is at `path`. `EOPNOTSUPP` if its file system has none. May sleep.
pub fn encode(path: &Path) -> Result<FileId> {
    let inode = path.inode()?;
    let sb = inode.sb();
    let id = sb.ops().file_id(inode).ok_or(EOPNOTSUPP)?;
    sb.known()?.remember(inode, &path.dentry)?;
    Ok(id)
}

/// What the handle stands for, in the file system of `mnt`. `ESTALE` if that is nothing (any more). May sleep.
pub fn decode(mnt: Arc<Mount>, kind: i32, words: &[u32]) -> Result<Path> {
    let stale = |error| if error == ENOMEM { ENOMEM } else { ESTALE };
    let inode = mnt.sb.ops().inode_by_id(&mnt.sb, kind, words).map_err(stale)?;
    let known = mnt.sb.known()?;
    let seen = known.dentry(&inode).filter(|dentry| !dentry.is_unhashed() || inode.nlink() == 0);
    let dentry = match seen {
        Some(dentry) => dentry,
        None if inode.is_dir() => reconnect(&mnt, &inode).map_err(stale)?,
        None => {
            let dentry = Dentry::new_anon(inode.clone(), b"")?;
            known.remember(&inode, &dentry)?;
            dentry
        }
    };
    Ok(Path { mnt, dentry })
}

/// The place of a directory that may be cached or not: upwards to one that is known, then down again by name.
fn reconnect(mnt: &Arc<Mount>, inode: &Arc<Inode>) -> Result<Arc<Dentry>> {
    let (root, known) = (mnt.sb.root().ok_or(ESTALE)?, mnt.sb.known()?);
    let mut names: KVec<KVec<u8>> = KVec::new();
    let mut at = inode.clone();
    let mut dentry = loop {
        if root.inode().is_some_and(|root| Arc::ptr_eq(root, &at)) {
            break root;
        }
        if let Some(seen) = known.dentry(&at).filter(|dentry| !dentry.is_unhashed()) {
            break seen;
        }
        if names.len() >= MAX_DEPTH {
            return Err(ESTALE);
        }
        let (parent, name) = mnt.sb.ops().place_of(&at)?;
        names.push(name, GFP_KERNEL)?;
        at = parent;
    };
    for name in names.iter().rev() {
        let dir = Path { mnt: mnt.clone(), dentry };
        dentry = kernel_lookup(&dir, name)?.ok_or(ESTALE)?;
    }
    // Renamed meanwhile.
    if !dentry.inode().is_some_and(|own| Arc::ptr_eq(own, inode)) {
        return Err(ESTALE);
    }
    known.remember(inode, &dentry)?;
    Ok(dentry)
}

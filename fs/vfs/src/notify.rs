// SPDX-License-Identifier: GPL-2.0
//! Telling watchers what happens to files (`inotify(7)`): the VFS calls [`file_event`] and its kin, the watchers' crate puts
//! [`Mark`]s on inodes. While there is no mark at all an event costs one load.
//!
//! Locks: an inode's marks (sleeping), held while its watchers are told: they take only their queues' spin locks meanwhile.
//! `SuperBlock::marked` is taken inside it.

use crate::dentry::Dentry;
use crate::file::{File, fmode};
use crate::inode::Inode;
use crate::name::NAME_MAX;
use crate::path::Path;
use crate::super_block::SuperBlock;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use sync::Mutex;
use uapi::{IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_UNMOUNT};
use uapi::{IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO};

/// Somebody's interest in an inode.
pub trait Mark: Send + Sync {
    /// Whose it is, and its number there: together they name it.
    fn key(&self) -> (u64, u32);

    /// Something happened: one `IN_*` bit, perhaps with `IN_ISDIR`. `name` is the entry of the watched directory that it
    /// happened to, empty if it was the watched inode itself; `unlinked`: its name is gone already. False: the mark is to be
    /// removed. May sleep; must not add or remove marks.
    fn event(&self, event: &Event<'_>) -> bool;

    /// The mark was taken off because of an event's answer, or because the inode is gone.
    fn removed(&self);
}

/// See [`Mark::event`].
pub struct Event<'a> {
    /// `IN_*`.
    pub mask: u32,
    /// Connects the two halves of a rename.
    pub cookie: u32,
    /// The entry, or nothing.
    pub name: &'a [u8],
    /// The name is gone.
    pub unlinked: bool,
}

/// The marks of one inode.
pub(crate) struct Marks(Mutex<KVec<Arc<dyn Mark>>>);

/// Marks on all inodes.
static COUNT: AtomicU32 = AtomicU32::new(0);
static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// Whether anybody watches anything.
#[inline(always)]
pub(crate) fn active() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

/// Puts `mark` on `inode`. May sleep.
pub fn add_mark(inode: &Arc<Inode>, mark: Arc<dyn Mark>) -> Result {
    if inode.marks.get().is_none() {
        // A lost race gives the box back: the winner's is used.
        drop(inode.marks.set(KBox::new(Marks(Mutex::new(KVec::new())), GFP_KERNEL)?));
        inode.sb().marked.lock().push(Arc::downgrade(inode), GFP_KERNEL)?;
    }
    inode.marks.get().ok_or(ENOMEM)?.0.lock().push(mark, GFP_KERNEL)?;
    COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// The number of `owner`'s mark on `inode`. May sleep.
pub fn find_mark(inode: &Inode, owner: u64) -> Option<u32> {
    let marks = inode.marks.get()?.0.lock();
    marks.iter().map(|mark| mark.key()).find(|key| key.0 == owner).map(|key| key.1)
}

/// Takes a mark off, without telling it. May sleep.
pub fn remove_mark(inode: &Inode, key: (u64, u32)) {
    let Some(marks) = inode.marks.get() else { return };
    let mut list = marks.0.lock();
    let before = list.len();
    list.retain(|mark| mark.key() != key);
    COUNT.fetch_sub((before - list.len()) as u32, Ordering::Relaxed);
}

fn send(inode: &Inode, event: &Event<'_>) {
    let Some(marks) = inode.marks.get() else { return };
    let mut done: KVec<Arc<dyn Mark>> = KVec::new();
    marks.0.lock().retain(|mark| {
        // Without memory to remember it, a finished mark stays and takes no more events.
        mark.event(event) || done.push(mark.clone(), GFP_KERNEL).is_err()
    });
    COUNT.fetch_sub(done.len() as u32, Ordering::Relaxed);
    done.iter().for_each(|mark| mark.removed());
}

/// Something happened to `inode` itself.
fn inode_event(inode: &Inode, mask: u32) {
    let dir = if inode.is_dir() { IN_ISDIR } else { 0 };
    send(inode, &Event { mask: mask | dir, cookie: 0, name: b"", unlinked: false });
}

/// Something happened to what `dentry` names: the directory hears of it, then the inode's own watchers.
#[cold]
fn dentry_event(dentry: &Dentry, mask: u32) {
    let Some(inode) = dentry.inode() else { return };
    let mask = if inode.is_dir() { mask | IN_ISDIR } else { mask };
    let unlinked = dentry.is_unhashed();
    if let Some(parent) = dentry.parent_arc()
        && let Some(dir) = parent.inode().filter(|dir| dir.marks.get().is_some())
    {
        let mut name = [0; NAME_MAX];
        let len = dentry.with_name(|text| {
            let len = text.len().min(NAME_MAX);
            name.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            len
        });
        send(dir, &Event { mask, cookie: 0, name: name.get(..len).unwrap_or(b""), unlinked });
    }
    send(inode, &Event { mask, cookie: 0, name: b"", unlinked });
}

/// Something happened through an open file.
#[inline(always)]
pub(crate) fn file_event(file: &File, mask: u32) {
    if active() {
        dentry_event(&file.path().dentry, mask);
    }
}

/// Something happened to what `path` names.
#[inline]
pub(crate) fn path_event(path: &Path, mask: u32) {
    if active() {
        dentry_event(&path.dentry, mask);
    }
}

/// An open file goes.
#[inline(always)]
pub(crate) fn closed(file: &File) {
    file_event(file, if file.mode() & fmode::WRITE != 0 { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
}

/// `inode` became entry `name` of `dir`.
pub(crate) fn created(dir: &Inode, inode: &Inode, name: &[u8]) {
    entry_event(dir, inode, name, IN_CREATE, 0);
}

/// `inode` no longer is entry `name` of `dir`.
pub(crate) fn deleted(dir: &Inode, inode: &Inode, name: &[u8]) {
    entry_event(dir, inode, name, IN_DELETE, 0);
}

fn entry_event(dir: &Inode, inode: &Inode, name: &[u8], mask: u32, cookie: u32) {
    if active() {
        let mask = if inode.is_dir() { mask | IN_ISDIR } else { mask };
        send(dir, &Event { mask, cookie, name, unlinked: false });
    }
}

/// The number of names of `inode` changed.
pub(crate) fn link_count(inode: &Inode) {
    if active() {
        inode_event(inode, IN_ATTRIB);
    }
}

/// `inode` moved, and `replaced` lost its name.
pub(crate) fn moved(from: (&Inode, &[u8]), to: (&Inode, &[u8]), inode: &Inode, replaced: Option<&Inode>) {
    if !active() {
        return;
    }
    let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
    entry_event(from.0, inode, from.1, IN_MOVED_FROM, cookie);
    entry_event(to.0, inode, to.1, IN_MOVED_TO, cookie);
    if let Some(replaced) = replaced {
        link_count(replaced);
    }
    inode_event(inode, IN_MOVE_SELF);
}

/// Tells all watchers of `inode` a last time, and takes their marks off.
#[cold]
fn last_event(inode: &Inode, mask: u32) {
    let Some(marks) = inode.marks.get() else { return };
    inode_event(inode, mask);
    let gone = core::mem::take(&mut *marks.0.lock());
    COUNT.fetch_sub(gone.len() as u32, Ordering::Relaxed);
    gone.iter().for_each(|mark| mark.removed());
}

/// The last name of `inode` is gone and nobody has it open.
#[inline]
pub(crate) fn inode_gone(inode: &Inode) {
    if active() {
        last_event(inode, IN_DELETE_SELF);
    }
}

/// A name of `inode` is gone: if it was the last and nobody has it open, its watchers hear of that before the directory's do.
pub(crate) fn name_gone(inode: &Inode) {
    if active() && inode.is_unused() {
        last_event(inode, IN_DELETE_SELF);
    }
}

/// The last mount of `sb` is gone.
pub(crate) fn unmounted(sb: &SuperBlock) {
    let marked = core::mem::take(&mut *sb.marked.lock());
    for inode in marked.iter().filter_map(kalloc::WeakArc::upgrade) {
        last_event(&inode, IN_UNMOUNT);
    }
}

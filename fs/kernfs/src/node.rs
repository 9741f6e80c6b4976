// SPDX-License-Identifier: GPL-2.0
//! `Node`: a directory, an attribute or a link of the tree, and making and removing them. Locks: see the crate's text.

use crate::attribute::Attribute;
use crate::revocable::Revocable;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use sync::{PollMask, RwSemaphore, WaitQueue};
use vfs::types::AtomicTime;
use vfs::{FileType, Timespec, current_time};

/// Hands out the inode numbers of a tree.
pub struct Ino(AtomicU64);

impl Ino {
    /// Numbers from `first` on.
    pub const fn new(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A node of the tree. Always in an `Arc`; a directory holds its children, a child only points back.
pub struct Node {
    name: KString,
    parent: Option<WeakArc<Node>>,
    /// Inode number.
    pub ino: u64,
    numbers: &'static Ino,
    mode: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    active: AtomicBool,
    fixed_modes: AtomicBool,
    /// Attributes that are made here are a module's.
    of_module: AtomicBool,
    born: Timespec,
    pub(crate) mtime: AtomicTime,
    pub(crate) ctime: AtomicTime,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Dir(Dir),
    Attribute(Behind, Notice),
    Link(WeakArc<Node>),
    Text(KString),
}

/// What is behind an attribute.
pub(crate) enum Behind {
    /// Code of the image.
    Image(KBox<dyn Attribute>),
    /// Code of a module: taken back when the attribute is removed, however long somebody has it open.
    Module(Revocable<dyn Attribute>),
}

impl Behind {
    /// Calls `f` with the attribute. `ENODEV`: it was taken back.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&dyn Attribute) -> Result<R>) -> Result<R> {
        match self {
            Self::Image(attribute) => f(&**attribute),
            Self::Module(attribute) => attribute.with(f).ok_or(ENODEV)?,
        }
    }

    /// Takes a module's attribute back. May sleep.
    fn revoke(&self) {
        if let Self::Module(attribute) = self {
            attribute.revoke();
        }
    }
}

/// Children in the order of their cookies, which directory readers go by.
pub(crate) struct Dir {
    children: RwSemaphore<Children>,
    empty: AtomicBool,
    /// Directories among the children.
    subdirectories: AtomicU32,
}

struct Children {
    list: KVec<(u64, Arc<Node>)>,
    next: u64,
}

/// Tells those who poll an attribute that it changed.
pub(crate) struct Notice {
    count: AtomicU64,
    queue: SetOnce<Arc<WaitQueue>>,
    making: SpinLock<()>,
}

/// First cookie: what is below stands for `.` and `..`.
const FIRST_COOKIE: u64 = 2;

impl Notice {
    const fn new() -> Self {
        Self { count: AtomicU64::new(0), queue: SetOnce::new(), making: SpinLock::new(()) }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The queue, made when an attribute that notifies is first opened.
    pub(crate) fn queue(&self) -> Result<&Arc<WaitQueue>> {
        if self.queue.get().is_none() {
            let queue = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
            let _making = self.making.lock();
            // Lost races leave the winner's queue.
            let _ = self.queue.set(queue);
        }
        self.queue.get().ok_or(ENOMEM)
    }

    pub(crate) fn ready_queue(&self) -> Option<&Arc<WaitQueue>> {
        self.queue.get()
    }
}

impl Dir {
    fn new() -> Self {
        let children = Children { list: KVec::new(), next: FIRST_COOKIE };
        let empty = AtomicBool::new(true);
        Self { children: RwSemaphore::new(children), empty, subdirectories: AtomicU32::new(0) }
    }

    /// The list of children changed; its lock is held.
    fn recount(&self, children: &Children) {
        let directories = children.list.iter().filter(|(_, child)| matches!(child.kind, Kind::Dir(_))).count();
        self.subdirectories.store(directories as u32, Ordering::Relaxed);
        self.empty.store(children.list.is_empty(), Ordering::Relaxed);
    }
}

impl Node {
    fn build(
        parent: Option<WeakArc<Node>>,
        name: &[u8],
        mode: u32,
        numbers: &'static Ino,
        kind: Kind,
    ) -> Result<Arc<Self>> {
        let now = current_time();
        let fixed_modes = parent.as_ref().and_then(WeakArc::upgrade).is_some_and(|parent| parent.has_fixed_modes());
        let node = Self {
            name: KString::from_bytes(name, GFP_KERNEL)?,
            parent,
            ino: numbers.next(),
            numbers,
            mode: AtomicU32::new(mode),
            uid: AtomicU32::new(0),
            gid: AtomicU32::new(0),
            active: AtomicBool::new(true),
            fixed_modes: AtomicBool::new(fixed_modes),
            of_module: AtomicBool::new(false),
            born: now,
            mtime: AtomicTime::new(now),
            ctime: AtomicTime::new(now),
            kind,
        };
        Ok(Arc::new(node, GFP_KERNEL)?)
    }

    /// The root of a tree whose inode numbers come from `numbers`. May sleep (as all that makes nodes).
    pub fn new_root(numbers: &'static Ino) -> Result<Arc<Self>> {
        Self::build(None, b"", uapi::S_IFDIR | 0o755, numbers, Kind::Dir(Dir::new()))
    }

    fn dir(&self) -> Result<&Dir> {
        match &self.kind {
            Kind::Dir(dir) => Ok(dir),
            _ => Err(ENOTDIR),
        }
    }

    /// Its name; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// The directory it is in.
    pub fn parent(&self) -> Option<Arc<Node>> {
        self.parent.as_ref()?.upgrade()
    }

    /// Type and permissions.
    pub fn mode(&self) -> u32 {
        self.mode.load(Ordering::Relaxed)
    }

    /// Owner and group.
    pub fn owner(&self) -> (u32, u32) {
        (self.uid.load(Ordering::Relaxed), self.gid.load(Ordering::Relaxed))
    }

    /// Changes owner and group.
    pub fn set_owner(&self, uid: u32, gid: u32) {
        self.uid.store(uid, Ordering::Relaxed);
        self.gid.store(gid, Ordering::Relaxed);
    }

    /// Changes the permissions (`mode` without type).
    pub fn set_permissions(&self, mode: u32) {
        self.mode.store(self.mode() & uapi::S_IFMT | mode & 0o7777, Ordering::Relaxed);
    }

    /// From here on the modes of this node, and of all that is made below it, cannot be changed, and hold for everybody: no
    /// capability helps (`/proc/sys`).
    pub fn fix_modes(&self) {
        self.fixed_modes.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::fix_modes`] was called on it or above it.
    pub fn has_fixed_modes(&self) -> bool {
        self.fixed_modes.load(Ordering::Relaxed)
    }

    /// From here on attributes made in this directory are a module's: [`Self::remove`] waits until nobody runs them and drops them then,
    /// where those of the image stay as long as somebody has them open. What removes such an attribute must not be what it runs.
    pub fn fill_by_module(&self) {
        self.of_module.store(true, Ordering::Relaxed);
    }

    /// When it was made.
    pub fn born(&self) -> Timespec {
        self.born
    }

    /// The type.
    pub fn file_type(&self) -> FileType {
        FileType::of(self.mode())
    }

    /// Whether it was not removed.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Bytes that `stat` shows.
    pub(crate) fn size(&self) -> u64 {
        match &self.kind {
            Kind::Attribute(attribute, _) => attribute.with(|attribute| Ok(attribute.size())).unwrap_or(0),
            _ => 0,
        }
    }

    /// Directories in this directory.
    pub(crate) fn subdirectories(&self) -> u32 {
        self.dir().map_or(0, |dir| dir.subdirectories.load(Ordering::Relaxed))
    }

    fn add(self: &Arc<Self>, name: &[u8], mode: u32, kind: Kind) -> Result<Arc<Self>> {
        if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
            return Err(EINVAL);
        }
        let dir = self.dir()?;
        let node = Self::build(Some(Arc::downgrade(self)), name, mode, self.numbers, kind)?;
        let mut children = dir.children.write();
        if !self.is_active() {
            return Err(ENOENT);
        }
        if children.list.iter().any(|(_, child)| child.name() == name) {
            return Err(EEXIST);
        }
        let cookie = children.next;
        children.list.push((cookie, node.clone()), GFP_KERNEL)?;
        children.next += 1;
        dir.recount(&children);
        let now = current_time();
        self.mtime.set(now);
        self.ctime.set(now);
        Ok(node)
    }

    /// Makes a directory `name` here. `EEXIST`.
    pub fn mkdir(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        self.mkdir_mode(name, 0o755)
    }

    /// As [`Self::mkdir`] with permissions `mode`.
    pub fn mkdir_mode(self: &Arc<Self>, name: &[u8], mode: u32) -> Result<Arc<Self>> {
        self.add(name, uapi::S_IFDIR | mode, Kind::Dir(Dir::new()))
    }

    /// The directory `name` here, made if it is missing.
    pub fn dir_or_new(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        match self.mkdir(name) {
            Err(EEXIST) => self.child(name).filter(|node| node.dir().is_ok()).ok_or(EEXIST),
            result => result,
        }
    }

    /// The directory at `path` (components separated by `/`) below this one; missing directories are made.
    pub fn path_or_new(self: &Arc<Self>, path: &str) -> Result<Arc<Self>> {
        let mut at = self.clone();
        for component in path.split('/').filter(|c| !c.is_empty()) {
            at = at.dir_or_new(component.as_bytes())?;
        }
        Ok(at)
    }

    /// Makes attribute `name` here, with permissions `mode`. `EEXIST`.
    pub fn attr(self: &Arc<Self>, name: &[u8], mode: u32, attribute: impl Attribute) -> Result<Arc<Self>> {
        let behind = if self.of_module.load(Ordering::Relaxed) {
            let attribute: Arc<dyn Attribute> = Arc::new(attribute, GFP_KERNEL)?;
            Behind::Module(Revocable::new(attribute))
        } else {
            Behind::Image(KBox::new(attribute, GFP_KERNEL)?)
        };
        self.add(name, uapi::S_IFREG | mode, Kind::Attribute(behind, Notice::new()))
    }

    /// Makes a link `name` here to another node of the tree: its text is a relative path, as sysfs has it.
    pub fn link(self: &Arc<Self>, name: &[u8], target: &Arc<Node>) -> Result<Arc<Self>> {
        self.add(name, uapi::S_IFLNK | 0o777, Kind::Link(Arc::downgrade(target)))
    }

    /// Makes a link `name` here with a fixed text.
    pub fn symlink(self: &Arc<Self>, name: &[u8], text: &str) -> Result<Arc<Self>> {
        self.add(name, uapi::S_IFLNK | 0o777, Kind::Text(KString::from_str(text, GFP_KERNEL)?))
    }

    /// The child of that name.
    pub fn child(&self, name: &[u8]) -> Option<Arc<Node>> {
        let children = self.dir().ok()?.children.read();
        children.list.iter().find(|(_, child)| child.name() == name).map(|(_, child)| child.clone())
    }

    /// The first child with a cookie of at least `from`, and its cookie.
    pub(crate) fn next_child(&self, from: u64) -> Option<(u64, Arc<Node>)> {
        let children = self.dir().ok()?.children.read();
        let at = children.list.partition_point(|(cookie, _)| *cookie < from);
        children.list.get(at).map(|(cookie, child)| (*cookie, child.clone()))
    }

    /// Whether a directory has no children.
    pub fn is_empty(&self) -> bool {
        self.dir().is_ok_and(|dir| dir.empty.load(Ordering::Relaxed))
    }

    /// Takes this node, and all below it, out of the tree: names no longer lead to them, and what is open fails with `ENODEV`. Waits for
    /// attributes of modules ([`Self::fill_by_module`]). May sleep.
    pub fn remove(self: &Arc<Self>) {
        if let Some(parent) = self.parent()
            && let Ok(dir) = parent.dir()
        {
            let mut children = dir.children.write();
            children.list.retain(|(_, child)| !Arc::ptr_eq(child, self));
            dir.recount(&children);
            let now = current_time();
            parent.mtime.set(now);
            parent.ctime.set(now);
        }
        loop {
            let leaf = self.last_leaf();
            leaf.notify();
            if let Kind::Attribute(behind, _) = &leaf.kind {
                behind.revoke();
            }
            if Arc::ptr_eq(&leaf, self) {
                return;
            }
            if let Some(parent) = leaf.parent()
                && let Ok(dir) = parent.dir()
            {
                dir.children.write().list.retain(|(_, child)| !Arc::ptr_eq(child, &leaf));
            }
        }
    }

    /// The last node below this one that has nothing below it; all on the way there are no longer part of the tree.
    fn last_leaf(self: &Arc<Self>) -> Arc<Self> {
        let mut at = self.clone();
        loop {
            at.active.store(false, Ordering::Release);
            // Nothing is added to it from here on.
            let child = at.dir().ok().and_then(|dir| dir.children.write().list.last().map(|(_, child)| child.clone()));
            match child {
                Some(child) => at = child,
                None => return at,
            }
        }
    }

    /// Tells those who poll this attribute that it changed (`kernfs_notify`, `sysfs_notify`). Any context but NMI.
    pub fn notify(&self) {
        if let Kind::Attribute(_, notice) = &self.kind {
            notice.count.fetch_add(1, Ordering::AcqRel);
            if let Some(queue) = notice.queue.get() {
                queue.wake_up_poll(PollMask::PRI | PollMask::ERR);
            }
        }
    }

    /// Nodes above, the root last.
    fn ancestors(self: &Arc<Self>) -> Result<KVec<Arc<Node>>> {
        let mut all = KVec::new();
        let mut at = self.parent();
        while let Some(node) = at {
            at = node.parent();
            all.push(node, GFP_KERNEL)?;
        }
        Ok(all)
    }

    /// The path from the directory this link is in to `target`.
    pub(crate) fn relative_path(self: &Arc<Self>, target: &Arc<Node>) -> Result<KVec<u8>> {
        let above = self.ancestors()?;
        let mut chain = target.ancestors()?;
        chain.insert(0, target.clone(), GFP_KERNEL)?;
        // The nearest directory they have in common.
        let common = above
            .iter()
            .enumerate()
            .find_map(|(up, node)| chain.iter().position(|other| Arc::ptr_eq(node, other)).map(|down| (up, down)));
        let (up, down) = common.ok_or(ENOENT)?;
        let mut text = KVec::new();
        for _ in 0..up {
            text.extend_from_slice(b"../", GFP_KERNEL)?;
        }
        for node in chain.iter().take(down).rev() {
            text.extend_from_slice(node.name(), GFP_KERNEL)?;
            text.push(b'/', GFP_KERNEL)?;
        }
        text.pop();
        if text.is_empty() {
            text.push(b'.', GFP_KERNEL)?;
        }
        Ok(text)
    }
}

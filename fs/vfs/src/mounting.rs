// SPDX-License-Identifier: GPL-2.0
//! Changing the tree of mounts. Locks: `MOUNTS`, for the length of a change. Source: `mount(2)`, `umount(2)`,
//! `pivot_root(2)`.

use crate::dcache::is_subdir;
use crate::fs_struct::{FsStruct, current_fs};
use crate::fs_type::{TypeRef, get_filesystem};
use crate::mnt_ns::check_mnt;
use crate::mount::{MOUNT_FLAGS, MOUNTS, Mount, Mounts, follow_down, freeze_super};
use crate::path::Path;
use crate::propagation::TreeCopy;
use crate::super_block::{FsContext, SB_FLAGS, SuperBlock};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use uapi::{MS_BIND, MS_MOVE, MS_REC, MS_REMOUNT};

const MS_PROPAGATION: u32 = uapi::MS_SHARED | uapi::MS_PRIVATE | uapi::MS_SLAVE | uapi::MS_UNBINDABLE;

/// Every task's `FsStruct`, for `pivot_root` (`kernel/process`).
pub trait EachFs: Sync {
    /// Calls `f` for the `FsStruct` of each task.
    fn for_each(&self, f: &mut dyn FnMut(&FsStruct));
}

/// The task list.
pub static EACH_FS: Hook<dyn EachFs> = Hook::new();

/// The flags of a new mount: `relatime` unless something else was said.
fn mount_flags(flags: u32) -> u32 {
    let mut mount = flags & MOUNT_FLAGS;
    if flags & (uapi::MS_NOATIME | uapi::MS_STRICTATIME) == 0 {
        mount |= uapi::MS_RELATIME;
    }
    if flags & (uapi::MS_NOATIME | uapi::MS_STRICTATIME) != 0 {
        mount &= !uapi::MS_RELATIME;
    }
    mount
}

/// Flags that say when access times move.
const ATIME: u32 = uapi::MS_NOATIME | uapi::MS_NODIRATIME | uapi::MS_RELATIME;

/// `mount(2)` after its arguments were fetched and the right to mount was checked. May sleep.
pub fn do_mount(source: &[u8], target: Path, fs_type: &[u8], flags: u32, data: &[u8]) -> Result {
    if flags & MS_REMOUNT != 0 {
        return remount(&target, flags, data);
    }
    if flags & MS_BIND != 0 {
        return bind(source, target, flags & MS_REC != 0);
    }
    if flags & MS_PROPAGATION != 0 {
        return change_propagation(&target, flags);
    }
    if flags & MS_MOVE != 0 {
        return crate::mount_tree::move_tree(&look_up(source)?, target);
    }
    mount_new(source, target, fs_type, flags, data)
}

/// Looks up a path that an argument holds.
fn look_up(name: &[u8]) -> Result<Path> {
    use crate::namei::{PathName, Start, lflag, walk::lookup_path};
    if name.is_empty() {
        return Err(EINVAL);
    }
    lookup_path(Start::Cwd, &PathName::from_bytes(name)?, lflag::FOLLOW)
}

pub(crate) fn is_mount_root(path: &Path) -> bool {
    Arc::ptr_eq(&path.dentry, &path.mnt.root)
}

/// The type `fs_type`, from a module if need be. `ENODEV` if there is none that programs may mount.
pub(crate) fn find_type(fs_type: &[u8]) -> Result<TypeRef> {
    let known = get_filesystem(fs_type).or_else(|| {
        if fs_type.iter().all(u8::is_ascii_graphic) {
            crate::hooks::request_module(format_args!("fs-{}", fs_type.escape_ascii()));
        }
        get_filesystem(fs_type)
    });
    known.filter(|kind| kind.get().user_mountable()).ok_or(ENODEV)
}

/// A super block of type `fs_type`.
fn new_super(source: &[u8], fs_type: &[u8], flags: u32, data: &[u8]) -> Result<Arc<SuperBlock>> {
    let kind = find_type(fs_type)?;
    kind.get().get_tree(&FsContext { source, flags: flags & SB_FLAGS, options: data })
}

fn mount_new(source: &[u8], target: Path, fs_type: &[u8], flags: u32, data: &[u8]) -> Result {
    if fs_type.is_empty() {
        return Err(EINVAL);
    }
    let sb = new_super(source, fs_type, flags, data)?;
    let root = sb.root().ok_or(EINVAL)?;
    let shown = if source.is_empty() { b"none" } else { source };
    let mount = Mount::new(&sb, root, shown, mount_flags(flags))?;
    graft(&mount, target)
}

/// Attaches new `mount` at `target`, or on top of what is mounted there.
fn graft(mount: &Arc<Mount>, mut target: Path) -> Result {
    let mut mounts = MOUNTS.lock();
    follow_down(&mut target);
    check_mnt(&target.mnt)?;
    check_target(mount, &target)?;
    if is_mount_root(&target) && Arc::ptr_eq(&target.mnt.sb, &mount.sb) && Arc::ptr_eq(&target.dentry, &mount.root) {
        return Err(EBUSY);
    }
    attach_tree(&mut mounts, core::slice::from_ref(mount), &target, |mounts, ns| {
        mounts.attach(mount, ns, Some(&target))
    })
}

/// Attaches `tree` at `target` by `attach` (which is told the name space), and its copies where `target`'s changes go.
pub(crate) fn attach_tree(
    mounts: &mut Mounts,
    tree: &[Arc<Mount>],
    target: &Path,
    attach: impl FnOnce(&mut Mounts, u64) -> Result,
) -> Result {
    // What may fail comes before anything can be seen, but for the list's own room.
    let copies = mounts.propagate(tree, target)?;
    check_count(mounts, tree, target.mnt.ns(), &copies)?;
    attach(mounts, target.mnt.ns())?;
    for copy in copies.iter() {
        attach_copy(mounts, tree, copy)?;
    }
    Ok(())
}

/// Most mounts of a name space (`fs.mount-max`).
pub static MOUNT_MAX: AtomicU32 = AtomicU32::new(100_000);

/// `ENOSPC` if a name space would have too many. What moves is in the list already.
fn check_count(mounts: &Mounts, tree: &[Arc<Mount>], here: u64, copies: &[TreeCopy]) -> Result {
    let most = MOUNT_MAX.load(Ordering::Relaxed) as usize;
    let new = tree.iter().filter(|mount| mount.ns() == 0).count();
    let copied: usize = copies.iter().map(|copy| copy.tree.len()).sum();
    if mounts.list.len() + new + copied <= most {
        return Ok(());
    }
    for ns in copies.iter().map(|copy| copy.at.mnt.ns()).chain(core::iter::once(here)) {
        let there = mounts.list.iter().filter(|mount| mount.ns() == ns).count();
        let comes: usize = copies.iter().filter(|copy| copy.at.mnt.ns() == ns).map(|copy| copy.tree.len()).sum();
        let added = comes + if ns == here { new } else { 0 };
        if added != 0 && there + added > most {
            return Err(ENOSPC);
        }
    }
    Ok(())
}

fn attach_copy(mounts: &mut Mounts, tree: &[Arc<Mount>], copy: &TreeCopy) -> Result {
    let (ns, top) = (copy.at.mnt.ns(), copy.tree.first().ok_or(EINVAL)?);
    // What is mounted there already comes to lie on top of the copy.
    let covered = mounts.child_at(&copy.at.mnt, &copy.at.dentry);
    if let Some(covered) = &covered {
        mounts.unhook(covered);
    }
    mounts.attach(top, ns, Some(&copy.at))?;
    if let Some(covered) = &covered {
        mounts.hook_in(covered, &Path { mnt: top.clone(), dentry: top.root.clone() });
    }
    mounts.attach_parts(tree, &copy.tree, ns)
}

pub(crate) fn check_target(mount: &Mount, target: &Path) -> Result {
    if target.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    if target.inode()?.is_dir() != mount.root.positive()?.is_dir() {
        return Err(ENOTDIR);
    }
    Ok(())
}

fn remount(target: &Path, flags: u32, data: &[u8]) -> Result {
    if !is_mount_root(target) {
        return Err(EINVAL);
    }
    let _mounts = MOUNTS.lock();
    check_mnt(&target.mnt)?;
    let mut mount = mount_flags(flags);
    if flags & (ATIME | uapi::MS_STRICTATIME) == 0 {
        // Not said: as it was.
        mount = mount & !ATIME | target.mnt.flags() & ATIME;
    }
    if flags & MS_BIND == 0 {
        reconfigure(&target.mnt.sb, flags, data)?;
    }
    target.mnt.remount(mount)
}

/// Gives a mounted file system other flags and options. `EBUSY` if it is frozen, or would become read-only and is
/// written to. May sleep.
pub(crate) fn reconfigure(sb: &SuperBlock, flags: u32, data: &[u8]) -> Result {
    let _thawed = sb.keep_thawed()?;
    let old = sb.flags();
    if flags & !old & uapi::MS_RDONLY != 0 {
        freeze_super(sb)?;
    }
    if let Err(error) = sb.ops().remount(sb, flags & SB_FLAGS, data) {
        sb.set_flags(old);
        return Err(error);
    }
    sb.set_flags(old & !REMOUNT_FLAGS | flags & REMOUNT_FLAGS);
    Ok(())
}

/// Flags of a super block that a remount sets (`MS_RMT_MASK`).
const REMOUNT_FLAGS: u32 =
    uapi::MS_RDONLY | uapi::MS_SYNCHRONOUS | uapi::MS_MANDLOCK | uapi::MS_I_VERSION | uapi::MS_LAZYTIME;

fn change_propagation(target: &Path, flags: u32) -> Result {
    if !is_mount_root(target) {
        return Err(EINVAL);
    }
    let kind = flags & !(MS_REC | uapi::MS_SILENT);
    let mounts = MOUNTS.lock();
    check_mnt(&target.mnt)?;
    let tree = if flags & MS_REC != 0 { mounts.tree_of(&target.mnt)? } else { one(&target.mnt)? };
    for mount in tree.iter() {
        match kind {
            uapi::MS_SHARED => mounts.make_shared(mount),
            uapi::MS_SLAVE => mounts.make_slave(mount),
            uapi::MS_PRIVATE => mounts.make_private(mount),
            uapi::MS_UNBINDABLE => mounts.make_unbindable(mount),
            _ => return Err(EINVAL),
        }
    }
    Ok(())
}

/// Mounts, parents before children.
type Tree = KVec<Arc<Mount>>;

pub(crate) fn one(mount: &Arc<Mount>) -> Result<Tree> {
    let mut tree = KVec::new();
    tree.push(mount.clone(), GFP_KERNEL)?;
    Ok(tree)
}

fn bind(source: &[u8], target: Path, recursive: bool) -> Result {
    let from = look_up(source)?;
    if crate::mnt_ns::would_loop(&from)? {
        return Err(EINVAL);
    }
    let mut mounts = MOUNTS.lock();
    let mut at = target;
    follow_down(&mut at);
    check_mnt(&at.mnt)?;
    // The tree to copy is collected before anything is attached, so that it does not find itself.
    let (originals, copies) = copy_at(&mounts, &from, recursive)?;
    let top = copies.first().ok_or(EINVAL)?;
    check_target(top, &at)?;
    attach_tree(&mut mounts, &copies, &at, |mounts, ns| {
        mounts.attach(top, ns, Some(&at))?;
        mounts.attach_parts(&originals, &copies, ns)
    })
}

/// Copies for a bind of `from`, with `recursive` of the mounts below it too, and what they are copies of. The first is the one that
/// `from` is in, from there on.
pub(crate) fn copy_at(mounts: &Mounts, from: &Path, recursive: bool) -> Result<(Tree, Tree)> {
    // A name space's file may be mounted, wherever it was found.
    if crate::nsfs::of_path(from).is_none() {
        check_mnt(&from.mnt)?;
    }
    if from.mnt.is_unbindable() {
        return Err(EINVAL);
    }
    let originals = if recursive { bindable_tree(mounts, from)? } else { one(&from.mnt)? };
    let mut copies = mounts.copy_tree(&originals)?;
    let top = Mount::new(&from.mnt.sb, from.dentry.clone(), from.mnt.source.as_bytes(), from.mnt.flags())?;
    top.set_group(from.mnt.group());
    top.set_master(from.mnt.master());
    *copies.first_mut().ok_or(EINVAL)? = top;
    Ok((originals, copies))
}

/// What a recursive bind of `from` copies: all mounts below it, parents before children, without unbindable ones and what is
/// below those. The first is the mount that `from` is in.
fn bindable_tree(mounts: &Mounts, from: &Path) -> Result<Tree> {
    let mut tree = one(&from.mnt)?;
    let mut index = 0;
    while let Some(parent) = tree.get(index).cloned() {
        for child in mounts.children(&parent) {
            let Some(place) = child.mountpoint_path() else { continue };
            if child.is_unbindable() || index == 0 && !is_subdir(&place.dentry, &from.dentry) {
                continue;
            }
            tree.push(child.clone(), GFP_KERNEL)?;
        }
        index += 1;
    }
    Ok(tree)
}

/// References that an unused mount has besides those of the tree: the list's, the bucket's and the caller's.
const UNUSED: usize = 3;

/// How to unmount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Only if nobody uses it.
    Idle,
    /// Users keep what they have (`MNT_DETACH`).
    Lazy,
    /// Only if nobody uses it and nobody walked into it since the last call of this kind (`MNT_EXPIRE`).
    Expired,
}

/// Detaches the mount that `path` is the root of. `EBUSY`, `EINVAL`, `EAGAIN`. May sleep.
pub fn umount(path: Path, how: Unmount) -> Result {
    if !is_mount_root(&path) {
        return Err(EINVAL);
    }
    check_mnt(&path.mnt)?;
    let Path { mnt, dentry } = path;
    drop(dentry);
    let root = current_fs()?.paths()?.root.mnt.clone();
    let own_root = Arc::ptr_eq(&root, &mnt);
    drop(root);
    if own_root && how == Unmount::Idle {
        // Whoever takes away what he stands on makes the file system read-only.
        let (sb, _mounts) = (&mnt.sb, MOUNTS.lock());
        return if sb.is_rdonly() { Ok(()) } else { reconfigure(sb, sb.flags() | uapi::MS_RDONLY, b"") };
    }
    if mnt.parent_arc().is_none() || how == Unmount::Expired && own_root {
        return Err(EINVAL);
    }
    if how != Unmount::Lazy && !idle(&mnt) {
        return Err(EBUSY);
    }
    if how == Unmount::Expired && !mnt.set_expiring(true) {
        return Err(EAGAIN);
    }
    let mut mounts = MOUNTS.lock();
    if mnt.parent_arc().is_none() {
        return Err(EINVAL);
    }
    if how != Unmount::Lazy && mounts.children(&mnt).next().is_some() {
        return Err(EBUSY);
    }
    let tree = mounts.tree_of(&mnt)?;
    // Deepest first, so that each has no children when it goes.
    for mount in tree.iter().rev() {
        // A copy with something of its own mounted on it stays.
        for copy in mounts.copies_of(mount)?.iter() {
            if mounts.children(copy).next().is_none() {
                mounts.detach(copy);
            }
        }
        mounts.detach(mount);
    }
    drop(mounts);
    drop(tree);
    if how != Unmount::Lazy {
        // What the tree still refers to it by goes now, so that the file system is shut down when this returns.
        rcu::barrier();
    }
    Ok(())
}

/// Whether nobody uses the mount. References that only wait for a grace period do not count: they are waited for.
fn idle(mnt: &Arc<Mount>) -> bool {
    if Arc::strong_count(mnt) <= UNUSED {
        return true;
    }
    // An ended task's `FsStruct` goes after one grace period, and then its paths, which hold the mount, after another.
    for _ in 0..2 {
        rcu::barrier();
        if Arc::strong_count(mnt) <= UNUSED {
            return true;
        }
    }
    false
}

/// Makes `new` the root of the name space and puts the old root at `put`. May sleep.
pub fn pivot_root(new: &Path, put: &Path) -> Result {
    let paths = current_fs()?.paths()?;
    let root = paths.root.clone();
    let mut namespace = MOUNTS.lock();
    check_mnt(&new.mnt)?;
    check_mnt(&root.mnt)?;
    if new.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let shared = |mount: Option<Arc<Mount>>| mount.is_some_and(|mount| mount.group() != 0);
    if shared(Some(put.mnt.clone())) || shared(new.mnt.parent_arc()) || shared(root.mnt.parent_arc()) {
        return Err(EINVAL);
    }
    if Arc::ptr_eq(&new.mnt, &root.mnt) || Arc::ptr_eq(&put.mnt, &root.mnt) && Arc::ptr_eq(&new.mnt, &root.mnt) {
        return Err(EBUSY);
    }
    if !is_mount_root(&root) || !is_mount_root(new) {
        return Err(EINVAL);
    }
    // The root of the name space itself (rootfs) stays where it is.
    let Some(root_place) = root.mnt.mountpoint_path() else { return Err(EINVAL) };
    if new.mnt.parent_arc().is_none() {
        return Err(EINVAL);
    }
    if !is_below(put, new) {
        return Err(EINVAL);
    }
    namespace.unhook(&new.mnt);
    namespace.unhook(&root.mnt);
    namespace.hook_in(&root.mnt, put);
    namespace.hook_in(&new.mnt, &root_place);
    drop(namespace);
    let new_root = Path { mnt: new.mnt.clone(), dentry: new.dentry.clone() };
    match EACH_FS.get() {
        Some(tasks) => tasks.for_each(&mut |fs| {
            // Without memory a task keeps the old root, which is still mounted.
            let _ = fs.replace(&root, &new_root);
        }),
        None => current_fs()?.replace(&root, &new_root)?,
    }
    Ok(())
}

/// Whether `path` is `top` or below it.
fn is_below(path: &Path, top: &Path) -> bool {
    let mut at = path.clone();
    loop {
        if Arc::ptr_eq(&at.mnt, &top.mnt) {
            return is_subdir(&at.dentry, &top.dentry);
        }
        match at.mnt.mountpoint_path() {
            Some(above) => at = above,
            None => return false,
        }
    }
}

/// Mounts file system `sb` as the root of the name space, at boot. May sleep.
pub fn mount_root(sb: &Arc<SuperBlock>, source: &[u8]) -> Result<Path> {
    let root = sb.root().ok_or(EINVAL)?;
    let mount = Mount::new(sb, root.clone(), source, 0)?;
    let ns = crate::mnt_ns::make_first(&mount)?;
    MOUNTS.lock().attach(&mount, ns, None)?;
    Ok(Path { mnt: mount, dentry: root })
}

/// A mount of `sb` for the kernel's own use, in no name space (pipefs and the like). May sleep.
pub fn kern_mount(sb: &Arc<SuperBlock>, source: &[u8]) -> Result<Path> {
    let root = sb.root().ok_or(EINVAL)?;
    Ok(Path {
        // Programs in memory files may be executed.
        mnt: Mount::new(sb, root.clone(), source, uapi::MS_NODEV | uapi::MS_NOSUID)?,
        dentry: root,
    })
}

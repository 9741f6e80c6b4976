// SPDX-License-Identifier: GPL-2.0
//! Changing the tree of mounts. Locks: `NAMESPACE`, for the length of a change. Source: `mount(2)`, `umount(2)`,
//! `pivot_root(2)`.

use crate::dcache::is_subdir;
use crate::fs_struct::{FsStruct, current_fs};
use crate::mount::{MOUNT_FLAGS, Mount, NAMESPACE, Namespace, follow_down};
use crate::path::Path;
use crate::super_block::{FsContext, SB_FLAGS, SuperBlock, get_filesystem};
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

/// `mount(2)` after its arguments were fetched and the right to mount was checked. May sleep.
pub fn do_mount(source: &[u8], target: Path, fs_type: &[u8], flags: u32, data: &[u8]) -> Result {
    if flags & MS_REMOUNT != 0 {
        return remount(&target, flags, data);
    }
    if flags & MS_BIND != 0 {
        return bind(source, target, flags & MS_REC != 0);
    }
    if flags & MS_PROPAGATION != 0 {
        return propagation(&target, flags);
    }
    if flags & MS_MOVE != 0 {
        return move_mount(source, target);
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

fn is_mount_root(path: &Path) -> bool {
    Arc::ptr_eq(&path.dentry, &path.mnt.root)
}

/// A super block of type `fs_type`.
fn new_super(source: &[u8], fs_type: &[u8], flags: u32, data: &[u8]) -> Result<Arc<SuperBlock>> {
    let kind = get_filesystem(fs_type).filter(|kind| kind.user_mountable()).ok_or(ENODEV)?;
    kind.get_tree(&FsContext { source, flags: flags & SB_FLAGS, options: data })
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

/// Attaches `mount` at `target`, or on top of what is mounted there.
fn graft(mount: &Arc<Mount>, mut target: Path) -> Result {
    let mut namespace = NAMESPACE.lock();
    follow_down(&mut target);
    check_target(mount, &target)?;
    if is_mount_root(&target) && Arc::ptr_eq(&target.mnt.sb, &mount.sb) && Arc::ptr_eq(&target.dentry, &mount.root) {
        return Err(EBUSY);
    }
    namespace.attach(mount, Some(&target))
}

fn check_target(mount: &Mount, target: &Path) -> Result {
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
    let _namespace = NAMESPACE.lock();
    let mount = mount_flags(flags);
    if flags & MS_BIND == 0 {
        let sb = &target.mnt.sb;
        sb.ops().remount(sb, flags & SB_FLAGS, data)?;
        sb.set_flags(sb.flags() & !uapi::MS_RDONLY & !uapi::MS_SYNCHRONOUS | flags & SB_FLAGS);
        // Read-only is the file system's here, not the mount's.
        target.mnt.set_flags(mount & !uapi::MS_RDONLY | target.mnt.flags() & uapi::MS_RDONLY & flags);
        return Ok(());
    }
    target.mnt.set_flags(mount);
    Ok(())
}

fn propagation(target: &Path, flags: u32) -> Result {
    if !is_mount_root(target) {
        return Err(EINVAL);
    }
    // Every mount is private, so this is the one change that is possible.
    match flags & MS_PROPAGATION {
        uapi::MS_PRIVATE => Ok(()),
        _ => Err(EINVAL),
    }
}

fn bind(source: &[u8], target: Path, recursive: bool) -> Result {
    let from = look_up(source)?;
    let copy = Mount::new(&from.mnt.sb, from.dentry.clone(), &from.mnt.source, from.mnt.flags())?;
    // The tree to copy is collected before anything is attached, so that it does not find itself.
    let mut copies: KVec<(Arc<Mount>, Arc<Mount>)> = KVec::new();
    copies.push((from.mnt.clone(), copy.clone()), GFP_KERNEL)?;
    let mut namespace = NAMESPACE.lock();
    if recursive {
        collect(&namespace, &from, &mut copies)?;
    }
    let mut at = target;
    follow_down(&mut at);
    check_target(&copy, &at)?;
    namespace.attach(&copy, Some(&at))?;
    for index in 1..copies.len() {
        let Some((original, copy)) = copies.get(index) else { break };
        let Some(place) = original.mountpoint_path() else { continue };
        let Some((_, parent)) = copies.iter().find(|pair| Arc::ptr_eq(&pair.0, &place.mnt)) else { continue };
        let place = Path { mnt: parent.clone(), dentry: place.dentry };
        namespace.attach(copy, Some(&place))?;
    }
    Ok(())
}

/// Copies of all mounts below `from`, parents before children, each with its original.
fn collect(namespace: &Namespace, from: &Path, copies: &mut KVec<(Arc<Mount>, Arc<Mount>)>) -> Result {
    let mut index = 0;
    while let Some((parent, _)) = copies.get(index).cloned() {
        for child in namespace.children(&parent) {
            let Some(place) = child.mountpoint_path() else { continue };
            if index == 0 && !is_subdir(&place.dentry, &from.dentry) {
                continue;
            }
            let copy = Mount::new(&child.sb, child.root.clone(), &child.source, child.flags())?;
            copies.push((child.clone(), copy), GFP_KERNEL)?;
        }
        index += 1;
    }
    Ok(())
}

fn move_mount(source: &[u8], target: Path) -> Result {
    let from = look_up(source)?;
    if !is_mount_root(&from) || from.mnt.parent_arc().is_none() {
        return Err(EINVAL);
    }
    let mut namespace = NAMESPACE.lock();
    let mut at = target;
    follow_down(&mut at);
    check_target(&from.mnt, &at)?;
    // Not below itself.
    let mut above = Some(at.mnt.clone());
    while let Some(mount) = above {
        if Arc::ptr_eq(&mount, &from.mnt) {
            return Err(ELOOP);
        }
        above = mount.parent_arc();
    }
    namespace.unhook(&from.mnt);
    namespace.hook_in(&from.mnt, &at);
    Ok(())
}

/// References that an unused mount has besides those of the tree: the name space's, the bucket's and the caller's.
const UNUSED: usize = 3;

/// Detaches the mount that `path` is the root of. With `lazy` users keep what they have. `EBUSY`, `EINVAL`. May sleep.
pub fn umount(path: Path, lazy: bool) -> Result {
    if !is_mount_root(&path) {
        return Err(EINVAL);
    }
    let Path { mnt, dentry } = path;
    drop(dentry);
    if mnt.parent_arc().is_none() {
        return Err(EINVAL);
    }
    if !lazy && !idle(&mnt) {
        return Err(EBUSY);
    }
    let mut namespace = NAMESPACE.lock();
    if mnt.parent_arc().is_none() {
        return Err(EINVAL);
    }
    if lazy {
        // Deepest first, so that each has no children when it goes.
        let mut tree = KVec::new();
        tree.push(mnt.clone(), GFP_KERNEL)?;
        let mut index = 0;
        while let Some(parent) = tree.get(index).cloned() {
            for child in namespace.children(&parent) {
                tree.push(child.clone(), GFP_KERNEL)?;
            }
            index += 1;
        }
        for mount in tree.iter().rev() {
            namespace.detach(mount);
        }
        return Ok(());
    }
    if namespace.children(&mnt).next().is_some() {
        return Err(EBUSY);
    }
    namespace.detach(&mnt);
    drop(namespace);
    // What the tree still refers to it by goes now, so that the file system is shut down when this returns.
    rcu::barrier();
    Ok(())
}

/// Whether nobody uses the mount. References that only wait for a grace period do not count: they are waited for.
fn idle(mnt: &Arc<Mount>) -> bool {
    if Arc::strong_count(mnt) <= UNUSED {
        return true;
    }
    rcu::barrier();
    Arc::strong_count(mnt) <= UNUSED
}

/// Makes `new` the root of the name space and puts the old root at `put`. May sleep.
pub fn pivot_root(new: &Path, put: &Path) -> Result {
    let paths = current_fs()?.paths()?;
    let root = paths.root.clone();
    let mut namespace = NAMESPACE.lock();
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
    NAMESPACE.lock().attach(&mount, None)?;
    Ok(Path { mnt: mount, dentry: root })
}

/// A mount of `sb` for the kernel's own use, in no name space (pipefs and the like). May sleep.
pub fn kern_mount(sb: &Arc<SuperBlock>, source: &[u8]) -> Result<Path> {
    let root = sb.root().ok_or(EINVAL)?;
    Ok(Path {
        mnt: Mount::new(sb, root.clone(), source, uapi::MS_NOEXEC | uapi::MS_NODEV | uapi::MS_NOSUID)?,
        dentry: root,
    })
}

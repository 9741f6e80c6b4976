// SPDX-License-Identifier: GPL-2.0
//! The mount API in steps: `fsopen(2)`, `fspick(2)`, `fsconfig(2)`, `fsmount(2)`, `open_tree(2)`, `move_mount(2)`,
//! `mount_setattr(2)`. The work is in `crate::fs_context` and `crate::mount_tree`.

use super::DirFd;
use super::mount::string;
use crate::fdtable::{fdget, get_unused_fd};
use crate::file::{File, OpenFlags};
use crate::fs_context::ContextFile;
use crate::mount_tree::{self, Attributes};
use crate::mounting::{find_type, is_mount_root};
use crate::namei::open::open_at;
use crate::namei::{PathName, lflag, walk::lookup_path};
use crate::path::Path;
use crate::user;
use errno::{Result, code::*};
use kalloc::{Arc, KVec};
use x86_cpu::regs::PtRegs;

/// Longest key or value of `fsconfig`, with its NUL.
const STRING_MAX: usize = 256;
const PAGE: usize = mm_alloc::layout::PAGE_SIZE;

fn may_mount() -> Result {
    if cred::capable(cred::CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
}

/// The place that a directory's descriptor and a name lead to.
fn place(dirfd: usize, address: usize, walk: u32) -> Result<Path> {
    let name = PathName::from_user(address, walk & lflag::EMPTY != 0)?;
    let dir = DirFd::new(dirfd, &name)?;
    lookup_path(dir.start(), &name, walk)
}

/// Walk flags from `AT_*`.
fn walk_flags(flags: u32) -> u32 {
    let follow = if flags & uapi::AT_SYMLINK_NOFOLLOW == 0 { lflag::FOLLOW } else { 0 };
    follow | if flags & uapi::AT_EMPTY_PATH != 0 { lflag::EMPTY } else { 0 }
}

/// `fsopen(type, flags)`.
pub fn sys_fsopen(regs: &PtRegs) -> Result<usize> {
    may_mount()?;
    let flags = regs.arg1() as u32;
    if flags & !uapi::FSOPEN_CLOEXEC != 0 {
        return Err(EINVAL);
    }
    let name = string(regs.arg0(), PAGE)?.ok_or(EFAULT)?;
    let kind = find_type(&name)?;
    let fd = get_unused_fd(flags & uapi::FSOPEN_CLOEXEC != 0)?;
    Ok(fd.install(ContextFile::open(kind, None)?) as usize)
}

/// `fspick(dirfd, path, flags)`.
pub fn sys_fspick(regs: &PtRegs) -> Result<usize> {
    may_mount()?;
    let flags = regs.arg2() as u32;
    let known =
        uapi::FSPICK_CLOEXEC | uapi::FSPICK_SYMLINK_NOFOLLOW | uapi::FSPICK_NO_AUTOMOUNT | uapi::FSPICK_EMPTY_PATH;
    if flags & !known != 0 {
        return Err(EINVAL);
    }
    let mut walk = if flags & uapi::FSPICK_SYMLINK_NOFOLLOW == 0 { lflag::FOLLOW } else { 0 };
    if flags & uapi::FSPICK_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let path = place(regs.arg0(), regs.arg1(), walk)?;
    if !is_mount_root(&path) {
        return Err(EINVAL);
    }
    let sb = path.mnt.sb.clone();
    let kind = crate::fs_type::TypeRef::of(sb.fs_type).ok_or(ENODEV)?;
    let fd = get_unused_fd(flags & uapi::FSPICK_CLOEXEC != 0)?;
    Ok(fd.install(ContextFile::open(kind, Some(sb))?) as usize)
}

/// A key or a value of `fsconfig`.
fn short_string(address: usize) -> Result<KVec<u8>> {
    string(address, STRING_MAX)?.ok_or(EINVAL)
}

/// `fsconfig(fd, command, key, value, extra)`.
pub fn sys_fsconfig(regs: &PtRegs) -> Result<usize> {
    const BINARY_MAX: i32 = 1 << 20;
    let (fd, command) = (regs.arg0() as i32, regs.arg1() as u32);
    let (key, value, extra) = (regs.arg2(), regs.arg3(), regs.arg4() as i32);
    if fd < 0 {
        return Err(EINVAL);
    }
    let fits = match command {
        uapi::FSCONFIG_SET_FLAG => key != 0 && value == 0 && extra == 0,
        uapi::FSCONFIG_SET_STRING => key != 0 && value != 0 && extra == 0,
        uapi::FSCONFIG_SET_BINARY => key != 0 && value != 0 && (1..=BINARY_MAX).contains(&extra),
        uapi::FSCONFIG_SET_PATH | uapi::FSCONFIG_SET_PATH_EMPTY => {
            key != 0 && value != 0 && (extra == uapi::AT_FDCWD || extra >= 0)
        }
        uapi::FSCONFIG_SET_FD => key != 0 && value == 0 && extra >= 0,
        uapi::FSCONFIG_CMD_CREATE | uapi::FSCONFIG_CMD_RECONFIGURE => key == 0 && value == 0 && extra == 0,
        _ => return Err(EOPNOTSUPP),
    };
    if !fits {
        return Err(EINVAL);
    }
    let file = fdget(fd as usize)?;
    let context = file.private::<ContextFile>().ok_or(EINVAL)?;
    match command {
        uapi::FSCONFIG_CMD_CREATE => context.create(),
        uapi::FSCONFIG_CMD_RECONFIGURE => context.reconfigure(),
        uapi::FSCONFIG_SET_FLAG => context.set(&short_string(key)?, None),
        uapi::FSCONFIG_SET_STRING => context.set(&short_string(key)?, Some(&*short_string(value)?)),
        // Every file system here takes its options as text.
        _ => Err(EOPNOTSUPP),
    }
    .map(|()| 0)
}

/// When access times move, as `MS_*` bits. `EINVAL` for more than one wish.
fn atime_flags(attributes: u64) -> Result<u32> {
    match attributes as u32 & uapi::MOUNT_ATTR__ATIME {
        uapi::MOUNT_ATTR_RELATIME => Ok(uapi::MS_RELATIME),
        uapi::MOUNT_ATTR_NOATIME => Ok(uapi::MS_NOATIME),
        uapi::MOUNT_ATTR_STRICTATIME => Ok(0),
        _ => Err(EINVAL),
    }
}

/// Attributes that are one bit of a mount each.
static SINGLE: [(u32, u32); 6] = [
    (uapi::MOUNT_ATTR_RDONLY, uapi::MS_RDONLY),
    (uapi::MOUNT_ATTR_NOSUID, uapi::MS_NOSUID),
    (uapi::MOUNT_ATTR_NODEV, uapi::MS_NODEV),
    (uapi::MOUNT_ATTR_NOEXEC, uapi::MS_NOEXEC),
    (uapi::MOUNT_ATTR_NODIRATIME, uapi::MS_NODIRATIME),
    (uapi::MOUNT_ATTR_NOSYMFOLLOW, uapi::MS_NOSYMFOLLOW),
];

/// All attributes of a mount but its mapping of ids.
fn known_attributes() -> u64 {
    let single = SINGLE.iter().fold(0, |all, (attribute, _)| all | attribute);
    u64::from(single | uapi::MOUNT_ATTR__ATIME)
}

fn single_flags(attributes: u64) -> u32 {
    let chosen = SINGLE.iter().filter(|(attribute, _)| attributes & u64::from(*attribute) != 0);
    chosen.fold(0, |flags, (_, bit)| flags | bit)
}

/// `fsmount(fd, flags, attributes)`.
pub fn sys_fsmount(regs: &PtRegs) -> Result<usize> {
    may_mount()?;
    let (flags, attributes) = (regs.arg1() as u32, u64::from(regs.arg2() as u32));
    if flags & !uapi::FSMOUNT_CLOEXEC != 0 || attributes & !known_attributes() != 0 {
        return Err(EINVAL);
    }
    let mount_flags = single_flags(attributes) | atime_flags(attributes)?;
    let context = fdget(regs.arg0())?;
    let context = context.private::<ContextFile>().ok_or(EINVAL)?;
    let fd = get_unused_fd(flags & uapi::FSMOUNT_CLOEXEC != 0)?;
    let file: Arc<File> = mount_tree::tree_file(context.mount(mount_flags)?)?;
    Ok(fd.install(file) as usize)
}

/// `open_tree(dirfd, path, flags)`.
pub fn sys_open_tree(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg2() as u32;
    let known = uapi::AT_EMPTY_PATH
        | uapi::AT_NO_AUTOMOUNT
        | uapi::AT_RECURSIVE
        | uapi::AT_SYMLINK_NOFOLLOW
        | uapi::OPEN_TREE_CLONE
        | uapi::OPEN_TREE_CLOEXEC;
    let clone = flags & uapi::OPEN_TREE_CLONE != 0;
    let recursive = flags & uapi::AT_RECURSIVE != 0;
    if flags & !known != 0 || recursive && !clone {
        return Err(EINVAL);
    }
    if clone {
        may_mount()?;
    }
    let fd = get_unused_fd(flags & uapi::OPEN_TREE_CLOEXEC != 0)?;
    let path = place(regs.arg0(), regs.arg1(), walk_flags(flags))?;
    let file = if clone {
        mount_tree::tree_file(mount_tree::copy_detached(&path, recursive)?)?
    } else {
        open_at(path, OpenFlags(uapi::O_PATH))?
    };
    Ok(fd.install(file) as usize)
}

/// `move_mount(from_dirfd, from_path, to_dirfd, to_path, flags)`.
pub fn sys_move_mount(regs: &PtRegs) -> Result<usize> {
    may_mount()?;
    let flags = regs.arg4() as u32;
    if flags & !uapi::MOVE_MOUNT__MASK != 0 {
        return Err(EINVAL);
    }
    let walk = |symlinks: u32, empty: u32| {
        let follow = if flags & symlinks != 0 { lflag::FOLLOW } else { 0 };
        follow | if flags & empty != 0 { lflag::EMPTY } else { 0 }
    };
    let from_walk = walk(uapi::MOVE_MOUNT_F_SYMLINKS, uapi::MOVE_MOUNT_F_EMPTY_PATH);
    let to_walk = walk(uapi::MOVE_MOUNT_T_SYMLINKS, uapi::MOVE_MOUNT_T_EMPTY_PATH);
    let from = place(regs.arg0(), regs.arg1(), from_walk)?;
    let to = place(regs.arg2(), regs.arg3(), to_walk)?;
    if flags & uapi::MOVE_MOUNT_SET_GROUP != 0 {
        mount_tree::set_group(&from, &to)?;
    } else {
        mount_tree::move_tree(&from, to)?;
    }
    Ok(0)
}

/// `mount_setattr(dirfd, path, flags, attributes, size)`.
pub fn sys_mount_setattr(regs: &PtRegs) -> Result<usize> {
    let (flags, size) = (regs.arg2() as u32, regs.arg4());
    let known = uapi::AT_EMPTY_PATH | uapi::AT_RECURSIVE | uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_NO_AUTOMOUNT;
    if flags & !known != 0 {
        return Err(EINVAL);
    }
    if size > PAGE {
        return Err(E2BIG);
    }
    if size < uapi::MOUNT_ATTR_SIZE_VER0 as usize {
        return Err(EINVAL);
    }
    may_mount()?;
    let attributes: uapi::mount_attr = user::get_extensible(regs.arg3(), size, uapi::MOUNT_ATTR_SIZE_VER0 as usize)?;
    if attributes.attr_set == 0 && attributes.attr_clr == 0 && attributes.propagation == 0 {
        return Ok(0);
    }
    let change = checked(&attributes)?;
    let path = place(regs.arg0(), regs.arg1(), walk_flags(flags))?;
    mount_tree::set_attributes(&path, flags & uapi::AT_RECURSIVE != 0, &change).map(|()| 0)
}

fn checked(attributes: &uapi::mount_attr) -> Result<Attributes> {
    const PROPAGATION: u32 = uapi::MS_SHARED | uapi::MS_PRIVATE | uapi::MS_SLAVE | uapi::MS_UNBINDABLE;
    let (set, clear) = (attributes.attr_set, attributes.attr_clr);
    let propagation = u32::try_from(attributes.propagation).map_err(|_| EINVAL)?;
    let mapping = u64::from(uapi::MOUNT_ATTR_IDMAP);
    if propagation & !PROPAGATION != 0
        || propagation.count_ones() > 1
        || (set | clear) & !(known_attributes() | mapping) != 0
    {
        return Err(EINVAL);
    }
    let atime = u64::from(uapi::MOUNT_ATTR__ATIME);
    let mut change = Attributes { set: single_flags(set), clear: single_flags(clear), propagation };
    if clear & atime != 0 {
        if clear & atime != atime {
            return Err(EINVAL);
        }
        change.clear |= uapi::MS_RELATIME | uapi::MS_NOATIME;
        change.set |= atime_flags(set)?;
    } else if set & atime != 0 {
        return Err(EINVAL);
    }
    if (set | clear) & mapping != 0 {
        // There are no user name spaces that a descriptor could stand for.
        if set & mapping != 0 && clear & mapping == 0 {
            fdget(usize::try_from(attributes.userns_fd).map_err(|_| EINVAL)?)?;
        }
        return Err(EINVAL);
    }
    Ok(change)
}

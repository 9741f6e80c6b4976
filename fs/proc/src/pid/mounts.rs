// SPDX-License-Identifier: GPL-2.0
//! `mounts`, `mountinfo` and `mountstats`: what is mounted, as the process sees it from its root. Each mount is shown under the name space's
//! mutex; between two of them others may come and go.

use super::View;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use vfs::inode::iop;
use vfs::mount::for_each_mount_in;
use vfs::propagation::Shown;
use vfs::{Dentry, Mount, Path, SeqBuf, seq_print};

/// What ends a field, and the backslash.
const SPECIAL: &[u8] = b" \t\n\\#";

/// Options of a mount.
const MOUNT_OPTIONS: [(u32, &str); 7] = [
    (uapi::MS_NOSUID, ",nosuid"),
    (uapi::MS_NODEV, ",nodev"),
    (uapi::MS_NOEXEC, ",noexec"),
    (uapi::MS_NOATIME, ",noatime"),
    (uapi::MS_NODIRATIME, ",nodiratime"),
    (uapi::MS_RELATIME, ",relatime"),
    (uapi::MS_NOSYMFOLLOW, ",nosymfollow"),
];

/// Options of a super block.
const SUPER_OPTIONS: [(u32, &str); 4] = [
    (uapi::MS_SYNCHRONOUS, ",sync"),
    (uapi::MS_DIRSYNC, ",dirsync"),
    (uapi::MS_MANDLOCK, ",mand"),
    (uapi::MS_LAZYTIME, ",lazytime"),
];

fn options(flags: u32, table: &[(u32, &str)], out: &mut SeqBuf) -> Result {
    for (_, text) in table.iter().filter(|(flag, _)| flags & flag != 0) {
        out.put(text.as_bytes())?;
    }
    Ok(())
}

fn rw(read_only: bool) -> &'static [u8] {
    if read_only { b"ro" } else { b"rw" }
}

/// Longest path shown.
const PATH_MAX: usize = 4096;

/// Where `mount` is for a process whose root is `root`; `None` if that is outside.
fn place(mount: &Arc<Mount>, root: &Path) -> Result<Option<KVec<u8>>> {
    let here = Path { mnt: mount.clone(), dentry: mount.root.clone() };
    let (text, reached) = here.text(root, PATH_MAX)?;
    Ok(reached.then_some(text))
}

fn source(mount: &Mount) -> &[u8] {
    let source = mount.source.as_bytes();
    if source.is_empty() { b"none" } else { source }
}

/// Calls `line` for the mount with the least number of at least `at`; the value is the number behind it. Numbers grow with
/// time, so a reader meets each mount once.
fn one(view: &View, at: u64, mut line: impl FnMut(&Arc<Mount>, &[u8]) -> Result) -> Result<Option<u64>> {
    let fs = vfs::fs_struct::task_fs(&view.task).ok_or(EINVAL)?;
    let root = fs.paths()?.root.clone();
    let mut found: Option<(usize, Arc<Mount>)> = None;
    let mut index = 0;
    // The list's order is Linux's: parents first. Mounts are counted, which a change between two reads may shift by one.
    for_each_mount_in(fs.ns().ok_or(EINVAL)?.id, |mount| {
        if index as u64 >= at && found.is_none() {
            found = Some((index, mount.clone()));
        }
        index += 1;
        Ok(())
    })?;
    let Some((index, mount)) = found else { return Ok(None) };
    if let Some(place) = place(&mount, &root)? {
        line(&mount, &place)?;
    }
    Ok(Some(index as u64 + 1))
}

/// `mounts`.
pub(super) fn mounts(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    one(view, at, |mount, place| {
        out.escaped(source(mount), SPECIAL)?;
        out.byte(b' ')?;
        out.escaped(place, SPECIAL)?;
        seq_print!(out, " {} ", mount.sb.fs_type.name())?;
        out.put(rw(mount.is_rdonly()))?;
        options(mount.sb.flags(), &SUPER_OPTIONS, out)?;
        options(mount.flags(), &MOUNT_OPTIONS, out)?;
        mount.sb.ops().show_options(&mount.sb, out).map_err(|_| ENOMEM)?;
        out.put(b" 0 0\n")
    })
}

/// `mountstats`: for file systems that count something; none does here.
pub(super) fn mountstats(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    one(view, at, |mount, place| {
        out.put(b"device ")?;
        out.escaped(source(mount), SPECIAL)?;
        out.put(b" mounted on ")?;
        out.escaped(place, SPECIAL)?;
        seq_print!(out, " with fstype {}\n", mount.sb.fs_type.name())
    })
}

/// The path of a dentry inside its file system.
fn inside(dentry: &Arc<Dentry>) -> Result<KVec<u8>> {
    // A name space's file that is mounted somewhere.
    if let Some(inode) = dentry.inode().filter(|inode| inode.iflags() & iop::DNAME != 0) {
        let mut text = KVec::with_capacity(32, GFP_KERNEL)?;
        inode.ops().dname(inode, &mut text).map_err(|_| ENOMEM)?;
        return Ok(text);
    }
    let mut names = KVec::new();
    let mut at = dentry.clone();
    while let Some(parent) = at.parent_arc() {
        names.push(at.name()?, GFP_KERNEL)?;
        at = parent;
    }
    let mut text = KVec::new();
    for name in names.iter().rev() {
        text.push(b'/', GFP_KERNEL)?;
        text.extend_from_slice(name, GFP_KERNEL)?;
    }
    if text.is_empty() {
        text.push(b'/', GFP_KERNEL)?;
    }
    Ok(text)
}

/// The optional fields of `mountinfo`.
fn propagation(shown: &Shown, out: &mut SeqBuf) -> Result {
    for (name, group) in [("shared", shown.shared), ("master", shown.master), ("propagate_from", shown.from)] {
        if group != 0 {
            seq_print!(out, " {name}:{group}")?;
        }
    }
    if shown.unbindable { out.put(b" unbindable") } else { Ok(()) }
}

/// `mountinfo`.
pub(super) fn mountinfo(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    one(view, at, |mount, place| {
        let shown = vfs::propagation::show(mount);
        let parent = mount.parent_arc().map_or(mount.id, |parent| parent.id);
        let dev = mount.sb.dev;
        seq_print!(out, "{} {parent} {}:{} ", mount.id, dev.major(), dev.minor())?;
        out.escaped(&inside(&mount.root)?, SPECIAL)?;
        out.byte(b' ')?;
        out.escaped(place, SPECIAL)?;
        out.byte(b' ')?;
        out.put(rw(mount.flags() & uapi::MS_RDONLY != 0))?;
        options(mount.flags(), &MOUNT_OPTIONS, out)?;
        propagation(&shown, out)?;
        seq_print!(out, " - {} ", mount.sb.fs_type.name())?;
        out.escaped(source(mount), SPECIAL)?;
        out.byte(b' ')?;
        out.put(rw(mount.sb.is_rdonly()))?;
        options(mount.sb.flags(), &SUPER_OPTIONS, out)?;
        mount.sb.ops().show_options(&mount.sb, out).map_err(|_| ENOMEM)?;
        out.byte(b'\n')
    })
}

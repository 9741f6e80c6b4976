// SPDX-License-Identifier: GPL-2.0
//! Flags of files that `chattr` changes, for file systems that keep them as [`FileAttr`]. Source: `ioctl_iflags(2)`, `linux/fs.h`.
//! Locks: the inode's `lock` while they change.

use crate::file::File;
use crate::inode::Inode;
use crate::perm::owner_or_capable;
use crate::types::FileType;
use crate::user;
use cred::CAP_LINUX_IMMUTABLE;
use errno::{Result, code::*};

/// Flags of `struct fsxattr` that are those of `FS_IOC_GETFLAGS` under another number: that one, and this one.
const SAME: [(u32, u32); 7] = [
    (uapi::FS_XFLAG_IMMUTABLE, uapi::FS_IMMUTABLE_FL),
    (uapi::FS_XFLAG_APPEND, uapi::FS_APPEND_FL),
    (uapi::FS_XFLAG_SYNC, uapi::FS_SYNC_FL),
    (uapi::FS_XFLAG_NOATIME, uapi::FS_NOATIME_FL),
    (uapi::FS_XFLAG_NODUMP, uapi::FS_NODUMP_FL),
    (uapi::FS_XFLAG_PROJINHERIT, uapi::FS_PROJINHERIT_FL),
    (uapi::FS_XFLAG_DAX, uapi::FS_DAX_FL),
];

/// A file's flags and hints in both forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAttr {
    /// `FS_*_FL`.
    pub flags: u32,
    /// `FS_XFLAG_*`.
    pub xflags: u32,
    /// Hint for the size of extents, in bytes.
    pub extsize: u32,
    /// Extents the file has.
    pub nextents: u32,
    /// Project.
    pub projid: u32,
    /// Hint for extents of copies.
    pub cowextsize: u32,
    /// The caller gave the second form, all of it.
    pub extended: bool,
}

impl FileAttr {
    /// From `FS_*_FL`.
    pub fn from_flags(flags: u32) -> Self {
        let xflags = SAME.iter().filter(|(_, flag)| flags & flag != 0).fold(0, |all, (xflag, _)| all | xflag);
        Self { flags, xflags, ..Self::default() }
    }

    /// From the words of `struct fsxattr`.
    fn from_words(words: &[u32; 7]) -> Self {
        let [xflags, extsize, nextents, projid, cowextsize, ..] = *words;
        let flags = SAME.iter().filter(|(xflag, _)| xflags & xflag != 0).fold(0, |all, (_, flag)| all | flag);
        Self { flags, xflags, extsize, nextents, projid, cowextsize, extended: true }
    }

    fn words(&self) -> [u32; 7] {
        [self.xflags, self.extsize, self.nextents, self.projid, self.cowextsize, 0, 0]
    }

    /// Whether there is more in it than flags.
    pub fn has_more_than_flags(&self) -> bool {
        let common = SAME.iter().fold(0, |all, (xflag, _)| all | xflag);
        self.extended && (self.xflags & !common != 0 || self.extsize != 0 || self.projid != 0 || self.cowextsize != 0)
    }
}

/// Whether the caller may change `old` to `new`, which is put right where hints mean nothing.
fn prepare(inode: &Inode, old: &FileAttr, new: &mut FileAttr) -> Result {
    if (old.flags ^ new.flags) & (uapi::FS_APPEND_FL | uapi::FS_IMMUTABLE_FL) != 0
        && !cred::capable(CAP_LINUX_IMMUTABLE)
    {
        return Err(EPERM);
    }
    if old.projid != new.projid && new.projid == u32::MAX {
        return Err(EINVAL);
    }
    let (file, dir) = (inode.file_type() == FileType::Reg, inode.is_dir());
    if new.xflags & uapi::FS_XFLAG_EXTSIZE != 0 && !file
        || new.xflags & uapi::FS_XFLAG_EXTSZINHERIT != 0 && !dir
        || new.xflags & (uapi::FS_XFLAG_COWEXTSIZE | uapi::FS_XFLAG_DAX) != 0 && !file && !dir
    {
        return Err(EINVAL);
    }
    if new.extsize == 0 {
        new.xflags &= !(uapi::FS_XFLAG_EXTSIZE | uapi::FS_XFLAG_EXTSZINHERIT);
    }
    if new.cowextsize == 0 {
        new.xflags &= !uapi::FS_XFLAG_COWEXTSIZE;
    }
    Ok(())
}

fn set(file: &File, mut new: FileAttr) -> Result {
    let inode = file.inode();
    if !owner_or_capable(inode)? {
        return Err(EPERM);
    }
    let _lock = inode.lock.write();
    let old = inode.ops().fileattr_get(inode)?;
    let common = SAME.iter().fold((0, 0), |(x, f), (xflag, flag)| (x | xflag, f | flag));
    if new.extended {
        new.flags |= old.flags & !common.1;
    } else {
        new.xflags |= old.xflags & !common.0;
        (new.extsize, new.nextents, new.projid, new.cowextsize) =
            (old.extsize, old.nextents, old.projid, old.cowextsize);
    }
    prepare(inode, &old, &mut new)?;
    inode.ops().fileattr_set(inode, &new)
}

/// The requests above; `ENOTTY` if the file system does not keep such flags.
pub(crate) fn ioctl(file: &File, cmd: u32, arg: usize) -> Result<usize> {
    let inode = file.inode();
    let now = inode.ops().fileattr_get(inode)?;
    match cmd {
        uapi::FS_IOC_GETFLAGS => user::put(arg, &now.flags)?,
        uapi::FS_IOC_FSGETXATTR => user::put(arg, &now.words())?,
        _ => {
            let new = match cmd {
                uapi::FS_IOC_SETFLAGS => FileAttr::from_flags(user::get::<u32>(arg)?),
                _ => FileAttr::from_words(&user::get::<[u32; 7]>(arg)?),
            };
            let _write = file.path().mnt.want_write()?;
            set(file, new)?;
        }
    }
    Ok(0)
}

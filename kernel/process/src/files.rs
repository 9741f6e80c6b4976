// SPDX-License-Identifier: GPL-2.0
//! What fork, exec and exit do with files: sharing or copying the descriptor table and the directories, opening programs.

use errno::Result;
use errno::code::{EACCES, EBADF, EINVAL, ELOOP, ENOENT, ENOTDIR};
use kalloc::Arc;
use task::Task;
use vfs::fdtable::{attach_files, current_files, set_current_files};
use vfs::fs_struct::{attach_fs, current_fs, set_current_fs};
use vfs::namei::{OpenHow, PathName, Start, open_path};
use vfs::{File, FilesStruct, FsStruct};
use x86_mm::uaccess::IovIter;

/// Gives a child the current task's descriptors: the same table, or a copy.
pub(crate) fn copy_files(child: &Task, share: bool) -> Result {
    let files = current_files()?;
    let files = if share { files.share() } else { files.duplicate(u32::MAX)? };
    attach_files(child, files)
}

/// Gives a child the current task's root, working directory and umask: the same object, or a copy.
pub(crate) fn copy_fs(child: &Task, share: bool) -> Result {
    let fs = current_fs()?;
    attach_fs(child, if share { fs } else { fs.duplicate()? })
}

/// The current task closes its files and leaves its directories.
pub(crate) fn exit() {
    set_current_files(None);
    set_current_fs(None);
}

/// A descriptor table that `execve` makes private, to be installed past the point of no return.
pub(crate) struct Unshared {
    files: Option<Arc<FilesStruct>>,
}

/// Copies the descriptor table if another task shares it (`CLONE_FILES` without being a thread).
pub(crate) fn unshare() -> Result<Unshared> {
    let files = current_files()?;
    let files = if files.is_shared() { Some(files.duplicate(u32::MAX)?) } else { None };
    Ok(Unshared { files })
}

impl Unshared {
    /// Installs the copy, and closes what `FD_CLOEXEC` marks.
    pub(crate) fn install(self) {
        if let Some(files) = self.files {
            set_current_files(Some(files));
        }
        if let Ok(files) = current_files() {
            files.close_on_exec();
        }
    }
}

/// Opens the program at `path` for execution: a regular file that the caller may execute, on a mount without `noexec`.
pub(crate) fn open_exec(dirfd: i32, path: &PathName, flags: u32) -> Result<Arc<File>> {
    if path.is_empty() {
        if flags & uapi::AT_EMPTY_PATH == 0 {
            return Err(ENOENT);
        }
        let file = vfs::fdget_raw(dirfd as usize)?;
        check_exec(&file)?;
        return Ok(file);
    }
    let mut open = uapi::O_RDONLY | uapi::O_LARGEFILE;
    if flags & uapi::AT_SYMLINK_NOFOLLOW != 0 {
        open |= uapi::O_NOFOLLOW;
    }
    let how = OpenHow::new_exec(open)?;
    let file = if dirfd == uapi::AT_FDCWD || path.as_bytes().starts_with(b"/") {
        open_path(Start::Cwd, path, &how)?
    } else {
        let base = vfs::fdget_raw(dirfd as usize).map_err(|_| EBADF)?;
        if !base.inode().is_dir() {
            return Err(ENOTDIR);
        }
        open_path(Start::At(base.path()), path, &how)?
    };
    if file.inode().is_symlink() {
        return Err(ELOOP);
    }
    check_exec(&file)?;
    Ok(file)
}

fn check_exec(file: &File) -> Result {
    let inode = file.inode();
    if !inode.is_reg() || file.path().mnt.flags() & vfs::mount::MNT_NOEXEC != 0 {
        return Err(EACCES);
    }
    vfs::perm::inode_permission(inode, vfs::perm::MAY_EXEC)
}

/// Reads from a file into kernel memory at `pos`; short only at the end of the file.
pub(crate) fn kernel_read(file: &File, mut pos: i64, mut to: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while !to.is_empty() {
        let mut iter = IovIter::kernel_dest(to);
        let n = file.ops().read(file, &mut iter, &mut pos)?;
        if n == 0 {
            break;
        }
        done += n;
        to = to.get_mut(n..).ok_or(EINVAL)?;
    }
    Ok(done)
}

// SPDX-License-Identifier: GPL-2.0
//! What `kernel/process` needs of the VFS when tasks begin, change program and end. May sleep throughout.

use crate::fdtable::{FilesStruct, attach_files, current_files, set_current_files, task_files};
use crate::file::{File, OpenFlags, fmode};
use crate::fs_struct::{FsStruct, attach_fs, current_fs, set_current_fs, task_fs};
use crate::inode::Inode;
use crate::namei::open::{TRIES, open_at, settle};
use crate::namei::{OpenHow, PathName, Start, lflag, walk::lookup_path};
use crate::path::Path;
use crate::perm::{MAY_EXEC, inode_permission};
use crate::syscall::DirFd;
use crate::user;
use errno::{Result, code::*};
use kalloc::Arc;
use task::Task;
use x86_mm::uaccess::IovIter;

/// The path at `address` of the program.
pub fn get_name(address: usize, may_be_empty: bool) -> Result<PathName> {
    PathName::from_user(address, may_be_empty)
}

/// Copies the bytes of a string into `to`, without its NUL; fewer than `to.len()` if it ended. `EFAULT`.
pub fn string_chunk(address: usize, to: &mut [u8]) -> Result<usize> {
    user::string_in(address, to)
}

/// Opens program `path` for execution: a regular file that the task may execute, on a mount that allows it. While the file is
/// open nobody can write to it. `flags`: `AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH`. `EACCES`, `ETXTBSY`, and those of a walk.
pub fn open_exec_at(dirfd: i32, path: &[u8], flags: u32) -> Result<Arc<File>> {
    if flags & !(uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let name = PathName::from_bytes(path)?;
    let mut walk = 0;
    if flags & uapi::AT_SYMLINK_NOFOLLOW == 0 {
        walk |= lflag::FOLLOW;
    }
    if flags & uapi::AT_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let dir = DirFd::new(dirfd as usize, &name)?;
    for _ in 1..TRIES {
        match open_exec_once(dir.start(), &name, walk) {
            // The name was taken from it meanwhile: it leads elsewhere now, or nowhere.
            Err(ESTALE) => {}
            result => return result,
        }
    }
    open_exec_once(dir.start(), &name, walk)
}

fn open_exec_once(start: Start<'_>, name: &PathName, walk: u32) -> Result<Arc<File>> {
    let path = lookup_path(start, name, walk)?;
    let inode = path.inode()?.clone();
    if inode.is_symlink() {
        return Err(ELOOP);
    }
    if !inode.is_reg() || path.mnt.flags() & uapi::MS_NOEXEC != 0 {
        return Err(EACCES);
    }
    inode_permission(&inode, MAY_EXEC)?;
    let place = path.clone();
    File::for_exec(path, &inode).inspect_err(|&error| settle(&place, error))
}

/// Whether set-id bits of programs on this mount count.
pub fn may_suid(file: &File) -> bool {
    file.path().mnt.flags() & uapi::MS_NOSUID == 0
}

/// Reads into kernel memory at `pos`, as far as the file goes.
pub fn kernel_read(file: &File, pos: i64, to: &mut [u8]) -> Result<usize> {
    let mut at = pos;
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.ops().read(file, &mut IovIter::kernel_dest(rest), &mut at)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Writes all of `from` at `pos`.
pub fn kernel_write(file: &File, pos: i64, from: &[u8]) -> Result<usize> {
    let mut at = pos;
    let mut iter = IovIter::kernel_source(from);
    let mut done = 0;
    while iter.count() != 0 {
        match file.ops().write(file, &mut iter, &mut at)? {
            0 => return Err(ENOSPC),
            n => done += n,
        }
    }
    Ok(done)
}

/// Opens a file by the kernel's own path, as the current task.
pub fn kernel_open(path: &[u8], flags: u32, mode: u32) -> Result<Arc<File>> {
    let name = PathName::from_bytes(path)?;
    crate::namei::open_path(Start::Cwd, &name, &OpenHow::new(flags | uapi::O_LARGEFILE, mode)?)
}

/// Opens what is at a place the kernel knows.
pub fn kernel_open_at(path: Path, flags: u32) -> Result<Arc<File>> {
    open_at(path, OpenFlags(flags))
}

/// Gives a new task its table of files: the current task's (`CLONE_FILES`) or a copy. A task without one gets an empty one.
pub fn copy_files(child: &Task, share: bool) -> Result {
    let files = match task::try_current().and_then(|parent| task_files(&parent)) {
        Some(files) if share => files.share(),
        Some(files) => files.duplicate(u32::MAX)?,
        None => FilesStruct::new()?,
    };
    attach_files(child, files)
}

/// Gives a new task its root and working directory: the current task's own (`CLONE_FS`) or a copy. A task without them gets
/// the root of the name space; before that is mounted it gets none.
/// With `new_ns` its places lie in a name space of its own.
pub fn copy_fs(child: &Task, share: bool, new_ns: bool) -> Result {
    let fs = match task::try_current().and_then(|parent| task_fs(&parent)) {
        Some(fs) if share => fs,
        Some(fs) => fs.duplicate()?,
        None => match crate::mnt_ns::first() {
            Some(ns) => FsStruct::new(ns.root())?,
            None => return Ok(()),
        },
    };
    if new_ns {
        crate::mnt_ns::unshare(&fs)?;
    }
    attach_fs(child, fs)
}

/// Whether other tasks use the current task's `fs` too. (A reference that only waits for a grace period counts.)
fn shares_fs(fs: &Arc<FsStruct>) -> bool {
    // This reference and the task's own are two; more are other tasks'.
    Arc::strong_count(fs) > 2
}

/// Whether other tasks use the current task's places, too.
pub fn shares_places() -> Result<bool> {
    Ok(shares_fs(&current_fs()?))
}

/// Gives the current task (which has none) a root and a working directory at `root`, and an empty table of files.
pub fn init_task(root: Path) -> Result {
    let current = task::current();
    if task_fs(&current).is_none() {
        attach_fs(&current, FsStruct::new(root)?)?;
    }
    if task_files(&current).is_none() {
        attach_files(&current, FilesStruct::new()?)?;
    }
    Ok(())
}

/// The current task ends: it leaves its table; the last to leave closes everything.
pub fn exit_files(_task: &Task) {
    set_current_files(None);
}

/// The current task ends: it leaves its root and working directory.
pub fn exit_fs(_task: &Task) {
    set_current_fs(None);
}

/// A table of files for a new program, not yet in use.
pub struct UnsharedFiles(Option<Arc<FilesStruct>>);

/// Prepares the current task's own table, if it shares one. `ENOMEM`.
pub fn unshare_files() -> Result<UnsharedFiles> {
    let files = current_files()?;
    Ok(UnsharedFiles(if files.is_shared() { Some(files.duplicate(u32::MAX)?) } else { None }))
}

impl UnsharedFiles {
    /// Makes it the current task's.
    pub fn install(self) {
        if let Some(files) = self.0 {
            set_current_files(Some(files));
        }
    }
}

/// A root and working directory for a new program, not yet in use.
pub struct UnsharedFs(Option<Arc<FsStruct>>);

/// Prepares the current task's own places, if it shares them. `ENOMEM`.
pub fn unshare_fs() -> Result<UnsharedFs> {
    let fs = current_fs()?;
    Ok(UnsharedFs(if shares_fs(&fs) { Some(fs.duplicate()?) } else { None }))
}

/// As [`unshare_fs`], in a mount name space of its own.
pub fn unshare_ns() -> Result<UnsharedFs> {
    let fs = current_fs()?.duplicate()?;
    crate::mnt_ns::unshare(&fs)?;
    Ok(UnsharedFs(Some(fs)))
}

impl UnsharedFs {
    /// Makes them the current task's.
    pub fn install(self) {
        if let Some(fs) = self.0 {
            set_current_fs(Some(fs));
        }
    }
}

/// Closes what is marked so, for a new program.
pub fn close_on_exec() {
    if let Ok(files) = current_files() {
        files.close_on_exec();
    }
}

/// Most descriptors a process may have (`fs.nr_open`).
pub fn nr_open() -> u32 {
    crate::fdtable::nr_open()
}

/// Sets [`nr_open`]. `EINVAL`.
pub fn set_nr_open(most: u32) -> Result {
    crate::fdtable::set_nr_open(most)
}

impl File {
    /// A file opened for execution: see [`open_exec_at`].
    fn for_exec(path: Path, inode: &Arc<Inode>) -> Result<Arc<Self>> {
        let ops = inode.ops().open(inode, OpenFlags(uapi::O_RDONLY))?;
        let prepared = crate::file::Prepared::exec(inode)?;
        crate::lease::break_lease(inode, OpenFlags(uapi::O_RDONLY))?;
        let file = File::new(path, OpenFlags(uapi::O_LARGEFILE), ops, prepared)?;
        debug_assert!(file.mode() & fmode::READ != 0);
        crate::notify::file_event(&file, uapi::IN_OPEN);
        Ok(file)
    }
}

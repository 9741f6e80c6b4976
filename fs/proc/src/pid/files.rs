// SPDX-License-Identifier: GPL-2.0
//! Links to places (`cwd`, `root`, `exe`, `fd/N`) and `fdinfo/N`. Locks: those of the table of files, shortly.

use super::Subject;
use super::access::may_access;
use errno::{Result, code::*};
use kalloc::{Arc, KBox};
use process::pid::PidNs;
use task::Task;
use vfs::fdtable::task_files;
use vfs::fs_struct::task_fs;
use vfs::{File, FileOps, Path, SeqBuf, SeqFile, SeqShow, fmode, seq_print};

/// Where `task` works.
pub(super) fn cwd(task: &Task) -> Result<Path> {
    Ok(task_fs(task).ok_or(ENOENT)?.paths()?.pwd.clone())
}

/// What `task` sees as `/`.
pub(super) fn root(task: &Task) -> Result<Path> {
    Ok(task_fs(task).ok_or(ENOENT)?.paths()?.root.clone())
}

/// The program that `task` runs; `ENOENT` for kernel threads and zombies.
pub(super) fn exe(task: &Task) -> Result<Path> {
    let file = mm::mm_of(task).and_then(|mm| mm.exe_file()).ok_or(ENOENT)?;
    let file = file.as_any().downcast_ref::<File>().ok_or(ENOENT)?;
    Ok(file.path().clone())
}

/// Whether `fd` is open in `task`. Takes no reference to the file, so that it may be asked where nothing may sleep.
pub(super) fn is_open(task: &Task, fd: u32) -> bool {
    task_files(task).is_some_and(|files| files.cloexec(fd).is_ok())
}

/// The file behind `fd` of `task`. May sleep when it is dropped.
pub(super) fn file_of(task: &Task, fd: u32) -> Result<Arc<File>> {
    task_files(task).ok_or(ENOENT)?.get_raw(fd).map_err(|_| ENOENT)
}

/// The mode of `fd/N`: the rights that the file was opened with.
pub(super) fn link_mode(task: &Task, fd: u32) -> Result<u32> {
    let mode = file_of(task, fd)?.mode();
    let mut bits = uapi::S_IFLNK;
    if mode & fmode::READ != 0 {
        bits |= 0o500;
    }
    if mode & fmode::WRITE != 0 {
        bits |= 0o300;
    }
    Ok(bits)
}

struct Info {
    subject: Subject,
    ns: PidNs,
    fd: u32,
}

/// Opens `fdinfo/N`. `EACCES` for who may not look inside.
pub(super) fn open_info(subject: &Subject, fd: u32, ns: PidNs) -> Result<KBox<dyn FileOps>> {
    let task = subject.living().ok_or(ESRCH)?;
    if !may_access(&task) {
        return Err(EACCES);
    }
    SeqFile::boxed(Info { subject: subject.clone(), ns, fd })
}

impl SeqShow for Info {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let task = self.subject.living().ok_or(ENOENT)?;
        let files = task_files(&task).ok_or(ENOENT)?;
        let file = files.get_raw(self.fd).map_err(|_| ENOENT)?;
        let mut flags = file.flags().0;
        if files.cloexec(self.fd).unwrap_or(false) {
            flags |= uapi::O_CLOEXEC;
        }
        let (mnt, ino) = (file.path().mnt.id, file.inode().ino);
        seq_print!(out, "pos:\t{}\nflags:\t0{flags:o}\nmnt_id:\t{mnt}\nino:\t{ino}\n", file.position())?;
        if file.mode() & fmode::PATH == 0 {
            vfs::lock_list::show_locks_of(&file, &files, &self.ns, out)?;
            // By the numbers of this mount.
            let shown = process::pidfd::show_fdinfo(&file, &self.ns, out);
            shown.unwrap_or_else(|| file.ops().show_fdinfo(&file, out)).map_err(|_| ENOMEM)?;
        }
        Ok(None)
    }
}

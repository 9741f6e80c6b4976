// SPDX-License-Identifier: GPL-2.0
//! Makes the files of an archive. A file that cannot be made is passed over, as in Linux; an error while writing ends it.

use cpio::{Header, Sink};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SetOnce;
use vfs::namei::{PathName, Start, create, remove, walk::lookup_path};
use vfs::{Dev, File, Inode, SetAttr, Timespec};

/// The file in which the archive ended too early.
static UNFINISHED: SetOnce<Arc<File>> = SetOnce::new();

/// See the module's text.
pub(crate) struct Maker {
    file: Option<Arc<File>>,
    at: i64,
    /// Directories get their times at the end: making files in them moves the times.
    dirs: KVec<(Arc<Inode>, Timespec)>,
}

fn time_of(header: &Header) -> Timespec {
    Timespec { sec: header.mtime.into(), nsec: 0 }
}

/// Owner, permissions and (but for directories) times, by the kernel's own right.
fn set_attributes(inode: &Inode, header: &Header, with_times: bool) -> Result {
    let time = with_times.then(|| time_of(header));
    inode.ops().setattr(
        inode,
        &SetAttr {
            mode: (!inode.is_symlink()).then_some(header.mode & 0o7777),
            uid: Some(header.uid),
            gid: Some(header.gid),
            atime: time,
            mtime: time,
            ctime: vfs::current_time(),
            ..SetAttr::default()
        },
    )
}

/// Removes what has the name, if it is of another type than wanted (or, for all but directories, always).
fn make_room(name: &PathName, kind: u32) {
    let Ok(path) = lookup_path(Start::Cwd, name, 0) else { return };
    let Ok(inode) = path.inode() else { return };
    let old = inode.mode() & uapi::S_IFMT;
    if old == kind && (kind == uapi::S_IFDIR || kind == uapi::S_IFREG) {
        return;
    }
    // What cannot be removed shows when the new file is made.
    let _ = if old == uapi::S_IFDIR { remove::rmdir(Start::Cwd, name) } else { remove::unlink(Start::Cwd, name) };
}

impl Maker {
    pub(crate) const fn new() -> Self {
        Self { file: None, at: 0, dirs: KVec::new() }
    }

    /// Gives directories their times. A file that the archive broke off in stays open for writing, so that nobody can execute
    /// a part of a program (`ETXTBSY`, as in Linux).
    pub(crate) fn finish(self) {
        if let Some(file) = self.file {
            // There is one archive, so nobody has set it.
            let _ = UNFINISHED.set(file);
        }
        for (inode, time) in &self.dirs {
            inode.atime.set(*time);
            inode.mtime.set(*time);
        }
    }

    fn regular(&mut self, name: &[u8], header: &Header) -> Result {
        let flags = uapi::O_WRONLY | uapi::O_CREAT | uapi::O_TRUNC;
        let file = vfs::kernel_open(name, flags, header.mode & 0o7777)?;
        set_attributes(file.inode(), header, true)?;
        self.at = 0;
        self.file = Some(file);
        Ok(())
    }

    fn other(&mut self, name: &PathName, header: &Header) -> Result {
        let kind = header.file_type();
        if kind == uapi::S_IFDIR {
            match create::mkdir(Start::Cwd, name, header.mode & 0o7777) {
                Ok(()) | Err(EEXIST) => {}
                Err(error) => return Err(error),
            }
        } else {
            create::mknod(Start::Cwd, name, header.mode & 0xffff, Dev::new(header.rmajor, header.rminor))?;
        }
        let path = lookup_path(Start::Cwd, name, 0)?;
        let inode = path.inode()?;
        set_attributes(inode, header, kind != uapi::S_IFDIR)?;
        if kind == uapi::S_IFDIR {
            self.dirs.push((inode.clone(), time_of(header)), GFP_KERNEL)?;
        }
        Ok(())
    }
}

/// No memory ends the unpacking; any other failure passes the file over.
fn passed_over(result: Result) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error @ (ENOMEM | ENOSPC)) => Err(error),
        Err(_) => Ok(false),
    }
}

impl Sink for Maker {
    fn create(&mut self, name: &[u8], header: &Header) -> Result<bool> {
        self.file = None;
        let Ok(path) = PathName::from_bytes(name) else { return Ok(false) };
        make_room(&path, header.file_type());
        passed_over(if header.is_reg() { self.regular(name, header) } else { self.other(&path, header) })
    }

    fn hard_link(&mut self, old: &[u8], name: &[u8], header: &Header) -> Result<bool> {
        self.file = None;
        let (Ok(old_path), Ok(path)) = (PathName::from_bytes(old), PathName::from_bytes(name)) else {
            return Ok(false);
        };
        let Ok(place) = lookup_path(Start::Cwd, &old_path, 0) else { return Ok(false) };
        // Whatever has the name gives way to the link.
        make_room(&path, 0);
        if !passed_over(create::link(&place, Start::Cwd, &path))? {
            return Ok(false);
        }
        if header.is_reg() && header.size != 0 {
            return passed_over(self.regular(name, header));
        }
        Ok(true)
    }

    fn symlink(&mut self, name: &[u8], target: &[u8], header: &Header) -> Result {
        self.file = None;
        let (Ok(path), Ok(target)) = (PathName::from_bytes(name), PathName::from_bytes(target)) else { return Ok(()) };
        make_room(&path, uapi::S_IFLNK);
        let made = create::symlink(&target, Start::Cwd, &path)
            .and_then(|()| lookup_path(Start::Cwd, &path, 0))
            .and_then(|place| set_attributes(place.inode()?, header, true));
        passed_over(made).map(|_| ())
    }

    fn data(&mut self, bytes: &[u8]) -> Result {
        let Some(file) = &self.file else { return Ok(()) };
        let n = vfs::kernel_write(file, self.at, bytes)?;
        self.at = self.at.saturating_add(n as i64);
        Ok(())
    }

    fn close(&mut self, header: &Header) -> Result {
        if let Some(file) = self.file.take() {
            // Writing moved the times.
            let time = time_of(header);
            file.inode().atime.set(time);
            file.inode().mtime.set(time);
        }
        Ok(())
    }
}

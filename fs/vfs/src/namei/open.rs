// SPDX-License-Identifier: GPL-2.0
//! Opening files. Source: `open(2)`, `openat2(2)`. Locks: the directory's `lock` while a file is made.

use super::create::{masked, may_create};
use super::pathname::PathName;
use super::slow::lookup_locked;
use super::walk::{Start, Walker, lflag};
use crate::attr::truncate;
use crate::chrdev;
use crate::dcache::{self, Pending};
use crate::dentry::Dentry;
use crate::file::{File, FileOps, O_TMPFILE, OpenFlags, Prepared, fmode};
use crate::hooks::open_fifo;
use crate::inode::{Inode, iop};
use crate::mount::follow_down;
use crate::name::Key;
use crate::notify;
use crate::path::Path;
use crate::perm::{MAY_EXEC, MAY_READ, MAY_WRITE, inode_permission, owner_or_capable};
use crate::seq_file::SeqBuf;
use crate::seq_print;
use crate::types::FileType;
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};

/// How to open.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenHow {
    /// `O_*`.
    pub flags: OpenFlags,
    /// Permissions of a new file, before the umask.
    pub mode: u32,
    /// More flags of the walk (from `RESOLVE_*`).
    pub walk: u32,
}

impl OpenHow {
    /// From the flags and mode of `open(2)`. `EINVAL` for what does not go together.
    pub fn new(flags: u32, mode: u32) -> Result<Self> {
        let mut flags = OpenFlags(flags);
        if flags.any(uapi::O_PATH) {
            flags.0 &= uapi::O_DIRECTORY | uapi::O_NOFOLLOW | uapi::O_PATH | uapi::O_CLOEXEC;
        }
        if flags.any(uapi::__O_TMPFILE) {
            // Access mode 3 asks for both rights.
            if !flags.has(O_TMPFILE) || flags.any(uapi::O_CREAT) || !flags.any(uapi::O_ACCMODE) {
                return Err(EINVAL);
            }
        } else if flags.has(uapi::O_CREAT | uapi::O_DIRECTORY) {
            return Err(EINVAL);
        }
        let makes = flags.any(uapi::O_CREAT | uapi::__O_TMPFILE);
        let mut walk = 0;
        if !flags.any(uapi::O_NOFOLLOW) && !flags.has(uapi::O_CREAT | uapi::O_EXCL) {
            walk |= lflag::FOLLOW;
        }
        if flags.any(uapi::O_DIRECTORY) {
            walk |= lflag::DIRECTORY;
        }
        Ok(Self { flags, mode: if makes { mode & 0o7777 } else { 0 }, walk })
    }
}

/// So often what a name led to may be gone before it is open: each time somebody else made headway.
pub(crate) const TRIES: usize = 64;

/// Opens `name`. May sleep.
pub fn open_path(start: Start<'_>, name: &PathName, how: &OpenHow) -> Result<Arc<File>> {
    for _ in 1..TRIES {
        match open_once(start, name, how) {
            Err(ESTALE) => {}
            result => return result,
        }
    }
    open_once(start, name, how)
}

fn open_once(start: Start<'_>, name: &PathName, how: &OpenHow) -> Result<Arc<File>> {
    let mut walker = Walker::new(start, name, how.walk)?;
    if how.flags.any(uapi::O_CREAT) {
        return create_open(&mut walker, how);
    }
    let path = walker.run(|place| Ok(place.to_path()))?;
    if how.flags.any(uapi::__O_TMPFILE) {
        return open_tmpfile(&path, how);
    }
    open_at(path, how.flags)
}

/// Opens the place `path` itself, as a walk that ends there without a last name would. May sleep.
pub(crate) fn open_from(path: Path, how: &OpenHow) -> Result<Arc<File>> {
    if how.flags.any(uapi::__O_TMPFILE) {
        return open_tmpfile(&path, how);
    }
    let is_dir = path.inode()?.is_dir();
    if how.flags.any(uapi::O_DIRECTORY) && !is_dir {
        return Err(ENOTDIR);
    }
    if how.flags.has(uapi::O_CREAT | uapi::O_EXCL) {
        return Err(EEXIST);
    }
    if how.flags.any(uapi::O_CREAT) && is_dir {
        return Err(EISDIR);
    }
    open_at(path, how.flags)
}

/// Opens what is at `path`, with permission checks. May sleep.
pub fn open_at(path: Path, flags: OpenFlags) -> Result<Arc<File>> {
    if flags.any(uapi::O_PATH) {
        // What it is stays, whatever becomes of its name; but what is gone already stays gone.
        let prepared = Prepared::user(path.inode()?).unwrap_or_else(|_| Prepared::nothing());
        return File::new(path, flags, KBox::new(PathOnly, GFP_KERNEL)?, prepared);
    }
    let inode = path.inode()?.clone();
    // To cut a file off counts before what may be done to it; else what the mount says comes last, when a writer is counted.
    if flags.any(uapi::O_TRUNC) && inode.is_reg() {
        drop(path.mnt.want_write()?);
    }
    may_open(&path, &inode, flags)?;
    let prepared = Prepared::open(&path, &inode, flags.writes()).inspect_err(|&error| settle(&path, error))?;
    let file = open_prepared(path, &inode, flags, prepared)?;
    if flags.any(uapi::O_TRUNC) && inode.is_reg() {
        cut_off(&file, &inode)?;
    }
    notify::file_event(&file, uapi::IN_OPEN);
    Ok(file)
}

/// `O_TRUNC`, once it is sure that the file can be opened.
fn cut_off(file: &File, inode: &Arc<Inode>) -> Result {
    let _write = file.path().mnt.want_write()?;
    if file.flags().writes() {
        truncate(inode, 0, true)?;
    } else {
        // Truncating counts as writing for its length.
        inode.get_write_access()?;
        let result = truncate(inode, 0, true);
        inode.put_write_access();
        result?;
    }
    notify::path_event(file.path(), uapi::IN_MODIFY);
    Ok(())
}

/// After `ESTALE`: whoever takes the name from the inode holds its directory's lock until the name leads elsewhere. Waits for him,
/// so that the next try finds what is there then. (Only trying again would not do: he may wait for this CPU.)
pub(crate) fn settle(path: &Path, error: Error) {
    if error == ESTALE
        && let Some(parent) = path.dentry.parent_arc()
        && let Some(dir) = parent.inode()
    {
        drop(dir.lock.read());
    }
}

/// Makes the file for an inode that may be opened.
fn open_prepared(path: Path, inode: &Arc<Inode>, flags: OpenFlags, prepared: Prepared) -> Result<Arc<File>> {
    crate::lease::break_lease(inode, flags)?;
    let ops = match inode.file_type() {
        FileType::Char => chrdev::open_chr(inode, flags)?,
        FileType::Block => chrdev::open_blk(inode, flags)?,
        FileType::Fifo if inode.iflags() & iop::ANON == 0 => open_fifo(inode, flags)?,
        FileType::Sock => return Err(ENXIO),
        _ => inode.ops().open(inode, flags)?,
    };
    let file = File::new(path, flags, ops, prepared)?;
    if file.mode() & fmode::OPENED != 0 {
        file.ops().opened(&file)?;
    }
    if flags.any(uapi::O_DIRECT) {
        file.ops().check_flags(&file, uapi::O_DIRECT)?;
    }
    Ok(file)
}

/// Opens what is at `path`: no permission is asked. For [`super::kernel`].
pub(super) fn open_trusted(path: Path, flags: OpenFlags) -> Result<Arc<File>> {
    let inode = path.inode()?.clone();
    let prepared = Prepared::open(&path, &inode, flags.writes())?;
    open_prepared(path, &inode, flags, prepared)
}

/// [`open_prepared`] for a new file.
fn open_made(path: Path, inode: &Arc<Inode>, flags: OpenFlags, prepared: Prepared) -> Result<Arc<File>> {
    let file = open_prepared(path, inode, flags, prepared)?;
    notify::file_event(&file, uapi::IN_OPEN);
    Ok(file)
}

/// Whether the current task may open `inode` in this way.
#[inline]
fn may_open(path: &Path, inode: &Inode, flags: OpenFlags) -> Result {
    let mut mask = 0;
    if flags.reads() || flags.0 & uapi::O_ACCMODE == uapi::O_ACCMODE {
        mask |= MAY_READ;
    }
    if flags.writes() || flags.any(uapi::O_TRUNC) || flags.0 & uapi::O_ACCMODE == uapi::O_ACCMODE {
        mask |= MAY_WRITE;
    }
    if flags.any(uapi::O_DIRECTORY) && !inode.is_dir() {
        return Err(ENOTDIR);
    }
    match inode.file_type() {
        FileType::Link => return Err(ELOOP),
        FileType::Dir if mask & MAY_WRITE != 0 => return Err(EISDIR),
        FileType::Char | FileType::Block if path.mnt.flags() & uapi::MS_NODEV != 0 => return Err(EACCES),
        _ => {}
    }
    inode_permission(inode, mask)?;
    if inode.iflags() & iop::APPEND != 0 && (flags.writes() && !flags.any(uapi::O_APPEND) || flags.any(uapi::O_TRUNC)) {
        return Err(EPERM);
    }
    if flags.any(uapi::O_NOATIME) && !owner_or_capable(inode)? {
        return Err(EPERM);
    }
    Ok(())
}

/// What the last component of an `O_CREAT` open turned out to be.
enum Last {
    /// It is there.
    Found(Arc<Dentry>),
    /// It was made just now: no permission is asked.
    Made(Arc<Dentry>),
}

fn create_open(walker: &mut Walker<'_>, how: &OpenHow) -> Result<Arc<File>> {
    loop {
        let Some(dir) = walker.parent()? else { return Err(directory_instead(how)) };
        let (key, slash) = walker.last();
        if key.dots() != 0 {
            // It may lead where the walk must not go.
            walker.run(|_| Ok(()))?;
            return Err(directory_instead(how));
        }
        if slash {
            return Err(EISDIR);
        }
        let cached = dcache::lookup_cached(&dir.dentry, key.bytes)
            .filter(|dentry| dentry.inode().is_some_and(|inode| inode.iflags() & iop::REVALIDATE == 0));
        let last = match cached {
            Some(dentry) => Last::Found(dentry),
            None => find_or_create(&dir, walker, how)?,
        };
        let dentry = match last {
            Last::Made(dentry) => {
                let path = Path { mnt: dir.mnt, dentry };
                let inode = path.inode()?.clone();
                let prepared = Prepared::open(&path, &inode, how.flags.writes())?;
                return open_made(path, &inode, how.flags, prepared);
            }
            Last::Found(dentry) => dentry,
        };
        let mut path = Path { mnt: dir.mnt.clone(), dentry };
        if walker.flags() & lflag::NO_XDEV != 0 && crate::mount::is_mountpoint(&path.dentry) {
            return Err(EXDEV);
        }
        if how.flags.any(uapi::O_EXCL) {
            return Err(EEXIST);
        }
        follow_down(&mut path);
        let inode = path.inode()?;
        if inode.is_symlink() {
            if how.walk & lflag::FOLLOW == 0 {
                return Err(ELOOP);
            }
            walker.follow_last(dir, path)?;
            if let Some(path) = walker.jumped() {
                return open_existing(path, how);
            }
            continue;
        }
        crate::protect::may_open_existing(dir.inode()?, inode)?;
        return open_existing(path, how);
    }
}

/// What `O_CREAT` says of a path without a last name: it leads to a directory, which is there.
fn directory_instead(how: &OpenHow) -> Error {
    if how.flags.any(uapi::O_EXCL) { EEXIST } else { EISDIR }
}

fn open_existing(path: Path, how: &OpenHow) -> Result<Arc<File>> {
    if path.inode()?.is_dir() {
        return Err(EISDIR);
    }
    open_at(path, how.flags)
}

fn find_or_create(dir: &Path, walker: &Walker<'_>, how: &OpenHow) -> Result<Last> {
    let (key, _) = walker.last();
    let inode = dir.inode()?;
    let _lock = inode.lock.write();
    let cached = lookup_locked(&dir.dentry, &key)?;
    if let Some(dentry) = cached.as_ref().filter(|dentry| dentry.inode().is_some()) {
        return Ok(Last::Found(dentry.clone()));
    }
    let _write = dir.mnt.want_write()?;
    may_create(inode)?;
    let mode = masked(inode, uapi::S_IFREG | how.mode);
    let pending = Pending::new(&dir.dentry, &key, cached)?;
    let made = inode.ops().create(inode, key.bytes, mode).map_err(|error| match error {
        // Somebody else who has the file system (a server's own programs) was faster: it is there.
        EEXIST if !how.flags.any(uapi::O_EXCL) => ESTALE,
        error => error,
    })?;
    let dentry = pending.commit(made.clone());
    notify::created(inode, &made, key.bytes);
    Ok(Last::Made(dentry))
}

/// Opens entry `name` of `dir` (a single name), or, with `O_CREAT`, the inode that `make` gives for it, which is told the mode.
/// `ENOENT`, `EEXIST`, and those of `open(2)`. May sleep.
pub fn open_or_make(
    dir: &Path,
    name: &[u8],
    flags: OpenFlags,
    mode: u32,
    make: impl Fn(&Arc<Inode>, u32) -> Result<Arc<Inode>>,
) -> Result<Arc<File>> {
    let key = Key::new(name);
    let inode = dir.inode()?;
    loop {
        let found = {
            let _lock = inode.lock.write();
            inode_permission(inode, MAY_EXEC)?;
            let cached = lookup_locked(&dir.dentry, &key)?;
            match cached.clone().filter(|dentry| dentry.inode().is_some()) {
                Some(_) if flags.has(uapi::O_CREAT | uapi::O_EXCL) => return Err(EEXIST),
                Some(dentry) => dentry,
                None if !flags.any(uapi::O_CREAT) => return Err(ENOENT),
                None => {
                    may_create(inode)?;
                    let pending = Pending::new(&dir.dentry, &key, cached)?;
                    let made = make(inode, uapi::S_IFREG | masked(inode, mode))?;
                    let path = Path { mnt: dir.mnt.clone(), dentry: pending.commit(made.clone()) };
                    notify::created(inode, &made, key.bytes);
                    let prepared = Prepared::open(&path, &made, flags.writes())?;
                    return open_made(path, &made, flags, prepared);
                }
            }
        };
        match open_at(Path { mnt: dir.mnt.clone(), dentry: found }, flags) {
            Err(ESTALE) => {}
            result => return result,
        }
    }
}

fn open_tmpfile(dir: &Path, how: &OpenHow) -> Result<Arc<File>> {
    let inode = dir.inode()?;
    if !inode.is_dir() {
        return Err(ENOTDIR);
    }
    let _write = dir.mnt.want_write()?;
    // A directory that is gone will do: no name comes there.
    inode_permission(inode, MAY_WRITE | MAY_EXEC)?;
    let mode = masked(inode, uapi::S_IFREG | how.mode);
    let made = inode.ops().tmpfile(inode, mode)?;
    if !how.flags.any(uapi::O_EXCL) {
        made.change_iflags(iop::LINKABLE, 0);
    }
    // Its name until it has one, in no listing: what is shown of it is `DIR/#INODE (deleted)`.
    let mut name = SeqBuf::new(24);
    seq_print!(name, "#{}", made.ino)?;
    let dentry = Dentry::new_child(&dir.dentry, &Key::new(name.text()), Some(made.clone()))?;
    let path = Path { mnt: dir.mnt.clone(), dentry };
    let prepared = Prepared::open(&path, &made, true)?;
    open_made(path, &made, how.flags, prepared)
}

/// Operations of an `O_PATH` file: none.
struct PathOnly;
impl FileOps for PathOnly {}

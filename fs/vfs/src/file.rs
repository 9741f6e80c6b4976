// SPDX-License-Identifier: GPL-2.0
//! `File`: an open file description, and `FileOps`, what is behind it.
//!
//! A file's last reference releases it, where it is dropped: in `close` or `exit` as a rule, so dropping an `Arc<File>` may
//! sleep. Locks: `pos` (sleeping) around reads and writes of files that have a position, so that threads sharing it do not
//! overlap; inside it the inode's `lock`.

use crate::file_count::Counted;
use crate::inode::{Inode, iop};
use crate::kiocb::Kiocb;
use crate::mount::Mount;
use crate::path::Path;
use crate::position::Position;
use crate::readdir::DirContext;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};
use cred::Cred;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use mm::Readahead;
use sync::{PollMask, PollTable};
use x86_mm::uaccess::IovIter;

/// Flags of an open file: `O_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenFlags(pub u32);

/// `O_TMPFILE` as `open(2)` defines it.
pub const O_TMPFILE: u32 = uapi::__O_TMPFILE | uapi::O_DIRECTORY;
/// Flags that `fcntl(F_SETFL)` changes; `O_ASYNC` is up to `FileOps::fasync`.
pub const SETFL_MASK: u32 = uapi::O_APPEND | uapi::O_NONBLOCK | uapi::O_DIRECT | uapi::O_NOATIME;

impl OpenFlags {
    /// Whether any of `flags` is set.
    #[inline(always)]
    pub fn any(self, flags: u32) -> bool {
        self.0 & flags != 0
    }

    /// Whether all of `flags` are set.
    #[inline(always)]
    pub fn has(self, flags: u32) -> bool {
        self.0 & flags == flags
    }

    /// Whether reading was asked for.
    #[inline(always)]
    pub fn reads(self) -> bool {
        matches!(self.0 & uapi::O_ACCMODE, uapi::O_RDONLY | uapi::O_RDWR)
    }

    /// Whether writing was asked for.
    #[inline(always)]
    pub fn writes(self) -> bool {
        matches!(self.0 & uapi::O_ACCMODE, uapi::O_WRONLY | uapi::O_RDWR)
    }
}

/// What a file can do; fixed when it is opened.
pub mod fmode {
    /// May be read.
    pub const READ: u32 = 1 << 0;
    /// May be written.
    pub const WRITE: u32 = 1 << 1;
    /// Has a position that can be set; `pread` and `pwrite` work.
    pub const SEEK: u32 = 1 << 2;
    /// Reads and writes take the position's lock (regular files and directories).
    pub const POS: u32 = 1 << 3;
    /// A place only (`O_PATH`).
    pub const PATH: u32 = 1 << 4;
    /// Counted in the inode's writers.
    pub(crate) const WRITER: u32 = 1 << 5;
    /// Counted in the inode's users.
    pub(crate) const USER: u32 = 1 << 6;
    /// Keeps writers out (a program that runs).
    pub(crate) const DENY_WRITE: u32 = 1 << 7;
    /// `FileOps::opened` is to be called.
    pub const OPENED: u32 = 1 << 8;
}

/// The position of a write that goes to the file's end whatever its flags say (`RWF_APPEND`).
pub const AT_END: i64 = i64::MIN;

/// A lock as a server sees it.
#[derive(Clone, Copy, Debug)]
pub struct RemoteLock {
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub kind: u32,
    /// First byte.
    pub start: i64,
    /// Last byte, `i64::MAX`: to the end.
    pub end: i64,
    /// The process.
    pub pid: i32,
    /// It may be waited for.
    pub wait: bool,
}

/// Takes a page, an offset in it and a length; whether there is room for more.
pub type PushPage<'a> = &'a mut dyn FnMut(mm_alloc::Page, usize, usize) -> bool;

/// What is behind an open file. `self` is the part of its own that `InodeOps::open` (or a system call) made. All may sleep but
/// `poll`. Defaults answer as Linux does where the operation is missing.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait FileOps: Any + Send + Sync {
    /// Bits of [`fmode`] (`SEEK`, `POS`, `OPENED`) that files of this kind have.
    fn mode(&self) -> u32 {
        0
    }

    /// The open file is made (called with [`fmode::OPENED`] alone): the rest of opening that needs it. An error is `open`'s; the
    /// file is released then.
    fn opened(&self, file: &File) -> Result {
        Ok(())
    }

    /// Reads at `pos` and advances it. Files without `SEEK` ignore `pos`. The default is right for directories.
    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        Err(if file.inode().is_dir() { EISDIR } else { EINVAL })
    }

    /// Writes at `pos` and advances it. Files that have an end ask [`File::appends`] whether it goes there.
    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        Err(EINVAL)
    }

    /// Sets the position; see [`crate::seek`] for the common ones. `pos` is locked. Not called without `SEEK`.
    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        crate::seek::generic(file, pos, offset, whence)
    }

    /// Directory entries from the context's position on. The inode's `lock` is held shared.
    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        Err(ENOTDIR)
    }

    /// What is ready now; adds the wait queues to `table`. Must not sleep.
    fn poll(&self, file: &File, table: &mut PollTable) -> PollMask {
        PollMask::DEFAULT
    }

    /// Whether files of this kind can be waited for (`epoll_ctl` refuses others with `EPERM`).
    fn can_poll(&self) -> bool {
        true
    }

    /// A request of the device's own. What the VFS knows itself (`FIONBIO`...) does not come here.
    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        Err(ENOTTY)
    }

    /// Whether `splice(2)` can move bytes out of files of this kind or, with `write`, into them.
    fn can_splice(&self, file: &File, write: bool) -> bool {
        match file.inode().file_type() {
            crate::types::FileType::Sock => true,
            // Event descriptors and the like have no type of their own.
            kind => kind == crate::types::FileType::Reg && !file.is_anon(),
        }
    }

    /// Gives what the page cache has from `pos` on to `push` (a page, an offset in it and a length, until that says no), for `splice(2)`:
    /// a pipe shares the pages, and sees what is written to them later. The bytes; `None`: `read` makes copies.
    fn splice_read(&self, file: &File, pos: &mut i64, len: usize, push: PushPage<'_>) -> Option<Result<usize>> {
        None
    }

    /// Called by each `close` of a descriptor; its error is `close`'s.
    fn flush(&self, file: &File) -> Result {
        Ok(())
    }

    /// The last reference is gone.
    fn release(&self, file: &File) {}

    /// Writes the file back and waits. Errors that the mapping remembers are reported by the caller. The default is right for
    /// files of a device whose file system has no journal.
    fn fsync(&self, file: &File, datasync: bool) -> Result {
        let inode = file.inode();
        match inode.sb().device() {
            Some(device) if inode.mapping().is_some() => {
                inode.write_and_wait(0, u64::MAX, datasync)?;
                device.flush()
            }
            _ => Err(EINVAL),
        }
    }

    /// Whether [`Self::submit_direct`] is worth a try: the file is open with `O_DIRECT`, and files of its kind can do it.
    fn can_submit(&self, file: &File) -> bool {
        false
    }

    /// Begins to read or write past the page cache and returns; the one named by `kiocb` hears of the end or of an error, perhaps before.
    /// The caller keeps the file until then. Gives `kiocb` back, with nothing done, if this is to be done within the call ([`Self::read`],
    /// [`Self::write`]), which then has the errors, too.
    fn submit_direct(&self, file: &File, iter: &mut IovIter<'_>, kiocb: Kiocb) -> Option<Kiocb> {
        Some(kiocb)
    }

    /// Looks for the end of what [`Self::submit_direct`] began with `polled`: how much ended. `None` if it ends by itself. Task context,
    /// without locks; may sleep.
    fn poll_direct(&self, file: &File) -> Option<usize> {
        None
    }

    /// Reserves or frees space.
    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Flags are about to change (`F_SETFL`); an error refuses it.
    fn check_flags(&self, file: &File, flags: u32) -> Result {
        if flags & uapi::O_DIRECT != 0 { Err(EINVAL) } else { Ok(()) }
    }

    /// `fcntl` commands of the file's own (pipe size, seals).
    fn fcntl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        // Not a pipe.
        Err(if matches!(cmd, uapi::F_GETPIPE_SZ | uapi::F_SETPIPE_SZ) { EBADF } else { EINVAL })
    }

    /// `SIGIO` is switched on or off for this file, which is descriptor `fd` (also off, with -1, when it is dropped): as a rule the
    /// work of a [`crate::FasyncList`]. `ENOTTY`: files of this kind send none.
    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        Err(ENOTTY)
    }

    /// The cached pages, for files that can be mapped through them.
    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<mm::Mapping>> {
        None
    }

    /// Accepts or refuses a memory map.
    fn mmap(&self, file: &File, request: &mm::MmapRequest) -> Result {
        if self.mapping(file).is_some() { Ok(()) } else { Err(ENODEV) }
    }

    /// A program is to store to memory that it shares with the file, for the first time since its page was clean.
    fn stored(&self, file: &File) {
        file.inode().touch_mtime();
    }

    /// Page `pgoff` of a file that is mapped without cached pages (a device's buffer). `EFAULT` becomes `SIGBUS`.
    fn fault(&self, file: &File, pgoff: u64, write: bool) -> Result<mm_alloc::Page> {
        Err(EFAULT)
    }

    /// Locks of this file are a server's affair, too: [`Self::lock`] and [`Self::get_lock`] are to be called.
    fn has_remote_locks(&self) -> bool {
        false
    }

    /// The lock was set here, or taken away: the same on the server. An error of setting takes it away here. May sleep.
    fn lock(&self, file: &File, lock: &RemoteLock) -> Result {
        Ok(())
    }

    /// No lock here is in the way of `lock`: what on the server is, if anything. May sleep.
    fn get_lock(&self, file: &File, lock: &RemoteLock) -> Result<Option<RemoteLock>> {
        Ok(None)
    }

    /// Lines of its own for `/proc/*/fdinfo`.
    fn show_fdinfo(&self, file: &File, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        Ok(())
    }
}

/// An open file description. Always in an `Arc`.
pub struct File {
    /// What it can do (bits of [`fmode`]).
    mode: u32,
    flags: AtomicU32,
    /// Whom `SIGIO` goes to; made when somebody says whom, or wants signals.
    pub(crate) owner: SetOnce<Arc<crate::fasync::FileOwner>>,
    ops: KBox<dyn FileOps>,
    /// Behind the operations, which may be a module's: these keep that.
    inode: Arc<Inode>,
    path: Path,
    pub(crate) pos: Position,
    /// How it was read so far.
    pub(crate) ra: Readahead,
    /// Up to where errors of writing its inode, and its file system, back were reported to it.
    wb_error: AtomicU32,
    sb_error: AtomicU32,
    /// Who opened it.
    cred: Arc<Cred>,
    _counted: Counted,
}

impl File {
    /// Opens `path` with operations that are already made. Takes over what `prepared` counts. May sleep.
    pub fn new(path: Path, flags: OpenFlags, ops: KBox<dyn FileOps>, prepared: Prepared) -> Result<Arc<Self>> {
        let counted = Counted::new()?;
        let inode = path.inode()?.clone();
        let cred = cred::current_cred()?;
        let mut mode = prepared.into_mode() | ops.mode();
        if flags.any(uapi::O_PATH) {
            mode |= fmode::PATH;
        } else {
            mode |= if flags.reads() { fmode::READ } else { 0 } | if flags.writes() { fmode::WRITE } else { 0 };
        }
        if mode & fmode::PATH != 0 && mode & fmode::USER != 0 {
            inode.count_path_user(true);
        }
        let file = Self {
            mode,
            flags: AtomicU32::new(
                flags.0 & !(uapi::O_CREAT | uapi::O_EXCL | uapi::O_NOCTTY | uapi::O_TRUNC | uapi::O_CLOEXEC),
            ),
            owner: SetOnce::new(),
            inode,
            path,
            ops,
            pos: Position::new(),
            ra: Readahead::new(),
            wb_error: AtomicU32::new(0),
            sb_error: AtomicU32::new(0),
            cred,
            _counted: counted,
        };
        if file.inode.sb().device().is_some() || file.inode.file_type() == crate::types::FileType::Block {
            file.sample_errors();
        }
        // On failure the value is dropped, which undoes what was counted.
        Ok(Arc::new(file, GFP_KERNEL)?)
    }

    /// Whether a write at `pos` goes to the end. The inode's `lock` is held by who acts on it.
    #[inline(always)]
    pub fn appends(&self, pos: i64) -> bool {
        self.flags().any(uapi::O_APPEND) || pos == AT_END
    }

    /// From here on errors of writing back are this file's to report.
    fn sample_errors(&self) {
        if let Some(mapping) = self.ops.mapping(self) {
            self.wb_error.store(mapping.errors().sample(), Ordering::Relaxed);
        }
        self.sb_error.store(self.inode.sb().errors().sample(), Ordering::Relaxed);
    }

    /// What it can do (bits of [`fmode`]).
    #[inline(always)]
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// `O_*` flags now.
    #[inline(always)]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags(self.flags.load(Ordering::Relaxed))
    }

    /// Changes flags within `mask`.
    pub fn change_flags(&self, flags: u32, mask: u32) {
        let _ = self.flags.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |old| Some(old & !mask | flags & mask));
    }

    /// Whether it has no place in any file system (pipes, sockets, anonymous files).
    pub fn is_anon(&self) -> bool {
        self.inode.iflags() & iop::ANON != 0
    }

    /// Whether it must not wait.
    #[inline(always)]
    pub fn nonblock(&self) -> bool {
        self.flags().any(uapi::O_NONBLOCK)
    }

    /// What is open.
    #[inline(always)]
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// Where it was opened.
    #[inline(always)]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its operations.
    #[inline(always)]
    pub fn ops(&self) -> &dyn FileOps {
        &*self.ops
    }

    /// Its operations, if they are a `T`.
    #[inline]
    pub fn private<T: FileOps>(&self) -> Option<&T> {
        (&*self.ops as &dyn Any).downcast_ref()
    }

    /// Who opened it.
    pub fn cred(&self) -> &Arc<Cred> {
        &self.cred
    }

    /// The position at this moment; a call that moves it shows when it is over. Takes no lock.
    pub fn position(&self) -> i64 {
        self.pos.now()
    }

    /// Calls `f` with the position, which is what it leaves afterwards. For files that have one. Not locked: `f` may wait for whom it likes.
    #[inline(always)]
    pub fn with_position<R>(&self, f: impl FnOnce(&mut i64) -> R) -> R {
        let before = self.pos.now();
        let mut pos = before;
        let result = f(&mut pos);
        if pos != before {
            self.pos.set(pos);
        }
        result
    }

    /// How it was read so far, for reading ahead.
    #[inline(always)]
    pub fn readahead(&self) -> &Readahead {
        &self.ra
    }

    /// The error of writing back that this open file was not told of yet; telling it counts.
    pub fn take_write_error(&self) -> Result {
        let mapping = self.ops.mapping(self).or_else(|| self.inode.mapping());
        mapping.map_or(Ok(()), |mapping| mapping.errors().check_and_advance(&self.wb_error))
    }

    /// The same for its whole file system (`syncfs`).
    pub fn take_fs_error(&self) -> Result {
        self.inode.sb().errors().check_and_advance(&self.sb_error)
    }

    /// Writes it back and reports errors that happened meanwhile or earlier (`vfs_fsync`). May sleep.
    pub fn fsync(&self, datasync: bool) -> Result {
        let written = self.ops.fsync(self, datasync);
        let earlier = self.take_write_error();
        written.and(earlier)
    }

    /// What is ready.
    #[inline]
    pub fn poll(&self, table: &mut PollTable) -> PollMask {
        self.ops.poll(self, table)
    }

    /// The file was read: its access time moves if the mount says so (`relatime` and its kin).
    #[inline]
    pub fn accessed(&self) {
        if self.flags().any(uapi::O_NOATIME) {
            return;
        }
        crate::times::touch_atime(&self.path.mnt, &self.inode);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.mode & fmode::PATH == 0 {
            crate::notify::closed(self);
            crate::flock::release_file(self);
            if self.flags().any(uapi::FASYNC) {
                // One that is taken off a list cannot fail; files that send none have none.
                let _ = self.ops.fasync(self, -1, false);
            }
            self.ops.release(self);
        }
        if self.mode & fmode::WRITER != 0 {
            self.inode.put_write_access();
            self.path.mnt.put_write();
        }
        if self.mode & fmode::DENY_WRITE != 0 {
            self.inode.allow_write_access();
        }
        if self.mode & fmode::USER != 0 {
            if self.mode & fmode::PATH != 0 {
                self.inode.count_path_user(false);
            }
            self.inode.put_user(true);
        }
    }
}

/// What was counted on an inode for a file that is about to be opened; taken back if that fails.
pub struct Prepared {
    inode: Option<Arc<Inode>>,
    /// Where a writer is counted too.
    mnt: Option<Arc<Mount>>,
    mode: u32,
}

impl Prepared {
    /// Nothing (pipes, sockets, anonymous files).
    pub fn nothing() -> Self {
        Self { inode: None, mnt: None, mode: 0 }
    }

    /// Counts a user and, if it writes a regular file, a writer of it and of the mount. `ETXTBSY`, `ESTALE`, `EROFS`.
    pub fn open(path: &Path, inode: &Arc<Inode>, writes: bool) -> Result<Self> {
        let mut prepared = Self::user(inode)?;
        if writes && inode.is_reg() && prepared.inode.is_some() {
            inode.get_write_access()?;
            if let Err(error) = path.mnt.get_write() {
                inode.put_write_access();
                return Err(error);
            }
            prepared.mnt = Some(path.mnt.clone());
            prepared.mode |= fmode::WRITER;
        }
        Ok(prepared)
    }

    /// Counts a user alone. For files that are made and not opened (memory files): they can be executed although they can be written,
    /// as Linux's.
    pub fn user(inode: &Arc<Inode>) -> Result<Self> {
        if inode.iflags() & iop::ANON != 0 {
            return Ok(Self::nothing());
        }
        inode.get_user()?;
        Ok(Self { inode: Some(inode.clone()), mnt: None, mode: fmode::USER })
    }

    /// Counts a user and keeps writers out. `ETXTBSY`, `ESTALE`.
    pub(crate) fn exec(inode: &Arc<Inode>) -> Result<Self> {
        let mut prepared = Self::user(inode)?;
        inode.deny_write_access()?;
        prepared.inode = Some(inode.clone());
        prepared.mode |= fmode::DENY_WRITE;
        Ok(prepared)
    }

    fn into_mode(mut self) -> u32 {
        (self.inode, self.mnt) = (None, None);
        self.mode
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let Some(inode) = self.inode.take() else { return };
        if self.mode & fmode::WRITER != 0 {
            inode.put_write_access();
        }
        if let Some(mnt) = self.mnt.take() {
            mnt.put_write();
        }
        if self.mode & fmode::DENY_WRITE != 0 {
            inode.allow_write_access();
        }
        inode.put_user(true);
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Open regular files. Without a cache every read and every write is a message to the server; with one they go through pages. Lock: the
//! inode's, around writing.

use crate::node::{Node, Opened, Shared};
use crate::options::cache;
use crate::session::Session;
use kalloc::Arc;
use kernel::filesystem::mm::{Mapping, MmapRequest};
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::filesystem::vfs::filemap::{generic_read, generic_write, write_limit};
use kernel::filesystem::vfs::{File, FileOps, Inode, IovIter, OpenFlags, RemoteLock, fmode, idirty, seek};
use kernel::prelude::*;
use p9net::{Piece, pages_for};

/// An open regular file.
pub(crate) struct RegFile {
    shared: Arc<Shared>,
    opened: Arc<Opened>,
    /// It is read, and written, past the cache.
    direct_read: bool,
    direct_write: bool,
}

/// Whether a file opened with `flags` is written in pages first.
pub(crate) fn writes_later(session: &Session, flags: OpenFlags) -> bool {
    let options = &session.options;
    options.caches(cache::WRITEBACK) && !options.directio && !flags.any(uapi::O_DIRECT | uapi::O_DSYNC)
}

impl RegFile {
    pub(crate) fn new(shared: Arc<Shared>, opened: Arc<Opened>, inode: &Inode, flags: OpenFlags) -> Result<Self> {
        let options = &shared.session.options;
        // A server that counts no versions has files that change by themselves (`/proc` of another machine).
        let counts = opened.fid.qid().version != 0 || options.ignoreqv;
        let direct_read = options.cache == 0 || options.directio || flags.any(uapi::O_DIRECT) || !counts;
        let direct_write = direct_read || !writes_later(&shared.session, flags);
        if !direct_read && !options.caches(cache::LOOSE) && shared.refresh(inode)? {
            // It changed since it was last open here.
            forget(inode);
        }
        Ok(Self { shared, opened, direct_read, direct_write })
    }

    fn read_direct(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let mut at = u64::try_from(*pos).map_err(|_| EINVAL)?;
        let mut done = 0;
        write_back(file.inode(), at, to.count())?;
        while to.count() != 0 {
            let wanted = to.count().min(self.opened.fid.max_io() as usize);
            let read = pages_for(wanted).and_then(|pages| self.opened.fid.read(at, pages));
            let (n, pages) = match read {
                Ok(read) => read,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            let copied = give(&pages, n, to);
            at += copied as u64;
            done += copied;
            if copied < n {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
            // A short answer at the end as it is known is the end.
            if n == 0 || n < wanted && at >= file.inode().size() {
                break;
            }
        }
        *pos = at.cast_signed();
        Ok(done)
    }

    /// Writes to the server. The inode's lock is held. Where it came to.
    fn write_direct(&self, file: &File, from: &mut IovIter<'_>, pos: i64) -> Result<(u64, u64)> {
        let inode = file.inode();
        let append = file.appends(pos);
        if append {
            self.shared.refresh_locked(inode)?;
        }
        let start = if append { inode.size() } else { u64::try_from(pos).map_err(|_| EINVAL)? };
        from.truncate(write_limit(inode, start, from.count())?);
        crate::setattr::drop_privileges(&self.shared, inode)?;
        write_back(inode, start, from.count())?;
        let mut at = start;
        while from.count() != 0 {
            match self.write_some(from, at) {
                Ok(n) => at += n as u64,
                Err(error) if at == start => return Err(error),
                Err(_) => break,
            }
        }
        if at > inode.size() {
            inode.set_size(at);
            if let Some(mapping) = inode.mapping() {
                mapping.set_size(at);
            }
        }
        if let Some(mapping) = inode.mapping().filter(|mapping| mapping.page_count() != 0 && at > start) {
            // What is cached is old now.
            let _guard = mapping.invalidate_lock();
            mapping.remove(start / PAGE_SIZE as u64, (at - 1) / PAGE_SIZE as u64);
        }
        inode.touch_mtime();
        inode.clear_dirty(idirty::INODE);
        Ok((start, at))
    }

    /// Writes as much as goes into one message: not nothing.
    fn write_some(&self, from: &mut IovIter<'_>, at: u64) -> Result<usize> {
        let pages = pages_for(from.count().min(self.opened.fid.max_io() as usize))?;
        let mut taken = 0;
        for piece in pages.iter() {
            let n = from.copy_page_from_iter(&piece.page, 0, piece.len);
            taken += n;
            if n < piece.len {
                break;
            }
        }
        if taken == 0 {
            return Err(EFAULT);
        }
        let mut done = 0;
        while done < taken {
            // A server may take less than it was given.
            let n = match self.opened.fid.write(at + done as u64, part(&pages, done, taken)?) {
                Ok(0) => Err(EIO),
                other => other,
            };
            match n {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => {
                    // What follows is not written either: the next try says why.
                    from.truncate(0);
                    break;
                }
            }
        }
        Ok(done)
    }

    fn mapping_of<'a>(&self, file: &'a File) -> Result<&'a Arc<Mapping>> {
        file.inode().mapping().ok_or(EINVAL)
    }
}

/// Bytes `[from, to)` of `pieces`. ENOMEM.
fn part(pieces: &[Piece], from: usize, to: usize) -> Result<KVec<Piece>> {
    let mut out = KVec::with_capacity(pieces.len(), GFP_KERNEL)?;
    let mut at = 0;
    for piece in pieces {
        let (start, end) = (from.max(at), to.min(at + piece.len));
        if start < end {
            let offset = piece.offset + (start - at);
            out.push(Piece { page: piece.page.clone(), offset, len: end - start }, GFP_KERNEL)?;
        }
        at += piece.len;
    }
    Ok(out)
}

/// Gives the first `len` bytes of `pieces` to a reader; how many it took.
fn give(pieces: &[Piece], len: usize, to: &mut IovIter<'_>) -> usize {
    let mut done = 0;
    for piece in pieces {
        let want = piece.len.min(len - done);
        let n = to.copy_page_to_iter(&piece.page, piece.offset, want);
        done += n;
        if n < want || done == len {
            break;
        }
    }
    done
}

/// Pages that programs wrote to in mapped memory go to the server before it is asked past them.
fn write_back(inode: &Inode, pos: u64, len: usize) -> Result {
    match inode.mapping() {
        Some(mapping) if mapping.page_count() != 0 => mapping.write_and_wait(pos, pos.saturating_add(len as u64)),
        _ => Ok(()),
    }
}

/// Cached pages are old: those that nobody uses go.
fn forget(inode: &Inode) {
    if let Some(mapping) = inode.mapping() {
        mapping.drop_clean(0, u64::MAX);
    }
}

impl FileOps for RegFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if self.direct_read || file.flags().any(uapi::O_DIRECT) {
            return self.read_direct(file, to, pos);
        }
        generic_read(file, self.mapping_of(file)?, to, pos)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let inode = file.inode();
        if from.count() == 0 {
            return Ok(0);
        }
        if self.direct_write || file.flags().any(uapi::O_DIRECT) {
            let _lock = inode.lock.write();
            let (start, end) = self.write_direct(file, from, *pos)?;
            *pos = end.cast_signed();
            return Ok((end - start) as usize);
        }
        {
            let _lock = inode.lock.write();
            crate::setattr::drop_privileges(&self.shared, inode)?;
        }
        generic_write(file, self.mapping_of(file)?, from, pos)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        if whence != uapi::SEEK_SET && whence != uapi::SEEK_CUR && self.shared.session.asks() {
            self.shared.refresh(file.inode())?;
        }
        seek::generic(file, pos, offset, whence)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn flush(&self, file: &File) -> Result {
        // Who opens it next, here or on the server, must find what was written.
        let later = file.mode() & fmode::WRITE != 0;
        match file.inode().mapping() {
            Some(mapping) if later && mapping.page_count() != 0 => {
                let written = mapping.write_and_wait(0, u64::MAX).and_then(|()| file.take_write_error());
                if written.is_ok() && !self.shared.session.asks() {
                    // The server's times and counts are the true ones; nobody asks for them later. Without an answer these stay.
                    let _ = self.shared.refresh(file.inode());
                }
                written
            }
            _ => Ok(()),
        }
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        file.inode().write_and_wait(0, u64::MAX, datasync)?;
        self.opened.fid.fsync(datasync)
    }

    fn check_flags(&self, _: &File, _: u32) -> Result {
        Ok(())
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<Mapping>> {
        file.inode().mapping()
    }

    fn mmap(&self, file: &File, request: &MmapRequest) -> Result {
        let inode = file.inode();
        let options = &self.shared.session.options;
        if request.shared && file.mode() & fmode::WRITE != 0 && !options.caches(cache::WRITEBACK) {
            // Nobody would write it back.
            return Err(EINVAL);
        }
        if !options.caches(cache::LOOSE) && self.shared.refresh(inode)? || options.cache == 0 {
            forget(inode);
        }
        Ok(())
    }

    fn has_remote_locks(&self) -> bool {
        true
    }

    fn lock(&self, file: &File, lock: &RemoteLock) -> Result {
        if lock.kind != uapi::F_UNLCK
            && let Some(mapping) = file.inode().mapping()
        {
            // What others wrote before is seen under the lock. An error of writing is remembered, for `fsync` and `close`, and is none of
            // the lock's.
            let _ = mapping.write_and_wait(0, u64::MAX);
            mapping.drop_clean(0, u64::MAX);
        }
        crate::lock::set(&self.shared, &self.opened.fid, lock)
    }

    fn get_lock(&self, _: &File, lock: &RemoteLock) -> Result<Option<RemoteLock>> {
        crate::lock::get(&self.opened.fid, lock)
    }

    fn release(&self, file: &File) {
        let Some(mapping) = file.inode().mapping().filter(|mapping| mapping.is_dirty()) else { return };
        if file.mode() & fmode::WRITE != 0 && Node::of(file.inode()).is_ok() {
            // While it can still be written as who opened it. Errors are remembered for those who have it open.
            let _ = mapping.write_and_wait(0, u64::MAX);
        }
    }
}

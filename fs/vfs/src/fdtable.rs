// SPDX-License-Identifier: GPL-2.0
//! `FilesStruct`: the table of open files of a process, shared by its threads (`CLONE_FILES`).
//!
//! A look-up takes no lock of the table: slots lie in chunks that never move (chunk `i` holds `64 << i`), and each slot is an
//! `ArcSlot`. Locks: `alloc` (spinning) serialises giving out and taking back numbers. Source: `open(2)`, `dup(2)`,
//! `close_range(2)`.

use crate::file::File;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVVec};
use locking::{ArcSlot, SetOnce, SpinLock};
use rcu::RcuArc;
use task::{Task, TaskLocal};

const FIRST: u32 = 64;
const CHUNKS: usize = 15;
/// So many slots are in all chunks.
const CAPACITY: u32 = FIRST * ((1 << CHUNKS) - 1);
/// The least that `fs.nr_open` may be set to: a word's bits.
const NR_OPEN_LEAST: u32 = 64;

static NR_OPEN: AtomicU32 = AtomicU32::new(1 << 20);

/// Tables grow up to so many descriptors (`fs.nr_open`).
pub fn nr_open() -> u32 {
    NR_OPEN.load(Ordering::Relaxed)
}

/// Sets [`nr_open`]. Tables that are larger stay so. `EINVAL`.
pub fn set_nr_open(most: u32) -> Result {
    if !(NR_OPEN_LEAST..=CAPACITY).contains(&most) {
        return Err(EINVAL);
    }
    NR_OPEN.store(most, Ordering::Relaxed);
    Ok(())
}

/// See the module's text.
pub struct FilesStruct {
    chunks: [SetOnce<KVVec<ArcSlot<File>>>; CHUNKS],
    alloc: SpinLock<FdMap>,
    /// Tasks that use it; the last one to leave closes everything.
    users: AtomicU32,
}

/// Which numbers are in use.
struct FdMap {
    open: KVVec<u64>,
    cloexec: KVVec<u64>,
    /// No number below this is free.
    next: u32,
}

/// A task's place for its table.
pub struct FilesSlot(RcuArc<FilesStruct>);

static FILES: TaskLocal<FilesSlot> = TaskLocal::new();

/// Chunk and index of a descriptor.
#[inline(always)]
fn locate(fd: u32) -> (usize, usize) {
    if fd < FIRST {
        return (0, fd as usize);
    }
    let n = fd.wrapping_add(FIRST);
    let chunk = (n | FIRST).ilog2() - FIRST.ilog2();
    (chunk as usize, (n - (FIRST << chunk)) as usize)
}

impl FilesStruct {
    /// An empty table with one user.
    pub fn new() -> Result<Arc<Self>> {
        let files = Self {
            chunks: [const { SetOnce::new() }; CHUNKS],
            alloc: SpinLock::new(FdMap { open: KVVec::new(), cloexec: KVVec::new(), next: 0 }),
            users: AtomicU32::new(1),
        };
        Ok(Arc::new(files, GFP_KERNEL)?)
    }

    #[inline(always)]
    fn slot(&self, fd: u32) -> Option<&ArcSlot<File>> {
        if fd >= CAPACITY {
            return None;
        }
        let (chunk, index) = locate(fd);
        self.chunks.get(chunk)?.get()?.get(index)
    }

    /// The file behind `fd`, `EBADF` if there is none. `O_PATH` files are found too.
    #[inline]
    pub fn get_raw(&self, fd: u32) -> Result<Arc<File>> {
        self.slot(fd).and_then(ArcSlot::get).ok_or(EBADF)
    }

    /// The file behind `fd`; `EBADF` if there is none or it is `O_PATH`. For calls that look at many descriptors.
    #[inline]
    pub fn get(&self, fd: u32) -> Result<Arc<File>> {
        let file = self.get_raw(fd)?;
        if file.mode() & crate::file::fmode::PATH != 0 { Err(EBADF) } else { Ok(file) }
    }

    /// Makes sure there are slots and bits for `fd`. `EMFILE` from [`nr_open`] on. May sleep.
    fn grow(&self, fd: u32) -> Result {
        if fd >= nr_open() {
            return Err(EMFILE);
        }
        let (chunk, _) = locate(fd);
        for index in 0..=chunk {
            let Some(cell) = self.chunks.get(index) else { return Err(EMFILE) };
            if cell.get().is_none() {
                let len = (FIRST as usize) << index;
                let mut slots = KVVec::with_capacity(len, GFP_KERNEL)?;
                slots.extend((0..len).map(|_| ArcSlot::empty()), GFP_KERNEL)?;
                // Another thread may have been first; then its chunk is used.
                drop(cell.set(slots));
            }
        }
        let words = ((FIRST << chunk) * 2 - FIRST) as usize / 64;
        let mut open = KVVec::with_capacity(words, GFP_KERNEL)?;
        let mut cloexec = KVVec::with_capacity(words, GFP_KERNEL)?;
        let mut map = self.alloc.lock();
        if map.open.len() < words {
            for (old, new) in [(&mut map.open, &mut open), (&mut Default::default(), &mut cloexec)] {
                copy_bits(old, new, words);
            }
            copy_bits(&map.cloexec, &mut cloexec, words);
            core::mem::swap(&mut map.open, &mut open);
            core::mem::swap(&mut map.cloexec, &mut cloexec);
        }
        drop(map);
        Ok(())
    }

    /// Takes the lowest free number from `from` up, below `limit`. `EMFILE` if there is none. May sleep.
    pub fn reserve(self: &Arc<Self>, from: u32, limit: u32, cloexec: bool) -> Result<FdGuard> {
        loop {
            let wanted = {
                let mut map = self.alloc.lock();
                let fd = map.first_free(from);
                if fd >= limit.min(CAPACITY) {
                    return Err(EMFILE);
                }
                if map.take(fd, cloexec) {
                    if from <= map.next {
                        map.next = fd + 1;
                    }
                    drop(map);
                    return Ok(FdGuard { files: self.clone(), fd, armed: true });
                }
                fd
            };
            self.grow(wanted)?;
        }
    }

    /// Puts `file` under number `fd`, closing what was there (`dup2`). May sleep.
    pub fn replace(&self, fd: u32, file: Arc<File>, cloexec: bool) -> Result {
        self.grow_for(fd)?;
        let slot = self.slot(fd).ok_or(EBADF)?;
        let mut map = self.alloc.lock();
        if map.is_open(fd) && slot.is_empty() {
            // Another thread is between reserving and installing it.
            return Err(EBUSY);
        }
        map.take(fd, cloexec);
        map.set_cloexec(fd, cloexec);
        let old = slot.swap(Some(file));
        drop(map);
        if let Some(old) = old {
            // Its error is lost, as in Linux's dup2.
            let _ = self.filp_close(old);
        }
        Ok(())
    }

    fn grow_for(&self, fd: u32) -> Result {
        if (fd as usize) < self.alloc.lock().open.len() * 64 { Ok(()) } else { self.grow(fd) }
    }

    /// Takes the file out from under `fd`. The number is free again.
    fn take(&self, fd: u32) -> Option<Arc<File>> {
        let slot = self.slot(fd)?;
        let mut map = self.alloc.lock();
        let file = slot.take()?;
        map.release(fd);
        Some(file)
    }

    /// Closes `fd`. May sleep.
    pub fn close(&self, fd: u32) -> Result {
        self.filp_close(self.take(fd).ok_or(EBADF)?)
    }

    fn filp_close(&self, file: Arc<File>) -> Result {
        if file.mode() & crate::file::fmode::PATH != 0 {
            // It cannot have made a lock, and takes none away.
            return Ok(());
        }
        let result = file.ops().flush(&file);
        crate::flock::release_owner(&file, self.lock_owner());
        result
    }

    /// What owns POSIX record locks: the table.
    pub(crate) fn lock_owner(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Descriptors there is room for now (`FDSize` in `/proc/PID/status`).
    pub fn capacity(&self) -> usize {
        self.alloc.lock().open.len() * 64
    }

    /// Whether `fd` closes at exec. `EBADF` if it is not open.
    pub fn cloexec(&self, fd: u32) -> Result<bool> {
        let map = self.alloc.lock();
        if map.is_open(fd) { Ok(bit(&map.cloexec, fd)) } else { Err(EBADF) }
    }

    /// Sets whether `fd` closes at exec.
    pub fn set_cloexec(&self, fd: u32, on: bool) -> Result {
        let mut map = self.alloc.lock();
        if !map.is_open(fd) {
            return Err(EBADF);
        }
        map.set_cloexec(fd, on);
        Ok(())
    }

    /// The lowest open number of at least `from`.
    pub fn next_open(&self, from: u32) -> Option<u32> {
        next_bit(&self.alloc.lock().open, from)
    }

    /// Closes what is marked so (`execve`). The table is not shared any more. May sleep.
    pub fn close_on_exec(&self) {
        let mut from = 0;
        loop {
            let fd = next_bit(&self.alloc.lock().cloexec, from);
            let Some(fd) = fd else { return };
            // The program that opened it is gone; nobody can be told of an error.
            let _ = self.close(fd);
            from = fd + 1;
        }
    }

    /// Closes `first..=last`, or marks them to close at exec. May sleep.
    pub fn close_range(&self, first: u32, last: u32, mark: bool) {
        let mut from = first;
        while let Some(fd) = self.next_open(from).filter(|fd| *fd <= last) {
            if mark {
                // Closed meanwhile by another thread: nothing to mark.
                let _ = self.set_cloexec(fd, true);
            } else {
                // `close_range` reports no error of the files.
                let _ = self.close(fd);
            }
            from = fd + 1;
        }
    }

    /// A copy for a child: the same files under the same numbers, up to `last`. May sleep.
    pub fn duplicate(&self, last: u32) -> Result<Arc<Self>> {
        let new = Self::new()?;
        let mut from = 0;
        while let Some(fd) = self.next_open(from).filter(|fd| *fd <= last) {
            if let Some(file) = self.slot(fd).and_then(ArcSlot::get) {
                new.grow_for(fd)?;
                let cloexec = self.cloexec(fd).unwrap_or(false);
                let mut map = new.alloc.lock();
                map.take(fd, cloexec);
                if let Some(slot) = new.slot(fd) {
                    drop(slot.swap(Some(file)));
                }
                if map.next == fd {
                    map.next = fd + 1;
                }
            }
            from = fd + 1;
        }
        Ok(new)
    }

    /// Whether more than one task uses it.
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// One task more uses it (`CLONE_FILES`).
    pub fn share(self: &Arc<Self>) -> Arc<Self> {
        self.users.fetch_add(1, Ordering::AcqRel);
        self.clone()
    }

    /// A task leaves it; the last one closes everything. May sleep.
    fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_range(0, u32::MAX, false);
        }
    }
}

fn copy_bits(old: &[u64], new: &mut KVVec<u64>, words: usize) {
    new.clear();
    for index in 0..words {
        // Room for `words` is there.
        let _ = new.push_within_capacity(old.get(index).copied().unwrap_or(0));
    }
}

fn bit(map: &[u64], fd: u32) -> bool {
    map.get(fd as usize / 64).is_some_and(|word| word >> (fd % 64) & 1 != 0)
}

fn next_bit(map: &[u64], from: u32) -> Option<u32> {
    let mut mask = u64::MAX << (from % 64);
    for (index, word) in map.iter().enumerate().skip(from as usize / 64) {
        if word & mask != 0 {
            return Some(index as u32 * 64 + (word & mask).trailing_zeros());
        }
        mask = u64::MAX;
    }
    None
}

impl FdMap {
    fn is_open(&self, fd: u32) -> bool {
        bit(&self.open, fd)
    }

    /// The lowest free number of at least `from`; possibly one there are no bits for yet.
    fn first_free(&self, from: u32) -> u32 {
        let from = from.max(self.next);
        let mut mask = u64::MAX << (from % 64);
        for (index, word) in self.open.iter().enumerate().skip(from as usize / 64) {
            if !word & mask != 0 {
                return index as u32 * 64 + (!word & mask).trailing_zeros();
            }
            mask = u64::MAX;
        }
        from.max(self.open.len() as u32 * 64)
    }

    /// Marks `fd` as in use; false if there are no bits for it.
    fn take(&mut self, fd: u32, cloexec: bool) -> bool {
        match self.open.get_mut(fd as usize / 64) {
            Some(word) => {
                *word |= 1 << (fd % 64);
                self.set_cloexec(fd, cloexec);
                true
            }
            None => false,
        }
    }

    fn set_cloexec(&mut self, fd: u32, on: bool) {
        if let Some(word) = self.cloexec.get_mut(fd as usize / 64) {
            *word = *word & !(1 << (fd % 64)) | u64::from(on) << (fd % 64);
        }
    }

    fn release(&mut self, fd: u32) {
        if let Some(word) = self.open.get_mut(fd as usize / 64) {
            *word &= !(1 << (fd % 64));
        }
        self.set_cloexec(fd, false);
        self.next = self.next.min(fd);
    }
}

/// A number that is taken but has no file yet; given back when dropped.
pub struct FdGuard {
    files: Arc<FilesStruct>,
    fd: u32,
    armed: bool,
}

impl FdGuard {
    /// The number.
    pub fn fd(&self) -> u32 {
        self.fd
    }

    /// Puts `file` under the number: from now on the program sees it.
    pub fn install(mut self, file: Arc<File>) -> u32 {
        self.armed = false;
        if let Some(slot) = self.files.slot(self.fd) {
            // The number was ours, so nothing was there.
            drop(slot.swap(Some(file)));
        }
        self.fd
    }
}

impl Drop for FdGuard {
    fn drop(&mut self) {
        if self.armed {
            self.files.alloc.lock().release(self.fd);
        }
    }
}

/// Gives a new task its table; once, before it runs. The table already counts this user. May sleep.
pub fn attach_files(task: &Task, files: Arc<FilesStruct>) -> Result {
    FILES.set(task, KBox::new(FilesSlot(RcuArc::new(Some(files))), GFP_KERNEL)?).map_err(|_| EBUSY)
}

/// `task`'s table; `None` once it has exited.
pub fn task_files(task: &Task) -> Option<Arc<FilesStruct>> {
    FILES.get(task)?.0.get()
}

/// The current task's table, counted.
pub fn current_files() -> Result<Arc<FilesStruct>> {
    task_files(&task::current()).ok_or(EBADF)
}

/// Takes the current task's table away, or replaces it (`unshare`); the old one loses a user. May sleep.
pub fn set_current_files(files: Option<Arc<FilesStruct>>) {
    if let Some(slot) = FILES.get(&task::current()) {
        let old = slot.0.exchange(files);
        if let Some(old) = old {
            old.leave();
        }
    }
}

/// The current task's file `fd`; `EBADF` if there is none or it is `O_PATH`.
#[inline]
pub fn fdget(fd: usize) -> Result<Arc<File>> {
    let file = fdget_raw(fd)?;
    if file.mode() & crate::file::fmode::PATH != 0 { Err(EBADF) } else { Ok(file) }
}

/// The current task's file `fd`, `O_PATH` or not. System calls pass descriptors as 32-bit numbers.
#[inline]
pub fn fdget_raw(fd: usize) -> Result<Arc<File>> {
    let current = task::current();
    let section = rcu::read_lock();
    let files = FILES.get(&current).and_then(|slot| slot.0.load(&section)).ok_or(EBADF)?;
    files.slot(fd as u32).and_then(|slot| slot.get_pinned(section.pinned())).ok_or(EBADF)
}

/// Takes the lowest free number of the current task, within `RLIMIT_NOFILE`. May sleep.
pub fn get_unused_fd(cloexec: bool) -> Result<FdGuard> {
    current_files()?.reserve(0, nofile_limit(), cloexec)
}

/// `RLIMIT_NOFILE` as a bound for numbers.
pub fn nofile_limit() -> u32 {
    u32::try_from(rlimit::current(uapi::RLIMIT_NOFILE)).unwrap_or(u32::MAX)
}

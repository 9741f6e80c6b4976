// SPDX-License-Identifier: GPL-2.0
//! `SIGIO`: open files whose owner wants a signal when there is something to do (`O_ASYNC`), and who the owner is (`F_SETOWN`).
//!
//! Whatever a file waits for (a pipe, a terminal) has a [`FasyncList`] beside its wait queue and calls [`FasyncList::kill`] where it
//! wakes up. While nobody asked for signals that is one load.
//!
//! Locks: a list's spin lock, then an owner's, then those of signals and process numbers; none is taken in interrupt handlers.
//! Source: `fcntl(2)`, "Managing signals"; `sigaction(2)`, `SIGIO`.

use crate::file::File;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::SpinLock;

/// What an owner's number names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerKind {
    /// One thread.
    Thread,
    /// A process.
    Process,
    /// A process group.
    Group,
}

/// What is told: the signal that `F_SETSIG` chose (0: a plain `SIGIO`), the descriptor, one of the codes `POLL_*`.
#[derive(Clone, Copy, Debug)]
pub struct FileSignal {
    /// Signal number or 0.
    pub signal: u32,
    /// `si_fd`.
    pub fd: i32,
    /// `si_code`.
    pub code: u32,
}

/// Who made an owner what it is: the signals are sent with the rights of these ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setter {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
}

/// A process number that signals go to, as long as it names the one it named when it was found (Linux's `struct pid`).
pub trait SignalTarget: Send + Sync {
    /// The number, if there still is a task of this kind; 0 else.
    fn id(&self, kind: OwnerKind) -> u32;
    /// Sends to each task that the number names, if `setter` may. Not in interrupt handlers; does not sleep.
    fn send(&self, kind: OwnerKind, setter: Setter, signal: FileSignal);
}

#[derive(Clone)]
struct Target {
    target: Arc<dyn SignalTarget>,
    setter: Setter,
}

struct OwnerState {
    target: Option<Target>,
    kind: OwnerKind,
}

/// The owner of an open file.
pub struct FileOwner {
    state: SpinLock<OwnerState>,
    /// `F_SETSIG`.
    signal: AtomicU32,
}

impl FileOwner {
    /// Nobody.
    fn new() -> Self {
        // What Linux shows for files without an owner.
        let state = OwnerState { target: None, kind: OwnerKind::Thread };
        Self { state: SpinLock::new(state), signal: AtomicU32::new(0) }
    }

    /// Nobody from here on, and no signal of choice.
    pub(crate) fn disown(&self) {
        let old = self.state.lock().target.take();
        self.signal.store(0, Ordering::Relaxed);
        drop(old);
    }

    /// Tells the owner, if there is one.
    pub(crate) fn send(&self, fd: i32, code: u32) {
        let (target, kind) = {
            let state = self.state.lock();
            (state.target.clone(), state.kind)
        };
        if let Some(target) = target {
            let signal = self.signal.load(Ordering::Relaxed);
            target.target.send(kind, target.setter, FileSignal { signal, fd, code });
        }
    }
}

impl File {
    pub(crate) fn owner_or_new(&self) -> Result<&Arc<FileOwner>> {
        if let Some(owner) = self.owner.get() {
            return Ok(owner);
        }
        let new = Arc::new(FileOwner::new(), GFP_KERNEL)?;
        Ok(self.owner.get_or_init(move || new))
    }

    /// Whose the file's signals are: the number, 0 if nobody's or of somebody who is gone.
    pub fn owner(&self) -> (OwnerKind, u32) {
        let Some(owner) = self.owner.get() else { return (OwnerKind::Thread, 0) };
        let (target, kind) = {
            let state = owner.state.lock();
            (state.target.clone(), state.kind)
        };
        (kind, target.map_or(0, |target| target.target.id(kind)))
    }

    /// Whether somebody was made the owner, be he gone or not.
    pub(crate) fn owner_is_set(&self) -> bool {
        self.owner.get().is_some_and(|owner| owner.state.lock().target.is_some())
    }

    /// Makes `id` (0: nobody) the owner; unless `force`, only if there is none. `ESRCH` if the number names nothing. May sleep.
    pub fn set_owner(&self, kind: OwnerKind, id: u32, force: bool) -> Result {
        let target = match id {
            0 => None,
            id => {
                let target = crate::hooks::PROCESS.get().ok_or(ESRCH)?.find_target(id)?;
                let cred = cred::current_cred()?;
                Some(Target { target, setter: Setter { uid: cred.uid, euid: cred.euid } })
            }
        };
        let mut state = self.owner_or_new()?.state.lock();
        if !force && state.target.is_some() {
            return Ok(());
        }
        state.kind = kind;
        let old = core::mem::replace(&mut state.target, target);
        drop(state);
        drop(old);
        Ok(())
    }

    /// `F_SETOWN`, `FIOSETOWN`: a process, a group if it is negative, nobody if it is 0. `EINVAL`, `ESRCH`.
    pub fn set_owner_number(&self, number: i32) -> Result {
        let kind = if number < 0 { OwnerKind::Group } else { OwnerKind::Process };
        let id = number.checked_abs().ok_or(EINVAL)?;
        self.set_owner(kind, id.unsigned_abs(), true)
    }

    /// `F_GETOWN`, `FIOGETOWN`.
    pub fn owner_number(&self) -> i32 {
        let (kind, id) = self.owner();
        let id = i32::try_from(id).unwrap_or(0);
        if kind == OwnerKind::Group { id.wrapping_neg() } else { id }
    }

    /// The signal that `F_SETSIG` chose; 0 for a plain `SIGIO`.
    pub fn owner_signal(&self) -> u32 {
        self.owner.get().map_or(0, |owner| owner.signal.load(Ordering::Relaxed))
    }

    /// `F_SETSIG`. `EINVAL`. May sleep.
    pub fn set_owner_signal(&self, signal: usize) -> Result {
        const NSIG: usize = 64;
        if signal > NSIG {
            return Err(EINVAL);
        }
        if signal != 0 || self.owner.get().is_some() {
            self.owner_or_new()?.signal.store(signal as u32, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// An open file that asked for signals.
struct Entry {
    /// The file's address: it takes its entry away before it goes.
    file: usize,
    fd: i32,
    owner: Arc<FileOwner>,
}

/// The open files that want a signal about one thing.
pub struct FasyncList {
    /// How many there are, for a look without the lock.
    count: AtomicU32,
    entries: SpinLock<KVec<Entry>>,
}

impl FasyncList {
    /// Nobody.
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), entries: SpinLock::new(KVec::new()) }
    }

    /// Whether anybody wants signals.
    #[inline(always)]
    pub fn is_active(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Signals everybody. `code`: `POLL_*`. Not in interrupt handlers; does not sleep.
    #[inline(always)]
    pub fn kill(&self, code: u32) {
        if self.is_active() {
            self.kill_all(code);
        }
    }

    #[cold]
    fn kill_all(&self, code: u32) {
        for entry in self.entries.lock().iter() {
            entry.owner.send(entry.fd, code);
        }
    }

    /// The work of `FileOps::fasync`: `file`, which the caller knows as descriptor `fd`, wants signals or wants none any more.
    /// Whether that is new. May sleep when it switches on.
    pub fn set(&self, file: &File, fd: i32, on: bool) -> Result<bool> {
        if on { self.insert(file, fd) } else { Ok(self.remove(file)) }
    }

    fn insert(&self, file: &File, fd: i32) -> Result<bool> {
        let (owner, address) = (file.owner_or_new()?.clone(), core::ptr::from_ref(file).addr());
        let mut entries = self.entries.lock();
        let known = entries.iter_mut().find(|entry| entry.file == address);
        let changed = known.is_none();
        match known {
            Some(known) => known.fd = fd,
            None => entries.push(Entry { file: address, fd, owner }, GFP_ATOMIC)?,
        }
        self.count.store(entries.len() as u32, Ordering::Relaxed);
        // Under the lock: a file with an entry has the flag, by which it knows that it must take the entry away.
        file.change_flags(uapi::FASYNC, uapi::FASYNC);
        Ok(changed)
    }

    /// Nobody wants anything any more (a terminal was hung up). Does not sleep.
    pub fn clear(&self) {
        if self.is_active() {
            let mut entries = self.entries.lock();
            let old = core::mem::take(&mut *entries);
            self.count.store(0, Ordering::Relaxed);
            drop(entries);
            drop(old);
        }
    }

    fn remove(&self, file: &File) -> bool {
        let address = core::ptr::from_ref(file).addr();
        let mut entries = self.entries.lock();
        let old = entries.iter().position(|entry| entry.file == address).and_then(|index| entries.swap_remove(index));
        file.change_flags(0, uapi::FASYNC);
        self.count.store(entries.len() as u32, Ordering::Relaxed);
        drop(entries);
        old.is_some()
    }
}

impl Default for FasyncList {
    fn default() -> Self {
        Self::new()
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Leases: who holds one is told by a signal before somebody opens or truncates the file in a way that does not go with it, and has
//! some time to give it back (`F_SETLEASE`). Source: `fcntl(2)`, "Leases"; `proc(5)`, `/proc/sys/fs/lease-break-time`.
//!
//! Locks: the file's lock state (`flock`), then an owner's. A lease and an open that conflict look at each other in opposite order:
//! who opens is counted first and looks for leases then, who takes a lease shows it first and looks at the counts then.

use crate::fasync::{FileOwner, OwnerKind};
use crate::file::{File, OpenFlags, fmode};
use crate::flock::{Kind, LockState};
use crate::inode::Inode;
use core::sync::atomic::{AtomicU32, Ordering, fence};
use errno::{Result, code::*};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, WeakArc};

/// Whether leases may be taken (`/proc/sys/fs/leases-enable`).
pub static ENABLED: AtomicU32 = AtomicU32::new(1);
/// Seconds that a holder has when his lease is broken; 0: for ever (`/proc/sys/fs/lease-break-time`).
pub static BREAK_TIME: AtomicU32 = AtomicU32::new(45);

const NSEC: u64 = 1_000_000_000;

/// A lease on a file.
pub(crate) struct Lease {
    /// The address of the open file that holds it, which takes it away before it goes.
    file: usize,
    holder: WeakArc<File>,
    owner: Arc<FileOwner>,
    fd: i32,
    pub(crate) pid: i32,
    pub(crate) kind: Kind,
    /// Somebody waits until it is gone, or, the second, until it is one for reading.
    must_go: bool,
    must_share: bool,
    /// When that happens by itself (monotonic nanoseconds; 0: never).
    gone_at: u64,
    shared_at: u64,
}

impl Lease {
    /// Whether `file` holds it.
    pub(crate) fn is_of(&self, file: &File) -> bool {
        self.file == core::ptr::from_ref(file).addr()
    }

    /// Whether somebody waits for the holder.
    pub(crate) fn is_breaking(&self) -> bool {
        self.must_go || self.must_share
    }

    /// What it is on its way to: `F_UNLCK`, `F_RDLCK` or `F_WRLCK`.
    pub(crate) fn target(&self) -> u32 {
        match self.kind {
            _ if self.must_go => uapi::F_UNLCK,
            _ if self.must_share => uapi::F_RDLCK,
            Kind::Shared => uapi::F_RDLCK,
            Kind::Exclusive => uapi::F_WRLCK,
        }
    }

    fn conflicts(&self, writes: bool) -> bool {
        writes || self.kind == Kind::Exclusive
    }

    fn change(&mut self, kind: Kind) {
        self.kind = kind;
        if kind == Kind::Shared {
            self.must_share = false;
            self.shared_at = 0;
        }
    }

    /// When the holder's time is over; `None` if never.
    fn deadline(&self) -> Option<u64> {
        [self.gone_at, self.shared_at].into_iter().filter(|&at| at != 0).min()
    }

    /// After it was taken off the file. May sleep.
    fn end(self) {
        self.owner.disown();
        if let Some(file) = self.holder.upgrade() {
            file.change_flags(0, uapi::FASYNC);
        }
    }
}

impl LockState {
    /// Takes back a lease that was entered just now and is not to be.
    fn take_lease_back(&self, file: usize) {
        let mut held = self.held.lock();
        let index = held.leases.iter().position(|lease| lease.file == file);
        let taken = index.and_then(|index| held.leases.remove(index).ok());
        drop(held);
        if taken.is_some() {
            self.leases.fetch_sub(1, Ordering::Relaxed);
            self.waiters.wake_up_all();
        }
    }

    /// Takes the lease of the open file at address `file` away. Whether there was one.
    fn end_lease(&self, file: usize) -> bool {
        let ended = {
            let mut held = self.held.lock();
            let index = held.leases.iter().position(|lease| lease.file == file);
            index.and_then(|index| held.leases.remove(index).ok())
        };
        let Some(lease) = ended else { return false };
        self.leases.fetch_sub(1, Ordering::Relaxed);
        lease.end();
        self.waiters.wake_up_all();
        true
    }

    /// Does what holders did not do in time.
    fn expire_leases(&self) {
        let now = ktime::now_ns();
        let past = |at: u64| at != 0 && at <= now;
        loop {
            let overdue = {
                let mut held = self.held.lock();
                for lease in held.leases.iter_mut().filter(|lease| past(lease.shared_at)) {
                    lease.change(Kind::Shared);
                }
                held.leases.iter().find(|lease| past(lease.gone_at)).map(|lease| lease.file)
            };
            match overdue {
                Some(file) => self.end_lease(file),
                None => return self.waiters.wake_up_all(),
            };
        }
    }

    /// Tells the holders of what conflicts. Whether there are any.
    fn tell_holders(&self, writes: bool) -> bool {
        let seconds = u64::from(BREAK_TIME.load(Ordering::Relaxed));
        let until = if seconds == 0 { 0 } else { ktime::now_ns().saturating_add(seconds.saturating_mul(NSEC)) };
        let (mut held, mut any) = (self.held.lock(), false);
        for lease in held.leases.iter_mut().filter(|lease| lease.conflicts(writes)) {
            any = true;
            if writes && !lease.must_go {
                (lease.must_go, lease.gone_at) = (true, until);
            } else if !writes && !lease.is_breaking() {
                (lease.must_share, lease.shared_at) = (true, until);
            } else {
                continue;
            }
            lease.owner.send(lease.fd, uapi::POLL_MSG);
        }
        any
    }

    /// When to look again for leases that conflict: `None` if there are none, `Some(None)` when a holder does something.
    fn next_look(&self, writes: bool) -> Option<Option<u64>> {
        let held = self.held.lock();
        let conflicting = || held.leases.iter().filter(|lease| lease.conflicts(writes));
        conflicting().next()?;
        Some(conflicting().filter_map(Lease::deadline).min())
    }

    #[cold]
    fn break_leases(&self, writes: bool, nonblock: bool) -> Result {
        self.expire_leases();
        if !self.tell_holders(writes) {
            return Ok(());
        }
        if nonblock {
            return Err(EAGAIN);
        }
        let _shown = self.show_breaker(if writes { Kind::Exclusive } else { Kind::Shared })?;
        while let Some(deadline) = self.next_look(writes) {
            self.waiters.wait_interruptible_deadline(deadline, || self.next_look(writes) != Some(deadline))?;
            self.expire_leases();
        }
        Ok(())
    }
}

/// `inode` is opened with `flags`, and counted as that: leases that do not go with it are broken. `EAGAIN` instead of waiting with
/// `O_NONBLOCK`; `ERESTARTSYS`. May sleep.
#[inline]
pub(crate) fn break_lease(inode: &Inode, flags: OpenFlags) -> Result {
    match inode.locks() {
        Some(state) if state.leases.load(Ordering::SeqCst) != 0 => {
            state.break_leases(flags.0 & uapi::O_ACCMODE != uapi::O_RDONLY, flags.any(uapi::O_NONBLOCK))
        }
        _ => Ok(()),
    }
}

/// The open file at address `file` is closed: its lease goes.
pub(crate) fn release_file(state: &LockState, file: usize) {
    if state.leases.load(Ordering::Relaxed) != 0 {
        state.end_lease(file);
    }
}

/// `EAGAIN` if others have the file open in a way that does not go with a lease of this kind.
fn check_opens(file: &File, kind: Kind) -> Result {
    let inode = file.inode();
    let fits = match kind {
        Kind::Shared => inode.writers() <= 0,
        Kind::Exclusive => inode.writers() == i32::from(file.mode() & fmode::WRITE != 0) && inode.openers() == 1,
    };
    if fits { Ok(()) } else { Err(EAGAIN) }
}

/// `F_SETLEASE`. `EAGAIN`, `EACCES`, `EINVAL`. May sleep.
pub(crate) fn set(file: &Arc<File>, fd: i32, arg: usize) -> Result<usize> {
    let kind = match u32::try_from(arg as i64) {
        Ok(uapi::F_RDLCK) => Some(Kind::Shared),
        Ok(uapi::F_WRLCK) => Some(Kind::Exclusive),
        Ok(uapi::F_UNLCK) => None,
        _ => return Err(EINVAL),
    };
    let inode = file.inode();
    let cred = cred::current_cred()?;
    if cred.fsuid != inode.uid() && !cred.capable(cred::CAP_LEASE) {
        return Err(EACCES);
    }
    if !inode.is_reg() {
        return Err(EINVAL);
    }
    let address = Arc::as_ptr(file).addr();
    match kind {
        None => inode.locks().filter(|state| state.end_lease(address)).map(|_| 0).ok_or(EAGAIN),
        Some(kind) => add(file, fd, kind).map(|()| 0),
    }
}

fn add(file: &Arc<File>, fd: i32, kind: Kind) -> Result {
    let state = file.inode().locks_or_new()?;
    state.expire_leases();
    check_opens(file, kind)?;
    let address = Arc::as_ptr(file).addr();
    let pid = crate::hooks::current_pid();
    // Before the lease is seen: its first signal must not be lost.
    let had_owner = file.owner_is_set();
    file.set_owner(OwnerKind::Process, crate::hooks::current_name().own(), false)?;
    let owner = file.owner_or_new()?.clone();
    let mut lease = Some(Lease {
        file: address,
        holder: Arc::downgrade(file),
        owner,
        fd,
        pid: pid as i32,
        kind,
        must_go: false,
        must_share: false,
        gone_at: 0,
        shared_at: 0,
    });
    let added = insert(state, &mut lease, address, kind);
    let result = added.and_then(|new| {
        if !new {
            return Ok(());
        }
        fence(Ordering::SeqCst);
        check_opens(file, kind).inspect_err(|_| state.take_lease_back(address))
    });
    match result {
        Ok(()) => file.change_flags(uapi::FASYNC, uapi::FASYNC),
        Err(_) if !had_owner => file.set_owner(OwnerKind::Process, 0, true)?,
        Err(_) => {}
    }
    result
}

/// Enters the lease or changes the one that the file has. Whether it is new.
fn insert(state: &LockState, lease: &mut Option<Lease>, address: usize, kind: Kind) -> Result<bool> {
    let mut held = state.held.lock();
    let others = |lease: &&Lease| lease.file != address;
    if held.leases.iter().filter(others).any(|other| kind == Kind::Exclusive || other.must_go) {
        return Err(EAGAIN);
    }
    if let Some(mine) = held.leases.iter_mut().find(|lease| lease.file == address) {
        mine.change(kind);
        drop(held);
        state.waiters.wake_up_all();
        return Ok(false);
    }
    if ENABLED.load(Ordering::Relaxed) == 0 {
        return Err(EINVAL);
    }
    held.leases.reserve(1, GFP_ATOMIC)?;
    if let Some(lease) = lease.take() {
        // There is room for it.
        let _ = held.leases.push_within_capacity(lease);
    }
    state.leases.fetch_add(1, Ordering::SeqCst);
    Ok(true)
}

/// `F_GETLEASE`.
pub(crate) fn get(file: &Arc<File>) -> usize {
    let Some(state) = file.inode().locks() else { return uapi::F_UNLCK as usize };
    if state.leases.load(Ordering::Relaxed) == 0 {
        return uapi::F_UNLCK as usize;
    }
    state.expire_leases();
    let address = Arc::as_ptr(file).addr();
    let held = state.held.lock();
    held.leases.iter().find(|lease| lease.file == address).map_or(uapi::F_UNLCK, Lease::target) as usize
}

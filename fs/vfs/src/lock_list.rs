// SPDX-License-Identifier: GPL-2.0
//! `/proc/locks`: locks and leases of all files, each with those who wait for it. Source: `proc(5)`, `lslocks(8)`.
//!
//! Locks: as `flock`; each file is shown as it was at one moment.

use crate::fdtable::FilesStruct;
use crate::file::File;
use crate::flock::{Kind, LockState, Range, Waiter, for_each_locked};
use crate::inode::Inode;
use crate::seq_file::SeqBuf;
use crate::seq_print;
use errno::Result;
use kalloc::KVec;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use pid_namespace::PidNs;

/// What is shown of one lock.
#[derive(Clone, Copy)]
enum What {
    Lock(Range),
    /// Process, whether it is being broken, what it becomes (`F_*`).
    Lease(i32, bool, u32),
    /// Somebody waits for the lock before.
    Waits(Waiter),
}

impl What {
    /// Whose it is, by his number in the first name space.
    fn pid(&self) -> i32 {
        match self {
            Self::Lock(range) | Self::Waits(Waiter::Lock(range)) => range.pid,
            Self::Lease(pid, ..) | Self::Waits(Waiter::Breaker(_, pid)) => *pid,
        }
    }
}

/// What there is on one file, newest first.
fn snapshot(state: &LockState) -> Result<KVec<What>> {
    loop {
        let wanted = {
            let held = state.held.lock();
            // Each waits for one lock or lease and is shown below it.
            held.ranges.len() + held.leases.len() + held.waiting.len()
        };
        let mut all = KVec::with_capacity(wanted, GFP_KERNEL)?;
        let held = state.held.lock();
        if held.ranges.len() + held.leases.len() + held.waiting.len() > all.capacity() {
            continue;
        }
        let mut shown = KVec::<bool>::new();
        for _ in 0..held.waiting.len() {
            shown.push(false, GFP_ATOMIC)?;
        }
        for range in held.ranges.iter().rev() {
            all.push(What::Lock(*range), GFP_ATOMIC)?;
            for ((_, waiter), shown) in held.waiting.iter().zip(shown.iter_mut()) {
                if let Waiter::Lock(wanted) = waiter
                    && !*shown
                    && range.conflicts(wanted)
                {
                    *shown = true;
                    all.push(What::Waits(*waiter), GFP_ATOMIC)?;
                }
            }
        }
        for (index, lease) in held.leases.iter().enumerate() {
            all.push(What::Lease(lease.pid, lease.is_breaking(), lease.target()), GFP_ATOMIC)?;
            let breakers =
                held.waiting.iter().filter(|(_, waiter)| index == 0 && matches!(waiter, Waiter::Breaker(..)));
            for (_, waiter) in breakers {
                all.push(What::Waits(*waiter), GFP_ATOMIC)?;
            }
        }
        return Ok(all);
    }
}

fn kind_name(kind: Kind) -> &'static str {
    if kind == Kind::Exclusive { "WRITE" } else { "READ" }
}

/// What is shown for `pid`, which is of the first name space of process numbers: -1 (a lock of an open file) is nobody; 0 is one
/// that has no number in `ns`.
fn number(pid: i32, ns: &PidNs) -> i32 {
    u32::try_from(pid).map_or(pid, |pid| crate::hooks::number_in(pid, ns).cast_signed())
}

fn place(inode: &Inode, pid: i32, ns: &PidNs, out: &mut SeqBuf) -> Result {
    let pid = number(pid, ns);
    let dev = inode.sb().dev;
    seq_print!(out, " {pid} {:02x}:{:02x}:{} ", dev.major(), dev.minor(), inode.ino)
}

fn show_range(range: &Range, inode: &Inode, ns: &PidNs, out: &mut SeqBuf) -> Result {
    let name = match range {
        Range { flock: true, .. } => "FLOCK ",
        Range { pid: -1, .. } => "OFDLCK",
        _ => "POSIX ",
    };
    seq_print!(out, "{name} ADVISORY  {}", kind_name(range.kind))?;
    place(inode, range.pid, ns, out)?;
    match (range.flock, range.end) {
        (true, _) => out.put(b"0 EOF\n"),
        (false, i64::MAX) => seq_print!(out, "{} EOF\n", range.start),
        (false, end) => seq_print!(out, "{} {end}\n", range.start),
    }
}

fn show(what: &What, inode: &Inode, ns: &PidNs, out: &mut SeqBuf) -> Result {
    match what {
        What::Lock(range) | What::Waits(Waiter::Lock(range)) => show_range(range, inode, ns, out),
        What::Lease(pid, breaking, target) => {
            let target = match *target {
                uapi::F_RDLCK => "READ",
                uapi::F_WRLCK => "WRITE",
                _ => "UNLCK",
            };
            seq_print!(out, "LEASE  {}{target}", if *breaking { "BREAKING  " } else { "ACTIVE    " })?;
            place(inode, *pid, ns, out)?;
            out.put(b"0 EOF\n")
        }
        What::Waits(Waiter::Breaker(kind, pid)) => {
            let pid = number(*pid, ns);
            seq_print!(out, "LEASE  BREAKER   {} {pid} <none>:0 0 EOF\n", kind_name(*kind))
        }
    }
}

/// `lock:` lines of `/proc/PID/fdinfo`: what was set through `file` and is held by it, or by the process for which `files` stands;
/// that of `flock` first. May sleep.
pub fn show_locks_of(file: &File, files: &FilesStruct, ns: &PidNs, out: &mut SeqBuf) -> Result {
    let inode = file.inode();
    let Some(state) = inode.locks() else { return Ok(()) };
    let (own, table) = (core::ptr::from_ref(file).addr(), files.lock_owner());
    let shown = |range: &Range| range.through == own && (range.owner == own || range.owner == table);
    let all = loop {
        let wanted = {
            let held = state.held.lock();
            held.ranges.len() + held.leases.len()
        };
        let mut all = KVec::with_capacity(wanted, GFP_KERNEL)?;
        let held = state.held.lock();
        if held.ranges.len() + held.leases.len() > all.capacity() {
            continue;
        }
        for flock in [true, false] {
            for range in held.ranges.iter().filter(|range| range.flock == flock && shown(range)) {
                all.push(What::Lock(*range), GFP_ATOMIC)?;
            }
        }
        for lease in held.leases.iter().filter(|lease| lease.is_of(file)) {
            all.push(What::Lease(lease.pid, lease.is_breaking(), lease.target()), GFP_ATOMIC)?;
        }
        break all;
    };
    for (number, what) in (1..).zip(all.iter()) {
        seq_print!(out, "lock:\t{number}: ")?;
        show(what, inode, ns, out)?;
    }
    Ok(())
}

/// `/proc/locks`: those whose owners have numbers in `ns`. May sleep.
pub fn show_locks(ns: &PidNs, out: &mut SeqBuf) -> Result {
    let mut place = 0u64;
    let mut hidden = false;
    for_each_locked(|inode, state| {
        for what in &snapshot(state)? {
            let waits = matches!(what, What::Waits(_));
            place += u64::from(!waits);
            if !waits {
                hidden = number(what.pid(), ns) == 0;
            }
            if hidden {
                continue;
            }
            seq_print!(out, "{place}: {}", if waits { "-> " } else { "" })?;
            show(what, inode, ns, out)?;
        }
        Ok(())
    })
}

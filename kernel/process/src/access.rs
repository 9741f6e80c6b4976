// SPDX-License-Identifier: GPL-2.0
//! Who may look inside a process: `ptrace(2)`, "Ptrace access mode checking". Locks: none.

use crate::thread::process_of;
use core::sync::atomic::{Ordering, fence};
use cred::CAP_SYS_PTRACE;
use errno::Result;
use kalloc::Arc;
use task::{Task, current};

/// Whether the current task may look inside `target` with its file-system credentials (`PTRACE_MODE_READ_FSCREDS`; `/proc`).
pub fn may_access_fscreds(target: &Task) -> bool {
    may_access(target, true)
}

/// Whether the current task may look inside or change `target` with its real credentials (`PTRACE_MODE_ATTACH_REALCREDS`;
/// without security modules reading asks for no less).
pub fn may_access_realcreds(target: &Task) -> bool {
    may_access(target, false)
}

/// What `get` finds in `target`, for whom `may` (one of the above) lets look inside; `None` for others. In the middle of an `execve`, when
/// the memory and the files are the new program's and the rights still the old one's, it waits: what was found would be good for the
/// program's whole life. `ERESTARTNOINTR` for a signal. May sleep.
pub fn look_inside<R>(target: &Task, may: fn(&Task) -> bool, mut get: impl FnMut() -> R) -> Result<Option<R>> {
    let Some(process) = process_of(target) else { return Ok(None) };
    let own = process_of(&current()).is_some_and(|own| Arc::ptr_eq(&own, &process));
    loop {
        let found = get();
        // In this order: what was found and is a new program's came with the mark; the mark went when the rights were the new ones.
        fence(Ordering::Acquire);
        if own || !process.in_exec.load(Ordering::SeqCst) {
            return Ok(may(target).then_some(found));
        }
        drop(found);
        crate::exec::wait_done(&process)?;
    }
}

fn may_access(target: &Task, fscreds: bool) -> bool {
    let (Some(own), Some(other)) = (process_of(&current()), process_of(target)) else { return false };
    if Arc::ptr_eq(&own, &other) {
        return true;
    }
    let (Ok(caller), Some(cred)) = (cred::current_cred(), cred::task_cred(target)) else { return false };
    let (uid, gid, caps) = match fscreds {
        true => (caller.fsuid, caller.fsgid, caller.cap_effective),
        false => (caller.uid, caller.gid, caller.cap_permitted),
    };
    let privileged = caller.capable(CAP_SYS_PTRACE);
    let same_user = [cred.euid, cred.suid, cred.uid].iter().all(|&id| id == uid)
        && [cred.egid, cred.sgid, cred.gid].iter().all(|&id| id == gid);
    // Who has more rights than the caller is not looked into.
    privileged || same_user && other.is_dumpable() && cred.cap_permitted.is_subset(caps)
}

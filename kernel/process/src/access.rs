// SPDX-License-Identifier: GPL-2.0
//! Who may look inside a process: `ptrace(2)`, "Ptrace access mode checking". Locks: none.

use crate::thread::process_of;
use cred::CAP_SYS_PTRACE;
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

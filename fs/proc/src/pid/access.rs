// SPDX-License-Identifier: GPL-2.0
//! Who may look inside a process: as `ptrace(2)` ("Ptrace access mode checking") has it, with the file-system credentials of
//! the caller. Locks: none.

use cred::CAP_SYS_PTRACE;
use kalloc::Arc;
use task::Task;

/// Whether the current task may look inside `target` (or change it: without security modules both are the same).
pub(super) fn may_access(target: &Task) -> bool {
    let current = task::current();
    let (Some(own), Some(other)) = (process::process_of(&current), process::process_of(target)) else {
        return false;
    };
    if Arc::ptr_eq(&own, &other) {
        return true;
    }
    let (Ok(caller), Some(cred)) = (cred::current_cred(), cred::task_cred(target)) else { return false };
    let privileged = caller.capable(CAP_SYS_PTRACE);
    let same_user = [cred.euid, cred.suid, cred.uid].iter().all(|&uid| uid == caller.fsuid)
        && [cred.egid, cred.sgid, cred.gid].iter().all(|&gid| gid == caller.fsgid);
    if !same_user && !privileged {
        return false;
    }
    if !other.is_dumpable() && !privileged {
        return false;
    }
    // Who has more rights than the caller is not looked into.
    cred.cap_permitted.is_subset(caller.cap_effective) || privileged
}

// SPDX-License-Identifier: GPL-2.0
//! What `execve` does to credentials: set-id bits, capabilities of files and of root, and when none of them count. Source: `execve(2)`,
//! `capabilities(7)` ("Transformation of capabilities during execve").

use crate::pid;
use crate::thread::{thread_of, with_thread};
use core::sync::atomic::Ordering;
use cred::{CapSet, Cred};
use errno::Result;
use errno::code::EPERM;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use vfs::File;
use vfs::filecaps::{self, FileCaps};
use vfs::perm::{MAY_EXEC, MAY_READ, inode_permission};

const SECBIT_NOROOT: u32 = 1;
const SECURE_KEEP_CAPS: u32 = 1 << 4;

/// The credentials the new program will have.
pub(super) struct NewCreds {
    cred: Arc<Cred>,
    /// `AT_SECURE`: the program runs with more than its caller had.
    pub(super) secure: bool,
    /// A layout of memory that its caller knows would be of use against it.
    pub(super) hides_layout: bool,
    /// Others of its user may look into it.
    pub(super) dumpable: bool,
}

impl NewCreds {
    /// Computes them from the caller's and the file's. `EPERM` for a program that must start with capabilities which it cannot have,
    /// `EINVAL` for one whose capabilities have no form.
    pub(super) fn for_file(file: &File) -> Result<Self> {
        let old = cred::current_cred()?;
        let mut new: Cred = (*old).clone();
        let honoured = vfs::tasks::may_suid(file);
        let mut hides_layout = honoured && !no_new_privs() && take_ids(file, &mut new);
        let caps = if honoured { filecaps::of(file.inode())? } else { None };
        let mut effective = give_file_caps(caps, &mut new)?;
        effective |= give_root_caps(&old, caps.is_some(), &mut new);

        let gained = !new.cap_permitted.is_subset(old.cap_permitted);
        hides_layout |= gained;
        let set_id = new.euid != old.uid || new.egid != old.gid;
        if (set_id || gained) && is_unsafe() {
            // No more than before, and perhaps less. Who may choose ids anyway gets them, unless it has forsworn that.
            if !old.capable(cred::CAP_SETUID) || no_new_privs() {
                (new.euid, new.egid) = (new.uid, new.gid);
            }
            new.cap_permitted = new.cap_permitted & old.cap_permitted;
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        if caps.is_some() || set_id {
            new.cap_ambient = CapSet::EMPTY;
        }
        new.cap_permitted = new.cap_permitted | new.cap_ambient;
        new.cap_effective = if effective { new.cap_permitted } else { new.cap_ambient };
        new.securebits &= !SECURE_KEEP_CAPS;
        let secure = set_id || new.uid != 0 && (effective || !new.cap_permitted.is_subset(new.cap_ambient));
        let dumpable = is_same(&old, &new) && is_readable(file);
        Ok(Self { cred: Arc::new(new, GFP_KERNEL)?, secure, hides_layout, dumpable })
    }

    /// Another file is part of the program: what its user may not read must not be read in memory either.
    pub(super) fn with_part(&mut self, file: &File) {
        self.dumpable &= is_readable(file);
    }

    /// Makes them the current task's.
    pub(super) fn commit(&self) -> Result {
        cred::commit(self.cred.clone())
    }

    /// The credentials.
    pub(super) fn cred(&self) -> &Cred {
        &self.cred
    }
}

fn no_new_privs() -> bool {
    with_thread(|thread| thread.no_new_privs.load(Ordering::Relaxed)).unwrap_or(false)
}

/// Takes the ids that set-id bits give; whether there is one. May sleep.
fn take_ids(file: &File, new: &mut Cred) -> bool {
    const SET_GID: u32 = uapi::S_ISGID | uapi::S_IXGRP;
    let sets = |mode: u32| (mode & uapi::S_ISUID != 0, mode & SET_GID == SET_GID);
    let inode = file.inode();
    if sets(inode.mode()) == (false, false) {
        return false;
    }
    // Mode and owner as they are together: a program that is given to somebody else loses its bits by that.
    let _stays = inode.lock.read();
    if inode_permission(inode, MAY_EXEC).is_err() {
        // It was another program when it was opened.
        return false;
    }
    let (user, group) = sets(inode.mode());
    if user {
        new.euid = inode.uid();
    }
    if group {
        new.egid = inode.gid();
    }
    user || group
}

/// What the file's capabilities give, nothing without them; whether it is effective.
fn give_file_caps(caps: Option<FileCaps>, new: &mut Cred) -> Result<bool> {
    let Some(caps) = caps else {
        new.cap_permitted = CapSet::EMPTY;
        return Ok(false);
    };
    new.cap_permitted = (new.cap_bset & caps.permitted) | (new.cap_inheritable & caps.inheritable);
    // Such a program does not know that it may have fewer.
    if caps.effective && !caps.permitted.is_subset(new.cap_permitted) { Err(EPERM) } else { Ok(caps.effective) }
}

/// Root gets all that the bounding set allows, whatever the file says, unless it becomes root by a file that says; whether that is
/// effective.
fn give_root_caps(old: &Cred, has_file_caps: bool, new: &mut Cred) -> bool {
    let becomes_root = new.euid == 0 && new.uid != 0;
    if new.securebits & SECBIT_NOROOT != 0 || has_file_caps && becomes_root || new.euid != 0 && new.uid != 0 {
        return false;
    }
    new.cap_permitted = old.cap_bset | old.cap_inheritable;
    new.euid == 0
}

/// Whether somebody who could not have the program's rights has a hand in it: a tracer, or another process that can change its
/// directories; or the task wants no new rights.
fn is_unsafe() -> bool {
    no_new_privs() || traced_by_unprivileged() || shares_directories()
}

fn traced_by_unprivileged() -> bool {
    with_thread(|thread| {
        let tracer = thread.tracer().and_then(|tracer| cred::task_cred(&tracer));
        tracer.is_some_and(|cred| !cred.capable(cred::CAP_SYS_PTRACE))
    })
    .unwrap_or(false)
}

/// Whether another process has root and working directory in common with this one (`CLONE_FS`). Looks at all tasks: programs that give
/// rights are few.
fn shares_directories() -> bool {
    let Ok(own) = vfs::fs_struct::current_fs() else { return false };
    let Some(process) = crate::current_process() else { return false };
    let mut from = 1;
    while let Some((tid, task)) = pid::next_thread(from) {
        from = tid.saturating_add(1);
        let foreign = thread_of(&task).is_some_and(|thread| !Arc::ptr_eq(thread.process(), &process));
        if foreign && vfs::fs_struct::task_fs(&task).is_some_and(|fs| Arc::ptr_eq(&fs, &own)) {
            return true;
        }
    }
    false
}

/// Whether the task is who it was, and was not two already.
fn is_same(old: &Cred, new: &Cred) -> bool {
    let ids = |cred: &Cred| [cred.euid, cred.egid, cred.fsuid, cred.fsgid];
    (old.euid, old.egid) == (old.uid, old.gid) && ids(old) == ids(new) && new.cap_permitted.is_subset(old.cap_permitted)
}

fn is_readable(file: &File) -> bool {
    inode_permission(file.inode(), MAY_READ).is_ok()
}

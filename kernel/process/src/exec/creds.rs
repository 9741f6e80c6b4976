// SPDX-License-Identifier: GPL-2.0
//! What `execve` does to credentials: set-id bits, and root's capabilities. Source: `execve(2)`, `capabilities(7)` ("Transformation
//! of capabilities during execve").

use cred::{CapSet, Cred};
use errno::Result;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use vfs::File;

const SECBIT_NOROOT: u32 = 1;
const SECURE_KEEP_CAPS: u32 = 1 << 4;

/// The credentials the new program will have.
pub(super) struct NewCreds {
    cred: Arc<Cred>,
    /// `AT_SECURE`: the program runs with more than its caller had.
    pub(super) secure: bool,
}

impl NewCreds {
    /// Computes them from the caller's and the file's mode.
    pub(super) fn for_file(file: &File) -> Result<Self> {
        let old = cred::current_cred()?;
        let mut new: Cred = (*old).clone();
        let inode = file.inode();
        let mode = inode.mode();
        if vfs::tasks::may_suid(file) && !no_new_privs() && !traced_by_unprivileged() {
            if mode & uapi::S_ISUID != 0 {
                new.euid = inode.uid();
            }
            let set_gid = uapi::S_ISGID | uapi::S_IXGRP;
            if mode & set_gid == set_gid {
                new.egid = inode.gid();
            }
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        gain_capabilities(&old, &mut new);
        new.securebits &= !SECURE_KEEP_CAPS;
        let raised = new.cap_permitted.0 & !(old.cap_permitted.0 | old.cap_ambient.0) != 0 && new.uid != 0;
        let secure = new.euid != old.uid || new.egid != old.gid || raised;
        Ok(Self { cred: Arc::new(new, GFP_KERNEL)?, secure })
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
    crate::thread::with_thread(|t| t.no_new_privs.load(core::sync::atomic::Ordering::Relaxed)).unwrap_or(false)
}

/// Whether a tracer watches that could not have these rights itself: the program gains none.
fn traced_by_unprivileged() -> bool {
    crate::thread::with_thread(|t| {
        t.tracer().and_then(|tracer| cred::task_cred(&tracer)).is_some_and(|cred| !cred.capable(cred::CAP_SYS_PTRACE))
    })
    .unwrap_or(false)
}

/// Without file capabilities: root gets all that the bounding set allows, others keep the ambient set.
fn gain_capabilities(old: &Cred, new: &mut Cred) {
    let root = new.securebits & SECBIT_NOROOT == 0 && (new.euid == 0 || new.uid == 0);
    if root {
        new.cap_permitted = CapSet(old.cap_inheritable.0 | old.cap_bset.0);
        new.cap_effective = if new.euid == 0 { new.cap_permitted } else { CapSet::EMPTY };
        new.cap_ambient = CapSet::EMPTY;
    } else {
        let set_id = new.euid != old.euid || new.egid != old.egid;
        if set_id {
            new.cap_ambient = CapSet::EMPTY;
        }
        new.cap_permitted = new.cap_ambient;
        new.cap_effective = new.cap_ambient;
    }
}

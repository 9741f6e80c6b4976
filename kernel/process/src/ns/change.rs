// SPDX-License-Identifier: GPL-2.0
//! Changing name spaces: `clone(2)`, `unshare(2)`, `setns(2)`. What may fail comes first, so that all of a call's name spaces change or
//! none. No locks.

use super::{NsProxy, NsType, time, types};
use crate::access::{look_inside, may_access_realcreds};
use crate::pidfd::process_of_file;
use crate::thread::{current_process, with_thread};
use errno::Result;
use errno::code::{EINVAL, EPERM, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use uapi::{
    CLONE_FILES, CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
    CLONE_NEWUSER, CLONE_NEWUTS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM,
};
use vfs::mnt_ns::MntNs;
use vfs::nsfs::{NsRef, of_file, typed};
use x86_cpu::regs::PtRegs;

/// The flags of all kinds that Linux has.
const KINDS: u32 = CLONE_NEWNS
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWCGROUP
    | CLONE_NEWTIME;

/// Whether `flags` name a kind that is not there.
fn names_absent(flags: u32) -> bool {
    let there = types().fold(CLONE_NEWNS, |there, kind| there | kind.kind().flag);
    flags & KINDS & !there != 0
}

/// Whether the current task may have the new name spaces that `flags` ask for. `EPERM`, `EINVAL`.
fn may_create(flags: u32) -> Result {
    if flags & KINDS == 0 {
        return Ok(());
    }
    if flags & CLONE_NEWUSER != 0 {
        // Asked before anything else; there are none.
        return Err(EINVAL);
    }
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    if names_absent(flags) { Err(EINVAL) } else { Ok(()) }
}

/// Whether a child may get the name spaces that `clone`'s flags ask for.
pub(crate) fn check_clone(flags: u64) -> Result {
    let flags = flags as u32;
    // A name space of mounts that others do not share comes with places that others do not share.
    if flags & CLONE_NEWNS != 0 && flags & CLONE_FS != 0 {
        return Err(EINVAL);
    }
    may_create(flags)?;
    // Adjustments of semaphores that the child cannot reach.
    if flags & CLONE_NEWIPC != 0 && flags & CLONE_SYSVSEM != 0 { Err(EINVAL) } else { Ok(()) }
}

/// The current task's proxy; `None` if it is in the first name spaces.
fn own_proxy() -> Option<Arc<NsProxy>> {
    with_thread(|thread| if thread.ns.is_null() { None } else { thread.ns.get() }).flatten()
}

/// A proxy with new name spaces of the kinds in `flags`, beside those of `old`.
fn with_new(flags: u32, old: Option<&NsProxy>) -> Result<NsProxy> {
    let mut proxy = old.cloned().unwrap_or_default();
    for kind in types().filter(|kind| flags & kind.kind().flag != 0) {
        kind.create(&mut proxy)?;
    }
    Ok(proxy)
}

/// Whether the current task has its children in another name space of process numbers than its own.
pub(crate) fn children_elsewhere() -> bool {
    let proxied = with_thread(|thread| !thread.ns.is_null()) == Some(true);
    proxied && super::for_children(own_proxy().as_deref()) != pid_namespace::here()
}

/// The name spaces of a child with the memory `mm` that the current task makes with `clone`'s flags, which were checked. May sleep.
pub(crate) fn for_child(flags: u64, mm: &mm::Mm) -> Result<Option<Arc<NsProxy>>> {
    let own = own_proxy();
    let shared = flags as u32 & (CLONE_THREAD | CLONE_VM) != 0;
    let flags = flags as u32 & KINDS & !CLONE_NEWNS;
    let differ = own.as_deref().is_some_and(time::children_differ);
    if differ && shared {
        // Its clocks would be other ones, in the same memory.
        return Err(EINVAL);
    }
    if flags == 0 && !differ {
        return Ok(own);
    }
    let mut proxy = with_new(flags, own.as_deref())?;
    if differ || flags & CLONE_NEWTIME != 0 {
        // A new one begins with the clocks of those who share the memory.
        time::enter_child(&mut proxy, (!shared).then_some(mm))?;
    }
    Ok(Some(Arc::new(proxy, GFP_KERNEL)?))
}

/// Makes `proxy` the current task's.
fn install(proxy: Arc<NsProxy>) {
    with_thread(|thread| thread.ns.replace(Some(proxy)));
}

/// `unshare(flags)`.
pub fn sys_unshare(regs: &PtRegs) -> Result<usize> {
    const KNOWN: u32 = CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_THREAD | CLONE_VM | KINDS;
    let mut flags = regs.arg0() as u32;
    if regs.arg0() as u64 >> 32 != 0 || flags & !KNOWN != 0 {
        return Err(EINVAL);
    }
    // Memory and signal handlers go with the thread group here: alone in it, they are the caller's own.
    let alone = current_process().is_some_and(|process| process.thread_count() == 1);
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) != 0 && !alone {
        return Err(EINVAL);
    }
    may_create(flags)?;
    if flags & CLONE_NEWNS != 0 {
        flags |= CLONE_FS;
    }
    if flags & CLONE_NEWIPC != 0 {
        // The semaphores cannot be reached any more.
        flags |= CLONE_SYSVSEM;
    }
    // All that may fail before anything changes.
    let files = if flags & CLONE_FILES != 0 { Some(vfs::unshare_files()?) } else { None };
    let proxied = flags & KINDS & !CLONE_NEWNS;
    let proxy =
        if proxied != 0 { Some(Arc::new(with_new(proxied, own_proxy().as_deref())?, GFP_KERNEL)?) } else { None };
    let fs = match flags & (CLONE_FS | CLONE_NEWNS) {
        0 => None,
        CLONE_FS => Some(vfs::unshare_fs()?),
        _ => Some(vfs::tasks::unshare_ns()?),
    };
    if let Some(files) = files {
        files.install();
    }
    if let Some(fs) = fs {
        fs.install();
    }
    crate::hooks::unshare(&task::current(), flags);
    if let Some(proxy) = proxy {
        install(proxy);
    }
    Ok(0)
}

/// What `setns` is about to do.
struct Entry {
    mounts: Option<Arc<MntNs>>,
    proxy: NsProxy,
    kinds: KVec<&'static dyn NsType>,
}

impl Entry {
    fn new() -> Self {
        let proxy = own_proxy().map_or_else(NsProxy::default, |proxy| (*proxy).clone());
        Self { mounts: None, proxy, kinds: KVec::new() }
    }

    /// Prepares entering `ns`. `EPERM`, and what its kind says.
    fn add(&mut self, ns: &NsRef) -> Result {
        let flag = ns.kind().flag;
        if flag == CLONE_NEWNS {
            vfs::mnt_ns::may_enter()?;
            self.mounts = Some(typed(ns.clone()).ok_or(EINVAL)?);
            return Ok(());
        }
        let kind = types().find(|kind| kind.kind().flag == flag).ok_or(EINVAL)?;
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        kind.enter(ns, &mut self.proxy)?;
        Ok(self.kinds.push(kind, GFP_KERNEL)?)
    }

    fn commit(self, flags: u32) -> Result {
        // Who shares his places cannot go elsewhere alone; with other kinds they all go, as on Linux.
        if flags == CLONE_NEWNS && vfs::tasks::shares_places()? {
            return Err(EINVAL);
        }
        let proxy = if self.kinds.is_empty() { None } else { Some(Arc::new(self.proxy, GFP_KERNEL)?) };
        if let Some(mounts) = self.mounts {
            vfs::mnt_ns::enter(mounts)?;
        }
        if flags & CLONE_NEWIPC != 0 {
            crate::hooks::unshare(&task::current(), CLONE_SYSVSEM);
        }
        if let Some(proxy) = proxy {
            install(proxy.clone());
            self.kinds.iter().for_each(|kind| kind.entered(&proxy));
        }
        Ok(())
    }
}

/// The name spaces of the process behind a pidfd, of the kinds in `flags`. `ESRCH` if it has ended, `EPERM` for who may not look inside.
fn spaces_of(process: &crate::Process, flags: u32) -> Result<KVec<NsRef>> {
    let task = process.leader().ok_or(ESRCH)?;
    let get = || -> Result<KVec<NsRef>> {
        let mut spaces = KVec::new();
        if flags & CLONE_NEWNS != 0 {
            let mounts: NsRef = vfs::fs_struct::task_fs(&task).and_then(|fs| fs.ns()).ok_or(ESRCH)?;
            spaces.push(mounts, GFP_KERNEL)?;
        }
        for kind in types().filter(|kind| flags & kind.kind().flag != 0) {
            spaces.push(kind.of(&task).ok_or(ESRCH)?, GFP_KERNEL)?;
        }
        Ok(spaces)
    };
    look_inside(&task, may_access_realcreds, get)?.ok_or(EPERM)?
}

/// `setns(fd, kinds)`: `fd` stands for a name space, or for a process whose name spaces of all those kinds are entered.
pub fn sys_setns(regs: &PtRegs) -> Result<usize> {
    let file = vfs::fdget(regs.arg0())?;
    let flags = regs.arg1() as u32;
    let mut entry = Entry::new();
    if let Some(ns) = of_file(&file) {
        let flag = ns.kind().flag;
        if flags != 0 && flags != flag {
            return Err(EINVAL);
        }
        entry.add(ns)?;
        entry.commit(flag)?;
        return Ok(0);
    }
    let process = process_of_file(&file).map_err(|_| EINVAL)?;
    if flags & KINDS == 0 || flags & !KINDS != 0 || names_absent(flags) {
        return Err(EINVAL);
    }
    for ns in &spaces_of(&process, flags)? {
        entry.add(ns)?;
    }
    entry.commit(flags)?;
    Ok(0)
}

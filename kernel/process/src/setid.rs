// SPDX-License-Identifier: GPL-2.0
//! Changing credentials: the `setuid(2)` family, groups, capabilities. Source: `credentials(7)`, `capabilities(7)`,
//! `capget(2)`. Each call makes a new `Cred` and commits it.

use crate::coredump::SUID_DUMPABLE;
use crate::pid;
use crate::user::{read_user, write_user};
use core::sync::atomic::Ordering;
use cred::{CapSet, Cred, GroupInfo, current_cred};
use errno::Result;
use errno::code::{EFAULT, EINVAL, EPERM, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use x86_cpu::regs::PtRegs;

/// "Leave as it is".
const KEEP: u32 = u32::MAX;

/// Commits new user ids; files are seen as the effective one, whatever `setfsuid` said before.
fn commit_uid(old: &Cred, mut new: Cred) -> Result<usize> {
    new.fsuid = new.euid;
    fix_capabilities(old, &mut new);
    let user = crate::nproc::Move::prepare(old.uid, new.uid)?;
    change(old, new)?;
    user.commit();
    Ok(0)
}

/// Commits new group ids; see [`commit_uid`].
fn commit_gid(old: &Cred, mut new: Cred) -> Result<usize> {
    new.fsgid = new.egid;
    change(old, new).map(|()| 0)
}

/// Gives the process another identity: what it has in memory is no longer anybody's to see, and its parent's end no matter.
fn change(old: &Cred, new: Cred) -> Result {
    let other = [old.euid, old.egid, old.fsuid, old.fsgid] != [new.euid, new.egid, new.fsuid, new.fsgid]
        || !new.cap_permitted.is_subset(old.cap_permitted);
    let new = Arc::new(new, GFP_KERNEL)?;
    if other {
        // First: nobody is to look into it with rights that were enough for what it was.
        let task = task::current();
        if let Some(process) = crate::current_process() {
            process.dumpable.store(SUID_DUMPABLE.load(Ordering::Relaxed), Ordering::SeqCst);
        }
        if let Some(thread) = crate::thread_of(&task) {
            thread.parent_death_signal.store(0, Ordering::Relaxed);
        }
    }
    cred::commit(new)
}

const SECURE_NO_SETUID_FIXUP: u32 = 1 << 2;
const SECURE_KEEP_CAPS: u32 = 1 << 4;

/// What leaving or taking user id 0 does to capabilities.
fn fix_capabilities(old: &Cred, new: &mut Cred) {
    if new.securebits & SECURE_NO_SETUID_FIXUP != 0 {
        return;
    }
    let had_root = [old.uid, old.euid, old.suid].contains(&0);
    let has_root = [new.uid, new.euid, new.suid].contains(&0);
    if had_root && !has_root {
        if new.securebits & SECURE_KEEP_CAPS == 0 {
            new.cap_permitted = CapSet::EMPTY;
            new.cap_effective = CapSet::EMPTY;
        }
        new.cap_ambient = CapSet::EMPTY;
    }
    if old.euid == 0 && new.euid != 0 {
        new.cap_effective = CapSet::EMPTY;
    }
    if old.euid != 0 && new.euid == 0 {
        new.cap_effective = new.cap_permitted;
    }
}

/// `getuid(2)`.
pub fn sys_getuid(_: &PtRegs) -> Result<usize> {
    Ok(current_cred()?.uid as usize)
}

/// `geteuid(2)`.
pub fn sys_geteuid(_: &PtRegs) -> Result<usize> {
    Ok(current_cred()?.euid as usize)
}

/// `getgid(2)`.
pub fn sys_getgid(_: &PtRegs) -> Result<usize> {
    Ok(current_cred()?.gid as usize)
}

/// `getegid(2)`.
pub fn sys_getegid(_: &PtRegs) -> Result<usize> {
    Ok(current_cred()?.egid as usize)
}

fn copy_of(cred: &Cred) -> Cred {
    cred.clone()
}

/// `setuid(2)`.
pub fn sys_setuid(regs: &PtRegs) -> Result<usize> {
    let uid = regs.arg0() as u32;
    if uid == KEEP {
        return Err(EINVAL);
    }
    let old = current_cred()?;
    let mut new = copy_of(&old);
    if old.capable(cred::CAP_SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(EPERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    commit_uid(&old, new)
}

/// `setgid(2)`.
pub fn sys_setgid(regs: &PtRegs) -> Result<usize> {
    let gid = regs.arg0() as u32;
    if gid == KEEP {
        return Err(EINVAL);
    }
    let old = current_cred()?;
    let mut new = copy_of(&old);
    if old.capable(cred::CAP_SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(EPERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    commit_gid(&old, new)
}

/// `setreuid(2)`.
pub fn sys_setreuid(regs: &PtRegs) -> Result<usize> {
    let (ruid, euid) = (regs.arg0() as u32, regs.arg1() as u32);
    let old = current_cred()?;
    let mut new = copy_of(&old);
    let privileged = old.capable(cred::CAP_SETUID);
    if ruid != KEEP {
        if !privileged && ![old.uid, old.euid].contains(&ruid) {
            return Err(EPERM);
        }
        new.uid = ruid;
    }
    if euid != KEEP {
        if !privileged && ![old.uid, old.euid, old.suid].contains(&euid) {
            return Err(EPERM);
        }
        new.euid = euid;
    }
    if ruid != KEEP || (euid != KEEP && euid != old.uid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit_uid(&old, new)
}

/// `setregid(2)`.
pub fn sys_setregid(regs: &PtRegs) -> Result<usize> {
    let (rgid, egid) = (regs.arg0() as u32, regs.arg1() as u32);
    let old = current_cred()?;
    let mut new = copy_of(&old);
    let privileged = old.capable(cred::CAP_SETGID);
    if rgid != KEEP {
        if !privileged && ![old.gid, old.egid].contains(&rgid) {
            return Err(EPERM);
        }
        new.gid = rgid;
    }
    if egid != KEEP {
        if !privileged && ![old.gid, old.egid, old.sgid].contains(&egid) {
            return Err(EPERM);
        }
        new.egid = egid;
    }
    if rgid != KEEP || (egid != KEEP && egid != old.gid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    commit_gid(&old, new)
}

/// `setresuid(2)`.
pub fn sys_setresuid(regs: &PtRegs) -> Result<usize> {
    let wanted = [regs.arg0() as u32, regs.arg1() as u32, regs.arg2() as u32];
    let old = current_cred()?;
    let [ruid, euid, suid] = wanted;
    let same = |id: u32, now: u32| id == KEEP || id == now;
    if same(ruid, old.uid) && same(euid, old.euid) && same(euid, old.fsuid) && same(suid, old.suid) {
        // Nothing changes, and files are seen as before.
        return Ok(0);
    }
    let allowed = [old.uid, old.euid, old.suid];
    if !old.capable(cred::CAP_SETUID) && wanted.iter().any(|id| *id != KEEP && !allowed.contains(id)) {
        return Err(EPERM);
    }
    let pick = |id: u32, now: u32| if id == KEEP { now } else { id };
    let mut new = copy_of(&old);
    (new.uid, new.euid, new.suid) = (pick(ruid, old.uid), pick(euid, old.euid), pick(suid, old.suid));
    new.fsuid = new.euid;
    commit_uid(&old, new)
}

/// `setresgid(2)`.
pub fn sys_setresgid(regs: &PtRegs) -> Result<usize> {
    let wanted = [regs.arg0() as u32, regs.arg1() as u32, regs.arg2() as u32];
    let old = current_cred()?;
    let [rgid, egid, sgid] = wanted;
    let same = |id: u32, now: u32| id == KEEP || id == now;
    if same(rgid, old.gid) && same(egid, old.egid) && same(egid, old.fsgid) && same(sgid, old.sgid) {
        // Nothing changes, and files are seen as before.
        return Ok(0);
    }
    let allowed = [old.gid, old.egid, old.sgid];
    if !old.capable(cred::CAP_SETGID) && wanted.iter().any(|id| *id != KEEP && !allowed.contains(id)) {
        return Err(EPERM);
    }
    let pick = |id: u32, now: u32| if id == KEEP { now } else { id };
    let mut new = copy_of(&old);
    (new.gid, new.egid, new.sgid) = (pick(rgid, old.gid), pick(egid, old.egid), pick(sgid, old.sgid));
    new.fsgid = new.egid;
    commit_gid(&old, new)
}

fn write_three(regs: &PtRegs, values: [u32; 3]) -> Result<usize> {
    let [a, b, c] = values;
    write_user(regs.arg0(), &a)?;
    write_user(regs.arg1(), &b)?;
    write_user(regs.arg2(), &c)?;
    Ok(0)
}

/// `getresuid(2)`.
pub fn sys_getresuid(regs: &PtRegs) -> Result<usize> {
    let cred = current_cred()?;
    write_three(regs, [cred.uid, cred.euid, cred.suid])
}

/// `getresgid(2)`.
pub fn sys_getresgid(regs: &PtRegs) -> Result<usize> {
    let cred = current_cred()?;
    write_three(regs, [cred.gid, cred.egid, cred.sgid])
}

/// `setfsuid(2)`: returns the id from before, whether or not it changed it.
pub fn sys_setfsuid(regs: &PtRegs) -> Result<usize> {
    let uid = regs.arg0() as u32;
    let old = current_cred()?;
    let known = [old.uid, old.euid, old.suid, old.fsuid].contains(&uid);
    if uid != KEEP && uid != old.fsuid && (known || old.capable(cred::CAP_SETUID)) {
        let mut new = copy_of(&old);
        new.fsuid = uid;
        if new.securebits & SECURE_NO_SETUID_FIXUP == 0 {
            let files = CapSet::FS.0;
            if old.fsuid == 0 {
                new.cap_effective = CapSet(new.cap_effective.0 & !files);
            } else if uid == 0 {
                new.cap_effective = CapSet(new.cap_effective.0 | (new.cap_permitted.0 & files));
            }
        }
        change(&old, new)?;
    }
    Ok(old.fsuid as usize)
}

/// `setfsgid(2)`: returns the id from before, whether or not it changed it.
pub fn sys_setfsgid(regs: &PtRegs) -> Result<usize> {
    let gid = regs.arg0() as u32;
    let old = current_cred()?;
    let known = [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid);
    if gid != KEEP && gid != old.fsgid && (known || old.capable(cred::CAP_SETGID)) {
        let mut new = copy_of(&old);
        new.fsgid = gid;
        change(&old, new)?;
    }
    Ok(old.fsgid as usize)
}

/// Most supplementary groups (`NGROUPS_MAX`).
const NGROUPS_MAX: usize = 65536;

/// `getgroups(2)`.
pub fn sys_getgroups(regs: &PtRegs) -> Result<usize> {
    let (size, address) = (regs.arg0() as i32, regs.arg1());
    let size = usize::try_from(size).map_err(|_| EINVAL)?;
    let cred = current_cred()?;
    let groups: &[u32] = cred.groups.as_ref().map_or(&[], |g| g.gids());
    if size == 0 {
        return Ok(groups.len());
    }
    if groups.len() > size {
        return Err(EINVAL);
    }
    crate::user::copy_to_user(address, zerocopy::IntoBytes::as_bytes(groups))?;
    Ok(groups.len())
}

/// `setgroups(2)`.
pub fn sys_setgroups(regs: &PtRegs) -> Result<usize> {
    let old = current_cred()?;
    if !old.capable(cred::CAP_SETGID) {
        return Err(EPERM);
    }
    let count = usize::try_from(regs.arg0() as i32).map_err(|_| EINVAL)?;
    if count > NGROUPS_MAX {
        return Err(EINVAL);
    }
    let mut list = KVec::with_capacity(count, GFP_KERNEL)?;
    for i in 0..count {
        let address = regs.arg1().checked_add(i * 4).ok_or(EFAULT)?;
        list.push(read_user::<u32>(address)?, GFP_KERNEL)?;
    }
    let mut new = copy_of(&old);
    new.groups = if count == 0 { None } else { Some(GroupInfo::new(list)?) };
    cred::commit(Arc::new(new, GFP_KERNEL)?)?;
    Ok(0)
}

const CAPABILITY_VERSION_1: u32 = 0x1998_0330;
const CAPABILITY_VERSION_2: u32 = 0x2007_1026;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Reads the header of `capget`/`capset`: number of 32-bit words a set has, and the process. Writes the preferred version back
/// for unknown ones.
fn capability_header(address: usize) -> Result<(usize, i32)> {
    let [version, pid]: [u32; 2] = read_user(address)?;
    let words = match version {
        CAPABILITY_VERSION_1 => 1,
        CAPABILITY_VERSION_2 | CAPABILITY_VERSION_3 => 2,
        _ => {
            write_user(address, &CAPABILITY_VERSION_3)?;
            return Err(EINVAL);
        }
    };
    Ok((words, pid as i32))
}

/// `capget(2)`.
pub fn sys_capget(regs: &PtRegs) -> Result<usize> {
    let (words, pid) = match capability_header(regs.arg0()) {
        // A null data pointer only asks for the version.
        Err(EINVAL) if regs.arg1() == 0 => return Ok(0),
        other => other?,
    };
    let cred = match u32::try_from(pid).map_err(|_| EINVAL)? {
        0 => current_cred()?,
        pid => cred::task_cred(&*pid::find_thread_here(pid).ok_or(ESRCH)?).ok_or(ESRCH)?,
    };
    if regs.arg1() == 0 {
        return Ok(0);
    }
    for word in 0..words {
        let part = |set: CapSet| (set.0 >> (32 * word)) as u32;
        let triple = [part(cred.cap_effective), part(cred.cap_permitted), part(cred.cap_inheritable)];
        write_user(regs.arg1().checked_add(word * 12).ok_or(EFAULT)?, &triple)?;
    }
    Ok(0)
}

/// `capset(2)`.
pub fn sys_capset(regs: &PtRegs) -> Result<usize> {
    let (words, pid) = capability_header(regs.arg0())?;
    if pid != 0 && pid != task::current().own_tid().cast_signed() {
        return Err(EPERM);
    }
    let (mut effective, mut permitted, mut inheritable) = (0u64, 0u64, 0u64);
    for word in 0..words {
        let [e, p, i]: [u32; 3] = read_user(regs.arg1().checked_add(word * 12).ok_or(EFAULT)?)?;
        effective |= u64::from(e) << (32 * word);
        permitted |= u64::from(p) << (32 * word);
        inheritable |= u64::from(i) << (32 * word);
    }
    let all = CapSet::FULL.0;
    let (effective, permitted, inheritable) = (effective & all, permitted & all, inheritable & all);
    let old = current_cred()?;
    let inherit_limit = match old.capable(cred::CAP_SETPCAP) {
        true => u64::MAX,
        false => old.cap_inheritable.0 | old.cap_permitted.0,
    };
    let fits = inheritable & !inherit_limit == 0
        && inheritable & !(old.cap_inheritable.0 | old.cap_bset.0) == 0
        && permitted & !old.cap_permitted.0 == 0
        && effective & !permitted == 0;
    if !fits {
        return Err(EPERM);
    }
    let mut new = copy_of(&old);
    new.cap_effective = CapSet(effective);
    new.cap_permitted = CapSet(permitted);
    new.cap_inheritable = CapSet(inheritable);
    new.cap_ambient = CapSet(old.cap_ambient.0 & permitted & inheritable);
    cred::commit(Arc::new(new, GFP_KERNEL)?)?;
    Ok(0)
}

/// Lowest bits of the pairs of `securebits(7)`: the settings; the bit above each locks it.
const SECURE_ALL_BITS: u32 = 0x55;
const SECURE_ALL_LOCKS: u32 = SECURE_ALL_BITS << 1;
const SECURE_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;

/// `prctl(PR_SET_SECUREBITS)`.
pub(crate) fn set_securebits(wanted: usize) -> Result<usize> {
    let old = current_cred()?;
    let bits = u32::try_from(wanted).map_err(|_| EPERM)?;
    let locked = (old.securebits & SECURE_ALL_LOCKS) >> 1;
    let refused = locked & (old.securebits ^ bits) != 0
        || old.securebits & SECURE_ALL_LOCKS & !bits != 0
        || bits & !(SECURE_ALL_LOCKS | SECURE_ALL_BITS) != 0
        || !old.capable(cred::CAP_SETPCAP);
    if refused {
        return Err(EPERM);
    }
    let mut new = copy_of(&old);
    new.securebits = bits;
    cred::commit(Arc::new(new, GFP_KERNEL)?)?;
    Ok(0)
}

/// `prctl(PR_CAP_AMBIENT)`: capabilities that a program without file capabilities keeps.
pub(crate) fn prctl_ambient(regs: &PtRegs) -> Result<usize> {
    let (what, number) = (regs.arg1() as u32, regs.arg2());
    let old = current_cred()?;
    if regs.arg3() != 0 || regs.arg4() != 0 {
        return Err(EINVAL);
    }
    let mut new = copy_of(&old);
    if what == uapi::PR_CAP_AMBIENT_CLEAR_ALL {
        if number != 0 {
            return Err(EINVAL);
        }
        new.cap_ambient = CapSet::EMPTY;
    } else {
        let cap = u32::try_from(number).ok().and_then(cred::Cap::from_number).ok_or(EINVAL)?;
        match what {
            uapi::PR_CAP_AMBIENT_IS_SET => return Ok(usize::from(old.cap_ambient.has(cap))),
            uapi::PR_CAP_AMBIENT_RAISE => {
                let held = old.cap_permitted.has(cap) && old.cap_inheritable.has(cap);
                if !held || old.securebits & SECURE_NO_CAP_AMBIENT_RAISE != 0 {
                    return Err(EPERM);
                }
                new.cap_ambient = old.cap_ambient.with(cap);
            }
            uapi::PR_CAP_AMBIENT_LOWER => new.cap_ambient = old.cap_ambient.without(cap),
            _ => return Err(EINVAL),
        }
    }
    cred::commit(Arc::new(new, GFP_KERNEL)?)?;
    Ok(0)
}

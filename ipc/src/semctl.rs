// SPDX-License-Identifier: GPL-2.0
//! `semctl(2)`, and the lines of `/proc/sysvipc/sem`.

use crate::ids::{READ, WRITE, now, pid};
use crate::ns::{self, Ns};
use crate::sem::Set;
use crate::sem_ops::SEMVMX;
use crate::user::{self, Record};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EIDRM, EINVAL, ERANGE};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use vfs::{SeqBuf, seq_print};
use x86_cpu::regs::PtRegs;
use zerocopy::IntoBytes;

/// Bytes of an undo structure, as `IPC_INFO` has always said.
const SEMUSZ: i32 = 20;

impl Set {
    /// Its line in `/proc/sysvipc/sem`.
    pub(crate) fn show(&self, out: &mut SeqBuf) -> Result {
        let perm = self.header.perm();
        let (op_time, change_time) = self.times();
        seq_print!(out, "{:10} {:10}  {:4o} {:10} ", perm.key, self.header.id(), perm.mode, self.count)?;
        seq_print!(out, "{:5} {:5} {:5} {:5} ", perm.uid, perm.gid, perm.cuid, perm.cgid)?;
        seq_print!(out, "{op_time:10} {change_time:10}\n")
    }

    fn times(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.op_time, state.change_time)
    }

    fn stat(&self, address: usize) -> Result {
        let (op_time, change_time) = self.times();
        let mut record = Record::<{ size_of::<uapi::semid64_ds>() }>::new();
        self.header.fill(&mut record, 0);
        record.u64(48, op_time);
        record.u64(64, change_time);
        record.u64(80, self.count as u64);
        record.to_user(address)
    }

    fn set_value(&self, num: i32, value: i32) -> Result<usize> {
        let index = usize::try_from(num).ok().filter(|num| *num < self.count).ok_or(EINVAL)?;
        self.header.check(WRITE)?;
        let mut state = self.state.lock();
        if self.header.is_removed() {
            return Err(EIDRM);
        }
        state.clear_adjustments(Some(index));
        if let Some(semaphore) = state.semaphores.get_mut(index) {
            (semaphore.value, semaphore.pid) = (value, pid());
        }
        state.change_time = now();
        if state.wake() {
            state.op_time = now();
        }
        Ok(0)
    }

    fn values_to(&self, address: usize) -> Result<usize> {
        let mut values: KVec<u16> = KVec::with_capacity(self.count, GFP_KERNEL)?;
        {
            let state = self.state.lock();
            if self.header.is_removed() {
                return Err(EIDRM);
            }
            for semaphore in &state.semaphores {
                // There is room for all.
                let _ = values.push_within_capacity(semaphore.value as u16);
            }
        }
        user::copy_to_user(address, values.as_bytes()).map(|()| 0)
    }

    fn values_from(&self, address: usize) -> Result<usize> {
        let mut values = KVec::from_elem(0u16, self.count, GFP_KERNEL)?;
        user::copy_from_user(values.as_mut_bytes(), address)?;
        if values.iter().any(|value| i32::from(*value) > SEMVMX) {
            return Err(ERANGE);
        }
        let pid = pid();
        let mut state = self.state.lock();
        if self.header.is_removed() {
            return Err(EIDRM);
        }
        for (semaphore, value) in state.semaphores.iter_mut().zip(&values) {
            (semaphore.value, semaphore.pid) = (i32::from(*value), pid.clone());
        }
        state.clear_adjustments(None);
        state.change_time = now();
        if state.wake() {
            state.op_time = now();
        }
        Ok(0)
    }

    /// What `GETVAL` and its kin say of one semaphore.
    fn query(&self, num: i32, command: u32) -> Result<usize> {
        let num = u16::try_from(num).ok().filter(|num| usize::from(*num) < self.count).ok_or(EINVAL)?;
        let state = self.state.lock();
        if self.header.is_removed() {
            return Err(EIDRM);
        }
        let semaphore = state.semaphores.get(usize::from(num)).ok_or(EINVAL)?;
        match command {
            uapi::GETVAL => Ok(semaphore.value as usize),
            uapi::GETPID => Ok(semaphore.pid.here() as usize),
            _ => Ok(state.waiting(num, command == uapi::GETZCNT)),
        }
    }
}

/// `semctl(id, number, command, argument)`.
pub fn sys_semctl(regs: &PtRegs) -> Result<usize> {
    let (id, num, command, argument) = (regs.arg0() as i32, regs.arg1() as i32, regs.arg2() as u32, regs.arg3());
    if id < 0 {
        return Err(EINVAL);
    }
    let ns = ns::current()?;
    match command {
        uapi::IPC_INFO | uapi::SEM_INFO => info_to(&ns, argument, command == uapi::SEM_INFO),
        uapi::SEM_STAT | uapi::SEM_STAT_ANY => {
            let set = ns.sets.at(id)?;
            if command == uapi::SEM_STAT {
                set.header.check(READ)?;
            }
            set.stat(argument)?;
            Ok(set.header.id() as usize)
        }
        uapi::IPC_STAT => {
            let set = ns.sets.find(id)?;
            set.header.check(READ)?;
            set.stat(argument).map(|()| 0)
        }
        uapi::GETALL | uapi::GETVAL | uapi::GETPID | uapi::GETNCNT | uapi::GETZCNT => {
            let set = ns.sets.find(id)?;
            set.header.check(READ)?;
            if command == uapi::GETALL { set.values_to(argument) } else { set.query(num, command) }
        }
        uapi::SETALL => {
            let set = ns.sets.find(id)?;
            set.header.check(WRITE)?;
            set.values_from(argument)
        }
        uapi::SETVAL => {
            // The low half, as the caller passed an `int`.
            let value = argument as i32;
            if !(0..=SEMVMX).contains(&value) {
                return Err(ERANGE);
            }
            ns.sets.find(id)?.set_value(num, value)
        }
        uapi::IPC_SET => {
            let new: [u32; 6] = user::read(argument)?;
            let set = ns.sets.find(id)?;
            set.header.check_owner()?;
            set.header.set(new)?;
            set.state.lock().change_time = now();
            Ok(0)
        }
        uapi::IPC_RMID => {
            let set = ns.sets.find(id)?;
            set.header.check_owner()?;
            set.remove(&ns).map(|()| 0)
        }
        _ => Err(EINVAL),
    }
}

fn info_to(ns: &Ns, address: usize, usage: bool) -> Result<usize> {
    let [msl, mns, opm, mni] = ns.limits.sem().map(u32::cast_signed);
    let used = i32::try_from(ns.counts.semaphores.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
    let most = uapi::SEMMNS.cast_signed();
    let info = uapi::seminfo {
        semmap: most,
        semmni: mni,
        semmns: mns,
        semmnu: most,
        semmsl: msl,
        semopm: opm,
        semume: uapi::SEMOPM.cast_signed(),
        semusz: if usage { ns.sets.count().cast_signed() } else { SEMUSZ },
        semvmx: SEMVMX,
        semaem: if usage { used } else { SEMVMX },
    };
    user::copy_to_user(address, uapi::AsBytes::as_bytes(&info))?;
    Ok(ns.sets.highest())
}

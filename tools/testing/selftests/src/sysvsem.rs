// SPDX-License-Identifier: GPL-2.0
//! System V semaphores.

use crate::sysvipc::{Ds, INFO, RMID, SET, STAT, as_user, fresh_key, half, set_half};
use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("sysv.sem_values", values),
    ("sysv.sem_all_or_nothing", all_or_nothing),
    ("sysv.sem_waits", waits),
    ("sysv.sem_order", order),
    ("sysv.sem_zero", zero),
    ("sysv.sem_timeout", timeout),
    ("sysv.sem_signal", signal),
    ("sysv.sem_removed", removed),
    ("sysv.sem_undo", undo),
    ("sysv.sem_undo_shared", undo_shared),
    ("sysv.sem_undo_cleared", undo_cleared),
    ("sysv.sem_errors", errors),
    ("sysv.sem_control", control),
    ("sysv.sem_ping_pong", ping_pong),
];

const NOWAIT: i16 = 0o4000;
const UNDO: i16 = 0x1000;
const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;

/// Number, change, flags.
type Op = (u16, i16, i16);

fn semget(key: i32, count: i32, flags: i32) -> i64 {
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_semget, key, count, flags) }
}

fn semctl(id: i64, num: i32, command: i32, argument: usize) -> i64 {
    // SAFETY: the argument is a number, or the address of a live object of the caller's that is large enough.
    unsafe { libc::syscall(libc::SYS_semctl, id, num, command, argument) }
}

fn semtimedop(id: i64, ops: &[Op], timeout: Option<[i64; 2]>) -> i64 {
    let raw: Vec<[u16; 3]> = ops.iter().map(|(n, c, f)| [*n, *c as u16, *f as u16]).collect();
    let timeout = timeout.as_ref().map_or(core::ptr::null(), |t| t.as_ptr());
    // SAFETY: live arrays.
    unsafe { libc::syscall(libc::SYS_semtimedop, id, raw.as_ptr(), raw.len(), timeout) }
}

fn semop(id: i64, ops: &[Op]) -> i64 {
    semtimedop(id, ops, None)
}

fn value(id: i64, num: i32) -> i64 {
    semctl(id, num, GETVAL, 0)
}

fn set(count: i32) -> Result<i64, String> {
    Ok(c!(semget(0, count, 0o600)))
}

fn ds(id: i64) -> Result<Ds, String> {
    let mut ds: Ds = [0; 16];
    c!(semctl(id, 0, STAT, ds.as_mut_ptr() as usize));
    Ok(ds)
}

fn values() -> Outcome {
    let id = set(3)?;
    eq!((value(id, 0), semctl(id, 0, GETPID, 0)), (0, 0));
    c!(semctl(id, 1, SETVAL, 5));
    eq!((value(id, 1), semctl(id, 1, GETPID, 0)), (5, i64::from(std::process::id())));
    c!(semop(id, &[(0, 2, 0), (1, -4, 0)]));
    let mut all = [0u16; 3];
    c!(semctl(id, 0, GETALL, all.as_mut_ptr() as usize));
    eq!(all, [2, 1, 0]);
    let new = [7u16, 8, 9];
    c!(semctl(id, 0, SETALL, new.as_ptr() as usize));
    eq!((value(id, 0), value(id, 2)), (7, 9));
    let ds = ds(id)?;
    eq!(ds[10], 3);
    ck!(ds[6] > 1_000_000_000 && ds[8] > 1_000_000_000);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn all_or_nothing() -> Outcome {
    let id = set(2)?;
    c!(semctl(id, 0, SETVAL, 3));
    fails!(semop(id, &[(0, -2, 0), (1, -1, NOWAIT)]), libc::EAGAIN);
    eq!((value(id, 0), value(id, 1)), (3, 0));
    // In order, and one semaphore more than once.
    c!(semop(id, &[(1, 1, 0), (1, -1, 0), (1, 0, 0), (0, -3, 0), (0, 0, 0)]));
    eq!(value(id, 0), 0);
    fails!(semop(id, &[(0, 0, NOWAIT), (0, 1, 0), (0, 0, NOWAIT)]), libc::EAGAIN);
    eq!(value(id, 0), 0);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn waits() -> Outcome {
    let id = set(1)?;
    let pid = child(|| i32::from(semop(id, &[(0, -2, 0)]) != 0))?;
    until("one waits", || semctl(id, 0, GETNCNT, 0) == 1)?;
    c!(semop(id, &[(0, 1, 0)]));
    eq!((semctl(id, 0, GETNCNT, 0), value(id, 0)), (1, 1));
    c!(semop(id, &[(0, 1, 0)]));
    eq!(exit_of(pid)?, 0);
    eq!((value(id, 0), semctl(id, 0, GETPID, 0)), (0, i64::from(pid)));
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn order() -> Outcome {
    // Who came first goes first if both can.
    let id = set(1)?;
    let (r, w) = pipe()?;
    let mut pids = Vec::new();
    for n in 0..4u8 {
        pids.push(child(|| {
            let done = semop(id, &[(0, -1, 0)]) == 0 && write(w, &[n]) == Ok(1);
            i32::from(!done)
        })?);
        until("it waits", || semctl(id, 0, GETNCNT, 0) == i64::from(n) + 1)?;
    }
    for n in 0..4u8 {
        c!(semop(id, &[(0, 1, 0)]));
        eq!(read(r, 1)?, vec![n]);
    }
    for pid in pids {
        eq!(exit_of(pid)?, 0);
    }
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn zero() -> Outcome {
    let id = set(1)?;
    c!(semctl(id, 0, SETVAL, 2));
    let pid = child(|| i32::from(semop(id, &[(0, 0, 0)]) != 0))?;
    until("one waits", || semctl(id, 0, GETZCNT, 0) == 1)?;
    eq!(semctl(id, 0, GETNCNT, 0), 0);
    c!(semctl(id, 0, SETVAL, 0));
    eq!(exit_of(pid)?, 0);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn timeout() -> Outcome {
    let id = set(1)?;
    let start = now_ms();
    fails!(semtimedop(id, &[(0, -1, 0)], Some([0, 60_000_000])), libc::EAGAIN);
    ck!((55..15_000).contains(&(now_ms() - start)), "{} ms", now_ms() - start);
    fails!(semtimedop(id, &[(0, -1, 0)], Some([0, 0])), libc::EAGAIN);
    fails!(semtimedop(id, &[(0, -1, 0)], Some([0, 1_000_000_000])), libc::EINVAL);
    fails!(semtimedop(id, &[(0, -1, 0)], Some([-1, 0])), libc::EINVAL);
    c!(semtimedop(id, &[(0, 1, 0)], Some([0, 1])));
    eq!(semctl(id, 0, GETNCNT, 0), 0);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn signal() -> Outcome {
    // Not started again, whatever the handler asks for.
    let id = set(1)?;
    handle(libc::SIGUSR1, nothing as extern "C" fn(i32) as usize, libc::SA_RESTART)?;
    let me = std::process::id() as i32;
    let pid = child(|| {
        let waits = until("it waits", || semctl(id, 0, GETNCNT, 0) == 1);
        // SAFETY: a signal to the parent.
        unsafe { libc::kill(me, libc::SIGUSR1) };
        i32::from(waits.is_err())
    })?;
    fails!(semop(id, &[(0, -1, 0)]), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    eq!(semctl(id, 0, GETNCNT, 0), 0);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn removed() -> Outcome {
    let id = set(1)?;
    let pid = child(|| i32::from(semop(id, &[(0, -1, 0)]) != -1 || errno() != libc::EIDRM))?;
    until("one waits", || semctl(id, 0, GETNCNT, 0) == 1)?;
    c!(semctl(id, 0, RMID, 0));
    eq!(exit_of(pid)?, 0);
    fails!(semop(id, &[(0, 1, 0)]), libc::EINVAL);
    Ok(())
}

fn undo() -> Outcome {
    let id = set(2)?;
    c!(semctl(id, 0, SETVAL, 5));
    let waiter = child(|| i32::from(semop(id, &[(1, -1, 0)]) != 0))?;
    until("one waits", || semctl(id, 1, GETNCNT, 0) == 1)?;
    let pid = child(|| {
        let done = semop(id, &[(0, -2, UNDO)]) == 0 && semop(id, &[(0, -1, UNDO)]) == 0;
        i32::from(!done || value(id, 0) != 2)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!((value(id, 0), semctl(id, 0, GETPID, 0)), (5, i64::from(pid)));
    // What was added goes again, to 0 at the lowest; who waits for what comes back goes on.
    let pid = child(|| {
        let done = semop(id, &[(0, 3, UNDO)]) == 0 && semctl(id, 0, GETVAL, 0) == 8;
        let gone = semop(id, &[(0, -7, 0)]) == 0;
        let taken = semop(id, &[(1, 2, 0)]) == 0 && semop(id, &[(1, -1, UNDO)]) == 0;
        i32::from(!done || !gone || !taken)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(exit_of(waiter)?, 0);
    eq!((value(id, 0), value(id, 1)), (0, 1));
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn undo_shared() -> Outcome {
    // Threads share (CLONE_SYSVSEM): one's end undoes nothing. A child by fork begins with none.
    let id = set(1)?;
    c!(semctl(id, 0, SETVAL, 3));
    let pid = child(|| {
        let first = std::thread::spawn(move || semop(id, &[(0, -1, UNDO)])).join().unwrap_or(-1);
        let inner = child(|| 0).and_then(exit_of).unwrap_or(1);
        // SAFETY: gives up what is shared.
        let kept = value(id, 0) == 2;
        let left = unsafe { libc::unshare(0x0004_0000) };
        i32::from(first != 0 || inner != 0 || !kept || left != 0 || value(id, 0) != 3)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(value(id, 0), 3);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn undo_cleared() -> Outcome {
    // Setting a value forgets adjustments.
    let id = set(1)?;
    c!(semctl(id, 0, SETVAL, 3));
    let pid = child(|| {
        let done = semop(id, &[(0, -1, UNDO)]) == 0 && semctl(id, 0, SETVAL, 9) == 0;
        i32::from(!done)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(value(id, 0), 9);
    // An adjustment has its range.
    c!(semctl(id, 0, SETVAL, 0));
    c!(semop(id, &[(0, 32767, UNDO)]));
    c!(semop(id, &[(0, -32767, 0)]));
    fails!(semop(id, &[(0, 32767, UNDO)]), libc::ERANGE);
    eq!(value(id, 0), 0);
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn errors() -> Outcome {
    fails!(semget(0, 0, 0o600), libc::EINVAL);
    fails!(semget(0, 32001, 0o600), libc::EINVAL);
    let key = fresh_key();
    let id = c!(semget(key, 2, 0o1600));
    fails!(semget(key, 3, 0), libc::EINVAL);
    eq!(c!(semget(key, 0, 0)), id);
    fails!(semop(id, &[(2, 1, 0)]), libc::EFBIG);
    fails!(semop(id, &[]), libc::EINVAL);
    fails!(semop(id, &[(0, 0, 0); 501]), libc::E2BIG);
    c!(semop(id, &[(0, 0, 0); 500]));
    fails!(semop(-1, &[(0, 1, 0)]), libc::EINVAL);
    fails!(semop(id, &[(0, 32767, 0), (0, 1, 0)]), libc::ERANGE);
    fails!(semctl(id, 0, SETVAL, 32768), libc::ERANGE);
    fails!(semctl(id, 0, SETVAL, usize::MAX), libc::ERANGE);
    fails!(semctl(id, 2, SETVAL, 1), libc::EINVAL);
    fails!(semctl(id, -1, GETVAL, 0), libc::EINVAL);
    fails!(semctl(id, 2, GETNCNT, 0), libc::EINVAL);
    fails!(semctl(id, 0, SETALL, [40000u16, 0].as_ptr() as usize), libc::ERANGE);
    fails!(semctl(id, 0, GETALL, 8), libc::EFAULT);
    fails!(semctl(id, 0, 77, 0), libc::EINVAL);
    // SAFETY: a bad address.
    fails!(libc::syscall(libc::SYS_semop, id, 8usize, 1), libc::EFAULT);
    as_user(|| {
        fails!(semop(id, &[(0, 1, 0)]), libc::EACCES);
        fails!(semctl(id, 0, GETVAL, 0), libc::EACCES);
        fails!(semctl(id, 0, RMID, 0), libc::EPERM);
        Ok(())
    })?;
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn control() -> Outcome {
    let id = set(4)?;
    let mut info = [0i32; 10];
    let highest = c!(semctl(0, 0, INFO, info.as_mut_ptr() as usize));
    eq!(info, [1_024_000_000, 32000, 1_024_000_000, 1_024_000_000, 32000, 500, 500, 20, 32767, 32767]);
    eq!(c!(semctl(0, 0, SEM_INFO, info.as_mut_ptr() as usize)), highest);
    ck!(info[7] >= 1 && info[9] >= 4, "{info:?}");
    let mut ds: Ds = [0; 16];
    eq!(c!(semctl(id % 32768, 0, SEM_STAT, ds.as_mut_ptr() as usize)), id);
    eq!(ds[10], 4);
    set_half(&mut ds, 2, 77);
    set_half(&mut ds, 5, 0o606);
    c!(semctl(id, 0, SET, ds.as_mut_ptr() as usize));
    let ds = self::ds(id)?;
    eq!((half(&ds, 2), half(&ds, 5)), (77, 0o606));
    as_user(|| {
        c!(semop(id, &[(0, 1, 0)]));
        Ok(())
    })?;
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

fn ping_pong() -> Outcome {
    const TURNS: i32 = 2000;
    let id = set(2)?;
    let pid = child(|| {
        let done = (0..TURNS).all(|_| semop(id, &[(0, -1, 0)]) == 0 && semop(id, &[(1, 1, 0)]) == 0);
        i32::from(!done)
    })?;
    for _ in 0..TURNS {
        c!(semop(id, &[(0, 1, 0)]));
        c!(semop(id, &[(1, -1, 0)]));
    }
    eq!(exit_of(pid)?, 0);
    eq!((value(id, 0), value(id, 1)), (0, 0));
    c!(semctl(id, 0, RMID, 0));
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! System V message queues.

use crate::sysvipc::{Ds, INFO, NOWAIT, RMID, SET, STAT, as_user, half};
use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("sysv.msg_order_and_types", types),
    ("sysv.msg_sizes", sizes),
    ("sysv.msg_copy", copy),
    ("sysv.msg_receiver_waits", receiver_waits),
    ("sysv.msg_sender_waits", sender_waits),
    ("sysv.msg_removed", removed),
    ("sysv.msg_signal", signal),
    ("sysv.msg_control", control),
    ("sysv.msg_errors", errors),
    ("sysv.msg_many", many),
];

const NOERROR: i32 = 0o10000;
const EXCEPT: i32 = 0o20000;
const COPY: i32 = 0o40000;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;

fn msgget(key: i32, flags: i32) -> i64 {
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_msgget, key, flags) }
}

fn send(id: i64, kind: i64, body: &[u8], flags: i32) -> i64 {
    let mut raw = kind.to_ne_bytes().to_vec();
    raw.extend_from_slice(body);
    // SAFETY: a live buffer of the type and the text.
    unsafe { libc::syscall(libc::SYS_msgsnd, id, raw.as_ptr(), body.len(), flags) }
}

/// What the call gave, the type, the text.
fn receive_raw(id: i64, most: usize, kind: i64, flags: i32) -> (i64, i64, Vec<u8>) {
    let mut raw = vec![0u8; 8 + most];
    // SAFETY: a live buffer.
    let got = unsafe { libc::syscall(libc::SYS_msgrcv, id, raw.as_mut_ptr(), most, kind, flags) };
    let body = raw[8..8 + got.max(0) as usize].to_vec();
    (got, i64::from_ne_bytes(raw[..8].try_into().unwrap_or_default()), body)
}

fn receive(id: i64, most: usize, kind: i64, flags: i32) -> i64 {
    receive_raw(id, most, kind, flags).0
}

fn msgctl(id: i64, command: i32, ds: &mut Ds) -> i64 {
    // SAFETY: a live structure, larger than any of the call's.
    unsafe { libc::syscall(libc::SYS_msgctl, id, command, ds.as_mut_ptr()) }
}

fn queue() -> Result<i64, String> {
    Ok(c!(msgget(0, 0o600)))
}

fn stat(id: i64) -> Result<Ds, String> {
    let mut ds = [0; 16];
    c!(msgctl(id, STAT, &mut ds));
    Ok(ds)
}

fn remove(id: i64) -> Outcome {
    c!(msgctl(id, RMID, &mut [0; 16]));
    Ok(())
}

fn types() -> Outcome {
    let id = queue()?;
    for (kind, body) in [(3, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (1, b"e"), (9, b"f")] {
        c!(send(id, kind, body, 0));
    }
    let get = |kind: i64, flags: i32| {
        let (got, kind, body) = receive_raw(id, 10, kind, flags | NOWAIT);
        (got, kind, String::from_utf8_lossy(&body).into_owned())
    };
    eq!(get(2, 0), (1, 2, "c".into()));
    eq!(get(-2, 0), (1, 1, "b".into())); // the lowest type up to 2
    eq!(get(-9, 0), (1, 1, "e".into()));
    eq!(get(3, EXCEPT), (1, 9, "f".into()));
    eq!(get(0, 0), (1, 3, "a".into()));
    fails!(receive(id, 10, 7, NOWAIT), libc::ENOMSG);
    fails!(receive(id, 10, 3, NOWAIT | EXCEPT), libc::ENOMSG);
    eq!(get(0, 0), (1, 3, "d".into()));
    fails!(receive(id, 10, 0, NOWAIT), libc::ENOMSG);
    remove(id)
}

fn sizes() -> Outcome {
    let id = queue()?;
    c!(send(id, 1, b"0123456789", 0));
    fails!(receive(id, 4, 0, NOWAIT), libc::E2BIG);
    let ds = stat(id)?;
    eq!((ds[9], ds[10], ds[11]), (10, 1, 16384));
    eq!(receive_raw(id, 4, 0, NOWAIT | NOERROR), (4, 1, b"0123".to_vec()));
    eq!(stat(id)?[10], 0);
    c!(send(id, 1, b"", 0));
    eq!(receive(id, 0, 0, 0), 0);
    c!(send(id, 1, &[5; 8192], 0));
    eq!(receive_raw(id, 9000, 0, 0), (8192, 1, vec![5; 8192]));
    fails!(send(id, 1, &[0; 8193], 0), libc::EINVAL);
    remove(id)
}

fn copy() -> Outcome {
    let id = queue()?;
    c!(send(id, 5, b"first", 0));
    c!(send(id, 6, b"second", 0));
    let got = receive_raw(id, 10, 1, COPY | NOWAIT);
    if got.0 == -1 && errno() == libc::ENOSYS {
        remove(id)?;
        return Err(format!("{SKIP}no MSG_COPY"));
    }
    eq!(got, (6, 6, b"second".to_vec()));
    eq!(receive_raw(id, 10, 0, COPY | NOWAIT), (5, 5, b"first".to_vec()));
    fails!(receive(id, 10, 2, COPY | NOWAIT), libc::ENOMSG);
    fails!(receive(id, 2, 0, COPY | NOWAIT), libc::E2BIG);
    fails!(receive(id, 10, 0, COPY), libc::EINVAL);
    fails!(receive(id, 10, 0, COPY | NOWAIT | EXCEPT), libc::EINVAL);
    eq!(stat(id)?[10], 2);
    remove(id)
}

fn receiver_waits() -> Outcome {
    let id = queue()?;
    let pid = child(|| {
        let got = receive_raw(id, 10, 4, 0);
        i32::from(got != (4, 4, b"mine".to_vec()))
    })?;
    until("it sleeps", || state(pid) == 'S')?;
    c!(send(id, 3, b"other", 0));
    c!(send(id, 4, b"mine", 0));
    eq!(exit_of(pid)?, 0);
    let ds = stat(id)?;
    eq!((ds[10], half(&ds, 24), half(&ds, 25)), (1, std::process::id(), pid as u32));
    // One too long for who waits is refused there and stays.
    let pid = child(|| i32::from(receive(id, 2, 8, 0) != -1 || errno() != libc::E2BIG))?;
    until("it sleeps", || state(pid) == 'S')?;
    c!(send(id, 8, b"long", 0));
    eq!(exit_of(pid)?, 0);
    eq!(receive(id, 10, 8, NOWAIT), 4);
    remove(id)
}

fn sender_waits() -> Outcome {
    let id = queue()?;
    c!(send(id, 1, &[1; 8192], 0));
    c!(send(id, 1, &[2; 8192], 0));
    fails!(send(id, 1, b"x", NOWAIT), libc::EAGAIN);
    let pid = child(|| i32::from(send(id, 2, b"late", 0) != 0))?;
    until("it sleeps", || state(pid) == 'S')?;
    eq!(receive(id, 9000, 0, 0), 8192);
    eq!(exit_of(pid)?, 0);
    eq!(receive(id, 100, 2, NOWAIT), 4);
    remove(id)
}

fn removed() -> Outcome {
    let id = queue()?;
    let receiver = child(|| i32::from(receive(id, 10, 9, 0) != -1 || errno() != libc::EIDRM))?;
    c!(send(id, 1, &[1; 8192], 0));
    c!(send(id, 1, &[2; 8192], 0));
    let sender = child(|| i32::from(send(id, 1, b"x", 0) != -1 || errno() != libc::EIDRM))?;
    until("both sleep", || state(receiver) == 'S' && state(sender) == 'S')?;
    remove(id)?;
    eq!((exit_of(receiver)?, exit_of(sender)?), (0, 0));
    fails!(send(id, 1, b"x", 0), libc::EINVAL);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn signal() -> Outcome {
    // A handler ends the wait, whatever SA_RESTART says.
    let id = queue()?;
    handle(libc::SIGALRM, nothing as extern "C" fn(i32) as usize, libc::SA_RESTART)?;
    let pid = child(|| {
        // SAFETY: a timer.
        unsafe { libc::alarm(1) };
        i32::from(receive(id, 10, 0, 0) != -1 || errno() != libc::EINTR)
    })?;
    eq!(exit_of(pid)?, 0);
    c!(send(id, 1, b"x", 0));
    eq!(receive(id, 10, 0, 0), 1);
    remove(id)
}

fn control() -> Outcome {
    let id = queue()?;
    c!(send(id, 1, b"abc", 0));
    let mut info = [0; 16];
    let highest = c!(msgctl(0, INFO, &mut info));
    eq!((half(&info, 0), half(&info, 1), half(&info, 2), half(&info, 3)), (512_000, 16384, 8192, 16384));
    eq!((half(&info, 4), half(&info, 5), half(&info, 6), info[3] >> 32 & 0xffff), (32000, 16, 16384, 65535));
    eq!(c!(msgctl(0, MSG_INFO, &mut info)), highest);
    ck!(half(&info, 0) >= 1 && half(&info, 1) >= 1 && half(&info, 6) >= 3, "{info:?}");
    let mut ds = [0; 16];
    eq!(c!(msgctl(id % 32768, MSG_STAT, &mut ds)), id);
    eq!((ds[9], ds[10]), (3, 1));
    ck!(ds[6] > 1_000_000_000 && ds[7] == 0 && ds[8] > 1_000_000_000);
    ds[11] = 100;
    c!(msgctl(id, SET, &mut ds));
    eq!(stat(id)?[11], 100);
    fails!(send(id, 1, &[0; 98], NOWAIT), libc::EAGAIN);
    c!(send(id, 1, &[0; 97], NOWAIT));
    ds[11] = 20000; // above the limit: for the privileged
    c!(msgctl(id, SET, &mut ds));
    as_user(|| {
        fails!(msgctl(id, STAT, &mut [0; 16]), libc::EACCES);
        fails!(send(id, 1, b"x", NOWAIT), libc::EACCES);
        let own = queue()?;
        let mut ds = stat(own)?;
        ds[11] = 16385;
        fails!(msgctl(own, SET, &mut ds), libc::EPERM);
        remove(own)
    })?;
    remove(id)
}

fn errors() -> Outcome {
    let id = queue()?;
    fails!(send(id, 0, b"x", 0), libc::EINVAL);
    fails!(send(id, -3, b"x", 0), libc::EINVAL);
    fails!(send(-1, 1, b"x", 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_msgsnd, id, 8usize, 1usize, 0), libc::EFAULT);
    fails!(libc::syscall(libc::SYS_msgrcv, id, 8usize, usize::MAX, 0i64, NOWAIT), libc::EINVAL);
    fails!(msgctl(id, 55, &mut [0; 16]), libc::EINVAL);
    remove(id)
}

fn many() -> Outcome {
    // Several senders and receivers: nothing is lost, nothing comes twice.
    const EACH: u32 = 500;
    let id = queue()?;
    let (r, w) = pipe()?;
    let mut pids = Vec::new();
    for _ in 0..2 {
        pids.push(child(|| {
            let mut sum = 0u64;
            for _ in 0..EACH {
                let (got, _, body) = receive_raw(id, 4, 0, 0);
                if got != 4 {
                    return 1;
                }
                sum += u64::from(u32::from_ne_bytes(body.try_into().unwrap_or_default()));
            }
            i32::from(write(w, &sum.to_ne_bytes()) != Ok(8))
        })?);
    }
    for first in [0, EACH] {
        pids.push(child(|| i32::from(!(first..first + EACH).all(|n| send(id, 1, &n.to_ne_bytes(), 0) == 0)))?);
    }
    for pid in pids {
        eq!(exit_of(pid)?, 0);
    }
    let mut sum = 0;
    for _ in 0..2 {
        sum += u64::from_ne_bytes(read(r, 8)?.try_into().unwrap_or_default());
    }
    eq!(sum, u64::from(2 * EACH) * u64::from(2 * EACH - 1) / 2);
    remove(id)
}

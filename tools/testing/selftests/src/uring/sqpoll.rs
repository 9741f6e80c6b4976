// SPDX-License-Identifier: GPL-2.0
//! io_uring: a thread takes requests in (`IORING_SETUP_SQPOLL`).

use super::*;
use crate::{c, ck, eq, fails};
use std::sync::atomic::fence;

const SQPOLL: u32 = 1 << 1;
const SQ_AFF: u32 = 1 << 2;
const ATTACH_WQ: u32 = 1 << 5;
const R_DISABLED: u32 = 1 << 6;
const COOP_TASKRUN: u32 = 1 << 8;
const GETEVENTS: u32 = 1 << 0;
const SQ_WAKEUP: u32 = 1 << 1;
const SQ_WAIT: u32 = 1 << 2;
const ENABLE_RINGS: u32 = 12;
/// More ms than anything here takes.
const LONG: u32 = 60_000;

/// A ring with a thread that sleeps after `idle` ms without requests.
fn polled(entries: u32, flags: u32, idle: u32) -> Result<Ring, String> {
    let mut params = [0u32; 30];
    (params[2], params[4]) = (SQPOLL | flags, idle);
    Ring::with(entries, params)
}

impl Ring {
    /// Whether the thread has said that it sleeps.
    fn sleeps(&self) -> bool {
        fence(SeqCst);
        self.word(self.params[14]).load(Acquire) & 1 != 0
    }

    /// Waits until it has, and has looked once more since: from here on only a call wakes it.
    fn asleep(&self) -> Outcome {
        until("the thread's sleep", || self.sleeps())?;
        sleep_ms(20);
        Ok(())
    }

    fn enter_flags(&self, count: u32, flags: u32) -> Result<i64, String> {
        Ok(c!(syscall(SYS_io_uring_enter, self.fd, count, 0, flags, 0usize, 0usize)))
    }

    /// Sends what was put in as a library does: a call only if the thread sleeps.
    fn send(&self) -> Outcome {
        if self.sleeps() {
            self.enter_flags(0, SQ_WAKEUP)?;
        }
        Ok(())
    }

    /// Puts requests in, and looks for their results without waiting in a call.
    fn seen(&self, list: &[Sqe]) -> Result<Vec<(u64, i32)>, String> {
        list.iter().for_each(|sqe| self.put(*sqe));
        self.send()?;
        until("results of a polled ring", || self.ready() as usize >= list.len())?;
        let mut found: Vec<_> = std::iter::from_fn(|| self.take()).collect();
        found.sort_by_key(|cqe| cqe.0);
        Ok(found)
    }
}

/// Numbers of this process's threads that take requests in.
fn pollers() -> Result<Vec<i32>, String> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc/self/task").map_err(|e| e.to_string())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.starts_with("iou-sqp-")) {
            found.push(name.parse().map_err(|_| format!("thread {name}"))?);
        }
    }
    Ok(found)
}

pub fn basic() -> Outcome {
    let ring = polled(8, 0, 200)?;
    ck!(ring.params[5] & 1 << 7 != 0, "features {:#x}", ring.params[5]);
    let nops: Vec<Sqe> = (0..8).map(|n| sqe(NOP, -1, n)).collect();
    for _ in 0..20 {
        eq!(ring.seen(&nops)?, (0..8).map(|n| (n, 0)).collect::<Vec<_>>());
    }
    // Files need not be registered, and are the program's.
    let fd = open(&(dir()? + "/f"), libc::O_RDWR | libc::O_CREAT)?;
    let mut back = [0u8; 8];
    let text = b"by others";
    eq!(ring.seen(&[Sqe { addr: text.as_ptr() as u64, len: 9, ..sqe(WRITE, fd, 1) }])?, [(1, 9)]);
    eq!(ring.seen(&[Sqe { addr: back.as_mut_ptr() as u64, len: 8, off: 3, ..sqe(READ, fd, 2) }])?, [(2, 6)]);
    eq!(&back[..6], b"others");
    // A bad one ends no more than itself.
    eq!(
        ring.seen(&[sqe(200, -1, 1), sqe(READ, 900, 2), sqe(NOP, -1, 3)])?,
        [(1, -libc::EINVAL), (2, -libc::EBADF), (3, 0)]
    );
    // All that is said to be submitted is; and results can be waited for.
    eq!(ring.enter_flags(3, 0)?, 3);
    ring.put(sqe(NOP, -1, 4));
    let flags = GETEVENTS | if ring.sleeps() { SQ_WAKEUP } else { 0 };
    eq!(c!(syscall(SYS_io_uring_enter, ring.fd, 1, 1, flags, 0usize, 0usize)), 1);
    eq!(ring.take(), Some((4, 0)));
    Ok(())
}

/// The thread sleeps, says so, and is woken by a call only.
pub fn wakeup() -> Outcome {
    let ring = polled(4, 0, 5)?;
    for round in 0..5 {
        ring.asleep()?;
        eq!(pollers()?.len(), 1);
        let its = pollers()?[0];
        let status = text(&format!("/proc/self/task/{its}/status"))?;
        ck!(status.contains("State:\tS"), "{status}");
        ring.put(sqe(NOP, -1, round));
        sleep_ms(20);
        eq!(ring.ready(), 0);
        eq!(ring.enter_flags(1, SQ_WAKEUP)?, 1);
        until("a result", || ring.ready() == 1)?;
        eq!(ring.take(), Some((round, 0)));
    }
    // While it looks, no call is needed.
    let busy = polled(4, 0, LONG)?;
    eq!(busy.seen(&[sqe(NOP, -1, 8)])?, [(8, 0)]);
    sleep_ms(20);
    ck!(!busy.sleeps(), "it sleeps already");
    busy.put(sqe(NOP, -1, 9));
    until("a result without a call", || busy.ready() == 1)
}

pub fn affinity() -> Outcome {
    let mut params = [0u32; 30];
    (params[2], params[3], params[4]) = (SQPOLL | SQ_AFF, 0, 50);
    let ring = Ring::with(4, params)?;
    eq!(ring.seen(&[sqe(NOP, -1, 1)])?, [(1, 0)]);
    let its = pollers()?;
    eq!(its.len(), 1);
    let status = text(&format!("/proc/self/task/{}/status", its[0]))?;
    ck!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    let info = text(&format!("/proc/self/fdinfo/{}", ring.fd))?;
    ck!(info.contains(&format!("SqThread:\t{}\nSqThreadCpu:\t0\n", its[0])), "{info}");
    params[3] = 4096;
    fails!(syscall(SYS_io_uring_setup, 4, params.as_mut_ptr()), libc::EINVAL);
    Ok(())
}

pub fn disabled() -> Outcome {
    let ring = polled(4, R_DISABLED, 5)?;
    ring.put(sqe(NOP, -1, 1));
    sleep_ms(30);
    eq!(ring.ready(), 0);
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 0, SQ_WAKEUP, 0usize, 0usize), libc::EBADFD);
    fails!(syscall(SYS_io_uring_register, ring.fd, ENABLE_RINGS, 0usize, 1), libc::EINVAL);
    register(&ring, ENABLE_RINGS, 0, 0)?;
    until("a result", || ring.ready() == 1)?;
    eq!(ring.take(), Some((1, 0)));
    Ok(())
}

/// Requests that wait go on in the thread, asleep or not.
pub fn waits() -> Outcome {
    let ring = polled(4, 0, 5)?;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    for pause in [0, 40] {
        ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
        ring.send()?;
        eq!(ring.seen(&[sqe(NOP, -1, 4)])?, [(4, 0)]);
        sleep_ms(pause);
        write(w, b"hello")?;
        until("a result", || ring.ready() == 1)?;
        eq!(ring.take(), Some((3, 5)));
        eq!(&to[..5], b"hello");
    }
    let span = [0i64, 20_000_000];
    eq!(ring.seen(&[Sqe { addr: span.as_ptr() as u64, len: 1, ..sqe(TIMEOUT, -1, 1) }])?, [(1, -libc::ETIME)]);
    // What waits does not keep the ring from being closed.
    ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 2) });
    ring.send()
}

pub fn links() -> Outcome {
    let ring = polled(8, 0, 50)?;
    let fd = open(&(dir()? + "/f"), libc::O_RDWR | libc::O_CREAT)?;
    let text = b"linked";
    let mut back = [0u8; 6];
    let write = Sqe { flags: LINK, addr: text.as_ptr() as u64, len: 6, ..sqe(WRITE, fd, 1) };
    let read = Sqe { addr: back.as_mut_ptr() as u64, len: 6, ..sqe(READ, fd, 2) };
    // The thread may see the first before the second is there: a chain is put in at once.
    ring.asleep()?;
    eq!(ring.seen(&[write, read])?, [(1, 6), (2, 6)]);
    eq!(&back, text);
    Ok(())
}

/// A full ring: a call waits until the thread has taken something.
pub fn room() -> Outcome {
    let ring = polled(4, 0, 5)?;
    ring.asleep()?;
    (0..4).for_each(|n| ring.put(sqe(NOP, -1, n)));
    let left = || ring.word(ring.params[11]).load(Acquire).wrapping_sub(ring.word(ring.params[10]).load(Acquire));
    eq!(left(), 4);
    eq!(ring.enter_flags(4, SQ_WAKEUP | SQ_WAIT)?, 4);
    ck!(left() < 4, "no room");
    until("all results", || ring.ready() == 4)
}

/// The thread is the maker's: another process uses it as long as that is there.
pub fn forked() -> Outcome {
    let (r, w) = pipe()?;
    let maker = child(|| {
        let Ok(ring) = polled(4, 0, 5) else { return 1 };
        let heir = child(|| {
            let served = ring.seen(&[sqe(NOP, -1, 1)]) == Ok(vec![(1, 0)]);
            let told = write(w, if served { b"s" } else { b"-" });
            let dead = until("the thread's end", || {
                // SAFETY: no memory is named.
                let result = unsafe { syscall(SYS_io_uring_enter, ring.fd, 0, 0, SQ_WAKEUP, 0usize, 0usize) };
                result < 0 && errno() == libc::EOWNERDEAD
            });
            let _ = write(w, if dead.is_ok() { b"d" } else { b"-" });
            i32::from(told.is_err())
        });
        // Until it was served.
        i32::from(heir.is_err() || read(r, 1) != Ok(b"s".to_vec()))
    })?;
    eq!(exit_of(maker)?, 0);
    eq!(read(r, 1)?, b"d");
    Ok(())
}

/// The thread stops with its process, asleep or not, and goes on with it.
pub fn stopped() -> Outcome {
    for idle in [1, LONG] {
        let pid = child(|| {
            let Ok(ring) = polled(4, 0, idle) else { return 1 };
            if ring.seen(&[sqe(NOP, -1, 7)]) != Ok(vec![(7, 0)]) {
                return 2;
            }
            // SAFETY: takes nothing.
            unsafe { libc::raise(libc::SIGSTOP) };
            i32::from(ring.seen(&[sqe(NOP, -1, 1)]) != Ok(vec![(1, 0)]))
        })?;
        let mut status = 0;
        eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
        ck!(libc::WIFSTOPPED(status), "status {status:#x}");
        c!(libc::kill(pid, libc::SIGCONT));
        eq!(exit_of(pid)?, 0);
    }
    // Killed, the process is gone with its thread.
    let pid = child(|| {
        let Ok(ring) = polled(4, 0, LONG) else { return 1 };
        let served = ring.seen(&[sqe(NOP, -1, 1)]);
        sleep_ms(60_000);
        i32::from(served.is_err())
    })?;
    sleep_ms(30);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

/// The ring's end is the thread's.
pub fn threads() -> Outcome {
    let rings = [polled(4, 0, 1)?, polled(4, 0, LONG)?];
    // On Linux the thread names itself.
    until("two threads", || pollers().is_ok_and(|list| list.len() == 2))?;
    eq!(rings[1].seen(&[sqe(NOP, -1, 1)])?, [(1, 0)]);
    drop(rings);
    until("the threads' end", || pollers().is_ok_and(|list| list.is_empty()))
}

/// Another program is not held up by the thread of the one before.
pub fn exec() -> Outcome {
    let pid = child(|| {
        let Ok(_ring) = polled(4, 0, LONG) else { return 1 };
        // SAFETY: the words end with a null pointer.
        unsafe {
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
            libc::dup2(null, 1);
            libc::execl(c"/proc/self/exe".as_ptr(), c"selftests".as_ptr(), c"--list".as_ptr(), null_mut::<u8>());
        }
        2
    })?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// Rings that share a thread: it lives as long as the last of them.
pub fn shared() -> Outcome {
    let with = |flags: u32, fd: i32| {
        let mut params = [0u32; 30];
        (params[2], params[4], params[6]) = (flags | ATTACH_WQ, 20, fd as u32);
        params
    };
    let first = polled(8, 0, 20)?;
    let rings = [Ring::with(8, with(SQPOLL, first.fd))?, Ring::with(8, with(SQPOLL, first.fd))?];
    let nops: Vec<Sqe> = (0..8).map(|n| sqe(NOP, -1, n)).collect();
    let wanted: Vec<(u64, i32)> = (0..8).map(|n| (n, 0)).collect();
    for _ in 0..5 {
        for ring in rings.iter().chain([&first]) {
            eq!(ring.seen(&nops)?, wanted);
        }
    }
    eq!(pollers()?.len(), 1);
    drop(first);
    let [second, third] = rings;
    eq!(second.seen(&nops)?, wanted);
    // Another process has its own.
    let pid = child(|| {
        let Ok(ring) = Ring::with(8, with(SQPOLL, third.fd)) else { return 1 };
        // The ring is kept: the thread goes with it.
        i32::from(ring.seen(&nops) != Ok(wanted.clone()) || pollers().map(|list| list.len()) != Ok(1))
    })?;
    eq!(exit_of(pid)?, 0);
    drop(second);
    eq!(third.seen(&nops)?, wanted);
    // A ring without a thread has none to share, but can be named where none is wanted.
    let plain = Ring::new(4, 0, 0)?;
    for (flags, fd, error) in
        [(SQPOLL, plain.fd, libc::EINVAL), (SQPOLL, 0, libc::EINVAL), (0, 0, libc::EINVAL), (0, 900, libc::ENXIO)]
    {
        let mut params = with(flags, fd);
        fails!(syscall(SYS_io_uring_setup, 4, params.as_mut_ptr()), error);
    }
    eq!(Ring::with(4, with(0, third.fd))?.one(sqe(NOP, -1, 5))?, 0);
    drop(third);
    until("the thread's end", || pollers().is_ok_and(|list| list.is_empty()))
}

/// A ring that joins a thread that sleeps says so, too.
pub fn joins() -> Outcome {
    let first = polled(4, 0, 5)?;
    for n in 0..5 {
        until("the thread's sleep", || first.sleeps())?;
        let mut params = [0u32; 30];
        (params[2], params[4], params[6]) = (SQPOLL | ATTACH_WQ, 5, first.fd as u32);
        let other = Ring::with(4, params)?;
        eq!(other.seen(&[sqe(NOP, -1, n)])?, [(n, 0)]);
        until("the thread's sleep", || other.sleeps())?;
    }
    Ok(())
}

pub fn bad() -> Outcome {
    for flags in [SQ_AFF, SQPOLL | COOP_TASKRUN] {
        let mut params = [0u32; 30];
        params[2] = flags;
        fails!(syscall(SYS_io_uring_setup, 4, params.as_mut_ptr()), libc::EINVAL);
    }
    // Rings without a thread have nobody to wake.
    let ring = Ring::new(4, 0, 0)?;
    eq!(ring.enter_flags(0, SQ_WAKEUP | SQ_WAIT)?, 0);
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! futex(2): wait, wake, requeue, bitsets, timeouts, robust lists, shared between processes.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

pub const TESTS: &[Test] = &[
    ("futex.wait_value_differs", differs),
    ("futex.wake_none", wake_none),
    ("futex.wait_wake", wait_wake),
    ("futex.wake_count", wake_count),
    ("futex.timeout", timeout),
    ("futex.timeout_absolute", timeout_absolute),
    ("futex.requeue", requeue),
    ("futex.cmp_requeue_differs", cmp_requeue),
    ("futex.bitset", bitset),
    ("futex.wake_op", wake_op),
    ("futex.shared_between_processes", shared),
    ("futex.interrupted", interrupted),
    ("futex.errors", errors),
    ("futex.robust_list", robust),
    ("futex.clear_child_tid", clear_tid),
];

const PRIVATE: i32 = libc::FUTEX_PRIVATE_FLAG;

/// futex(2) as it is.
fn futex(word: &AtomicU32, op: i32, val: u32, timeout: usize, word2: usize, val3: u32) -> i64 {
    // SAFETY: the words are live; the timeout is null, a count or a live timespec.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, val, timeout, word2, val3) }
}

/// A child that lets the tests see that a thread sleeps: the state in /proc.
fn sleeping(tid: &AtomicU32) -> Outcome {
    until("the thread sleeps", || {
        let tid = tid.load(SeqCst);
        tid != 0 && text(&format!("/proc/self/task/{tid}/stat")).is_ok_and(|s| s.contains(") S "))
    })
}

fn tid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() as u32 }
}

fn differs() -> Outcome {
    let word = AtomicU32::new(1);
    fails!(futex(&word, libc::FUTEX_WAIT, 2, 0, 0, 0), libc::EAGAIN);
    fails!(futex(&word, libc::FUTEX_WAIT | PRIVATE, 2, 0, 0, 0), libc::EAGAIN);
    Ok(())
}

fn wake_none() -> Outcome {
    let word = AtomicU32::new(1);
    eq!(c!(futex(&word, libc::FUTEX_WAKE, 10, 0, 0, 0)), 0);
    eq!(c!(futex(&word, libc::FUTEX_WAKE | PRIVATE, 10, 0, 0, 0)), 0);
    Ok(())
}

static WORD: AtomicU32 = AtomicU32::new(0);
static OTHER: AtomicU32 = AtomicU32::new(0);

/// Threads that wait on WORD with `op`; each gives its result.
fn waiters(count: usize, op: i32, bits: u32) -> Result<Vec<thread::JoinHandle<i64>>, String> {
    static TIDS: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];
    let mut all = Vec::new();
    for at in &TIDS[..count] {
        at.store(0, SeqCst);
        all.push(thread::spawn(move || {
            at.store(tid(), SeqCst);
            futex(&WORD, op, 0, 0, 0, bits)
        }));
    }
    for at in &TIDS[..count] {
        sleeping(at)?;
    }
    Ok(all)
}

fn ended(all: Vec<thread::JoinHandle<i64>>) -> Outcome {
    for t in all {
        eq!(t.join().map_err(|_| "panic")?, 0);
    }
    Ok(())
}

fn wait_wake() -> Outcome {
    for op in [libc::FUTEX_WAIT, libc::FUTEX_WAIT | PRIVATE] {
        let all = waiters(1, op, 0)?;
        eq!(c!(futex(&WORD, libc::FUTEX_WAKE | op & PRIVATE, 1, 0, 0, 0)), 1);
        ended(all)?;
    }
    Ok(())
}

fn wake_count() -> Outcome {
    let all = waiters(5, libc::FUTEX_WAIT | PRIVATE, 0)?;
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE | PRIVATE, 2, 0, 0, 0)), 2);
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE | PRIVATE, i32::MAX as u32, 0, 0, 0)), 3);
    ended(all)
}

fn timeout() -> Outcome {
    let ts = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let start = now_ms();
    fails!(futex(&WORD, libc::FUTEX_WAIT | PRIVATE, 0, &raw const ts as usize, 0, 0), libc::ETIMEDOUT);
    let took = now_ms() - start;
    ck!((49..15_000).contains(&took), "took {took} ms");
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    fails!(futex(&WORD, libc::FUTEX_WAIT | PRIVATE, 0, &raw const bad as usize, 0, 0), libc::EINVAL);
    Ok(())
}

fn timeout_absolute() -> Outcome {
    // SAFETY: live structure.
    for (clock, flag) in [(libc::CLOCK_MONOTONIC, 0), (libc::CLOCK_REALTIME, libc::FUTEX_CLOCK_REALTIME)] {
        let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        c!(libc::clock_gettime(clock, &mut ts));
        ts.tv_nsec += 50_000_000;
        if ts.tv_nsec >= 1_000_000_000 {
            ts.tv_nsec -= 1_000_000_000;
            ts.tv_sec += 1;
        }
        let start = now_ms();
        fails!(
            futex(&WORD, libc::FUTEX_WAIT_BITSET | PRIVATE | flag, 0, &raw const ts as usize, 0, u32::MAX),
            libc::ETIMEDOUT
        );
        let took = now_ms() - start;
        ck!((45..15_000).contains(&took), "took {took} ms");
    }
    Ok(())
}

fn requeue() -> Outcome {
    let all = waiters(4, libc::FUTEX_WAIT | PRIVATE, 0)?;
    // One is woken, two move; requeue counts both.
    eq!(c!(futex(&WORD, libc::FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, OTHER.as_ptr() as usize, 0)), 3);
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE | PRIVATE, 10, 0, 0, 0)), 1);
    eq!(c!(futex(&OTHER, libc::FUTEX_WAKE | PRIVATE, 10, 0, 0, 0)), 2);
    ended(all)
}

fn cmp_requeue() -> Outcome {
    fails!(futex(&WORD, libc::FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, OTHER.as_ptr() as usize, 1), libc::EAGAIN);
    Ok(())
}

fn bitset() -> Outcome {
    let all = waiters(1, libc::FUTEX_WAIT_BITSET | PRIVATE, 4)?;
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 3)), 0);
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 6)), 1);
    ended(all)?;
    fails!(futex(&WORD, libc::FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 0), libc::EINVAL);
    fails!(futex(&WORD, libc::FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, 0), libc::EINVAL);
    Ok(())
}

fn wake_op() -> Outcome {
    OTHER.store(5, SeqCst);
    let all = waiters(1, libc::FUTEX_WAIT | PRIVATE, 0)?;
    // OTHER += 3, and wake there too if it was greater than 9 (it was not).
    let op = 1 << 28 | 4 << 24 | 3 << 12 | 9;
    eq!(c!(futex(&WORD, libc::FUTEX_WAKE_OP | PRIVATE, 1, 1, OTHER.as_ptr() as usize, op)), 1);
    eq!(OTHER.load(SeqCst), 8);
    ended(all)
}

fn shared() -> Outcome {
    // SAFETY: a fresh shared page, live to the end of the process.
    let words = unsafe {
        let page = libc::mmap(
            core::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        ck!(page != libc::MAP_FAILED);
        core::slice::from_raw_parts(page.cast::<AtomicU32>(), 4)
    };
    let pid = child(|| {
        words[1].store(1, SeqCst);
        while words[0].load(SeqCst) == 0 {
            futex(&words[0], libc::FUTEX_WAIT, 0, 0, 0, 0);
        }
        7
    })?;
    until("the child sleeps", || words[1].load(SeqCst) == 1 && state(pid) == 'S')?;
    words[0].store(1, SeqCst);
    eq!(c!(futex(&words[0], libc::FUTEX_WAKE, 1, 0, 0, 0)), 1);
    eq!(exit_of(pid)?, 7);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn interrupted() -> Outcome {
    handle(libc::SIGALRM, nothing as *const () as usize, 0)?;
    // SAFETY: live structure.
    let value = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 50_000 },
    };
    c!(libc::syscall(libc::SYS_setitimer, 0, &raw const value, 0usize));
    fails!(futex(&WORD, libc::FUTEX_WAIT | PRIVATE, 0, 0, 0, 0), libc::EINTR);
    Ok(())
}

fn errors() -> Outcome {
    // SAFETY: addresses that are refused.
    fails!(libc::syscall(libc::SYS_futex, 2usize, libc::FUTEX_WAIT, 0, 0usize, 0usize, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_futex, 0x1000usize, libc::FUTEX_WAIT, 0, 0usize, 0usize, 0), libc::EFAULT);
    fails!(libc::syscall(libc::SYS_futex, !3usize, libc::FUTEX_WAIT, 0, 0usize, 0usize, 0), libc::EFAULT);
    fails!(futex(&WORD, 99, 0, 0, 0, 0), libc::ENOSYS);
    Ok(())
}

#[repr(C)]
struct RobustHead {
    next: usize,
    offset: isize,
    pending: usize,
}

#[repr(C)]
struct RobustNode {
    next: usize,
    word: AtomicU32,
}

fn robust() -> Outcome {
    let node: &'static mut RobustNode = Box::leak(Box::new(RobustNode { next: 0, word: AtomicU32::new(0) }));
    let head: &'static mut RobustHead = Box::leak(Box::new(RobustHead { next: 0, offset: 8, pending: 0 }));
    head.next = &raw const *node as usize;
    node.next = &raw const *head as usize;
    let (node, head) = (&*node, &raw const *head as usize);
    // The owner dies with the lock held: the kernel marks the word and wakes a waiter.
    thread::spawn(move || {
        node.word.store(tid() | libc::FUTEX_WAITERS, SeqCst);
        // SAFETY: a live list of one node; then this thread ends without the library's knowledge of its robust list.
        unsafe { libc::syscall(libc::SYS_set_robust_list, head, 24) };
    })
    .join()
    .map_err(|_| "panic")?;
    until("FUTEX_OWNER_DIED", || node.word.load(SeqCst) & libc::FUTEX_OWNER_DIED != 0)?;
    eq!(node.word.load(SeqCst) & libc::FUTEX_TID_MASK, 0);
    fails!(libc::syscall(libc::SYS_set_robust_list, head, 23), libc::EINVAL);
    Ok(())
}

fn clear_tid() -> Outcome {
    // What pthread_join rests on: the word is cleared and woken at the thread's end.
    for _ in 0..50 {
        thread::spawn(|| ()).join().map_err(|_| "panic")?;
    }
    Ok(())
}

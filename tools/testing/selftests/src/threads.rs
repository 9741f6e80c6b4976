// SPDX-License-Identifier: GPL-2.0
//! Threads: what they share, thread-local storage, identity, their end, affinity and scheduling classes.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

pub const TESTS: &[Test] = &[
    ("threads.share_memory", share_memory),
    ("threads.many", many),
    ("threads.tid_and_pid", ids),
    ("threads.tls", tls),
    ("threads.mutex_contended", mutex),
    ("threads.condvar_ping_pong", condvar),
    ("threads.barrier", barrier),
    ("threads.share_fds_and_cwd", share_files),
    ("threads.proc_task", proc_task),
    ("threads.exit_last", exit_last),
    ("threads.fork_from_thread", fork_from_thread),
    ("threads.kill_ends_all", kill_ends_all),
    ("threads.stack_sizes", stack_sizes),
    ("threads.fpu_state", fpu_state),
    ("threads.affinity", affinity),
    ("threads.sched_policy", policy),
    ("threads.priority", priority),
    ("threads.yield", yields),
    ("threads.preemption", preemption),
    ("threads.set_tid_address", set_tid_address),
];

fn share_memory() -> Outcome {
    let value = Arc::new(AtomicI32::new(0));
    let theirs = value.clone();
    thread::spawn(move || theirs.store(5, SeqCst)).join().map_err(|_| "panic")?;
    eq!(value.load(SeqCst), 5);
    Ok(())
}

fn many() -> Outcome {
    let sum = Arc::new(AtomicU64::new(0));
    for _ in 0..5 {
        let all: Vec<_> = (0..40u64)
            .map(|i| {
                let sum = sum.clone();
                thread::spawn(move || sum.fetch_add(i, SeqCst))
            })
            .collect();
        for t in all {
            t.join().map_err(|_| "panic")?;
        }
    }
    eq!(sum.load(SeqCst), 5 * 780);
    Ok(())
}

fn ids() -> Outcome {
    let me = std::process::id() as i32;
    eq!(c!(libc::gettid()), me);
    // SAFETY: take nothing.
    let (tid, pid) = thread::spawn(|| unsafe { (libc::gettid(), libc::getpid()) }).join().map_err(|_| "panic")?;
    eq!(pid, me);
    ck!(tid != me && tid > 0);
    Ok(())
}

thread_local! {
    static LOCAL: std::cell::Cell<u32> = const { std::cell::Cell::new(7) };
}

fn tls() -> Outcome {
    LOCAL.set(1);
    let all: Vec<_> = (10..20)
        .map(|i| {
            thread::spawn(move || {
                let before = LOCAL.get();
                LOCAL.set(i);
                for _ in 0..20 {
                    thread::yield_now();
                }
                (before, LOCAL.get() == i)
            })
        })
        .collect();
    for t in all {
        eq!(t.join().map_err(|_| "panic")?, (7, true));
    }
    eq!(LOCAL.get(), 1);
    Ok(())
}

fn mutex() -> Outcome {
    let value = Arc::new(Mutex::new(0u64));
    let all: Vec<_> = (0..4)
        .map(|_| {
            let value = value.clone();
            thread::spawn(move || {
                for _ in 0..5000 {
                    if let Ok(mut v) = value.lock() {
                        *v += 1;
                    }
                }
            })
        })
        .collect();
    for t in all {
        t.join().map_err(|_| "panic")?;
    }
    eq!(*value.lock().map_err(|_| "poison")?, 20_000);
    Ok(())
}

fn condvar() -> Outcome {
    let pair = Arc::new((Mutex::new(0u32), Condvar::new()));
    let theirs = pair.clone();
    let play = |pair: &(Mutex<u32>, Condvar), odd: u32| {
        for _ in 0..500 {
            let Ok(mut turn) = pair.0.lock() else { return };
            while *turn % 2 != odd {
                turn = match pair.1.wait(turn) {
                    Ok(t) => t,
                    Err(_) => return,
                };
            }
            *turn += 1;
            pair.1.notify_one();
        }
    };
    let other = thread::spawn(move || play(&theirs, 1));
    play(&pair, 0);
    other.join().map_err(|_| "panic")?;
    eq!(*pair.0.lock().map_err(|_| "poison")?, 1000);
    Ok(())
}

fn barrier() -> Outcome {
    let wall = Arc::new(Barrier::new(8));
    let leaders = Arc::new(AtomicI32::new(0));
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (wall, leaders) = (wall.clone(), leaders.clone());
            thread::spawn(move || {
                for _ in 0..20 {
                    if wall.wait().is_leader() {
                        leaders.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for t in all {
        t.join().map_err(|_| "panic")?;
    }
    eq!(leaders.load(SeqCst), 20);
    Ok(())
}

fn share_files() -> Outcome {
    let path = dir()?;
    let fd = thread::spawn(move || {
        std::env::set_current_dir(path).map_err(|e| e.to_string())?;
        open("/dev/null", libc::O_RDONLY)
    })
    .join()
    .map_err(|_| "panic")??;
    c!(libc::fcntl(fd, libc::F_GETFD));
    eq!(std::env::current_dir().map_err(|e| e.to_string())?.to_string_lossy(), dir()?);
    Ok(())
}

fn proc_task() -> Outcome {
    let stop = Arc::new(AtomicI32::new(0));
    let all: Vec<_> = (0..3)
        .map(|i| {
            let stop = stop.clone();
            thread::Builder::new().name(format!("worker{i}")).spawn(move || {
                while stop.load(SeqCst) == 0 {
                    sleep_ms(5);
                }
            })
        })
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let mut names = Vec::new();
    until("four tasks with their names", || {
        names = std::fs::read_dir("/proc/self/task")
            .map(|d| d.flatten().map(|e| text(&format!("{}/comm", e.path().display())).unwrap_or_default()).collect())
            .unwrap_or_default();
        names.len() == 4 && (0..3).all(|i| names.contains(&format!("worker{i}\n")))
    })?;
    ck!(text("/proc/self/status")?.contains("\nThreads:\t4\n"));
    stop.store(1, SeqCst);
    for t in all {
        t.join().map_err(|_| "panic")?;
    }
    Ok(())
}

fn exit_last() -> Outcome {
    // The first thread ends alone; the process lives until its last thread does, whose status counts.
    let (r, w) = pipe()?;
    let pid = child(|| {
        thread::spawn(move || {
            let _ = read(r, 1);
            // SAFETY: ends all.
            unsafe { libc::_exit(9) };
        });
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 3) };
        0
    })?;
    until("the leader waits as a zombie", || state(pid) == 'Z')?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    write(w, b"x")?;
    eq!(exit_of(pid)?, 9);
    // All threads by themselves: the leader's status is the process's.
    let pid = child(|| {
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 11) };
        0
    })?;
    eq!(exit_of(pid)?, 11);
    Ok(())
}

fn fork_from_thread() -> Outcome {
    thread::spawn(|| {
        let pid = child(|| i32::from(text("/proc/self/status").is_ok_and(|s| !s.contains("\nThreads:\t1\n"))))?;
        eq!(exit_of(pid)?, 0);
        Ok(())
    })
    .join()
    .map_err(|_| "panic")?
}

fn kill_ends_all() -> Outcome {
    let pid = child(|| {
        for _ in 0..4 {
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        loop {
            sleep_ms(1000);
        }
    })?;
    sleep_ms(50);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn stack_sizes() -> Outcome {
    for size in [16 << 10, 256 << 10, 8 << 20] {
        let got = thread::Builder::new()
            .stack_size(size)
            .spawn(move || {
                let buf = std::hint::black_box([1u8; 8 << 10]);
                buf.iter().map(|b| *b as usize).sum::<usize>()
            })
            .map_err(|e| e.to_string())?
            .join()
            .map_err(|_| "panic")?;
        eq!(got, 8 << 10);
    }
    Ok(())
}

fn fpu_state() -> Outcome {
    // Each thread keeps values in vector registers over many switches.
    let all: Vec<_> = (0..4u64)
        .map(|i| {
            thread::spawn(move || {
                let mut good = true;
                for round in 0..300u64 {
                    let (put, got): (u64, u64) = (i << 32 | round, 0);
                    let mut got = got;
                    // SAFETY: uses one vector register, declared; sched_yield changes rax, rcx and r11.
                    unsafe {
                        core::arch::asm!("movq xmm7, {put}", "syscall", "movq {got}, xmm7", put = in(reg) put, got = lateout(reg) got,
                                         inout("rax") libc::SYS_sched_yield => _, out("rcx") _, out("r11") _, out("xmm7") _);
                    }
                    good &= got == put;
                }
                good
            })
        })
        .collect();
    for t in all {
        ck!(t.join().map_err(|_| "panic")?, "a vector register changed");
    }
    Ok(())
}

fn affinity() -> Outcome {
    // SAFETY: all zero is an empty set; sizes are right.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        c!(libc::sched_getaffinity(0, size, &mut set));
        let cpus: Vec<usize> = (0..64).filter(|i| libc::CPU_ISSET(*i, &set)).collect();
        ck!(!cpus.is_empty());
        for cpu in &cpus {
            let mut one: libc::cpu_set_t = core::mem::zeroed();
            libc::CPU_SET(*cpu, &mut one);
            c!(libc::sched_setaffinity(0, size, &one));
            eq!(c!(libc::sched_getcpu()) as usize, *cpu);
            let pid = child(|| i32::from(libc::sched_getcpu() as usize != *cpu))?; // inherited
            eq!(exit_of(pid)?, 0);
        }
        let none: libc::cpu_set_t = core::mem::zeroed();
        fails!(libc::sched_setaffinity(0, size, &none), libc::EINVAL);
        fails!(libc::sched_setaffinity(0x3fff_ffff, size, &set), libc::ESRCH);
        fails!(libc::syscall(libc::SYS_sched_getaffinity, 0, 4, &raw mut set), libc::EINVAL);
        c!(libc::sched_setaffinity(0, size, &set));
    }
    Ok(())
}

fn policy() -> Outcome {
    // SAFETY: live structures and numbers.
    unsafe {
        eq!(c!(libc::sched_getscheduler(0)), libc::SCHED_OTHER);
        let p = libc::sched_param { sched_priority: 10 };
        c!(libc::sched_setscheduler(0, libc::SCHED_FIFO, &p));
        eq!(c!(libc::sched_getscheduler(0)), libc::SCHED_FIFO);
        let mut got = libc::sched_param { sched_priority: 0 };
        c!(libc::sched_getparam(0, &mut got));
        eq!(got.sched_priority, 10);
        c!(libc::sched_setscheduler(0, libc::SCHED_RR, &p));
        let zero = libc::sched_param { sched_priority: 0 };
        fails!(libc::sched_setscheduler(0, libc::SCHED_FIFO, &zero), libc::EINVAL);
        fails!(libc::sched_setscheduler(0, 77, &zero), libc::EINVAL);
        c!(libc::sched_setscheduler(0, libc::SCHED_OTHER, &zero));
        eq!(libc::sched_get_priority_max(libc::SCHED_FIFO), 99);
        eq!(libc::sched_get_priority_min(libc::SCHED_FIFO), 1);
        eq!(libc::sched_get_priority_max(libc::SCHED_OTHER), 0);
        fails!(libc::sched_get_priority_max(77), libc::EINVAL);
    }
    in_child(|| {
        c!(libc::setuid(1000));
        let p = libc::sched_param { sched_priority: 10 };
        fails!(libc::sched_setscheduler(0, libc::SCHED_FIFO, &p), libc::EPERM);
        Ok(())
    })
}

fn priority() -> Outcome {
    eq!(c!(libc::getpriority(libc::PRIO_PROCESS, 0)), 0);
    c!(libc::setpriority(libc::PRIO_PROCESS, 0, 5));
    eq!(c!(libc::getpriority(libc::PRIO_PROCESS, 0)), 5);
    eq!(c!(libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0)), 15); // 20 - nice
    c!(libc::setpriority(libc::PRIO_PROCESS, 0, 100)); // clamped
    eq!(c!(libc::getpriority(libc::PRIO_PROCESS, 0)), 19);
    let field = text("/proc/self/stat")?;
    let words: Vec<&str> = field.rsplit(") ").next().unwrap_or("").split(' ').collect();
    eq!(words.get(16), Some(&"19"));
    fails!(libc::setpriority(9, 0, 0), libc::EINVAL);
    fails!(libc::setpriority(libc::PRIO_PROCESS, 0x3fff_ffff, 0), libc::ESRCH);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::setpriority(libc::PRIO_PROCESS, 0, 0), libc::EACCES);
        Ok(())
    })
}

fn yields() -> Outcome {
    for _ in 0..1000 {
        c!(libc::sched_yield());
    }
    Ok(())
}

fn preemption() -> Outcome {
    // More spinning threads than CPUs: each must make progress, and a sleeper must wake in time.
    let stop = Arc::new(AtomicI32::new(0));
    let rounds: Arc<[AtomicI32; 6]> = Arc::new([const { AtomicI32::new(0) }; 6]);
    let all: Vec<_> = (0..6)
        .map(|i| {
            let (stop, rounds) = (stop.clone(), rounds.clone());
            thread::spawn(move || {
                while stop.load(SeqCst) == 0 {
                    rounds[i].store(rounds[i].load(SeqCst).wrapping_add(1) | 1, SeqCst);
                }
            })
        })
        .collect();
    let start = now_ms();
    for _ in 0..10 {
        sleep_ms(10);
    }
    let took = now_ms() - start;
    // On a slow machine the CPUs themselves may get little.
    let fair = crate::util::until("every thread runs", || rounds.iter().all(|n| n.load(SeqCst) != 0));
    stop.store(1, SeqCst);
    for t in all {
        t.join().map_err(|_| "panic")?;
    }
    fair?;
    ck!(took < 15_000, "10 sleeps of 10 ms took {took} ms");
    Ok(())
}

fn set_tid_address() -> Outcome {
    let mut word = 5i32;
    // SAFETY: the word outlives the process.
    eq!(c!(libc::syscall(libc::SYS_set_tid_address, &raw mut word)) as u32, std::process::id());
    Ok(())
}

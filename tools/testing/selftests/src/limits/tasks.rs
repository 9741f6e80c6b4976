// SPDX-License-Identifier: GPL-2.0
//! Processes and threads up to their limits.

use super::{Setting, USER, become_user, breed, cull, limit};
use crate::util::{Outcome, child, close, errno, exit_of, in_child, now_ms, pipe, read, text, until, wait, write};
use crate::{c, ck, eq, fails};

/// Every process forks until it cannot, for ever; then one of the same user ends them all.
pub(super) fn fork_bomb() -> Outcome {
    const MOST: u64 = 60;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let page = c!(libc::mmap(core::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) as isize);
    // SAFETY: a new page that stays mapped; zero is a value of it.
    let full = unsafe { &*(page as *const std::sync::atomic::AtomicUsize) };
    let bomb = child(|| {
        if limit(libc::RLIMIT_NPROC, MOST).is_err() {
            return 1;
        }
        // SAFETY: plain calls of a process with one thread.
        unsafe {
            libc::setsid();
            if libc::setuid(USER) != 0 {
                return 2;
            }
            // Whatever happens to the test, the bomb ends.
            let end = now_ms() + 50_000;
            while now_ms() < end {
                if libc::fork() < 0 {
                    full.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    libc::usleep(5000);
                }
            }
            0
        }
    })?;
    until("the bomb is full", || full.load(std::sync::atomic::Ordering::SeqCst) > 0)?;
    let count = || {
        let mut n = 0;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            n += u64::from(status.contains(&format!("Uid:\t{USER}\t")) && !status.contains("State:\tZ"));
        }
        n
    };
    let there = count();
    ck!((MOST / 2..=MOST).contains(&there), "{there} processes");
    // Others still get processes.
    eq!(exit_of(child(|| 7)?)?, 7);
    let end = now_ms() + 40_000;
    loop {
        let killer = child(|| {
            // SAFETY: this process's own user's processes.
            unsafe {
                libc::setuid(USER);
                libc::kill(-1, libc::SIGKILL);
            }
            0
        });
        wait(killer?)?;
        let left = count();
        if left == 0 {
            break;
        }
        ck!(now_ms() < end, "{left} processes cannot be ended");
    }
    wait(bomb)?;
    Ok(())
}

pub(super) fn threads() -> Outcome {
    let _most = Setting::new("kernel/threads-max", "20000")?;
    in_child(|| {
        const THREADS: usize = 4000;
        static GO: std::sync::Barrier = std::sync::Barrier::new(THREADS + 1);
        static RAN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let mut all = Vec::new();
        for i in 0..THREADS {
            let thread = std::thread::Builder::new().stack_size(16 << 10).spawn(|| {
                GO.wait();
                RAN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
            all.push(thread.map_err(|e| format!("thread {i}: {e}"))?);
        }
        let status = text("/proc/self/status")?;
        ck!(status.contains(&format!("Threads:\t{}\n", THREADS + 1)), "{status}");
        GO.wait();
        for thread in all {
            thread.join().map_err(|_| "join")?;
        }
        eq!(RAN.load(std::sync::atomic::Ordering::Relaxed), THREADS);
        Ok(())
    })
}

/// 1000 zombies wait at once, and are collected in any order.
pub(super) fn many_children() -> Outcome {
    const CHILDREN: usize = 1000;
    let mut pids = Vec::new();
    for i in 0..CHILDREN {
        pids.push(child(|| (i % 100) as i32)?);
    }
    for (i, pid) in pids.iter().enumerate().rev() {
        eq!(exit_of(*pid)?, (i % 100) as i32);
    }
    fails!(libc::waitpid(-1, core::ptr::null_mut(), 0), libc::ECHILD);
    Ok(())
}

/// So many processes of a user, and not one more; root has no limit.
pub(super) fn nproc() -> Outcome {
    const MOST: u64 = 12;
    in_child(|| {
        limit(libc::RLIMIT_NPROC, MOST)?;
        let (mine, error) = breed(20);
        eq!((mine.len(), error), (20, 0));
        cull(&mine);
        become_user()?;
        let (theirs, error) = breed(20);
        eq!((theirs.len() as u64, error), (MOST - 1, libc::EAGAIN));
        fails!(libc::syscall(libc::SYS_vfork), libc::EAGAIN);
        cull(&theirs[..2]);
        let (more, error) = breed(20);
        eq!((more.len(), error), (2, libc::EAGAIN));
        cull(&theirs[2..]);
        cull(&more);
        Ok(())
    })
}

/// A zombie counts until it is collected.
pub(super) fn nproc_zombies() -> Outcome {
    in_child(|| {
        limit(libc::RLIMIT_NPROC, 4)?;
        become_user()?;
        let mut pids = Vec::new();
        for _ in 0..3 {
            pids.push(child(|| 0)?);
        }
        for pid in &pids {
            let pid = *pid;
            until("a zombie", || crate::util::state(pid) == 'Z')?;
        }
        fails!(libc::fork(), libc::EAGAIN);
        eq!(exit_of(pids[1])?, 0);
        eq!(exit_of(child(|| 7)?)?, 7);
        fails!(libc::waitpid(pids[1], core::ptr::null_mut(), 0), libc::ECHILD);
        Ok(())
    })
}

/// `setuid` to a user who has too many processes works, `execve` after it does not, until some are gone.
pub(super) fn nproc_exec() -> Outcome {
    let (r, w) = pipe()?;
    let others = child(|| {
        if become_user().is_err() {
            return 1;
        }
        let (pids, _) = breed(5);
        let _ = write(w, b"x");
        close(w);
        // The test's end of the pipe is the word to stop.
        let _ = read(r, 0);
        crate::util::sleep_ms(20_000);
        cull(&pids);
        0
    })?;
    read(r, 1)?;
    let exec = |allowed: u64, forked: bool| -> Result<i32, String> {
        exit_of(child(|| {
            if limit(libc::RLIMIT_NPROC, allowed).is_err() || become_user().is_err() {
                return 101;
            }
            // SAFETY: plain calls; the arrays end with null.
            unsafe {
                if forked && libc::fork() != -1 {
                    return 102;
                }
                let argv =
                    [c"selftest".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"0".as_ptr(), core::ptr::null()];
                libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr());
            }
            errno()
        })?)
    };
    let outcome = (|| {
        eq!(exec(3, false)?, libc::EAGAIN);
        // Whether there are too many is seen before this one counts, ...
        eq!(exec(6, false)?, 0);
        eq!(exec(5, false)?, libc::EAGAIN);
        // ... and a fork that fails changes nothing.
        eq!(exec(3, true)?, libc::EAGAIN);
        Ok(())
    })();
    // SAFETY: the user's processes, and the one that made them.
    unsafe {
        let killer = child(|| {
            libc::setresuid(USER, USER, USER);
            libc::kill(-1, libc::SIGKILL);
            0
        })?;
        wait(killer)?;
    }
    wait(others)?;
    outcome
}

/// Threads count as processes do.
pub(super) fn nproc_threads() -> Outcome {
    in_child(|| {
        limit(libc::RLIMIT_NPROC, 6)?;
        become_user()?;
        static STOP: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let stop = STOP.lock();
        let mut all = Vec::new();
        for _ in 0..10 {
            match std::thread::Builder::new().stack_size(16 << 10).spawn(|| drop(STOP.lock())) {
                Ok(thread) => all.push(thread),
                Err(why) => {
                    eq!(why.raw_os_error(), Some(libc::EAGAIN));
                    break;
                }
            }
        }
        eq!(all.len(), 5);
        fails!(libc::fork(), libc::EAGAIN);
        drop(stop);
        for thread in all {
            thread.join().map_err(|_| "join")?;
        }
        Ok(())
    })
}

/// Tasks in all, as `/proc/loadavg` says.
fn tasks() -> Result<u64, String> {
    let text = text("/proc/loadavg")?;
    let total = text.split('/').nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(total.ok_or(text)?)
}

/// `kernel.threads-max` is for root, too.
pub(super) fn threads_max() -> Outcome {
    const FILE: &str = "/proc/sys/kernel/threads-max";
    let most = tasks()? + 20;
    {
        let _most = Setting::new("kernel/threads-max", most)?;
        eq!(text(FILE)?, format!("{most}\n"));
        let (pids, error) = breed(60);
        let made = pids.len();
        cull(&pids);
        eq!(error, libc::EAGAIN);
        // Kernel threads come and go meanwhile.
        ck!((10..=30).contains(&made), "{made} processes");
    }
    let (pids, error) = breed(40);
    cull(&pids);
    eq!((pids.len(), error), (40, 0));
    for wrong in ["0", "-1", "1073741824", "x"] {
        ck!(std::fs::write(FILE, wrong).is_err(), "threads-max takes {wrong}");
    }
    Ok(())
}

/// Numbers run out.
pub(super) fn pid_max() -> Outcome {
    const FILE: &str = "/proc/sys/kernel/pid_max";
    for wrong in ["0", "300", "4194305"] {
        ck!(std::fs::write(FILE, wrong).is_err(), "pid_max takes {wrong}");
    }
    let _most = Setting::new("kernel/pid_max", 600)?;
    in_child(|| {
        let (pids, error) = breed(700);
        let made = pids.len();
        cull(&pids);
        eq!(error, libc::EAGAIN);
        ck!((200..600).contains(&made), "{made} processes");
        eq!(exit_of(child(|| 3)?)?, 3);
        Ok(())
    })
}

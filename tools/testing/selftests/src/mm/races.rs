// SPDX-License-Identifier: GPL-2.0
//! Threads and processes that use and change memory at the same time.

use super::*;

pub(super) fn threads_fault() -> Outcome {
    let at = map(512 * PAGE, RW)?;
    let all: Vec<_> = (0..4usize)
        .map(|t| {
            std::thread::spawn(move || {
                for i in 0..512 {
                    let word = (at + i * PAGE + t * 8) as *mut u64;
                    // SAFETY: each thread has its own word of each page.
                    unsafe { word.write_volatile((i * 10 + t) as u64) };
                }
            })
        })
        .collect();
    for t in all {
        t.join().map_err(|_| "panic")?;
    }
    for i in 0..512 {
        for t in 0..4 {
            // SAFETY: in the mapping.
            eq!(unsafe { ((at + i * PAGE + t * 8) as *const u64).read_volatile() }, (i * 10 + t) as u64);
        }
    }
    Ok(())
}

pub(super) fn unmap_race() -> Outcome {
    // One thread maps and unmaps; the other makes system calls into the memory: EFAULT or success, no more.
    let at = map(PAGE, RW)?;
    let stop = std::sync::Arc::new(core::sync::atomic::AtomicBool::new(false));
    let good = std::sync::Arc::new(core::sync::atomic::AtomicUsize::new(0));
    let (theirs, counter) = (stop.clone(), good.clone());
    let other = std::thread::spawn(move || {
        let zero = open("/dev/zero", libc::O_RDONLY).unwrap_or(-1);
        while !theirs.load(core::sync::atomic::Ordering::SeqCst) {
            // SAFETY: the kernel checks the address.
            let n = unsafe { libc::read(zero, at as *mut libc::c_void, PAGE) };
            if n < 0 && errno() != libc::EFAULT {
                return false;
            }
            counter.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
        }
        true
    });
    crate::util::until("the other thread runs", || good.load(core::sync::atomic::Ordering::SeqCst) > 0)?;
    for _ in 0..300 {
        c!(unmap(at, PAGE));
        c!(raw_map(at, PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0));
        poke(at, 1);
    }
    stop.store(true, core::sync::atomic::Ordering::SeqCst);
    ck!(other.join().map_err(|_| "panic")?);
    Ok(())
}

pub(super) fn fork_race() -> Outcome {
    // A thread counts up in memory while the process forks: no increment is lost, no child sees time go back.
    let at = map(PAGE, RW)?;
    let stop = std::sync::Arc::new(core::sync::atomic::AtomicBool::new(false));
    let theirs = stop.clone();
    let other = std::thread::spawn(move || {
        let mut n = 0u64;
        while !theirs.load(core::sync::atomic::Ordering::SeqCst) {
            n += 1;
            // SAFETY: the page is this thread's to write.
            unsafe {
                (at as *mut u64).write_volatile(n);
                if (at as *const u64).read_volatile() != n {
                    return false;
                }
            }
        }
        true
    });
    for _ in 0..40 {
        let pid = child(|| {
            // SAFETY: a page that only this process has now.
            let (one, two) = unsafe { ((at as *const u64).read_volatile(), (at as *const u64).read_volatile()) };
            i32::from(one != two)
        })?;
        eq!(exit_of(pid)?, 0);
    }
    stop.store(true, core::sync::atomic::Ordering::SeqCst);
    ck!(other.join().map_err(|_| "panic")?, "a write was lost");
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! Threads that fault while others change the address space: around them, in the middle of their mapping, and all of it at once.

use crate::util::{Outcome, SKIP, child, close, exit_of, now_ms};
use crate::{Test, c, ck, eq};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

pub const TESTS: &[Test] = &[
    ("faults.beside_maps", beside_maps),
    ("faults.in_one_mapping", in_one_mapping),
    ("faults.beside_fork", beside_fork),
    ("faults.stack_grows", stack_grows),
    ("faults.go_on", go_on),
];

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
/// How long each test keeps threads and changes going.
const SPAN: u64 = 500;

fn map(at: usize, pages: usize, flags: i32, fd: i32) -> Result<usize, String> {
    Ok(c!(libc::mmap(at as *mut _, pages * PAGE, RW, flags, fd, 0) as i64) as usize)
}

fn unmap(at: usize, pages: usize) -> Outcome {
    c!(libc::munmap(at as *mut _, pages * PAGE));
    Ok(())
}

fn protect(at: usize, pages: usize, prot: i32) -> Outcome {
    c!(libc::mprotect(at as *mut _, pages * PAGE, prot));
    Ok(())
}

/// The page's first word, which is in a mapping of the test's own.
fn peek(at: usize) -> u64 {
    // SAFETY: as said.
    unsafe { (at as *const u64).read_volatile() }
}

fn poke(at: usize, value: u64) {
    // SAFETY: as of `peek`.
    unsafe { (at as *mut u64).write_volatile(value) }
}

fn drop_pages(at: usize, pages: usize) {
    // SAFETY: as of `peek`.
    unsafe { libc::madvise(at as *mut _, pages * PAGE, libc::MADV_DONTNEED) };
}

/// Runs `bodies` in threads, each again and again until `change` has been called for a while; none may find anything wrong.
fn beside(bodies: &[&(dyn Fn(u64) -> bool + Sync)], mut change: impl FnMut(usize) -> Outcome) -> Outcome {
    let (stop, bad) = (AtomicBool::new(false), AtomicU64::new(0));
    let rounds: Vec<AtomicU64> = bodies.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for (body, round) in bodies.iter().zip(&rounds) {
            let (stop, bad) = (&stop, &bad);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    if !body(round.fetch_add(1, SeqCst)) {
                        bad.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let end = now_ms() + SPAN;
        let mut result = Ok(());
        let mut step = 0;
        // Everybody has a turn, also with one CPU.
        while result.is_ok() && (now_ms() < end || rounds.iter().any(|round| round.load(SeqCst) == 0)) {
            result = change(step);
            step += 1;
        }
        stop.store(true, SeqCst);
        result
    })?;
    eq!(bad.load(SeqCst), 0);
    Ok(())
}

/// Mappings come and go next to those in which threads fault.
fn beside_maps() -> Outcome {
    const PAGES: usize = 16;
    let fd = c!(libc::memfd_create(c"faults".as_ptr(), 0));
    for page in 0..PAGES as u64 {
        let bytes = (page + 1000).to_ne_bytes();
        eq!(c!(libc::pwrite(fd, bytes.as_ptr().cast(), 8, (page as usize * PAGE) as i64)), 8);
    }
    c!(libc::ftruncate(fd, (PAGES * PAGE) as i64));
    let anon = map(0, PAGES, ANON, -1)?;
    let private = map(0, PAGES, libc::MAP_PRIVATE, fd)?;
    let other = c!(libc::memfd_create(c"other".as_ptr(), 0));
    c!(libc::ftruncate(other, (PAGES * PAGE) as i64));
    let shared = map(0, PAGES, libc::MAP_SHARED, other)?;
    // Each reads what is there before, writes, and reads that; what was private is forgotten then.
    let pass = |at: usize, round: u64, before: &dyn Fn(u64) -> u64| {
        let good = (0..PAGES as u64).all(|page| {
            let addr = at + page as usize * PAGE;
            let first = (round + page).is_multiple_of(2) || peek(addr) == before(page);
            poke(addr, round * 100 + page);
            first && peek(addr) == round * 100 + page
        });
        drop_pages(at, PAGES);
        good
    };
    let bodies: [&(dyn Fn(u64) -> bool + Sync); 3] =
        [&|round| pass(anon, round, &|_| 0), &|round| pass(private, round, &|page| page + 1000), &|round| {
            pass(shared, round, &|page| if round == 0 { 0 } else { (round - 1) * 100 + page })
        }];
    beside(&bodies, |step| {
        let pages = 2 + step % 5;
        let at = map(0, pages, ANON, -1)?;
        poke(at, 1);
        protect(at + PAGE, 1, libc::PROT_READ)?;
        eq!((peek(at), peek(at + PAGE)), (1, 0));
        let file = map(0, PAGES, libc::MAP_SHARED, fd)?;
        eq!(peek(file + 3 * PAGE), 1003);
        let moved = c!(libc::mremap(at as *mut _, PAGE, 3 * PAGE, libc::MREMAP_MAYMOVE) as i64) as usize;
        eq!((peek(moved), peek(moved + 2 * PAGE)), (1, if moved == at { peek(at + 2 * PAGE) } else { 0 }));
        unmap(moved, 3)?;
        unmap(at, pages)?;
        unmap(file, PAGES)
    })?;
    close(fd);
    close(other);
    Ok(())
}

/// Pieces of one mapping are taken out, put back and protected between the pages in which threads fault.
fn in_one_mapping() -> Outcome {
    const BLOCK: usize = 3;
    const THREADS: usize = 3;
    let at = map(0, 2 * BLOCK * THREADS + 2, ANON, -1)?;
    // Blocks of the threads, and after each one that is changed.
    let block = |number: usize| at + (2 * number * BLOCK + 1) * PAGE;
    let fault = |thread: usize, round: u64| {
        let own = block(thread);
        let good = (0..BLOCK).all(|page| {
            let addr = own + page * PAGE;
            let before = peek(addr);
            poke(addr, round + 1);
            before == 0 && peek(addr) == round + 1
        });
        drop_pages(own, BLOCK);
        good
    };
    let bodies: [&(dyn Fn(u64) -> bool + Sync); THREADS] =
        [&|round| fault(0, round), &|round| fault(1, round), &|round| fault(2, round)];
    beside(&bodies, |step| {
        let place = block(step % THREADS) + BLOCK * PAGE + step % 2 * PAGE;
        match step / THREADS % 4 {
            0 => {
                unmap(place, 2)?;
                map(place, 2, ANON | libc::MAP_FIXED, -1)?;
            }
            1 => {
                protect(place, 1, libc::PROT_NONE)?;
                protect(place, 1, RW)?;
            }
            2 => {
                c!(libc::madvise(place as *mut _, PAGE, libc::MADV_DONTFORK));
                c!(libc::madvise(place as *mut _, PAGE, libc::MADV_DOFORK));
            }
            _ => {
                c!(libc::mlock(place as *const _, PAGE));
                c!(libc::munlock(place as *const _, PAGE));
            }
        }
        poke(place, step as u64 + 1);
        eq!(peek(place), step as u64 + 1);
        drop_pages(place, 2);
        Ok(())
    })
}

/// A child has its parent's memory as it was at one moment, whatever threads write.
fn beside_fork() -> Outcome {
    const THREADS: usize = 3;
    const PAGES: usize = 4;
    let at = map(0, THREADS * PAGES, ANON, -1)?;
    let page = |thread: usize, page: usize| at + (thread * PAGES + page) * PAGE;
    // One after the other gets the number of the round.
    let write = |thread: usize, round: u64| {
        (0..PAGES).for_each(|each| poke(page(thread, each), round + 1));
        (0..PAGES).all(|each| peek(page(thread, each)) == round + 1)
    };
    let bodies: [&(dyn Fn(u64) -> bool + Sync); THREADS] =
        [&|round| write(0, round), &|round| write(1, round), &|round| write(2, round)];
    beside(&bodies, |_| {
        let pid = child(|| {
            let seen = |thread: usize| {
                let first = peek(page(thread, 0));
                // Those that were not reached yet have one less.
                let mut less = 0;
                (1..PAGES).all(|each| {
                    let now = first.wrapping_sub(peek(page(thread, each)));
                    let good = now == less || now == 1;
                    less = now;
                    good
                })
            };
            i32::from(!(0..THREADS).all(seen))
        })?;
        eq!(exit_of(pid)?, 0);
        Ok(())
    })
}

/// A mapping that grows downwards does so while others fault in it.
fn stack_grows() -> Outcome {
    const PAGES: usize = 64;
    for _ in 0..8 {
        // What cannot be accessed stays below, so that nothing comes too near.
        let room = map(0, 2 * PAGES + 1, ANON, -1)?;
        protect(room, 1, libc::PROT_NONE)?;
        unmap(room + PAGE, 2 * PAGES)?;
        let top = room + (2 * PAGES + 1) * PAGE;
        let flags = ANON | libc::MAP_GROWSDOWN | libc::MAP_FIXED;
        map(top - PAGES * PAGE, PAGES, flags, -1)?;
        let inside = |round: u64| {
            let good = (1..=PAGES / 2).all(|page| {
                let addr = top - page * PAGE;
                let before = peek(addr);
                poke(addr, round + 1);
                before == 0 && peek(addr) == round + 1
            });
            drop_pages(top - PAGES / 2 * PAGE, PAGES / 2);
            good
        };
        let mut next = top - (PAGES + 1) * PAGE;
        let stop = AtomicBool::new(false);
        let good = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut round = 0;
                while !stop.load(SeqCst) {
                    if !inside(round) {
                        return false;
                    }
                    round += 1;
                }
                true
            });
            for _ in 0..PAGES {
                poke(next, 5);
                next -= PAGE;
            }
            stop.store(true, SeqCst);
            thread.join().unwrap_or(false)
        });
        ck!(good);
        ck!((PAGES + 1..=2 * PAGES).all(|page| peek(top - page * PAGE) == 5));
        unmap(room, 2 * PAGES + 1)?;
    }
    Ok(())
}

/// Faults do not wait until a large mapping elsewhere is gone.
fn go_on() -> Outcome {
    const OWN: usize = 4096;
    const LARGE: usize = 4096;
    const ROUNDS: usize = 24;
    if std::thread::available_parallelism().map_or(1, |count| count.get()) < 2 {
        return Err(format!("{SKIP}one CPU"));
    }
    let own = map(0, OWN, ANON, -1)?;
    // SAFETY: changes nothing; without huge pages it fails.
    unsafe { libc::madvise(own as *mut _, OWN * PAGE, libc::MADV_NOHUGEPAGE) };
    let (faults, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let during = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                for page in 0..OWN {
                    poke(own + page * PAGE, 1);
                    faults.fetch_add(1, SeqCst);
                }
                drop_pages(own, OWN);
            }
        });
        let mut during = 0;
        let mut rounds = || -> Outcome {
            for _ in 0..ROUNDS {
                let large = map(0, LARGE, ANON, -1)?;
                // SAFETY: as above.
                unsafe { libc::madvise(large as *mut _, LARGE * PAGE, libc::MADV_NOHUGEPAGE) };
                (0..LARGE).for_each(|page| poke(large + page * PAGE, 1));
                let before = faults.load(SeqCst);
                unmap(large, LARGE)?;
                during += faults.load(SeqCst) - before;
            }
            Ok(())
        };
        let result = rounds();
        stop.store(true, SeqCst);
        result.map(|()| during)
    })?;
    // One may end and one begin in each if they wait.
    ck!(during > 4 * ROUNDS as u64, "{during} faults while {ROUNDS} mappings went");
    unmap(own, OWN)
}

// SPDX-License-Identifier: GPL-2.0
//! `MADV_FREE`: memory that a program does not need is there until memory is short, and longer if it is written again.

use super::*;
use core::sync::atomic::{AtomicBool, Ordering};

const PAGES: usize = 64;
const LEN: usize = PAGES * PAGE;

fn advise(at: usize, len: usize, advice: i32) -> i32 {
    // SAFETY: a mapping of the test's own.
    unsafe { libc::madvise(at as *mut _, len, advice) }
}

/// Linux notes it for some pages at a time: those of the call before are noted with the next one.
fn free(at: usize, len: usize) -> Outcome {
    c!(advise(at, len, libc::MADV_FREE));
    c!(advise(at, len, libc::MADV_FREE));
    Ok(())
}

/// A mapping of single pages, each with its number in its first byte, from 1 on.
fn filled() -> Result<usize, String> {
    let at = map(LEN)?;
    small(at, LEN);
    (0..PAGES).for_each(|page| poke(at + page * PAGE, page as u8 + 1));
    Ok(at)
}

/// The first bytes of pages.
fn bytes(at: usize, pages: core::ops::Range<usize>) -> Vec<u8> {
    pages.map(|page| peek(at + page * PAGE)).collect()
}

fn numbers(pages: core::ops::Range<usize>) -> Vec<u8> {
    pages.map(|page| page as u8 + 1).collect()
}

/// A line of the mapping in smaps, in pages.
fn pages_of(at: usize, name: &str) -> Result<u64, String> {
    Ok(kib(&smaps_of(at)?, name)? / 4)
}

/// A figure of /proc/vmstat.
fn vmstat(name: &str) -> Result<u64, String> {
    let text = text("/proc/vmstat")?;
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|value| value.trim().parse().ok()).ok_or(format!("no {name} in vmstat"))
}

pub(super) fn shown() -> Outcome {
    let at = filled()?;
    eq!(pages_of(at, "LazyFree:")?, 0);
    let before = vmstat("pglazyfree")?;
    free(at, LEN)?;
    ck!(vmstat("pglazyfree")? >= before + PAGES as u64, "pglazyfree");
    let lines = smaps_of(at)?;
    let figures: Result<Vec<u64>, String> =
        ["Rss:", "Anonymous:", "LazyFree:", "Private_Clean:", "Private_Dirty:", "Referenced:", "Pss_Dirty:"]
            .iter()
            .map(|name| kib(&lines, name))
            .collect();
    eq!(figures?, [256, 256, 256, 256, 0, 0, 0]);
    // Looking changes nothing, a write does.
    eq!(bytes(at, 0..PAGES), numbers(0..PAGES));
    eq!((pages_of(at, "LazyFree:")?, pages_of(at, "Referenced:")?), (64, 64));
    (0..4).for_each(|page| poke(at + page * PAGE, 99));
    eq!((pages_of(at, "LazyFree:")?, pages_of(at, "Private_Dirty:")?), (60, 4));
    // And again.
    free(at, LEN)?;
    eq!(pages_of(at, "LazyFree:")?, 64);
    c!(advise(at, LEN / 2, libc::MADV_DONTNEED));
    eq!((pages_of(at, "LazyFree:")?, peek(at)), (32, 0));
    // In pagemap it is what it was.
    eq!(words(at, PAGES)?.iter().filter(|word| **word & PRESENT != 0).count(), PAGES / 2 + 1);
    Ok(())
}

pub(super) fn errors() -> Outcome {
    let at = filled()?;
    fails!(advise(at + 1, PAGE, libc::MADV_FREE), libc::EINVAL);
    let shared = map_with(PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    fails!(advise(shared, PAGE, libc::MADV_FREE), libc::EINVAL);
    let file = c!(libc::memfd_create(c"lazy".as_ptr(), 0));
    c!(libc::ftruncate(file, PAGE as i64));
    let private = c!(libc::mmap(core::ptr::null_mut(), PAGE, RW, libc::MAP_PRIVATE, file, 0) as i64) as usize;
    poke(private, 1);
    fails!(advise(private, PAGE, libc::MADV_FREE), libc::EINVAL);
    // Around a hole all is done.
    c!(libc::munmap((at + 32 * PAGE) as *mut _, PAGE));
    fails!(advise(at, LEN, libc::MADV_FREE), libc::ENOMEM);
    fails!(advise(at, LEN, libc::MADV_FREE), libc::ENOMEM);
    eq!((pages_of(at, "LazyFree:")?, pages_of(at + 33 * PAGE, "LazyFree:")?), (32, 31));
    in_child(|| {
        c!(libc::mlock(at as *const _, PAGE));
        fails!(advise(at, LEN, libc::MADV_FREE), libc::EINVAL);
        Ok(())
    })?;
    // Nothing of it may be asked for another.
    let own = c!(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0)) as i32;
    let piece = libc::iovec { iov_base: at as *mut _, iov_len: PAGE };
    fails!(libc::syscall(libc::SYS_process_madvise, own, &piece, 1, libc::MADV_FREE, 0), libc::EINVAL);
    close(own);
    Ok(())
}

/// What happens to the mapping keeps the mark; what asks for the pages takes it away.
pub(super) fn changes() -> Outcome {
    let mut at = filled()?;
    free(at, LEN)?;
    for rights in [libc::PROT_READ, libc::PROT_NONE, RW] {
        c!(libc::mprotect(at as *mut _, LEN, rights));
        eq!(pages_of(at, "LazyFree:")?, 64);
    }
    let room = map(LEN)?;
    at = c!(libc::mremap(at as *mut _, LEN, LEN, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, room) as i64) as usize;
    eq!((pages_of(at, "LazyFree:")?, bytes(at, 0..PAGES)), (64, numbers(0..PAGES)));
    c!(libc::mlock(at as *const _, 8 * PAGE));
    c!(libc::munlock(at as *const _, 8 * PAGE));
    eq!(pages_of(at, "LazyFree:")?, 56);
    // Another writes to it.
    let (local, remote) = (
        libc::iovec { iov_base: c"x".as_ptr() as *mut _, iov_len: 1 },
        libc::iovec { iov_base: (at + 8 * PAGE) as *mut _, iov_len: 1 },
    );
    eq!(c!(libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0)), 1);
    eq!(c!(libc::getrandom((at + 9 * PAGE) as *mut _, 1, 0)), 1);
    let random = peek(at + 9 * PAGE);
    c!(advise(at, LEN, libc::MADV_COLD));
    // It goes at once, without swap space too, but not what was written.
    let before = vmstat("pglazyfreed")?;
    c!(advise(at, LEN, libc::MADV_PAGEOUT));
    ck!(vmstat("pglazyfreed")? >= before + 54, "pglazyfreed");
    eq!(bytes(at, 0..8), numbers(0..8));
    eq!((peek(at + 8 * PAGE), peek(at + 9 * PAGE)), (b'x', random));
    eq!(bytes(at, 10..PAGES), vec![0; PAGES - 10]);
    Ok(())
}

pub(super) fn fork() -> Outcome {
    let at = filled()?;
    free(at, LEN / 2)?;
    in_child(|| {
        eq!((pages_of(at, "LazyFree:")?, bytes(at, 0..PAGES)), (32, numbers(0..PAGES)));
        poke(at, 77);
        eq!(pages_of(at, "LazyFree:")?, 31);
        Ok(())
    })?;
    eq!((pages_of(at, "LazyFree:")?, bytes(at, 0..PAGES)), (32, numbers(0..PAGES)));
    // What the parent does not need any more is the child's as before.
    let (r, w) = pipe()?;
    let pid = child(|| {
        let done = read(r, 1).is_ok() && bytes(at, 32..PAGES) == numbers(32..PAGES);
        i32::from(!done)
    })?;
    free(at, LEN)?;
    c!(advise(at, LEN, libc::MADV_PAGEOUT));
    write(w, b"x")?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// While a thread takes what is not needed, another uses its pages again and again: what it wrote since it gave them up is there.
pub(super) fn race() -> Outcome {
    let at = filled()?;
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let theirs = stop.clone();
    let taker = std::thread::spawn(move || {
        while !theirs.load(Ordering::Relaxed) {
            advise(at, LEN, libc::MADV_PAGEOUT);
            std::thread::yield_now();
        }
    });
    let mut result = Ok(());
    for round in 0..400usize {
        let value = (round % 250) as u8 + 1;
        let from = round % 4 * 16;
        c!(advise(at + from * PAGE, 16 * PAGE, libc::MADV_FREE));
        if round % 3 == 0 {
            std::thread::yield_now();
        }
        (from..from + 16).for_each(|page| poke(at + page * PAGE, value));
        if round % 5 == 0 {
            std::thread::yield_now();
        }
        let found = bytes(at, from..from + 16);
        if found != [value; 16] {
            result = Err(format!("round {round}: {found:?} for {value}"));
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    taker.join().map_err(|_| "panic")?;
    result
}

/// When memory is short what is not needed goes, and nobody is ended.
pub(super) fn short() -> Outcome {
    let free_kib = || -> Result<usize, String> {
        let text = text("/proc/meminfo")?;
        let lines: Vec<String> = text.lines().map(String::from).collect();
        Ok(kib(&lines, "MemFree:")? as usize)
    };
    let pages = free_kib()? / 4 * 6 / 10;
    let (freed, killed) = (vmstat("pglazyfreed")?, vmstat("oom_kill")?);
    let at = map(pages * PAGE)?;
    small(at, pages * PAGE);
    (0..pages).for_each(|page| poke(at + page * PAGE, (page % 251) as u8 + 1));
    free(at, pages * PAGE)?;
    // Some of it is needed after all.
    (0..pages).step_by(16).for_each(|page| poke(at + page * PAGE, 7));
    in_child(|| {
        let more = map(pages * PAGE)?;
        small(more, pages * PAGE);
        (0..pages).for_each(|page| poke(more + page * PAGE, (page % 241) as u8 + 1));
        ck!((0..pages).all(|page| peek(more + page * PAGE) == (page % 241) as u8 + 1), "the child's memory");
        Ok(())
    })?;
    let gone = vmstat("pglazyfreed")? - freed;
    ck!(gone as usize >= pages / 8, "of {pages} pages {gone} went");
    eq!(vmstat("oom_kill")?, killed);
    for page in 0..pages {
        let (found, whole) = (peek(at + page * PAGE), (page % 251) as u8 + 1);
        let right = if page % 16 == 0 { found == 7 } else { found == whole || found == 0 };
        ck!(right, "page {page} has {found}");
    }
    c!(libc::munmap(at as *mut _, pages * PAGE));
    Ok(())
}

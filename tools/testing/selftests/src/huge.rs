// SPDX-License-Identifier: GPL-2.0
//! Transparent huge pages: 2 MB that came with one fault are pages to everything that changes a part of them.

mod parts;
mod thread;

use crate::util::*;
use crate::vmem::show::{kib, smaps_of, status_of};
use crate::{Test, c, ck, eq, fails, pkeys};
use core::sync::atomic::{AtomicBool, Ordering};

pub const TESTS: &[Test] = &[
    ("huge.enabled", enabled),
    ("huge.first_touch", first_touch),
    ("huge.who_gets_none", who_gets_none),
    ("huge.read_first", read_first),
    ("huge.prctl", prctl),
    ("huge.unmap_part", parts::unmap_part),
    ("huge.protect_part", parts::protect_part),
    ("huge.protect_all", parts::protect_all),
    ("huge.protection_keys", parts::keys),
    ("huge.fork", parts::fork),
    ("huge.dont_need", parts::dont_need),
    ("huge.remap", parts::remap),
    ("huge.remote_access", parts::remote),
    ("huge.lock_part", parts::lock_part),
    ("huge.soft_dirty", parts::soft_dirty),
    ("huge.collapse", collapse),
    ("huge.system_calls", system_calls),
    ("huge.threads_first_touch", threads_first_touch),
    ("huge.threads_and_changes", threads_and_changes),
    ("huge.khugepaged_files", thread::files),
    ("huge.khugepaged_comes_and_goes", thread::comes_and_goes),
    ("huge.khugepaged_collapses", thread::collapses),
    ("huge.khugepaged_leaves_alone", thread::leaves_alone),
    ("huge.khugepaged_and_threads", thread::beside_threads),
    ("huge.khugepaged_and_ends", thread::ends),
];

const PAGE: usize = 4096;
const HUGE: usize = 2 << 20;
const PAGES: usize = HUGE / PAGE;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const DIR: &str = "/sys/kernel/mm/transparent_hugepage";

/// While it lives, who asks gets huge pages, and `khugepaged` does nothing.
struct Asked {
    before: String,
    _quiet: thread::Quiet,
}

impl Asked {
    fn new() -> Result<Self, String> {
        let Ok(text) = text(&format!("{DIR}/enabled")) else {
            return Err(format!("{SKIP}the kernel has no huge pages"));
        };
        let before = text.split(['[', ']']).nth(1).ok_or(format!("no mode in {text}"))?.to_string();
        let _quiet = thread::Quiet::new()?;
        choose("madvise")?;
        Ok(Self { before, _quiet })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = choose(&self.before);
    }
}

fn choose(mode: &str) -> Outcome {
    std::fs::write(format!("{DIR}/enabled"), mode).map_err(|e| format!("{mode}: {e}"))
}

fn poke(at: usize, value: u8) {
    // SAFETY: the test mapped it.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn peek(at: usize) -> u8 {
    // SAFETY: the test mapped it.
    unsafe { (at as *const u8).read_volatile() }
}

fn advise(at: usize, len: usize, advice: i32) -> Outcome {
    c!(libc::madvise(at as *mut _, len, advice));
    Ok(())
}

fn protect(at: usize, len: usize, prot: i32) -> Outcome {
    c!(libc::mprotect(at as *mut _, len, prot));
    Ok(())
}

fn unmap(at: usize, len: usize) -> Outcome {
    c!(libc::munmap(at as *mut _, len));
    Ok(())
}

/// A mapping of `count` times 2 MB, aligned.
fn map(count: usize) -> Result<usize, String> {
    let len = (count + 1) * HUGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let start = c!(libc::mmap(core::ptr::null_mut(), len, RW, flags, -1, 0) as i64) as usize;
    let at = start.next_multiple_of(HUGE);
    if at > start {
        unmap(start, at - start)?;
    }
    unmap(at + count * HUGE, start + len - (at + count * HUGE))?;
    Ok(at)
}

/// The number of a page, as it is in its first and last bytes: never 0.
fn value(page: usize) -> u8 {
    (page % 251) as u8 + 1
}

fn fill(at: usize, count: usize) {
    for page in 0..count * PAGES {
        poke(at + page * PAGE, value(page));
        poke(at + page * PAGE + PAGE - 1, value(page));
    }
}

fn intact(at: usize, mut pages: core::ops::Range<usize>) -> bool {
    pages.all(|page| peek(at + page * PAGE) == value(page) && peek(at + page * PAGE + PAGE - 1) == value(page))
}

/// A mapping of `count` huge pages with a number in each page.
fn mapped(count: usize) -> Result<usize, String> {
    let at = map(count)?;
    advise(at, count * HUGE, libc::MADV_HUGEPAGE)?;
    fill(at, count);
    if huge_kib(at)? != (count * HUGE / 1024) as u64 {
        return Err(format!("{SKIP}memory is in pieces: no huge pages are left"));
    }
    Ok(at)
}

fn huge_kib(at: usize) -> Result<u64, String> {
    kib(&smaps_of(at)?, "AnonHugePages:")
}

fn rss_kib(at: usize) -> Result<u64, String> {
    kib(&smaps_of(at)?, "Rss:")
}

fn vmstat(name: &str) -> Result<u64, String> {
    let text = text("/proc/vmstat")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(word, _)| *word == name).ok_or(format!("no {name} in vmstat"))?;
    found.1.parse().map_err(|e| format!("{name}: {e}"))
}

fn enabled() -> Outcome {
    let _asked = Asked::new()?;
    eq!(text(&format!("{DIR}/enabled"))?, "always [madvise] never\n");
    eq!(text(&format!("{DIR}/hpage_pmd_size"))?, "2097152\n");
    let fd = open(&format!("{DIR}/enabled"), libc::O_WRONLY)?;
    fails!(libc::write(fd, b"sometimes".as_ptr().cast(), 9), libc::EINVAL);
    eq!(write(fd, b"never\n")?, 6);
    close(fd);
    eq!(text(&format!("{DIR}/enabled"))?, "always madvise [never]\n");
    Ok(())
}

fn first_touch() -> Outcome {
    let _asked = Asked::new()?;
    let faults = vmstat("thp_fault_alloc")?;
    let at = mapped(4)?;
    ck!(vmstat("thp_fault_alloc")? >= faults + 4);
    ck!(vmstat("nr_anon_transparent_hugepages")? >= 4);
    eq!(rss_kib(at)?, 8192);
    eq!(kib(&smaps_of(at)?, "THPeligible:")?, 1);
    ck!(smaps_of(at)?.last().is_some_and(|l| l.contains(" hg")));
    let rollup: Vec<String> = text("/proc/self/smaps_rollup")?.lines().map(String::from).collect();
    ck!(kib(&rollup, "AnonHugePages:")? >= 8192);
    let info: Vec<String> = text("/proc/meminfo")?.lines().map(String::from).collect();
    ck!(kib(&info, "AnonHugePages:")? >= 8192);
    ck!(intact(at, 0..4 * PAGES));
    unmap(at, 4 * HUGE)?;
    Ok(())
}

fn who_gets_none() -> Outcome {
    let _asked = Asked::new()?;
    let at = map(2)?;
    poke(at, 1);
    eq!((huge_kib(at)?, rss_kib(at)?), (0, 4));
    advise(at, 2 * HUGE, libc::MADV_NOHUGEPAGE)?;
    choose("always")?;
    poke(at + HUGE, 1);
    eq!((huge_kib(at)?, rss_kib(at)?), (0, 8));
    ck!(smaps_of(at)?.last().is_some_and(|l| l.contains(" nh")));
    eq!(kib(&smaps_of(at)?, "THPeligible:")?, 0);
    // Less than 2 MB in one piece.
    let at = map(2)?;
    unmap(at + HUGE - PAGE, PAGE)?;
    unmap(at + 2 * HUGE - PAGE, PAGE)?;
    choose("never")?;
    advise(at, HUGE - PAGE, libc::MADV_HUGEPAGE)?;
    poke(at, 1);
    choose("always")?;
    poke(at + PAGE, 1);
    poke(at + HUGE, 1);
    eq!((huge_kib(at)?, rss_kib(at)?), (0, 8));
    eq!((huge_kib(at + HUGE)?, rss_kib(at + HUGE)?), (0, 4));
    Ok(())
}

/// What is only read needs no memory, whoever reads.
fn read_first() -> Outcome {
    let _asked = Asked::new()?;
    eq!(text(&format!("{DIR}/use_zero_page"))?, "1\n");
    unmap(mapped(1)?, HUGE)?;
    let at = map(2)?;
    advise(at, 2 * HUGE, libc::MADV_HUGEPAGE)?;
    ck!((0..PAGES).all(|page| peek(at + page * PAGE) == 0));
    let fd = open("/proc/self/mem", libc::O_RDONLY)?;
    let mut byte = 1u8;
    eq!(c!(libc::pread(fd, (&raw mut byte).cast(), 1, (at + HUGE + 9) as i64)), 1);
    close(fd);
    eq!((byte, rss_kib(at)?, huge_kib(at)?), (0, 0, 0));
    ck!(vmstat("thp_zero_page_alloc")? > 0);
    let mut there = [0u8; PAGES];
    c!(libc::mincore(at as *mut _, HUGE, there.as_mut_ptr()));
    ck!(there.iter().all(|byte| byte & 1 == 1));
    let pid = child(|| {
        poke(at + 3 * PAGE, 3);
        i32::from(!(peek(at + 3 * PAGE) == 3 && (4..PAGES).all(|page| peek(at + page * PAGE) == 0)))
    })?;
    eq!(exit_of(pid)?, 0);
    poke(at + 5 * PAGE, 5);
    eq!((rss_kib(at)?, peek(at + 3 * PAGE), peek(at + 5 * PAGE)), (4, 0, 5));
    fill(at, 2);
    ck!(intact(at, 0..2 * PAGES));
    unmap(at, 2 * HUGE)
}

fn prctl() -> Outcome {
    let _asked = Asked::new()?;
    const SET: i32 = libc::PR_SET_THP_DISABLE;
    const GET: i32 = libc::PR_GET_THP_DISABLE;
    let shown = || status_of("THP_enabled:");
    eq!(shown()?, 1);
    fails!(libc::prctl(SET, 1, 1, 0, 0), libc::EINVAL);
    fails!(libc::prctl(GET, 1, 0, 0, 0), libc::EINVAL);
    eq!(c!(libc::prctl(GET, 0, 0, 0, 0)), 0);
    in_child(|| {
        c!(libc::prctl(SET, 1, 0, 0, 0));
        eq!(c!(libc::prctl(GET, 0, 0, 0, 0)), 1);
        eq!(shown()?, 0);
        let at = map(1)?;
        advise(at, HUGE, libc::MADV_HUGEPAGE)?;
        poke(at, 1);
        eq!(rss_kib(at)?, 4);
        in_child(|| {
            eq!(c!(libc::prctl(GET, 0, 0, 0, 0)), 1);
            Ok(())
        })
    })?;
    eq!(c!(libc::prctl(GET, 0, 0, 0, 0)), 0);
    Ok(())
}

fn collapse() -> Outcome {
    const COLLAPSE: i32 = 25;
    let _asked = Asked::new()?;
    let at = map(4)?;
    fails!(libc::madvise(at as *mut _, HUGE, COLLAPSE), libc::EINVAL);
    choose("never")?;
    for page in (0..2 * PAGES).step_by(2) {
        poke(at + page * PAGE, value(page));
    }
    eq!((rss_kib(at)?, huge_kib(at)?), (2048, 0));
    // Whatever is in force.
    c!(libc::madvise(at as *mut _, 2 * HUGE, COLLAPSE));
    eq!((rss_kib(at)?, huge_kib(at)?), (4096, 4096));
    ck!((0..2 * PAGES).all(|page| peek(at + page * PAGE) == if page % 2 == 0 { value(page) } else { 0 }));
    c!(libc::madvise(at as *mut _, 2 * HUGE, COLLAPSE));
    // Less than a whole one: none at all is as good as done, unless it reaches into a second.
    c!(libc::madvise(at as *mut _, HUGE / 2, COLLAPSE));
    fails!(libc::madvise((at + PAGE) as *mut _, HUGE / 2, COLLAPSE), libc::EINVAL);
    c!(libc::madvise((at + PAGE) as *mut _, HUGE, COLLAPSE));
    // One that is untouched beside two that are whole.
    fails!(libc::madvise(at as *mut _, 3 * HUGE, COLLAPSE), libc::EINVAL);
    // Taken apart, and together again.
    protect(at + 9 * PAGE, PAGE, libc::PROT_READ)?;
    protect(at + 9 * PAGE, PAGE, RW)?;
    eq!(huge_kib(at)?, 2048);
    c!(libc::madvise(at as *mut _, HUGE, COLLAPSE));
    eq!(huge_kib(at)?, 4096);
    fill(at, 2);
    ck!(intact(at, 0..2 * PAGES));
    advise(at + 3 * HUGE, HUGE, libc::MADV_NOHUGEPAGE)?;
    poke(at + 3 * HUGE, 1);
    fails!(libc::madvise((at + 3 * HUGE) as *mut _, HUGE, COLLAPSE), libc::EINVAL);
    unmap(at + HUGE, HUGE)?;
    fails!(libc::madvise(at as *mut _, 2 * HUGE, COLLAPSE), libc::ENOMEM);
    Ok(())
}

fn system_calls() -> Outcome {
    let _asked = Asked::new()?;
    // The kernel is the first to touch it, across the border of two.
    let at = map(2)?;
    advise(at, 2 * HUGE, libc::MADV_HUGEPAGE)?;
    let fd = open("/proc/self/exe", libc::O_RDONLY)?;
    let len = c!(libc::read(fd, (at + HUGE - 100) as *mut _, 200));
    eq!(len, 200);
    let mut bytes = [0u8; 200];
    eq!(c!(libc::pread(fd, bytes.as_mut_ptr().cast(), 200, 0)), 200);
    close(fd);
    ck!((0..200).all(|i| peek(at + HUGE - 100 + i) == bytes[i]));
    eq!((peek(at), peek(at + 2 * HUGE - 1)), (0, 0));
    c!(libc::munmap(at as *mut _, 2 * HUGE));
    let at = map(1)?;
    advise(at, HUGE, libc::MADV_HUGEPAGE)?;
    // Read first.
    ck!((0..PAGES).all(|page| peek(at + page * PAGE) == 0));
    fill(at, 1);
    ck!(intact(at, 0..PAGES));
    Ok(())
}

fn threads_first_touch() -> Outcome {
    let _asked = Asked::new()?;
    for _ in 0..8 {
        let at = map(4)?;
        advise(at, 4 * HUGE, libc::MADV_HUGEPAGE)?;
        let touch = move |thread: usize| {
            for page in 0..4 * PAGES {
                let word = (at + page * PAGE + thread * 8) as *mut u64;
                // SAFETY: each thread has its own word of each page.
                unsafe { word.write_volatile((page * 10 + thread) as u64) };
            }
        };
        let all: Vec<_> = (0..4).map(|thread| std::thread::spawn(move || touch(thread))).collect();
        for thread in all {
            thread.join().map_err(|_| "panic")?;
        }
        for page in 0..4 * PAGES {
            for thread in 0..4 {
                // SAFETY: in the mapping.
                let word = unsafe { ((at + page * PAGE + thread * 8) as *const u64).read_volatile() };
                eq!(word, (page * 10 + thread) as u64);
            }
        }
        unmap(at, 4 * HUGE)?;
    }
    Ok(())
}

/// Two threads count in pages of a huge page while parts around them are changed in every way: no count is lost.
fn threads_and_changes() -> Outcome {
    let _asked = Asked::new()?;
    for round in 0..24 {
        let at = mapped(1)?;
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let count = |page: usize| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let word = (at + page * PAGE + 64) as *mut u64;
                let mut n = 0u64;
                while !stop.load(Ordering::Relaxed) || n < 1000 {
                    // SAFETY: nobody else writes this word, and its page stays mapped.
                    unsafe {
                        if word.read_volatile() != n {
                            return None;
                        }
                        n += 1;
                        word.write_volatile(n);
                    }
                }
                Some(n)
            })
        };
        let threads = [(100, count(100)), (300, count(300))];
        match round % 6 {
            0 => unmap(at, 50 * PAGE)?,
            1 => protect(at + 200 * PAGE, 9 * PAGE, libc::PROT_READ)?,
            2 => advise(at + 101 * PAGE, 190 * PAGE, libc::MADV_DONTNEED)?,
            3 => eq!(exit_of(child(|| i32::from(!intact(at, 101..300)))?)?, 0),
            4 => {
                let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                let to = map(1)?;
                c!(libc::mremap((at + 400 * PAGE) as *mut _, 8 * PAGE, 8 * PAGE, flags, to) as i64);
                ck!((0..8).all(|page| peek(to + page * PAGE) == value(400 + page)));
            }
            // All of it, and back.
            _ => {
                advise(at, HUGE, libc::MADV_COLD)?;
                protect(at + 400 * PAGE, PAGE, libc::PROT_NONE)?;
                protect(at + 400 * PAGE, PAGE, RW)?;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for (page, thread) in threads {
            let n = thread.join().map_err(|_| "panic")?.ok_or(format!("round {round}: a count was lost"))?;
            // SAFETY: in the mapping.
            eq!(unsafe { ((at + page * PAGE + 64) as *const u64).read_volatile() }, n);
        }
        ck!(intact(at, 410..PAGES), "round {round}");
        unmap(at, HUGE)?;
    }
    Ok(())
}

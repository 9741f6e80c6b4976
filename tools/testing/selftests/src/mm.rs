// SPDX-License-Identifier: GPL-2.0
//! Memory: mmap and its family, copy-on-write, protection, brk, the stack, file mappings.

mod areas;
mod cow;
mod file_maps;
mod races;
mod sizes;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("mm.anonymous_is_zero", areas::anonymous),
    ("mm.hints_and_fixed", areas::hints),
    ("mm.fixed_noreplace", areas::noreplace),
    ("mm.mmap_errors", areas::errors),
    ("mm.munmap_parts", areas::munmap_parts),
    ("mm.munmap_errors", areas::munmap_errors),
    ("mm.mprotect", areas::mprotect),
    ("mm.mprotect_splits_and_merges", areas::protect_maps),
    ("mm.which_join", areas::joins),
    ("mm.prot_none", areas::prot_none),
    ("mm.exec_permission", areas::exec_permission),
    ("mm.cow_after_fork", cow::cow),
    ("mm.cow_many_generations", cow::cow_generations),
    ("mm.cow_read_into", cow::cow_read),
    ("mm.shared_after_fork", cow::shared),
    ("mm.file_private", file_maps::file_private),
    ("mm.file_shared", file_maps::file_shared),
    ("mm.file_store_times", file_maps::store_times),
    ("mm.file_read_write_coherent", file_maps::coherent),
    ("mm.file_beyond_end", file_maps::beyond_end),
    ("mm.file_truncate_unmaps", file_maps::truncate),
    ("mm.file_permissions", file_maps::file_permissions),
    ("mm.file_lives_after_close", file_maps::after_close),
    ("mm.mremap_grow_shrink", sizes::mremap),
    ("mm.mremap_moves", sizes::mremap_moves),
    ("mm.brk", sizes::brk),
    ("mm.stack_grows", sizes::stack_grows),
    ("mm.stack_guard", sizes::stack_guard),
    ("mm.stack_growsdown_flag", sizes::growsdown),
    ("mm.madvise_dontneed", dontneed),
    ("mm.madvise_errors", madvise_errors),
    ("mm.mincore", mincore),
    ("mm.msync", msync),
    ("mm.mlock", mlock),
    ("mm.fault_addresses", fault_addresses),
    ("mm.system_call_faults", syscall_faults),
    ("mm.read_across_pages", across_pages),
    ("mm.big_sparse", sparse),
    ("mm.threads_fault_together", races::threads_fault),
    ("mm.unmap_while_used", races::unmap_race),
    ("mm.fork_while_threads_write", races::fork_race),
    ("mm.memfd", memfd),
    ("mm.fault_counters", counters),
    ("mm.free_returns", free_returns),
    ("mm.overcommit_refusal", overcommit),
];

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn raw_map(at: usize, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> i64 {
    // SAFETY: tests replace only their own mappings.
    unsafe { libc::mmap(at as *mut libc::c_void, len, prot, flags, fd, offset) as i64 }
}

fn map(len: usize, prot: i32) -> Result<usize, String> {
    Ok(c!(raw_map(0, len, prot, ANON, -1, 0)) as usize)
}

fn peek(at: usize) -> u8 {
    // SAFETY: the test mapped it, or wants the fault.
    unsafe { (at as *const u8).read_volatile() }
}

fn poke(at: usize, value: u8) {
    // SAFETY: as above.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn bytes(at: usize, len: usize) -> &'static [u8] {
    // SAFETY: the test mapped it.
    unsafe { core::slice::from_raw_parts(at as *const u8, len) }
}

fn unmap(at: usize, len: usize) -> i32 {
    // SAFETY: a mapping of the test's own.
    unsafe { libc::munmap(at as *mut libc::c_void, len) }
}

fn protect(at: usize, len: usize, prot: i32) -> i32 {
    // SAFETY: a mapping of the test's own.
    unsafe { libc::mprotect(at as *mut libc::c_void, len, prot) }
}

/// The signal of a child that does this.
fn faults(what: impl FnOnce()) -> Result<i32, String> {
    let pid = child(|| {
        let zero = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: live.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &zero) };
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let _ = handle(signal, libc::SIG_DFL, 0);
        }
        what();
        0
    })?;
    let status = wait(pid)?;
    Ok(if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 })
}

/// The lines of /proc/self/maps inside [at, at + len).
fn maps(at: usize, len: usize) -> Result<Vec<String>, String> {
    Ok(text("/proc/self/maps")?
        .lines()
        .filter(|l| {
            l.split('-').next().and_then(|a| usize::from_str_radix(a, 16).ok()).is_some_and(|a| a >= at && a < at + len)
        })
        .map(String::from)
        .collect())
}

/// A file of `pages` pages, each filled with its number + 1.
fn file(pages: usize) -> Result<(i32, String), String> {
    let path = dir()? + "/map";
    let data: Vec<u8> = (0..pages * PAGE).map(|i| (i / PAGE + 1) as u8).collect();
    std::fs::write(&path, data).map_err(|e| e.to_string())?;
    Ok((open(&path, libc::O_RDWR)?, path))
}

fn dontneed() -> Outcome {
    let at = map(4 * PAGE, RW)?;
    poke(at, 1);
    poke(at + PAGE, 2);
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_DONTNEED));
    eq!((peek(at), peek(at + PAGE)), (0, 2));
    let (fd, _) = file(1)?;
    let private = c!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    poke(private, 50);
    c!(libc::madvise(private as *mut _, PAGE, libc::MADV_DONTNEED));
    eq!(peek(private), 1);
    Ok(())
}

fn madvise_errors() -> Outcome {
    let at = map(3 * PAGE, RW)?;
    fails!(libc::madvise((at + 1) as *mut _, PAGE, libc::MADV_DONTNEED), libc::EINVAL);
    fails!(libc::madvise(at as *mut _, PAGE, 9999), libc::EINVAL);
    c!(unmap(at + PAGE, PAGE));
    fails!(libc::madvise(at as *mut _, 3 * PAGE, libc::MADV_DONTNEED), libc::ENOMEM);
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_WILLNEED));
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_NORMAL));
    Ok(())
}

/// Huge pages would bring in more than is touched; a kernel without them refuses, which is as good.
fn small(at: usize, len: usize) {
    // SAFETY: a mapping of the test's own.
    unsafe { libc::madvise(at as *mut _, len, libc::MADV_NOHUGEPAGE) };
}

fn mincore() -> Outcome {
    let at = map(3 * PAGE, RW)?;
    small(at, 3 * PAGE);
    poke(at + PAGE, 1);
    let mut state = [9u8; 3];
    c!(libc::mincore(at as *mut _, 3 * PAGE, state.as_mut_ptr()));
    eq!(state, [0, 1, 0]);
    c!(unmap(at, 3 * PAGE));
    fails!(libc::mincore(at as *mut _, PAGE, state.as_mut_ptr()), libc::ENOMEM);
    fails!(libc::mincore((at + 1) as *mut _, PAGE, state.as_mut_ptr()), libc::EINVAL);
    Ok(())
}

fn msync() -> Outcome {
    let at = map(2 * PAGE, RW)?;
    c!(libc::msync(at as *mut _, PAGE, libc::MS_ASYNC));
    fails!(libc::msync(at as *mut _, PAGE, libc::MS_ASYNC | libc::MS_SYNC), libc::EINVAL);
    fails!(libc::msync((at + 1) as *mut _, PAGE, libc::MS_SYNC), libc::EINVAL);
    c!(unmap(at + PAGE, PAGE));
    fails!(libc::msync(at as *mut _, 2 * PAGE, libc::MS_SYNC), libc::ENOMEM);
    Ok(())
}

fn mlock() -> Outcome {
    let at = map(4 * PAGE, RW)?;
    small(at, 4 * PAGE);
    c!(libc::mlock(at as *const _, 2 * PAGE));
    let mut state = [9u8; 4];
    c!(libc::mincore(at as *mut _, 4 * PAGE, state.as_mut_ptr()));
    eq!(state, [1, 1, 0, 0]); // locked pages are there
    ck!(text("/proc/self/status")?.contains("VmLck:\t       8 kB"));
    c!(libc::munlock(at as *const _, 2 * PAGE));
    ck!(text("/proc/self/status")?.contains("VmLck:\t       0 kB"));
    c!(unmap(at + PAGE, PAGE));
    fails!(libc::mlock(at as *const _, 3 * PAGE), libc::ENOMEM);
    Ok(())
}

fn fault_addresses() -> Outcome {
    for at in
        [0usize, 0x1000 - 1, 0xffff_8000_0000_0000, 0xffff_ffff_8100_0000, usize::MAX, 1 << 47, 0x8000_0000_0000_0000]
    {
        eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
        eq!(faults(|| poke(at, 0))?, libc::SIGSEGV);
    }
    Ok(())
}

fn syscall_faults() -> Outcome {
    let (r, w) = pipe()?;
    write(w, b"some data")?;
    for at in [8usize, 0xffff_8880_0000_0000, 0xffff_ffff_8100_0000, usize::MAX - 3, (1 << 47) - 2] {
        fails!(libc::read(r, at as *mut libc::c_void, 8), libc::EFAULT);
        fails!(libc::write(w, at as *const libc::c_void, 8), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_open, at, 0), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, c"/".as_ptr(), at, 0), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_clock_gettime, 1, at), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_uname, at), libc::EFAULT);
    }
    let read_only = map(PAGE, libc::PROT_READ)?;
    fails!(libc::read(r, read_only as *mut libc::c_void, 8), libc::EFAULT);
    eq!(read(r, 9)?, b"some data"); // nothing was lost
    Ok(())
}

fn across_pages() -> Outcome {
    // The second page is missing: what fits is done.
    let at = map(2 * PAGE, RW)?;
    c!(unmap(at + PAGE, PAGE));
    let (fd, _) = file(1)?;
    eq!(c!(libc::pread(fd, (at + PAGE - 10) as *mut _, 100, 0)), 10);
    ck!(bytes(at + PAGE - 10, 10).iter().all(|b| *b == 1));
    let (fd2, _) = file(1)?;
    eq!(c!(libc::pwrite(fd2, (at + PAGE - 10) as *const _, 100, 0)), 10);
    // A string that ends at the page's end.
    poke(at + PAGE - 2, b'/');
    poke(at + PAGE - 1, 0);
    c!(libc::access((at + PAGE - 2) as *const _, 0));
    poke(at + PAGE - 1, b'/');
    fails!(libc::access((at + PAGE - 2) as *const _, 0), libc::EFAULT);
    Ok(())
}

fn sparse() -> Outcome {
    // 64 GB of address space, a few pages of memory.
    let len = 64usize << 30;
    let at = c!(raw_map(0, len, RW, ANON | libc::MAP_NORESERVE, -1, 0)) as usize;
    for i in 0..64 {
        poke(at + (i << 30), i as u8);
    }
    for i in 0..64 {
        eq!(peek(at + (i << 30)), i as u8);
    }
    c!(unmap(at, len));
    Ok(())
}

fn memfd() -> Outcome {
    // SAFETY: NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"name".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no memfd_create"));
    }
    c!(libc::ftruncate(fd, 2 * PAGE as i64));
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    poke(at + PAGE, 6);
    let mut byte = [0u8];
    c!(libc::pread(fd, byte.as_mut_ptr().cast(), 1, PAGE as i64));
    eq!(byte[0], 6);
    Ok(())
}

fn counters() -> Outcome {
    let usage = || {
        // SAFETY: all zero is a valid rusage.
        let mut u: libc::rusage = unsafe { core::mem::zeroed() };
        // SAFETY: live.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut u) };
        u.ru_minflt
    };
    let at = map(100 * PAGE, RW)?;
    let before = usage();
    for i in 0..100 {
        poke(at + i * PAGE, 1);
    }
    let after = usage();
    ck!(after > before, "{before} -> {after}");
    let statm = text("/proc/self/statm")?;
    let rss: usize = statm.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    ck!(rss >= 100, "{statm}");
    Ok(())
}

fn free_memory() -> Result<u64, String> {
    text("/proc/meminfo")?
        .lines()
        .find_map(|l| l.strip_prefix("MemFree:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .ok_or("no MemFree".into())
}

fn free_returns() -> Outcome {
    let round = || {
        let pid = child(|| {
            let Ok(at) = map(4000 * PAGE, RW) else { return 1 };
            for i in 0..4000 {
                poke(at + i * PAGE, 1);
            }
            0
        })?;
        exit_of(pid)
    };
    eq!(round()?, 0);
    let before = free_memory()?;
    for _ in 0..10 {
        eq!(round()?, 0);
    }
    // It comes back a while after the last one.
    let mut after = 0;
    let back = until("memory is free again", || {
        after = free_memory().unwrap_or(0);
        after + 8000 > before
    });
    back.map_err(|why| format!("free memory went from {before} to {after} kB: {why}"))
}

fn overcommit() -> Outcome {
    // More than there is at once is refused by the usual heuristic.
    fails!(raw_map(0, 1 << 46, RW, ANON, -1, 0), libc::ENOMEM);
    ck!(c!(raw_map(0, 1 << 40, RW, ANON | libc::MAP_NORESERVE, -1, 0)) > 0);
    Ok(())
}

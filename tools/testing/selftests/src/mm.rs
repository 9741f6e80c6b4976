// SPDX-License-Identifier: GPL-2.0
//! Memory: mmap and its family, copy-on-write, protection, brk, the stack, file mappings.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("mm.anonymous_is_zero", anonymous),
    ("mm.hints_and_fixed", hints),
    ("mm.fixed_noreplace", noreplace),
    ("mm.mmap_errors", errors),
    ("mm.munmap_parts", munmap_parts),
    ("mm.munmap_errors", munmap_errors),
    ("mm.mprotect", mprotect),
    ("mm.mprotect_splits_and_merges", protect_maps),
    ("mm.prot_none", prot_none),
    ("mm.exec_permission", exec_permission),
    ("mm.cow_after_fork", cow),
    ("mm.cow_many_generations", cow_generations),
    ("mm.cow_read_into", cow_read),
    ("mm.shared_after_fork", shared),
    ("mm.file_private", file_private),
    ("mm.file_shared", file_shared),
    ("mm.file_read_write_coherent", coherent),
    ("mm.file_beyond_end", beyond_end),
    ("mm.file_truncate_unmaps", truncate),
    ("mm.file_permissions", file_permissions),
    ("mm.file_lives_after_close", after_close),
    ("mm.mremap_grow_shrink", mremap),
    ("mm.mremap_moves", mremap_moves),
    ("mm.brk", brk),
    ("mm.stack_grows", stack_grows),
    ("mm.stack_guard", stack_guard),
    ("mm.stack_growsdown_flag", growsdown),
    ("mm.madvise_dontneed", dontneed),
    ("mm.madvise_errors", madvise_errors),
    ("mm.mincore", mincore),
    ("mm.msync", msync),
    ("mm.mlock", mlock),
    ("mm.fault_addresses", fault_addresses),
    ("mm.system_call_faults", syscall_faults),
    ("mm.read_across_pages", across_pages),
    ("mm.big_sparse", sparse),
    ("mm.threads_fault_together", threads_fault),
    ("mm.unmap_while_used", unmap_race),
    ("mm.fork_while_threads_write", fork_race),
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

fn anonymous() -> Outcome {
    let at = map(64 * PAGE, RW)?;
    ck!(bytes(at, 64 * PAGE).iter().all(|b| *b == 0));
    for i in 0..64 {
        poke(at + i * PAGE + i, i as u8 + 1);
    }
    for i in 0..64 {
        eq!(peek(at + i * PAGE + i), i as u8 + 1);
    }
    c!(unmap(at, 64 * PAGE));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    let again = map(64 * PAGE, RW)?;
    ck!(bytes(again, 64 * PAGE).iter().all(|b| *b == 0), "a reused page is not zero");
    Ok(())
}

fn hints() -> Outcome {
    let at = map(8 * PAGE, RW)?;
    c!(unmap(at, 8 * PAGE));
    eq!(c!(raw_map(at, PAGE, RW, ANON, -1, 0)) as usize, at); // a free hint is taken
    let other = c!(raw_map(at, PAGE, RW, ANON, -1, 0)) as usize;
    ck!(other != at); // a used one is not
    poke(at, 5);
    eq!(c!(raw_map(at, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0)) as usize, at);
    eq!(peek(at), 0);
    fails!(raw_map(at + 1, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0), libc::EINVAL);
    Ok(())
}

fn noreplace() -> Outcome {
    let at = map(2 * PAGE, RW)?;
    fails!(raw_map(at + PAGE, PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0), libc::EEXIST);
    c!(unmap(at + PAGE, PAGE));
    eq!(c!(raw_map(at + PAGE, PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0)) as usize, at + PAGE);
    Ok(())
}

fn errors() -> Outcome {
    fails!(raw_map(0, 0, RW, ANON, -1, 0), libc::EINVAL);
    fails!(raw_map(0, PAGE, RW, libc::MAP_ANONYMOUS, -1, 0), libc::EINVAL); // neither shared nor private
    fails!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, 900, 0), libc::EBADF);
    let fd = open("/proc/self/exe", libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, fd, 1), libc::EINVAL);
    fails!(raw_map(0, PAGE, RW, libc::MAP_SHARED, fd, 0), libc::EACCES);
    fails!(raw_map(0, usize::MAX - PAGE, RW, ANON, -1, 0), libc::ENOMEM);
    fails!(raw_map(0, 1 << 47, RW, ANON, -1, 0), libc::ENOMEM);
    fails!(raw_map(1 << 56, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0), libc::ENOMEM);
    let (r, _w) = pipe()?;
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, r, 0), libc::ENODEV);
    let dir = open("/tmp", libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, dir, 0), libc::ENODEV);
    Ok(())
}

fn munmap_parts() -> Outcome {
    let at = map(5 * PAGE, RW)?;
    for i in 0..5 {
        poke(at + i * PAGE, i as u8);
    }
    c!(unmap(at + 2 * PAGE, PAGE)); // a hole in the middle
    eq!(peek(at + PAGE), 1);
    eq!(peek(at + 3 * PAGE), 3);
    eq!(faults(|| _ = peek(at + 2 * PAGE))?, libc::SIGSEGV);
    c!(unmap(at, 5 * PAGE)); // over the hole
    c!(unmap(at, 5 * PAGE)); // nothing there is no error
    Ok(())
}

fn munmap_errors() -> Outcome {
    fails!(unmap(0x1001, PAGE), libc::EINVAL);
    fails!(unmap(0x1000, 0), libc::EINVAL);
    fails!(unmap(1 << 56, PAGE), libc::EINVAL);
    fails!(unmap(0x1000, usize::MAX), libc::EINVAL);
    Ok(())
}

fn mprotect() -> Outcome {
    let at = map(2 * PAGE, RW)?;
    poke(at, 1);
    c!(protect(at, PAGE, libc::PROT_READ));
    eq!(peek(at), 1);
    eq!(faults(|| poke(at, 2))?, libc::SIGSEGV);
    poke(at + PAGE, 3); // the next page is as it was
    c!(protect(at, PAGE, RW));
    poke(at, 4);
    eq!(peek(at), 4);
    fails!(protect(at + 1, PAGE, RW), libc::EINVAL);
    fails!(protect(at, PAGE, 0x100), libc::EINVAL);
    c!(protect(at, 0, RW));
    c!(unmap(at + PAGE, PAGE));
    fails!(protect(at, 2 * PAGE, libc::PROT_READ), libc::ENOMEM);
    // A file opened for reading cannot become writable in a shared mapping.
    let fd = open("/proc/self/exe", libc::O_RDONLY)?;
    let shared = c!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0)) as usize;
    fails!(protect(shared, PAGE, RW), libc::EACCES);
    Ok(())
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

fn protect_maps() -> Outcome {
    // Guards on both sides, so that nothing merges with the neighbours.
    let at = map(8 * PAGE, libc::PROT_NONE)? + PAGE;
    c!(protect(at, 6 * PAGE, RW));
    eq!(maps(at, 6 * PAGE)?.len(), 1);
    c!(protect(at + 2 * PAGE, PAGE, libc::PROT_READ));
    let lines = maps(at, 6 * PAGE)?;
    eq!(lines.len(), 3);
    ck!(lines[1].contains(" r--p 00000000 00:00 0"), "{}", lines[1]);
    c!(protect(at + 2 * PAGE, PAGE, RW));
    let lines = maps(at, 6 * PAGE)?;
    eq!(lines.len(), 1);
    ck!(lines[0].starts_with(&format!("{at:x}-{:x} rw-p", at + 6 * PAGE)), "{}", lines[0]);
    Ok(())
}

fn prot_none() -> Outcome {
    let at = map(PAGE, libc::PROT_NONE)?;
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    c!(protect(at, PAGE, RW));
    poke(at, 9);
    c!(protect(at, PAGE, libc::PROT_NONE));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    c!(protect(at, PAGE, libc::PROT_READ));
    eq!(peek(at), 9);
    Ok(())
}

fn exec_permission() -> Outcome {
    let at = map(PAGE, RW)?;
    // SAFETY: `mov eax, 42; ret` in a page of our own.
    let call = || unsafe { core::mem::transmute::<usize, extern "C" fn() -> i32>(at)() };
    for (i, b) in [0xb8, 42, 0, 0, 0, 0xc3].iter().enumerate() {
        poke(at + i, *b);
    }
    eq!(faults(|| _ = call())?, libc::SIGSEGV);
    c!(protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC));
    eq!(call(), 42);
    c!(protect(at, PAGE, RW | libc::PROT_EXEC));
    poke(at + 1, 43);
    eq!(call(), 43);
    Ok(())
}

fn cow() -> Outcome {
    let at = map(200 * PAGE, RW)?;
    for i in 0..200 {
        poke(at + i * PAGE, i as u8);
    }
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        let _ = read(r, 1); // until the parent has written
        for i in 0..200 {
            if peek(at + i * PAGE) != i as u8 {
                return 1;
            }
            poke(at + i * PAGE, 255);
        }
        0
    })?;
    for i in 0..100 {
        poke(at + i * PAGE, 77);
    }
    close(r);
    close(w);
    eq!(exit_of(pid)?, 0);
    for i in 0..200 {
        eq!(peek(at + i * PAGE), if i < 100 { 77 } else { i as u8 });
    }
    Ok(())
}

fn cow_generations() -> Outcome {
    fn down(at: usize, level: u8) -> i32 {
        poke(at, level);
        if level < 10 {
            let below = child(|| down(at, level + 1)).and_then(exit_of).unwrap_or(100);
            if below != 0 {
                return below;
            }
        }
        i32::from(peek(at) != level || peek(at + PAGE) != 99)
    }
    let at = map(2 * PAGE, RW)?;
    poke(at + PAGE, 99);
    eq!(down(at, 1), 0);
    Ok(())
}

fn cow_read() -> Outcome {
    // The kernel's writes break sharing as the program's own do.
    let at = map(PAGE, RW)?;
    poke(at, b'p');
    let (r, w) = pipe()?;
    write(w, b"k")?;
    let pid = child(|| {
        // SAFETY: one byte into the shared page.
        let n = unsafe { libc::read(r, at as *mut libc::c_void, 1) };
        i32::from(n != 1 || peek(at) != b'k')
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(peek(at), b'p');
    // And into a page that reads as the zero page.
    let zero = map(PAGE, RW)?;
    eq!(peek(zero), 0);
    write(w, b"z")?;
    eq!(c!(libc::read(r, zero as *mut libc::c_void, 1)), 1);
    eq!(peek(zero), b'z');
    let other = map(PAGE, RW)?;
    eq!(peek(other), 0);
    Ok(())
}

fn shared() -> Outcome {
    let at = c!(raw_map(0, 4 * PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)) as usize;
    poke(at, 1);
    let pid = child(|| {
        poke(at, 2);
        poke(at + 3 * PAGE, 3); // first touched here
        0
    })?;
    eq!(exit_of(pid)?, 0);
    eq!((peek(at), peek(at + 3 * PAGE)), (2, 3));
    Ok(())
}

/// A file of `pages` pages, each filled with its number + 1.
fn file(pages: usize) -> Result<(i32, String), String> {
    let path = dir()? + "/map";
    let data: Vec<u8> = (0..pages * PAGE).map(|i| (i / PAGE + 1) as u8).collect();
    std::fs::write(&path, data).map_err(|e| e.to_string())?;
    Ok((open(&path, libc::O_RDWR)?, path))
}

fn file_private() -> Outcome {
    let (fd, path) = file(3)?;
    let at = c!(raw_map(0, 3 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    eq!((peek(at), peek(at + PAGE), peek(at + 2 * PAGE)), (1, 2, 3));
    poke(at, 100);
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?[0], 1);
    let second = c!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, fd, PAGE as i64)) as usize;
    eq!(peek(second), 2);
    // A write to the file is seen in pages not yet copied.
    c!(libc::pwrite(fd, b"\x50".as_ptr().cast(), 1, PAGE as i64));
    eq!(peek(at + PAGE), 0x50);
    Ok(())
}

fn file_shared() -> Outcome {
    let (fd, path) = file(3)?;
    let at = c!(raw_map(0, 3 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    poke(at + PAGE, 100);
    c!(libc::msync(at as *mut _, 3 * PAGE, libc::MS_SYNC));
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?[PAGE], 100);
    let pid = child(|| {
        poke(at + 2 * PAGE, 101);
        0
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(peek(at + 2 * PAGE), 101);
    Ok(())
}

fn coherent() -> Outcome {
    let (fd, _) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    for i in 0..50u8 {
        c!(libc::pwrite(fd, [i].as_ptr().cast(), 1, i64::from(i)));
        eq!(peek(at + usize::from(i)), i);
        poke(at + 1000, i);
        let mut byte = [0u8];
        c!(libc::pread(fd, byte.as_mut_ptr().cast(), 1, 1000));
        eq!(byte[0], i);
    }
    Ok(())
}

fn beyond_end() -> Outcome {
    let (fd, _) = file(1)?;
    c!(libc::ftruncate(fd, 100));
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    eq!((peek(at + 99), peek(at + 100), peek(at + 4095)), (1, 0, 0));
    eq!(faults(|| _ = peek(at + PAGE))?, libc::SIGBUS);
    c!(libc::ftruncate(fd, 2 * PAGE as i64));
    eq!(peek(at + PAGE), 0);
    Ok(())
}

fn truncate() -> Outcome {
    let (fd, _) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    let private = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    poke(private + PAGE, 9);
    eq!(peek(at + PAGE), 2);
    c!(libc::ftruncate(fd, PAGE as i64));
    eq!(faults(|| _ = peek(at + PAGE))?, libc::SIGBUS);
    eq!(faults(|| _ = peek(private + PAGE))?, libc::SIGBUS); // copied pages go too
    eq!(peek(at), 1);
    c!(libc::ftruncate(fd, 10));
    eq!(peek(at + 10), 0);
    Ok(())
}

fn file_permissions() -> Outcome {
    let (_, path) = file(1)?;
    let read_only = open(&path, libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, RW, libc::MAP_SHARED, read_only, 0), libc::EACCES);
    let at = c!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, read_only, 0)) as usize;
    poke(at, 4);
    let write_only = open(&path, libc::O_WRONLY)?;
    fails!(raw_map(0, PAGE, libc::PROT_WRITE, libc::MAP_SHARED, write_only, 0), libc::EACCES);
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, write_only, 0), libc::EACCES);
    Ok(())
}

fn after_close() -> Outcome {
    let (fd, path) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    close(fd);
    c!(libc::unlink(cstr(&path).as_ptr()));
    eq!((peek(at), peek(at + PAGE)), (1, 2));
    poke(at, 5);
    let line = maps(at, PAGE)?.pop().unwrap_or_default();
    ck!(line.ends_with(&format!("{path} (deleted)")), "{line}");
    Ok(())
}

fn remap(at: usize, old: usize, new: usize, flags: i32, to: usize) -> i64 {
    // SAFETY: mappings of the test's own.
    unsafe { libc::mremap(at as *mut libc::c_void, old, new, flags, to) as i64 }
}

fn mremap() -> Outcome {
    let at = map(8 * PAGE, RW)?;
    for i in 0..8 {
        poke(at + i * PAGE, i as u8);
    }
    eq!(c!(remap(at, 8 * PAGE, 4 * PAGE, 0, 0)) as usize, at);
    eq!(faults(|| _ = peek(at + 4 * PAGE))?, libc::SIGSEGV);
    eq!(c!(remap(at, 4 * PAGE, 6 * PAGE, 0, 0)) as usize, at); // the room is free
    eq!((peek(at + 3 * PAGE), peek(at + 5 * PAGE)), (3, 0));
    // In the way: only a move helps.
    c!(raw_map(at + 6 * PAGE, PAGE, RW, ANON | libc::MAP_FIXED, -1, 0));
    c!(protect(at + 6 * PAGE, PAGE, libc::PROT_READ));
    fails!(remap(at, 6 * PAGE, 10 * PAGE, 0, 0), libc::ENOMEM);
    let moved = c!(remap(at, 6 * PAGE, 10 * PAGE, libc::MREMAP_MAYMOVE, 0)) as usize;
    ck!(moved != at);
    eq!((peek(moved + 3 * PAGE), peek(moved + 9 * PAGE)), (3, 0));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    Ok(())
}

fn mremap_moves() -> Outcome {
    let at = map(4 * PAGE, RW)?;
    poke(at, 7);
    poke(at + 3 * PAGE, 8);
    let to = map(16 * PAGE, libc::PROT_NONE)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    eq!(c!(remap(at, 4 * PAGE, 4 * PAGE, flags, to)) as usize, to);
    eq!((peek(to), peek(to + 3 * PAGE)), (7, 8));
    eq!(faults(|| _ = peek(at))?, libc::SIGSEGV);
    fails!(remap(to, 4 * PAGE, 4 * PAGE, libc::MREMAP_FIXED, at), libc::EINVAL);
    fails!(remap(to, 4 * PAGE, 4 * PAGE, flags, to + PAGE), libc::EINVAL); // overlaps
    fails!(remap(to + 1, PAGE, PAGE, 0, 0), libc::EINVAL);
    fails!(remap(to, PAGE, 0, 0, 0), libc::EINVAL);
    fails!(remap(at, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE, 0), libc::EFAULT);
    Ok(())
}

fn raw_brk(at: usize) -> usize {
    // SAFETY: the allocator of this process is not used between the calls that move it.
    unsafe { libc::syscall(libc::SYS_brk, at) as usize }
}

fn brk() -> Outcome {
    let pid = child(|| {
        let start = raw_brk(0);
        if raw_brk(start + 10 * PAGE) != start + 10 * PAGE {
            return 1;
        }
        let top = (start + PAGE - 1) & !(PAGE - 1);
        poke(top + 8 * PAGE, 5);
        if peek(top + 4 * PAGE) != 0 {
            return 2;
        }
        if raw_brk(start + 100) != start + 100 {
            return 3;
        }
        if raw_brk(start + 10 * PAGE) != start + 10 * PAGE || peek(top + 8 * PAGE) != 0 {
            return 4; // what was given back comes back as zero
        }
        // Too much, or below the start: the answer is where it is.
        if raw_brk(1 << 46) != start + 10 * PAGE || raw_brk(1) != start + 10 * PAGE {
            return 5;
        }
        0
    })?;
    eq!(exit_of(pid)?, 0);
    ck!(text("/proc/self/maps")?.contains("[heap]"));
    Ok(())
}

fn deep(left: usize) -> usize {
    let buf = std::hint::black_box([left as u8; 1024]);
    if left == 0 { 0 } else { deep(left - 1) + usize::from(buf[left % 1024] == left as u8) }
}

fn stack_grows() -> Outcome {
    eq!(deep(4000), 4000);
    let line =
        text("/proc/self/maps")?.lines().find(|l| l.ends_with("[stack]")).map(String::from).ok_or("no [stack]")?;
    let mut ends = line.split([' ', '-']).map(|a| usize::from_str_radix(a, 16).unwrap_or(0));
    let (low, high) = (ends.next().unwrap_or(0), ends.next().unwrap_or(0));
    ck!(high - low >= 4 << 20, "{line}");
    Ok(())
}

fn stack_guard() -> Outcome {
    // A mapping close below the stack stops its growth: SIGSEGV, never the other mapping written.
    let pid = child(|| {
        let zero = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: live.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &zero) };
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        let here = &raw const zero as usize & !(PAGE - 1);
        if raw_map(here - (2 << 20), PAGE, RW, ANON | libc::MAP_FIXED_NOREPLACE, -1, 0) < 0 {
            return 7;
        }
        deep(4000) as i32 & 0x7f
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}

fn growsdown() -> Outcome {
    // Far enough from what lies below that the guard gap does not matter.
    let room = map(1024 * PAGE, libc::PROT_NONE)?;
    c!(unmap(room, 1024 * PAGE));
    let at = room + 1000 * PAGE;
    c!(raw_map(at, PAGE, RW, ANON | libc::MAP_FIXED | libc::MAP_GROWSDOWN, -1, 0));
    poke(at, 1);
    for i in 1..=20 {
        poke(at - i * PAGE, i as u8);
    }
    eq!(peek(at - 20 * PAGE), 20);
    Ok(())
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

fn mincore() -> Outcome {
    let at = map(3 * PAGE, RW)?;
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

fn threads_fault() -> Outcome {
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

fn unmap_race() -> Outcome {
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

fn fork_race() -> Outcome {
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
    sleep_ms(100);
    let after = free_memory()?;
    ck!(after + 8000 > before, "free memory went from {before} to {after} kB");
    Ok(())
}

fn overcommit() -> Outcome {
    // More than there is at once is refused by the usual heuristic.
    fails!(raw_map(0, 1 << 46, RW, ANON, -1, 0), libc::ENOMEM);
    ck!(c!(raw_map(0, 1 << 40, RW, ANON | libc::MAP_NORESERVE, -1, 0)) > 0);
    Ok(())
}

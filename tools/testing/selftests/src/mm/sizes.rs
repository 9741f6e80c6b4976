// SPDX-License-Identifier: GPL-2.0
//! What grows and moves: mremap, brk, the stack.

use super::*;

fn remap(at: usize, old: usize, new: usize, flags: i32, to: usize) -> i64 {
    // SAFETY: mappings of the test's own.
    unsafe { libc::mremap(at as *mut libc::c_void, old, new, flags, to) as i64 }
}

pub(super) fn mremap() -> Outcome {
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

pub(super) fn mremap_moves() -> Outcome {
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

pub(super) fn brk() -> Outcome {
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

pub(super) fn stack_grows() -> Outcome {
    eq!(deep(4000), 4000);
    let line =
        text("/proc/self/maps")?.lines().find(|l| l.ends_with("[stack]")).map(String::from).ok_or("no [stack]")?;
    let mut ends = line.split([' ', '-']).map(|a| usize::from_str_radix(a, 16).unwrap_or(0));
    let (low, high) = (ends.next().unwrap_or(0), ends.next().unwrap_or(0));
    ck!(high - low >= 4 << 20, "{line}");
    Ok(())
}

pub(super) fn stack_guard() -> Outcome {
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

pub(super) fn growsdown() -> Outcome {
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

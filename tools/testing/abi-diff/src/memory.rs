// SPDX-License-Identifier: GPL-2.0
//! A stretch of address space: mapping, moving, protecting and advising parts of it; what is there afterwards, by /proc and by touch.

use crate::engine::{Seq, cstr, keep, raw};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

const BASE: u64 = 0x2000_0000;
const PAGES: u64 = 32;
const PAGE: u64 = 4096;
const CWD: u64 = libc::AT_FDCWD as u64;

/// The last fault: signal and code.
static FAULT: AtomicI32 = AtomicI32::new(0);

core::arch::global_asm!(
    // abi_diff_touch(address, write): reads a byte, or writes it back; 0, or 1 after a fault (the handler goes on behind it).
    ".globl abi_diff_touch",
    "abi_diff_touch:",
    "xor eax, eax",
    "test esi, esi",
    "jnz 2f",
    ".globl abi_diff_touch_read",
    "abi_diff_touch_read: movzx ecx, byte ptr [rdi]",
    "ret",
    "2: .globl abi_diff_touch_write",
    "abi_diff_touch_write: mov byte ptr [rdi], dl",
    "ret",
    ".globl abi_diff_touch_failed",
    "abi_diff_touch_failed: mov eax, 1",
    "ret",
);
unsafe extern "C" {
    fn abi_diff_touch(address: u64, write: i32, value: u8) -> i32;
    fn abi_diff_touch_failed();
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: what the kernel gave. The faulting instructions are those of `abi_diff_touch`, which may end there.
    unsafe {
        FAULT.store(signal << 8 | (*info).si_code, Relaxed);
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] =
            abi_diff_touch_failed as *const () as i64;
    }
}

fn at(s: &mut Seq) -> u64 {
    BASE + s.below(PAGES) * PAGE + if s.one_in(30) { s.pick(&[1, 2048]) } else { 0 }
}

fn len(s: &mut Seq) -> u64 {
    match s.below(30) {
        0 => 0,
        1 => s.pick(&[u64::MAX, u64::MAX - 4095, 100]),
        2 => PAGE + 5,
        _ => (1 + s.below(8)) * PAGE,
    }
}

/// True if the range stays in the stretch: nothing else may be hit.
fn inside(at: u64, len: u64) -> bool {
    at >= BASE && at.checked_add(len).is_some_and(|end| end <= BASE + PAGES * PAGE)
}

fn place(address: u64) -> String {
    if (BASE..BASE + 1024 * PAGE).contains(&address) {
        format!("+{:x}", address - BASE)
    } else {
        format!("{address:x}")
    }
}

/// The result of a call that gives an address.
fn where_to(s: &mut Seq, text: &str, got: i64) {
    s.said(text, got.min(0));
    if got > 0 {
        let text = if inside(got as u64, 1) { place(got as u64) } else { "elsewhere".into() };
        s.data(&text);
    }
}

fn mapping(s: &mut Seq) {
    let (a, l) = (at(s), len(s));
    let prot = s.pick(&[0u64, 1, 3, 3, 3, 2, 4, 5, 7, 8]);
    let (fd, name) = s.pick(&[
        (u64::MAX, "none"),
        (u64::MAX, "none"),
        (u64::MAX, "none"),
        (3, "file"),
        (4, "read-only"),
        (5, "memfd"),
    ]);
    let flags = s.pick(&[2u64, 2, 1, 3, 0])
        | s.pick(&[0x10u64, 0x10, 0x10, 0x10_0000, 0x10_0000])
        | if fd == u64::MAX { 0x20 } else { 0 }
        | s.bits(&[0x100, 0x4000, 0x8000, 0, 0, 0, 0, 0, 0]);
    let offset = s.pick(&[0u64, 0, 4096, 8192, 100, 1 << 40]);
    if !inside(a, l.min(1 << 48)) && flags & 0x10_0000 == 0 {
        return;
    }
    if !inside(a, l.min(1 << 48)) && l < 1 << 40 {
        return;
    }
    let got = s.quiet(libc::SYS_mmap, &[a, l, prot, flags, fd, offset]);
    where_to(s, &format!("mmap {} {l:x} prot {prot} flags {flags:x} {name} at {offset:x}", place(a)), got);
}

fn changing(s: &mut Seq) {
    let (a, l) = (at(s), len(s));
    if !inside(a, l) && l < 1 << 46 {
        return;
    }
    match s.below(8) {
        0 | 1 => {
            s.call(&format!("munmap {} {l:x}", place(a)), libc::SYS_munmap, &[a, l]);
        }
        2 | 3 => {
            let prot = s.pick(&[0u64, 1, 3, 3, 5, 7, 2, 0x0100_0003, 8, 0x0200_0001]);
            s.call(&format!("mprotect {} {l:x} {prot:x}", place(a)), libc::SYS_mprotect, &[a, l, prot]);
        }
        4 => {
            let advice = s.pick(&[0u64, 1, 2, 3, 4, 4, 8, 8, 9, 10, 11, 16, 17, 18, 19, 14, 15, 20, 21, 22, 23, 77]);
            s.call(&format!("madvise {} {l:x} {advice}", place(a)), libc::SYS_madvise, &[a, l, advice]);
        }
        5 => {
            let flags = s.pick(&[0u64, 1, 2, 4, 5, 6, 8]);
            s.call(&format!("msync {} {l:x} {flags}", place(a)), libc::SYS_msync, &[a, l, flags]);
        }
        6 => {
            let (nr, name) =
                s.pick(&[(libc::SYS_mlock, "mlock"), (libc::SYS_munlock, "munlock"), (libc::SYS_mlock2, "mlock2")]);
            let flags = s.pick(&[0u64, 1, 2]);
            s.call(&format!("{name} {} {l:x} {flags}", place(a)), nr, &[a, l, flags]);
        }
        _ => {
            let b = s.blank(64);
            let got = s.call(&format!("mincore {} {l:x}", place(a)), libc::SYS_mincore, &[a, l, b]);
            s.bytes(if got == 0 { (l.div_ceil(PAGE)).min(PAGES) as i64 } else { 0 });
        }
    }
}

fn moving(s: &mut Seq) {
    let (a, old, new, to) = (at(s), len(s), len(s), at(s));
    let flags = s.pick(&[0u64, 1, 1, 3, 3, 3, 5, 7, 2, 8]);
    // Where it may go by itself differs; only what stays or goes to a given place is tried.
    if !inside(a, old.min(1 << 40)) || !inside(to, new.min(1 << 40)) || old > 1 << 30 || new > 1 << 30 {
        return;
    }
    let got = s.quiet(libc::SYS_mremap, &[a, old, new, flags, to]);
    where_to(s, &format!("mremap {} {old:x} {new:x} {flags} {}", place(a), place(to)), got);
    let late = [-libc::EFAULT, -libc::EAGAIN, -libc::ENOMEM].map(i64::from).contains(&got) || old == 0;
    if got < 0 && late && flags & 2 != 0 && to % PAGE == 0 && a % PAGE == 0 {
        // Linux before 6.17 has unmapped by then what is at the new place, and what is to be cut off; later ones say the error first.
        // Both go on from the same.
        let (old, new) = (old.next_multiple_of(PAGE), new.next_multiple_of(PAGE));
        s.quiet(libc::SYS_munmap, &[to, new]);
        if old > new {
            s.quiet(libc::SYS_munmap, &[a + new, old - new]);
        }
    }
    if got > 0 && !inside(got as u64, new) {
        s.quiet(libc::SYS_munmap, &[got as u64, new.next_multiple_of(PAGE)]);
    }
}

fn touch(s: &mut Seq, address: u64, write: bool) -> String {
    FAULT.store(0, Relaxed);
    let value = s.count as u8;
    // SAFETY: a fault goes on behind the access; the stretch belongs to the test.
    let failed = unsafe { abi_diff_touch(address, i32::from(write), value) };
    let fault = FAULT.load(Relaxed);
    if failed != 0 { format!("signal {} code {}", fault >> 8, fault & 0xff) } else { "ok".into() }
}

fn touching(s: &mut Seq) {
    let (a, write) = (at(s), s.one_in(2));
    let text = touch(s, a, write);
    s.said(&format!("touch {} {write}", place(a)), 0);
    s.data(&text);
}

fn file(s: &mut Seq) {
    let fd = s.pick(&[3u64, 5]);
    let (len, at) = (s.pick(&[0u64, 100, 4096, 10000, 20000]), s.pick(&[0u64, 4000, 8192]));
    if s.one_in(2) {
        s.call(&format!("ftruncate {fd} {len}"), libc::SYS_ftruncate, &[fd, len]);
    } else {
        let b = s.fresh(len);
        s.call(&format!("pwrite {fd} {len} at {at}"), libc::SYS_pwrite64, &[fd, b, len, at]);
    }
}

/// The lines of /proc/self/maps for the stretch.
fn maps(s: &mut Seq) {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    s.said("maps", 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((from, to)) = words.first().and_then(|w| w.split_once('-')) else { continue };
        let (from, to) = (u64::from_str_radix(from, 16).unwrap_or(0), u64::from_str_radix(to, 16).unwrap_or(0));
        if to <= BASE || from >= BASE + PAGES * PAGE {
            continue;
        }
        let text =
            format!("[{:x}-{:x} {} {} {}]", from - BASE, to - BASE, words[1], words[2], words.get(5).unwrap_or(&""));
        s.data(&text);
    }
}

/// What smaps says of it: fields that must agree.
fn smaps(s: &mut Seq) {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    s.said("smaps", 0);
    let (mut within, mut clean) = (false, 0);
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or("");
        if let Some((from, _)) = first.split_once('-') {
            let from = u64::from_str_radix(from, 16).unwrap_or(0);
            within = inside(from, 1);
            if within {
                s.data(&format!("{:x}", from - BASE));
            }
        } else if within && ["Size:", "Rss:", "Pss:", "Anonymous:", "Locked:"].contains(&first) {
            s.data(line.split_whitespace().nth(1).unwrap_or(""));
        } else if within && (first.starts_with("Shared_C") || first.starts_with("Private_C")) {
            // Whether memory without a device is dirty before it is written differs, and nothing hangs on it.
            clean = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        } else if within && (first.starts_with("Shared_D") || first.starts_with("Private_D")) {
            let dirty: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
            s.data(&format!("{}", clean + dirty));
        } else if within && first == "VmFlags:" {
            // Soft-dirty bits are an option of the kernel, and mlock2's flag has a name only in later ones.
            let flags: Vec<&str> =
                line.split_whitespace().skip(1).filter(|f| !["sd", "lf", "??"].contains(f)).collect();
            s.data(&flags.join(" "));
        }
    }
}

/// The bytes of every page, read without a fault.
fn contents(s: &mut Seq) {
    s.said("contents", 0);
    let p = cstr("out");
    let out = s.quiet(libc::SYS_openat, &[CWD, p, 0o1102, 0o600]) as u64;
    for page in 0..PAGES {
        let got = raw(libc::SYS_write, &[out, BASE + page * PAGE, PAGE]);
        let b = s.blank(PAGE);
        let read = raw(libc::SYS_pread64, &[out, b, PAGE, 0]);
        raw(libc::SYS_ftruncate, &[out, 0]);
        raw(libc::SYS_lseek, &[out, 0, 0]);
        if got < 0 {
            s.data("-");
        } else {
            let first = s.read_back(1)[0];
            let sum = s
                .read_back(read.max(0) as u64)
                .iter()
                .fold(0_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(*b)));
            s.data(&format!("{got} {first:x} {sum:x}"));
        }
    }
    s.quiet(libc::SYS_close, &[out]);
}

/// A child with a copy, that changes some and ends; or that looks after the parent changed some.
fn forking(s: &mut Seq) {
    let pid = s.quiet(libc::SYS_fork, &[]);
    if pid == 0 {
        s.said("in the child", 0);
        maps(s);
        for _ in 0..4 {
            touching(s);
        }
        contents(s);
        raw(libc::SYS_exit_group, &[0]);
    }
    let status = keep(0u64);
    s.quiet(libc::SYS_wait4, &[pid as u64, status, 0, 0]);
    // SAFETY: what `keep` gave.
    s.said("child", i64::from(unsafe { *(status as *const i32) }));
}

/// The sequence.
pub fn run(s: &mut Seq) {
    // SAFETY: the handler only moves the instruction pointer.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGSEGV, &action, core::ptr::null_mut());
        libc::sigaction(libc::SIGBUS, &action, core::ptr::null_mut());
    }
    let (f, m) = (cstr("f"), cstr("m"));
    s.quiet(libc::SYS_openat, &[CWD, f, 0o102, 0o600]);
    s.quiet(libc::SYS_openat, &[CWD, f, 0, 0]);
    s.quiet(libc::SYS_memfd_create, &[m, 0]);
    let b = s.fresh(10000);
    s.quiet(libc::SYS_pwrite64, &[3, b, 10000, 0]);
    s.quiet(libc::SYS_ftruncate, &[5, 20000]);
    // Memory for words comes in large pieces, so that this process maps nothing by itself later.
    if s.one_in(3) {
        let limit = keep([64u64 << 10, 64 << 10]);
        s.quiet(libc::SYS_prlimit64, &[0, 8, limit, 0]);
        if s.one_in(2) {
            let (header, data) = (keep([0x2008_0522u64, 0]), keep([0u32; 6]));
            s.call("capset nothing", libc::SYS_capset, &[header, data]);
        }
    }
    for i in 0..50 {
        match if i < 3 { 0 } else { s.below(24) } {
            0..6 => mapping(s),
            6..12 => changing(s),
            12..15 => moving(s),
            15..18 => touching(s),
            18 => file(s),
            19 | 20 => maps(s),
            21 => smaps(s),
            22 if s.one_in(3) => forking(s),
            _ => contents(s),
        }
    }
    maps(s);
    contents(s);
}

// SPDX-License-Identifier: GPL-2.0
//! Pipes and FIFOs: sizes, packets, splice and its kin, ends that are closed. Everything is O_NONBLOCK.

use crate::engine::{Seq, cstr, keep};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

const CWD: u64 = libc::AT_FDCWD as u64;
static BROKEN: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_broken(_: i32) {
    BROKEN.fetch_add(1, Relaxed);
}

fn fd(s: &mut Seq) -> u64 {
    if s.one_in(40) { s.pick(&[u64::MAX, 60]) } else { 3 + s.below(8) }
}

fn opening(s: &mut Seq) {
    if s.one_in(3) {
        let way = s.pick(&[0u64, 1, 2]) | 0o4000;
        let name = s.pick(&["f", "f", "g"]);
        let p = cstr(name);
        s.call(&format!("open '{name}' {way:o}"), libc::SYS_openat, &[CWD, p, way]);
        return;
    }
    let flags = 0o4000 | s.pick(&[0u64, 0, 0o40000, 0o2000000, 0o200, 1]);
    let b = s.blank(8);
    if s.call(&format!("pipe2 {flags:o}"), libc::SYS_pipe2, &[b, flags]) == 0 {
        let text = format!("{} {}", s.half(0), s.half(4));
        s.data(&text);
    }
}

fn moving(s: &mut Seq) {
    let (f, len) = (fd(s), s.len());
    match s.below(7) {
        0..3 => {
            let b = s.blank(len);
            let got = s.call(&format!("read {f} {len}"), libc::SYS_read, &[f, b, len]);
            s.bytes(got);
        }
        3..6 => {
            let b = s.fresh(len);
            s.call(&format!("write {f} {len}"), libc::SYS_write, &[f, b, len]);
        }
        _ => {
            let (a, c) = (s.pick(&[0u64, 1, 100, 4096, 5000]), s.pick(&[0u64, 1, 3000, 4096]));
            if s.one_in(2) {
                let b = s.fresh(20000);
                let v = keep([b, a, b + a, c, b + a + c, a]);
                s.call(&format!("writev {f} {a} {c} {a}"), libc::SYS_writev, &[f, v, 3]);
            } else {
                let b = s.blank(20000);
                let v = keep([b, a, b + a, c, b + a + c, a]);
                let got = s.call(&format!("readv {f} {a} {c} {a}"), libc::SYS_readv, &[f, v, 3]);
                s.bytes(got);
            }
        }
    }
    let broken = BROKEN.swap(0, Relaxed);
    if broken != 0 {
        s.data(&format!("SIGPIPE {broken}"));
    }
}

/// What goes into a file goes where none of its bytes have come from: the pipe may hold the page itself, and what Linux's copy of memory
/// gives of bytes that are copied onto themselves depends on its order.
fn far_away(s: &mut Seq, f: u64, offset: u64) {
    let b = s.blank(144);
    if s.quiet(libc::SYS_fstat, &[f, b]) != 0 || s.half(24) & libc::S_IFMT != libc::S_IFREG {
        return;
    }
    if offset == 0 {
        s.quiet(libc::SYS_lseek, &[f, 2 << 20, libc::SEEK_SET as u64]);
    } else {
        // SAFETY: what `keep` gave.
        unsafe { *(offset as *mut u64) += 1 << 20 };
    }
}

fn splicing(s: &mut Seq) {
    let (f, g, len) = (fd(s), fd(s), s.len());
    let flags = 2 | s.pick(&[0u64, 0, 1, 4, 8, 16]);
    match s.below(4) {
        0 => {
            s.call(&format!("tee {f} {g} {len} {flags}"), libc::SYS_tee, &[f, g, len, flags]);
        }
        1 => {
            let b = s.fresh(len);
            let copy = s.quiet(libc::SYS_mmap, &[0, len.max(1), 3, 0x22, u64::MAX, 0]) as u64;
            // SAFETY: new memory of that length; a pipe may keep its pages.
            unsafe { core::ptr::copy_nonoverlapping(b as *const u8, copy as *mut u8, len as usize) };
            let v = keep([copy, len]);
            s.call(&format!("vmsplice {f} {len} {flags}"), libc::SYS_vmsplice, &[f, v, 1, flags]);
        }
        _ => {
            let off = |s: &mut Seq| if s.one_in(3) { keep(s.below(6000)) } else { 0 };
            let (a, b) = (off(s), off(s));
            far_away(s, g, b);
            // SAFETY: what `keep` gave.
            let value = |p: u64| if p == 0 { -1 } else { unsafe { *(p as *const i64) } };
            let text = format!("splice {f} {} {g} {} {len} {flags}", value(a), value(b));
            s.call(&text, libc::SYS_splice, &[f, a, g, b, len, flags]);
            s.data(&format!("{} {}", value(a), value(b)));
        }
    }
    BROKEN.store(0, Relaxed);
}

fn control(s: &mut Seq) {
    let f = fd(s);
    match s.below(9) {
        0 | 1 => {
            s.call(&format!("close {f}"), libc::SYS_close, &[f]);
        }
        2 => {
            let size = s.pick(&[0u64, 1, 4096, 4097, 8192, 65536, 100_000, 1 << 20, (1 << 20) + 1, 1 << 31, u64::MAX]);
            s.call(&format!("setpipe_sz {f} {}", size as i64), libc::SYS_fcntl, &[f, 1031, size]);
        }
        3 => {
            s.call(&format!("getpipe_sz {f}"), libc::SYS_fcntl, &[f, 1032]);
        }
        4 => {
            let b = s.blank(8);
            if s.call(&format!("fionread {f}"), libc::SYS_ioctl, &[f, 0x541b, b]) == 0 {
                s.bytes(4);
            }
        }
        5 => {
            s.call(&format!("dup {f}"), libc::SYS_dup, &[f]);
        }
        6 => {
            s.call(&format!("getfl {f}"), libc::SYS_fcntl, &[f, 3]);
        }
        7 => {
            let b = s.blank(144);
            if s.call(&format!("fstat {f}"), libc::SYS_fstat, &[f, b]) == 0 {
                let text = format!("{:o} {} {} {}", s.half(24), s.word(48), s.word(56), s.word(64));
                s.data(&text);
            }
        }
        _ => {
            s.call(&format!("lseek {f}"), libc::SYS_lseek, &[f, 0, 1]);
        }
    }
}

fn polling(s: &mut Seq) {
    let set: [u64; 8] = core::array::from_fn(|i| (3 + i as u64) | 0x3fff << 32);
    let p = keep(set);
    s.call("poll all", libc::SYS_poll, &[p, 8, 0]);
    // SAFETY: what `keep` gave.
    let after = unsafe { *(p as *const [u64; 8]) };
    let text: Vec<String> = after.iter().map(|w| format!("{:x}", w >> 48)).collect();
    s.data(&text.join(" "));
}

/// The sequence.
pub fn run(s: &mut Seq) {
    let handler = on_broken as extern "C" fn(i32);
    // SAFETY: the handler only counts.
    unsafe { libc::signal(libc::SIGPIPE, handler as libc::sighandler_t) };
    let p = cstr("f");
    s.quiet(libc::SYS_mknodat, &[CWD, p, 0o010666, 0]);
    let p = cstr("g");
    let g = s.quiet(libc::SYS_openat, &[CWD, p, 0o102, 0o666]) as u64;
    let b = s.fresh(9000);
    s.quiet(libc::SYS_pwrite64, &[g, b, 9000, 0]);
    for i in 0..60 {
        match if i < 2 { 0 } else { s.below(20) } {
            0 => opening(s),
            1..10 => moving(s),
            10..14 => splicing(s),
            14 | 15 => polling(s),
            _ => control(s),
        }
    }
}

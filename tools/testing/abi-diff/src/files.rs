// SPDX-License-Identifier: GPL-2.0
//! What is in files: reading, writing, holes, copies, descriptors and their flags, seals.

use crate::engine::{Seq, cstr, keep};

const CWD: u64 = libc::AT_FDCWD as u64;

fn fd(s: &mut Seq) -> u64 {
    if s.one_in(40) { s.pick(&[u64::MAX, 50]) } else { 3 + s.below(6) }
}

fn place(s: &mut Seq) -> u64 {
    if s.one_in(20) { s.pick(&[u64::MAX, i64::MAX as u64, i64::MAX as u64 - 4095, 1 << 40, 8 << 20]) } else { s.len() }
}

fn opening(s: &mut Seq) {
    use libc::*;
    let name = s.pick(&["a", "b", "c"]);
    let flags = s.pick(&[O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR]) as u64
        | s.bits(&[
            O_CREAT as u64,
            O_CREAT as u64,
            O_APPEND as u64,
            O_TRUNC as u64,
            O_CLOEXEC as u64,
            O_NONBLOCK as u64,
            O_DSYNC as u64,
        ]);
    let p = cstr(name);
    s.call(&format!("open '{name}' {flags:o}"), SYS_openat, &[CWD, p, flags, 0o644]);
}

fn memfd(s: &mut Seq) {
    let flags = s.pick(&[0u64, 1, 2, 3, 2, 32]);
    let p = cstr("m");
    s.call(&format!("memfd_create {flags}"), libc::SYS_memfd_create, &[p, flags]);
}

fn vector(s: &mut Seq, from: u64) -> (Vec<u64>, u64) {
    let (mut lens, mut words, mut at) = (Vec::new(), Vec::new(), from);
    for _ in 0..s.below(4) {
        let len = s.pick(&[0u64, 1, 10, 4096, 5000, 100]);
        words.push([at, len]);
        at += len;
        lens.push(len);
    }
    (lens, Box::leak(words.into_boxed_slice()).as_ptr() as u64)
}

fn reading(s: &mut Seq) {
    let (f, len, at) = (fd(s), s.len(), place(s));
    let b = s.blank(len.max(20000));
    match s.below(4) {
        0 | 1 => {
            let got = s.call(&format!("read {f} {len}"), libc::SYS_read, &[f, b, len]);
            s.bytes(got);
        }
        2 => {
            let got = s.call(&format!("pread {f} {len} at {}", at as i64), libc::SYS_pread64, &[f, b, len, at]);
            s.bytes(got);
        }
        _ => {
            let (lens, v) = vector(s, b);
            let flags = s.pick(&[0u64, 0, 8, 1, 64]);
            let at = if s.one_in(3) { u64::MAX } else { at };
            let got = s.call(
                &format!("preadv2 {f} {lens:?} at {} {flags:x}", at as i64),
                libc::SYS_preadv2,
                &[f, v, lens.len() as u64, at, 0, flags],
            );
            s.bytes(got);
        }
    }
}

fn writing(s: &mut Seq) {
    let (f, len, at) = (fd(s), s.len(), place(s));
    let b = s.fresh(len.max(20000));
    match s.below(4) {
        0 | 1 => s.call(&format!("write {f} {len}"), libc::SYS_write, &[f, b, len]),
        2 => s.call(&format!("pwrite {f} {len} at {}", at as i64), libc::SYS_pwrite64, &[f, b, len, at]),
        _ => {
            let (lens, v) = vector(s, b);
            let flags = s.pick(&[0u64, 0, 16, 2, 8, 64]);
            let at = if s.one_in(3) { u64::MAX } else { at };
            s.call(
                &format!("pwritev2 {f} {lens:?} at {} {flags:x}", at as i64),
                libc::SYS_pwritev2,
                &[f, v, lens.len() as u64, at, 0, flags],
            )
        }
    };
}

fn shape(s: &mut Seq) {
    let (f, len, at) = (fd(s), place(s), place(s));
    match s.below(5) {
        0 => {
            s.call(&format!("ftruncate {f} {}", len as i64), libc::SYS_ftruncate, &[f, len]);
        }
        1 | 2 => {
            let mode = s.pick(&[0u64, 1, 3, 3, 2, 0x10, 8, 0x20, 0x11, 0x40, 0x80]);
            s.call(
                &format!("fallocate {f} {mode:x} {} +{}", at as i64, len as i64),
                libc::SYS_fallocate,
                &[f, mode, at, len],
            );
        }
        3 => {
            let whence = s.pick(&[0u64, 1, 2, 3, 4, 3, 4, 5]);
            let at = if s.one_in(4) { at.wrapping_neg() } else { at };
            s.call(&format!("lseek {f} {} {whence}", at as i64), libc::SYS_lseek, &[f, at, whence]);
        }
        _ => {
            let b = s.blank(144);
            if s.call(&format!("fstat {f}"), libc::SYS_fstat, &[f, b]) == 0 {
                s.stat();
            }
        }
    }
}

/// Whether `sendfile` would copy bytes of a file onto themselves: what Linux's copy of memory then gives depends on its order.
fn onto_itself(s: &mut Seq, from: u64, at: i64, to: u64, len: u64) -> bool {
    let mut file = |fd: u64| {
        let b = s.blank(144);
        let got = s.quiet(libc::SYS_fstat, &[fd, b]);
        let place = s.quiet(libc::SYS_lseek, &[fd, 0, libc::SEEK_CUR as u64]);
        (got == 0).then(|| ((s.word(0), s.word(8)), place))
    };
    let (Some((one, here)), Some((two, there))) = (file(from), file(to)) else { return false };
    let at = if at < 0 { here } else { at };
    one == two && at != there && at.abs_diff(there) < len
}

fn copying(s: &mut Seq) {
    let (f, g, len) = (fd(s), fd(s), s.len());
    let from_place = if s.one_in(2) { 0 } else { keep(place(s)) };
    // SAFETY: what `keep` gave.
    let value = |p: u64| if p == 0 { -1 } else { unsafe { *(p as *const i64) } };
    if s.one_in(2) {
        let to_place = if s.one_in(2) { 0 } else { keep(place(s)) };
        let text = format!("copy_file_range {f} {} {g} {} {len}", value(from_place), value(to_place));
        s.call(&text, libc::SYS_copy_file_range, &[f, from_place, g, to_place, len, 0]);
        s.data(&format!("{} {}", value(from_place), value(to_place)));
    } else if !onto_itself(s, f, value(from_place), g, len) {
        let text = format!("sendfile {g} {f} {} {len}", value(from_place));
        s.call(&text, libc::SYS_sendfile, &[g, f, from_place, len]);
        s.data(&format!("{}", value(from_place)));
    }
}

fn control(s: &mut Seq) {
    let (f, g) = (fd(s), fd(s));
    match s.below(12) {
        0 | 1 => s.call(&format!("close {f}"), libc::SYS_close, &[f]),
        2 => s.call(&format!("dup {f}"), libc::SYS_dup, &[f]),
        3 => s.call(&format!("dup2 {f} {g}"), libc::SYS_dup2, &[f, g]),
        4 => {
            let flags = s.pick(&[0u64, 0x80000, 1]);
            s.call(&format!("dup3 {f} {g} {flags:x}"), libc::SYS_dup3, &[f, g, flags])
        }
        5 => s.call(&format!("getfl {f}"), libc::SYS_fcntl, &[f, 3]),
        6 => {
            let flags = s.pick(&[0u64, 0o2000, 0o4000, 0o40000, 0o1000000, 0o2002]);
            s.call(&format!("setfl {f} {flags:o}"), libc::SYS_fcntl, &[f, 4, flags])
        }
        7 => {
            let (what, value) = (s.pick(&[1u64, 2, 0, 1030, 9, 11, 1025, 1033, 1034, 77]), s.below(12));
            s.call(&format!("fcntl {f} {what} {value}"), libc::SYS_fcntl, &[f, what, value])
        }
        8 => {
            let seals = s.bits(&[1, 2, 4, 8, 16, 32]);
            s.call(&format!("add_seals {f} {seals:x}"), libc::SYS_fcntl, &[f, 1033, seals])
        }
        9 => {
            let (last, flags) = (f.wrapping_add(s.below(2)), s.pick(&[0u64, 4, 1, 2]));
            s.call(&format!("close_range {f} {last} {flags}"), libc::SYS_close_range, &[f, last, flags])
        }
        10 => {
            let what = s.pick(&[0x541b_u64, 2, 0x5450, 0x5451, 0x5460, 0x8008_6601, 0x5421, 0x1234, 0x5401]);
            let b = s.blank(8);
            let got = s.call(&format!("ioctl {f} {what:x}"), libc::SYS_ioctl, &[f, what, b]);
            if got == 0 && what != 0x5421 {
                s.bytes(4);
            }
            got
        }
        _ => {
            let (nr, n) = s.pick(&[
                (libc::SYS_fsync, "fsync"),
                (libc::SYS_fdatasync, "fdatasync"),
                (libc::SYS_syncfs, "syncfs"),
                (libc::SYS_readahead, "readahead"),
                (libc::SYS_fadvise64, "fadvise64"),
                (libc::SYS_sync_file_range, "sync_file_range"),
                (libc::SYS_fchdir, "fchdir"),
                (libc::SYS_flock, "flock"),
            ]);
            let (a, b, c) = (s.below(9), s.pick(&[0u64, 100, 5000]), s.below(9));
            s.call(&format!("{n} {f} {a} {b} {c}"), nr, &[f, a, b, c])
        }
    };
}

/// A file's pages, mapped: what is stored there is read by `read`, and the other way round.
fn mapping(s: &mut Seq) {
    let f = fd(s);
    let prot = s.pick(&[1u64, 3, 3, 2]);
    let flags = s.pick(&[1u64, 1, 2, 3]);
    let at = s.quiet(libc::SYS_mmap, &[0, 8192, prot, flags, f, 0]);
    s.said(&format!("mmap {f} {prot} {flags}"), at.min(0));
    if at <= 0 {
        return;
    }
    let end = s.quiet(libc::SYS_lseek, &[f, 0, libc::SEEK_CUR as u64]);
    // A write from the mapping, so that what is beyond the file's end gives an error and no signal.
    let p = cstr("out");
    let out = s.quiet(libc::SYS_openat, &[CWD, p, 0o102, 0o600]) as u64;
    s.call("write from it", libc::SYS_write, &[out, at as u64, 8192]);
    let b = s.blank(8192);
    let got = s.quiet(libc::SYS_pread64, &[out, b, 8192, 0]);
    s.bytes(got);
    s.call("read into it", libc::SYS_pread64, &[out, at as u64 + 4000, 300, 5]);
    s.quiet(libc::SYS_close, &[out]);
    let what = s.pick(&[1u64, 2, 4, 6, 0, 8]);
    s.call(&format!("msync {what}"), libc::SYS_msync, &[at as u64, 8192, what]);
    s.quiet(libc::SYS_munmap, &[at as u64, 8192]);
    s.quiet(libc::SYS_lseek, &[f, end as u64, 0]);
}

/// The sequence.
pub fn run(s: &mut Seq) {
    if s.one_in(4) {
        let limit = keep([60_000_u64, 60_000]);
        s.quiet(libc::SYS_prlimit64, &[0, 1, limit, 0]);
        // SAFETY: SIGXFSZ is not wanted.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }
    for i in 0..60 {
        match if i < 3 { 0 } else { s.below(24) } {
            0 | 1 => opening(s),
            2 => memfd(s),
            3..7 => reading(s),
            7..11 => writing(s),
            11..16 => shape(s),
            16 | 17 => copying(s),
            18 => mapping(s),
            _ => control(s),
        }
    }
    for f in 3..10 {
        let b = s.blank(144);
        if s.call(&format!("fstat {f}"), libc::SYS_fstat, &[f, b]) == 0 {
            s.stat();
        }
    }
}

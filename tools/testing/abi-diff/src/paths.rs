// SPDX-License-Identifier: GPL-2.0
//! Names: opening, making, removing, renaming and linking them, what is known of them, and who may, by several users.

use crate::engine::{Seq, cstr, keep};

const LONG: &str = concat!(
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
);
const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "e",
    "a",
    "b",
    "d",
    "d/a",
    "d/b",
    "d/e",
    "d/e/a",
    "d/..",
    "d/.",
    "./a",
    "a/",
    "d/",
    "e/",
    "b/",
    "a/.",
    "a/b",
    "a/..",
    "l/",
    "l/a",
    "l",
    "m",
    "l",
    "m",
    "d/l",
    "d/l/a",
    "..",
    "../a",
    ".",
    "/",
    "//d//a",
    "/d/e/../a",
    "",
    "e/a",
    "e/d",
    "l/..",
    "m/..",
    "d/e/../../a",
    "nothing/a",
    "nothing/..",
    "/a",
    "/d",
];
const TARGETS: &[&str] = &[
    "a", "b", "d", "d/e", "..", "/", "/d", "l", "m", "./l", "nothing", "d/", "", "a/", "../d/a", "/m", ".", "e", "../a",
];
const CWD: u64 = libc::AT_FDCWD as u64;

fn name(s: &mut Seq) -> (&'static str, u64) {
    let text = match s.below(60) {
        0 => LONG,
        1 => &LONG[1..],
        _ => s.pick(NAMES),
    };
    (if text.len() > 200 { if text.len() > 255 { "N256" } else { "N255" } } else { text }, cstr(text))
}

/// A directory to start from: the current one, a descriptor, or none.
fn dir(s: &mut Seq) -> u64 {
    match s.below(10) {
        0..6 => CWD,
        6 => s.pick(&[u64::MAX, 99, 0, CWD]),
        _ => 3 + s.below(5),
    }
}

fn at(d: u64) -> i64 {
    d as i32 as i64
}

fn open_flags(s: &mut Seq) -> u64 {
    use libc::*;
    let way = s.pick(&[O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_PATH, 3]) as u64;
    way | s.bits(&[
        O_CREAT as u64,
        O_EXCL as u64,
        O_TRUNC as u64,
        O_DIRECTORY as u64,
        O_NOFOLLOW as u64,
        O_APPEND as u64,
        O_NONBLOCK as u64,
        O_CREAT as u64,
        O_CLOEXEC as u64,
    ]) | if s.one_in(12) { O_TMPFILE as u64 } else { 0 }
        | if s.one_in(30) { O_NOATIME as u64 } else { 0 }
        | if s.one_in(40) { O_PATH as u64 } else { 0 }
}

fn mode(s: &mut Seq) -> u64 {
    s.pick(&[0o644, 0o600, 0o755, 0o777, 0o700, 0, 0o4755, 0o2775, 0o1777, 0o555, 0o444, 0o111, 0o177777])
}

fn opening(s: &mut Seq) {
    let (d, (n, p), flags, mode) = (dir(s), name(s), open_flags(s), mode(s));
    // A FIFO opened without O_NONBLOCK waits.
    let flags = flags | libc::O_NONBLOCK as u64;
    if s.one_in(3) {
        let resolve = s.bits(&[1, 2, 4, 8, 16, 32]);
        // Whether a link's time of access is to be written, for which RESOLVE_CACHED says EAGAIN, hangs on the clock's ticks.
        let resolve = if resolve & 32 != 0 { resolve | 4 } else { resolve };
        let mode = if flags & (libc::O_CREAT as u64 | 0x40_0000) != 0 || s.one_in(8) { mode & 0o7777 } else { 0 };
        let how = keep([flags, mode, resolve, 0]);
        let size = s.pick(&[24, 24, 24, 24, 24, 32, 16]);
        s.call(
            &format!("openat2 {} '{n}' {flags:o} {mode:o} r{resolve:x} {size}", at(d)),
            libc::SYS_openat2,
            &[d, p, how, size],
        );
    } else {
        s.call(&format!("openat {} '{n}' {flags:o} {mode:o}", at(d)), libc::SYS_openat, &[d, p, flags, mode]);
    }
}

fn making(s: &mut Seq) {
    let (d, (n, p), m) = (dir(s), name(s), mode(s));
    match s.below(4) {
        0 | 1 => s.call(&format!("mkdirat {} '{n}' {m:o}", at(d)), libc::SYS_mkdirat, &[d, p, m]),
        2 => {
            let (t, q) = {
                let t = s.pick(TARGETS);
                (t, cstr(t))
            };
            s.call(&format!("symlinkat '{t}' {} '{n}'", at(d)), libc::SYS_symlinkat, &[q, d, p])
        }
        _ => {
            let kind = s.pick(&[0u64, 0o100000, 0o010000, 0o140000, 0o020000, 0o060000, 0o040000, 0o120000, 0o150000]);
            let m = m & 0o7777 | kind;
            s.call(&format!("mknodat {} '{n}' {m:o}", at(d)), libc::SYS_mknodat, &[d, p, m, 0x103])
        }
    };
}

fn removing(s: &mut Seq) {
    let (d, (n, p)) = (dir(s), name(s));
    let flags = s.pick(&[0u64, 0, libc::AT_REMOVEDIR as u64, libc::AT_REMOVEDIR as u64, 0x100]);
    s.call(&format!("unlinkat {} '{n}' {flags:x}", at(d)), libc::SYS_unlinkat, &[d, p, flags]);
}

fn two_names(s: &mut Seq) {
    let (d, (n, p), e, (o, q)) = (dir(s), name(s), dir(s), name(s));
    if s.one_in(2) {
        let flags = s.pick(&[0u64, 0, 0, 1, 2, 4, 3, 5, 6, 8]);
        s.call(
            &format!("renameat2 {} '{n}' {} '{o}' {flags}", at(d), at(e)),
            libc::SYS_renameat2,
            &[d, p, e, q, flags],
        );
    } else {
        let flags = s.pick(&[0u64, 0, libc::AT_SYMLINK_FOLLOW as u64, libc::AT_EMPTY_PATH as u64, 0x1400, 1]);
        // Who may link what has no name: Linux 6.10 allows more.
        let user = s.quiet(libc::SYS_geteuid, &[]) != 0;
        let flags = if user { flags & !(libc::AT_EMPTY_PATH as u64) } else { flags };
        s.call(&format!("linkat {} '{n}' {} '{o}' {flags:x}", at(d), at(e)), libc::SYS_linkat, &[d, p, e, q, flags]);
    }
}

fn look_flags(s: &mut Seq) -> u64 {
    s.pick(&[0u64, 0, 0x100, 0x100, 0x1000, 0x1100, 0x800, 1])
}

fn looking(s: &mut Seq) {
    let (d, (n, p), flags) = (dir(s), name(s), look_flags(s));
    match s.below(6) {
        0..3 => {
            let b = s.blank(144);
            if s.call(&format!("newfstatat {} '{n}' {flags:x}", at(d)), libc::SYS_newfstatat, &[d, p, b, flags]) == 0 {
                s.stat();
            }
        }
        3 => {
            let mask = s.pick(&[0x7ffu64, 0xfff, 0, 0x800, 0x8000_0000, 0x1fff]);
            let flags = flags | s.pick(&[0, 0, 0x2000, 0x4000, 0x6000]);
            let b = s.blank(256);
            if s.call(&format!("statx {} '{n}' {flags:x} {mask:x}", at(d)), libc::SYS_statx, &[d, p, flags, mask, b])
                == 0
            {
                // What later kernels add to the mask is not asked for.
                let text = format!(
                    "mask {:x} attributes {:x} of {:x} n{} mode {:x} size {} blocks {}",
                    s.half(0) & 0xfff,
                    s.word(8),
                    s.word(56),
                    s.half(16),
                    s.half(28) & 0xffff,
                    s.word(40),
                    s.word(48)
                );
                s.data(&text);
            }
        }
        4 => {
            let size = s.pick(&[4096u64, 1, 3, 0, u64::MAX]);
            let b = s.blank(4096);
            let got =
                s.call(&format!("readlinkat {} '{n}' {}", at(d), size as i64), libc::SYS_readlinkat, &[d, p, b, size]);
            s.bytes(got);
        }
        _ => {
            let mode = s.pick(&[0u64, 1, 2, 4, 7, 8]);
            s.call(
                &format!("faccessat2 {} '{n}' {mode} {:x}", at(d), flags | 0x200),
                libc::SYS_faccessat2,
                &[d, p, mode, flags | 0x200],
            );
        }
    }
}

fn changing(s: &mut Seq) {
    let (d, (n, p), flags) = (dir(s), name(s), look_flags(s));
    match s.below(5) {
        0 => {
            let m = mode(s);
            s.call(&format!("fchmodat {} '{n}' {m:o}", at(d)), libc::SYS_fchmodat, &[d, p, m]);
        }
        1 => {
            let (u, g) = (s.pick(&[0u64, 1, 2, 0xffff_ffff]), s.pick(&[0u64, 1, 2, 5, 0xffff_ffff]));
            s.call(&format!("fchownat {} '{n}' {u} {g} {flags:x}", at(d)), libc::SYS_fchownat, &[d, p, u, g, flags]);
        }
        2 | 3 => {
            let part = |s: &mut Seq| {
                s.pick(&[[1000u64, 1], [2000, 2], [3000, 0x3fff_ffff], [4000, 0x3fff_fffe], [5000, 1_000_000_000]])
            };
            let (a, b) = (part(s), part(s));
            let null = s.one_in(12);
            let times = if null { 0 } else { keep([a, b]) };
            let p = if s.one_in(20) { 0 } else { p };
            let shown = if p == 0 { "NULL" } else { n };
            s.call(
                &format!("utimensat {} '{shown}' {a:?} {b:?} {null} {flags:x}", at(d)),
                libc::SYS_utimensat,
                &[d, p, times, flags],
            );
        }
        _ => {
            let len = s.pick(&[0u64, 1, 5000, u64::MAX, 9 << 20, 1 << 62]);
            s.call(&format!("truncate '{n}' {len}"), libc::SYS_truncate, &[p, len]);
        }
    }
}

fn moving(s: &mut Seq) {
    let (n, p) = name(s);
    match s.below(4) {
        0 => {
            s.call(&format!("chdir '{n}'"), libc::SYS_chdir, &[p]);
        }
        1 => {
            let fd = 3 + s.below(5);
            s.call(&format!("fchdir {fd}"), libc::SYS_fchdir, &[fd]);
        }
        2 => {
            let b = s.blank(4096);
            let size = s.pick(&[4096u64, 1, 2, 0]);
            let got = s.call(&format!("getcwd {size}"), libc::SYS_getcwd, &[b, size]);
            s.bytes(got);
        }
        _ => {
            let home = cstr("/");
            s.call("chdir '/'", libc::SYS_chdir, &[home]);
        }
    }
}

fn descriptors(s: &mut Seq) {
    let fd = 3 + s.below(6);
    match s.below(6) {
        0 | 1 => {
            s.call(&format!("close {fd}"), libc::SYS_close, &[fd]);
        }
        2 => {
            let b = s.blank(144);
            if s.call(&format!("fstat {fd}"), libc::SYS_fstat, &[fd, b]) == 0 {
                s.stat();
            }
        }
        3 => list(s, fd),
        4 => {
            let b = s.blank(64);
            let got = s.call(&format!("read {fd}"), libc::SYS_read, &[fd, b, 64]);
            s.bytes(got);
        }
        _ => {
            let b = s.fresh(40);
            s.call(&format!("write {fd}"), libc::SYS_write, &[fd, b, 40]);
        }
    }
}

/// What a directory holds, sorted.
fn list(s: &mut Seq, fd: u64) {
    let b = s.blank(8192);
    s.quiet(libc::SYS_lseek, &[fd, 0, 0]);
    let got = s.quiet(libc::SYS_getdents64, &[fd, b, 8192]);
    s.said(&format!("getdents64 {fd}"), got.min(0));
    let (mut names, mut at) = (Vec::new(), 0);
    while (at as i64) < got {
        let entry = s.read_back(got as u64)[at as usize..].to_vec();
        let len = u64::from(entry[16]) | u64::from(entry[17]) << 8;
        let end = entry[19..].iter().position(|b| *b == 0).unwrap_or(0);
        names.push(format!("{}:{}", String::from_utf8_lossy(&entry[19..19 + end.min(8)]), entry[18]));
        at += len.max(1);
    }
    names.sort();
    s.data(&names.join(" "));
}

fn attributes(s: &mut Seq) {
    let (n, p) = name(s);
    let key = s.pick(&[
        "trusted.a",
        "security.b",
        "trusted.a",
        "security.b",
        "system.x",
        "trusted.",
        "x",
        "",
        "security.capability",
    ]);
    let k = cstr(key);
    let follow = s.one_in(2);
    match s.below(4) {
        0 | 1 => {
            let (len, flags) = (s.pick(&[0u64, 1, 5, 20, 65537]), s.pick(&[0u64, 0, 1, 2, 3]));
            let b = s.fresh(len);
            let nr = if follow { libc::SYS_setxattr } else { libc::SYS_lsetxattr };
            s.call(&format!("setxattr '{n}' '{key}' {len} {flags} {follow}"), nr, &[p, k, b, len, flags]);
        }
        2 => {
            let size = s.pick(&[0u64, 3, 100]);
            let b = s.blank(100);
            let nr = if follow { libc::SYS_getxattr } else { libc::SYS_lgetxattr };
            let got = s.call(&format!("getxattr '{n}' '{key}' {size} {follow}"), nr, &[p, k, b, size]);
            s.bytes(if size == 0 { 0 } else { got });
        }
        _ => {
            let nr = if follow { libc::SYS_removexattr } else { libc::SYS_lremovexattr };
            s.call(&format!("removexattr '{n}' '{key}' {follow}"), nr, &[p, k]);
            let b = s.blank(300);
            let got = s.quiet(libc::SYS_llistxattr, &[p, b, 300]);
            let mut names: Vec<String> =
                s.read_back(got.max(0) as u64).split(|b| *b == 0).map(|n| String::from_utf8_lossy(n).into()).collect();
            names.sort();
            s.said(&format!("llistxattr '{n}'"), got);
            s.data(&names.join(" "));
        }
    }
}

fn users(s: &mut Seq) {
    let user = s.pick(&[0u64, 0, 1, 2]);
    let root = 0;
    s.quiet(libc::SYS_setresuid, &[u64::MAX, root, u64::MAX]);
    s.quiet(libc::SYS_setresgid, &[u64::MAX, user, u64::MAX]);
    let groups = keep([5_u32, 1]);
    let some = s.below(3);
    s.quiet(libc::SYS_setgroups, &[some, groups]);
    s.call(&format!("become {user}, {some} groups"), libc::SYS_setresuid, &[u64::MAX, user, u64::MAX]);
    if s.one_in(3) {
        let mask = s.pick(&[0u64, 0o22, 0o77, 0o777]);
        s.call(&format!("umask {mask:o}"), libc::SYS_umask, &[mask]);
    }
}

fn mounting(s: &mut Seq) {
    let ((n, p), (o, q)) = (name(s), name(s));
    match s.below(4) {
        0 => {
            s.call(&format!("bind '{n}' '{o}'"), libc::SYS_mount, &[p, q, 0, libc::MS_BIND, 0]);
        }
        1 => {
            let flags = s.pick(&[0u64, 0, 2, 8, 1, 0x10, 4]);
            s.call(&format!("umount2 '{o}' {flags}"), libc::SYS_umount2, &[q, flags]);
        }
        2 => {
            let flags = libc::MS_BIND
                | libc::MS_REMOUNT
                | s.bits(&[libc::MS_RDONLY, libc::MS_NOSUID, libc::MS_NODEV, libc::MS_NOEXEC]);
            s.call(&format!("remount '{o}' {flags:x}"), libc::SYS_mount, &[0, q, 0, flags, 0]);
        }
        _ => {
            let b = s.blank(120);
            if s.call(&format!("statfs '{n}'"), libc::SYS_statfs, &[p, b]) == 0 {
                let text = format!(
                    "{:x} bsize {} blocks {} free {} files {} ffree {} namelen {} flags {:x}",
                    s.word(0),
                    s.word(8),
                    s.word(16),
                    s.word(24),
                    s.word(40),
                    s.word(48),
                    s.word(64),
                    s.word(80)
                );
                s.data(&text);
            }
        }
    }
}

/// The sequence.
pub fn run(s: &mut Seq) {
    let here = cstr(".");
    s.quiet(libc::SYS_chroot, &[here]);
    let mounts = s.one_in(3);
    for _ in 0..60 {
        match s.below(40) {
            0..8 => opening(s),
            8..14 => making(s),
            14..18 => removing(s),
            18..23 => two_names(s),
            23..28 => looking(s),
            28..32 => changing(s),
            32 | 33 => moving(s),
            34 | 35 => descriptors(s),
            36 => attributes(s),
            37 => users(s),
            38 if mounts => mounting(s),
            _ => looking(s),
        }
    }
    s.quiet(libc::SYS_setresuid, &[u64::MAX, 0, u64::MAX]);
    let root = cstr("/");
    let fd = s.quiet(libc::SYS_openat, &[CWD, root, 0]);
    list(s, fd as u64);
}

// SPDX-License-Identifier: GPL-2.0
//! Unix sockets of each kind: names, connections, messages with descriptors and credentials, options, ends. Nothing waits.

use crate::engine::{Seq, cstr, keep};

const CWD: u64 = libc::AT_FDCWD as u64;

fn fd(s: &mut Seq) -> u64 {
    if s.one_in(50) { s.pick(&[u64::MAX, 70]) } else { 3 + s.below(10) }
}

/// An address: its text, where it is, and its length.
fn address(s: &mut Seq) -> (String, u64, u64) {
    let names: &[&[u8]] = &[b"a\0", b"b\0", b"\0x", b"\0y", b"\0", b"", b"file\0", b"none/a\0", b"\0x\0"];
    let name = s.pick(names);
    let mut bytes = [0_u8; 128];
    bytes[0] = if s.one_in(40) { 2 } else { 1 };
    bytes[2..2 + name.len()].copy_from_slice(name);
    let len = match s.below(30) {
        0 => 1,
        1 => 111,
        2 => 2,
        _ => 2 + name.len() as u64,
    };
    (format!("{}:{:?}+{len}", bytes[0], String::from_utf8_lossy(name)), keep(bytes), len)
}

fn opening(s: &mut Seq) {
    let kind = s.pick(&[1u64, 1, 2, 2, 5, 5, 3, 9]);
    let protocol = s.pick(&[0u64, 0, 0, 0, 1, 7]);
    if s.one_in(2) {
        let b = s.blank(8);
        if s.call(&format!("socketpair {kind} {protocol}"), libc::SYS_socketpair, &[1, kind | 0o4000, protocol, b]) == 0
        {
            let text = format!("{} {}", s.half(0), s.half(4));
            s.data(&text);
        }
    } else {
        s.call(&format!("socket {kind} {protocol}"), libc::SYS_socket, &[1, kind | 0o4000, protocol]);
    }
}

fn connecting(s: &mut Seq) {
    let f = fd(s);
    match s.below(7) {
        0 | 1 => {
            let (text, p, len) = address(s);
            s.call(&format!("bind {f} {text}"), libc::SYS_bind, &[f, p, len]);
        }
        2 => {
            let n = s.pick(&[0u64, 1, 5, u64::MAX]);
            s.call(&format!("listen {f} {}", n as i64), libc::SYS_listen, &[f, n]);
        }
        3 | 4 => {
            let (text, p, len) = address(s);
            s.call(&format!("connect {f} {text}"), libc::SYS_connect, &[f, p, len]);
        }
        _ => {
            let (b, len) = (s.blank(128), keep(110u32));
            let flags = s.pick(&[0o4000u64, 0o4000, 0o2004000, 1]);
            if s.call(&format!("accept4 {f} {flags:o}"), libc::SYS_accept4, &[f, b, len, flags]) >= 0 {
                name(s, len);
            }
        }
    }
}

/// Adds the address in the memory that is read into. Names that the kernel chose are numbered.
fn name(s: &mut Seq, len: u64) {
    // SAFETY: what `keep` gave.
    let len = unsafe { *(len as *const u32) };
    let bytes = s.read_back(u64::from(len.min(110)));
    let auto = len == 8 && bytes[2] == 0 && bytes[3..8].iter().all(u8::is_ascii_hexdigit);
    let text = if auto {
        format!("auto {}", s.id(9, bytes[3..8].iter().fold(0, |h, b| h * 256 + u64::from(*b))))
    } else {
        crate::engine::show(bytes)
    };
    s.data(&format!("{len} {text}"));
}

/// Whether descriptors were sent.
fn sending(s: &mut Seq) -> bool {
    let (f, len) = (fd(s), s.pick(&[0u64, 1, 10, 100, 1000, 4096, 60000, 300_000]));
    let b = s.fresh(len);
    // Not MSG_OOB: whether these sockets have it is an option of the kernel.
    let flags = s.pick(&[0u64, 0, 0, 0x4000, 0x80, 0x40]);
    match s.below(5) {
        0 => s.call(&format!("write {f} {len}"), libc::SYS_write, &[f, b, len]),
        1 => s.call(&format!("send {f} {len} {flags:x}"), libc::SYS_sendto, &[f, b, len, flags, 0, 0]),
        2 => {
            let (text, p, n) = address(s);
            s.call(&format!("sendto {f} {len} {flags:x} {text}"), libc::SYS_sendto, &[f, b, len, flags, p, n])
        }
        _ => {
            // One control message: descriptors, credentials, or nonsense.
            let pid = s.quiet(libc::SYS_getpid, &[]) as u64;
            let (g, kind) = (fd(s), s.below(6));
            let (text, control): (String, [u64; 4]) = match kind {
                0 | 1 => (format!("rights {}", g as i64), [20, 1 | 1 << 32, g & 0xffff_ffff, 0]),
                2 => (format!("rights {} {}", g as i64, g as i64), [24, 1 | 1 << 32, (g & 0xffff_ffff) | g << 32, 0]),
                3 => ("credentials".into(), [28, 1 | 2 << 32, pid, 0]),
                4 => ("kind 77".into(), [20, 1 | 77 << 32, 0, 0]),
                _ => ("credentials of 1".into(), [28, 1 | 2 << 32, 1 | 5 << 32, 0]),
            };
            let size = (control[0] + 7) & !7;
            let c = keep(control);
            let v = keep([b, len / 2, b + len / 2, len - len / 2]);
            let m = keep([0, 0, v, 2, c, size, 0]);
            let sent = s.call(&format!("sendmsg {f} {len} {flags:x} {text}"), libc::SYS_sendmsg, &[f, m, flags]);
            return sent >= 0 && kind < 3;
        }
    };
    false
}

fn receiving(s: &mut Seq) {
    let (f, len) = (fd(s), s.pick(&[0u64, 1, 5, 100, 4096, 100_000]));
    let flags = s.pick(&[0u64, 0, 0, 2, 0x20, 0x22, 0x40, 0x100]);
    if s.one_in(3) {
        let b = s.blank(len);
        let got = s.call(&format!("recv {f} {len} {flags:x}"), libc::SYS_recvfrom, &[f, b, len, flags, 0, 0]);
        s.bytes(got.min(len as i64));
        return;
    }
    let b = s.blank(len);
    let (c, n) = (keep([0u64; 16]), keep([0u64; 16]));
    let room = s.pick(&[128u64, 128, 128, 0, 20, 16, 10]);
    let v = keep([b, len]);
    let m = keep([n, 110, v, 1, c, room, 0]);
    let got = s.call(&format!("recvmsg {f} {len} {flags:x} room {room}"), libc::SYS_recvmsg, &[f, m, flags]);
    if got < 0 {
        return;
    }
    s.bytes(got.min(len as i64));
    // SAFETY: what `keep` gave.
    let (head, control) = unsafe { (*(m as *const [u64; 7]), *(c as *const [u64; 16])) };
    let text = format!("name {} control {} flags {:x}", head[1] as u32, head[5], head[6] as u32);
    s.data(&text);
    if head[5] >= 16 {
        let kind = control[1] >> 32;
        let text = match kind {
            // A pid, then user and group.
            2 => format!(
                "{} {:x} pid {} {:x}",
                control[0],
                control[1],
                s.id(3, control[2] & 0xffff_ffff),
                control[2] >> 32
            ),
            _ => format!("{} {:x} {:x}", control[0], control[1], control[2]),
        };
        s.data(&text);
    }
}

fn options(s: &mut Seq) {
    let f = fd(s);
    let (which, name) = s.pick(&[
        (2u64, "REUSEADDR"),
        (3, "TYPE"),
        (4, "ERROR"),
        (7, "SNDBUF"),
        (8, "RCVBUF"),
        (16, "PASSCRED"),
        (17, "PEERCRED"),
        (18, "RCVLOWAT"),
        (30, "ACCEPTCONN"),
        (38, "PROTOCOL"),
        (39, "DOMAIN"),
        (42, "PEEK_OFF"),
        (9, "KEEPALIVE"),
        (13, "LINGER"),
        (19, "SNDLOWAT"),
        (1, "DEBUG"),
        (6, "BROADCAST"),
        (12, "PRIORITY"),
        (999, "999"),
        (31, "PEERSEC"),
        (20, "RCVTIMEO"),
    ]);
    if s.one_in(3) && which != 17 {
        let value = s.pick(&[0u32, 1, 5000, 0xffff_ffff]);
        let (p, len) = (keep([value, 0, 0, 0]), s.pick(&[4u64, 4, 4, 8, 16, 1]));
        s.call(&format!("setsockopt {f} {name} {value:x} {len}"), libc::SYS_setsockopt, &[f, 1, which, p, len]);
        return;
    }
    let (b, len) = (s.blank(64), keep(s.pick(&[4u32, 4, 12, 16, 1])));
    if s.call(&format!("getsockopt {f} {name}"), libc::SYS_getsockopt, &[f, 1, which, b, len]) == 0 {
        // SAFETY: what `keep` gave.
        let len = unsafe { *(len as *const u32) };
        if which == 17 && len >= 12 {
            let pid = s.half(0).into();
            let text = format!("{len} pid {} {} {}", s.id(3, pid), s.half(4), s.half(8));
            s.data(&text);
        } else if which != 17 {
            s.bytes(i64::from(len.min(16)));
        }
    }
}

fn others(s: &mut Seq) {
    let f = fd(s);
    match s.below(8) {
        0 | 1 => {
            s.call(&format!("close {f}"), libc::SYS_close, &[f]);
        }
        2 | 3 => {
            let how = s.below(4);
            s.call(&format!("shutdown {f} {how}"), libc::SYS_shutdown, &[f, how]);
        }
        4 => {
            let (b, len) = (s.blank(128), keep(110u32));
            let (nr, n) = s.pick(&[(libc::SYS_getsockname, "getsockname"), (libc::SYS_getpeername, "getpeername")]);
            if s.call(&format!("{n} {f}"), nr, &[f, b, len]) == 0 {
                name(s, len);
            }
        }
        5 => {
            let b = s.blank(8);
            if s.call(&format!("fionread {f}"), libc::SYS_ioctl, &[f, 0x541b, b]) == 0 {
                s.bytes(4);
            }
        }
        6 => {
            let (n, p) = {
                let n = s.pick(&["a", "b", "file"]);
                (n, cstr(n))
            };
            s.call(&format!("unlink {n}"), libc::SYS_unlinkat, &[CWD, p, 0]);
        }
        _ => {
            let set: [u64; 10] = core::array::from_fn(|i| (3 + i as u64) | 0x3fff << 32);
            let p = keep(set);
            s.call("poll all", libc::SYS_poll, &[p, 10, 0]);
            // SAFETY: what `keep` gave.
            let after = unsafe { *(p as *const [u64; 10]) };
            let text: Vec<String> = after.iter().map(|w| format!("{:x}", w >> 48)).collect();
            s.data(&text.join(" "));
        }
    }
}

/// Time for the kernel to find sockets of which nothing is left but their places in each other's queues, and to close them: the call
/// before may have closed the last way to them.
fn collected(s: &mut Seq) {
    let (t, r) = (keep([0u64, 20_000_000]), keep([0u64; 2]));
    s.quiet(libc::SYS_nanosleep, &[t, r]);
}

/// The sequence.
pub fn run(s: &mut Seq) {
    // SAFETY: no memory is touched.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let p = cstr("file");
    s.quiet(libc::SYS_mknodat, &[CWD, p, 0o100666, 0]);
    if s.one_in(4) {
        s.call("become 1", libc::SYS_setresuid, &[1, 1, 1]);
    }
    let mut descriptors = false;
    for i in 0..70 {
        let kind = if i < 3 { 0 } else { s.below(24) };
        match kind {
            0 => opening(s),
            1..8 => connecting(s),
            8..13 => descriptors |= sending(s),
            13..18 => receiving(s),
            18 | 19 => options(s),
            _ => others(s),
        }
        if descriptors && !(8..13).contains(&kind) && s.last >= 0 {
            collected(s);
        }
    }
}

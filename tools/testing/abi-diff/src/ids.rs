// SPDX-License-Identifier: GPL-2.0
//! Who a process is and what it may: ids, groups, capabilities, secure bits, limits, priorities, and what follows from them.

use crate::engine::{Seq, keep};

const NONE: u64 = u64::MAX;

fn id(s: &mut Seq) -> u64 {
    s.pick(&[0u64, 0, 1, 2, 3, 65534, NONE, 0xffff_ffff, 0xffff_fffe])
}

fn changing(s: &mut Seq) {
    let (a, b, c) = (id(s), id(s), id(s));
    let (x, y, z) = (a as i32, b as i32, c as i32);
    match s.below(9) {
        0 => s.call(&format!("setuid {x}"), libc::SYS_setuid, &[a]),
        1 => s.call(&format!("setgid {x}"), libc::SYS_setgid, &[a]),
        2 => s.call(&format!("setreuid {x} {y}"), libc::SYS_setreuid, &[a, b]),
        3 => s.call(&format!("setregid {x} {y}"), libc::SYS_setregid, &[a, b]),
        4 => s.call(&format!("setresuid {x} {y} {z}"), libc::SYS_setresuid, &[a, b, c]),
        5 => s.call(&format!("setresgid {x} {y} {z}"), libc::SYS_setresgid, &[a, b, c]),
        6 => s.call(&format!("setfsuid {x}"), libc::SYS_setfsuid, &[a]),
        7 => s.call(&format!("setfsgid {x}"), libc::SYS_setfsgid, &[a]),
        _ => {
            let n = s.pick(&[0u64, 1, 3, 65537]);
            let list = keep([5_u32, 1, 5, 0]);
            s.call(&format!("setgroups {n}"), libc::SYS_setgroups, &[n, list])
        }
    };
}

fn capabilities(s: &mut Seq) {
    let version = s.pick(&[0x2008_0522u64, 0x2008_0522, 0x2008_0522, 0x1998_0330, 0x2007_1026, 0]);
    let pid = s.pick(&[0u64, 0, 0, 999_999, NONE]);
    let header = keep([version | pid << 32]);
    let set = |s: &mut Seq| match s.below(4) {
        0 => 0u32,
        1 => u32::MAX,
        2 => 1 << s.below(32),
        _ => s.rng.next() as u32,
    };
    if s.one_in(2) {
        let b = s.blank(24);
        let got = s.call(&format!("capget {version:x} {}", pid as i32), libc::SYS_capget, &[header, b]);
        s.bytes(if got == 0 { if version == 0x1998_0330 { 12 } else { 24 } } else { 0 });
        return;
    }
    let p = set(s);
    let (e, i) = (if s.one_in(2) { p } else { set(s) }, set(s));
    let high = s.pick(&[0u32, 0x1ff, u32::MAX]);
    let data = keep([e, p, i, high, high, 0]);
    s.call(&format!("capset {version:x} {} {e:x} {p:x} {i:x} {high:x}", pid as i32), libc::SYS_capset, &[header, data]);
}

fn prctl(s: &mut Seq) {
    let (what, name) = s.pick(&[
        (3u64, "GET_DUMPABLE"),
        (4, "SET_DUMPABLE"),
        (7, "GET_KEEPCAPS"),
        (8, "SET_KEEPCAPS"),
        (23, "CAPBSET_READ"),
        (24, "CAPBSET_DROP"),
        (27, "GET_SECUREBITS"),
        (28, "SET_SECUREBITS"),
        (38, "SET_NO_NEW_PRIVS"),
        (39, "GET_NO_NEW_PRIVS"),
        (47, "CAP_AMBIENT"),
        (1, "SET_PDEATHSIG"),
        (36, "SET_CHILD_SUBREAPER"),
        (30, "GET_TIMERSLACK"),
        (29, "SET_TIMERSLACK"),
        (41, "SET_THP_DISABLE"),
        (42, "GET_THP_DISABLE"),
        (25, "GET_TSC"),
        (33, "MCE_KILL"),
        (9, "GET_FPEMU"),
        (13, "GET_TIMING"),
        (777, "777"),
    ]);
    let a = s.pick(&[0u64, 1, 1, 2, 3, 4, 7, 40, 41, 0x2f, 100]);
    let (b, c) = (s.pick(&[0u64, 0, 1, 12]), s.pick(&[0u64, 0, 0, 1]));
    s.call(&format!("prctl {name} {a} {b} {c}"), libc::SYS_prctl, &[what, a, b, c, 0]);
}

fn limits(s: &mut Seq) {
    let which = s.below(17);
    // Stack, memory and processes are left as they are.
    if [3, 9, 2, 6].contains(&which) {
        return;
    }
    let value = |s: &mut Seq| s.pick(&[0u64, 1, 64, 1000, 1 << 20, u64::MAX]);
    let (mut soft, mut hard) = (value(s), value(s));
    if which == 0 {
        // CPU time that is over already ends the process at the next tick, whichever call that comes in.
        (soft, hard) = (soft.max(64), hard.max(64));
    }
    let p = if s.one_in(2) { keep([soft, hard]) } else { 0 };
    let b = s.blank(16);
    let pid = s.pick(&[0u64, 0, 0, 999_999]);
    if s.call(&format!("prlimit {pid} {which} {} {soft:x} {hard:x}", p != 0), libc::SYS_prlimit64, &[pid, which, p, b])
        == 0
    {
        // Limits of signals and locked memory depend on the machine's memory, until they are set.
        if ![11, 6, 8].contains(&which) {
            let text = format!("{:x} {:x}", s.word(0), s.word(8));
            s.data(&text);
        }
    }
}

fn scheduling(s: &mut Seq) {
    let value = s.pick(&[0u64, 1, 5, 19, 20, 40, NONE, (-20i64) as u64, (-30i64) as u64]);
    let param = keep(s.pick(&[0u32, 1, 50, 99, 100]));
    // SAFETY: what `keep` gave.
    let priority = unsafe { *(param as *const u32) };
    match s.below(9) {
        0 => s.call("getpriority", libc::SYS_getpriority, &[0, 0]),
        1 => s.call(&format!("setpriority {}", value as i64), libc::SYS_setpriority, &[0, 0, value]),
        2 => s.call("sched_getscheduler", libc::SYS_sched_getscheduler, &[0]),
        // A real-time task would keep the one that watches out.
        3 => {
            let policy = s.pick(&[0u64, 3, 5, 0x4000_0000, 4, 7, NONE]);
            s.call(
                &format!("sched_setscheduler {} {priority}", policy as i64),
                libc::SYS_sched_setscheduler,
                &[0, policy, param],
            )
        }
        4 => {
            let b = s.blank(4);
            let got = s.call("sched_getparam", libc::SYS_sched_getparam, &[0, b]);
            s.bytes(if got == 0 { 4 } else { 0 });
            got
        }
        5 => {
            let policy = s.pick(&[0u64, 1, 2, 3, 5, 6, 7, 9]);
            s.call(&format!("sched_get_priority_max {policy}"), libc::SYS_sched_get_priority_max, &[policy])
        }
        6 => {
            let b = s.blank(64);
            let (size, flags) = (s.pick(&[48u64, 56, 64, 40]), s.below(2));
            let got = s.call(&format!("sched_getattr {size} {flags}"), libc::SYS_sched_getattr, &[0, b, size, flags]);
            if got == 0 {
                let text = format!("{} {} {:x} {} {}", s.half(0), s.half(4), s.word(8), s.half(16) as i32, s.half(20));
                s.data(&text);
            }
            got
        }
        7 => {
            let policy = s.pick(&[0u64, 3, 5, 9]);
            let flags = s.pick(&[0u64, 1, 8, 16, 0x80]);
            let nice = (value as u32 as u64) | 0;
            let attr = keep([48 | policy << 32, flags, nice, 0, 0, 0, 0]);
            s.call(
                &format!("sched_setattr {policy} {flags:x} {}", value as i32),
                libc::SYS_sched_setattr,
                &[0, attr, 0],
            )
        }
        _ => {
            let (who, kind) = (s.pick(&[1u64, 1, 2, 3, 9]), s.pick(&[0u64, 1, 2, 3, 4]));
            let prio = kind << 13 | s.pick(&[0u64, 3, 7, 8]);
            if s.one_in(2) {
                s.call(&format!("ioprio_set {who} {prio:x}"), libc::SYS_ioprio_set, &[who, 0, prio])
            } else {
                s.call(&format!("ioprio_get {who}"), libc::SYS_ioprio_get, &[who, 0])
            }
        }
    };
}

fn looking(s: &mut Seq) {
    match s.below(6) {
        0 => {
            let b = s.blank(16);
            s.call("getresuid", libc::SYS_getresuid, &[b, b + 4, b + 8]);
            let text = format!("{} {} {}", s.half(0) as i32, s.half(4) as i32, s.half(8) as i32);
            s.data(&text);
        }
        1 => {
            let n = s.pick(&[0u64, 1, 10, NONE]);
            let b = s.blank(64);
            let got = s.call(&format!("getgroups {}", n as i64), libc::SYS_getgroups, &[n, b]);
            s.bytes(if n == 10 { got * 4 } else { 0 });
        }
        2 => {
            let mask = s.pick(&[0o22u64, 0o777, 0o1234, 0]);
            s.call(&format!("umask {mask:o}"), libc::SYS_umask, &[mask]);
        }
        3 => {
            let who = s.pick(&[0xffff_ffffu64, 0, 8, 0x40000, 0x8000000]);
            s.call(&format!("personality {who:x}"), libc::SYS_personality, &[who]);
        }
        _ => {
            let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            s.said("status", 0);
            for line in text.lines() {
                if [
                    "Uid:",
                    "Gid:",
                    "Groups:",
                    "CapInh:",
                    "CapPrm:",
                    "CapEff:",
                    "CapBnd:",
                    "CapAmb:",
                    "NoNewPrivs:",
                    "Umask:",
                ]
                .iter()
                .any(|name| line.starts_with(name))
                {
                    s.data(&line.split_whitespace().collect::<Vec<_>>().join(" "));
                }
            }
        }
    }
}

/// What it may do now.
fn trying(s: &mut Seq) {
    let p = crate::engine::cstr("f");
    match s.below(6) {
        0 => s.call("open f", libc::SYS_openat, &[libc::AT_FDCWD as u64, p, 2]),
        1 => {
            let m = s.pick(&[0o600u64, 0o4755, 0o2755, 0o1777]);
            s.call(&format!("chmod f {m:o}"), libc::SYS_chmod, &[p, m])
        }
        2 => {
            let (u, g) = (id(s), id(s));
            s.call(&format!("chown f {} {}", u as i32, g as i32), libc::SYS_chown, &[p, u, g])
        }
        3 => s.call("kill 1 0", libc::SYS_kill, &[1, 0]),
        4 => s.call("chroot .", libc::SYS_chroot, &[crate::engine::cstr("/")]),
        _ => {
            let b = s.blank(144);
            let got = s.call("stat f", libc::SYS_stat, &[p, b]);
            if got == 0 {
                s.stat();
            }
            got
        }
    };
}

/// The sequence.
pub fn run(s: &mut Seq) {
    let p = crate::engine::cstr("f");
    s.quiet(libc::SYS_openat, &[libc::AT_FDCWD as u64, p, 0o102, 0o640]);
    for _ in 0..50 {
        match s.below(20) {
            0..5 => changing(s),
            5..8 => capabilities(s),
            8..11 => prctl(s),
            11 | 12 => limits(s),
            13 | 14 => scheduling(s),
            15 | 16 => trying(s),
            _ => looking(s),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A family of processes: forks, ends, stops, who waits for whom, groups, sessions, orphans and pidfds.

use crate::engine::{Seq, cstr};
use crate::workers::{Answer, FORK, MOST, Workers};

/// The pid that stands for worker `n` in a call, or another.
fn pid(s: &mut Seq, w: &Workers) -> (String, u64) {
    match s.below(16) {
        0 => ("0".into(), 0),
        1 => ("-1".into(), u64::MAX),
        2 => ("nobody".into(), 99_999),
        _ => {
            let n = s.below(MOST as u64) as usize;
            (format!("#{n}"), if w.pid(n) == 0 { 99_998 } else { w.pid(n) })
        }
    }
}

fn say(s: &mut Seq, i: usize, text: &str, answer: Answer) -> i64 {
    match answer {
        Answer::Result(result) => {
            s.said(&format!("{i} {text}"), result);
            result
        }
        Answer::Waits => {
            s.said(&format!("{i} {text} waits"), 0);
            -1
        }
        Answer::State(state) => {
            s.said(&format!("{i} {text} is {state}"), 0);
            -1
        }
    }
}

/// As `say`, for a call that gives a pid.
fn say_pid(s: &mut Seq, i: usize, text: &str, answer: Answer) {
    match answer {
        Answer::Result(result) if result > 0 => {
            let known = s.id(3, result as u64);
            s.said(&format!("{i} {text}"), 0);
            s.data(&format!("pid {known}"));
        }
        answer => {
            say(s, i, text, answer);
        }
    }
}

fn waiting(s: &mut Seq, w: &Workers, i: usize) {
    let (name, target) = pid(s, w);
    if s.one_in(2) {
        let options = 1 | s.bits(&[2, 8, 0x4000_0000, 0x8000_0000]);
        let target = if s.one_in(4) { target.wrapping_neg() } else { target };
        let p = w.put(i, &[0]);
        let text = format!("wait4 {}{name} {options:x}", if (target as i64) < -1 { "-" } else { "" });
        let answer = w.ask(i, libc::SYS_wait4, &[target, p, options, 0]);
        say_pid(s, i, &text, answer);
        if matches!(answer, Answer::Result(n) if n > 0) {
            s.data(&format!("{:x}", w.word(i, 0) as u32));
        }
        return;
    }
    let options = 1 | s.bits(&[2, 4, 8, 0x0100_0000, 4, 4]);
    let kind = s.pick(&[0u64, 1, 1, 2, 3, 7]);
    w.put(i, &[u64::MAX; 16]);
    let answer = w.ask(i, libc::SYS_waitid, &[kind, target, w.area(i), options, 0]);
    if say(s, i, &format!("waitid {kind} {name} {options:x}"), answer) == 0 {
        let words: [u64; 4] = core::array::from_fn(|n| w.word(i, n));
        let who = s.id(3, words[2] & 0xffff_ffff);
        s.data(&format!(
            "{} code {} pid {who} {} status {}",
            words[0] as u32,
            words[1] as u32,
            words[2] >> 32,
            words[3] as u32
        ));
    }
}

fn grouping(s: &mut Seq, w: &Workers, i: usize) {
    let ((name, a), (other, b)) = (pid(s, w), pid(s, w));
    match s.below(6) {
        0 | 1 => {
            let answer = w.ask(i, libc::SYS_setpgid, &[a, b]);
            say(s, i, &format!("setpgid {name} {other}"), answer);
        }
        2 => {
            let answer = w.ask(i, libc::SYS_getpgid, &[a]);
            say_pid(s, i, &format!("getpgid {name}"), answer);
        }
        3 => {
            let answer = w.ask(i, libc::SYS_getsid, &[a]);
            say_pid(s, i, &format!("getsid {name}"), answer);
        }
        4 if s.one_in(2) => {
            let answer = w.ask(i, libc::SYS_setsid, &[]);
            say_pid(s, i, "setsid", answer);
        }
        _ => {
            let answer = w.ask(i, libc::SYS_getppid, &[]);
            say_pid(s, i, "getppid", answer);
        }
    }
}

fn signalling(s: &mut Seq, w: &Workers, i: usize) {
    let (name, mut target) = pid(s, w);
    let signal = s.pick(&[0u64, 15, 19, 18, 19, 18, 10, 17, 9, 65, 20, 34]);
    // Not everything at once.
    if target == u64::MAX || target == 0 {
        return;
    }
    let group = s.one_in(5);
    if group {
        target = target.wrapping_neg();
    }
    let answer = w.ask(i, libc::SYS_kill, &[target, signal]);
    say(s, i, &format!("kill {}{name} {signal}", if group { "-" } else { "" }), answer);
}

fn pidfds(s: &mut Seq, w: &Workers, i: usize) {
    let (name, target) = pid(s, w);
    let f = 3 + s.below(3);
    match s.below(4) {
        0 | 1 => {
            let flags = s.pick(&[0u64, 0, 0o4000, 1]);
            let answer = w.ask(i, libc::SYS_pidfd_open, &[target, flags]);
            say(s, i, &format!("pidfd_open {name} {flags:o}"), answer);
        }
        2 => {
            let signal = s.pick(&[0u64, 15, 19, 18, 65]);
            let answer = w.ask(i, libc::SYS_pidfd_send_signal, &[f, signal, 0, s.rng.below(2)]);
            say(s, i, &format!("pidfd_send_signal {f} {signal}"), answer);
        }
        _ => {
            let p = w.put(i, &[f | 0x3fff << 32]);
            let answer = w.ask(i, libc::SYS_poll, &[p, 1, 0]);
            say(s, i, &format!("poll {f}"), answer);
            s.data(&format!("{:x}", w.word(i, 0) >> 48));
        }
    }
}

fn one(s: &mut Seq, w: &Workers) {
    let i = s.below(MOST as u64) as usize;
    if w.pid(i) == 0 || w.settle(i) != 'S' || w.pending(i) {
        return;
    }
    match s.below(24) {
        0..5 => {
            // A slot that is free, or whose process is gone.
            let n = s.below(MOST as u64) as usize;
            if w.pid(n) == 0 || w.state(n) == '-' {
                let answer = w.ask(i, FORK, &[n as u64]);
                say_pid(s, i, &format!("fork #{n}"), answer);
                w.settle(n);
            }
        }
        5..11 => waiting(s, w, i),
        11..14 => grouping(s, w, i),
        14..18 => signalling(s, w, i),
        18 | 19 => pidfds(s, w, i),
        20 if i != 0 => {
            let code = s.below(300);
            let answer = w.ask(i, libc::SYS_exit_group, &[code]);
            say(s, i, &format!("exit {code}"), answer);
        }
        21 => {
            let (what, name) =
                s.pick(&[(36u64, "SUBREAPER"), (1, "PDEATHSIG"), (37, "GET_SUBREAPER"), (2, "GET_PDEATHSIG")]);
            let value = s.pick(&[0u64, 1, 10, 15, 19]);
            let p = if what == 37 || what == 2 { w.put(i, &[0]) } else { value };
            let answer = w.ask(i, libc::SYS_prctl, &[what, p, 0, 0, 0]);
            say(s, i, &format!("prctl {name} {value}"), answer);
            if what == 37 || what == 2 {
                s.data(&format!("{}", w.word(i, 0)));
            }
        }
        _ => {
            // What /proc says of another.
            let n = s.below(MOST as u64) as usize;
            let text = std::fs::read_to_string(format!("/proc/{}/stat", w.pid(n))).unwrap_or_default();
            s.said(&format!("stat of #{n}"), 0);
            let words: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split_whitespace().collect();
            let number = |n: usize| words.get(n).and_then(|w| w.parse().ok()).unwrap_or(0_u64);
            let (parent, group, session) = (s.id(3, number(1)), s.id(3, number(2)), s.id(3, number(3)));
            s.data(&format!(
                "{} {parent} {group} {session} threads {} exit signal {}",
                words.first().unwrap_or(&"-"),
                number(17),
                number(35)
            ));
        }
    }
}

/// The sequence.
pub fn run(s: &mut Seq) {
    extern "C" fn nothing(_: i32) {}
    let handler = nothing as extern "C" fn(i32);
    // SAFETY: the handler does nothing.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
        libc::signal(libc::SIGRTMIN(), handler as libc::sighandler_t);
    }
    let _ = cstr("");
    let w = Workers::new();
    let me = s.quiet(libc::SYS_getpid, &[]) as u64;
    for known in [0, 1, me] {
        s.id(3, known);
    }
    let first = w.start(0);
    s.id(3, first as u64);
    w.settle(0);
    for _ in 0..70 {
        one(s, &w);
        w.settle_all();
        for n in 0..MOST {
            if w.pid(n) != 0
                && w.pending(n)
                && let Answer::Result(_) = w.answer(n)
            {
                s.said(&format!("{n} woken"), 0);
            }
        }
    }
}

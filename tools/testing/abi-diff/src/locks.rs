// SPDX-License-Identifier: GPL-2.0
//! Locks on files between processes: flock, record locks of processes and of open files; who waits, who is woken, deadlocks.

use crate::engine::{Seq, cstr};
use crate::workers::{Answer, Workers};

const CWD: u64 = libc::AT_FDCWD as u64;
const COUNT: usize = 3;

struct World {
    workers: Workers,
    busy: [bool; COUNT],
    gone: [bool; COUNT],
}

fn say(s: &mut Seq, w: &mut World, i: usize, text: &str, answer: Answer) -> i64 {
    match answer {
        Answer::Result(result) => {
            s.said(&format!("{i} {text}"), result);
            result
        }
        Answer::Waits => {
            w.busy[i] = true;
            s.said(&format!("{i} {text} waits"), 0);
            -1
        }
        Answer::State(state) => {
            w.gone[i] = true;
            s.said(&format!("{i} {text} is {state}"), 0);
            -1
        }
    }
}

/// Who waited and has been woken.
fn woken(s: &mut Seq, w: &mut World) {
    for i in 0..COUNT {
        if w.busy[i] && !w.gone[i] {
            match w.workers.answer(i) {
                Answer::Result(result) => {
                    w.busy[i] = false;
                    s.said(&format!("{i} woken"), result);
                }
                Answer::Waits => {}
                Answer::State(state) => {
                    w.gone[i] = true;
                    s.said(&format!("{i} is {state}"), 0);
                }
            }
        }
    }
}

fn record(s: &mut Seq, w: &mut World, i: usize) {
    let f = 3 + s.below(5);
    let (command, name) = s.pick(&[
        (6u64, "SETLK"),
        (6, "SETLK"),
        (7, "SETLKW"),
        (5, "GETLK"),
        (5, "GETLK"),
        (37, "OFD_SETLK"),
        (38, "OFD_SETLKW"),
        (36, "OFD_GETLK"),
    ]);
    let (kind, whence) = (s.pick(&[0u64, 0, 1, 1, 2, 2, 9]), s.pick(&[0u64, 0, 0, 1, 2, 7]));
    let start = s.pick(&[0u64, 0, 10, 20, 50, u64::MAX - 9, i64::MAX as u64]);
    let len = s.pick(&[0u64, 1, 10, 30, u64::MAX - 4, i64::MAX as u64]);
    let pid = if s.one_in(20) { 1 } else { 0 };
    let p = w.workers.put(i, &[kind | whence << 16, start, len, pid]);
    let text = format!("{name} {f} {kind} {whence} {} {} {pid}", start as i64, len as i64);
    let answer = w.workers.ask(i, libc::SYS_fcntl, &[f, command, p]);
    if say(s, w, i, &text, answer) == 0 && name.ends_with("GETLK") {
        let words: [u64; 4] = core::array::from_fn(|n| w.workers.word(i, n));
        let owner = s.id(3, words[3] & 0xffff_ffff);
        s.data(&format!("{:x} {} {} pid {owner}", words[0] as u32, words[1] as i64, words[2] as i64));
    }
}

fn one(s: &mut Seq, w: &mut World) {
    let i = s.below(COUNT as u64) as usize;
    if w.gone[i] {
        return;
    }
    if w.busy[i] {
        // One that waits may be told to stop.
        if s.one_in(3) {
            s.call("kill SIGUSR1", libc::SYS_kill, &[w.workers.pid(i), libc::SIGUSR1 as u64]);
        }
        return;
    }
    let f = 3 + s.below(5);
    match s.below(20) {
        0..9 => record(s, w, i),
        9..13 => {
            let how = s.pick(&[1u64, 2, 5, 6, 8, 8, 12, 0, 32]);
            let answer = w.workers.ask(i, libc::SYS_flock, &[f, how]);
            say(s, w, i, &format!("flock {f} {how}"), answer);
        }
        13 | 14 => {
            let (name, flags) = (s.pick(&["a", "b"]), s.pick(&[2u64, 2, 0, 1]));
            let p = w.workers.put(i, &[u64::from(name.as_bytes()[0])]);
            let answer = w.workers.ask(i, libc::SYS_openat, &[CWD, p, flags]);
            say(s, w, i, &format!("open {name} {flags}"), answer);
        }
        15 | 16 => {
            let answer = w.workers.ask(i, libc::SYS_close, &[f]);
            say(s, w, i, &format!("close {f}"), answer);
        }
        17 => {
            let answer = w.workers.ask(i, libc::SYS_dup, &[f]);
            say(s, w, i, &format!("dup {f}"), answer);
        }
        18 if s.one_in(4) => {
            let answer = w.workers.ask(i, libc::SYS_exit_group, &[0]);
            say(s, w, i, "exit", answer);
        }
        _ => {}
    }
}

/// The sequence.
pub fn run(s: &mut Seq) {
    extern "C" fn nothing(_: i32) {}
    let handler = nothing as extern "C" fn(i32);
    // SAFETY: the handler does nothing; without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut());
    }
    // Pid 0 and -1 stand for themselves.
    s.id(3, 0);
    s.id(3, 0xffff_ffff);
    for name in ["a", "b", "a"] {
        let p = cstr(name);
        let f = s.quiet(libc::SYS_openat, &[CWD, p, 0o102, 0o600]) as u64;
        s.quiet(libc::SYS_pwrite64, &[f, p, 1, 30]);
    }
    let mut w = World { workers: Workers::new(), busy: [false; COUNT], gone: [false; COUNT] };
    for i in 0..COUNT {
        let pid = w.workers.start(i);
        s.id(3, pid as u64);
        w.workers.settle(i);
    }
    for _ in 0..60 {
        one(s, &mut w);
        woken(s, &mut w);
    }
}

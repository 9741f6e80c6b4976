// SPDX-License-Identifier: GPL-2.0
//! Clocks and timers: arguments, what is told of an armed timer (rounded, as time passes), timers that are over, bad values.

use crate::engine::{Seq, keep};

const CLOCKS: &[u64] = &[0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10, 12, u64::MAX, 99];

/// Seconds and nanoseconds: never, long over, far away, or nonsense.
fn span(s: &mut Seq) -> [u64; 2] {
    s.pick(&[
        [0u64, 0],
        [0, 0],
        [5000, 0],
        [5000, 0],
        [0, 1],
        [100_000, 999_999_999],
        [0, 1_000_000_000],
        [u64::MAX, 0],
        [1, u64::MAX],
        [7777, 5],
    ])
}

/// How much is left, as it may be told: less and less of it, from when the machine started if it is until a moment.
fn left(sec: u64, nsec: u64) -> String {
    if sec == 0 && nsec == 0 {
        "0".into()
    } else if sec < 100 {
        "little".into()
    } else if sec < 1000 {
        "hundreds".into()
    } else if sec < 10_000 {
        "thousands".into()
    } else {
        "much".into()
    }
}

fn clocks(s: &mut Seq) {
    let c = s.pick(CLOCKS);
    match s.below(6) {
        0 | 1 => {
            let b = s.blank(16);
            if s.call(&format!("clock_getres {}", c as i64), libc::SYS_clock_getres, &[c, b]) == 0 {
                let text = format!("{} {}", s.word(0), s.word(8));
                s.data(&text);
            }
        }
        2 => {
            let b = s.blank(16);
            if s.call(&format!("clock_gettime {}", c as i64), libc::SYS_clock_gettime, &[c, b]) == 0 {
                let sane = s.word(8) < 1_000_000_000;
                s.data(if sane { "sane" } else { "not sane" });
            }
        }
        3 => {
            let t = span(s);
            // Only what fails or is over at once.
            let (flags, t) =
                if s.one_in(2) { (1u64, [0, s.pick(&[1u64, 5, 1_000_000_000])]) } else { (s.pick(&[0u64, 2]), t) };
            // A process that sleeps uses no time of its own.
            if c == 2 || flags != 1 && t[0] > 0 && t[0] < 1 << 40 && t[1] < 1_000_000_000 {
                return;
            }
            let (p, b) = (keep(t), s.blank(16));
            s.call(
                &format!("clock_nanosleep {} {flags} {t:x?}", c as i64),
                libc::SYS_clock_nanosleep,
                &[c, flags, p, b],
            );
        }
        4 => {
            // Without the right, so that the clock stays.
            let p = keep(s.pick(&[[0u64, 1_000_000_000], [5, u64::MAX], [u64::MAX, 0]]));
            s.call(&format!("clock_settime {}", c as i64), libc::SYS_clock_settime, &[c, p]);
        }
        _ => {
            let b = s.blank(208);
            let modes = s.pick(&[0u32, 0, 0x8000, 1 << 30]);
            // SAFETY: the memory to read into.
            unsafe { core::ptr::write_bytes(b as *mut u8, 0, 208) };
            // SAFETY: as above.
            unsafe { *(b as *mut u32) = modes };
            s.call(&format!("clock_adjtime {} {modes:x}", c as i64), libc::SYS_clock_adjtime, &[c, b]);
        }
    }
}

/// Uses time until timer `id` is not just about to expire: what is over by CPU time is noticed at some tick that comes while the
/// process runs.
fn noticed(s: &mut Seq, id: u64) {
    let start = std::time::Instant::now();
    let b = s.blank(32);
    while s.quiet(libc::SYS_timer_gettime, &[id, b]) == 0
        && (s.word(16), s.word(24)) == (0, 1)
        && start.elapsed().as_secs() < 2
    {}
}

fn timers(s: &mut Seq, made: &mut Vec<u32>) {
    let id = if made.is_empty() || s.one_in(20) { 99 } else { s.pick(made) } as u64;
    match s.below(6) {
        0 => {
            let (c, notify, signal) = (s.pick(CLOCKS), s.pick(&[0u64, 1, 1, 4, 2, 9]), s.pick(&[10u64, 34, 0, 65]));
            let tid = s.quiet(libc::SYS_gettid, &[]) as u64;
            let event = keep([5u64, signal | notify << 32, tid, 0, 0, 0, 0, 0]);
            let event = if s.one_in(6) { 0 } else { event };
            let b = s.blank(4);
            let got = s.call(
                &format!("timer_create {} {notify} {signal} {}", c as i64, event != 0),
                libc::SYS_timer_create,
                &[c, event, b],
            );
            if got == 0 {
                made.push(s.half(0));
            }
        }
        1 | 2 => {
            let (a, b, flags) = (span(s), span(s), s.pick(&[0u64, 0, 1, 2]));
            let (new, old) = (keep([b[0], b[1], a[0], a[1]]), s.blank(32));
            // A timer that fires all the time tells nothing steady.
            if b[0] == 0 && b[1] != 0 && b[1] < 1_000_000_000 {
                return;
            }
            let got = s.call(
                &format!("timer_settime {flags} {a:x?} {b:x?}"),
                libc::SYS_timer_settime,
                &[id, flags, new, old],
            );
            if got == 0 {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
                // Time for what is over at once.
                let (t, r) = (keep([0u64, 3_000_000]), s.blank(16));
                s.quiet(libc::SYS_nanosleep, &[t, r]);
                noticed(s, id);
            }
        }
        3 => {
            let b = s.blank(32);
            if s.call("timer_gettime", libc::SYS_timer_gettime, &[id, b]) == 0 {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
            }
        }
        4 => {
            s.call("timer_getoverrun", libc::SYS_timer_getoverrun, &[id]);
        }
        _ => {
            if s.call("timer_delete", libc::SYS_timer_delete, &[id]) == 0 {
                made.retain(|m| u64::from(*m) != id);
            }
        }
    }
}

fn descriptors(s: &mut Seq) {
    let f = 3 + s.below(4);
    match s.below(5) {
        0 => {
            let (c, flags) = (s.pick(CLOCKS), s.pick(&[0o4000u64, 0o4000, 1, 0o2004000]));
            s.call(&format!("timerfd_create {} {flags:o}", c as i64), libc::SYS_timerfd_create, &[c, flags]);
        }
        1 | 2 => {
            let (a, b, flags) = (span(s), span(s), s.pick(&[0u64, 0, 1, 2, 3, 4]));
            if b[0] == 0 && b[1] != 0 && b[1] < 1_000_000_000 {
                return;
            }
            let (new, old) = (keep([b[0], b[1], a[0], a[1]]), s.blank(32));
            if s.call(
                &format!("timerfd_settime {f} {flags} {a:x?} {b:x?}"),
                libc::SYS_timerfd_settime,
                &[f, flags, new, old],
            ) == 0
            {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
                // Time for what is over at once.
                let (t, r) = (keep([0u64, 3_000_000]), s.blank(16));
                s.quiet(libc::SYS_nanosleep, &[t, r]);
            }
        }
        3 => {
            let b = s.blank(8);
            let n = s.pick(&[8u64, 8, 4]);
            let got = s.call(&format!("read {f} {n}"), libc::SYS_read, &[f, b, n]);
            s.bytes(got);
        }
        _ => {
            let b = s.blank(32);
            if s.call(&format!("timerfd_gettime {f}"), libc::SYS_timerfd_gettime, &[f, b]) == 0 {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
            }
        }
    }
}

fn old_timers(s: &mut Seq) {
    let (which, a, b) = (
        s.pick(&[0u64, 0, 1, 2, 3]),
        s.pick(&[[0u64, 0], [5000, 0], [900, 1], [0, 1_000_000], [u64::MAX, 0]]),
        s.pick(&[[0u64, 0], [3000, 0]]),
    );
    match s.below(4) {
        0 => {
            let (new, old) = (keep([b[0], b[1], a[0], a[1]]), s.blank(32));
            if s.call(&format!("setitimer {which} {a:x?} {b:x?}"), libc::SYS_setitimer, &[which, new, old]) == 0 {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
            }
        }
        1 => {
            let b = s.blank(32);
            if s.call(&format!("getitimer {which}"), libc::SYS_getitimer, &[which, b]) == 0 {
                let text = format!("{} {} {}", s.word(0), s.word(8), left(s.word(16), s.word(24)));
                s.data(&text);
            }
        }
        2 => {
            let n = s.pick(&[0u64, 5000, 700]);
            let got = s.quiet(libc::SYS_alarm, &[n]);
            s.said(&format!("alarm {n}"), got.min(1));
            s.data(&left(got as u64, 0));
        }
        _ => {
            let t = s.pick(&[[0u64, 0], [0, 1], [0, 1_000_000_000], [u64::MAX, 0]]);
            let p = keep(t);
            s.call(&format!("nanosleep {t:x?}"), libc::SYS_nanosleep, &[p, 0]);
        }
    }
}

/// The sequence.
pub fn run(s: &mut Seq) {
    // SAFETY: no memory is touched.
    unsafe {
        for signal in [10, 14, 26, 27, 34] {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
    let mut made = Vec::new();
    for _ in 0..60 {
        match s.below(10) {
            0..3 => clocks(s),
            3..6 => timers(s, &mut made),
            6..8 => descriptors(s),
            _ => old_timers(s),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What is ready: poll, select and epoll over descriptors of every kind, whose state changes in between. Nothing waits.

use crate::engine::{Seq, cstr, keep};

const CWD: u64 = libc::AT_FDCWD as u64;
/// Descriptors that a sequence looks at: 3 and on.
const FDS: u64 = 16;

fn fd(s: &mut Seq) -> u64 {
    if s.one_in(50) { s.pick(&[u64::MAX, 70]) } else { 3 + s.below(FDS) }
}

fn opening(s: &mut Seq) {
    let b = s.blank(8);
    match s.below(10) {
        0 | 1 => s.call("pipe2", libc::SYS_pipe2, &[b, 0o4000]),
        2 => {
            let (n, flags) = (s.below(3), s.pick(&[0o4000u64, 0o4001]));
            s.call(&format!("eventfd2 {n} {flags:o}"), libc::SYS_eventfd2, &[n, flags])
        }
        3 | 4 => {
            let kind = s.pick(&[1u64, 2, 5]);
            s.call(&format!("socketpair {kind}"), libc::SYS_socketpair, &[1, kind | 0o4000, 0, b])
        }
        5 => s.call("timerfd_create", libc::SYS_timerfd_create, &[1, 0o4000]),
        6 | 7 => s.call("epoll_create1", libc::SYS_epoll_create1, &[0]),
        8 => {
            let set = keep(1u64 << (libc::SIGUSR1 - 1));
            s.call("signalfd4", libc::SYS_signalfd4, &[u64::MAX, set, 8, 0o4000])
        }
        _ => {
            let name = s.pick(&["file", "/dev/null", "/dev/zero", "/proc/self/mounts", "."]);
            let p = cstr(name);
            s.call(&format!("open {name}"), libc::SYS_openat, &[CWD, p, if name == "file" { 0o102 } else { 0 }, 0o600])
        }
    };
}

fn acting(s: &mut Seq) {
    let f = fd(s);
    match s.below(10) {
        0..3 => {
            let len = s.pick(&[1u64, 8, 8, 100, 4096, 70000]);
            let b = s.fresh(len);
            // An eventfd's counter.
            // SAFETY: the memory to write from.
            unsafe { *(b as *mut u64) = 1 };
            s.call(&format!("write {f} {len}"), libc::SYS_write, &[f, b, len]);
        }
        3..6 => {
            let len = s.pick(&[1u64, 8, 8, 128, 4096, 70000]);
            let b = s.blank(len);
            let got = s.call(&format!("read {f} {len}"), libc::SYS_read, &[f, b, len]);
            // A signal's information holds a pid.
            text(s, if got == 128 { 12 } else { got });
        }
        6 => {
            let how = s.below(3);
            s.call(&format!("shutdown {f} {how}"), libc::SYS_shutdown, &[f, how]);
        }
        7 => {
            // Long over, or far away.
            let (value, flags) =
                s.pick(&[([0u64, 0, 0, 1], 1u64), ([0, 0, 9999, 0], 0), ([0, 0, 0, 0], 0), ([1000, 0, 0, 1], 1)]);
            let t = keep(value);
            s.call(&format!("timerfd_settime {f} {value:?} {flags}"), libc::SYS_timerfd_settime, &[f, flags, t, 0]);
            // One that is over expires at the next interrupt.
            let moment = keep([0u64, 3_000_000]);
            s.quiet(libc::SYS_nanosleep, &[moment, 0]);
        }
        8 => {
            let pid = s.quiet(libc::SYS_getpid, &[]) as u64;
            s.call("kill SIGUSR1", libc::SYS_kill, &[pid, libc::SIGUSR1 as u64]);
        }
        _ => {
            s.call(&format!("close {f}"), libc::SYS_close, &[f]);
        }
    }
}

/// Adds what was read. The figures in the list of mounts depend on the machine's memory.
fn text(s: &mut Seq, len: i64) {
    let bytes = s.read_back(len.max(0) as u64);
    if bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        let masked: Vec<u8> = bytes.iter().map(|b| if b.is_ascii_digit() { b'0' } else { *b }).collect();
        s.data(&crate::engine::show(&masked));
    } else {
        s.bytes(len);
    }
}

fn polling(s: &mut Seq) {
    let count = s.below(FDS) + 1;
    let words: Vec<u64> = (0..count)
        .map(|_| {
            let events = if s.one_in(2) { 0x3fff } else { s.bits(&[1, 2, 4, 8, 0x10, 0x40, 0x100, 0x2000]) };
            (fd(s) & 0xffff_ffff) | events << 32
        })
        .collect();
    let text: Vec<String> = words.iter().map(|w| format!("{}/{:x}", *w as i32, w >> 32)).collect();
    let at = Box::leak(words.into_boxed_slice());
    let zero = keep([0u64, 0]);
    let p = at.as_mut_ptr() as u64;
    if s.one_in(2) {
        s.call(&format!("poll {}", text.join(" ")), libc::SYS_poll, &[p, count, 0]);
    } else {
        s.call(&format!("ppoll {}", text.join(" ")), libc::SYS_ppoll, &[p, count, zero, 0, 8]);
    }
    // SAFETY: the words above; the kernel has written to them.
    let after = unsafe { core::slice::from_raw_parts(p as *const u64, count as usize) };
    let text: Vec<String> = after.iter().map(|w| format!("{:x}", w >> 48)).collect();
    s.data(&text.join(" "));
}

fn selecting(s: &mut Seq) {
    let n = s.pick(&[0u64, 5, 10, 19, 19, 19]);
    let sets: [u64; 3] = core::array::from_fn(|_| s.rng.next() & s.rng.next() & ((1 << n) - 1));
    let p = sets.map(|set| if set == 0 { 0 } else { keep([set, 0]) });
    let zero = keep([0u64, 0]);
    let text = format!("select {n} {:x} {:x} {:x}", sets[0], sets[1], sets[2]);
    if s.one_in(2) {
        s.call(&text, libc::SYS_select, &[n, p[0], p[1], p[2], zero]);
    } else {
        s.call(&format!("p{text}"), libc::SYS_pselect6, &[n, p[0], p[1], p[2], zero, 0]);
    }
    // SAFETY: what `keep` gave.
    let after = p.map(|p| if p == 0 { 0 } else { unsafe { *(p as *const u64) } });
    s.data(&format!("{:x} {:x} {:x}", after[0], after[1], after[2]));
}

fn watching(s: &mut Seq) {
    let (e, f) = (fd(s), fd(s));
    if s.one_in(3) {
        let max = s.pick(&[1u64, 3, 30, 30, 0, u64::MAX]);
        let b = s.blank(400);
        let got = s.call(&format!("epoll_wait {e} {}", max as i64), libc::SYS_epoll_wait, &[e, b, max, 0]);
        let text: Vec<String> =
            (0..got.max(0) as u64).map(|i| format!("{}/{:x}", s.word(i * 12 + 4), s.half(i * 12))).collect();
        s.data(&text.join(" "));
        return;
    }
    let op = s.pick(&[1u64, 1, 1, 2, 3, 3, 4]);
    let events = s.bits(&[1, 1, 4, 4, 8, 0x10, 0x2000]) | s.bits(&[1 << 31, 1 << 30, 1 << 29, 1 << 28, 0, 0]);
    // The event: 12 bytes, the data not aligned.
    let event = keep([events as u32, f as u32, 0]);
    s.call(&format!("epoll_ctl {e} {op} {f} {events:x}"), libc::SYS_epoll_ctl, &[e, op, f, event]);
}

/// The sequence.
pub fn run(s: &mut Seq) {
    // SAFETY: no memory is touched.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let set = keep(1u64 << (libc::SIGUSR1 - 1));
    s.quiet(libc::SYS_rt_sigprocmask, &[0, set, 0, 8]);
    for i in 0..70 {
        match if i < 6 { 0 } else { s.below(20) } {
            0 => opening(s),
            1..7 => acting(s),
            7..9 => polling(s),
            9 | 10 => selecting(s),
            _ => watching(s),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Signals that a process sends to itself: actions, masks, queues, what a handler sees, and what a stopped or ended child tells.

use crate::engine::{Seq, keep, raw};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What the handlers saw: signal, code, value, and the mask, flags and stack at that time.
static LOG: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static LOGGED: AtomicUsize = AtomicUsize::new(0);
const FIELDS: usize = 4;
const SIGNALS: &[u64] = &[1, 2, 3, 10, 12, 14, 15, 17, 18, 20, 21, 22, 23, 28, 34, 35, 36, 50, 64, 10, 12, 34, 35];

extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let at = LOGGED.fetch_add(1, Relaxed) * FIELDS;
    let stack = &raw const signal as usize;
    // SAFETY: what the kernel gave; the value is a part of every siginfo of these signals.
    let (code, value, mask) = unsafe {
        let value = if (*info).si_code == libc::SI_QUEUE { (*info).si_value().sival_ptr as usize } else { 0 };
        let sets = &raw const (*context.cast::<libc::ucontext_t>()).uc_sigmask;
        ((*info).si_code, value, *sets.cast::<u64>())
    };
    let mut now = 0_u64;
    raw(libc::SYS_rt_sigprocmask, &[0, 0, &raw mut now as u64, 8]);
    let other = STACK.load(Relaxed);
    let on_other = usize::from(stack >= other && stack < other + 65536);
    let words = [signal as usize | (code as u32 as usize) << 32, value | on_other << 60, now as usize, mask as usize];
    for (i, word) in words.into_iter().enumerate() {
        if let Some(slot) = LOG.get(at + i) {
            slot.store(word, Relaxed);
        }
    }
}

static STACK: AtomicUsize = AtomicUsize::new(0);

fn report(s: &mut Seq) {
    let n = LOGGED.swap(0, Relaxed);
    for i in 0..n.min(LOG.len() / FIELDS) {
        let word = |at: usize| LOG[i * FIELDS + at].load(Relaxed);
        let text = format!(
            "[{} code {} value {:x} mask {:x} before {:x}]",
            word(0) as u32,
            (word(0) >> 32) as i32,
            word(1),
            word(2),
            word(3)
        );
        s.data(&text);
    }
}

fn signal(s: &mut Seq) -> u64 {
    if s.one_in(40) { s.pick(&[0, 65, 9, 19, u64::MAX, 32, 33]) } else { s.pick(SIGNALS) }
}

fn set(s: &mut Seq) -> u64 {
    match s.below(5) {
        0 => 0,
        1 => u64::MAX,
        _ => (0..4).fold(0, |set, _| set | 1u64 << (s.pick(SIGNALS) - 1)),
    }
}

/// `struct sigaction` as the kernel has it.
fn action(s: &mut Seq) {
    let sig = signal(s);
    let flags = s.bits(&[0x4000_0000, 0x8000_0000, 0x0800_0000, 0x1000_0000, 1, 2]) | 4;
    let what = s.pick(&[0u64, 1, 2, 2, 2, 2]);
    let mask = set(s);
    let restorer = restore as *const () as u64;
    let act = keep([if what == 2 { handler as *const () as u64 } else { what }, flags | 0x0400_0000, restorer, mask]);
    let old = keep([0u64; 4]);
    let act_at = if s.one_in(8) { 0 } else { act };
    let got = s.call(
        &format!("sigaction {} {what} {flags:x} {mask:x} {}", sig as i64, act_at != 0),
        libc::SYS_rt_sigaction,
        &[sig, act_at, old, 8],
    );
    if got == 0 {
        // SAFETY: what `keep` gave.
        let old = unsafe { *(old as *const [u64; 4]) };
        s.data(&format!("{} {:x} {:x}", old[0].min(2), old[1], old[3]));
    }
}

core::arch::global_asm!(".globl abi_diff_restore", "abi_diff_restore: mov eax, 15", "syscall", "ud2");
unsafe extern "C" {
    #[link_name = "abi_diff_restore"]
    fn restore();
}

fn masking(s: &mut Seq) {
    let (how, set) = (s.pick(&[0u64, 1, 2, 2, 3]), set(s));
    let (p, old) = (keep(set), keep(0u64));
    s.call(&format!("sigprocmask {how} {set:x}"), libc::SYS_rt_sigprocmask, &[how, p, old, 8]);
    // SAFETY: what `keep` gave.
    let old = unsafe { *(old as *const u64) };
    s.data(&format!("{old:x}"));
}

fn sending(s: &mut Seq, me: u64) {
    let sig = signal(s);
    match s.below(4) {
        0 => s.call(&format!("kill {}", sig as i64), libc::SYS_kill, &[me, sig]),
        1 => s.call(&format!("tgkill {}", sig as i64), libc::SYS_tgkill, &[me, me, sig]),
        2 => {
            let code = s.pick(&[-1i64, -1, -2, -60, 0, 5, -6]);
            let value = 0x1000 + s.count;
            let info =
                keep([sig & 0xffff_ffff, code as u32 as u64, 0x5_0000_0007, value, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            s.call(&format!("sigqueueinfo {} {code}", sig as i64), libc::SYS_rt_sigqueueinfo, &[me, sig, info])
        }
        _ => s.call(&format!("tkill {}", sig as i64), libc::SYS_tkill, &[me, sig]),
    };
}

fn taking(s: &mut Seq) {
    match s.below(4) {
        0 => {
            let p = keep(0u64);
            s.call("sigpending", libc::SYS_rt_sigpending, &[p, 8]);
            // SAFETY: what `keep` gave.
            let set = unsafe { *(p as *const u64) };
            s.data(&format!("{set:x}"));
        }
        1 | 2 => {
            let set = set(s);
            let (p, zero) = (keep(set), keep([0u64, 0]));
            let b = s.blank(128);
            let got = s.call(&format!("sigtimedwait {set:x}"), libc::SYS_rt_sigtimedwait, &[p, b, zero, 8]);
            if got > 0 {
                let code = s.half(8) as i32;
                let text = format!("{} {} {code} {:x}", s.half(0), s.half(4), if code == -1 { s.word(24) } else { 0 });
                s.data(&text);
            }
        }
        _ => {
            let set = set(s);
            let p = keep(set);
            let fd = s.quiet(libc::SYS_signalfd4, &[u64::MAX, p, 8, 0o4000]) as u64;
            let b = s.blank(512);
            let got = s.call(&format!("signalfd {set:x} read"), libc::SYS_read, &[fd, b, 512]);
            for i in 0..got.max(0) as u64 / 128 {
                let code = s.half(i * 128 + 8) as i32;
                let text = format!(
                    "{} {} {code} {:x}",
                    s.half(i * 128),
                    s.half(i * 128 + 4),
                    if code == -1 { s.word(i * 128 + 48) } else { 0 }
                );
                s.data(&text);
            }
            s.quiet(libc::SYS_close, &[fd]);
        }
    }
}

fn other_stack(s: &mut Seq) {
    let (flags, size) = (s.pick(&[0u64, 0, 2, 1, 1 << 31, 4]), s.pick(&[65536u64, 65536, 2048, 100]));
    let base = STACK.load(Relaxed) as u64;
    let (new, old) = (keep([base, flags, size]), keep([0u64; 3]));
    let new = if s.one_in(4) { 0 } else { new };
    s.call(&format!("sigaltstack {flags:x} {size} {}", new != 0), libc::SYS_sigaltstack, &[new, old]);
    // SAFETY: what `keep` gave.
    let old = unsafe { *(old as *const [u64; 3]) };
    s.data(&format!("{} {:x} {}", old[0] == base, old[1] & 0xffff_ffff, old[2]));
}

/// Waits for the SIGCHLD of a child that was seen stopped: that it has stopped may be seen a little earlier. `before`: handlers that had
/// run by then. If no signal comes, by the action that is set, there is nothing to wait for.
fn told_of_stop(s: &mut Seq, before: usize) {
    let (old, pending) = (keep([0u64; 4]), keep(0u64));
    s.quiet(libc::SYS_rt_sigaction, &[libc::SIGCHLD as u64, 0, old, 8]);
    // SAFETY: what `keep` gave.
    let [what, flags, ..] = unsafe { *(old as *const [u64; 4]) };
    if what != handler as *const () as u64 || flags & libc::SA_NOCLDSTOP as u64 != 0 {
        return;
    }
    loop {
        s.quiet(libc::SYS_rt_sigpending, &[pending, 8]);
        // SAFETY: what `keep` gave.
        let pending = unsafe { (pending as *const u64).read_volatile() };
        if LOGGED.load(Relaxed) != before || pending & 1 << (libc::SIGCHLD - 1) != 0 {
            return;
        }
        s.quiet(libc::SYS_sched_yield, &[]);
    }
}

/// A child that ends, stops or goes on; it is waited for.
fn child(s: &mut Seq) {
    let what = s.pick(&[libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGSTOP, 0, 7]);
    // Before it is there: it may run first, and have told of its stop when `fork` returns.
    let handlers = LOGGED.load(Relaxed);
    let pid = s.quiet(libc::SYS_fork, &[]);
    if pid == 0 {
        let me = raw(libc::SYS_getpid, &[]) as u64;
        for signal in 1..32 {
            let none = [0u64; 4];
            raw(libc::SYS_rt_sigaction, &[signal, none.as_ptr() as u64, 0, 8]);
        }
        let none = 0u64;
        raw(libc::SYS_rt_sigprocmask, &[2, &raw const none as u64, 0, 8]);
        if what != 0 && what != 7 {
            raw(libc::SYS_kill, &[me, what as u64]);
        }
        raw(libc::SYS_exit_group, &[what as u64 + 1]);
    }
    for options in
        [libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT, libc::WSTOPPED | libc::WNOHANG, libc::WEXITED | libc::WNOHANG]
    {
        let b = s.blank(128);
        let mut got = s.quiet(libc::SYS_waitid, &[1, pid as u64, b, options as u64, 0]);
        while got == i64::from(-libc::EINTR) {
            got = s.quiet(libc::SYS_waitid, &[1, pid as u64, b, options as u64, 0]);
        }
        if got == 0 && what == libc::SIGSTOP {
            told_of_stop(s, handlers);
        }
        s.said(&format!("waitid of {what} {options:x}"), got);
        let text = format!("{} {} {} {}", s.half(0), s.half(8), s.half(16) == pid as u32, s.half(24));
        s.data(&text);
    }
    s.quiet(libc::SYS_kill, &[pid as u64, 9]);
    while s.quiet(libc::SYS_wait4, &[pid as u64, 0, 0, 0]) == i64::from(-libc::EINTR) {}
}

/// What /proc says: the lines of signals.
fn status(s: &mut Seq) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    s.said("/proc/self/status", 0);
    for line in text.lines().filter(|l| l.starts_with("Sig") || l.starts_with("Shd")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The limit depends on the machine's memory.
        let words = words.join(" ");
        s.data(if words.starts_with("SigQ") { words.split('/').next().unwrap_or("") } else { &words });
    }
}

/// The sequence.
pub fn run(s: &mut Seq) {
    let me = s.quiet(libc::SYS_getpid, &[]) as u64;
    STACK.store(s.rbuf as usize + 65536, Relaxed);
    // A handler for most, so that few sequences end early.
    for signal in SIGNALS {
        let act = keep([handler as *const () as u64, 0x0400_0004, restore as *const () as u64, 0]);
        s.quiet(libc::SYS_rt_sigaction, &[*signal, act, 0, 8]);
    }
    for _ in 0..60 {
        match s.below(20) {
            0..3 => action(s),
            3..6 => masking(s),
            6..12 => sending(s, me),
            12..16 => taking(s),
            16 | 17 => other_stack(s),
            18 if s.one_in(3) => child(s),
            _ => status(s),
        }
        report(s);
    }
}

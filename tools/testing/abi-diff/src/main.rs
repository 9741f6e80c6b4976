// SPDX-License-Identifier: GPL-2.0
//! Random sequences of calls, the same on every kernel. As pid 1 it reads `/list` (`FAMILY FROM COUNT hash|show [HASH]...` a line), runs
//! each sequence in a process and a file system of its own, and prints a hash of what the calls gave, or all of it, also where a hash is
//! not the one of the list. The host compares two kernels (abi_diff.py).

mod engine;
mod files;
mod ids;
mod locks;
mod memory;
mod paths;
mod pipes;
mod poll;
mod processes;
mod rng;
mod signals;
mod time;
mod unix;
mod workers;

use engine::{Out, Seq, WORK};
use std::time::{Duration, Instant};

/// A family's name and its sequence.
type Family = (&'static str, fn(&mut Seq));

const FAMILIES: &[Family] = &[
    ("paths", paths::run),
    ("files", files::run),
    ("pipes", pipes::run),
    ("poll", poll::run),
    ("signals", signals::run),
    ("memory", memory::run),
    ("locks", locks::run),
    ("unix", unix::run),
    ("time", time::run),
    ("ids", ids::run),
    ("processes", processes::run),
];

/// A sequence that takes longer hangs, however busy the host is.
const HANG: Duration = Duration::from_secs(120);

fn mounts() {
    for (kind, at) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/tmp"),
        (c"devpts", c"/dev/pts"),
    ] {
        // SAFETY: strings end with NUL.
        unsafe {
            libc::mkdir(at.as_ptr(), 0o755);
            libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, core::ptr::null());
        }
    }
    // SAFETY: as above.
    unsafe { libc::mkdir(WORK.as_ptr(), 0o755) };
}

/// Ends every other process.
fn end_all() {
    loop {
        // SAFETY: nobody wants the statuses.
        unsafe {
            libc::kill(-1, libc::SIGKILL);
            if libc::waitpid(-1, core::ptr::null_mut(), libc::__WALL) < 0 {
                return;
            }
        }
    }
}

/// Takes the SIGCHLDs of what has ended: one that is queued counts for root, and a sequence may look at that.
fn forget_ends() {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live set, filled.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGCHLD);
        while libc::sigtimedwait(&set, core::ptr::null_mut(), &now) == libc::SIGCHLD {}
    }
}

/// Waits for the sequence's process; its wait status, or nothing if it hangs.
fn wait(pid: i32) -> Option<i32> {
    let start = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: a live variable. An ended child wakes this one early: SIGCHLD has a handler.
        unsafe {
            match libc::waitpid(pid, &mut status, libc::WNOHANG | libc::WUNTRACED) {
                0 => {}
                _ => return Some(status),
            }
            if start.elapsed() > HANG {
                return None;
            }
            let mut set: libc::sigset_t = core::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGCHLD);
            let tenth = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            libc::sigtimedwait(&set, core::ptr::null_mut(), &tenth);
        }
    }
}

/// One sequence; what it gave is in `out`.
fn sequence(out: &'static Out, family: Family, seed: u64) {
    out.clear();
    forget_ends();
    // A sequence may have changed the priorities of all of root's processes, this one's too; the next would inherit them.
    engine::raw(libc::SYS_setpriority, &[0, 0, 0]);
    engine::raw(libc::SYS_ioprio_set, &[1, 0, 0]);
    // SAFETY: strings end with NUL; one thread.
    let pid = unsafe {
        libc::mount(c"w".as_ptr(), WORK.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=8m,nr_inodes=200".as_ptr().cast());
        libc::fork()
    };
    if pid == 0 {
        engine::enter();
        let mut seq = Seq::new(out, family.0, seed);
        (family.1)(&mut seq);
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    match wait(pid) {
        Some(0) => {}
        Some(status) => out.add(&format!("\nended with {status:#x}")),
        None => out.add("\nHANG"),
    }
    end_all();
    // A sequence may have mounted something on its root, and later ones read the list of mounts.
    // SAFETY: NUL-terminated.
    while unsafe { libc::umount2(WORK.as_ptr(), libc::MNT_DETACH) } == 0 {}
}

fn hash(text: &[u8]) -> u32 {
    let all = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    (all >> 32) as u32 ^ all as u32
}

/// A line of the list.
struct Job {
    family: Family,
    from: u64,
    count: u64,
    show: bool,
    /// The hashes that are expected; 0: any.
    hashes: Vec<u32>,
}

fn list() -> Vec<Job> {
    let text = std::fs::read_to_string("/list").unwrap_or_default();
    let mut out = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, from, count, mode, ref hashes @ ..] = words[..] else { continue };
        let Some(family) = FAMILIES.iter().find(|f| f.0 == name) else {
            println!("no family {name}");
            continue;
        };
        out.push(Job {
            family: *family,
            from: from.parse().unwrap_or(0),
            count: count.parse().unwrap_or(0),
            show: mode == "show",
            hashes: hashes.iter().map(|h| u32::from_str_radix(h, 16).unwrap_or(0)).collect(),
        });
    }
    out
}

fn work(out: &'static Out) {
    for Job { family, from, count, show, hashes } in list() {
        let (mut line, start) = (String::new(), Instant::now());
        for seed in from..from + count {
            sequence(out, family, seed);
            let (text, hash) = (out.text(), hash(out.text()));
            if show || hashes.get((seed - from) as usize).is_some_and(|want| *want != 0 && *want != hash) {
                println!("S {} {seed}\n{}\nE", family.0, String::from_utf8_lossy(text));
            }
            if show {
                continue;
            }
            if line.is_empty() {
                line = format!("H {} {seed}", family.0);
            }
            line += &format!(" {hash:08x}");
            if (seed + 1 - from) % 16 == 0 || seed + 1 == from + count {
                println!("{line}");
                line.clear();
            }
        }
        if !show {
            println!("T {} {} ms", family.0, start.elapsed().as_millis());
        }
    }
}

fn main() {
    if std::env::args().any(|a| a == "--list") {
        FAMILIES.iter().for_each(|f| println!("{}", f.0));
        return;
    }
    // SAFETY: takes nothing.
    if unsafe { libc::getpid() } != 1 {
        return;
    }
    mounts();
    // SAFETY: numbers, and a live set.
    unsafe {
        libc::umask(0o22);
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
    }
    work(engine::shared());
    println!("@END@");
    // SAFETY: numbers. The console is slow.
    unsafe {
        libc::tcdrain(1);
        libc::reboot(libc::RB_POWER_OFF);
    }
    loop {
        std::thread::park();
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Random system calls, from several processes at once. As pid 1 it mounts what the calls need, runs, prints what it saw and
//! powers off; the kernel's log is the host's matter.
//!
//! Words on the kernel's command line: `fuzz.seed=N`, `fuzz.calls=N` (in all), `fuzz.slots=N` (processes at once; every fourth
//! runs as root in a tree of its own), `fuzz.bad=1` (instead: bad pointers in every argument of every call), `fuzz.slot=N` (one slot
//! alone, as it runs after the first part of a whole run) and `fuzz.skip=N` (without its first rounds): to see a round again.

mod args;
mod calls;
mod ring;
#[path = "../../abi-diff/src/rng.rs"]
mod rng;
mod round;
mod sys;
mod tables;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rng::Rng;
use round::Progress;
use std::time::{Duration, Instant};

/// Calls of one round.
const ROUND: u64 = 1500;
/// A round that makes no progress for so long is nudged by a signal, ...
const NUDGE: Duration = Duration::from_millis(150);
/// ... and ended,
const END: Duration = Duration::from_millis(1500);
/// and one that does not end hangs in the kernel.
const HANG: Duration = Duration::from_secs(40);

fn word(name: &str, default: u64) -> u64 {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().find_map(|w| w.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).unwrap_or(default)
}

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
}

/// Memory that the slots share; rounds cannot reach it.
struct Shared {
    /// Calls that each slot's rounds made.
    calls: [AtomicU64; 64],
    rounds: AtomicU64,
    hangs: AtomicU64,
}

impl Shared {
    fn all(&self) -> u64 {
        self.calls.iter().map(|calls| calls.load(Relaxed)).sum()
    }
}

/// New shared memory.
///
/// # Safety
/// All zeroes is a value of `T`.
unsafe fn share<T>() -> &'static T {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, zeroed, which is a valid value; it stays for ever.
    unsafe {
        let at = libc::mmap(core::ptr::null_mut(), size_of::<T>(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(at != libc::MAP_FAILED);
        &*at.cast::<T>()
    }
}

/// The usual policy, nice value and CPUs again for all threads of a process. With `SCHED_IDLE` it weighs 3 and each of the other slots'
/// processes 1024: beside six of them on its CPU it gets 0.05 %, which of [`HANG`] are 20 ms, and less than its end may take on every
/// kernel; with a nice value of 19 (weight 15) 0.25 %.
fn hurry(pid: i32) {
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // SAFETY: live variables; all zeroes are values of these types. Who is gone already needs nothing.
        unsafe {
            libc::sched_setscheduler(tid, libc::SCHED_OTHER, &core::mem::zeroed());
            libc::setpriority(libc::PRIO_PROCESS, tid.cast_unsigned(), 0);
            let mut all: libc::cpu_set_t = core::mem::zeroed();
            (0..libc::CPU_SETSIZE as usize).for_each(|cpu| libc::CPU_SET(cpu, &mut all));
            libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &all);
        }
    }
}

/// Ends all descendants of this process, which is their reaper. False if one does not end.
fn end_all(slot: u64) -> bool {
    // SAFETY: takes nothing.
    let me = unsafe { libc::getpid() };
    let start = Instant::now();
    // Mostly there is only the child that does nothing, which ends with its parent: no need to look for others.
    for _ in 0..3 {
        // SAFETY: nobody wants the status.
        while unsafe { libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } > 0 {}
        // SAFETY: as above.
        if unsafe { libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } < 0 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    loop {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
            if parent == Some(me) {
                // SAFETY: numbers.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                hurry(pid);
                if start.elapsed() > HANG {
                    println!("HANG slot {slot}: {}", stat.trim_end());
                }
            }
        }
        // SAFETY: nobody wants the status.
        while unsafe { libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } > 0 {}
        // SAFETY: as above.
        if unsafe { libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } < 0 {
            return true;
        }
        if start.elapsed() > HANG {
            println!("HANG slot {slot}: children of {me} do not end");
            stacks();
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The stacks of all tasks, in the kernel's log.
fn stacks() {
    let _ = std::fs::write("/proc/sysrq-trigger", "t");
}

fn report_hang(slot: u64, pid: i32, progress: &Progress) {
    let last: Vec<String> = progress.last.iter().map(|word| format!("{:#x}", word.load(Relaxed))).collect();
    println!("HANG slot {slot} pid {pid}: call {}", last.join(" "));
    for name in ["status", "wchan", "stack", "syscall"] {
        if let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/{name}")) {
            println!("{name}: {}", text.replace('\n', "; "));
        }
    }
    stacks();
}

/// Whether a process has ended, though not for its parent: of one that is traced the tracer hears first, and that may be a child of its
/// own which waits for something and which nobody ends before the round is over.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Waits for a round's process, nudging it along. False if it hangs.
fn watch(pid: i32, slot: u64, progress: &Progress) -> bool {
    let (mut seen, mut since) = (0, Instant::now());
    let mut nudged = Instant::now();
    loop {
        // SAFETY: nobody wants the status.
        if unsafe { libc::waitpid(pid, core::ptr::null_mut(), libc::WNOHANG) } != 0 {
            return true;
        }
        let now = progress.calls.load(Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        let idle = since.elapsed();
        // SAFETY: numbers.
        unsafe {
            if idle > END {
                libc::kill(pid, libc::SIGKILL);
                hurry(pid);
                if is_zombie(pid) {
                    return true;
                }
            } else if idle > NUDGE && nudged.elapsed() > NUDGE {
                libc::kill(pid, libc::SIGALRM);
                nudged = Instant::now();
            }
        }
        if idle > HANG {
            report_hang(slot, pid, progress);
            return false;
        }
        std::thread::sleep(Duration::from_millis(if idle > NUDGE { 30 } else { 4 }));
    }
}

/// A new directory for a round, as the current one of the (forked) process; root gets a file system of its own as root.
fn enter(slot: u64, root: bool) {
    let dir = format!("/tmp/{slot}\0");
    let at = dir.as_ptr().cast::<libc::c_char>();
    // SAFETY: strings end with NUL.
    unsafe {
        if root {
            libc::mount(c"t".as_ptr(), at, c"tmpfs".as_ptr(), 0, c"size=32m".as_ptr().cast());
            libc::chdir(at);
            for (kind, name) in [(c"proc", c"proc"), (c"devpts", c"pts"), (c"tmpfs", c"dev")] {
                libc::mkdir(name.as_ptr(), 0o755);
                libc::mount(kind.as_ptr(), name.as_ptr(), kind.as_ptr(), 0, core::ptr::null());
            }
            for (name, minor) in [(c"dev/null", 3), (c"dev/zero", 5), (c"dev/full", 7), (c"dev/urandom", 9)] {
                libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, minor));
            }
            libc::mknod(c"dev/ptmx".as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(5, 2));
            libc::chroot(c".".as_ptr());
            return;
        }
        libc::chdir(at);
        let id = 2000 + slot as u32;
        libc::setgroups(0, core::ptr::null());
        libc::setgid(id);
        libc::setuid(id);
    }
}

/// Takes away what outlives processes: System V objects and message queues of `user`.
fn clear_objects(user: u32) {
    for (name, call) in [("shm", libc::SYS_shmctl), ("sem", libc::SYS_semctl), ("msg", libc::SYS_msgctl)] {
        let text = std::fs::read_to_string(format!("/proc/sysvipc/{name}")).unwrap_or_default();
        let mut lines = text.lines();
        let column = lines.next().and_then(|head| head.split_whitespace().position(|word| word == "uid"));
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let owner = column.and_then(|at| words.get(at)?.parse::<u32>().ok());
            let number = words.get(1).and_then(|word| word.parse::<i32>().ok());
            if let Some(number) =
                number.filter(|_| owner == Some(user) || owner.is_some_and(|uid| uid < 2000 || uid > 2100))
            {
                // SAFETY: IPC_RMID is 0 and takes no pointer; `semctl` has one argument more before it, also 0.
                unsafe { libc::syscall(call, number, 0, 0) };
            }
        }
    }
    for name in [c"q0", c"q1", c"q2", c"q3"] {
        // SAFETY: a NUL-terminated name.
        unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) };
    }
}

fn leave(slot: u64, root: bool) {
    let dir = format!("/tmp/{slot}");
    clear_objects(if root { 0 } else { 2000 + slot as u32 });
    if root {
        let name = format!("{dir}\0");
        // SAFETY: NUL-terminated. As often as something is mounted there: a round may mount over its own root.
        unsafe { while libc::umount2(name.as_ptr().cast(), libc::MNT_DETACH) == 0 {} }
    }
    let _ = std::fs::remove_dir_all(&dir);
}

/// One round of a slot: prepared, run, watched, cleared away. False if something hangs.
fn round(shared: &Shared, slot: u64, root: bool, progress: &'static Progress, body: impl FnOnce()) -> bool {
    let dir = format!("/tmp/{slot}");
    let _ = std::fs::create_dir(&dir);
    let id = if root { 0 } else { 2000 + slot as u32 };
    let _ = std::os::unix::fs::chown(&dir, Some(id), Some(id));
    // SAFETY: one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: this process does not look at the counters.
        unsafe {
            libc::munmap(core::ptr::from_ref(shared).cast_mut().cast(), size_of::<Shared>());
            libc::setsid();
        }
        enter(slot, root);
        body();
    }
    let good = pid > 0 && watch(pid, slot, progress) && end_all(slot);
    leave(slot, root);
    good
}

fn slot(number: u64, shared: &'static Shared, seed: u64, until: u64, bad: bool) -> ! {
    // SAFETY: counters.
    let progress: &'static Progress = unsafe { share() };
    let root = !bad && number % 4 == 3;
    let mut rng = Rng::new(seed ^ number << 32);
    let mut nr = number;
    for _ in 0..word("fuzz.skip", 0) {
        rng.next();
    }
    // SAFETY: numbers: orphans come to this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    loop {
        let good = if bad {
            if nr >= calls::LIMIT {
                break;
            }
            let this = nr;
            nr += until;
            let seed = seed ^ this;
            round(shared, number, root, progress, || round::bad_pointers(progress, seed, this))
        } else {
            if shared.all() >= until {
                break;
            }
            let seed = rng.next();
            round(shared, number, root, progress, || round::run(progress, seed, ROUND, root))
        };
        // A round may write anything to the memory that it shares with this process.
        let made = progress.calls.swap(0, Relaxed).min(ROUND * 2);
        shared.calls[number as usize].fetch_add(made, Relaxed);
        shared.rounds.fetch_add(1, Relaxed);
        if !good {
            shared.hangs.fetch_add(1, Relaxed);
            break;
        }
    }
    std::process::exit(0);
}

fn free_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn settled_kb() -> u64 {
    (0..10)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(200));
            free_kb()
        })
        .max()
        .unwrap_or(0)
}

/// Runs all slots until `until` calls were made.
fn phase(shared: &'static Shared, seed: u64, until: u64, slots: u64, bad: bool) {
    let mut pids = Vec::new();
    let only = word("fuzz.slot", u64::MAX);
    for number in (0..slots).filter(|number| only == u64::MAX || *number == only) {
        // SAFETY: one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            slot(number, shared, seed, if bad { slots } else { until }, bad);
        }
        pids.push(pid);
    }
    let mut told = Instant::now();
    while !pids.is_empty() {
        let mut status = 0;
        // SAFETY: a live variable.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if status != 0 && pids.contains(&pid) {
            println!("fuzz: slot {pid} LOST, status {status:#x}");
        }
        pids.retain(|known| *known != pid);
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            let all = shared.all();
            println!("fuzz: {all} calls in {} rounds, {} kB free", shared.rounds.load(Relaxed), free_kb());
        }
        if pid <= 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn main() {
    // SAFETY: takes nothing.
    if unsafe { libc::getpid() } != 1 {
        // Executed by a call: nothing more to do.
        return;
    }
    mounts();
    // SAFETY: a number.
    unsafe { libc::umask(0) };
    let (seed, calls) = (word("fuzz.seed", 1), word("fuzz.calls", 100_000));
    let (slots, bad) = (word("fuzz.slots", 8).min(64), word("fuzz.bad", 0) != 0);
    // SAFETY: counters.
    let shared: &'static Shared = unsafe { share() };
    println!("fuzz: seed {seed}, {calls} calls, {slots} slots");
    // The first part fills the kernel's caches; after it the memory must stay where it is.
    let warm = if bad || word("fuzz.slot", u64::MAX) != u64::MAX { 0 } else { calls / 4 };
    phase(shared, seed, warm, slots, false);
    let before = settled_kb();
    phase(shared, seed + 1, calls, slots, bad);
    let after = settled_kb();
    let all = shared.all();
    let hangs = shared.hangs.load(Relaxed);
    println!("fuzz: end: {all} calls in {} rounds, {hangs} hangs", shared.rounds.load(Relaxed));
    println!("fuzz: memory: {before} kB free before, {after} kB after");
    // SAFETY: numbers. The console is slow.
    unsafe {
        libc::tcdrain(1);
        libc::reboot(libc::RB_POWER_OFF);
    }
    loop {
        std::thread::park();
    }
}

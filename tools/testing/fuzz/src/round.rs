// SPDX-License-Identifier: GPL-2.0
//! One round: a process that sets up a small world and makes calls in it until its number is used up or it dies of them.

use crate::args::{self, PLAY, SIZE, World};
use crate::calls::{self, Arg, Call, GROUPS, LIMIT};
use crate::rng::Rng;
use crate::sys::{call, call_twice};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a round tells the process that watches it; shared memory.
#[repr(C)]
pub struct Progress {
    /// Calls made by this slot so far.
    pub calls: AtomicU64,
    /// The last call of the round's first thread: number and arguments.
    pub last: [AtomicU64; 7],
}

/// Tasks that a round may start.
const TASKS: u64 = 24;
/// Calls that a task started by a round makes.
const TASK_CALLS: u64 = 24;

static mut WORLD: World = World { arena: 0, play: 0, pid: 0, child: 0, root: false, ring: None };
static mut PROGRESS: *const Progress = core::ptr::null();
static STARTED: AtomicU64 = AtomicU64::new(0);

core::arch::global_asm!(
    ".globl fuzz_handler",
    "fuzz_handler: ret",
    ".globl fuzz_restorer",
    "fuzz_restorer: mov eax, 15",
    "syscall",
    "ud2",
);

unsafe extern "C" {
    fn fuzz_handler();
    fn fuzz_restorer();
}

/// A signal handler that does nothing.
pub fn handler_address() -> u64 {
    fuzz_handler as *const () as u64
}

/// Where it returns to.
pub fn restorer_address() -> u64 {
    fuzz_restorer as *const () as u64
}

fn world() -> World {
    // SAFETY: written once, before the first call.
    unsafe { WORLD }
}

fn map(len: u64, prot: i32, at: u64) -> u64 {
    let fixed = if at == 0 { 0 } else { libc::MAP_FIXED };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed;
    // SAFETY: new memory, or a part of what this function gave before.
    let got = unsafe { libc::mmap(at as *mut libc::c_void, len as usize, prot, flags, -1, 0) };
    if got == libc::MAP_FAILED {
        // SAFETY: ends this process.
        unsafe { libc::_exit(90) };
    }
    got as u64
}

fn limit(which: u32, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: a live structure.
    unsafe { libc::setrlimit(which, &limit) };
}

/// Descriptors of every kind, from 3 on.
fn open_files() {
    // SAFETY: strings end with NUL; arrays have the room that the calls want.
    unsafe {
        for name in [c"a", c"b", c"c"] {
            libc::open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o644);
        }
        libc::mkdir(c"d".as_ptr(), 0o755);
        libc::mkdir(c"d/d".as_ptr(), 0o755);
        libc::symlink(c"a".as_ptr(), c"link".as_ptr());
        libc::symlink(c"loop".as_ptr(), c"loop".as_ptr());
        libc::mkfifo(c"fifo".as_ptr(), 0o644);
        for (name, flags) in [
            (c".", libc::O_RDONLY),
            (c"d", libc::O_RDONLY | libc::O_DIRECTORY),
            (c"d", libc::O_PATH),
            (c"a", libc::O_PATH),
            (c"a", libc::O_RDONLY),
            (c"b", libc::O_WRONLY | libc::O_APPEND),
            (c"fifo", libc::O_RDWR | libc::O_NONBLOCK),
            (c"/dev/null", libc::O_RDWR),
            (c"/dev/zero", libc::O_RDWR),
            (c"/dev/full", libc::O_RDWR),
            (c"/dev/urandom", libc::O_RDWR),
            (c"/proc/self/maps", libc::O_RDONLY),
            (c"/proc/self/mem", libc::O_RDWR),
            (c"/proc", libc::O_RDONLY),
            (c"/proc/self", libc::O_RDONLY),
            (c"/sys", libc::O_RDONLY),
        ] {
            libc::open(name.as_ptr(), flags);
        }
        let mut two = [0; 2];
        libc::pipe2(two.as_mut_ptr(), libc::O_NONBLOCK);
        libc::pipe(two.as_mut_ptr());
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, two.as_mut_ptr());
        libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0, two.as_mut_ptr());
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, two.as_mut_ptr());
        libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        libc::epoll_create1(0);
        libc::epoll_create1(0);
        libc::eventfd(0, libc::EFD_NONBLOCK);
        libc::timerfd_create(libc::CLOCK_MONOTONIC, 0);
        libc::syscall(libc::SYS_memfd_create, c"m".as_ptr(), 2);
        let master = libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        let (unlock, mut number) = (0, 0);
        libc::ioctl(master, libc::TIOCSPTLCK, &unlock);
        if libc::ioctl(master, libc::TIOCGPTN, &mut number) == 0 {
            let name = format!("/dev/pts/{number}\0");
            libc::open(name.as_ptr().cast(), libc::O_RDWR);
        }
    }
}

/// The world of a round. The current directory is the round's own.
fn set_up(root: bool) -> World {
    // SAFETY: plain calls of a process that has one thread.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
        limit(libc::RLIMIT_NPROC, 200);
        limit(libc::RLIMIT_NOFILE, 128);
        limit(libc::RLIMIT_FSIZE, 8 << 20);
        limit(libc::RLIMIT_AS, 256 << 20);
        limit(libc::RLIMIT_CORE, 0);
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler_address() as usize;
        for signal in
            [libc::SIGALRM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE, libc::SIGHUP, libc::SIGXFSZ, libc::SIGCHLD]
        {
            libc::sigaction(signal, &action, core::ptr::null_mut());
        }
        // Calls that wait do not wait long.
        let every = libc::timeval { tv_sec: 0, tv_usec: 8000 };
        libc::setitimer(
            libc::ITIMER_REAL,
            &libc::itimerval { it_interval: every, it_value: every },
            core::ptr::null_mut(),
        );
        open_files();
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
        let arena = map(SIZE + 2 * 4096, libc::PROT_READ | libc::PROT_WRITE, 0);
        map(4096, libc::PROT_NONE, arena + SIZE);
        libc::mprotect((arena + SIZE + 4096) as *mut libc::c_void, 4096, libc::PROT_READ);
        let play = map(PLAY, libc::PROT_READ | libc::PROT_WRITE, 0);
        let ring = crate::ring::set_up();
        World { arena, play, pid: libc::getpid() as u64, child: child.max(0) as u64, root, ring }
    }
}

/// What the table and the generator made but this test cannot bear.
fn bearable(nr: u64, a: &mut [u64; 6], w: &World, rng: &mut Rng) -> bool {
    let one_of_ours = |pid: u64| pid as u32 as u64 == w.pid || pid as u32 as u64 == w.child && w.child != 0;
    match nr as libc::c_long {
        // Signals stay in the family; few of them end it.
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_rt_sigqueueinfo => {
            (one_of_ours(a[0]) || a[0] as u32 == 0x3fff_ffff) && (a[1] as u32 != 9 || rng.one_in(50))
        }
        libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => one_of_ours(a[0]) && (a[2] as u32 != 9 || rng.one_in(50)),
        // Owners of descriptors may get signals.
        libc::SYS_fcntl if matches!(a[1] as u32, 8 | 15) => one_of_ours(a[2]),
        libc::SYS_ioctl if matches!(a[1] as u32, 0x8901 | 0x8902) => false,
        // The log's level and its console.
        libc::SYS_syslog => !matches!(a[0] as u32, 2 | 5 | 6 | 7 | 8),
        // The memory that this program runs in. Some of it may go: then the process dies, which is allowed, but not always.
        libc::SYS_munmap | libc::SYS_mprotect | libc::SYS_mremap | libc::SYS_mmap | libc::SYS_madvise => {
            let inside = a[0] >= w.play && a[0].saturating_add(a[1]) <= w.play + PLAY;
            if nr as libc::c_long == libc::SYS_mremap && a[3] & 2 != 0 {
                return inside && a[4] >= w.play && a[4].saturating_add(a[2]) <= w.play + PLAY || rng.one_in(100);
            }
            inside || nr as libc::c_long == libc::SYS_mmap && a[3] & 0x10 == 0 || rng.one_in(60)
        }
        libc::SYS_arch_prctl => a[0] as u32 != 0x1002,
        libc::SYS_rt_sigreturn => rng.one_in(100),
        libc::SYS_setrlimit => a[0] as u32 != 9 || rng.one_in(10),
        libc::SYS_vhangup => !w.root,
        // A real-time task that spins would keep the watcher out.
        libc::SYS_sched_setscheduler | libc::SYS_sched_setattr | libc::SYS_sched_setparam => !w.root || rng.one_in(20),
        libc::SYS_prctl if a[0] as u32 == 1 => a[1] as u32 != 0 || rng.one_in(4),
        _ => calls::allowed(nr),
    }
}

extern "C" fn task(seed: u64) -> ! {
    let mut rng = Rng::new(seed);
    let w = world();
    for _ in 0..TASK_CALLS {
        one(&mut rng, &w, &GROUPS, false);
    }
    // SAFETY: ends this task.
    unsafe { call(libc::SYS_exit as u64, [0; 6]) };
    loop {
        core::hint::spin_loop();
    }
}

fn starts_task(nr: libc::c_long) -> bool {
    matches!(nr, libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3)
}

/// Calls that make tasks: at most so many a round; one in the same memory gets a stack of its own (or waits for its child).
fn start(nr: u64, mut a: [u64; 6], rng: &mut Rng, w: &World) -> i64 {
    if STARTED.fetch_add(1, Relaxed) >= TASKS {
        return -1;
    }
    const VM: u64 = libc::CLONE_VM as u64;
    let stack = w.arena + 8192 + (1 + rng.below(12)) * 16384;
    match nr as libc::c_long {
        libc::SYS_clone => a[1] = if a[0] & VM != 0 { stack } else { 0 },
        libc::SYS_clone3 if a[0] >= w.arena && a[0] + 88 <= w.arena + SIZE => {
            // SAFETY: within the arena.
            let flags = unsafe { (a[0] as *const u64).read_unaligned() };
            let (base, len) = if flags & VM != 0 { (stack - 8192, 8192) } else { (0, 0) };
            // SAFETY: as above.
            unsafe {
                ((a[0] + 40) as *mut u64).write_unaligned(base);
                ((a[0] + 48) as *mut u64).write_unaligned(len);
            }
        }
        _ => {}
    }
    // SAFETY: see above.
    unsafe { call_twice(nr, a, task, rng.next()) }
}

/// Makes one call.
fn one(rng: &mut Rng, w: &World, groups: &[&[Call]], first: bool) {
    let mut a = [0; 6];
    if let Some(ring) = w.ring.as_ref().filter(|_| rng.one_in(30)) {
        let a = crate::ring::fill(ring, rng, w);
        return issue(libc::SYS_io_uring_enter as u64, a, rng, w, first);
    }
    let nr = if rng.one_in(40) {
        let nr = rng.below(LIMIT);
        for slot in &mut a {
            *slot = args::any(rng, w);
        }
        nr
    } else {
        let group = rng.pick(groups);
        let (nr, kinds) = rng.pick(group);
        for (slot, kind) in a.iter_mut().zip(kinds) {
            *slot = args::make(rng, w, *kind);
        }
        nr as u64
    };
    issue(nr, a, rng, w, first);
}

fn issue(nr: u64, mut a: [u64; 6], rng: &mut Rng, w: &World, first: bool) {
    if !calls::allowed(nr) || !bearable(nr, &mut a, w, rng) {
        return;
    }
    // SAFETY: the shared page stays mapped: nothing above reaches it but by chance, and then this process dies.
    let progress = unsafe { &*PROGRESS };
    if first {
        progress.last[0].store(nr, Relaxed);
        for (slot, value) in progress.last[1..].iter().zip(a) {
            slot.store(value, Relaxed);
        }
    }
    if starts_task(nr as libc::c_long) {
        start(nr, a, rng, w);
    } else {
        // SAFETY: what the call does to this process is the test.
        unsafe { call(nr, a) };
    }
    progress.calls.fetch_add(1, Relaxed);
}

fn begin(progress: *const Progress, root: bool) -> World {
    let w = set_up(root);
    // SAFETY: one thread so far.
    unsafe {
        WORLD = w;
        PROGRESS = progress;
    }
    w
}

/// `count` random calls; does not return.
pub fn run(progress: *const Progress, seed: u64, count: u64, root: bool) -> ! {
    let w = begin(progress, root);
    let mut rng = Rng::new(seed);
    // Most rounds stay with one group of calls, so that things meet.
    let favourite = rng.below(GROUPS.len() as u64 + 1) as usize;
    let only = GROUPS.get(favourite).map(core::slice::from_ref);
    for i in 0..count {
        if i % 64 == 0 {
            args::fill(&mut rng, &w);
        }
        let groups = only.filter(|_| !rng.one_in(4)).unwrap_or(&GROUPS);
        one(&mut rng, &w, groups, true);
    }
    // SAFETY: ends this process.
    unsafe { libc::_exit(0) }
}

/// Every call from `from` on, every pointer of it bad in every way; does not return.
pub fn bad_pointers(progress: *const Progress, seed: u64, nr: u64) -> ! {
    let w = begin(progress, false);
    let mut rng = Rng::new(seed);
    let kinds = calls::arguments(nr).unwrap_or(&[Arg::Any; 6]);
    for (at, _) in kinds.iter().enumerate() {
        for _ in 0..48 {
            let mut a = [0; 6];
            for (slot, kind) in a.iter_mut().zip(kinds) {
                *slot = args::make(&mut rng, &w, *kind);
            }
            a[at] = args::bad(&mut rng, &w);
            issue(nr, a, &mut rng, &w, true);
        }
    }
    // SAFETY: ends this process.
    unsafe { libc::_exit(0) }
}

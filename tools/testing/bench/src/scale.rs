// SPDX-License-Identifier: GPL-2.0
//! Throughput by the wall clock, with as many workers as there are CPUs: `scale=all`, or `scale=NAME,...`, runs these instead of
//! the rows. Not for `-icount`. Prints `NAME OPERATIONS-A-SECOND` a line.

use crate::{sys, sys::check};
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

type Work = fn(u32) -> Result<u64, isize>;

/// Name, what one worker does in a round (returns operations done), and whether workers are threads of one process.
const LOADS: &[(&str, Work, bool)] = &[
    ("fork", fork, false),
    ("fault_threads", fault, true),
    ("fault_processes", fault, false),
    ("open_same", open_same, false),
    ("open_different", open_different, false),
    ("create_unlink", create_unlink, false),
    ("read_own", read_own, false),
    ("write_own", write_own, false),
];

/// How long each load runs.
const SPAN: Duration = Duration::from_millis(700);

/// Runs every load that is `wanted`.
pub fn run(out: &mut impl Write, wanted: impl Fn(&str) -> bool) {
    let wanted = |name: &str| wanted("all") || wanted(name);
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let _ = writeln!(out, "cpus {cpus}");
    for (name, pair) in [("hackbench_pipe", sys::pipe as fn() -> _), ("hackbench_socket", socketpair)] {
        if wanted(name) {
            report(out, name, hackbench(pair));
        }
    }
    for (name, work, threads) in LOADS.iter().filter(|load| wanted(load.0)) {
        let result = if *threads { by_threads(cpus, *work) } else { by_processes(cpus, *work) };
        report(out, name, result);
    }
}

fn report(out: &mut impl Write, name: &str, result: Result<f64, isize>) {
    let _ = match result {
        Ok(rate) => writeln!(out, "{name} {rate:.1}"),
        Err(errno) => writeln!(out, "{name} skip {}", -errno),
    };
    let _ = out.flush();
}

/// Words that parent and children share.
fn shared() -> Result<&'static [AtomicU32; 4], isize> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let at = check(sys!(libc::SYS_mmap, 0, 4096, prot, flags, -1isize, 0))?;
    // SAFETY: a fresh, zeroed, page-aligned map that is never unmapped.
    Ok(unsafe { &*(at as *const [AtomicU32; 4]) })
}

/// Sleeps until `word` is not `old` any more.
fn sleep_while(word: &AtomicU32, old: u32) {
    while word.load(Ordering::Acquire) == old {
        sys!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, old, 0, 0, 0);
    }
}

fn wake_all(word: &AtomicU32) {
    sys!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX, 0, 0, 0);
}

/// One worker: waits for the start, then rounds until the time is over; its operations.
fn rounds(worker: u32, go: &AtomicU32, work: Work) -> Result<u64, isize> {
    sleep_while(go, 0);
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        done += work(worker)?;
    }
    Ok(done)
}

fn by_processes(workers: u32, work: Work) -> Result<f64, isize> {
    let [go, done, failed, _] = shared()?;
    let mut children = Vec::new();
    for worker in 0..workers {
        children.push(check(sys::fork(|| match rounds(worker, go, work) {
            Ok(n) => drop(done.fetch_add(n as u32, Ordering::AcqRel)),
            Err(errno) => failed.store(-errno as u32, Ordering::Release),
        }))?);
    }
    let start = Instant::now();
    go.store(1, Ordering::Release);
    wake_all(go);
    for child in children {
        sys::wait(child);
    }
    match failed.load(Ordering::Acquire) {
        0 => Ok(f64::from(done.load(Ordering::Acquire)) / start.elapsed().as_secs_f64()),
        errno => Err(-(errno as isize)),
    }
}

fn by_threads(workers: u32, work: Work) -> Result<f64, isize> {
    let [go, ..] = shared()?;
    let threads: Vec<_> = (0..workers).map(|worker| std::thread::spawn(move || rounds(worker, go, work))).collect();
    let start = Instant::now();
    go.store(1, Ordering::Release);
    wake_all(go);
    let mut done = 0;
    for thread in threads {
        done += thread.join().map_err(|_| -5isize)??;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

/// Forks a child that exits, and waits for it.
fn fork(_: u32) -> Result<u64, isize> {
    sys::wait(check(sys::fork(|| ()))?);
    Ok(1)
}

/// Touches 256 new pages.
fn fault(_: u32) -> Result<u64, isize> {
    const PAGES: usize = 256;
    let at = sys::map(PAGES * 4096)?;
    for page in 0..PAGES {
        // SAFETY: inside the map.
        unsafe { at.add(page * 4096).write_volatile(1) };
    }
    sys::unmap(at, PAGES * 4096);
    Ok(PAGES as u64)
}

fn open_same(_: u32) -> Result<u64, isize> {
    for _ in 0..32 {
        sys::close(sys::open(c"/bin/tiny", libc::O_RDONLY)?);
    }
    Ok(32)
}

/// A path of the worker's own: `/tmp/scale.N`, or below it.
fn own(worker: u32, below: &str) -> Result<std::ffi::CString, isize> {
    std::ffi::CString::new(format!("/tmp/scale.{worker}{below}")).map_err(|_| -22)
}

fn open_different(worker: u32) -> Result<u64, isize> {
    let path = own(worker, "")?;
    for _ in 0..32 {
        sys::close(sys::open(&path, libc::O_RDWR | libc::O_CREAT)?);
    }
    Ok(32)
}

/// Files in a directory of the worker's own.
fn create_unlink(worker: u32) -> Result<u64, isize> {
    let (dir, file) = (own(worker, ".d")?, own(worker, ".d/file")?);
    match check(sys!(libc::SYS_mkdir, dir.as_ptr(), 0o755)) {
        Ok(_) | Err(-17) => {}
        Err(error) => return Err(error),
    }
    for _ in 0..32 {
        sys::close(sys::open(&file, libc::O_RDWR | libc::O_CREAT)?);
        check(sys!(libc::SYS_unlink, file.as_ptr()))?;
    }
    Ok(32)
}

const OWN_PAGES: usize = 64;

/// Pages of a cached file of the worker's own, read or written one by one.
fn pages_of_own(worker: u32, write: bool) -> Result<u64, isize> {
    let (path, mut page) = (own(worker, ".data")?, [1u8; 4096]);
    let fd = sys::open(&path, libc::O_RDWR | libc::O_CREAT)?;
    let move_all = |call: libc::c_long, at: *mut u8| {
        (0..OWN_PAGES).try_for_each(|n| check(sys!(call, fd, at, 4096, n * 4096)).map(drop))
    };
    let at = page.as_mut_ptr();
    let full = check(sys!(libc::SYS_lseek, fd, 0, libc::SEEK_END)).is_ok_and(|end| end as usize >= OWN_PAGES * 4096);
    let result = if full { Ok(()) } else { move_all(libc::SYS_pwrite64, at) };
    let call = if write { libc::SYS_pwrite64 } else { libc::SYS_pread64 };
    let result = result.and_then(|()| (0..8).try_for_each(|_| move_all(call, at)));
    sys::close(fd);
    result.map(|()| 8 * OWN_PAGES as u64)
}

fn read_own(worker: u32) -> Result<u64, isize> {
    pages_of_own(worker, false)
}

fn write_own(worker: u32) -> Result<u64, isize> {
    pages_of_own(worker, true)
}

fn socketpair() -> Result<(i32, i32), isize> {
    let mut fds = [0i32; 2];
    check(sys!(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()))?;
    Ok((fds[0], fds[1]))
}

const MEMBERS: usize = 10;
const MESSAGES: usize = 200;
const SIZE: usize = 100;

/// As hackbench: a group of senders and receivers, each sender writes to every receiver. Messages a second.
fn hackbench(pair: fn() -> Result<(i32, i32), isize>) -> Result<f64, isize> {
    let [go, ready, ..] = shared()?;
    let pairs: Vec<_> = (0..MEMBERS).map(|_| pair()).collect::<Result<_, _>>()?;
    let wait_for_start = || {
        ready.fetch_add(1, Ordering::AcqRel);
        wake_all(ready);
        sleep_while(go, 0);
    };
    let mut children = Vec::new();
    for (r, _) in &pairs {
        children.push(check(sys::fork(|| {
            wait_for_start();
            let mut buf = [0u8; SIZE];
            let (at, mut left) = (buf.as_mut_ptr(), MEMBERS * MESSAGES * SIZE);
            while left > 0 {
                let got = sys!(libc::SYS_read, *r, at, left.min(SIZE));
                if got <= 0 {
                    sys::exit(1);
                }
                left -= got as usize;
            }
        }))?);
    }
    for _ in 0..MEMBERS {
        children.push(check(sys::fork(|| {
            wait_for_start();
            let buf = [1u8; SIZE];
            for _ in 0..MESSAGES {
                for (_, w) in &pairs {
                    if sys!(libc::SYS_write, *w, buf.as_ptr(), SIZE) != SIZE as isize {
                        sys::exit(1);
                    }
                }
            }
        }))?);
    }
    loop {
        let there = ready.load(Ordering::Acquire);
        if there == 2 * MEMBERS as u32 {
            break;
        }
        sleep_while(ready, there);
    }
    let start = Instant::now();
    go.store(1, Ordering::Release);
    wake_all(go);
    for child in children {
        sys::wait(child);
    }
    let took = start.elapsed().as_secs_f64();
    for (r, w) in pairs {
        sys::close(r);
        sys::close(w);
    }
    Ok((MEMBERS * MEMBERS * MESSAGES) as f64 / took)
}

// SPDX-License-Identifier: GPL-2.0
//! Takes memory, lets it go to swap space, and looks whether it comes back as it was: `swaptest WHAT MEGABYTES`. Says "ok" or what is
//! wrong. Run by tools/testing/mm/swap.py.

use std::process::ExitCode;

const PAGE: usize = 4096;

/// Memory of the program's own.
struct Memory {
    at: usize,
    pages: usize,
}

type Done = Result<(), String>;

fn last_error(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}

impl Memory {
    fn new(megabytes: usize) -> Result<Self, String> {
        Self::map(megabytes, libc::MAP_PRIVATE)
    }

    fn map(megabytes: usize, kind: i32) -> Result<Self, String> {
        let (len, prot) = (megabytes << 20, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping anywhere.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, kind | libc::MAP_ANONYMOUS, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(last_error("mmap"));
        }
        // SAFETY: a mapping of our own. Huge pages would leave as a whole; a kernel without them refuses, which is as good.
        unsafe { libc::madvise(at, len, libc::MADV_NOHUGEPAGE) };
        Ok(Self { at: at as usize, pages: len / PAGE })
    }

    fn word(&self, page: usize, index: usize) -> *mut u64 {
        (self.at + page * PAGE + index * 8) as *mut u64
    }

    fn fill(&self, pages: impl Iterator<Item = usize>, seed: u64) {
        for page in pages {
            for index in (0..PAGE / 8).step_by(31) {
                // SAFETY: a word of our mapping.
                unsafe { self.word(page, index).write_volatile(value(page, index, seed)) };
            }
        }
    }

    fn check(&self, pages: impl Iterator<Item = usize>, seed: u64) -> Done {
        for page in pages {
            for index in (0..PAGE / 8).step_by(31) {
                // SAFETY: a word of our mapping.
                let found = unsafe { self.word(page, index).read_volatile() };
                if found != value(page, index, seed) {
                    return Err(format!("page {page} word {index}: {found:#x}, not {:#x}", value(page, index, seed)));
                }
            }
        }
        Ok(())
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.pages
    }

    fn resident(&self) -> Result<usize, String> {
        let mut there = vec![0u8; self.pages];
        // SAFETY: the vector has a byte for each page.
        if unsafe { libc::mincore(self.at as *mut _, self.pages * PAGE, there.as_mut_ptr()) } != 0 {
            return Err(last_error("mincore"));
        }
        Ok(there.iter().filter(|&&byte| byte & 1 != 0).count())
    }

    fn advise(&self, advice: i32) -> Done {
        // SAFETY: our mapping.
        match unsafe { libc::madvise(self.at as *mut _, self.pages * PAGE, advice) } {
            0 => Ok(()),
            _ => Err(last_error("madvise")),
        }
    }
}

fn value(page: usize, index: usize, seed: u64) -> u64 {
    (page as u64 ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index as u64
}

fn vm_swap() -> Result<usize, String> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = text.lines().find(|line| line.starts_with("VmSwap:")).ok_or("no VmSwap")?;
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or(format!("{line}?"))
}

fn need(condition: bool, what: impl Into<String>) -> Done {
    if condition { Ok(()) } else { Err(what.into()) }
}

/// All is written, then read twice, then written anew and read.
fn fill(megabytes: usize) -> Done {
    let memory = Memory::new(megabytes)?;
    memory.fill(memory.all(), 1);
    memory.check(memory.all(), 1)?;
    memory.check(memory.all().rev(), 1)?;
    memory.fill(memory.all().step_by(3), 2);
    memory.check(memory.all().step_by(3), 2)?;
    memory.check((0..memory.pages).filter(|page| page % 3 != 0), 1)
}

/// A child has the same pages, in memory or not: what it writes is its own.
fn fork(megabytes: usize) -> Done {
    let memory = Memory::new(megabytes)?;
    memory.fill(memory.all(), 1);
    memory.advise(libc::MADV_PAGEOUT)?;
    let mut children = vec![];
    for n in 0..3u64 {
        // SAFETY: one thread; the child only checks memory and ends.
        let child = unsafe { libc::fork() };
        if child < 0 {
            return Err(last_error("fork"));
        }
        if child == 0 {
            let half = || (0..memory.pages).filter(move |page| page % 2 == (n % 2) as usize);
            let other = || (0..memory.pages).filter(move |page| page % 2 != (n % 2) as usize);
            let done = memory.check(memory.all(), 1).and_then(|()| {
                memory.fill(half(), 10 + n);
                memory.advise(libc::MADV_PAGEOUT)?;
                memory.check(half(), 10 + n)?;
                memory.check(other(), 1)
            });
            if let Err(error) = &done {
                println!("child {n}: {error}");
            }
            std::process::exit(i32::from(done.is_err()));
        }
        children.push(child);
    }
    memory.fill(memory.all().step_by(5), 3);
    memory.check(memory.all().step_by(5), 3)?;
    for child in children {
        let mut status = 0;
        // SAFETY: a child of ours.
        if unsafe { libc::waitpid(child, &mut status, 0) } != child || status != 0 {
            return Err(format!("child {child}: status {status:#x}"));
        }
    }
    memory.check(memory.all().step_by(5), 3)?;
    memory.check((0..memory.pages).filter(|page| page % 5 != 0), 1)
}

/// Pages are sent out; figures say so; they come back. Moved and protected memory keeps what it has.
fn pageout(megabytes: usize) -> Done {
    let mut memory = Memory::new(megabytes)?;
    memory.fill(memory.all(), 1);
    need(memory.resident()? == memory.pages, "not all is resident at first")?;
    memory.advise(libc::MADV_PAGEOUT)?;
    let mut left = memory.pages;
    for _ in 0..100 {
        left = memory.resident()?;
        if left < memory.pages / 10 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    need(left < memory.pages / 10, format!("{left} of {} pages stay", memory.pages))?;
    let swapped = vm_swap()?;
    need(swapped >= memory.pages * 4 * 9 / 10, format!("VmSwap {swapped} kB of {} pages", memory.pages))?;
    let len = memory.pages * PAGE;
    // SAFETY: our mapping, moved as a whole.
    let moved = unsafe {
        libc::mprotect(memory.at as *mut _, len, libc::PROT_NONE);
        libc::mprotect(memory.at as *mut _, len, libc::PROT_READ | libc::PROT_WRITE);
        let room =
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        libc::mremap(memory.at as *mut _, len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, room)
    };
    if moved == libc::MAP_FAILED {
        return Err(last_error("mremap"));
    }
    memory.at = moved as usize;
    memory.check(memory.all(), 1)?;
    memory.fill(memory.all(), 2);
    memory.check(memory.all(), 2)?;
    let swapped = vm_swap()?;
    need(swapped < megabytes << 10, format!("VmSwap {swapped} kB after all came back"))?;
    // A part goes while it is out.
    memory.advise(libc::MADV_PAGEOUT)?;
    memory.advise(libc::MADV_DONTNEED)?;
    // SAFETY: a word of our mapping.
    need(unsafe { memory.word(5, 0).read_volatile() } == 0, "MADV_DONTNEED left something")?;
    let swapped = vm_swap()?;
    need(swapped < megabytes << 10, format!("VmSwap {swapped} kB after MADV_DONTNEED"))
}

/// Locked memory stays while other memory leaves.
fn lock(megabytes: usize) -> Done {
    let (locked, memory) = (Memory::new(8)?, Memory::new(megabytes)?);
    // SAFETY: our mapping.
    if unsafe { libc::mlock(locked.at as *const _, locked.pages * PAGE) } != 0 {
        return Err(last_error("mlock"));
    }
    locked.fill(locked.all(), 7);
    memory.fill(memory.all(), 1);
    memory.check(memory.all(), 1)?;
    let there = locked.resident()?;
    need(there == locked.pages, format!("{there} of {} locked pages are there", locked.pages))?;
    locked.check(locked.all(), 7)
}

/// Reads and changes memory at random until a signal ends it; what it finds must be what it wrote.
fn churn(megabytes: usize) -> Done {
    let memory = Memory::new(megabytes)?;
    let mut seeds = vec![1u64; memory.pages];
    memory.fill(memory.all(), 1);
    println!("ready");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut random = 12345u64;
    while std::time::Instant::now() < end && !std::path::Path::new("/tmp/stop").exists() {
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let page = (random >> 33) as usize % memory.pages;
            memory.check(page..page + 1, seeds[page])?;
            if random >> 20 & 3 == 0 {
                seeds[page] += 1;
                memory.fill(page..page + 1, seeds[page]);
            }
        }
    }
    memory.all().try_for_each(|page| memory.check(page..page + 1, seeds[page]))
}

/// Shared memory leaves and comes back as private memory does; a child sees what its parent wrote, and the other way round.
fn shared(megabytes: usize) -> Done {
    let memory = Memory::map(megabytes, libc::MAP_SHARED)?;
    memory.fill(memory.all(), 1);
    memory.advise(libc::MADV_PAGEOUT)?;
    let half = || memory.all().step_by(2);
    // SAFETY: one thread; the child only checks and changes memory and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let done = memory.check(memory.all(), 1).map(|()| memory.fill(half(), 2));
        let done = done.and_then(|()| memory.advise(libc::MADV_PAGEOUT)).and_then(|()| memory.check(half(), 2));
        if let Err(error) = &done {
            println!("child: {error}");
        }
        std::process::exit(i32::from(done.is_err()));
    }
    let mut status = 0;
    // SAFETY: a child of ours.
    if unsafe { libc::waitpid(child, &mut status, 0) } != child || status != 0 {
        return Err(format!("child {child}: status {status:#x}"));
    }
    memory.check(half(), 2)?;
    memory.check(memory.all().skip(1).step_by(2), 1)?;
    memory.advise(libc::MADV_REMOVE)?;
    // SAFETY: a word of our mapping.
    need(unsafe { memory.word(5, 0).read_volatile() } == 0, "MADV_REMOVE left something")
}

/// A file in /tmp: written, read twice with `read`, cut while most of it is in swap space, and grown again: zeros.
fn tmpfs(megabytes: usize) -> Done {
    use std::os::unix::fs::FileExt;
    let say = |error: std::io::Error| error.to_string();
    let name = format!("/tmp/file{}", std::process::id());
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&name).map_err(say)?;
    std::fs::remove_file(&name).map_err(say)?;
    let pages = (megabytes << 20) / PAGE;
    let bytes = |page: usize, seed: u64| -> Vec<u8> {
        (0..PAGE / 8).flat_map(|index| value(page, index, seed).to_le_bytes()).collect()
    };
    let mut found = vec![0u8; PAGE];
    for page in 0..pages {
        file.write_all_at(&bytes(page, 1), (page * PAGE) as u64).map_err(say)?;
    }
    for round in 0..2 {
        for page in 0..pages {
            file.read_exact_at(&mut found, (page * PAGE) as u64).map_err(say)?;
            need(found == bytes(page, 1), format!("page {page} differs in round {round}"))?;
        }
    }
    // SAFETY: calls on a file of ours.
    let (data, hole) = unsafe {
        use std::os::fd::AsRawFd;
        (libc::lseek(file.as_raw_fd(), 0, libc::SEEK_DATA), libc::lseek(file.as_raw_fd(), 0, libc::SEEK_HOLE))
    };
    need((data, hole) == (0, (pages * PAGE) as i64), format!("data at {data}, hole at {hole}"))?;
    // Not at a page's end.
    let cut = (pages / 4 * PAGE + 100) as u64;
    file.set_len(cut).map_err(say)?;
    file.set_len((pages * PAGE) as u64).map_err(say)?;
    for page in pages / 4..pages {
        file.read_exact_at(&mut found, (page * PAGE) as u64).map_err(say)?;
        let kept = if page == pages / 4 { 100 } else { 0 };
        need(found[..kept] == bytes(page, 1)[..kept], "what was before the cut is lost")?;
        need(found[kept..].iter().all(|&byte| byte == 0), format!("page {page} is not zero after the cut"))?;
    }
    for page in 0..pages / 4 {
        file.read_exact_at(&mut found, (page * PAGE) as u64).map_err(say)?;
        need(found == bytes(page, 1), format!("page {page} differs after the cut"))?;
    }
    Ok(())
}

/// Threads and children at once, each with pages of its own: they write, send out, fork, move, drop and check, for 20 s or until /tmp/stop
/// is there.
fn storm(megabytes: usize) -> Done {
    println!("ready");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let threads: Vec<_> =
        (0..4u64).map(|n| std::thread::spawn(move || storm_thread(megabytes.div_ceil(4), n, end))).collect();
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_string())?)
}

fn storm_thread(megabytes: usize, n: u64, end: std::time::Instant) -> Done {
    let kind = if n == 3 { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let mut memory = Memory::map(megabytes, kind)?;
    let mut seed = n * 1000 + 1;
    let mut random = n + 77;
    memory.fill(memory.all(), seed);
    while std::time::Instant::now() < end && !std::path::Path::new("/tmp/stop").exists() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match random >> 33 & 7 {
            0 => memory.advise(libc::MADV_PAGEOUT)?,
            1 => {
                seed += 1;
                memory.fill(memory.all(), seed);
            }
            2 if kind == libc::MAP_PRIVATE => {
                memory.advise(libc::MADV_DONTNEED)?;
                seed += 1;
                memory.fill(memory.all(), seed);
            }
            3 => {
                // SAFETY: the child checks memory, changes some of it if that is its own, and ends without running anything else.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let mut good = memory.check(memory.all(), seed).is_ok();
                    if kind == libc::MAP_PRIVATE {
                        memory.fill(memory.all().step_by(3), seed + 500_000);
                        good &= memory.check(memory.all().step_by(3), seed + 500_000).is_ok();
                    }
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(!good)) };
                }
                memory.check(memory.all().step_by(7), seed)?;
                let mut status = 0;
                // SAFETY: a child of ours.
                if child < 0 || unsafe { libc::waitpid(child, &mut status, 0) } != child || status != 0 {
                    return Err(format!("thread {n}, child {child}: status {status:#x}"));
                }
            }
            4 => {
                let len = memory.pages * PAGE;
                // SAFETY: our mapping, moved as a whole to where there is room.
                let moved = unsafe {
                    let none = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                    let room = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, none, -1, 0);
                    libc::mremap(memory.at as *mut _, len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, room)
                };
                if moved == libc::MAP_FAILED {
                    return Err(last_error("mremap"));
                }
                memory.at = moved as usize;
            }
            _ => memory.check(memory.all(), seed)?,
        }
    }
    memory.check(memory.all(), seed)
}

/// `swapon(2)` itself: the programs look for holes first.
fn on(path: Option<&String>) -> Done {
    let path = std::ffi::CString::new(path.ok_or("no path")?.as_str()).map_err(|error| error.to_string())?;
    // SAFETY: a string.
    if unsafe { libc::swapon(path.as_ptr(), 0) } != 0 { Err(last_error("swapon")) } else { Ok(()) }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let megabytes = args.get(2).and_then(|word| word.parse().ok()).unwrap_or(16);
    let done = match args.get(1).map(String::as_str) {
        Some("fill") => fill(megabytes),
        Some("fork") => fork(megabytes),
        Some("pageout") => pageout(megabytes),
        Some("lock") => lock(megabytes),
        Some("churn") => churn(megabytes),
        Some("shared") => shared(megabytes),
        Some("tmpfs") => tmpfs(megabytes),
        Some("storm") => storm(megabytes),
        Some("on") => on(args.get(2)),
        _ => Err("swaptest fill|fork|pageout|lock|churn|shared|tmpfs|storm MEGABYTES".into()),
    };
    match done {
        Ok(()) => {
            println!("swaptest ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("swaptest: {error}");
            ExitCode::FAILURE
        }
    }
}

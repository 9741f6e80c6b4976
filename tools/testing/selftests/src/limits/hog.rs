// SPDX-License-Identifier: GPL-2.0
//! Programs that take all memory there is, each in its way, until the kernel ends them: `selftest --hog WAY`. One that is not
//! ended says why and exits with 1.

use core::ptr::null_mut;

const MB: usize = 1 << 20;
const PAGE: usize = 4096;

fn map(len: usize, flags: i32, fd: i32) -> *mut u8 {
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if at == libc::MAP_FAILED { null_mut() } else { at.cast() }
}

/// Writes a byte into every `step`th.
fn touch(at: *mut u8, len: usize, step: usize) {
    for i in (0..len).step_by(step) {
        // SAFETY: within the caller's mapping.
        unsafe { at.add(i).write_volatile(1) };
    }
}

const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Private memory.
fn private() -> &'static str {
    loop {
        let at = map(MB, PRIVATE, -1);
        if at.is_null() {
            return "mmap fails";
        }
        touch(at, MB, PAGE);
    }
}

/// Private memory, from eight threads at once.
fn threads() -> &'static str {
    let all: Vec<_> = (0..8).map(|_| std::thread::spawn(private)).collect();
    for thread in all {
        let _ = thread.join();
    }
    "the threads end"
}

/// Shared memory without a name.
fn shared() -> &'static str {
    loop {
        let at = map(MB, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1);
        if at.is_null() {
            return "mmap fails";
        }
        touch(at, MB, PAGE);
    }
}

/// A file in memory, mapped.
fn memfd() -> &'static str {
    // SAFETY: a NUL-terminated name; numbers.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"hog".as_ptr(), 0) as i32 };
    // SAFETY: numbers.
    if fd < 0 || unsafe { libc::ftruncate(fd, 1 << 40) } != 0 {
        return "no file";
    }
    let at = map(1 << 40, libc::MAP_SHARED | libc::MAP_NORESERVE, fd);
    if at.is_null() {
        return "mmap fails";
    }
    touch(at, 1 << 40, PAGE);
    "all is there"
}

/// A page in every two megabytes: page tables are half of what it takes.
fn tables() -> &'static str {
    let at = map(1 << 44, PRIVATE, -1);
    if at.is_null() {
        return "mmap fails";
    }
    touch(at, 1 << 44, 2 * MB);
    "all is there"
}

/// Locked memory.
fn locked() -> &'static str {
    // SAFETY: a number.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
        return "mlockall fails";
    }
    while !map(MB, PRIVATE, -1).is_null() {}
    "mmap fails"
}

/// Children with 8 MB each, ever more of them. Those that are ended are not missed.
fn children() -> &'static str {
    for _ in 0..2000 {
        // SAFETY: the child does not come back.
        unsafe {
            match libc::fork() {
                0 => {
                    let at = map(8 * MB, PRIVATE, -1);
                    if !at.is_null() {
                        touch(at, 8 * MB, PAGE);
                    }
                    loop {
                        libc::pause();
                    }
                }
                -1 => return "fork fails",
                _ => {}
            }
            let mut status = 0;
            // Once the killer has come, it has worked: the rest goes with this process's group.
            if libc::waitpid(-1, &mut status, libc::WNOHANG) > 0 && libc::WIFSIGNALED(status) {
                libc::kill(0, libc::SIGKILL);
            }
        }
    }
    "nobody is ended"
}

/// One way; does not return.
pub fn run(way: &str) -> ! {
    // SAFETY: numbers. A group of its own.
    unsafe { libc::setpgid(0, 0) };
    let why = match way {
        "private" => private(),
        "threads" => threads(),
        "shared" => shared(),
        "memfd" => memfd(),
        "tables" => tables(),
        "locked" => locked(),
        "children" => children(),
        _ => "no such way",
    };
    println!("hog {way}: {why}");
    std::process::exit(1)
}

// SPDX-License-Identifier: GPL-2.0
//! Much of everything: processes up to their limit, 100 000 files and mappings, thousands of threads, storms of pipes, deep
//! chains. What was taken is given back.

use crate::util::{
    Outcome, child, close, cstr, dir, errno, errno_name, exit_of, in_child, pipe, read, text, until, wait, write,
};
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("limits.fork_bomb", fork_bomb),
    ("limits.open_files", open_files),
    ("limits.maps", maps),
    ("limits.threads", threads),
    ("limits.pipe_storm", pipe_storm),
    ("limits.epoll_many", epoll_many),
    ("limits.deep_directories", deep_directories),
    ("limits.deep_tree_dropped", deep_tree_dropped),
    ("limits.symlink_chain", symlink_chain),
    ("limits.many_children", many_children),
    ("limits.sockets_in_sockets", sockets_in_sockets),
    ("limits.sockets_chain_closed", sockets_chain_closed),
];

fn limit(which: u32, value: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    c!(libc::setrlimit(which, &limit));
    Ok(())
}

/// Every process forks until it cannot, for ever; then one of the same user ends them all.
fn fork_bomb() -> Outcome {
    const MOST: u64 = 60;
    const USER: u32 = 4321;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let page = c!(libc::mmap(core::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) as isize);
    // SAFETY: a new page that stays mapped; zero is a value of it.
    let full = unsafe { &*(page as *const std::sync::atomic::AtomicUsize) };
    let bomb = child(|| {
        if limit(libc::RLIMIT_NPROC, MOST).is_err() {
            return 1;
        }
        // SAFETY: plain calls of a process with one thread.
        unsafe {
            libc::setsid();
            if libc::setuid(USER) != 0 {
                return 2;
            }
            loop {
                // Whatever happens to the test, the bomb ends.
                libc::alarm(30);
                if libc::fork() < 0 {
                    full.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    libc::usleep(5000);
                }
            }
        }
    })?;
    until("the bomb is full", || full.load(std::sync::atomic::Ordering::SeqCst) > 0)?;
    let count = || {
        let mut n = 0;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            n += u64::from(status.contains(&format!("Uid:\t{USER}\t")) && !status.contains("State:\tZ"));
        }
        n
    };
    let there = count();
    ck!((MOST / 2..=MOST).contains(&there), "{there} processes");
    // Others still get processes.
    eq!(exit_of(child(|| 7)?)?, 7);
    until("all are gone", || {
        let killer = child(|| {
            // SAFETY: this process's own user's processes.
            unsafe {
                libc::setuid(USER);
                libc::kill(-1, libc::SIGKILL);
            }
            0
        });
        killer.is_ok_and(|pid| wait(pid).is_ok());
        count() == 0
    })?;
    wait(bomb)?;
    Ok(())
}

fn open_files() -> Outcome {
    const FILES: i32 = 100_000;
    limit(libc::RLIMIT_NOFILE, FILES as u64 + 10)?;
    let path = c"/dev/null";
    let mut last = 0;
    for _ in 0..FILES {
        last = c!(libc::open(path.as_ptr(), libc::O_RDONLY));
    }
    ck!(last >= FILES - 1);
    while unsafe_open(path) >= 0 {}
    eq!(errno(), libc::EMFILE);
    c!(libc::close(last / 2));
    eq!(unsafe_open(path), last / 2);
    c!(libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0));
    eq!(unsafe_open(path), 3);
    Ok(())
}

fn unsafe_open(path: &core::ffi::CStr) -> i32 {
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) }
}

/// 100 000 mappings if the limit can be raised, else all that it allows.
fn maps() -> Outcome {
    const PAGE: usize = 4096;
    let setting = "/proc/sys/vm/max_map_count";
    let before = text(setting).ok();
    let raised = before.is_some() && std::fs::write(setting, "120000").is_ok();
    let want = if raised { 100_000 } else { 60_000 };
    let outcome = in_child(|| {
        let len = PAGE * 260_000;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let at = c!(libc::mmap(core::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) as isize) as usize;
        let mut made = 0;
        // Every change in the middle makes two mappings more.
        for i in 0..130_000 {
            if made >= 100_000 {
                break;
            }
            // SAFETY: within the mapping above.
            let ret = unsafe {
                libc::mprotect((at + (2 * i + 1) * PAGE) as *mut libc::c_void, PAGE, libc::PROT_READ | libc::PROT_WRITE)
            };
            if ret != 0 {
                eq!(errno(), libc::ENOMEM);
                break;
            }
            made += 2;
        }
        ck!(made >= want, "{made} mappings");
        // They work, the first and the last.
        for i in [0, made / 2 - 1] {
            let word = (at + (2 * i + 1) * PAGE) as *mut u32;
            // SAFETY: made writable above.
            unsafe {
                word.write_volatile(i as u32);
                eq!(word.read_volatile(), i as u32);
            }
        }
        c!(libc::munmap(at as *mut libc::c_void, len));
        Ok(())
    });
    if let (true, Some(before)) = (raised, before) {
        let _ = std::fs::write(setting, before.trim());
    }
    outcome
}

fn threads() -> Outcome {
    let setting = "/proc/sys/kernel/threads-max";
    let before = text(setting).ok();
    let _ = std::fs::write(setting, "20000");
    let outcome = in_child(|| {
        const THREADS: usize = 4000;
        static GO: std::sync::Barrier = std::sync::Barrier::new(THREADS + 1);
        static RAN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let mut all = Vec::new();
        for i in 0..THREADS {
            let thread = std::thread::Builder::new().stack_size(16 << 10).spawn(|| {
                GO.wait();
                RAN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
            all.push(thread.map_err(|e| format!("thread {i}: {e}"))?);
        }
        let status = text("/proc/self/status")?;
        ck!(status.contains(&format!("Threads:\t{}\n", THREADS + 1)), "{status}");
        GO.wait();
        for thread in all {
            thread.join().map_err(|_| "join")?;
        }
        eq!(RAN.load(std::sync::atomic::Ordering::Relaxed), THREADS);
        Ok(())
    });
    if let Some(before) = before {
        let _ = std::fs::write(setting, before.trim());
    }
    outcome
}

/// Rings of processes hand bytes around through many pipes.
fn pipe_storm() -> Outcome {
    const RING: usize = 24;
    const ROUNDS: usize = 60;
    let mut children = Vec::new();
    for _ in 0..4 {
        let pipes: Vec<(i32, i32)> = (0..RING).map(|_| pipe()).collect::<Result<_, _>>()?;
        for at in 0..RING {
            let (input, output) = (pipes[at].0, pipes[(at + 1) % RING].1);
            children.push(child(|| {
                let relay = || -> Outcome {
                    for round in 0..ROUNDS {
                        // More than a page, so that reads and writes split.
                        let data = vec![round as u8; 5000];
                        if at == 0 {
                            eq!(write(output, &data)?, data.len());
                        }
                        let mut got = Vec::new();
                        while got.len() < data.len() {
                            let part = read(input, data.len() - got.len())?;
                            ck!(!part.is_empty());
                            got.extend(part);
                        }
                        ck!(got == data);
                        if at != 0 {
                            eq!(write(output, &data)?, data.len());
                        }
                    }
                    Ok(())
                };
                i32::from(relay().is_err())
            })?);
        }
        for (r, w) in pipes {
            close(r);
            close(w);
        }
    }
    for pid in children {
        eq!(exit_of(pid)?, 0);
    }
    Ok(())
}

/// 5000 pipes in one epoll.
fn epoll_many() -> Outcome {
    const PIPES: usize = 5000;
    limit(libc::RLIMIT_NOFILE, 2 * PIPES as u64 + 20)?;
    let ep = c!(libc::epoll_create1(0));
    let mut ends = Vec::new();
    for i in 0..PIPES {
        let (r, w) = pipe()?;
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: i as u64 };
        c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, r, &mut event));
        ends.push((r, w));
    }
    for (_, w) in &ends {
        write(*w, b"x")?;
    }
    let mut seen = vec![false; PIPES];
    let mut left = PIPES;
    while left > 0 {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let n = c!(libc::epoll_wait(ep, events.as_mut_ptr(), 64, 5000));
        ck!(n > 0, "{left} are missing");
        for event in &events[..n as usize] {
            let at = event.u64 as usize;
            ck!(!seen[at], "{at} came twice");
            seen[at] = true;
            read(ends[at].0, 1)?;
            left -= 1;
        }
    }
    Ok(())
}

/// Goes down `depth` new directories from the current one.
fn dig(depth: usize) -> Outcome {
    for i in 0..depth {
        c!(libc::mkdir(c"d".as_ptr(), 0o755));
        ck!(unsafe { libc::chdir(c"d".as_ptr()) } == 0, "level {i}: {}", errno_name());
    }
    Ok(())
}

fn deep_directories() -> Outcome {
    const DEPTH: usize = 3000;
    in_child(|| {
        c!(libc::chdir(cstr(&dir()?).as_ptr()));
        dig(DEPTH)?;
        let mut buf = [0u8; 4096];
        // Longer than any path: the C library may find it another way, the call says no.
        let ret = unsafe { libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), buf.len()) };
        ck!(ret == -1 && matches!(errno(), libc::ERANGE | libc::ENAMETOOLONG), "{ret}: {}", errno_name());
        let up = "../".repeat(1000);
        c!(libc::access(cstr(&up).as_ptr(), libc::F_OK));
        let long = "../".repeat(1500);
        fails!(libc::access(cstr(&long).as_ptr(), libc::F_OK), libc::ENAMETOOLONG);
        for _ in 0..DEPTH {
            c!(libc::chdir(c"..".as_ptr()));
            c!(libc::rmdir(c"d".as_ptr()));
        }
        fails!(libc::access(c"d".as_ptr(), libc::F_OK), libc::ENOENT);
        Ok(())
    })
}

/// A deep tree goes away all at once.
fn deep_tree_dropped() -> Outcome {
    in_child(|| {
        let at = cstr(&dir()?);
        c!(libc::mount(c"t".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, core::ptr::null()));
        c!(libc::chdir(at.as_ptr()));
        dig(5000)?;
        let fd = c!(libc::open(c"file".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o644));
        c!(libc::umount2(at.as_ptr(), libc::MNT_DETACH));
        write(fd, b"still there")?;
        c!(libc::chdir(c"/".as_ptr()));
        close(fd);
        Ok(())
    })
}

fn symlink_chain() -> Outcome {
    in_child(|| {
        c!(libc::chdir(cstr(&dir()?).as_ptr()));
        std::fs::write("0", "x").map_err(|e| e.to_string())?;
        for i in 1..=45 {
            c!(libc::symlink(cstr(&(i - 1).to_string()).as_ptr(), cstr(&i.to_string()).as_ptr()));
        }
        c!(libc::access(c"40".as_ptr(), libc::F_OK));
        fails!(libc::access(c"41".as_ptr(), libc::F_OK), libc::ELOOP);
        // Links inside a path count together, and texts may be long.
        let long = format!("{}0", "./".repeat(2000));
        c!(libc::symlink(cstr(&long).as_ptr(), c"long".as_ptr()));
        c!(libc::access(c"long".as_ptr(), libc::F_OK));
        c!(libc::symlink(c".".as_ptr(), c"here".as_ptr()));
        c!(libc::access(cstr(&format!("{}0", "here/".repeat(40))).as_ptr(), libc::F_OK));
        fails!(libc::access(cstr(&format!("{}0", "here/".repeat(41))).as_ptr(), libc::F_OK), libc::ELOOP);
        Ok(())
    })
}

/// 1000 zombies wait at once, and are collected in any order.
fn many_children() -> Outcome {
    const CHILDREN: usize = 1000;
    let mut pids = Vec::new();
    for i in 0..CHILDREN {
        pids.push(child(|| (i % 100) as i32)?);
    }
    for (i, pid) in pids.iter().enumerate().rev() {
        eq!(exit_of(*pid)?, (i % 100) as i32);
    }
    fails!(libc::waitpid(-1, core::ptr::null_mut(), 0), libc::ECHILD);
    Ok(())
}

/// Sockets sent through each other, in a long chain and in a circle.
fn sockets_in_sockets() -> Outcome {
    in_child(|| {
        let mut last = [0; 2];
        c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, last.as_mut_ptr()));
        for _ in 0..2000 {
            let mut next = [0; 2];
            c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, next.as_mut_ptr()));
            send_fd(next[0], last[0])?;
            send_fd(next[0], last[1])?;
            close(last[0]);
            close(last[1]);
            last = next;
        }
        send_fd(last[0], last[0])?;
        send_fd(last[1], last[1])?;
        Ok(())
    })
}

/// A long chain of sockets, each in the queue of the next, goes with the last one.
fn sockets_chain_closed() -> Outcome {
    in_child(|| {
        let (r, w) = pipe()?;
        let mut held = w;
        for _ in 0..3000 {
            let mut next = [0; 2];
            c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, next.as_mut_ptr()));
            send_fd(next[0], held)?;
            close(held);
            close(next[0]);
            held = next[1];
        }
        close(held);
        // The pipe's other end was at the bottom.
        eq!(read(r, 1)?.len(), 0);
        Ok(())
    })
}

fn send_fd(through: i32, fd: i32) -> Outcome {
    let mut byte = *b"x";
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: all zero is a valid msghdr; the buffers live until the call is over.
    unsafe {
        let mut msg: libc::msghdr = core::mem::zeroed();
        msg.msg_iov = &mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let head = libc::CMSG_FIRSTHDR(&msg);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(head).cast::<i32>().write_unaligned(fd);
        c!(libc::sendmsg(through, &msg, 0));
    }
    Ok(())
}

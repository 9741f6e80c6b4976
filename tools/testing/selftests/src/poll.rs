// SPDX-License-Identifier: GPL-2.0
//! poll, select, epoll, eventfd and timerfd.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("poll.pipe", pipe_events),
    ("poll.timeout", timeout),
    ("poll.wakes", wakes),
    ("poll.bad_descriptors", bad),
    ("poll.always_ready_files", always),
    ("poll.interrupted", interrupted),
    ("poll.ppoll_mask", ppoll),
    ("poll.many", many),
    ("poll.errors", errors),
    ("poll.select", select),
    ("poll.pselect_remaining", select_remaining),
    ("poll.tty", tty),
    ("poll.unix_socket", sockets),
    ("epoll.level", level),
    ("epoll.edge", edge),
    ("epoll.oneshot", oneshot),
    ("epoll.modify_delete", modify),
    ("epoll.wakes", epoll_wakes),
    ("epoll.nested", nested),
    ("epoll.close_removes", close_removes),
    ("epoll.errors", epoll_errors),
    ("epoll.data_and_many", epoll_many),
    ("epoll.exclusive_threads", epoll_threads),
    ("eventfd.counter", eventfd),
    ("eventfd.semaphore", eventfd_semaphore),
    ("eventfd.overflow", eventfd_overflow),
    ("eventfd.blocks", eventfd_blocks),
    ("timerfd.relative", timerfd),
    ("timerfd.interval", timerfd_interval),
];

/// poll(2) of one descriptor: its events, 0 at the timeout.
fn one(fd: i32, events: i16, ms: i32) -> Result<i16, String> {
    let mut p = libc::pollfd { fd, events, revents: 0 };
    let n = c!(libc::poll(&mut p, 1, ms));
    eq!(n, i32::from(p.revents != 0));
    Ok(p.revents)
}

const BOTH: i16 = libc::POLLIN | libc::POLLOUT;

fn pipe_events() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    eq!(one(r, BOTH, 0)?, 0);
    eq!(one(w, BOTH, 0)?, libc::POLLOUT);
    write(w, b"x")?;
    eq!(one(r, BOTH, 0)?, libc::POLLIN);
    // SAFETY: a live buffer.
    while unsafe { libc::write(w, [0u8; 4096].as_ptr().cast(), 4096) } > 0 {}
    eq!(one(w, BOTH, 0)?, 0);
    close(w);
    eq!(one(r, BOTH, 0)?, libc::POLLIN | libc::POLLHUP);
    let (r, w) = pipe()?;
    close(r);
    eq!(one(w, BOTH, 0)?, libc::POLLOUT | libc::POLLERR);
    let (r, w) = pipe()?;
    close(w);
    eq!(one(r, BOTH, 0)?, libc::POLLHUP);
    Ok(())
}

fn timeout() -> Outcome {
    let (r, _w) = pipe()?;
    let start = now_ms();
    eq!(one(r, libc::POLLIN, 60)?, 0);
    let took = now_ms() - start;
    ck!((59..15_000).contains(&took), "took {took} ms");
    eq!(c!(libc::poll(core::ptr::null_mut(), 0, 10)), 0);
    Ok(())
}

fn wakes() -> Outcome {
    let (r, w) = pipe()?;
    let me = std::process::id() as i32;
    let pid = child(|| i32::from(asleep(me).is_err() || write(w, b"x") != Ok(1)))?;
    eq!(one(r, libc::POLLIN, 15_000)?, libc::POLLIN);
    eq!(exit_of(pid)?, 0);
    read(r, 1)?;
    let pid = child(|| i32::from(asleep(me).is_err()))?;
    close(w); // the child's copy closes at its end
    eq!(one(r, libc::POLLIN, 15_000)?, libc::POLLHUP);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn bad() -> Outcome {
    eq!(one(900, libc::POLLIN, -1)?, libc::POLLNVAL);
    let mut p = libc::pollfd { fd: -1, events: libc::POLLIN, revents: 55 };
    eq!(c!(libc::poll(&mut p, 1, 0)), 0);
    eq!(p.revents, 0);
    Ok(())
}

fn always() -> Outcome {
    let fd = open("/dev/null", libc::O_RDWR)?;
    eq!(one(fd, BOTH, 0)?, BOTH);
    let path = dir()? + "/f";
    std::fs::write(&path, "").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDWR)?;
    eq!(one(fd, BOTH, 0)?, BOTH);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn alarm_in_50ms(flags: i32) -> Outcome {
    handle(libc::SIGALRM, nothing as *const () as usize, flags)?;
    let value = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 50_000 },
    };
    c!(libc::syscall(libc::SYS_setitimer, 0, &raw const value, 0usize));
    Ok(())
}

fn interrupted() -> Outcome {
    let (r, _w) = pipe()?;
    alarm_in_50ms(libc::SA_RESTART)?; // poll is not restarted, whatever the flag
    let mut p = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    fails!(libc::poll(&mut p, 1, 5000), libc::EINTR);
    alarm_in_50ms(libc::SA_RESTART)?;
    fails!(
        libc::select(0, core::ptr::null_mut(), core::ptr::null_mut(), core::ptr::null_mut(), core::ptr::null_mut()),
        libc::EINTR
    );
    let ep = c!(libc::epoll_create1(0));
    alarm_in_50ms(libc::SA_RESTART)?;
    // SAFETY: room for one event.
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    fails!(libc::epoll_wait(ep, &mut event, 1, 5000), libc::EINTR);
    Ok(())
}

fn ppoll() -> Outcome {
    handle(libc::SIGUSR1, nothing as *const () as usize, 0)?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    c!(libc::raise(libc::SIGUSR1));
    let none = set(&[]);
    let ts = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    fails!(libc::ppoll(core::ptr::null_mut(), 0, &ts, &none), libc::EINTR);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    fails!(libc::ppoll(core::ptr::null_mut(), 0, &bad, core::ptr::null()), libc::EINVAL);
    Ok(())
}

fn many() -> Outcome {
    let pipes: Vec<(i32, i32)> = (0..200).map(|_| pipe()).collect::<Result<_, _>>()?;
    let mut all: Vec<libc::pollfd> =
        pipes.iter().map(|p| libc::pollfd { fd: p.0, events: libc::POLLIN, revents: 0 }).collect();
    for i in [3, 77, 199] {
        write(pipes[i].1, b"x")?;
    }
    eq!(c!(libc::poll(all.as_mut_ptr(), 200, 1000)), 3);
    let ready: Vec<usize> = (0..200).filter(|i| all[*i].revents != 0).collect();
    eq!(ready, [3, 77, 199]);
    Ok(())
}

fn errors() -> Outcome {
    fails!(libc::poll(core::ptr::null_mut(), 1 << 30, 0), libc::EINVAL);
    fails!(libc::poll(8 as *mut libc::pollfd, 1, 0), libc::EFAULT);
    Ok(())
}

fn select() -> Outcome {
    let (r, w) = pipe()?;
    // SAFETY: live sets; all zero is an empty one.
    unsafe {
        let (mut rs, mut ws): (libc::fd_set, libc::fd_set) = core::mem::zeroed();
        libc::FD_SET(r, &mut rs);
        libc::FD_SET(w, &mut ws);
        let mut tv = libc::timeval { tv_sec: 5, tv_usec: 0 };
        eq!(c!(libc::select(w + 1, &mut rs, &mut ws, core::ptr::null_mut(), &mut tv)), 1);
        ck!(!libc::FD_ISSET(r, &rs) && libc::FD_ISSET(w, &ws));
        write(w, b"x")?;
        libc::FD_SET(r, &mut rs);
        eq!(c!(libc::select(w + 1, &mut rs, &mut ws, core::ptr::null_mut(), core::ptr::null_mut())), 2);
        close(r);
        fails!(libc::select(w + 1, &mut rs, &mut ws, core::ptr::null_mut(), core::ptr::null_mut()), libc::EBADF);
        fails!(
            libc::select(
                -1,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut()
            ),
            libc::EINVAL
        );
    }
    Ok(())
}

fn select_remaining() -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        let parent = std::os::unix::process::parent_id() as i32;
        i32::from(asleep(parent).is_err() || write(w, b"x") != Ok(1))
    })?;
    // SAFETY: live sets and times.
    unsafe {
        let mut rs: libc::fd_set = core::mem::zeroed();
        libc::FD_SET(r, &mut rs);
        let mut tv = libc::timeval { tv_sec: 15, tv_usec: 0 };
        eq!(c!(libc::select(r + 1, &mut rs, core::ptr::null_mut(), core::ptr::null_mut(), &mut tv)), 1);
        ck!(tv.tv_sec < 15, "left: {}.{:06}", tv.tv_sec, tv.tv_usec); // Linux writes back what is left
    }
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn tty() -> Outcome {
    let (master, path) = crate::jobs::pty()?;
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY)?;
    eq!(one(master, BOTH, 0)?, libc::POLLOUT);
    eq!(one(slave, BOTH, 0)?, libc::POLLOUT);
    write(master, b"li")?;
    eq!(one(slave, libc::POLLIN, 50)?, 0); // no whole line yet
    write(master, b"ne\n")?;
    eq!(one(slave, libc::POLLIN, 1000)?, libc::POLLIN);
    eq!(one(master, libc::POLLIN, 1000)?, libc::POLLIN); // the echo
    close(slave);
    let got = one(master, BOTH, 1000)?;
    ck!(got & libc::POLLHUP != 0, "{got:#x}");
    Ok(())
}

fn sockets() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()));
    eq!(one(fds[0], BOTH, 0)?, libc::POLLOUT);
    write(fds[1], b"x")?;
    eq!(one(fds[0], BOTH, 0)?, BOTH);
    c!(libc::shutdown(fds[1], libc::SHUT_WR));
    eq!(one(fds[0], BOTH | libc::POLLRDHUP, 0)?, BOTH | libc::POLLRDHUP);
    close(fds[1]);
    eq!(one(fds[0], BOTH | libc::POLLRDHUP, 0)?, BOTH | libc::POLLRDHUP | libc::POLLHUP);
    Ok(())
}

fn add(ep: i32, fd: i32, events: i32, data: u64) -> i32 {
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: a live event.
    unsafe { libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, fd, &mut event) }
}

/// epoll_wait: (events, data) of at most eight.
fn ready(ep: i32, ms: i32) -> Result<Vec<(i32, u64)>, String> {
    let mut list = [libc::epoll_event { events: 0, u64: 0 }; 8];
    let n = c!(libc::epoll_wait(ep, list.as_mut_ptr(), 8, ms)) as usize;
    Ok(list[..n].iter().map(|e| (e.events as i32, e.u64)).collect())
}

fn level() -> Outcome {
    let (r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(libc::EPOLL_CLOEXEC));
    c!(add(ep, r, libc::EPOLLIN, 7));
    eq!(ready(ep, 0)?, []);
    write(w, b"xy")?;
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 7)]);
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 7)]);
    read(r, 2)?;
    eq!(ready(ep, 0)?, []);
    close(w);
    eq!(ready(ep, 0)?, [(libc::EPOLLHUP, 7)]);
    Ok(())
}

fn edge() -> Outcome {
    let (r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(0));
    c!(add(ep, r, libc::EPOLLIN | libc::EPOLLET, 1));
    write(w, b"x")?;
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 1)]);
    eq!(ready(ep, 20)?, []);
    write(w, b"x")?;
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 1)]);
    Ok(())
}

fn oneshot() -> Outcome {
    let (r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(0));
    c!(add(ep, r, libc::EPOLLIN | libc::EPOLLONESHOT, 1));
    write(w, b"x")?;
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 1)]);
    write(w, b"x")?;
    eq!(ready(ep, 20)?, []);
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLONESHOT) as u32, u64: 2 };
    c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, r, &mut event));
    eq!(ready(ep, 0)?, [(libc::EPOLLIN, 2)]);
    Ok(())
}

fn modify() -> Outcome {
    let (_r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(0));
    c!(add(ep, w, 0, 1));
    eq!(ready(ep, 0)?, []);
    let mut event = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: 2 };
    c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, w, &mut event));
    eq!(ready(ep, 0)?, [(libc::EPOLLOUT, 2)]);
    c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_DEL, w, core::ptr::null_mut()));
    eq!(ready(ep, 0)?, []);
    fails!(libc::epoll_ctl(ep, libc::EPOLL_CTL_DEL, w, core::ptr::null_mut()), libc::ENOENT);
    fails!(libc::epoll_ctl(ep, libc::EPOLL_CTL_MOD, w, &mut event), libc::ENOENT);
    Ok(())
}

fn epoll_wakes() -> Outcome {
    let (r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(0));
    c!(add(ep, r, libc::EPOLLIN, 3));
    let me = std::process::id() as i32;
    let pid = child(|| i32::from(asleep(me).is_err() || write(w, b"x") != Ok(1)))?;
    eq!(ready(ep, 15_000)?, [(libc::EPOLLIN, 3)]);
    eq!(exit_of(pid)?, 0);
    read(r, 1)?;
    let start = now_ms();
    eq!(ready(ep, 40)?, []);
    ck!(now_ms() - start >= 39);
    Ok(())
}

fn nested() -> Outcome {
    let (r, w) = pipe()?;
    let inner = c!(libc::epoll_create1(0));
    let outer = c!(libc::epoll_create1(0));
    c!(add(inner, r, libc::EPOLLIN, 1));
    c!(add(outer, inner, libc::EPOLLIN, 2));
    eq!(ready(outer, 0)?, []);
    write(w, b"x")?;
    eq!(ready(outer, 1000)?, [(libc::EPOLLIN, 2)]);
    eq!(one(outer, libc::POLLIN, 0)?, libc::POLLIN);
    fails!(add(inner, outer, libc::EPOLLIN, 3), libc::ELOOP);
    Ok(())
}

fn close_removes() -> Outcome {
    let (r, w) = pipe()?;
    let ep = c!(libc::epoll_create1(0));
    c!(add(ep, r, libc::EPOLLIN, 1));
    write(w, b"x")?;
    eq!(ready(ep, 0)?.len(), 1);
    let copy = c!(libc::dup(r));
    close(r);
    eq!(ready(ep, 0)?.len(), 1); // the description still lives
    close(copy);
    eq!(ready(ep, 0)?, []);
    Ok(())
}

fn epoll_errors() -> Outcome {
    fails!(libc::epoll_create1(5), libc::EINVAL);
    fails!(libc::epoll_create(0), libc::EINVAL);
    let ep = c!(libc::epoll_create1(0));
    let (r, _w) = pipe()?;
    fails!(add(ep, 900, libc::EPOLLIN, 0), libc::EBADF);
    fails!(add(900, r, libc::EPOLLIN, 0), libc::EBADF);
    fails!(add(r, ep, libc::EPOLLIN, 0), libc::EINVAL);
    fails!(add(ep, ep, libc::EPOLLIN, 0), libc::EINVAL);
    c!(add(ep, r, libc::EPOLLIN, 0));
    fails!(add(ep, r, libc::EPOLLIN, 0), libc::EEXIST);
    let path = dir()? + "/f";
    std::fs::write(&path, "").map_err(|e| e.to_string())?;
    fails!(add(ep, open(&path, libc::O_RDONLY)?, libc::EPOLLIN, 0), libc::EPERM);
    fails!(libc::epoll_wait(ep, core::ptr::null_mut(), 0, 0), libc::EINVAL);
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    fails!(libc::epoll_ctl(ep, 9, r, &mut event), libc::EINVAL);
    Ok(())
}

fn epoll_many() -> Outcome {
    let ep = c!(libc::epoll_create1(0));
    let pipes: Vec<(i32, i32)> = (0..100).map(|_| pipe()).collect::<Result<_, _>>()?;
    for (i, p) in pipes.iter().enumerate() {
        c!(add(ep, p.0, libc::EPOLLIN, i as u64 | 1 << 60));
        write(p.1, b"x")?;
    }
    // Eight at a time, round the ready ones: all are seen.
    let mut seen = vec![false; 100];
    for _ in 0..13 {
        for (_, data) in ready(ep, 0)? {
            seen[(data & 0xff) as usize] = true;
        }
    }
    ck!(seen.iter().all(|s| *s));
    Ok(())
}

fn epoll_threads() -> Outcome {
    let ep = c!(libc::epoll_create1(0));
    let event = c!(libc::eventfd(0, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK)) as i32;
    c!(add(ep, event, libc::EPOLLIN, 1));
    let all: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut got = 0;
                while !ready(ep, 300).unwrap_or_default().is_empty() {
                    got += i32::from(read(event, 8).is_ok());
                }
                got
            })
        })
        .collect();
    for _ in 0..20 {
        write(event, &1u64.to_ne_bytes())?;
    }
    let mut sum = 0;
    for t in all {
        sum += t.join().map_err(|_| "panic")?;
    }
    eq!(sum, 20);
    Ok(())
}

fn eventfd() -> Outcome {
    let fd = c!(libc::eventfd(3, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) as i32;
    write(fd, &4u64.to_ne_bytes())?;
    eq!(count_of(fd)?, 7);
    fails!(libc::read(fd, [0u8; 8].as_mut_ptr().cast(), 8), libc::EAGAIN);
    fails!(libc::read(fd, [0u8; 8].as_mut_ptr().cast(), 7), libc::EINVAL);
    fails!(libc::write(fd, [0u8; 8].as_ptr().cast(), 7), libc::EINVAL);
    fails!(libc::write(fd, [255u8; 8].as_ptr().cast(), 8), libc::EINVAL);
    fails!(libc::eventfd(0, 64), libc::EINVAL);
    Ok(())
}

fn eventfd_semaphore() -> Outcome {
    let fd = c!(libc::eventfd(2, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK)) as i32;
    eq!(count_of(fd)?, 1);
    eq!(count_of(fd)?, 1);
    fails!(libc::read(fd, [0u8; 8].as_mut_ptr().cast(), 8), libc::EAGAIN);
    Ok(())
}

fn eventfd_overflow() -> Outcome {
    let fd = c!(libc::eventfd(0, libc::EFD_NONBLOCK)) as i32;
    write(fd, &(u64::MAX - 1).to_ne_bytes())?;
    eq!(one(fd, BOTH, 0)?, libc::POLLIN);
    fails!(libc::write(fd, 1u64.to_ne_bytes().as_ptr().cast(), 8), libc::EAGAIN);
    eq!(count_of(fd)?, u64::MAX - 1);
    eq!(one(fd, BOTH, 0)?, libc::POLLOUT);
    Ok(())
}

fn eventfd_blocks() -> Outcome {
    let fd = c!(libc::eventfd(0, 0)) as i32;
    let me = std::process::id() as i32;
    let pid = child(|| i32::from(asleep(me).is_err() || write(fd, &9u64.to_ne_bytes()) != Ok(8)))?;
    eq!(count_of(fd)?, 9);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn timer(first_ms: i64, every_ms: i64) -> Result<i32, String> {
    // SAFETY: live structure.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no timerfd"));
    }
    ck!(fd >= 0, "{}", errno_name());
    let ms = |ms: i64| libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    let spec = libc::itimerspec { it_interval: ms(every_ms), it_value: ms(first_ms) };
    c!(libc::timerfd_settime(fd, 0, &spec, core::ptr::null_mut()));
    Ok(fd)
}

fn timerfd() -> Outcome {
    let start = now_ms();
    let fd = timer(40, 0)?;
    let early = one(fd, libc::POLLIN, 0)?;
    ck!(early == 0 || now_ms() - start >= 39);
    eq!(count_of(fd)?, 1);
    ck!(now_ms() - start >= 39);
    Ok(())
}

fn timerfd_interval() -> Outcome {
    let start = now_ms();
    let fd = timer(10, 10)?;
    sleep_ms(100);
    let got = count_of(fd)?;
    let most = (now_ms() - start) / 10 + 1;
    ck!((9..=most).contains(&got), "{got} expirations, at most {most}");
    Ok(())
}

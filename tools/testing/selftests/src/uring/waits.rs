// SPDX-License-Identifier: GPL-2.0
//! io_uring: requests that wait, chains of them, and who may wait for them.

use super::*;
use crate::{c, ck, eq, fails};

pub fn poll() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let wait = Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) };
    ring.put(wait);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    let pid = child(|| {
        sleep_ms(30);
        i32::from(write(w, b"x") != Ok(1))
    })?;
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((1, i32::from(libc::POLLIN))));
    eq!(exit_of(pid)?, 0);
    // It is ready already.
    eq!(ring.one(wait)?, i32::from(libc::POLLIN));
    read(r, 1)?;
    ring.put(Sqe { user_data: 5, ..wait });
    ring.enter(1, 0)?;
    let found = ring.all(&[Sqe { addr: 5, ..sqe(POLL_REMOVE, -1, 9) }])?;
    eq!(found, [(5, -libc::ECANCELED), (9, 0)]);
    eq!(ring.one(Sqe { addr: 5, ..sqe(POLL_REMOVE, -1, 9) })?, -libc::ENOENT);
    Ok(())
}

/// A read of an empty pipe does not hold up the submitter, and is done when bytes come.
pub fn pipe_waits() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    eq!(ring.one(sqe(NOP, -1, 4))?, 0);
    write(w, b"hello")?;
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((3, 5)));
    eq!(&to[..5], b"hello");
    // Without entering: the result comes while the program does other things.
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    write(w, b"abc")?;
    until("a result without a call", || ring.ready() == 1)?;
    eq!(ring.take(), Some((3, 3)));
    Ok(())
}

pub fn timeout() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let span = [0i64, 50_000_000];
    let wait = Sqe { addr: span.as_ptr() as u64, len: 1, ..sqe(TIMEOUT, -1, 1) };
    let start = now_ms();
    eq!(ring.one(wait)?, -libc::ETIME);
    let took = now_ms() - start;
    ck!((49..15_000).contains(&took), "took {took} ms");
    // It also ends with so many results.
    let long = [100i64, 0];
    let counts = Sqe { addr: long.as_ptr() as u64, off: 2, user_data: 1, ..wait };
    let found = ring.all(&[counts, sqe(NOP, -1, 2), sqe(NOP, -1, 3)])?;
    eq!(found, [(1, 0), (2, 0), (3, 0)]);
    ring.put(Sqe { addr: long.as_ptr() as u64, user_data: 6, ..wait });
    ring.enter(1, 0)?;
    let found = ring.all(&[Sqe { addr: 6, ..sqe(TIMEOUT_REMOVE, -1, 7) }])?;
    eq!(found, [(6, -libc::ECANCELED), (7, 0)]);
    eq!(ring.one(Sqe { addr: 6, ..sqe(TIMEOUT_REMOVE, -1, 7) })?, -libc::ENOENT);
    // A limit for waiting.
    let spec = [0i64, 20_000_000];
    let argument = [0u64, 8, spec.as_ptr() as u64];
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 1, 9, argument.as_ptr(), 24usize), libc::ETIME);
    // Fewer results than are waited for are no error; and a time-out ends the wait, too.
    ring.put(sqe(NOP, -1, 8));
    eq!(ring.enter(1, 0)?, 1);
    eq!(c!(syscall(SYS_io_uring_enter, ring.fd, 0, 2, 9, argument.as_ptr(), 24usize)), 0);
    eq!(ring.take(), Some((8, 0)));
    ring.put(wait);
    eq!(ring.enter(1, 3)?, 1);
    eq!(ring.take(), Some((1, -libc::ETIME)));
    Ok(())
}

pub fn links() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let path = dir()? + "/f";
    let fd = open(&path, libc::O_RDWR | libc::O_CREAT)?;
    let text = b"linked";
    let mut back = [0u8; 6];
    let write = Sqe { flags: LINK, addr: text.as_ptr() as u64, len: 6, ..sqe(WRITE, fd, 1) };
    let read = Sqe { addr: back.as_mut_ptr() as u64, len: 6, ..sqe(READ, fd, 2) };
    eq!(ring.all(&[write, read])?, [(1, 6), (2, 6)]);
    eq!(&back, text);
    // One that fails takes the rest along; a short read counts as failing.
    let nop = Sqe { flags: LINK, ..sqe(NOP, -1, 5) };
    let broken = Sqe { flags: LINK, fd: 900, user_data: 4, ..read };
    eq!(
        ring.all(&[Sqe { user_data: 3, ..nop }, broken, nop, sqe(NOP, -1, 6)])?,
        [(3, 0), (4, -libc::EBADF), (5, -libc::ECANCELED), (6, -libc::ECANCELED)]
    );
    // So does one that is refused, and what follows is taken all the same.
    let refused = Sqe { flags: LINK, ..sqe(200, -1, 4) };
    eq!(
        ring.all(&[Sqe { user_data: 3, ..nop }, refused, sqe(NOP, -1, 5)])?,
        [(3, -libc::ECANCELED), (4, -libc::EINVAL), (5, -libc::ECANCELED)]
    );
    let short = Sqe { flags: LINK, len: 6, off: 4, user_data: 7, ..read };
    eq!(ring.all(&[short, sqe(NOP, -1, 8)])?, [(7, 2), (8, -libc::ECANCELED)]);
    // A limit for one request.
    let (r, _w) = pipe()?;
    let span = [0i64, 20_000_000];
    let wait = Sqe { flags: LINK, op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 1) };
    let limit = Sqe { addr: span.as_ptr() as u64, len: 1, ..sqe(LINK_TIMEOUT, -1, 2) };
    eq!(ring.all(&[wait, limit])?, [(1, -libc::ECANCELED), (2, -libc::ETIME)]);
    let soon = [0i64, 1];
    eq!(ring.all(&[wait, Sqe { addr: soon.as_ptr() as u64, ..limit }])?, [(1, -libc::ECANCELED), (2, -libc::ETIME)]);
    eq!(ring.all(&[Sqe { flags: LINK, ..sqe(NOP, -1, 1) }, limit])?, [(1, 0), (2, -libc::ECANCELED)]);
    Ok(())
}

pub fn cancel() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (r, _w) = pipe()?;
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 1) });
    ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, r, 2) });
    eq!(ring.enter(2, 0)?, 2);
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 8) }])?;
    eq!(found, [(1, -libc::ECANCELED), (8, 0)]);
    let found = ring.all(&[Sqe { addr: 2, ..sqe(CANCEL, -1, 8) }])?;
    eq!(found, [(2, -libc::ECANCELED), (8, 0)]);
    eq!(ring.one(Sqe { addr: 2, ..sqe(CANCEL, -1, 8) })?, -libc::ENOENT);
    // What waits does not keep the ring from being closed.
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 1) });
    ring.enter(1, 0)?;
    Ok(())
}

pub fn overflow() -> Outcome {
    let ring = Ring::new(4, 1 << 3, 4)?;
    eq!(ring.params[1], 4);
    for round in 0..3 {
        (0..4).for_each(|n| ring.put(sqe(NOP, -1, round * 4 + n)));
        eq!(ring.enter(4, 0)?, 4);
    }
    eq!(ring.ready(), 4);
    ck!(ring.word(ring.params[14]).load(Acquire) & 2 != 0, "no sign of an overflow");
    let mut found = Vec::new();
    while found.len() < 12 {
        while let Some((data, value)) = ring.take() {
            eq!(value, 0);
            found.push(data);
        }
        ring.enter(0, u32::from(found.len() < 12))?;
    }
    eq!(found, (0..12).collect::<Vec<u64>>());
    ck!(ring.word(ring.params[14]).load(Acquire) & 2 == 0, "the sign of an overflow stays");
    Ok(())
}

/// Timeouts that count results do not count each other's, however many there are.
pub fn counts() -> Outcome {
    let ring = Ring::new(256, 0, 0)?;
    let long = [100i64, 0];
    let count =
        |off: u64, user_data: u64| Sqe { addr: long.as_ptr() as u64, len: 1, off, ..sqe(TIMEOUT, -1, user_data) };
    [count(2, 1), count(1, 2), sqe(NOP, -1, 3)].iter().for_each(|sqe| ring.put(*sqe));
    eq!(ring.enter(3, 2)?, 3);
    let mut found = [ring.take(), ring.take(), ring.take()];
    found.sort();
    eq!(found, [None, Some((2, 0)), Some((3, 0))]);
    // Now the other has its two.
    ring.put(sqe(NOP, -1, 4));
    eq!(ring.enter(1, 2)?, 1);
    let mut found = [ring.take(), ring.take()];
    found.sort();
    eq!(found, [Some((1, 0)), Some((4, 0))]);
    let mut many: Vec<Sqe> = (0..200).map(|n| count(1, n)).collect();
    many.push(sqe(NOP, -1, 200));
    eq!(ring.all(&many)?, (0..=200).map(|n| (n, 0)).collect::<Vec<_>>());
    Ok(())
}

/// A ring for one task alone.
pub fn issuer() -> Outcome {
    let ring = Ring::new(4, 1 << 12, 0)?;
    eq!(ring.one(sqe(NOP, -1, 1))?, 0);
    let fd = ring.fd;
    let other = std::thread::spawn(move || {
        // SAFETY: no memory is named.
        let result = unsafe { syscall(SYS_io_uring_enter, fd, 1, 0, 0, 0usize, 0usize) };
        (result, errno())
    });
    eq!(other.join().map_err(|_| "panic")?, (-1, libc::EEXIST));
    eq!(ring.one(sqe(NOP, -1, 2))?, 0);
    Ok(())
}

/// What a request reads goes to who sent it, even if another process that has the ring waits for it.
pub fn shared() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    let at = to.as_mut_ptr();
    ring.put(Sqe { addr: at as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    let pid = child(|| {
        // SAFETY: the child's copy of `to`.
        let seen = || unsafe { at.read_volatile() };
        let mut wrong = write(w, b"x") != Ok(1);
        for _ in 0..5 {
            // SAFETY: no memory is named.
            wrong |= unsafe { syscall(SYS_io_uring_enter, ring.fd, 0, 0, 1, 0usize, 0usize) } != 0;
            sleep_ms(5);
        }
        i32::from(wrong || seen() != 0)
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((3, 1)));
    // SAFETY: it lives still.
    eq!(unsafe { at.read_volatile() }, b'x');
    Ok(())
}

/// Work that is put off until its task waits for results.
pub fn deferred() -> Outcome {
    const COOP: u32 = 1 << 8;
    const FLAG: u32 = 1 << 9;
    const SINGLE: u32 = 1 << 12;
    const DEFER: u32 = 1 << 13;
    for flags in [DEFER, FLAG, FLAG | SINGLE, DEFER | SINGLE | 2, FLAG | COOP | 2] {
        let mut params = [0u32; 30];
        params[2] = flags;
        fails!(syscall(SYS_io_uring_setup, 4, params.as_mut_ptr()), libc::EINVAL);
    }
    let ring = Ring::new(4, DEFER | SINGLE | FLAG, 0)?;
    let wants = || ring.word(ring.params[14]).load(Acquire) & 4 != 0;
    let (r, w) = pipe()?;
    let mut to = [0u8; 8];
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 3) });
    eq!(ring.enter(1, 0)?, 1);
    write(w, b"abc")?;
    until("the sign of work", wants)?;
    // Calls do not do it, but who waits for the ring hears of it.
    eq!(c!(syscall(SYS_io_uring_enter, ring.fd, 0, 0, 0, 0usize, 0usize)), 0);
    sleep_ms(10);
    eq!(ring.ready(), 0);
    let mut wait = libc::pollfd { fd: ring.fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut wait, 1, 1000)), 1);
    eq!(c!(syscall(SYS_io_uring_enter, ring.fd, 0, 0, 1, 0usize, 0usize)), 0);
    ck!(!wants(), "the sign stays");
    eq!(ring.take(), Some((3, 3)));
    let fd = ring.fd;
    let other = std::thread::spawn(move || {
        // SAFETY: no memory is named.
        let result = unsafe { syscall(SYS_io_uring_enter, fd, 0, 0, 1, 0usize, 0usize) };
        (result, errno())
    });
    eq!(other.join().map_err(|_| "panic")?, (-1, libc::EEXIST));
    // The sign alone, for who is not interrupted.
    let ring = Ring::new(4, COOP | FLAG, 0)?;
    ring.put(Sqe { addr: to.as_mut_ptr() as u64, len: 8, ..sqe(READ, r, 4) });
    eq!(ring.enter(1, 0)?, 1);
    write(w, b"de")?;
    eq!(ring.enter(0, 1)?, 0);
    eq!(ring.take(), Some((4, 2)));
    eq!(ring.word(ring.params[14]).load(Acquire) & 4, 0);
    Ok(())
}

/// A ring waits for what is told of its results: the event descriptor, or an epoll that watches the ring.
pub fn circles() -> Outcome {
    const EVENTFD: u32 = 4;
    for flags in [0, 1 << 13 | 1 << 12] {
        let ring = Ring::new(8, flags, 0)?;
        let event = c!(libc::eventfd(0, libc::EFD_NONBLOCK));
        register(&ring, EVENTFD, &raw const event as usize, 1)?;
        ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, event, 1) });
        eq!(ring.enter(1, 0)?, 1);
        write(event, &1u64.to_ne_bytes())?;
        eq!(ring.enter(0, 1)?, 0);
        eq!(ring.take(), Some((1, 1)));

        let epoll = c!(libc::epoll_create1(0));
        let (r, w) = pipe()?;
        for fd in [ring.fd, r] {
            let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
            c!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut wanted));
        }
        ring.put(Sqe { op_flags: libc::POLLIN as u32, ..sqe(POLL_ADD, epoll, 2) });
        eq!(ring.enter(1, 0)?, 1);
        write(w, b"x")?;
        eq!(ring.enter(0, 1)?, 0);
        eq!(ring.take(), Some((2, 1)));
        [event, epoll, r, w].into_iter().for_each(close);
    }
    Ok(())
}

extern "C" fn nothing(_: i32) {}

/// A signal ends the wait, whatever its handler says of restarting.
pub fn signal() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    handle(libc::SIGALRM, nothing as *const () as usize, libc::SA_RESTART)?;
    let soon = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 30_000 },
    };
    c!(libc::setitimer(libc::ITIMER_REAL, &raw const soon, null_mut()));
    fails!(syscall(SYS_io_uring_enter, ring.fd, 0, 1, 1, 0usize, 0usize), libc::EINTR);
    Ok(())
}

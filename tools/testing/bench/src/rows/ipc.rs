// SPDX-License-Identifier: GPL-2.0
//! Talking between processes: pipes, sockets, eventfd, and the switch between contexts.

use crate::{Figure, Row, measure, sys, sys::check};

pub const ROWS: &[Row] = &[
    Row { name: "pipe_self", run: pipe_self },
    Row { name: "pipe_pingpong", run: pipe_pingpong },
    Row { name: "context_switch_2", run: context_switch_2 },
    Row { name: "context_switch_16", run: context_switch_16 },
    Row { name: "yield_switch", run: yield_switch },
    Row { name: "pipe_64k", run: pipe_64k },
    Row { name: "eventfd", run: eventfd },
    Row { name: "unix_self", run: unix_self },
    Row { name: "unix_pingpong", run: unix_pingpong },
    Row { name: "epoll_pingpong", run: epoll_pingpong },
];

fn close_pair(pair: (i32, i32)) {
    sys::close(pair.0);
    sys::close(pair.1);
}

/// A byte into a pipe and out again, one process.
fn pipe_self() -> Figure {
    let (r, w) = sys::pipe()?;
    let figure = measure(1000, || {
        sys::write1(w);
        sys::read1(r);
    });
    close_pair((r, w));
    Ok(figure)
}

/// A byte there and back between two processes: `mine` are this side's (read, write) ends.
fn pingpong(mine: (i32, i32), theirs: (i32, i32), before_read: impl Fn()) -> Figure {
    let child = check(sys::fork(|| {
        close_pair(mine);
        while sys::read1(theirs.0) == 1 {
            sys::write1(theirs.1);
        }
    }))?;
    close_pair(theirs);
    let figure = measure(300, || {
        sys::write1(mine.1);
        before_read();
        sys::read1(mine.0);
    });
    close_pair(mine);
    sys::wait(child);
    Ok(figure)
}

fn pipe_pingpong() -> Figure {
    let (there, back) = (sys::pipe()?, sys::pipe()?);
    pingpong((back.0, there.1), (there.0, back.1), || ())
}

/// A byte round a ring of `members` processes joined by pipes: one hop, less what the pipe costs by itself.
fn context_switch(members: usize) -> Figure {
    let alone = pipe_self()?;
    let ring: Vec<_> = (0..members).map(|_| sys::pipe()).collect::<Result<_, _>>()?;
    let mut children = Vec::new();
    for i in 1..members {
        let (from, to) = (ring[i].0, ring[(i + 1) % members].1);
        children.push(check(sys::fork(|| {
            // Of the write ends the child keeps its own only, so that the ring ends link by link.
            for (at, (_, w)) in ring.iter().enumerate() {
                if at != (i + 1) % members {
                    sys::close(*w);
                }
            }
            while sys::read1(from) == 1 {
                sys::write1(to);
            }
        }))?);
    }
    let (from, to) = (ring[0].0, ring[1].1);
    for (at, (_, w)) in ring.iter().enumerate() {
        if at != 1 {
            sys::close(*w);
        }
    }
    let figure = measure(100, || {
        sys::write1(to);
        sys::read1(from);
    });
    sys::close(to);
    for child in children {
        sys::wait(child);
    }
    for (r, _) in ring {
        sys::close(r);
    }
    Ok(figure / members as f64 - alone)
}

fn context_switch_2() -> Figure {
    context_switch(2)
}

fn context_switch_16() -> Figure {
    context_switch(16)
}

/// Two processes that only yield: one call with its switch. Who had less goes on at first, whatever it says: they are made even before.
fn yield_switch() -> Figure {
    let (r, w) = sys::pipe()?;
    let child = check(sys::fork(|| {
        sys::close(w);
        let mut end = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
        let at = &raw mut end;
        loop {
            for _ in 0..64 {
                sys!(libc::SYS_sched_yield);
            }
            if sys!(libc::SYS_poll, at, 1, 0) != 0 {
                return;
            }
        }
    }))?;
    sys::close(r);
    for _ in 0..20_000 {
        sys!(libc::SYS_sched_yield);
    }
    let figure = measure(1000, || {
        sys!(libc::SYS_sched_yield);
    });
    sys::close(w);
    sys::wait(child);
    Ok(figure / 2.0)
}

/// 64 KB through a pipe to another process, both sides' work.
fn pipe_64k() -> Figure {
    let (r, w) = sys::pipe()?;
    let mut buf = vec![0u8; 65536];
    let at = buf.as_mut_ptr();
    let child = check(sys::fork(|| {
        sys::close(r);
        while sys!(libc::SYS_write, w, at, 65536) > 0 {}
    }))?;
    sys::close(w);
    let figure = measure(64, || {
        let mut left = 65536;
        while left > 0 {
            let got = sys!(libc::SYS_read, r, at, left);
            if got <= 0 {
                break;
            }
            left -= got;
        }
    });
    sys!(libc::SYS_kill, child, libc::SIGKILL);
    sys::close(r);
    sys::wait(child);
    Ok(figure)
}

/// Adds one to a counter and takes it.
fn eventfd() -> Figure {
    let fd = check(sys!(libc::SYS_eventfd2, 0, 0))? as i32;
    let mut value = 1u64;
    let at = &raw mut value;
    let figure = measure(1000, || {
        sys!(libc::SYS_write, fd, at, 8);
        sys!(libc::SYS_read, fd, at, 8);
    });
    sys::close(fd);
    Ok(figure)
}

fn socketpair() -> Result<(i32, i32), isize> {
    let mut fds = [0i32; 2];
    check(sys!(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()))?;
    Ok((fds[0], fds[1]))
}

fn unix_self() -> Figure {
    let (a, b) = socketpair()?;
    let figure = measure(500, || {
        sys::write1(a);
        sys::read1(b);
    });
    close_pair((a, b));
    Ok(figure)
}

fn unix_pingpong() -> Figure {
    let (a, b) = socketpair()?;
    pingpong((a, a), (b, b), || ())
}

/// A ping-pong over pipes whose one side waits in epoll.
fn epoll_pingpong() -> Figure {
    let (there, back) = (sys::pipe()?, sys::pipe()?);
    let ep = check(sys!(libc::SYS_epoll_create1, 0))? as i32;
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    let at = &raw mut event;
    check(sys!(libc::SYS_epoll_ctl, ep, libc::EPOLL_CTL_ADD, back.0, at))?;
    let figure = pingpong((back.0, there.1), (there.0, back.1), || {
        sys!(libc::SYS_epoll_wait, ep, at, 1, -1isize);
    });
    sys::close(ep);
    figure
}

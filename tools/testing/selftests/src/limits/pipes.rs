// SPDX-License-Identifier: GPL-2.0
//! Many pipes, and what a user may have of them.

use super::{Setting, become_user, become_user_with, limit};
use crate::util::{Outcome, child, close, errno, exit_of, in_child, pipe, read, write};
use crate::{c, ck, eq, fails};

/// Rings of processes hand bytes around through many pipes.
pub(super) fn storm() -> Outcome {
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

/// 10 000 pipes with a page in each, read in another order; then no descriptor is left.
pub(super) fn many() -> Outcome {
    const PIPES: usize = 10_000;
    limit(libc::RLIMIT_NOFILE, 2 * PIPES as u64 + 3)?;
    // SAFETY: numbers. The test's own descriptors beyond the first three.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let mut ends = Vec::new();
    for i in 0..PIPES {
        let (r, w) = pipe()?;
        eq!(write(w, &vec![i as u8; 4096])?, 4096);
        ends.push((r, w));
    }
    let mut fds = [0; 2];
    fails!(libc::pipe(fds.as_mut_ptr()), libc::EMFILE);
    // One number is not enough for two ends, and is free again afterwards.
    close(ends[PIPES - 1].1);
    fails!(libc::pipe(fds.as_mut_ptr()), libc::EMFILE);
    eq!(c!(libc::dup(0)), ends[PIPES - 1].1);
    for (i, (r, _)) in ends.iter().enumerate().rev() {
        ck!(read(*r, 5000)? == vec![i as u8; 4096], "pipe {i}");
    }
    Ok(())
}

fn size_of(fd: i32) -> Result<i32, String> {
    Ok(c!(libc::fcntl(fd, libc::F_GETPIPE_SZ)))
}

/// A user's pipes get small above `pipe-user-pages-soft`, and there are none above `pipe-user-pages-hard`.
pub(super) fn user_pages() -> Outcome {
    const PAGE: i32 = 4096;
    let _soft = Setting::new("fs/pipe-user-pages-soft", 64)?;
    let _hard = Setting::new("fs/pipe-user-pages-hard", 70)?;
    in_child(|| {
        become_user()?;
        let mut last = (0, 0);
        for i in 0..7 {
            last = pipe()?;
            eq!((i, size_of(last.0)?), (i, if i < 4 { 16 * PAGE } else { 2 * PAGE }));
        }
        let mut fds = [0; 2];
        fails!(libc::pipe(fds.as_mut_ptr()), libc::ENFILE);
        // Smaller is allowed, larger not.
        fails!(libc::fcntl(last.0, libc::F_SETPIPE_SZ, 4 * PAGE), libc::EPERM);
        eq!(c!(libc::fcntl(last.0, libc::F_SETPIPE_SZ, PAGE)), PAGE);
        close(last.0);
        close(last.1);
        let (r, _) = pipe()?;
        eq!(size_of(r)?, 2 * PAGE);
        Ok(())
    })?;
    // All of it is given back, and who administers is free of it.
    in_child(|| {
        for _ in 0..10 {
            eq!(size_of(pipe()?.0)?, 16 * PAGE);
        }
        become_user()?;
        eq!(size_of(pipe()?.0)?, 16 * PAGE);
        Ok(())
    })
}

/// `CAP_SYS_RESOURCE` goes beyond `pipe-max-size`, and either capability beyond what a user may have.
pub(super) fn capabilities() -> Outcome {
    const PAGE: i32 = 4096;
    const ADMIN: u32 = 1 << 21;
    const RESOURCE: u32 = 1 << 24;
    let _size = Setting::new("fs/pipe-max-size", 8 * PAGE)?;
    let _soft = Setting::new("fs/pipe-user-pages-soft", 20)?;
    // Pages of a user's first three pipes, and what asking for 16 pages of the first says.
    for (caps, pages, larger) in
        [(0, [8, 8, 2], libc::EPERM), (ADMIN, [8, 8, 8], libc::EPERM), (RESOURCE, [16, 16, 16], 0)]
    {
        in_child(|| {
            become_user_with(caps)?;
            let mut ends = Vec::new();
            for expected in pages {
                ends.push(pipe()?.0);
                eq!((caps, size_of(ends[ends.len() - 1])?), (caps, expected * PAGE));
            }
            let asked = |size: i32| {
                // SAFETY: numbers.
                if unsafe { libc::fcntl(ends[0], libc::F_SETPIPE_SZ, size) } == -1 { errno() } else { 0 }
            };
            eq!((caps, asked(16 * PAGE)), (caps, larger));
            // Smaller is always allowed; what no pipe can be is no matter of rights.
            eq!((caps, asked(PAGE)), (caps, 0));
            eq!((caps, asked(-1)), (caps, libc::EINVAL));
            Ok(())
        })?;
    }
    Ok(())
}

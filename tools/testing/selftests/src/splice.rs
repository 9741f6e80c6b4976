// SPDX-License-Identifier: GPL-2.0
//! `splice`, `tee`, `vmsplice`.

use crate::util::{Outcome, SKIP, child, close, exit_of, home, pipe, pipe_flags, read, text, wait, write};
use crate::{Test, c, ck, eq, fails};
use core::ptr::null_mut;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("splice.file_to_pipe", file_to_pipe),
    ("splice.pipe_to_file", pipe_to_file),
    ("splice.pipe_to_pipe", pipe_to_pipe),
    ("splice.errors", errors),
    ("splice.blocks_and_ends", blocks),
    ("splice.to_null_and_socket", others),
    ("splice.tee", tee),
    ("splice.tee_then_write", tee_then_write),
    ("splice.vmsplice", vmsplice),
    ("splice.position_is_free", position_is_free),
    ("splice.killed_reader", killed_reader),
];

fn splice(from: i32, off_in: *mut i64, to: i32, off_out: *mut i64, len: usize, flags: u32) -> isize {
    // SAFETY: the offsets are null or live objects of the caller.
    unsafe { libc::splice(from, off_in, to, off_out, len, flags) }
}

/// Bytes in a pipe.
fn held(pipe: i32) -> Result<i32, String> {
    let mut bytes = 0;
    c!(libc::ioctl(pipe, libc::FIONREAD, &mut bytes));
    Ok(bytes)
}

/// Copies from a file to a pipe.
type Copier = fn(i32, i32) -> isize;

/// Who waits for room in a pipe keeps nobody from the position of the file that it copies from.
fn position_is_free() -> Outcome {
    home()?;
    let file = temp(&[7u8; 200_000])?;
    let copies: [(&str, Copier); 2] = [
        ("splice", |file, to| {
            while splice(file, null_mut(), to, null_mut(), 100_000, 0) > 0 {}
            0
        }),
        // SAFETY: numbers and no offset.
        ("sendfile", |file, to| unsafe { libc::sendfile(to, file, null_mut(), 200_000) }),
    ];
    for (name, copy) in copies {
        c!(libc::lseek(file, 0, libc::SEEK_SET));
        let (r, w) = pipe()?;
        let copier = child(|| i32::from(copy(file, w) < 0))?;
        while held(r)? < 65536 {
            std::thread::sleep(Duration::from_millis(2));
        }
        // It waits, or is about to.
        std::thread::sleep(Duration::from_millis(50));
        let reader = child(|| i32::from(read(file, 1).is_err()))?;
        let status = ended(reader)?;
        c!(libc::kill(copier, libc::SIGKILL));
        wait(copier)?;
        if status.is_none() {
            wait(reader)?;
        }
        eq!((name, status), (name, Some(0)));
        close(r);
        close(w);
    }
    Ok(())
}

/// The status of a child that ends within ten seconds.
fn ended(pid: i32) -> Result<Option<i32>, String> {
    let start = Instant::now();
    let mut status = 0;
    while start.elapsed().as_secs() < 10 {
        if c!(libc::waitpid(pid, &mut status, libc::WNOHANG)) == pid {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(None)
}

/// Who reads from a pipe into which a `splice` from a socket without data is under way can be killed. On Linux it cannot.
fn killed_reader() -> Outcome {
    let (r, w) = pipe()?;
    let mut ends = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
    let copier = child(|| i32::from(splice(ends[0], null_mut(), w, null_mut(), 100, 0) < 0))?;
    // Nothing tells when they wait.
    std::thread::sleep(Duration::from_millis(200));
    let reader = child(|| i32::from(read(r, 1).is_err()))?;
    std::thread::sleep(Duration::from_millis(200));
    c!(libc::kill(reader, libc::SIGKILL));
    let status = ended(reader)?;
    c!(libc::kill(copier, libc::SIGKILL));
    wait(copier)?;
    if status.is_none() {
        wait(reader)?;
        if !text("/proc/version")?.contains("rideau") {
            return Err(format!("{SKIP}it waits for the other process"));
        }
    }
    eq!(status, Some(libc::SIGKILL));
    Ok(())
}

fn temp(content: &[u8]) -> Result<i32, String> {
    let fd = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600));
    write(fd, content)?;
    c!(libc::lseek(fd, 0, libc::SEEK_SET));
    Ok(fd)
}

fn file_to_pipe() -> Outcome {
    home()?;
    let file = temp(b"0123456789")?;
    let (r, w) = pipe()?;
    eq!(c!(splice(file, null_mut(), w, null_mut(), 4, 0)), 4);
    eq!(c!(libc::lseek(file, 0, libc::SEEK_CUR)), 4);
    let mut at = 8i64;
    eq!(c!(splice(file, &mut at, w, null_mut(), 100, 0)), 2);
    eq!(at, 10);
    eq!(c!(libc::lseek(file, 0, libc::SEEK_CUR)), 4);
    eq!(c!(splice(file, &mut at, w, null_mut(), 100, 0)), 0);
    eq!(read(r, 100)?, b"012389");
    let big = vec![7u8; 200_000];
    write(file, &big)?;
    c!(libc::lseek(file, 0, libc::SEEK_SET));
    eq!(c!(splice(file, null_mut(), w, null_mut(), 200_000, 0)), 65536);
    fails!(splice(file, null_mut(), w, null_mut(), 1, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    Ok(())
}

fn pipe_to_file() -> Outcome {
    home()?;
    let file = temp(b"..........")?;
    let (r, w) = pipe()?;
    write(w, b"abcdef")?;
    let mut at = 2i64;
    eq!(c!(splice(r, null_mut(), file, &mut at, 3, 0)), 3);
    eq!(at, 5);
    eq!(c!(splice(r, null_mut(), file, null_mut(), 100, 0)), 3);
    c!(libc::lseek(file, 0, libc::SEEK_SET));
    eq!(read(file, 100)?, b"defbc.....");
    Ok(())
}

fn pipe_to_pipe() -> Outcome {
    home()?;
    let (r1, w1) = pipe()?;
    let (r2, w2) = pipe()?;
    write(w1, b"abcdef")?;
    eq!(c!(splice(r1, null_mut(), w2, null_mut(), 4, 0)), 4);
    eq!(read(r2, 10)?, b"abcd");
    write(w1, b"gh")?;
    eq!(c!(splice(r1, null_mut(), w2, null_mut(), 100, 0)), 4);
    eq!(read(r2, 10)?, b"efgh");
    fails!(splice(r1, null_mut(), w1, null_mut(), 1, 0), libc::EINVAL);
    fails!(splice(r1, null_mut(), w2, null_mut(), 1, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    c!(libc::close(w1));
    eq!(c!(splice(r1, null_mut(), w2, null_mut(), 1, 0)), 0);
    Ok(())
}

fn errors() -> Outcome {
    home()?;
    let file = temp(b"abc")?;
    let (r, w) = pipe()?;
    let mut at = 0i64;
    fails!(splice(file, null_mut(), file, null_mut(), 1, 0), libc::EINVAL);
    fails!(splice(file, null_mut(), w, null_mut(), 1, 16), libc::EINVAL);
    eq!(c!(splice(99, null_mut(), 98, null_mut(), 0, 16)), 0);
    fails!(splice(99, null_mut(), w, null_mut(), 1, 0), libc::EBADF);
    fails!(splice(file, null_mut(), w, &mut at, 1, 0), libc::ESPIPE);
    fails!(splice(r, &mut at, file, null_mut(), 1, 0), libc::ESPIPE);
    fails!(splice(file, null_mut(), r, null_mut(), 1, 0), libc::EBADF);
    fails!(splice(w, null_mut(), file, null_mut(), 1, 0), libc::EBADF);
    at = -1;
    fails!(splice(file, &mut at, w, null_mut(), 1, 0), libc::EINVAL);
    let event = c!(libc::eventfd(1, 0));
    fails!(splice(event, null_mut(), w, null_mut(), 8, 0), libc::EINVAL);
    let dir = c!(libc::open(c".".as_ptr(), libc::O_RDONLY));
    fails!(splice(dir, null_mut(), w, null_mut(), 8, 0), libc::EINVAL);
    write(w, b"x")?;
    let append = c!(libc::open(c"f".as_ptr(), libc::O_WRONLY | libc::O_APPEND));
    fails!(splice(r, null_mut(), append, null_mut(), 1, 0), libc::EINVAL);
    c!(libc::signal(libc::SIGPIPE, libc::SIG_IGN));
    c!(libc::close(r));
    fails!(splice(file, null_mut(), w, null_mut(), 1, 0), libc::EPIPE);
    Ok(())
}

fn blocks() -> Outcome {
    home()?;
    let (r1, w1) = pipe()?;
    let (r2, w2) = pipe()?;
    let pid = child(|| {
        // SAFETY: live descriptors.
        unsafe {
            libc::close(w1);
            let mut total = 0;
            loop {
                match libc::splice(r1, null_mut(), w2, null_mut(), 1 << 20, 0) {
                    0 => return i32::from(total != 300_000),
                    n if n > 0 => total += n,
                    _ => return 2,
                }
            }
        }
    })?;
    c!(libc::close(w2));
    let reader = std::thread::spawn(move || {
        let mut total = 0;
        while let Ok(bytes) = read(r2, 4096) {
            if bytes.is_empty() {
                break;
            }
            total += bytes.len();
        }
        total
    });
    write(w1, &vec![1u8; 300_000])?;
    c!(libc::close(w1));
    eq!(exit_of(pid)?, 0);
    eq!(reader.join().map_err(|_| "join")?, 300_000);
    Ok(())
}

fn others() -> Outcome {
    home()?;
    let (r, w) = pipe()?;
    let null = c!(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR));
    write(w, b"abcdef")?;
    eq!(c!(splice(r, null_mut(), null, null_mut(), 3, 0)), 3);
    let mut pair = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    eq!(c!(splice(r, null_mut(), pair[0], null_mut(), 3, 0)), 3);
    eq!(c!(splice(pair[1], null_mut(), w, null_mut(), 100, 0)), 3);
    eq!(read(r, 10)?, b"def");
    Ok(())
}

fn tee() -> Outcome {
    home()?;
    let (r1, w1) = pipe()?;
    let (r2, w2) = pipe()?;
    write(w1, b"abcdef")?;
    eq!(c!(libc::tee(r1, w2, 4, 0)), 4);
    eq!(read(r2, 10)?, b"abcd");
    eq!(read(r1, 10)?, b"abcdef");
    fails!(libc::tee(r1, w2, 4, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    fails!(libc::tee(r1, w1, 4, 0), libc::EINVAL);
    fails!(libc::tee(r1, r2, 4, 0), libc::EBADF);
    c!(libc::close(w1));
    eq!(c!(libc::tee(r1, w2, 4, 0)), 0);
    Ok(())
}

fn tee_then_write() -> Outcome {
    home()?;
    let (r1, w1) = pipe()?;
    let (r2, w2) = pipe()?;
    write(w1, b"abc")?;
    eq!(c!(libc::tee(r1, w2, 100, 0)), 3);
    // Neither pipe's next bytes may show in the other.
    write(w1, b"one")?;
    write(w2, b"two")?;
    eq!(read(r1, 10)?, b"abcone");
    eq!(read(r2, 10)?, b"abctwo");
    write(w1, b"xyz")?;
    write(w2, b"uvw")?;
    eq!(read(r1, 10)?, b"xyz");
    eq!(read(r2, 10)?, b"uvw");
    Ok(())
}

fn vmsplice() -> Outcome {
    home()?;
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    let mut a = *b"abc";
    let mut b = *b"defg";
    let vec = [
        libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: 3 },
        libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 4 },
    ];
    eq!(c!(libc::vmsplice(w, vec.as_ptr(), 2, 0)), 7);
    let mut out = [0u8; 10];
    let into = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: 10 };
    eq!(c!(libc::vmsplice(r, &into, 1, 0)), 7);
    eq!(&out[..7], b"abcdefg");
    fails!(libc::vmsplice(w, vec.as_ptr(), 2, 16), libc::EINVAL);
    fails!(libc::vmsplice(c!(libc::eventfd(0, 0)), vec.as_ptr(), 2, 0), libc::EBADF);
    eq!(c!(libc::vmsplice(w, vec.as_ptr(), 0, 0)), 0);
    fails!(libc::vmsplice(r, &into, 1, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    ck!(read(r, 1).is_err());
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! Pipes, named pipes and unix sockets; POSIX message queues.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("pipe.order_and_end", order),
    ("pipe.blocks_when_empty", blocks_empty),
    ("pipe.blocks_when_full", blocks_full),
    ("pipe.atomic_writes", atomic),
    ("pipe.capacity", capacity),
    ("pipe.nonblock", nonblock),
    ("pipe.partial_then_signal", partial),
    ("pipe.flags_and_errors", flags),
    ("pipe.fifo", fifo),
    ("pipe.fifo_nonblock_open", fifo_nonblock),
    ("pipe.fionread", fionread),
    ("pipe.stress", stress),
    ("pipe.readv_writev", vectors),
    ("unix.pair", socket_pair),
    ("unix.connect_accept", connect_accept),
    ("unix.abstract_name", abstract_name),
    ("unix.errors", socket_errors),
    ("unix.shutdown", shutdown),
    ("unix.peer_credentials", peer),
    ("unix.pass_descriptor", pass_descriptor),
    ("unix.backlog", backlog),
    ("unix.dgram", dgram),
    ("unix.large_transfer", large),
    ("unix.epipe", epipe),
    ("unix.peek_and_options", peek),
    ("mq.closed_by_exec", mq_closed),
];

fn order() -> Outcome {
    let (r, w) = pipe()?;
    write(w, b"abc")?;
    write(w, b"def")?;
    eq!(read(r, 4)?, b"abcd");
    eq!(read(r, 100)?, b"ef");
    close(w);
    eq!(read(r, 1)?, b"");
    Ok(())
}

fn blocks_empty() -> Outcome {
    let (r, w) = pipe()?;
    let reader = std::process::id() as i32;
    let pid = child(|| i32::from(asleep(reader).is_err() || write(w, b"late") != Ok(4)))?;
    eq!(read(r, 10)?, b"late");
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn blocks_full() -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(r);
        i32::from(write(w, &vec![7; 200_000]) != Ok(200_000))
    })?;
    close(w);
    until("the writer sleeps", || state(pid) == 'S')?;
    let all = read_all(r)?;
    ck!(all.len() == 200_000 && all.iter().all(|b| *b == 7), "{} bytes", all.len());
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn atomic() -> Outcome {
    // Writes of up to PIPE_BUF bytes are never mixed.
    let (r, w) = pipe()?;
    let pids: Vec<i32> = (0..4u8)
        .map(|i| {
            child(move || {
                for _ in 0..50 {
                    let _ = write(w, &[b'a' + i; 3000]);
                }
                0
            })
        })
        .collect::<Result<_, _>>()?;
    close(w);
    let all = read_all(r)?;
    eq!(all.len(), 4 * 50 * 3000);
    ck!(all.chunks(3000).all(|c| c.iter().all(|b| *b == c[0])), "writes are mixed");
    for pid in pids {
        eq!(exit_of(pid)?, 0);
    }
    Ok(())
}

fn capacity() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    eq!(c!(libc::fcntl(w, libc::F_GETPIPE_SZ)), 65536);
    let mut room = 0;
    // SAFETY: a live buffer.
    while unsafe { libc::write(w, [0u8; 4096].as_ptr().cast(), 4096) } == 4096 {
        room += 4096;
    }
    eq!(room, 65536);
    eq!(c!(libc::fcntl(r, libc::F_SETPIPE_SZ, 100_000)), 131_072);
    eq!(write(w, &[0; 4096])?, 4096);
    fails!(libc::fcntl(r, libc::F_SETPIPE_SZ, 4096), libc::EBUSY);
    Ok(())
}

fn nonblock() -> Outcome {
    let (r, w) = pipe_flags(libc::O_NONBLOCK)?;
    fails!(libc::read(r, [0u8; 1].as_mut_ptr().cast(), 1), libc::EAGAIN);
    eq!(write(w, &vec![1; 100_000])?, 65536); // a part goes
    fails!(libc::write(w, [0u8; 100].as_ptr().cast(), 100), libc::EAGAIN);
    read(r, 4096)?;
    eq!(write(w, &[1; 4096])?, 4096);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn partial() -> Outcome {
    // A blocking write that a signal interrupts says how much it wrote.
    let (_r, w) = pipe()?;
    handle(libc::SIGALRM, nothing as *const () as usize, libc::SA_RESTART)?;
    let value = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 50_000 },
    };
    c!(libc::syscall(libc::SYS_setitimer, 0, &raw const value, 0usize));
    eq!(write(w, &vec![1; 100_000])?, 65536);
    Ok(())
}

fn flags() -> Outcome {
    let (r, w) = pipe_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)?;
    eq!(c!(libc::fcntl(r, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(c!(libc::fcntl(r, libc::F_GETFL)), libc::O_RDONLY | libc::O_NONBLOCK);
    eq!(c!(libc::fcntl(w, libc::F_GETFL)), libc::O_WRONLY | libc::O_NONBLOCK);
    fails!(libc::read(w, [0u8; 1].as_mut_ptr().cast(), 1), libc::EBADF);
    fails!(libc::write(r, [0u8; 1].as_ptr().cast(), 1), libc::EBADF);
    fails!(libc::lseek(r, 0, libc::SEEK_SET), libc::ESPIPE);
    fails!(libc::pread(r, [0u8; 1].as_mut_ptr().cast(), 1, 0), libc::ESPIPE);
    fails!(libc::pipe2([0i32; 2].as_mut_ptr(), 0x1), libc::EINVAL);
    fails!(libc::pipe2(8 as *mut i32, 0), libc::EFAULT);
    // SAFETY: all zero is a valid stat.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(r, &mut st));
    eq!(st.st_mode & libc::S_IFMT, libc::S_IFIFO);
    let link = std::fs::read_link(format!("/proc/self/fd/{r}")).map_err(|e| e.to_string())?;
    eq!(link.to_string_lossy(), format!("pipe:[{}]", st.st_ino));
    Ok(())
}

fn fifo() -> Outcome {
    let path = dir()? + "/fifo";
    c!(libc::mkfifo(cstr(&path).as_ptr(), 0o644));
    let pid = child(|| {
        let Ok(w) = open(&path, libc::O_WRONLY) else { return 1 };
        i32::from(write(w, b"through") != Ok(7))
    })?;
    let r = open(&path, libc::O_RDONLY)?;
    eq!(read_all(r)?, b"through");
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn fifo_nonblock() -> Outcome {
    let path = dir()? + "/fifo";
    let name = cstr(&path);
    c!(libc::mkfifo(name.as_ptr(), 0o644));
    fails!(libc::open(name.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK), libc::ENXIO);
    let r = open(&path, libc::O_RDONLY | libc::O_NONBLOCK)?;
    eq!(read(r, 1)?, b"");
    let w = open(&path, libc::O_WRONLY | libc::O_NONBLOCK)?;
    fails!(libc::read(r, [0u8; 1].as_mut_ptr().cast(), 1), libc::EAGAIN);
    write(w, b"x")?;
    eq!(read(r, 1)?, b"x");
    Ok(())
}

fn fionread() -> Outcome {
    let (r, w) = pipe()?;
    let mut count = -1i32;
    c!(libc::ioctl(r, libc::FIONREAD, &mut count));
    eq!(count, 0);
    write(w, b"12345")?;
    c!(libc::ioctl(r, libc::FIONREAD, &mut count));
    eq!(count, 5);
    Ok(())
}

fn stress() -> Outcome {
    // A ring of processes passes a token round.
    const N: usize = 6;
    let pipes: Vec<(i32, i32)> = (0..N).map(|_| pipe()).collect::<Result<_, _>>()?;
    let pids: Vec<i32> = (0..N)
        .map(|i| {
            let (from, to) = (pipes[i].0, pipes[(i + 1) % N].1);
            child(move || {
                for _ in 0..300 {
                    let Ok(token) = read(from, 4) else { return 1 };
                    if write(to, &token) != Ok(4) {
                        return 2;
                    }
                }
                0
            })
        })
        .collect::<Result<_, _>>()?;
    write(pipes[0].1, b"ring")?;
    for pid in pids {
        eq!(exit_of(pid)?, 0);
    }
    eq!(read(pipes[0].0, 10)?, b"ring");
    Ok(())
}

fn vectors() -> Outcome {
    let (r, w) = pipe()?;
    let out = [
        libc::iovec { iov_base: c"ab".as_ptr() as *mut _, iov_len: 2 },
        libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 },
        libc::iovec { iov_base: c"cde".as_ptr() as *mut _, iov_len: 3 },
    ];
    eq!(c!(libc::writev(w, out.as_ptr(), 3)), 5);
    let (mut one, mut two) = ([0u8; 4], [0u8; 4]);
    let to = [
        libc::iovec { iov_base: one.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: two.as_mut_ptr().cast(), iov_len: 4 },
    ];
    eq!(c!(libc::readv(r, to.as_ptr(), 2)), 5);
    eq!((&one, two[0]), (b"abcd", b'e'));
    fails!(libc::writev(w, out.as_ptr(), 1025), libc::EINVAL);
    let huge = libc::iovec { iov_base: core::ptr::null_mut(), iov_len: usize::MAX };
    fails!(libc::writev(w, &huge, 1), libc::EINVAL);
    Ok(())
}

fn pair(kind: i32) -> Result<(i32, i32), String> {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()));
    Ok((fds[0], fds[1]))
}

fn socket_pair() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    write(a, b"to b")?;
    write(b, b"to a")?;
    eq!(read(a, 9)?, b"to a");
    eq!(read(b, 9)?, b"to b");
    close(a);
    eq!(read(b, 9)?, b"");
    let (a, _b) = pair(libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)?;
    fails!(libc::read(a, [0u8; 1].as_mut_ptr().cast(), 1), libc::EAGAIN);
    eq!(c!(libc::fcntl(a, libc::F_GETFD)), libc::FD_CLOEXEC);
    Ok(())
}

fn address(path: &[u8]) -> (libc::sockaddr_un, u32) {
    // SAFETY: all zero is a valid address.
    let mut a: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    a.sun_family = libc::AF_UNIX as u16;
    for (to, from) in a.sun_path.iter_mut().zip(path) {
        *to = *from as i8;
    }
    (a, 2 + path.len() as u32)
}

fn socket(kind: i32) -> Result<i32, String> {
    Ok(c!(libc::socket(libc::AF_UNIX, kind, 0)))
}

fn bind(fd: i32, name: &[u8]) -> i32 {
    let (a, len) = address(name);
    // SAFETY: a live address.
    unsafe { libc::bind(fd, (&raw const a).cast(), len) }
}

fn connect(fd: i32, name: &[u8]) -> i32 {
    let (a, len) = address(name);
    // SAFETY: a live address.
    unsafe { libc::connect(fd, (&raw const a).cast(), len) }
}

fn accept(fd: i32) -> Result<i32, String> {
    Ok(c!(libc::accept4(fd, core::ptr::null_mut(), core::ptr::null_mut(), 0)))
}

fn connect_accept() -> Outcome {
    let path = dir()? + "/socket\0";
    let server = socket(libc::SOCK_STREAM)?;
    c!(bind(server, path.as_bytes()));
    c!(libc::listen(server, 5));
    // SAFETY: all zero is a valid stat.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::stat(path.as_ptr().cast(), &mut st));
    eq!(st.st_mode & libc::S_IFMT, libc::S_IFSOCK);
    let pid = child(|| {
        let Ok(s) = socket(libc::SOCK_STREAM) else { return 1 };
        if connect(s, path.as_bytes()) != 0 || write(s, b"hello") != Ok(5) {
            return 2;
        }
        i32::from(read(s, 9) != Ok(b"bye".to_vec()))
    })?;
    let conn = accept(server)?;
    eq!(read(conn, 9)?, b"hello");
    write(conn, b"bye")?;
    eq!(exit_of(pid)?, 0);
    let (mut a, mut len) = (address(b"").0, 110u32);
    c!(libc::getsockname(conn, (&raw mut a).cast(), &mut len));
    eq!(len as usize, 2 + path.len());
    len = 110;
    c!(libc::getpeername(conn, (&raw mut a).cast(), &mut len));
    eq!(len, 2); // the client has no name
    Ok(())
}

fn abstract_name() -> Outcome {
    let name = format!("\0selftest{}", std::process::id());
    let server = socket(libc::SOCK_STREAM)?;
    c!(bind(server, name.as_bytes()));
    c!(libc::listen(server, 1));
    let client = socket(libc::SOCK_STREAM)?;
    c!(connect(client, name.as_bytes()));
    let conn = accept(server)?;
    write(client, b"x")?;
    eq!(read(conn, 1)?, b"x");
    let again = socket(libc::SOCK_STREAM)?;
    fails!(bind(again, name.as_bytes()), libc::EADDRINUSE);
    close(server);
    fails!(connect(again, name.as_bytes()), libc::ECONNREFUSED);
    // Only the family: the kernel chooses.
    c!(bind(again, b""));
    let (mut a, mut len) = (address(b"").0, 110u32);
    c!(libc::getsockname(again, (&raw mut a).cast(), &mut len));
    eq!(len, 8);
    Ok(())
}

fn socket_errors() -> Outcome {
    fails!(libc::socket(libc::AF_UNIX, libc::SOCK_RDM, 0), libc::ESOCKTNOSUPPORT);
    fails!(libc::socket(libc::AF_UNIX, 77, 0), libc::EINVAL);
    fails!(libc::socket(200, libc::SOCK_STREAM, 0), libc::EAFNOSUPPORT);
    fails!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 99), libc::EPROTONOSUPPORT);
    let s = socket(libc::SOCK_STREAM)?;
    fails!(connect(s, b"/nosuch/socket\0"), libc::ENOENT);
    let path = dir()? + "/plain";
    std::fs::write(&path, "").map_err(|e| e.to_string())?;
    fails!(connect(s, (path.clone() + "\0").as_bytes()), libc::ECONNREFUSED);
    fails!(bind(s, (path + "\0").as_bytes()), libc::EADDRINUSE);
    fails!(libc::listen(s, 1), libc::EINVAL);
    fails!(libc::accept(s, core::ptr::null_mut(), core::ptr::null_mut()), libc::EINVAL);
    fails!(libc::send(s, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL), libc::ENOTCONN);
    fails!(libc::getpeername(s, core::ptr::null_mut(), core::ptr::null_mut()), libc::ENOTCONN);
    fails!(libc::listen(0, 1), libc::ENOTSOCK);
    fails!(libc::lseek(s, 0, 0), libc::ESPIPE);
    Ok(())
}

fn shutdown() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    write(a, b"last")?;
    c!(libc::shutdown(a, libc::SHUT_WR));
    fails!(libc::send(a, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL), libc::EPIPE);
    eq!(read(b, 9)?, b"last");
    eq!(read(b, 9)?, b"");
    write(b, b"other way")?;
    eq!(read(a, 9)?, b"other way");
    fails!(libc::shutdown(a, 9), libc::EINVAL);
    Ok(())
}

fn peer() -> Outcome {
    let (a, _b) = pair(libc::SOCK_STREAM)?;
    let mut cred = libc::ucred { pid: 0, uid: 9, gid: 9 };
    let mut len = size_of::<libc::ucred>() as u32;
    c!(libc::getsockopt(a, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut cred).cast(), &mut len));
    eq!((cred.pid as u32, cred.uid, cred.gid), (std::process::id(), 0, 0));
    Ok(())
}

/// Sends one descriptor with a byte.
fn send_fd(to: i32, fd: i32) -> Outcome {
    eq!(c!(send_fds(to, &[fd])), 1);
    Ok(())
}

/// Receives one descriptor.
fn receive_fd(from: i32) -> Result<i32, String> {
    let mut byte = [0u8; 4];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 4 };
    let mut control = [0u64; 3];
    // SAFETY: the buffers are live, and large enough for one descriptor.
    unsafe {
        let mut msg: libc::msghdr = core::mem::zeroed();
        msg.msg_iov = &mut vector;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = size_of_val(&control);
        eq!(c!(libc::recvmsg(from, &mut msg, libc::MSG_CMSG_CLOEXEC)), 1);
        let head = libc::CMSG_FIRSTHDR(&msg);
        ck!(!head.is_null(), "no control message");
        eq!(((*head).cmsg_level, (*head).cmsg_type), (libc::SOL_SOCKET, libc::SCM_RIGHTS));
        Ok(libc::CMSG_DATA(head).cast::<i32>().read_unaligned())
    }
}

fn pass_descriptor() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    let (r, w) = pipe()?;
    send_fd(a, w)?;
    close(w);
    let got = receive_fd(b)?;
    eq!(c!(libc::fcntl(got, libc::F_GETFD)), libc::FD_CLOEXEC);
    write(got, b"passed")?;
    close(got);
    eq!(read_all(r)?, b"passed");
    // One that nobody receives is closed with the socket.
    let (r, w) = pipe()?;
    send_fd(a, w)?;
    close(w);
    close(a);
    close(b);
    eq!(read(r, 1)?, b"");
    // A socket sent through itself is collected.
    for _ in 0..20 {
        let (a, b) = pair(libc::SOCK_STREAM)?;
        send_fd(a, b)?;
        close(a);
        close(b);
    }
    Ok(())
}

fn backlog() -> Outcome {
    let name = format!("\0backlog{}", std::process::id());
    let server = socket(libc::SOCK_STREAM)?;
    c!(bind(server, name.as_bytes()));
    c!(libc::listen(server, 1));
    let mut refused = false;
    for _ in 0..5 {
        let s = socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
        if connect(s, name.as_bytes()) != 0 {
            eq!(errno(), libc::EAGAIN);
            refused = true;
        }
    }
    ck!(refused, "the backlog has no end");
    Ok(())
}

fn dgram() -> Outcome {
    // SAFETY: numbers.
    let s = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0) };
    if s < 0 {
        return Err(format!("{SKIP}no datagram sockets"));
    }
    let (a, b) = pair(libc::SOCK_DGRAM)?;
    write(a, b"one")?;
    write(a, b"second")?;
    eq!(read(b, 2)?, b"on"); // the rest is cut
    eq!(read(b, 100)?, b"second");
    Ok(())
}

fn large() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    let pid = child(|| {
        close(b);
        for i in 0..64u8 {
            let data = vec![i; 65536];
            let mut done = 0;
            while done < data.len() {
                match write(a, &data[done..]) {
                    Ok(n) => done += n,
                    Err(_) => return 1,
                }
            }
        }
        0
    })?;
    close(a);
    let all = read_all(b)?;
    eq!(all.len(), 64 * 65536);
    ck!(all.chunks(65536).enumerate().all(|(i, c)| c.iter().all(|b| *b == i as u8)));
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn epipe() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    close(b);
    fails!(libc::send(a, b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL), libc::EPIPE);
    let pid = child(|| {
        let _ = handle(libc::SIGPIPE, libc::SIG_DFL, 0);
        let _ = write(a, b"x");
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGPIPE);
    // The peer closed with data unread: the reader is told once.
    let (a, b) = pair(libc::SOCK_STREAM)?;
    write(a, b"unread")?;
    close(b);
    fails!(libc::read(a, [0u8; 1].as_mut_ptr().cast(), 1), libc::ECONNRESET);
    Ok(())
}

fn peek() -> Outcome {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    write(a, b"look")?;
    let mut buf = [0u8; 8];
    eq!(c!(libc::recv(b, buf.as_mut_ptr().cast(), 8, libc::MSG_PEEK)), 4);
    eq!(c!(libc::recv(b, buf.as_mut_ptr().cast(), 8, libc::MSG_DONTWAIT)), 4);
    fails!(libc::recv(b, buf.as_mut_ptr().cast(), 8, libc::MSG_DONTWAIT), libc::EAGAIN);
    let (mut kind, mut len) = (0i32, 4u32);
    c!(libc::getsockopt(b, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &mut len));
    eq!(kind, libc::SOCK_STREAM);
    fails!(libc::getsockopt(b, libc::SOL_SOCKET, 9999, (&raw mut kind).cast(), &mut len), libc::ENOPROTOOPT);
    Ok(())
}

/// A queue's descriptor has the flag although nobody asked for it.
fn mq_closed() -> Outcome {
    let name = c"closed-by-exec";
    let flags = libc::O_CREAT | libc::O_RDWR;
    let fd = c!(libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o600, core::ptr::null::<u8>())) as i32;
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & libc::O_CLOEXEC, 0);
    c!(libc::syscall(libc::SYS_mq_unlink, name.as_ptr()));
    Ok(())
}

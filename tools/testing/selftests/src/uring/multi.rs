// SPDX-License-Identifier: GPL-2.0
//! io_uring: requests with several results, and buffers that the kernel chooses.

use super::*;
use crate::{c, ck, eq};

/// A poll that tells each time.
pub fn multipoll() -> Outcome {
    let ring = Ring::new(4, 0, 0)?;
    let (r, w) = pipe()?;
    let readable = i32::from(libc::POLLIN);
    let watch = Sqe { op_flags: libc::POLLIN as u32, len: 1, ..sqe(POLL_ADD, r, 1) };
    ring.put(watch);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    for _ in 0..3 {
        write(w, b"x")?;
        eq!(ring.next()?, (1, readable, MORE));
        // Bytes that stay are told of once.
        eq!(ring.one(sqe(NOP, -1, 2))?, 0);
        eq!(ring.ready(), 0);
        read(r, 1)?;
    }
    // What others wait for goes on.
    let pid = child(|| i32::from(write(w, b"y") != Ok(1)))?;
    eq!(ring.next()?, (1, readable, MORE));
    eq!(exit_of(pid)?, 0);
    // Taken back, it has its last result.
    let found = ring.all(&[Sqe { addr: 1, ..sqe(POLL_REMOVE, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    // What is there at first is told at once.
    ring.put(watch);
    eq!(ring.enter(1, 1)?, 1);
    eq!(ring.take_all(), Some((1, readable, MORE)));
    close(w);
    let (data, value, flags) = ring.next()?;
    eq!((data, flags), (1, MORE));
    ck!(value & i32::from(libc::POLLHUP) != 0, "events {value:#x}");
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    eq!(ring.one(Sqe { len: 0x100, ..watch })?, -libc::EINVAL);
    // One that waits does not keep the ring from being closed.
    let (other, _w) = pipe()?;
    ring.put(Sqe { fd: other, ..watch });
    eq!(ring.enter(1, 0)?, 1);
    Ok(())
}

/// A socket that listens, and how to connect to it.
pub fn listener() -> Result<(i32, impl Fn() -> Result<i32, String>), String> {
    let server = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    // SAFETY: a structure of plain numbers.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let path = dir()? + "/s";
    path.bytes().zip(&mut address.sun_path).for_each(|(from, to)| *to = from as libc::c_char);
    let size = size_of::<libc::sockaddr_un>() as u32;
    c!(libc::bind(server, (&raw const address).cast(), size));
    c!(libc::listen(server, 8));
    let connect = move || -> Result<i32, String> {
        let client = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
        c!(libc::connect(client, (&raw const address).cast(), size));
        Ok(client)
    };
    Ok((server, connect))
}

pub fn multiaccept() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (server, connect) = listener()?;
    let accept = Sqe { ioprio: 1, op_flags: libc::SOCK_CLOEXEC as u32, ..sqe(ACCEPT, server, 1) };
    let early = connect()?;
    ring.put(accept);
    eq!(ring.enter(1, 1)?, 1);
    let (data, peer, flags) = ring.take_all().ok_or("no connection")?;
    eq!((data, flags), (1, MORE));
    eq!(c!(libc::fcntl(peer, libc::F_GETFD)), libc::FD_CLOEXEC);
    write(early, b"early")?;
    eq!(read(peer, 8)?, b"early");
    for _ in 0..3 {
        let clients = [connect()?, connect()?];
        let mut peers = vec![];
        while peers.len() < 2 {
            let (data, peer, flags) = ring.next()?;
            eq!((data, flags), (1, MORE));
            peers.push(peer);
        }
        for (client, peer) in clients.into_iter().zip(peers) {
            write(client, b"hi")?;
            eq!(read(peer, 8)?, b"hi");
            close(client);
            close(peer);
        }
    }
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    let file = open("/dev/null", libc::O_RDONLY)?;
    eq!(ring.one(Sqe { fd: file, ..accept })?, -libc::ENOTSOCK);
    eq!(ring.one(Sqe { ioprio: 0x100, ..accept })?, -libc::EINVAL);
    Ok(())
}

/// Buffers in groups.
pub fn provided() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let path = dir()? + "/f";
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let mut memory = vec![0u8; 4 * 64];
    let at = memory.as_mut_ptr() as u64;
    let read = Sqe { flags: SELECT, buf_index: 7, ..sqe(READ, fd, 1) };
    // No such group; an operation without buffers.
    eq!(ring.one(read)?, -libc::ENOBUFS);
    eq!(ring.one(Sqe { flags: SELECT, ..sqe(NOP, -1, 1) })?, -libc::EOPNOTSUPP);
    // Four of 64 bytes, with numbers from 10 on.
    let give = Sqe { addr: at, len: 64, off: 10, buf_index: 7, ..sqe(PROVIDE, 4, 2) };
    eq!(ring.one_flags(give)?, (0, 0));
    // The first come first; a length of 0 is the buffer's.
    eq!(ring.one_flags(Sqe { off: 2, len: 5, ..read })?, (5, BUFFER | 10 << 16));
    eq!(&memory[..6], b"23456\0");
    eq!(ring.one_flags(read)?, (10, BUFFER | 11 << 16));
    eq!(&memory[64..74], b"0123456789");
    let more = Sqe { fd: 1, off: 10, len: 64, ..give };
    eq!(ring.one(more)?, 0);
    eq!(ring.one_flags(Sqe { len: 100, ..read })?, (10, BUFFER | 12 << 16));
    // Taken back: 13, and 10 that was given again.
    let take = Sqe { buf_index: 7, ..sqe(REMOVE, 9, 3) };
    eq!(ring.one(take)?, 2);
    eq!(ring.one(take)?, 0);
    eq!(ring.one(read)?, -libc::ENOBUFS);
    eq!(ring.one(Sqe { buf_index: 8, ..take })?, -libc::ENOENT);
    eq!(ring.one(Sqe { fd: 0, ..take })?, -libc::EINVAL);
    eq!(ring.one(Sqe { addr: 1, ..take })?, -libc::EINVAL);
    eq!(ring.one(Sqe { fd: 0, ..give })?, -libc::E2BIG);
    eq!(ring.one(Sqe { off: 1 << 16, ..give })?, -libc::E2BIG);
    eq!(ring.one(Sqe { addr: 1 << 63, ..give })?, -libc::EFAULT);
    eq!(ring.one(Sqe { op_flags: 1, ..give })?, -libc::EINVAL);
    // The buffer is chosen when there are bytes, not when the request is sent.
    let (r, w) = pipe()?;
    eq!(ring.one(give)?, 0);
    ring.put(Sqe { fd: r, ..read });
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.one_flags(Sqe { len: 3, user_data: 5, ..read })?, (3, BUFFER | 10 << 16));
    write(w, b"later")?;
    eq!(ring.next()?, (1, 5, BUFFER | 11 << 16));
    eq!(&memory[64..69], b"later");
    Ok(())
}

/// A ring of buffers as the program has it: 8 entries of a page that is theirs.
struct Buffers {
    /// Bytes of each.
    size: usize,
    entries: *mut [u64; 2],
    memory: Vec<u8>,
    tail: u16,
}

impl Buffers {
    fn new(ring: &Ring, group: u16) -> Result<Self, String> {
        Self::of_size(ring, group, 32)
    }

    fn of_size(ring: &Ring, group: u16, size: usize) -> Result<Self, String> {
        let entries = c!(libc::mmap(
            null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0
        ));
        let registration = [entries as u64, 8 | u64::from(group) << 32, 0, 0, 0];
        register(ring, PBUF_RING, registration.as_ptr() as usize, 1)?;
        Ok(Self { entries: entries.cast(), memory: vec![0; 8 * size], tail: 0, size })
    }

    /// Gives buffer `bid`.
    fn give(&mut self, bid: u16) {
        let at = self.memory.as_mut_ptr() as u64 + u64::from(bid) * self.size as u64;
        // SAFETY: within the page; the tail is the last field of the first entry, and stays as it is until it is moved.
        unsafe {
            let entry = self.entries.add(usize::from(self.tail % 8)).cast::<u8>();
            entry.cast::<u64>().write_volatile(at);
            entry.add(8).cast::<u32>().write_volatile(self.size as u32);
            entry.add(12).cast::<u16>().write_volatile(bid);
            self.tail = self.tail.wrapping_add(1);
            std::sync::atomic::fence(Release);
            self.entries.cast::<u8>().add(14).cast::<u16>().write_volatile(self.tail);
        }
    }

    fn of(&self, bid: u16) -> &[u8] {
        &self.memory[usize::from(bid) * self.size..][..self.size]
    }
}

pub fn buffer_ring() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (r, w) = pipe()?;
    let mut buffers = Buffers::new(&ring, 3)?;
    let read = Sqe { flags: SELECT, buf_index: 3, ..sqe(READ, r, 1) };
    write(w, b"one")?;
    eq!(ring.one(read)?, -libc::ENOBUFS);
    buffers.give(5);
    eq!(ring.one_flags(read)?, (3, BUFFER | 5 << 16));
    eq!(&buffers.of(5)[..3], b"one");
    // Round and round.
    for turn in 0..40u16 {
        buffers.give(turn % 8);
        write(w, &turn.to_le_bytes())?;
        eq!(ring.one_flags(read)?, (2, BUFFER | u32::from(turn % 8) << 16));
        eq!(&buffers.of(turn % 8)[..2], &turn.to_le_bytes());
    }
    // It is no list, and its number is taken.
    eq!(ring.one(Sqe { addr: 4096, len: 8, buf_index: 3, ..sqe(PROVIDE, 1, 2) })?, -libc::EINVAL);
    eq!(ring.one(Sqe { buf_index: 3, ..sqe(REMOVE, 1, 2) })?, -libc::EINVAL);
    let again = [buffers.entries as u64, 8 | 3 << 32, 0, 0, 0];
    let call = |what: u32, with: &[u64; 5], count: u32| {
        // SAFETY: the kernel reads the five words.
        let result = unsafe { syscall(SYS_io_uring_register, ring.fd, what, with.as_ptr(), count) };
        if result < 0 { errno() } else { 0 }
    };
    eq!(call(PBUF_RING, &again, 1), libc::EEXIST);
    eq!(call(PBUF_RING, &again, 2), libc::EINVAL);
    eq!(call(PBUF_RING, &[again[0], 7 | 4 << 32, 0, 0, 0], 1), libc::EINVAL);
    eq!(call(PBUF_RING, &[again[0] + 8, 8 | 4 << 32, 0, 0, 0], 1), libc::EINVAL);
    eq!(call(PBUF_RING, &[0, 8 | 4 << 32, 0, 0, 0], 1), libc::EFAULT);
    eq!(call(PBUF_RING, &[again[0], 8 | 4 << 32, 1, 0, 0], 1), libc::EINVAL);
    eq!(call(NO_PBUF_RING, &[0, 4 << 32, 0, 0, 0], 1), libc::ENOENT);
    eq!(call(NO_PBUF_RING, &[0, 3 << 32, 0, 0, 0], 1), 0);
    eq!(call(NO_PBUF_RING, &[0, 3 << 32, 0, 0, 0], 1), libc::ENOENT);
    eq!(ring.one(read)?, -libc::ENOBUFS);
    Ok(())
}

/// `recv` that goes on, into buffers of a ring.
pub fn multireceive() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let mut pair = [0i32; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    let mut buffers = Buffers::new(&ring, 1)?;
    (0..4).for_each(|bid| buffers.give(bid));
    let receive = Sqe { flags: SELECT, ioprio: 2, buf_index: 1, ..sqe(RECV, pair[0], 1) };
    ring.put(receive);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    for bid in 0..3u16 {
        write(pair[1], format!("message {bid}").as_bytes())?;
        eq!(ring.next()?, (1, 9, BUFFER | MORE | u32::from(bid) << 16));
        eq!(&buffers.of(bid)[..9], format!("message {bid}").as_bytes());
    }
    // No buffer is left after the next: that ends it.
    write(pair[1], &[b'x'; 40])?;
    eq!(ring.next()?, (1, 32, BUFFER | MORE | 3 << 16));
    eq!(ring.next()?, (1, -libc::ENOBUFS, 0));
    eq!(ring.ready(), 0);
    // One result, with a buffer as well.
    buffers.give(6);
    eq!(ring.one_flags(Sqe { ioprio: 0, ..receive })?, (8, BUFFER | 6 << 16));
    // The other end is closed.
    buffers.give(7);
    ring.put(receive);
    eq!(ring.enter(1, 0)?, 1);
    close(pair[1]);
    eq!(ring.next()?, (1, 0, 0));
    eq!(ring.one(Sqe { flags: 0, ..receive })?, -libc::EINVAL);
    Ok(())
}

/// `recvmsg` that goes on: each message with its sender's address and control messages in one buffer.
pub fn multimessage() -> Outcome {
    let ring = Ring::new(8, 0, 0)?;
    let (receiver, sender) = (datagram("r")?, datagram("s")?);
    let mut buffers = Buffers::of_size(&ring, 1, 256)?;
    (0..4).for_each(|bid| buffers.give(bid));
    // SAFETY: a structure of plain numbers.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_namelen, header.msg_controllen) = (128, 64);
    let receive =
        Sqe { flags: SELECT, ioprio: 2, buf_index: 1, addr: &raw const header as u64, ..sqe(RECVMSG, receiver.0, 1) };
    ring.put(receive);
    eq!(ring.enter(1, 0)?, 1);
    eq!(ring.ready(), 0);
    let before = 16 + 128 + 64;
    let words = |bytes: &[u8]| -> [u32; 4] {
        std::array::from_fn(|n| u32::from_ne_bytes(std::array::from_fn(|i| bytes[n * 4 + i])))
    };
    for bid in 0..2u16 {
        let text = format!("message {bid}");
        c!(libc::sendto(sender.0, text.as_ptr().cast(), 9, 0, (&raw const receiver.1).cast(), receiver.2));
        eq!(ring.next()?, (1, before + 9, BUFFER | MORE | u32::from(bid) << 16));
        let buffer = buffers.of(bid);
        eq!(words(buffer), [sender.2, 0, 9, 0]);
        let path = sender.1.sun_path.map(|byte| byte as u8);
        eq!(&buffer[18..16 + sender.2 as usize], &path[..sender.2 as usize - 2]);
        eq!(&buffer[before as usize..][..9], text.as_bytes());
    }
    // More than fits is cut, and said.
    let long = [b'x'; 100];
    c!(libc::sendto(sender.0, long.as_ptr().cast(), 100, 0, (&raw const receiver.1).cast(), receiver.2));
    eq!(ring.next()?, (1, 256, BUFFER | MORE | 2 << 16));
    eq!(words(buffers.of(2)), [sender.2, 0, 48, libc::MSG_TRUNC as u32]);
    let found = ring.all(&[Sqe { addr: 1, ..sqe(CANCEL, -1, 9) }])?;
    eq!(found, [(1, -libc::ECANCELED), (9, 0)]);
    // No room for what comes first; no buffers at all; several pieces.
    header.msg_controllen = 200;
    c!(libc::sendto(sender.0, long.as_ptr().cast(), 9, 0, (&raw const receiver.1).cast(), receiver.2));
    eq!(ring.one(receive)?, -libc::EFAULT);
    eq!(ring.one(Sqe { flags: 0, ..receive })?, -libc::EINVAL);
    header.msg_iovlen = 2;
    eq!(ring.one(receive)?, -libc::EINVAL);
    Ok(())
}

/// A datagram socket of a name: itself, its address, and the bytes of that.
fn datagram(name: &str) -> Result<(i32, libc::sockaddr_un, u32), String> {
    let socket = c!(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
    // SAFETY: a structure of plain numbers.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let path = format!("{}/{name}", dir()?);
    path.bytes().zip(&mut address.sun_path).for_each(|(from, to)| *to = from as libc::c_char);
    let size = 2 + path.len() as u32 + 1;
    c!(libc::bind(socket, (&raw const address).cast(), size));
    Ok((socket, address, size))
}

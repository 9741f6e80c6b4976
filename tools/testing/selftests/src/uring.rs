// SPDX-License-Identifier: GPL-2.0
//! io_uring, by its rings in memory.

mod basic;
mod multi;
mod order;
mod sqpoll;
mod waits;

use crate::util::*;
use crate::{Test, c, ck, eq};
use libc::{SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, syscall};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering::*};

pub const TESTS: &[Test] = &[
    ("uring.nop", basic::nop),
    ("uring.bad", basic::bad),
    ("uring.polled", basic::polled),
    ("uring.files", basic::files),
    ("uring.vectors", basic::vectors),
    ("uring.poll", waits::poll),
    ("uring.pipe", waits::pipe_waits),
    ("uring.timeout", waits::timeout),
    ("uring.links", waits::links),
    ("uring.cancel", waits::cancel),
    ("uring.overflow", waits::overflow),
    ("uring.registered", basic::registered),
    ("uring.registered_and_rights", basic::registered_and_rights),
    ("uring.sockets", basic::sockets),
    ("uring.eventfd", basic::eventfd),
    ("uring.fsync", basic::fsync),
    ("uring.probe", basic::probe),
    ("uring.counts", waits::counts),
    ("uring.issuer", waits::issuer),
    ("uring.shared", waits::shared),
    ("uring.deferred", waits::deferred),
    ("uring.circles", waits::circles),
    ("uring.signal", waits::signal),
    ("uring.drain", order::drain),
    ("uring.workers", order::workers),
    ("uring.beside", order::beside),
    ("uring.multipoll", multi::multipoll),
    ("uring.multiaccept", multi::multiaccept),
    ("uring.provided", multi::provided),
    ("uring.bufring", multi::buffer_ring),
    ("uring.multirecv", multi::multireceive),
    ("uring.multirecvmsg", multi::multimessage),
    ("uring.sqpoll_basic", sqpoll::basic),
    ("uring.sqpoll_wakeup", sqpoll::wakeup),
    ("uring.sqpoll_affinity", sqpoll::affinity),
    ("uring.sqpoll_disabled", sqpoll::disabled),
    ("uring.sqpoll_waits", sqpoll::waits),
    ("uring.sqpoll_links", sqpoll::links),
    ("uring.sqpoll_room", sqpoll::room),
    ("uring.sqpoll_forked", sqpoll::forked),
    ("uring.sqpoll_stopped", sqpoll::stopped),
    ("uring.sqpoll_threads", sqpoll::threads),
    ("uring.sqpoll_exec", sqpoll::exec),
    ("uring.sqpoll_shared", sqpoll::shared),
    ("uring.sqpoll_joins", sqpoll::joins),
    ("uring.sqpoll_bad", sqpoll::bad),
];

const NOP: u8 = 0;
const READV: u8 = 1;
const FSYNC: u8 = 3;
const READ_FIXED: u8 = 4;
const WRITE_FIXED: u8 = 5;
const POLL_ADD: u8 = 6;
const POLL_REMOVE: u8 = 7;
const RECVMSG: u8 = 10;
const TIMEOUT: u8 = 11;
const TIMEOUT_REMOVE: u8 = 12;
const ACCEPT: u8 = 13;
const CANCEL: u8 = 14;
const LINK_TIMEOUT: u8 = 15;
const OPENAT: u8 = 18;
const CLOSE: u8 = 19;
const STATX: u8 = 21;
const READ: u8 = 22;
const WRITE: u8 = 23;
const SEND: u8 = 26;
const RECV: u8 = 27;
const PROVIDE: u8 = 31;
const REMOVE: u8 = 32;
const SELECT: u8 = 32;
/// In a result's flags: a buffer, more results.
const BUFFER: u32 = 1;
const MORE: u32 = 2;
const PBUF_RING: u32 = 22;
const NO_PBUF_RING: u32 = 23;
const LINK: u8 = 4;
const FIXED_FILE: u8 = 1;

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    last: u32,
    rest: [u64; 2],
}

fn sqe(opcode: u8, fd: i32, user_data: u64) -> Sqe {
    Sqe { opcode, fd, user_data, ..Sqe::default() }
}

/// A ring as a program has it.
struct Ring {
    fd: i32,
    rings: *mut u8,
    /// Bytes of `rings`.
    size: usize,
    sqes: *mut Sqe,
    params: [u32; 30],
}

impl Ring {
    fn new(entries: u32, flags: u32, cq: u32) -> Result<Self, String> {
        let mut params = [0u32; 30];
        params[1] = cq;
        params[2] = flags;
        Self::with(entries, params)
    }

    /// With all of `struct io_uring_params`.
    fn with(entries: u32, mut params: [u32; 30]) -> Result<Self, String> {
        let fd = c!(syscall(SYS_io_uring_setup, entries, params.as_mut_ptr())) as i32;
        ck!(params[5] & 1 != 0, "features {:#x}", params[5]);
        let size = (params[16] + params[0] * 4).max(params[25] + params[1] * 16) as usize;
        let map = |len: usize, at: i64| -> Result<*mut u8, String> {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            Ok(c!(libc::mmap(null_mut(), len, prot, libc::MAP_SHARED, fd, at)).cast())
        };
        let rings = map(size, 0)?;
        let sqes = map(params[0] as usize * 64, 0x1000_0000)?.cast();
        Ok(Self { fd, rings, size, sqes, params })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the offsets are the kernel's, within the mapping.
        unsafe { &*self.rings.add(offset as usize).cast() }
    }

    fn put(&self, sqe: Sqe) {
        let tail = self.word(self.params[11]);
        let at = tail.load(Relaxed);
        let index = at & (self.params[0] - 1);
        // SAFETY: within the mapping.
        unsafe { self.sqes.add(index as usize).write(sqe) };
        self.word(self.params[16] + index * 4).store(index, Relaxed);
        tail.store(at.wrapping_add(1), Release);
    }

    fn enter(&self, count: u32, wait: u32) -> Result<i64, String> {
        Ok(c!(syscall(SYS_io_uring_enter, self.fd, count, wait, u32::from(wait != 0), 0usize, 0usize)))
    }

    fn ready(&self) -> u32 {
        self.word(self.params[21]).load(Acquire).wrapping_sub(self.word(self.params[20]).load(Relaxed))
    }

    /// The next result: what it is for, and its value.
    fn take(&self) -> Option<(u64, i32)> {
        self.take_all().map(|(data, value, _)| (data, value))
    }

    /// The next result: what it is for, its value and its flags.
    fn take_all(&self) -> Option<(u64, i32, u32)> {
        if self.ready() == 0 {
            return None;
        }
        let head = self.word(self.params[20]);
        let at = head.load(Relaxed);
        let offset = self.params[25] + (at & (self.params[1] - 1)) * 16;
        // SAFETY: within the mapping; the kernel wrote it before it moved the tail.
        let cqe = unsafe { self.rings.add(offset as usize).cast::<[u64; 2]>().read() };
        head.store(at.wrapping_add(1), Release);
        Some((cqe[0], cqe[1] as u32 as i32, (cqe[1] >> 32) as u32))
    }

    /// Submits one and waits for its result: value and flags.
    fn one_flags(&self, sqe: Sqe) -> Result<(i32, u32), String> {
        self.put(sqe);
        eq!(self.enter(1, 1)?, 1);
        let (data, value, flags) = self.take_all().ok_or("no result")?;
        eq!(data, sqe.user_data);
        Ok((value, flags))
    }

    /// Waits for a result: what it is for, its value and its flags.
    fn next(&self) -> Result<(u64, i32, u32), String> {
        eq!(self.enter(0, 1)?, 0);
        self.take_all().ok_or("no result".to_string())
    }

    /// Submits one and waits for its result.
    fn one(&self, sqe: Sqe) -> Result<i32, String> {
        self.put(sqe);
        eq!(self.enter(1, 1)?, 1);
        let (data, value) = self.take().ok_or("no result")?;
        eq!(data, sqe.user_data);
        Ok(value)
    }

    /// Submits some and waits for as many results, sorted by what they are for.
    fn all(&self, list: &[Sqe]) -> Result<Vec<(u64, i32)>, String> {
        list.iter().for_each(|sqe| self.put(*sqe));
        let count = list.len() as u32;
        eq!(self.enter(count, count)?, i64::from(count));
        let mut found: Vec<_> = std::iter::from_fn(|| self.take()).collect();
        found.sort_by_key(|cqe| cqe.0);
        Ok(found)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        close(self.fd);
        // What is mapped keeps it open.
        // SAFETY: both are its own mappings.
        unsafe {
            libc::munmap(self.rings.cast(), self.size);
            libc::munmap(self.sqes.cast(), self.params[0] as usize * 64);
        }
    }
}

fn register(ring: &Ring, what: u32, arg: usize, count: u32) -> Result<i64, String> {
    Ok(c!(syscall(SYS_io_uring_register, ring.fd, what, arg, count)))
}

// SPDX-License-Identifier: GPL-2.0
//! Random requests to `io_uring`: a ring whose memory is mapped, filled by hand and handed in.

use crate::args::{self, World};
use crate::calls::Arg;
use crate::rng::Rng;

/// Entries of the submission ring.
const ENTRIES: u64 = 8;
/// Where the queues and the entries are in the descriptor (`IORING_OFF_*`).
const OFF_RING: i64 = 0;
const OFF_ENTRIES: i64 = 0x1000_0000;
const ENTRY: u64 = 64;
/// Operations tried (one more than 6.1 has).
const OPERATIONS: u64 = 50;

/// Where a ring is in memory.
#[derive(Clone, Copy)]
pub struct Ring {
    fd: u64,
    entries: u64,
    tail: u64,
    array: u64,
}

/// A new ring, mapped; `None` where there is none.
pub fn set_up() -> Option<Ring> {
    let mut params = [0u32; 30];
    // SAFETY: the structure has 120 bytes; new mappings.
    unsafe {
        let fd = libc::syscall(libc::SYS_io_uring_setup, ENTRIES, params.as_mut_ptr());
        if fd < 0 {
            return None;
        }
        let map = |len: u64, at: i64| {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(core::ptr::null_mut(), len as usize, prot, libc::MAP_SHARED, fd as i32, at)
        };
        // sq_off: head, tail, mask, entries, flags, dropped, array.
        let (tail, array) = (u64::from(params[11]), u64::from(params[16]));
        let (ring, entries) = (map(array + ENTRIES * 4, OFF_RING), map(ENTRIES * ENTRY, OFF_ENTRIES));
        if ring == libc::MAP_FAILED || entries == libc::MAP_FAILED {
            return None;
        }
        Some(Ring { fd: fd as u64, entries: entries as u64, tail: ring as u64 + tail, array: ring as u64 + array })
    }
}

/// Fills up to three entries with anything and gives the arguments of the call that hands them in.
pub fn fill(ring: &Ring, rng: &mut Rng, w: &World) -> [u64; 6] {
    const KINDS: [Arg; 9] =
        [Arg::Buf, Arg::Iov, Arg::Msg, Arg::Path, Arg::Addr, Arg::Time, Arg::Word, Arg::How, Arg::Event];
    let count = 1 + rng.below(3);
    // SAFETY: the ring stays mapped: nothing reaches it but by chance, and then this process dies.
    unsafe {
        let tail = (ring.tail as *const u32).read_volatile();
        for i in 0..count {
            let at = u64::from(tail.wrapping_add(i as u32)) % ENTRIES;
            let flags = if rng.one_in(3) { 1u64 << rng.below(8) } else { 0 };
            let kind = rng.pick(&KINDS);
            let address = args::make(rng, w, kind);
            let words = [
                rng.below(OPERATIONS) | flags << 8 | (args::fd(rng) & 0xffff_ffff) << 32,
                args::make(rng, w, Arg::Offset),
                address,
                (args::length(rng) & 0xffff_ffff) | args::make(rng, w, Arg::Flags) << 32,
                rng.next(),
                if rng.one_in(4) { rng.next() & 0x3_0003_0003 } else { 0 },
                0,
                0,
            ];
            for (j, word) in words.iter().enumerate() {
                ((ring.entries + at * ENTRY + j as u64 * 8) as *mut u64).write_volatile(*word);
            }
            ((ring.array + at * 4) as *mut u32).write_volatile(at as u32);
        }
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        (ring.tail as *mut u32).write_volatile(tail.wrapping_add(count as u32));
    }
    [ring.fd, count, rng.below(3), rng.pick(&[0u64, 1, 1, 3]), 0, 0]
}

// SPDX-License-Identifier: GPL-2.0
//! What goes into the arguments. Structures are written into the arena just before the call; now and then a pointer is bad.
//!
//! The arena: `SIZE` bytes to read and write, a page without access behind them, then a page that can only be read.

use crate::calls::Arg;
use crate::rng::Rng;
use crate::tables::{IOCTLS, NAMES, NUMBERS, PATHS, QUEUES, TYPES};

/// Bytes of the arena that can be written.
pub const SIZE: u64 = 256 << 10;
const PAGE: u64 = 4096;
/// Where `Mem` arguments point: memory that may be unmapped, apart from the arena.
pub const PLAY: u64 = 4 << 20;

/// What the generator knows of its process.
#[derive(Clone, Copy)]
pub struct World {
    /// Start of the arena.
    pub arena: u64,
    /// Start of the memory to play with (`PLAY` bytes).
    pub play: u64,
    /// This process.
    pub pid: u64,
    /// A child that does nothing.
    pub child: u64,
    /// Runs with all rights (in a tree of its own).
    pub root: bool,
    /// A ring of `io_uring`, if there is one.
    pub ring: Option<crate::ring::Ring>,
}

/// Where contexts of asynchronous I/O are kept in the arena; a file handle follows.
const AIO: u64 = 2048;

/// Fills the arena with numbers that mean something somewhere.
pub fn fill(rng: &mut Rng, w: &World) {
    let words = SIZE / 8;
    for _ in 0..64 {
        let value = any(rng, w);
        let at = w.arena + rng.below(words) * 8;
        // SAFETY: within the arena.
        unsafe { (at as *mut u64).write_volatile(value) };
    }
}

/// A place in the arena for `size` bytes, mostly aligned.
fn room(rng: &mut Rng, w: &World, size: u64) -> u64 {
    let at = match rng.below(16) {
        // Up to the very end.
        0 => SIZE - size,
        // The end is just too near.
        1 => SIZE - rng.below(size.max(2)),
        2 => rng.below(SIZE - size),
        // Across pages.
        3 => PAGE * (1 + rng.below(SIZE / PAGE - 2)) - rng.below(size.max(2)),
        _ => rng.below((SIZE - size) / 64) * 64,
    };
    w.arena + at
}

/// A pointer that is wrong in one of many ways.
pub fn bad(rng: &mut Rng, w: &World) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => 1,
        2 => w.arena + SIZE,        // no access
        3 => w.arena + SIZE + PAGE, // only to be read
        4 => w.arena + SIZE - 1,
        5 => w.arena + SIZE + 2 * PAGE - 4,
        6 => 0xffff_8000_0000_0000,
        7 => 0xffff_ffff_8100_0000,
        8 => 0x8000_0000_0000_0000,
        9 => 0x7fff_ffff_f000 - rng.below(16),
        10 => u64::MAX - rng.below(4096),
        _ => rng.next(),
    }
}

/// Any number.
pub fn any(rng: &mut Rng, w: &World) -> u64 {
    match rng.below(8) {
        0 => rng.next(),
        1 => rng.next() & 0xffff,
        2 => room(rng, w, 8),
        3 => bad(rng, w),
        4 => rng.below(64),
        5 => 1u64 << rng.below(64),
        _ => rng.pick(NUMBERS),
    }
}

/// [`put`] of words that are made first.
macro_rules! put {
    ($rng:expr, $w:expr, $words:expr) => {{
        let words = $words;
        put($rng, $w, &words)
    }};
}

/// Writes words at a place and gives its address. Places at the arena's end may be too small: then nothing is written.
fn put(rng: &mut Rng, w: &World, words: &[u64]) -> u64 {
    let at = room(rng, w, words.len() as u64 * 8);
    put_at(w, at, words);
    at
}

fn put_at(w: &World, at: u64, words: &[u64]) {
    if at < w.arena || at + words.len() as u64 * 8 > w.arena + SIZE {
        return;
    }
    for (i, word) in words.iter().enumerate() {
        // SAFETY: within the arena, as just checked.
        unsafe { ((at + i as u64 * 8) as *mut u64).write_unaligned(*word) };
    }
}

fn text(rng: &mut Rng, w: &World, of: &[&[u8]]) -> u64 {
    let bytes = rng.pick(of);
    let at = room(rng, w, bytes.len() as u64);
    if at + bytes.len() as u64 <= w.arena + SIZE {
        // SAFETY: within the arena, as just checked.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
    }
    at
}

pub(crate) fn length(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0 => 0,
        1 => rng.pick(NUMBERS),
        2 => rng.below(65536),
        3 => 4096,
        _ => rng.below(300),
    }
}

pub(crate) fn fd(rng: &mut Rng) -> u64 {
    match rng.below(24) {
        0 => rng.pick(NUMBERS),
        1 => rng.below(300),
        _ => 3 + rng.below(42),
    }
}

/// Seconds and nanoseconds, mostly under a millisecond.
fn span(rng: &mut Rng) -> [u64; 2] {
    match rng.below(16) {
        0 => [rng.pick(NUMBERS), rng.pick(NUMBERS)],
        1 => [0, 1_000_000_000],
        2 => [0, 0],
        _ => [0, rng.below(1_000_000)],
    }
}

fn iov(rng: &mut Rng, w: &World) -> u64 {
    let mut words = [0; 16];
    for pair in words.chunks_mut(2) {
        pair[0] = if rng.one_in(12) { bad(rng, w) } else { room(rng, w, 256) };
        pair[1] = if rng.one_in(12) { rng.pick(NUMBERS) } else { rng.below(300) };
    }
    put(rng, w, &words)
}

fn msg(rng: &mut Rng, w: &World) -> u64 {
    let mut words = [0; 32];
    for head in words.chunks_mut(8) {
        let control = put!(rng, w, [20, 1 | rng.below(4) << 32, fd(rng) | fd(rng) << 32]);
        let (name, name_len) = if rng.one_in(3) { (addr(rng, w), rng.below(120)) } else { (0, 0) };
        let control_len = if rng.one_in(3) { rng.pick(&[0, 8, 16, 20, 24, 64, 1 << 40]) } else { 0 };
        let iov = iov(rng, w);
        head.copy_from_slice(&[name, name_len, iov, rng.below(9), control, control_len, any(rng, w) & 0xffff, 0]);
    }
    put(rng, w, &words)
}

fn addr(rng: &mut Rng, w: &World) -> u64 {
    let name = rng.pick(&[0x0000_6100_u64, 0x0062_0000, 0x656b_636f_7300, 0, 0x61_0000]);
    put!(rng, w, [rng.pick(&[1u64, 1, 1, 1, 0, 2, 10, 16]) | name << 8, any(rng, w), any(rng, w)])
}

fn poll(rng: &mut Rng, w: &World) -> u64 {
    let mut words = [0; 16];
    for word in &mut words {
        *word = (fd(rng) & 0xffff_ffff) | (rng.next() & 0x3fff) << 32;
    }
    put(rng, w, &words)
}

fn clone_flags(rng: &mut Rng) -> u64 {
    // Namespaces and the like now and then; sharing memory only as a thread has it (see `round`).
    let some = match rng.below(6) {
        0 => 0,
        1 => 0x0030_0f00,
        2 => 0x0100_0000 | 0x0020_0000,
        3 => 1u64 << (8 + rng.below(24)),
        4 => 0x0000_4100,
        _ => rng.next() & 0xffff_ff00,
    };
    some | rng.pick(&[17u64, 17, 0, 64, 10])
}

/// The value for an argument of kind `kind`.
pub fn make(rng: &mut Rng, w: &World, kind: Arg) -> u64 {
    let pointer = !matches!(
        kind,
        Arg::No
            | Arg::Any
            | Arg::Fd
            | Arg::Dir
            | Arg::Len
            | Arg::Count
            | Arg::SetSize
            | Arg::AddrLen
            | Arg::Mem
            | Arg::MemLen
            | Arg::Prot
            | Arg::MapFlags
            | Arg::FutexOp
            | Arg::Pid
            | Arg::Sig
            | Arg::Id
            | Arg::Mode
            | Arg::OpenFlags
            | Arg::AtFlags
            | Arg::Offset
            | Arg::Whence
            | Arg::Clock
            | Arg::Flags
            | Arg::Fcntl
            | Arg::Ioctl
            | Arg::Prctl
            | Arg::ArchPrctl
            | Arg::Family
            | Arg::SockType
            | Arg::SockLevel
            | Arg::SockOpt
            | Arg::MsgFlags
            | Arg::Madvise
            | Arg::Timer
            | Arg::Resource
            | Arg::CloneFlags
            | Arg::MountFlags
            | Arg::IpcKey
            | Arg::IpcId
            | Arg::IpcFlags
            | Arg::IpcCmd
            | Arg::AioContext
    );
    if pointer && rng.one_in(20) {
        return bad(rng, w);
    }
    if !pointer && rng.one_in(40) && kind != Arg::Pid {
        return any(rng, w);
    }
    if pointer { structure(rng, w, kind) } else { number(rng, w, kind) }
}

fn structure(rng: &mut Rng, w: &World, kind: Arg) -> u64 {
    match kind {
        Arg::Path => text(rng, w, PATHS),
        Arg::Name => text(rng, w, NAMES),
        Arg::FsType => text(rng, w, TYPES),
        Arg::Iov => iov(rng, w),
        Arg::Time => {
            let span = span(rng);
            put(rng, w, &span)
        }
        Arg::Itimer => {
            let (a, b) = (span(rng), span(rng));
            put!(rng, w, [a[0], a[1], b[0], b[1]])
        }
        Arg::Set => {
            let some = rng_word(rng);
            let set = rng.pick(&[0, u64::MAX, some, 1 << 13]);
            put!(rng, w, [set])
        }
        Arg::Addr => addr(rng, w),
        Arg::AddrLenAt => {
            let len = rng.pick(&[0u64, 2, 16, 110, 128, 0xffff_ffff]);
            put!(rng, w, [len])
        }
        Arg::Poll => poll(rng, w),
        Arg::FdSet => {
            let words = [rng.next() & rng.next(), 0];
            if rng.one_in(3) { 0 } else { put(rng, w, &words) }
        }
        Arg::Msg => msg(rng, w),
        Arg::Event => {
            let events = rng.next() & rng.pick(&[0x3f_u64, 0xffff_ffff, 0xe000_003f]);
            put!(rng, w, [events, rng_word(rng)])
        }
        Arg::Action => {
            let handler = if rng.one_in(4) { rng.below(2) } else { crate::round::handler_address() };
            let flags = 0x0400_0000 | rng.next() & 0xc000_0007;
            put!(rng, w, [handler, flags, crate::round::restorer_address(), 0])
        }
        Arg::Info => {
            let words = [rng.below(70) | rng_word(rng) << 32, rng.next() & 7, rng_word(rng), rng_word(rng)];
            put(rng, w, &words)
        }
        Arg::Stack => w.arena + 4096 + rng.below(32) * 1024,
        Arg::Limit => {
            let soft = rng.pick(NUMBERS);
            put!(rng, w, [soft, rng.pick(&[soft, u64::MAX, 0])])
        }
        Arg::Sched => {
            let priority = rng.pick(&[0u64, 1, 50, 99, 100]);
            put!(rng, w, [priority])
        }
        Arg::SchedAttr => {
            let policy = rng.below(8);
            put!(rng, w, [48 | policy << 32, rng.next() & 0x7f, rng.below(21), rng.below(1 << 20), 1 << 24, 1 << 24, 0])
        }
        Arg::How => {
            let flags = open_flags(rng);
            put!(rng, w, [flags, rng.pick(&[0u64, 0, 0o644, 0o7777]), rng.next() & 0x3f, 0])
        }
        Arg::Argv => {
            let name = text(rng, w, NAMES);
            put!(rng, w, [name, name, 0, 0])
        }
        Arg::Clone3 => {
            let flags = clone_flags(rng) & !0xff & !0x0000_0100;
            put!(rng, w, [flags, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0])
        }
        Arg::Queue => text(rng, w, QUEUES),
        Arg::QueueAttr => {
            let flags = rng.pick(&[0u64, 0o4000]);
            put!(rng, w, [flags, rng.pick(&[0u64, 1, 4, 10, 10, 100]), rng.pick(&[0u64, 8, 64, 300, 8192, 1 << 30]), 0])
        }
        Arg::SemOps => {
            let mut words = [0; 8];
            for word in &mut words {
                // Number, change, flags; most do not wait.
                let change = rng.pick(&[0u64, 1, 1, 2, 0xffff, 0xfffe]);
                *word = rng.below(4) | change << 16 | rng.pick(&[0o4000u64, 0o4000, 0o14000, 0]) << 32;
            }
            put(rng, w, &words)
        }
        Arg::SigEvent => {
            let value = rng.next();
            put!(rng, w, [value, rng.pick(&[10u64, 12, 34, 0]) | rng.below(5) << 32, w.pid, 0])
        }
        // Where `io_setup` puts it, others find it.
        Arg::AioContextAt => {
            let at = w.arena + AIO + rng.below(4) * 8;
            if rng.one_in(2) {
                put_at(w, at, &[0]);
            }
            at
        }
        Arg::Iocbs => {
            let mut pointers = [0; 4];
            for pointer in &mut pointers {
                let buf = if rng.one_in(3) { iov(rng, w) } else { room(rng, w, 512) };
                let words = [
                    rng.next(),
                    rng.next() & rng.pick(&[0u64, 0xffff_ffff << 32]),
                    rng.below(9) | (fd(rng) & 0xffff_ffff) << 32,
                    buf,
                    rng.below(300),
                    rng.pick(&[0u64, 0, 100, 4096, 1 << 40, u64::MAX]),
                    0,
                    rng.below(4) | fd(rng) << 32,
                ];
                *pointer = put(rng, w, &words);
            }
            put(rng, w, &pointers)
        }
        Arg::RingParams => {
            let flags = rng.next() & rng.pick(&[0u64, 0, 0x38, 0x0e, 0xffff]);
            put!(
                rng,
                w,
                [rng.below(64) << 32, flags, rng.below(2) | 100 << 32, fd(rng) << 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            )
        }
        Arg::Handle => {
            let words = [
                rng.pick(&[0u64, 8, 12, 28, 128, 129]) | rng.pick(&[1u64, 2, 0x81, 0xfe]) << 32,
                rng.below(64),
                rng.next(),
            ];
            if rng.one_in(2) { put(rng, w, &words) } else { w.arena + AIO + 64 }
        }
        Arg::Waiters => {
            let mut words = [0; 24];
            for one in words.chunks_mut(3) {
                one.copy_from_slice(&[rng.below(3), w.arena + rng.below(4) * 4, rng.pick(&[2u64, 2, 130, 0, 3])]);
            }
            put(rng, w, &words)
        }
        Arg::MountAttr => {
            let set = 1u64 << rng.below(9);
            put!(rng, w, [set, 1u64 << rng.below(9), rng.pick(&[0u64, 0, 1 << 17, 1 << 18, 1 << 20]), 0])
        }
        Arg::Word => w.arena + rng.below(4) * 4,
        Arg::Buf => room(rng, w, 512),
        Arg::Either => {
            if rng.one_in(2) {
                number(rng, w, Arg::Any)
            } else {
                let words = [rng_word(rng) & 0x1_0000_0003, rng.below(100), rng.below(100), rng.next() & 0xff];
                put(rng, w, &words)
            }
        }
        _ => room(rng, w, 256),
    }
}

fn rng_word(rng: &mut Rng) -> u64 {
    rng.next()
}

fn open_flags(rng: &mut Rng) -> u64 {
    let extra = 1u64 << (6 + rng.below(17));
    rng.below(3) | rng.pick(&[0, 0, 0o100, 0o100, 0o1100, 0o4000, 0o2004000, extra, extra | 0o100])
}

fn number(rng: &mut Rng, w: &World, kind: Arg) -> u64 {
    match kind {
        Arg::No => 0,
        Arg::Fd => fd(rng),
        Arg::Dir => {
            if rng.one_in(4) {
                fd(rng)
            } else {
                -100i64 as u64
            }
        }
        Arg::Len => length(rng),
        Arg::Count => rng.pick(&[0u64, 1, 2, 3, 8, 8, 16, 64, 1025]),
        Arg::SetSize => rng.pick(&[8u64, 8, 8, 8, 8, 8, 4, 128, 0]),
        Arg::AddrLen => rng.pick(&[0u64, 2, 3, 4, 8, 16, 110, 111, 128, 200]),
        Arg::Mem => match rng.below(16) {
            0 => 0,
            1 => w.play + rng.below(PLAY),
            2 => bad(rng, w),
            _ => w.play + rng.below(PLAY / PAGE) * PAGE,
        },
        Arg::MemLen => match rng.below(12) {
            0 => rng.pick(NUMBERS),
            1 => rng.below(1 << 22),
            2 => 2 << 20,
            _ => PAGE * (1 + rng.below(16)),
        },
        Arg::Prot => rng.pick(&[0u64, 1, 3, 3, 3, 5, 7, 2, 0x0100_0003, 0x0200_0003]),
        Arg::MapFlags => {
            let extra = 1u64 << (5 + rng.below(18));
            rng.pick(&[0x22, 0x22, 0x21, 0x02, 0x01, 0x32, 0x31, 0x12, 0x0010_0022, 0x22 | extra, 0x8022])
        }
        Arg::FutexOp => rng.below(15) | rng.pick(&[0u64, 128, 256, 384]),
        Arg::Pid => rng.pick(&[w.pid, w.pid, w.child, w.child, 0, 0x3fff_ffff]),
        Arg::Sig => rng.pick(&[0u64, 10, 12, 17, 18, 23, 28, 34, 64, 65, 14, 1000]),
        Arg::Id => rng.pick(&[0u64, 1, 1000, 1001, 65534, 0xffff_ffff]),
        Arg::Mode => rng.pick(&[0o644u64, 0o755, 0o777, 0, 0o7777, 0o100644, 0o10644, 0o140755, 0o20666, 0o1777]),
        Arg::OpenFlags => open_flags(rng),
        Arg::AtFlags => rng.pick(&[0u64, 0, 0x100, 0x200, 0x400, 0x1000, 0x1100, 0x800]),
        Arg::Offset => {
            rng.pick(&[0u64, 0, 1, 100, 4095, 4096, 65536, 1 << 20, 1 << 31, 1 << 40, i64::MAX as u64, u64::MAX])
        }
        Arg::Whence => rng.below(6),
        Arg::Clock => rng.pick(&[0u64, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 0xffff_fffa, 0xffff_fffe]),
        Arg::Flags => rng.pick(&[0u64, 0, 1, 2, 3, 4, 5, 6, 8, 16, 32, 64, 128, 0x4000_0000, 0x8000_0000]),
        Arg::Fcntl => rng.pick(&[
            0u64, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 36, 37, 38, 1024, 1025, 1026, 1030, 1031, 1032, 1033,
            1034, 1035, 1036,
        ]),
        Arg::Ioctl => rng.pick(IOCTLS),
        Arg::Prctl => rng.pick(&[
            1u64, 2, 3, 4, 7, 8, 15, 16, 22, 23, 24, 25, 26, 27, 28, 29, 30, 36, 37, 38, 39, 40, 41, 42, 47, 53, 59,
            0x53564d41, 0x59616d61,
        ]),
        Arg::ArchPrctl => rng.pick(&[0x1001u64, 0x1003, 0x1004, 0x1011, 0x1012, 0x1021, 0x1022]),
        Arg::Family => rng.pick(&[1u64, 1, 1, 1, 2, 10, 16, 17, 0, 45]),
        Arg::SockType => rng.pick(&[1u64, 1, 2, 5, 1 | 0o4000, 2 | 0o2000000, 3]),
        Arg::SockLevel => rng.pick(&[1u64, 1, 1, 0, 6, 41, 282]),
        Arg::SockOpt => rng.below(80),
        Arg::MsgFlags => rng.pick(&[0x40u64, 0x40, 0x40, 0, 0x4040, 0x42, 0x60, 0x1, 0x4000_0040, 0x140]),
        Arg::Madvise => {
            rng.pick(&[0u64, 1, 2, 3, 4, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100])
        }
        Arg::Timer => rng.below(4),
        Arg::IpcKey => rng.pick(&[0u64, 1, 2, 3, 4]),
        // Numbers of objects start at their place in the table.
        Arg::IpcId => rng.below(12) | rng.below(3) << 15,
        Arg::IpcFlags => rng.pick(&[0o1666u64, 0o1666, 0o3600, 0, 0o4000, 0o14000, 0o24000]),
        Arg::IpcCmd => rng.pick(&[0u64, 0, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        Arg::AioContext => {
            // SAFETY: within the arena.
            unsafe { ((w.arena + AIO + rng.below(4) * 8) as *const u64).read_volatile() }
        }
        Arg::Resource => rng.below(17),
        Arg::CloneFlags => clone_flags(rng),
        Arg::MountFlags => {
            rng.pick(&[0u64, 0, 0x1000, 0x5000, 0x20, 0x1020, 1, 2, 4, 8, 0x2000, 1 << 17, 1 << 18, 1 << 20])
        }
        _ => any(rng, w),
    }
}

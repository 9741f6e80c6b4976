// SPDX-License-Identifier: GPL-2.0
//! What all families use: the calls, the text of what they gave, and the numbers that stand for what differs between two boots.

use crate::rng::Rng;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::ffi::CString;

/// Where a sequence's file system is.
pub const WORK: &CStr = c"/w";
/// Bytes of text that a sequence may give.
const ROOM: usize = 1 << 20;
/// Bytes to write from, and to read into.
pub const BUF: u64 = 512 << 10;

/// The text of a sequence, in memory that its processes share with the one that reads it.
#[repr(C)]
pub struct Out {
    len: AtomicUsize,
    bytes: [core::cell::UnsafeCell<u8>; ROOM],
}

// SAFETY: one process writes at a time: a sequence's processes take turns, and the reader waits for their end.
unsafe impl Sync for Out {}

impl Out {
    /// Forgets the text.
    pub fn clear(&self) {
        self.len.store(0, Relaxed);
    }

    /// Adds to the text; what is too much is lost.
    pub fn add(&self, text: &str) {
        let at = self.len.load(Relaxed).min(ROOM);
        let len = text.len().min(ROOM - at);
        // SAFETY: within the array; nobody else writes now.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), self.bytes[at..].as_ptr().cast_mut().cast(), len) };
        self.len.store(at + len, Relaxed);
    }

    /// The text so far.
    pub fn text(&self) -> &[u8] {
        let len = self.len.load(Relaxed).min(ROOM);
        // SAFETY: within the array; all of it is initialised (zeroes at first).
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) }
    }
}

fn map(len: usize, flags: i32) -> u64 {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory.
    let at = unsafe { libc::mmap(core::ptr::null_mut(), len, prot, flags | libc::MAP_ANONYMOUS, -1, 0) };
    assert!(at != libc::MAP_FAILED);
    at as u64
}

/// New shared memory for the text.
pub fn shared() -> &'static Out {
    // SAFETY: zeroes are a valid `Out`; it stays for ever.
    unsafe { &*(map(size_of::<Out>(), libc::MAP_SHARED) as *const Out) }
}

/// Prepares the process of a sequence: its own session, nothing but /dev/null open, the new file system as its current directory.
pub fn enter() {
    // SAFETY: strings end with NUL; one thread.
    unsafe {
        libc::setsid();
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        for _ in 0..3 {
            libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        }
        libc::chdir(WORK.as_ptr());
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, core::ptr::null_mut());
        let zero = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &zero);
    }
}

/// A NUL-terminated string that lives as long as the process.
pub fn cstr(text: &str) -> u64 {
    CString::new(text).unwrap_or_default().into_raw() as u64
}

/// Something in memory, for as long as the process lives.
pub fn keep<T>(value: T) -> u64 {
    Box::into_raw(Box::new(value)) as u64
}

/// A sequence that runs.
pub struct Seq {
    /// Where its decisions come from.
    pub rng: Rng,
    out: &'static Out,
    /// Memory to read into.
    pub rbuf: u64,
    /// Memory to write from.
    pub wbuf: u64,
    /// Calls so far.
    pub count: u64,
    /// The result of the last one.
    pub last: i64,
    known: Vec<(u64, u64)>,
}

impl Seq {
    /// The sequence of `family` and `seed`.
    pub fn new(out: &'static Out, family: &str, seed: u64) -> Self {
        let salt = family.bytes().fold(0_u64, |h, b| h.wrapping_mul(131).wrapping_add(u64::from(b)));
        let (rbuf, wbuf) = (map(BUF as usize, libc::MAP_PRIVATE), map(BUF as usize, libc::MAP_PRIVATE));
        Self { rng: Rng::new(seed ^ salt << 32), out, rbuf, wbuf, count: 0, last: 0, known: Vec::new() }
    }

    /// The call `nr`, described by `text`; its result becomes a line.
    pub fn call(&mut self, text: &str, nr: libc::c_long, args: &[u64]) -> i64 {
        let result = self.quiet(nr, args);
        self.said(text, result);
        result
    }

    /// A line: what was done, and its result.
    pub fn said(&mut self, text: &str, result: i64) {
        self.count += 1;
        self.last = result;
        self.out.add(&format!("\n{} {text} = {result}", self.count));
    }

    /// The call `nr`, without a line.
    pub fn quiet(&mut self, nr: libc::c_long, args: &[u64]) -> i64 {
        raw(nr, args)
    }

    /// Adds what the last call gave.
    pub fn data(&mut self, text: &str) {
        self.out.add(" : ");
        self.out.add(text);
    }

    /// A small number for something that differs from boot to boot (a pid, an inode's number) in the class `class`.
    pub fn id(&mut self, class: u64, value: u64) -> u64 {
        let same = self.known.iter().filter(|(c, _)| *c == class);
        if let Some(at) = same.clone().position(|(_, v)| *v == value) {
            return at as u64;
        }
        let next = same.count() as u64;
        self.known.push((class, value));
        next
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.rng.one_in(n)
    }

    /// One of `of`.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        self.rng.pick(of)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    /// A few of the bits `of`.
    pub fn bits(&mut self, of: &[u64]) -> u64 {
        let mut all = 0;
        for bit in of {
            if self.one_in(of.len() as u64 / 2 + 1) {
                all |= bit;
            }
        }
        all
    }

    /// A length near something that matters.
    pub fn len(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(300),
            1 => self.below(20000),
            _ => self
                .pick(&[0, 1, 7, 100, 512, 4095, 4096, 4097, 8191, 8192, 12288, 16384, 65535, 65536, 65537, 100_000]),
        }
    }

    /// Bytes to write: new ones each time. Their address.
    pub fn fresh(&mut self, len: u64) -> u64 {
        let salt = self.count * 37;
        for i in 0..len.min(BUF) {
            // SAFETY: within the memory to write from.
            unsafe { *((self.wbuf + i) as *mut u8) = (salt + i * 7 + (i >> 8)) as u8 };
        }
        self.wbuf
    }

    /// Memory to read into, cleared. Its address.
    pub fn blank(&mut self, len: u64) -> u64 {
        // SAFETY: within the memory to read into.
        unsafe { core::ptr::write_bytes(self.rbuf as *mut u8, 0xee, len.min(BUF) as usize) };
        self.rbuf
    }

    /// Adds the `len` bytes that were read.
    pub fn bytes(&mut self, len: i64) {
        if len > 0 {
            let text = show(self.read_back(len as u64));
            self.data(&text);
        }
    }

    /// The first bytes of the memory that is read into.
    pub fn read_back(&self, len: u64) -> &'static [u8] {
        // SAFETY: within the memory, which stays.
        unsafe { core::slice::from_raw_parts(self.rbuf as *const u8, len.min(BUF) as usize) }
    }

    /// A word of the memory that is read into.
    pub fn word(&self, at: u64) -> u64 {
        // SAFETY: within the memory.
        unsafe { ((self.rbuf + at) as *const u64).read_unaligned() }
    }

    /// Half a word of it.
    pub fn half(&self, at: u64) -> u32 {
        // SAFETY: within the memory.
        unsafe { ((self.rbuf + at) as *const u32).read_unaligned() }
    }

    /// Adds the fields of the `struct stat` in the memory that is read into.
    pub fn stat(&mut self) {
        // SAFETY: the kernel wrote a `stat` there; any bytes are one.
        let st = unsafe { (self.rbuf as *const libc::stat).read_unaligned() };
        let ino = self.id(1, st.st_ino ^ st.st_dev << 40);
        let text = format!(
            "{:o} n{} {}:{} r{:x} {}b {}/{} i{ino} a{} m{}",
            st.st_mode,
            st.st_nlink,
            st.st_uid,
            st.st_gid,
            st.st_rdev,
            st.st_size,
            st.st_blocks,
            st.st_blksize,
            when(st.st_atime, st.st_atime_nsec),
            when(st.st_mtime, st.st_mtime_nsec)
        );
        self.data(&text);
    }
}

/// A time that a call has set (long ago), or "now".
pub fn when(sec: i64, nsec: i64) -> String {
    if sec > 1_000_000_000 { "now".into() } else { format!("{sec}.{nsec}") }
}

/// Bytes as text: all of a few, the hash of many.
pub fn show(bytes: &[u8]) -> String {
    if bytes.len() <= 24 {
        return bytes
            .iter()
            .map(|b| if b.is_ascii_graphic() { format!("{}", *b as char) } else { format!("\\{b:x}") })
            .collect();
    }
    let hash = bytes.iter().fold(5381_u32, |h, b| h.wrapping_mul(33) ^ u32::from(*b));
    format!("{}#{hash:08x}", bytes.len())
}

/// A system call; the kernel's own result.
pub fn raw(nr: libc::c_long, args: &[u64]) -> i64 {
    let a = |i: usize| args.get(i).copied().unwrap_or(0);
    let ret: i64;
    // SAFETY: the families choose arguments that this process bears; registers as the ABI has them.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") nr => ret, in("rdi") a(0), in("rsi") a(1), in("rdx") a(2), in("r10") a(3),
             in("r8") a(4), in("r9") a(5), lateout("rcx") _, lateout("r11") _);
    }
    ret
}

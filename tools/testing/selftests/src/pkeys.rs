// SPDX-License-Identifier: GPL-2.0
//! Protection keys of user pages (`pkeys(7)`). On a CPU, or with a kernel, that has none only `pkeys.absent` has something to do.

use crate::util::*;
use crate::vmem::show::{kib, smaps_of};
use crate::{Test, c, ck, eq, fails};
use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::Relaxed};

pub const TESTS: &[Test] = &[
    ("pkeys.absent", absent),
    ("pkeys.first_rights", first_rights),
    ("pkeys.alloc_free", alloc_free),
    ("pkeys.denied", denied),
    ("pkeys.signal_frame", signal_frame),
    ("pkeys.signal_stack", signal_stack),
    ("pkeys.system_calls", system_calls),
    ("pkeys.held_pages", held_pages),
    ("pkeys.others", others),
    ("pkeys.mappings", mappings),
    ("pkeys.execute_only", execute_only),
    ("pkeys.no_key_left", no_key_left),
    ("pkeys.fork_exec", fork_exec),
    ("pkeys.threads", threads),
    ("pkeys.switches", switches),
    ("pkeys.traced", traced),
];

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// A new program's PKRU.
const INIT: u32 = 0x5555_5554;
pub(crate) const NO_ACCESS: u32 = 1;
pub(crate) const NO_WRITE: u32 = 2;
const SEGV_PKUERR: i32 = 4;
const NT_X86_XSTATE: usize = 0x202;
/// The component of XSAVE.
const PKRU: u32 = 9;

fn rdpkru() -> u32 {
    let value: u32;
    // SAFETY: only called where the CPU and the system have keys.
    unsafe { core::arch::asm!("rdpkru", in("ecx") 0, out("eax") value, out("edx") _, options(nostack)) };
    value
}

fn wrpkru(value: u32) {
    // SAFETY: as above; what it forbids is memory of the test's own.
    unsafe { core::arch::asm!("wrpkru", in("ecx") 0, in("eax") value, in("edx") 0, options(nostack)) };
}

/// Whether the system lets programs use keys.
fn have_keys() -> bool {
    let cpuid = core::arch::x86_64::__cpuid_count;
    cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & 1 << 4 != 0
}

pub(crate) fn need_keys() -> Outcome {
    if have_keys() { Ok(()) } else { Err(format!("{SKIP}there are no protection keys")) }
}

/// Where PKRU is in a frame.
fn place() -> usize {
    core::arch::x86_64::__cpuid_count(0xd, PKRU).ebx as usize
}

pub(crate) fn alloc(rights: u32) -> Result<u32, String> {
    Ok(c!(libc::syscall(libc::SYS_pkey_alloc, 0, rights)) as u32)
}

pub(crate) fn protect(at: usize, len: usize, prot: i32, key: u32) -> Outcome {
    c!(libc::syscall(libc::SYS_pkey_mprotect, at, len, prot, key));
    Ok(())
}

pub(crate) fn set_rights(key: u32, rights: u32) {
    wrpkru(rdpkru() & !(3 << (2 * key)) | rights << (2 * key));
}

fn map(pages: usize) -> Result<usize, String> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    Ok(c!(libc::mmap(core::ptr::null_mut(), pages * PAGE, RW, flags, -1, 0) as i64) as usize)
}

/// A page with a 1 in it and a key that allows everything; both.
fn keyed() -> Result<(usize, u32), String> {
    need_keys()?;
    let (at, key) = (map(1)?, alloc(0)?);
    poke(at, 1);
    protect(at, PAGE, RW, key)?;
    Ok((at, key))
}

fn poke(at: usize, value: u8) {
    // SAFETY: the test mapped it.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn peek(at: usize) -> u8 {
    // SAFETY: the test mapped it.
    unsafe { (at as *const u8).read_volatile() }
}

/// The key of the mapping that begins at `at`, and its size in KiB.
fn area(at: usize) -> Result<(u64, u64), String> {
    let lines = smaps_of(at)?;
    Ok((kib(&lines, "ProtectionKey:")?, kib(&lines, "Size:")?))
}

static FAULTS: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static KEY: AtomicU32 = AtomicU32::new(0);
/// PKRU in the handler, and in the frame of what it interrupted.
static INSIDE: AtomicU32 = AtomicU32::new(0);
static FRAME: AtomicU32 = AtomicU32::new(0);

/// Notes PKRU, and what the frame has; the frame gets `new`.
///
/// # Safety
/// `context` is a handler's.
unsafe fn exchange(context: *mut c_void, new: u32) {
    INSIDE.store(rdpkru(), Relaxed);
    // SAFETY: the frame has the state of XSAVE, in which PKRU is where CPUID says; its component's bit is in the header's second
    // byte.
    unsafe {
        let state = (*context.cast::<libc::ucontext_t>()).uc_mcontext.fpregs.cast::<u8>();
        let (word, header) = (state.add(place()).cast::<u32>(), state.add(513));
        FRAME.store(if *header & 2 != 0 { word.read_unaligned() } else { 0 }, Relaxed);
        word.write_unaligned(new);
        *header |= 2;
    }
}

/// Notes a fault and lets it pass: all is allowed from then on.
extern "C" fn forgive(_: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    FAULTS.fetch_add(1, Relaxed);
    // SAFETY: a handler's arguments; `si_pkey` is 32 bytes into the information.
    unsafe {
        CODE.store((*info).si_code, Relaxed);
        ADDRESS.store((*info).si_addr().addr(), Relaxed);
        KEY.store(info.cast::<u32>().add(8).read(), Relaxed);
        exchange(context, 0);
    }
}

/// Code, address and key of the fault that `access` makes; PKRU is 0 afterwards.
fn fault(access: impl FnOnce()) -> Result<(i32, usize, u32), String> {
    handle(libc::SIGSEGV, forgive as *const () as usize, libc::SA_SIGINFO)?;
    FAULTS.store(0, Relaxed);
    access();
    eq!(FAULTS.load(Relaxed), 1);
    handle(libc::SIGSEGV, libc::SIG_DFL, 0)?;
    eq!(rdpkru(), 0);
    Ok((CODE.load(Relaxed), ADDRESS.load(Relaxed), KEY.load(Relaxed)))
}

fn absent() -> Outcome {
    if have_keys() {
        return Err(format!("{SKIP}there are protection keys"));
    }
    ck!(!text("/proc/cpuinfo")?.contains(" ospke"));
    let at = map(1)?;
    poke(at, 1);
    ck!(!smaps_of(at)?.iter().any(|line| line.starts_with("ProtectionKey")));
    // Linux takes key 0 for the first who asks, before it looks whether there are any.
    fails!(libc::syscall(libc::SYS_pkey_alloc, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_alloc, 0, 0), libc::ENOSPC);
    for key in [0, 1, -2] {
        fails!(libc::syscall(libc::SYS_pkey_free, key), libc::EINVAL);
        fails!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, RW, key), libc::EINVAL);
        c!(libc::syscall(libc::SYS_pkey_mprotect, at, 0, RW, key));
    }
    c!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, RW, -1));
    // What can be executed can be read.
    c!(libc::mprotect(at as *mut _, PAGE, libc::PROT_EXEC));
    eq!(peek(at), 1);
    Ok(())
}

/// PKRU of this program as it began, and the first key that it gets: for a program that is executed.
pub fn shown() -> String {
    match have_keys() {
        true => format!("{:x} {:?}", rdpkru(), alloc(0)),
        false => "none".into(),
    }
}

fn first_rights() -> Outcome {
    need_keys()?;
    eq!(rdpkru(), INIT);
    let info = text("/proc/cpuinfo")?;
    ck!(info.contains(" pku ospke"), "not in cpuinfo");
    // SAFETY: the system has keys, so it has XSAVE.
    let low: u32;
    unsafe { core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _) };
    ck!(low & 1 << PKRU != 0, "XCR0 is {low:#x}");
    let at = map(1)?;
    eq!(area(at)?.0, 0);
    Ok(())
}

fn alloc_free() -> Outcome {
    need_keys()?;
    let rights = |key: u32| rdpkru() >> (2 * key) & 3;
    for key in 1..16 {
        eq!((alloc(key & 3)?, rights(key)), (key, key & 3));
    }
    fails!(libc::syscall(libc::SYS_pkey_alloc, 0, 0), libc::ENOSPC);
    c!(libc::syscall(libc::SYS_pkey_free, 9));
    c!(libc::syscall(libc::SYS_pkey_free, 6));
    // Giving it back changes no rights; who gets it next says which it is to have.
    eq!((rights(6), alloc(NO_ACCESS)?, rights(6)), (2, 6, 1));
    let at = map(1)?;
    for key in [-2, 9, 16, 100] {
        fails!(libc::syscall(libc::SYS_pkey_free, key), libc::EINVAL);
        fails!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, RW, key), libc::EINVAL);
    }
    // In this order: the addresses, the rights, the key, and what is mapped.
    fails!(libc::syscall(libc::SYS_pkey_mprotect, at + 1, PAGE, RW, 9), libc::EINVAL);
    c!(libc::syscall(libc::SYS_pkey_mprotect, at, 0, RW, 9));
    fails!(libc::syscall(libc::SYS_pkey_mprotect, at, usize::MAX - PAGE, RW, 9), libc::ENOMEM);
    fails!(libc::syscall(libc::SYS_pkey_mprotect, PAGE, PAGE, RW, 9), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_mprotect, PAGE, PAGE, RW, 6), libc::ENOMEM);
    fails!(libc::syscall(libc::SYS_pkey_alloc, 1, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_alloc, 0, 4), libc::EINVAL);
    Ok(())
}

fn denied() -> Outcome {
    need_keys()?;
    let (at, key) = (map(3)?, alloc(0)?);
    poke(at, 1);
    protect(at, 3 * PAGE, RW, key)?;
    poke(at, 2);
    set_rights(key, NO_WRITE);
    eq!(peek(at), 2);
    // A page that is not there yet too.
    for page in [at, at + PAGE] {
        set_rights(key, NO_WRITE);
        let before = rdpkru();
        eq!(fault(|| poke(page + 5, 3))?, (SEGV_PKUERR, page + 5, key));
        eq!((FRAME.load(Relaxed), INSIDE.load(Relaxed), peek(page + 5)), (before, INIT, 3));
    }
    for page in [at, at + 2 * PAGE] {
        set_rights(key, NO_ACCESS);
        eq!(
            fault(|| {
                peek(page);
            })?,
            (SEGV_PKUERR, page, key)
        );
    }
    // Key 0 is like any other.
    protect(at, PAGE, RW, 0)?;
    eq!(peek(at), 2);
    Ok(())
}

static PASSED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn look(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    PASSED.fetch_add(1, Relaxed);
    // SAFETY: a handler's argument.
    unsafe { exchange(context, FRAME.load(Relaxed)) };
    // Ends with the handler.
    wrpkru(0);
}

fn signal_frame() -> Outcome {
    let (at, key) = keyed()?;
    handle(libc::SIGUSR1, look as *const () as usize, libc::SA_SIGINFO)?;
    for value in [0, INIT, 0x1234_5670] {
        wrpkru(value);
        FRAME.store(value, Relaxed);
        c!(libc::raise(libc::SIGUSR1));
        eq!((rdpkru(), FRAME.load(Relaxed), INSIDE.load(Relaxed)), (value, value, INIT));
    }
    // What the handler writes into the frame is in force afterwards.
    FRAME.store(NO_WRITE << (2 * key), Relaxed);
    wrpkru(0);
    c!(libc::raise(libc::SIGUSR1));
    eq!(rdpkru(), NO_WRITE << (2 * key));
    eq!((PASSED.load(Relaxed), peek(at)), (4, 1));
    Ok(())
}

fn signal_stack() -> Outcome {
    need_keys()?;
    let (at, key) = (map(16)?, alloc(0)?);
    let stack = libc::stack_t { ss_sp: at as *mut _, ss_flags: 0, ss_size: 16 * PAGE };
    c!(libc::sigaltstack(&stack, core::ptr::null_mut()));
    protect(at, 16 * PAGE, RW, key)?;
    // The frame is written with the rights of what is interrupted; the handler has a new program's, which do not let it use its
    // stack.
    for rights in [NO_ACCESS, NO_WRITE, 0] {
        let pid = child(|| {
            let _ = handle(libc::SIGUSR1, look as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
            set_rights(key, rights);
            // SAFETY: a number.
            unsafe { libc::raise(libc::SIGUSR1) };
            0
        })?;
        eq!(signal_of(pid)?, libc::SIGSEGV);
    }
    Ok(())
}

fn system_calls() -> Outcome {
    let (at, key) = keyed()?;
    let (r, w) = pipe()?;
    let zero = open("/dev/zero", libc::O_RDONLY)?;
    let fresh = map(1)?;
    protect(fresh, PAGE, RW, key)?;
    for page in [at, fresh] {
        set_rights(key, NO_ACCESS);
        fails!(libc::write(w, page as *const _, 1), libc::EFAULT);
        fails!(libc::read(zero, page as *mut _, 1), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_futex, page, libc::FUTEX_WAKE, 1), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_futex, page, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 77, 0), libc::EFAULT);
        set_rights(key, NO_WRITE);
        eq!(c!(libc::write(w, page as *const _, 1)), 1);
        fails!(libc::read(zero, page as *mut _, 1), libc::EFAULT);
        fails!(libc::syscall(libc::SYS_futex, page, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 77, 0), libc::EAGAIN);
        set_rights(key, 0);
        eq!(c!(libc::read(zero, page as *mut _, 1)), 1);
    }
    eq!(read(r, 10)?, [1, 0]);
    Ok(())
}

fn held_pages() -> Outcome {
    let (at, key) = keyed()?;
    let iov = libc::iovec { iov_base: at as *mut _, iov_len: 16 };
    let (_r, w) = pipe()?;
    let mut params = [0u32; 30];
    // SAFETY: room for the parameters.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    for rights in [NO_WRITE, NO_ACCESS] {
        set_rights(key, rights);
        if ring >= 0 {
            fails!(libc::syscall(libc::SYS_io_uring_register, ring, 0, &raw const iov, 1), libc::EFAULT);
        }
    }
    fails!(libc::vmsplice(w, &iov, 1, 0), libc::EFAULT);
    fails!(libc::madvise(at as *mut _, PAGE, libc::MADV_POPULATE_READ), libc::EINVAL);
    fails!(libc::mlock(at as *const _, PAGE), libc::ENOMEM);
    set_rights(key, 0);
    if ring >= 0 {
        c!(libc::syscall(libc::SYS_io_uring_register, ring, 0, &raw const iov, 1));
    }
    eq!(c!(libc::vmsplice(w, &iov, 1, 0)), 16);
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_POPULATE_WRITE));
    c!(libc::mlock(at as *const _, PAGE));
    Ok(())
}

/// Who reaches memory from elsewhere has nothing to do with the rights of its program, nor with his own.
fn others() -> Outcome {
    let (at, key) = keyed()?;
    let pid = child(|| {
        set_rights(key, NO_ACCESS);
        // SAFETY: waits to be ended.
        unsafe { libc::pause() }
    })?;
    asleep(pid)?;
    set_rights(key, NO_ACCESS);
    let (mut byte, me) = ([0u8], std::process::id() as i32);
    let own = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let far = libc::iovec { iov_base: at as *mut _, iov_len: 1 };
    for of in [pid, me] {
        byte[0] = 7;
        eq!(c!(libc::process_vm_readv(of, &own, 1, &far, 1, 0)), 1);
        eq!(byte, [1]);
        fails!(libc::process_vm_readv(of, &far, 1, &far, 1, 0), libc::EFAULT);
        let mem = open(&format!("/proc/{of}/mem"), libc::O_RDWR)?;
        eq!(c!(libc::pwrite(mem, b"\x01".as_ptr().cast(), 1, at as i64)), 1);
        eq!(c!(libc::pread(mem, byte.as_mut_ptr().cast(), 1, at as i64)), 1);
        eq!(byte, [1]);
        close(mem);
    }
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn mappings() -> Outcome {
    need_keys()?;
    let (first, key) = (map(6)?, alloc(0)?);
    // Nothing joins from outside.
    c!(libc::munmap(first as *mut _, PAGE));
    c!(libc::munmap((first + 5 * PAGE) as *mut _, PAGE));
    let at = first + PAGE;
    (0..4).for_each(|page| poke(at + page * PAGE, 1));
    protect(at + PAGE, PAGE, RW, key)?;
    let parts = |at: usize| -> Result<_, String> { Ok((area(at)?, area(at + PAGE)?, area(at + 2 * PAGE)?)) };
    let apart = ((0, 4), (key.into(), 4), (0, 8));
    eq!(parts(at)?, apart);
    // Other rights keep the keys, so they keep the parts.
    c!(libc::mprotect(at as *mut _, 4 * PAGE, libc::PROT_READ));
    c!(libc::mprotect(at as *mut _, 4 * PAGE, RW));
    eq!(parts(at)?, apart);
    set_rights(key, NO_ACCESS);
    eq!((peek(at), peek(at + 2 * PAGE)), (1, 1));
    // With the same key they are one mapping, with key 0 all are.
    protect(at + 2 * PAGE, PAGE, RW, key)?;
    eq!((area(at)?, area(at + PAGE)?, area(at + 3 * PAGE)?), ((0, 4), (key.into(), 8), (0, 4)));
    protect(at + PAGE, 2 * PAGE, RW, 0)?;
    eq!(area(at)?, (0, 16));
    // Pages that come anew have the key, and those that move keep it.
    protect(at + PAGE, PAGE, RW, key)?;
    c!(libc::madvise((at + PAGE) as *mut _, PAGE, libc::MADV_DONTNEED));
    eq!(fault(|| poke(at + PAGE, 2))?, (SEGV_PKUERR, at + PAGE, key));
    let to = map(1)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    c!(libc::mremap((at + PAGE) as *mut _, PAGE, PAGE, flags, to) as i64);
    eq!((area(to)?, peek(to)), ((key.into(), 4), 2));
    set_rights(key, NO_ACCESS);
    eq!(fault(|| poke(to, 3))?, (SEGV_PKUERR, to, key));
    Ok(())
}

fn execute_only() -> Outcome {
    need_keys()?;
    let at = map(1)?;
    // mov eax, 42; ret
    for (i, byte) in [0xb8, 42, 0, 0, 0, 0xc3].into_iter().enumerate() {
        poke(at + i, byte);
    }
    let only = |at: usize| c_mprotect(at, libc::PROT_EXEC);
    only(at)?;
    let key = area(at)?.0 as u32;
    eq!((key, rdpkru() >> 2 & 3), (1, NO_ACCESS));
    // SAFETY: the code above.
    let code: extern "C" fn() -> i32 = unsafe { core::mem::transmute(at) };
    eq!(code(), 42);
    let (r, w) = pipe()?;
    fails!(libc::write(w, at as *const _, 1), libc::EFAULT);
    close(r);
    eq!(
        fault(|| {
            peek(at);
        })?,
        (SEGV_PKUERR, at, key)
    );
    // Nobody can name the key, and there is one for all.
    fails!(libc::syscall(libc::SYS_pkey_free, key), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, RW, key), libc::EINVAL);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let more = c!(libc::mmap(core::ptr::null_mut(), PAGE, libc::PROT_EXEC, flags, -1, 0) as i64) as usize;
    eq!((area(more)?.0, rdpkru()), (key.into(), NO_ACCESS << 2));
    eq!(alloc(0)?, 2);
    // Readable again, it has none.
    c_mprotect(at, libc::PROT_READ | libc::PROT_EXEC)?;
    eq!((area(at)?.0, peek(at)), (0, 0xb8));
    // A key of the program's own stays.
    protect(at, PAGE, libc::PROT_EXEC, 2)?;
    eq!((area(at)?.0, peek(at)), (2, 0xb8));
    c_mprotect(at, libc::PROT_READ)?;
    eq!(area(at)?.0, 2);
    Ok(())
}

fn c_mprotect(at: usize, prot: i32) -> Outcome {
    c!(libc::mprotect(at as *mut _, PAGE, prot));
    Ok(())
}

fn no_key_left() -> Outcome {
    need_keys()?;
    let at = map(1)?;
    poke(at, 1);
    for _ in 1..16 {
        alloc(0)?;
    }
    c_mprotect(at, libc::PROT_EXEC)?;
    eq!((area(at)?.0, peek(at)), (0, 1));
    Ok(())
}

fn fork_exec() -> Outcome {
    let (at, key) = keyed()?;
    set_rights(key, NO_ACCESS);
    let rights = rdpkru();
    in_child(|| {
        eq!((rdpkru(), alloc(0)?), (rights, key + 1));
        eq!(fault(|| poke(at, 2))?, (SEGV_PKUERR, at, key));
        c!(libc::syscall(libc::SYS_pkey_free, key));
        Ok(())
    })?;
    eq!(rdpkru(), rights);
    c!(libc::syscall(libc::SYS_pkey_free, key));
    wrpkru(0);
    eq!(peek(at), 1);
    let out = std::process::Command::new("/proc/self/exe").args(["--helper", "pkeys"]).output();
    let out = out.map_err(|error| error.to_string())?;
    eq!(String::from_utf8_lossy(&out.stdout), format!("{INIT:x} Ok(1)"));
    Ok(())
}

fn threads() -> Outcome {
    let (at, key) = keyed()?;
    set_rights(key, NO_WRITE);
    let rights = rdpkru();
    let other = std::thread::spawn(move || {
        let first = rdpkru();
        wrpkru(0);
        poke(at, 5);
        first
    });
    eq!(other.join().map_err(|_| "the thread ended")?, rights);
    eq!((rdpkru(), peek(at)), (rights, 5));
    Ok(())
}

/// Each thread can reach its own page only, whoever ran before it on its CPU.
fn switches() -> Outcome {
    need_keys()?;
    let keys: Vec<u32> = (0..6).map(|_| alloc(NO_ACCESS)).collect::<Result<_, _>>()?;
    let pages = map(keys.len())?;
    for (i, key) in keys.iter().enumerate() {
        protect(pages + i * PAGE, PAGE, RW, *key)?;
    }
    let one = move |own: usize, key: u32, other: usize| -> Outcome {
        let zero = open("/dev/zero", libc::O_RDONLY)?;
        set_rights(key, 0);
        let rights = rdpkru();
        for round in 0..400 {
            eq!(c!(libc::read(zero, own as *mut _, 8)), 8);
            fails!(libc::read(zero, other as *mut _, 8), libc::EFAULT);
            poke(own, round as u8);
            // SAFETY: takes nothing.
            unsafe { libc::sched_yield() };
            eq!((rdpkru(), peek(own)), (rights, round as u8));
        }
        close(zero);
        Ok(())
    };
    let count = keys.len();
    let all: Vec<_> = (0..count)
        .map(|i| {
            let (own, other, key) = (pages + i * PAGE, pages + (i + 1) % count * PAGE, keys[i]);
            std::thread::spawn(move || one(own, key, other))
        })
        .collect();
    all.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread ended")?)
}

fn traced() -> Outcome {
    need_keys()?;
    let pid = child(|| {
        wrpkru(0x0123_4560);
        // SAFETY: numbers.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
            let first = rdpkru();
            libc::raise(libc::SIGSTOP);
            i32::from((first, rdpkru()) != (0x0765_4320, 0))
        }
    })?;
    let mut area = vec![0u8; 16384];
    let at = place();
    for (value, new) in [(0x0123_4560u32, Some(0x0765_4320u32)), (0x0765_4320, None)] {
        ck!(libc::WIFSTOPPED(wait(pid)?), "it does not stop");
        let mut iov = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
        c!(libc::ptrace(libc::PTRACE_GETREGSET, pid, NT_X86_XSTATE, &raw mut iov));
        ck!(iov.iov_len >= at + 8, "{} bytes of state", iov.iov_len);
        eq!((&area[at..at + 4], area[465] & 2, area[513] & 2), (&value.to_le_bytes()[..], 2, 2));
        match new {
            Some(new) => area[at..at + 4].copy_from_slice(&new.to_le_bytes()),
            // A component in its initial state.
            None => area[513] &= !2,
        }
        c!(libc::ptrace(libc::PTRACE_SETREGSET, pid, NT_X86_XSTATE, &raw mut iov));
        c!(libc::ptrace(libc::PTRACE_CONT, pid, 0, 0));
    }
    eq!(exit_of(pid)?, 0);
    Ok(())
}

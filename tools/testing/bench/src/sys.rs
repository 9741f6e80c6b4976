// SPDX-License-Identifier: GPL-2.0
//! System calls as bare instructions, so that no C library is in the figures, and the counter.

use core::arch::asm;

/// One system call; a negative result is an errno.
///
/// Every argument that is a pointer comes from a live Rust object or is null: the callers in this program see to it.
#[inline(always)]
pub fn syscall(nr: i64, args: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the kernel only touches memory that the arguments name, which the callers own.
    unsafe {
        asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
             in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _,
             options(nostack));
    }
    ret
}

/// `sys!(nr, a, b...)`: a system call with each argument cast to a word.
#[macro_export]
macro_rules! sys {
    ($nr:expr $(, $arg:expr)* $(,)?) => {{
        let given: &[usize] = &[$($arg as usize),*];
        let mut args = [0usize; 6];
        args[..given.len()].copy_from_slice(given);
        $crate::sys::syscall($nr as i64, args)
    }};
}

/// The time stamp counter: under `-icount shift=0` the number of instructions since the machine started.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: reads a register; user mode may (CR4.TSD is clear on Linux).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Begins what is measured: the counter, behind a mark (a no-op that `profile.c` knows).
#[inline(always)]
pub fn start() -> u64 {
    // SAFETY: `nopl` with the displacement "RBEG" touches nothing.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x80, 0x52, 0x42, 0x45, 0x47", options(nostack)) };
    now()
}

/// Ends it: the instructions since `start`'s result; then the other mark ("REND").
#[inline(always)]
pub fn stop(start: u64) -> u64 {
    let took = now() - start;
    // SAFETY: as above.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x80, 0x52, 0x45, 0x4e, 0x44", options(nostack)) };
    took
}

/// Forks and runs `child` in the new process, which then exits with 0. Returns the pid or a negative errno.
pub fn fork(child: impl FnOnce()) -> isize {
    let pid = sys!(libc::SYS_fork);
    if pid == 0 {
        child();
        exit(0);
    }
    pid
}

/// Ends the process without unwinding or libc's exit handlers.
pub fn exit(status: i32) -> ! {
    loop {
        sys!(libc::SYS_exit_group, status);
    }
}

/// Waits for the child `pid`.
pub fn wait(pid: isize) -> isize {
    sys!(libc::SYS_wait4, pid, 0, 0, 0)
}

/// A pipe: (read end, write end).
pub fn pipe() -> Result<(i32, i32), isize> {
    let mut fds = [0i32; 2];
    check(sys!(libc::SYS_pipe2, fds.as_mut_ptr(), 0))?;
    Ok((fds[0], fds[1]))
}

/// Splits a raw result into value and negative errno.
pub fn check(ret: isize) -> Result<isize, isize> {
    if ret < 0 { Err(ret) } else { Ok(ret) }
}

/// Reads one byte from `fd` (blocking); the value of the call.
#[inline(always)]
pub fn read1(fd: i32) -> isize {
    let mut byte = 0u8;
    sys!(libc::SYS_read, fd, &raw mut byte, 1)
}

/// Writes one byte to `fd`.
#[inline(always)]
pub fn write1(fd: i32) -> isize {
    let byte = 1u8;
    sys!(libc::SYS_write, fd, &raw const byte, 1)
}

/// Closes `fd`.
pub fn close(fd: i32) {
    sys!(libc::SYS_close, fd);
}

/// Opens the NUL-terminated `path`.
pub fn open(path: &core::ffi::CStr, flags: i32) -> Result<i32, isize> {
    check(sys!(libc::SYS_openat, libc::AT_FDCWD as isize, path.as_ptr(), flags, 0o644)).map(|fd| fd as i32)
}

/// Maps `len` anonymous private bytes, writable, of small pages only.
pub fn map(len: usize) -> Result<*mut u8, isize> {
    let at = map_any(len)?;
    sys!(libc::SYS_madvise, at, len, libc::MADV_NOHUGEPAGE); // EINVAL where there are no huge pages: as wanted
    Ok(at)
}

/// Maps `len` anonymous private bytes, writable, as a program that says nothing more gets them.
pub fn map_any(len: usize) -> Result<*mut u8, isize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    check(sys!(libc::SYS_mmap, 0, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1isize, 0)).map(|a| a as *mut u8)
}

/// Unmaps.
pub fn unmap(at: *mut u8, len: usize) {
    sys!(libc::SYS_munmap, at, len);
}

// SPDX-License-Identifier: GPL-2.0
//! Processes and threads: making them, ending them, waking them.

use crate::{Figure, Row, measure, sys, sys::check};
use core::arch::naked_asm;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

pub const ROWS: &[Row] = &[
    Row { name: "fork_exit", run: fork_exit },
    Row { name: "fork_exit_64m", run: fork_64m },
    Row { name: "vfork_exit", run: vfork_exit },
    Row { name: "fork_exec", run: fork_exec },
    Row { name: "vfork_exec", run: vfork_exec },
    Row { name: "thread_create_join", run: thread },
    Row { name: "futex_wake_none", run: futex_wake },
    Row { name: "futex_wait_again", run: futex_again },
    Row { name: "futex_pingpong", run: futex_pingpong },
];

fn fork_exit() -> Figure {
    sys::wait(check(sys::fork(|| ()))?);
    Ok(measure(40, || {
        sys::wait(sys::fork(|| ()));
    }))
}

/// With 64 MB of touched small pages in the parent.
fn fork_64m() -> Figure {
    let len = 64 << 20;
    let at = sys::map(len)?;
    for i in (0..len).step_by(4096) {
        // SAFETY: inside the map.
        unsafe { at.add(i).write_volatile(1) };
    }
    sys::wait(check(sys::fork(|| ()))?);
    let figure = measure(1, || {
        sys::wait(sys::fork(|| ()));
    });
    sys::unmap(at, len);
    Ok(figure)
}

fn exec_tiny() -> ! {
    let argv = [c"/bin/tiny".as_ptr(), null()];
    sys!(libc::SYS_execve, argv[0], argv.as_ptr(), (&raw const argv[1]));
    sys::exit(127);
}

fn fork_exec() -> Figure {
    sys::wait(check(sys::fork(|| exec_tiny()))?);
    Ok(measure(20, || {
        sys::wait(sys::fork(|| exec_tiny()));
    }))
}

const STACK: usize = 65536;

/// clone() whose child runs `entry(argument)` on a stack of its own and ends with exit(2) of its thread.
///
/// # Safety
/// `top` is the upper end, 16-aligned, of a stack that stays until the child is gone.
#[unsafe(naked)]
unsafe extern "C" fn spawn(
    flags: usize,
    top: usize,
    tid: usize,
    entry: extern "C" fn(usize),
    argument: usize,
) -> isize {
    naked_asm!(
        "mov r9, rcx",
        "mov r11, r8",
        "push rbx",
        "mov rbx, r8",
        "mov r10, rdx", // child_tid: cleared and woken at exit when the flags ask for it
        "mov r8d, 0",   // tls: not set
        "mov eax, 56",
        "syscall",
        "test eax, eax",
        "jz 2f",
        "pop rbx",
        "ret",
        "2:",
        "xor ebp, ebp",
        "mov rdi, rbx",
        "call r9",
        "mov eax, 60",
        "xor edi, edi",
        "syscall",
        "ud2",
    )
}

extern "C" fn run_nothing(_: usize) {}

extern "C" fn run_exec(_: usize) {
    exec_tiny()
}

fn vfork(entry: extern "C" fn(usize)) -> Figure {
    let top = sys::map(STACK)? as usize + STACK;
    let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as usize;
    // SAFETY: the stack is unmapped only after the child has gone (CLONE_VFORK waits for it).
    let once = || unsafe { spawn(flags, top, 0, entry, 0) };
    sys::wait(check(once())?);
    let figure = measure(20, || {
        sys::wait(once());
    });
    sys::unmap((top - STACK) as *mut u8, STACK);
    Ok(figure)
}

fn vfork_exit() -> Figure {
    vfork(run_nothing)
}

fn vfork_exec() -> Figure {
    vfork(run_exec)
}

fn futex(word: &AtomicI32, op: i32, value: i32) -> isize {
    sys!(libc::SYS_futex, word.as_ptr(), op, value, 0, 0, 0)
}

/// A bare thread: clone, its exit, and the wait for the word that the kernel clears.
fn thread() -> Figure {
    let top = sys::map(STACK)? as usize + STACK;
    let tid = AtomicI32::new(0);
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID;
    let once = || {
        tid.store(1, Ordering::SeqCst);
        // SAFETY: the stack is reused or unmapped only after the kernel cleared `tid` at the thread's end.
        let made = unsafe { spawn(flags as usize, top, tid.as_ptr() as usize, run_nothing, 0) };
        while made > 0 && tid.load(Ordering::SeqCst) != 0 {
            futex(&tid, libc::FUTEX_WAIT, 1);
        }
        made
    };
    check(once())?;
    let figure = measure(40, || {
        once();
    });
    sys::unmap((top - STACK) as *mut u8, STACK);
    Ok(figure)
}

fn futex_wake() -> Figure {
    let word = AtomicI32::new(0);
    check(futex(&word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1))?;
    Ok(measure(2000, || {
        futex(&word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
    }))
}

/// A wait whose value has changed: EAGAIN.
fn futex_again() -> Figure {
    let word = AtomicI32::new(0);
    if futex(&word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 1) != -(libc::EAGAIN as isize) {
        return Err(-38);
    }
    Ok(measure(2000, || {
        futex(&word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 1);
    }))
}

static WORD: AtomicI32 = AtomicI32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// Waits until WORD is `mine`, then hands it over.
fn take_turn(mine: i32, other: i32) {
    while WORD.load(Ordering::SeqCst) != mine {
        if STOP.load(Ordering::SeqCst) {
            return;
        }
        futex(&WORD, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, other);
    }
    WORD.store(other, Ordering::SeqCst);
    futex(&WORD, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
}

/// Two threads in turn, there and back.
fn futex_pingpong() -> Figure {
    WORD.store(0, Ordering::SeqCst);
    STOP.store(false, Ordering::SeqCst);
    let partner = std::thread::Builder::new()
        .spawn(|| {
            while !STOP.load(Ordering::SeqCst) {
                take_turn(1, 0);
            }
        })
        .map_err(|e| -(e.raw_os_error().unwrap_or(38) as isize))?;
    let figure = measure(200, || take_turn(0, 1));
    STOP.store(true, Ordering::SeqCst);
    WORD.store(1, Ordering::SeqCst);
    futex(&WORD, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 2);
    let _ = partner.join();
    Ok(figure)
}

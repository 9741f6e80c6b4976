// SPDX-License-Identifier: GPL-2.0
//! Segments of a program's own (`modify_ldt`), and the segment registers across switches, forks, signals and programs.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub const TESTS: &[Test] = &[
    ("ldt.table", table),
    ("ldt.refused", refused),
    ("ldt.switch", switch),
    ("ldt.fork", fork),
    ("ldt.other_cpu", other_cpu),
    ("ldt.arch_prctl", arch_prctl),
    ("ldt.sigreturn", sigreturn),
];

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_GET_GS: i32 = 0x1004;
/// Selector of local entry 0.
const FIRST: u16 = 0x7;
const SEG_32BIT: u32 = 1;
const CODE: u32 = 2 << 1;
const CONFORMING: u32 = 3 << 1;
const NOT_PRESENT: u32 = 1 << 5;
const USEABLE: u32 = 1 << 6;

fn modify(function: i32, buffer: *mut u8, size: usize) -> i32 {
    // SAFETY: the buffer is the caller's; the call changes nothing but the table.
    (unsafe { libc::syscall(libc::SYS_modify_ldt, function, buffer, size) }) as i32
}

fn write_entry(function: i32, mut desc: [u32; 4]) -> i32 {
    modify(function, desc.as_mut_ptr().cast(), 16)
}

fn read_table(bytes: usize) -> Result<Vec<u64>, String> {
    let mut words = vec![!0u64; bytes / 8];
    eq!(modify(0, words.as_mut_ptr().cast(), bytes), bytes as i32);
    Ok(words)
}

fn table() -> Outcome {
    in_child(|| {
        let mut some = [1u8; 256];
        eq!(modify(0, some.as_mut_ptr(), 256), 0);
        eq!(modify(2, some.as_mut_ptr(), 256), 128);
        ck!(some[..128].iter().all(|&b| b == 0) && some[128..].iter().all(|&b| b == 1));
        eq!(write_entry(0x11, [2, 0x1234_5678, 0x9_abcd, SEG_32BIT | USEABLE]), 0);
        // The form from before: the bit for free use is not taken.
        eq!(write_entry(1, [3, 0x1000, 0xfff, SEG_32BIT | CODE | USEABLE]), 0);
        let words = read_table(80)?;
        eq!(words[..2], [0, 0]);
        eq!(words[2], 0x1259_f334_5678_abcd);
        eq!(words[3], 0x0040_fb00_1000_0fff);
        ck!(words[4..].iter().all(|&word| word == 0));
        // Short reads, and entries that are cleared: base and limit 0 in the old form, an empty one in the new.
        eq!(read_table(24)?, words[..3]);
        eq!(write_entry(1, [2, 0, 0, SEG_32BIT]), 0);
        eq!(write_entry(0x11, [3, 0, 0, 1 << 3 | NOT_PRESENT]), 0);
        ck!(read_table(32)?.iter().all(|&word| word == 0));
        Ok(())
    })
}

/// The result is an int: an error is a positive number to who looks at the whole register.
fn refused() -> Outcome {
    in_child(|| {
        let raw = |function: i32, size: usize, mut desc: [u32; 4]| {
            // SAFETY: as in `modify`.
            unsafe { libc::syscall(libc::SYS_modify_ldt, function, desc.as_mut_ptr(), size) }
        };
        let error = |number: i32| i64::from((-number) as u32);
        let good = [0, 0x1000, 0xfff, SEG_32BIT];
        eq!(raw(5, 16, good), error(libc::ENOSYS));
        eq!(raw(1, 12, good), error(libc::EINVAL));
        eq!(raw(1, 16, [8192, 0x1000, 0xfff, SEG_32BIT]), error(libc::EINVAL));
        eq!(raw(1, 16, [0, 0x1000, 0xfff, SEG_32BIT | CONFORMING]), error(libc::EINVAL));
        eq!(raw(0x11, 16, [0, 0x1000, 0xfff, SEG_32BIT | CONFORMING]), error(libc::EINVAL));
        eq!(raw(0x11, 16, [0, 0x1000, 0xfff, SEG_32BIT | CONFORMING | NOT_PRESENT]), 0);
        eq!(raw(0x11, 16, [8191, 0x1000, 0xfff, SEG_32BIT]), 0);
        eq!(modify(1, core::ptr::null_mut(), 16), -libc::EFAULT);
        Ok(())
    })
}

/// A word in low memory, and a segment that begins there.
fn low_word(value: u32) -> Result<*mut u32, String> {
    let (rw, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
    let at = c!(libc::mmap(core::ptr::null_mut(), 4096, rw, flags, -1, 0) as i64) as *mut u32;
    // SAFETY: just mapped.
    unsafe { at.write(value) };
    Ok(at)
}

fn point(entry: u32, at: *mut u32) -> Outcome {
    eq!(write_entry(0x11, [entry, at as u32, 0xfff, SEG_32BIT]), 0);
    Ok(())
}

fn load_gs(selector: u16) {
    // SAFETY: nothing in this program uses GS.
    unsafe { asm!("mov gs, {:e}", in(reg) u32::from(selector)) };
}

fn gs() -> u16 {
    let selector: u32;
    // SAFETY: a look.
    unsafe { asm!("mov {:e}, gs", out(reg) selector) };
    selector as u16
}

fn at_gs() -> u32 {
    let value: u32;
    // SAFETY: the test has pointed GS to a word.
    unsafe { asm!("mov {:e}, gs:[0]", out(reg) value) };
    value
}

fn switch() -> Outcome {
    in_child(|| {
        let words = [low_word(11)?, low_word(22)?];
        point(0, words[0])?;
        point(1, words[1])?;
        load_gs(FIRST);
        eq!(at_gs(), 11);
        // Others have other segments meanwhile, or none.
        let other = std::thread::spawn(|| {
            load_gs(FIRST + 8);
            for _ in 0..200 {
                sleep_ms(1);
                if (gs(), at_gs()) != (FIRST + 8, 22) {
                    return false;
                }
            }
            true
        });
        for _ in 0..200 {
            sleep_ms(1);
            eq!((gs(), at_gs()), (FIRST, 11));
        }
        ck!(other.join().unwrap_or(false));
        Ok(())
    })
}

fn fork() -> Outcome {
    in_child(|| {
        let word = low_word(5)?;
        point(0, word)?;
        load_gs(FIRST);
        in_child(|| {
            eq!((gs(), at_gs()), (FIRST, 5));
            // Its own from now on.
            let mine = low_word(6)?;
            point(0, mine)?;
            load_gs(FIRST);
            eq!(at_gs(), 6);
            Ok(())
        })?;
        load_gs(FIRST);
        eq!(at_gs(), 5);
        Ok(())
    })
}

static STEP: AtomicU32 = AtomicU32::new(0);

/// A thread that runs all the time loads a segment that another has just made.
fn other_cpu() -> Outcome {
    in_child(|| {
        STEP.store(0, SeqCst);
        point(0, low_word(0)?)?;
        let other = std::thread::spawn(|| {
            for round in 1..=50 {
                while STEP.load(SeqCst) != round * 2 - 1 {
                    core::hint::spin_loop();
                }
                load_gs(FIRST);
                if at_gs() != round {
                    return round;
                }
                STEP.store(round * 2, SeqCst);
            }
            0
        });
        for round in 1..=50u32 {
            point(0, low_word(round)?)?;
            STEP.store(round * 2 - 1, SeqCst);
            let start = now_ms();
            while STEP.load(SeqCst) != round * 2 {
                if other.is_finished() || now_ms() - start > 5000 {
                    return Err(format!("round {round}: the other thread sees an old segment"));
                }
                std::thread::yield_now();
            }
        }
        eq!(other.join().unwrap_or(99), 0);
        Ok(())
    })
}

fn arch_prctl() -> Outcome {
    in_child(|| {
        let (one, two) = (low_word(1)?, low_word(2)?);
        point(0, one)?;
        load_gs(FIRST);
        eq!(at_gs(), 1);
        // Setting the base takes the segment away.
        c!(libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, two));
        eq!((gs(), at_gs()), (0, 2));
        let mut base = 0u64;
        c!(libc::syscall(libc::SYS_arch_prctl, ARCH_GET_GS, &raw mut base));
        eq!(base, two as u64);
        // A selector of nothing: the load faults.
        let pid = child(|| {
            load_gs(FIRST + 8 * 100);
            0
        })?;
        eq!(signal_of(pid)?, libc::SIGSEGV);
        fails!(libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, u64::MAX / 2), libc::EPERM);
        Ok(())
    })
}

/// Where the selectors are in the frame: CS, GS, FS, SS.
const SELECTORS: usize = libc::REG_CSGSFS as usize;

extern "C" fn change_ss(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the handler's own context.
    let word = unsafe { &mut (*context).uc_mcontext.gregs[SELECTORS] };
    *word = *word & 0x0000_ffff_ffff_ffff | 0x3b << 48;
}

/// A handler that leaves a stack segment which is none: the program gets SIGSEGV, and the machine lives on.
fn sigreturn() -> Outcome {
    for _ in 0..50 {
        let pid = child(|| {
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t) = change_ss;
            if handle(libc::SIGUSR1, handler as usize, libc::SA_SIGINFO).is_err() {
                return 1;
            }
            // SAFETY: a signal to itself.
            unsafe { libc::raise(libc::SIGUSR1) };
            0
        })?;
        eq!(signal_of(pid)?, libc::SIGSEGV);
    }
    Ok(())
}

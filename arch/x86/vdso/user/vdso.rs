// SPDX-License-Identifier: GPL-2.0
//! The vDSO: what programs call instead of the kernel to read the clock and the CPU number. Runs in user mode, in any thread
//! and signal handler; has no data of its own, reads the kernel's page below its own first byte. Source: `vdso(7)`.

#![no_std]

#[allow(dead_code, reason = "the kernel uses the rest")]
#[path = "../src/layout.rs"]
mod layout;

use core::arch::asm;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;
use layout::*;

const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Resolution of the coarse clocks (`clock_hw::COARSE_NS`).
const COARSE_NS: u64 = 4_000_000;
/// Selector whose limit is the CPU number, the node above bit 12.
const CPUNODE_SELECTOR: u32 = 0x7b;

const SYS_GETTIMEOFDAY: usize = 96;
const SYS_TIME: usize = 201;
const SYS_CLOCK_GETTIME: usize = 228;
const SYS_CLOCK_GETRES: usize = 229;

/// Clocks that are read as the fine clocks are.
const FINE: u32 = 1 << CLOCK_REALTIME | 1 << CLOCK_MONOTONIC | 1 << CLOCK_BOOTTIME | 1 << CLOCK_TAI;
const COARSE: u32 = 1 << CLOCK_REALTIME_COARSE | 1 << CLOCK_MONOTONIC_COARSE;
const RAW: u32 = 1 << CLOCK_MONOTONIC_RAW;

#[repr(C)]
pub struct Timespec {
    sec: i64,
    nsec: i64,
}

#[repr(C)]
pub struct Timeval {
    sec: i64,
    usec: i64,
}

#[repr(C)]
pub struct Timezone {
    minutes_west: i32,
    dst_time: i32,
}

unsafe extern "C" {
    static vdso_data: DataPage;
}

#[inline(always)]
fn page() -> &'static DataPage {
    let page: *const DataPage;
    // SAFETY: The kernel maps the page right below the image; the linker script puts the symbol there.
    unsafe {
        asm!("lea {}, [rip + {}]", out(reg) page, sym vdso_data, options(pure, nomem, nostack, preserves_flags));
        &*page
    }
}

/// The counter, after all earlier loads.
#[inline(always)]
fn counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: LFENCE and RDTSC only read; the kernel lets user mode do so as long as it sets MODE_TSC.
    unsafe { asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags)) };
    high << 32 | low
}

/// Nanoseconds of `clock`, which is one of the page's; `None` when only the kernel can tell.
#[inline(always)]
fn read(clock: usize, raw: bool) -> Option<u64> {
    let page = page();
    loop {
        let seq = page.seq.load(Acquire);
        if seq & 1 != 0 {
            // SAFETY: A hint.
            unsafe { asm!("pause", options(nomem, nostack, preserves_flags)) };
            continue;
        }
        if page.mode.load(Relaxed) != MODE_TSC {
            return None;
        }
        let now = counter();
        let last = page.cycle_last.load(Relaxed);
        // A CPU whose counter is a little behind must not see the past become the far future.
        let delta = now.saturating_sub(last);
        let (mult, frac) = if raw { (&page.raw_mult, &page.raw_frac) } else { (&page.mult, &page.frac) };
        let scaled = delta as u128 * mult.load(Relaxed) as u128 + frac.load(Relaxed) as u128;
        // SAFETY: Callers pass clocks below CLOCKS.
        let base = unsafe { page.base_ns.get_unchecked(clock) }.load(Relaxed);
        let ns = base.wrapping_add((scaled >> 32) as u64);
        fence(Acquire);
        if page.seq.load(Relaxed) == seq {
            return Some(ns);
        }
    }
}

#[inline(always)]
fn syscall2(number: usize, a: usize, b: usize) -> isize {
    let result: isize;
    // SAFETY: A system call whose pointers are the caller's; the kernel checks them.
    unsafe {
        asm!("syscall", inout("rax") number as isize => result, in("rdi") a, in("rsi") b,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// As `clock_gettime(2)`: `to` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(clock: i32, to: *mut Timespec) -> i32 {
    let bit = if (clock as u32) < CLOCKS as u32 { 1u32 << clock } else { 0 };
    let ns = if bit & FINE != 0 {
        read(clock as usize, false)
    } else if bit & COARSE != 0 {
        match read(clock as usize, false) {
            Some(ns) => Some(ns - ns % COARSE_NS),
            None => None,
        }
    } else if bit & RAW != 0 {
        read(CLOCK_MONOTONIC_RAW, true)
    } else {
        None
    };
    match ns {
        Some(ns) => {
            // SAFETY: By the contract.
            unsafe { *to = Timespec { sec: (ns / NSEC_PER_SEC) as i64, nsec: (ns % NSEC_PER_SEC) as i64 } };
            0
        }
        None => syscall2(SYS_CLOCK_GETTIME, clock as usize, to as usize) as i32,
    }
}

/// # Safety
/// As `clock_getres(2)`: `to` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_getres(clock: i32, to: *mut Timespec) -> i32 {
    let bit = if (clock as u32) < CLOCKS as u32 { 1u32 << clock } else { 0 };
    let nsec = if bit & (FINE | RAW) != 0 {
        1
    } else if bit & COARSE != 0 {
        COARSE_NS as i64
    } else {
        return syscall2(SYS_CLOCK_GETRES, clock as usize, to as usize) as i32;
    };
    if !to.is_null() {
        // SAFETY: By the contract.
        unsafe { *to = Timespec { sec: 0, nsec } };
    }
    0
}

/// # Safety
/// As `gettimeofday(2)`: both are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(time: *mut Timeval, zone: *mut Timezone) -> i32 {
    if !time.is_null() {
        let Some(ns) = read(CLOCK_REALTIME, false) else {
            return syscall2(SYS_GETTIMEOFDAY, time as usize, zone as usize) as i32;
        };
        // SAFETY: By the contract.
        unsafe { *time = Timeval { sec: (ns / NSEC_PER_SEC) as i64, usec: (ns % NSEC_PER_SEC / 1000) as i64 } };
    }
    if !zone.is_null() {
        let page = page();
        let value = Timezone { minutes_west: page.minutes_west.load(Relaxed), dst_time: page.dst_time.load(Relaxed) };
        // SAFETY: By the contract.
        unsafe { *zone = value };
    }
    0
}

/// # Safety
/// As `time(2)`: `to` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(to: *mut i64) -> i64 {
    let seconds = match read(CLOCK_REALTIME, false) {
        Some(ns) => (ns / NSEC_PER_SEC) as i64,
        None => syscall2(SYS_TIME, 0, 0) as i64,
    };
    if !to.is_null() {
        // SAFETY: By the contract.
        unsafe { *to = seconds };
    }
    seconds
}

/// # Safety
/// As `getcpu(2)`: both are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, _unused: *mut core::ffi::c_void) -> i32 {
    let limit: u32;
    // SAFETY: LSL only reads a descriptor that every CPU's table has.
    unsafe {
        asm!("lsl {0:e}, {1:e}", out(reg) limit, in(reg) CPUNODE_SELECTOR, options(nomem, nostack));
        if !cpu.is_null() {
            *cpu = limit & 0xfff;
        }
        if !node.is_null() {
            *node = limit >> 12;
        }
    }
    0
}

core::arch::global_asm!(
    ".weak clock_gettime, clock_getres, gettimeofday, time, getcpu",
    ".set clock_gettime, __vdso_clock_gettime",
    ".set clock_getres, __vdso_clock_getres",
    ".set gettimeofday, __vdso_gettimeofday",
    ".set time, __vdso_time",
    ".set getcpu, __vdso_getcpu",
    ".pushsection .note.Linux, \"a\", @note",
    ".balign 4",
    // Name "Linux", type 0, description: the kernel version that the ABI is of (6.1).
    ".long 6, 4, 0",
    ".asciz \"Linux\"",
    ".balign 4",
    ".long 0x060100",
    ".popsection",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

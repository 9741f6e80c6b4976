// SPDX-License-Identifier: GPL-2.0
//! The kernel image: the order in which everything starts. `x86_head` calls `start` on the boot stack of CPU 0 with interrupts
//! off. Nothing calls this crate; it depends on all that `.config` asks for.
//!
//! | step | file | what comes alive |
//! |---|---|---|
//! | 1 | here, [`start`] | log, CPU tables and exceptions, memory, interrupt controllers, clocks, scheduler |
//! | 2 | `late` | in process 1: other CPUs, work queues, file systems, devices, `/init` |

#![no_std]
#![forbid(unsafe_code)]

mod built_in;
mod early_console;
mod firmware;
mod late;
mod modules;
mod nodes;
mod params;
#[cfg(feature = "CONFIG_BLOCK")]
mod root;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod vdso;

use klog::pr_notice;
use x86_head::BootInfo;

x86_head::kernel_entry!(start);

/// From the head to the first task; then this context is CPU 0's idle task.
fn start(info: &'static BootInfo) -> ! {
    printk::init();
    x86::early_init(info);
    let line = params::line(info);
    params::early(line);
    // A console shows the log from its start when it comes.
    pr_notice!("Linux version {} (rideau) by {}", uapi::UTS_RELEASE, info.protocol.name());
    pr_notice!("Command line: {}", params::Shown(line.as_bytes()));
    early_console::init(info, line);
    vt::console_init(info);
    serial8250::console_init();
    vt::console_init_late(info);
    if let Err(error) = bring_up(info) {
        x86::panic::panic(format_args!("start-up failed: {error}"));
    }
    sched::idle()
}

/// The CMOS clock, which goes on while the machine sleeps.
struct Wall;

impl ktime::timekeeper::PersistentClock for Wall {
    fn seconds(&self) -> Option<i64> {
        x86::clocks::rtc::read_seconds().ok()
    }
}

/// Everything that must be there before the first task runs; interrupts off.
fn bring_up(info: &'static BootInfo) -> errno::Result {
    mm_alloc::memblock::init(info);
    x86::smp::boot::reserve_early();
    x86_mm::init(info, x86::smp::boot::reserve_tables)?;
    x86::init_irq(info)?;
    let trust = |what: &[u8]| info.option_value(what).is_none_or(|value| !matches!(value, b"0" | b"n" | b"N" | b"off"));
    random::init(info.seed.as_slice(), trust(b"random.trust_cpu"), trust(b"random.trust_bootloader"));
    containers::hash::set_seed(random::u64());
    ktime::init();
    sched::init()?;
    x86::init_clocks(info);
    if let Ok(now) = x86::clocks::read_wall_ns() {
        ktime::set_boot_realtime(now.unsigned_abs());
        static WALL: &dyn ktime::timekeeper::PersistentClock = &Wall;
        ktime::timekeeper::PERSISTENT.set(&WALL);
    }
    irq::init();
    // Without it the log still goes to other consoles.
    if let Err(error) = vt::init_screen(info) {
        klog::pr_err!("vt: no screen: {error}");
    }
    printk::init_readers()?;
    acpi_core::init();
    match x86_vdso::init() {
        Ok(()) => ktime::timekeeper::publish_vdso(),
        Err(error) => klog::pr_warn!("vdso: {error}, programs make system calls instead"),
    }
    late::start(info)
}

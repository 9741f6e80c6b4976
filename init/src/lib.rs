// SPDX-License-Identifier: GPL-2.0
//! The kernel image: the order in which everything starts. `x86_head` calls `start` on the boot stack of CPU 0
//! with interrupts off. Nothing calls this crate; it depends on all that `.config` asks for.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;
use x86_head::BootInfo;
use x86_head::early_serial::{self, EarlySerial};

x86_head::kernel_entry!(start);

/// From the head to the first task.
fn start(info: &'static BootInfo) -> ! {
    early_serial::init(0x3f8, 115_200);
    let _ = writeln!(EarlySerial, "Linux version {} (rideau) {}", uapi::UTS_RELEASE, info.protocol.name());
    x86_cpu::asm::halt_forever()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(EarlySerial, "Kernel panic - not syncing: {info}");
    x86_cpu::asm::halt_forever()
}

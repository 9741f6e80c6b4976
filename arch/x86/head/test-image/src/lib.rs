// SPDX-License-Identifier: GPL-2.0
//! A kernel that prints its boot information on the serial line and halts: the boot paths are tested with it alone.
//! Built and run by `tools/testing/boot/matrix.py --head`.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_head::early_serial::{self, EarlySerial};
use x86_head::{BootInfo, sections};

x86_head::kernel_entry!(start);

/// Points into the image, so it needs a relocation.
static POINTER: &&str = &"relocated";
static ZERO: AtomicU64 = AtomicU64::new(0);
static DATA: AtomicU64 = AtomicU64::new(42);

fn start(info: &'static BootInfo) -> ! {
    early_serial::init(0x3f8, 115_200);
    let mut out = EarlySerial;
    let _ =
        writeln!(out, "HEAD protocol={} loader={:#x} ({})", info.protocol.name(), info.loader_type, info.loader_name());
    let _ = writeln!(out, "HEAD cmdline={:?} unreadable={}", info.cmdline, info.cmdline_unreadable);
    for region in info.memory.regions() {
        let last = region.end() - 1;
        let _ = writeln!(out, "HEAD mem {:#018x}-{last:#018x} {}", region.start, region.kind.log_name());
    }
    for range in info.initrds() {
        let _ = writeln!(out, "HEAD initrd {:#x}+{:#x}", range.start, range.len);
    }
    let _ = writeln!(out, "HEAD rsdp={:x?} screen={:?} efi={:x?}", info.rsdp, info.screen, info.efi);
    let _ = writeln!(out, "HEAD kernel={:x?} seed={}", info.kernel, info.seed.len());
    let _ = writeln!(out, "HEAD text={:x?} bss={:x?}", sections::text(), sections::bss());
    let here = start as fn(&'static BootInfo) -> ! as usize;
    let ok = sections::text().contains(&here)
        && sections::image().start as u64 == info.kernel.virt_base
        && *POINTER == "relocated"
        && ZERO.load(Ordering::Relaxed) == 0
        && DATA.load(Ordering::Relaxed) == 42
        && x86_cpu::cpu_id() == 0
        && info.memory.total_ram() > 32 << 20;
    let _ = writeln!(out, "HEAD {}", if ok { "PASS" } else { "FAIL" });
    x86_cpu::asm::halt_forever()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(EarlySerial, "HEAD FAIL {info}");
    x86_cpu::asm::halt_forever()
}

// SPDX-License-Identifier: GPL-2.0
//! Panic: the machine cannot go on. One CPU reports and the others stop; then a reboot after `panic=` seconds, or silence.
//! A Rust panic (a failed assertion, an index out of bounds) is a kernel BUG: an oops that ends the task it happened in.

use crate::traps::{oops, stacktrace};
use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use hook::Hook;
use klog::{pr_alert, pr_emerg};
use x86_cpu::irqflags::local_irq_disable;
use x86_cpu::{asm, cpu_id};
use x86_irq::panic_cpu;

pub use panic_cpu::in_progress;

/// `panic=`: seconds to wait before a reboot; 0 waits for ever, negative reboots at once. `kernel.panic` writes it too.
pub static PANIC_TIMEOUT: AtomicI32 = AtomicI32::new(0);
/// A Rust panic is being reported (a second one inside the report goes straight to `panic`).
static IN_BUG: AtomicBool = AtomicBool::new(false);

/// Told about a panic before anything is printed (the console: stop taking locks, print at once).
pub trait PanicNotifier: Sync {
    /// The machine panics. Interrupts off, any lock may be held by this CPU.
    fn panicking(&self);
}

/// The console's notifier.
pub static PANIC_NOTIFIER: Hook<dyn PanicNotifier> = Hook::new();

/// `Kernel panic - not syncing: ...`. Any context.
pub fn panic(message: Arguments<'_>) -> ! {
    local_irq_disable();
    if !panic_cpu::claim(cpu_id()) {
        // Another CPU does, or this is a panic within the panic: nothing more can be said safely.
        asm::halt_forever();
    }
    if let Some(notifier) = PANIC_NOTIFIER.get() {
        notifier.panicking();
    }
    pr_emerg!("Kernel panic - not syncing: {message}");
    stacktrace::dump_stack();
    x86_irq::smp::stop_other_cpus();
    let timeout = PANIC_TIMEOUT.load(Ordering::Relaxed);
    if timeout > 0 {
        pr_emerg!("Rebooting in {timeout} seconds..");
        for _ in 0..timeout {
            x86_delay::delay::mdelay(1000);
        }
    }
    if timeout != 0 {
        crate::reboot::emergency_restart();
    }
    pr_emerg!("---[ end Kernel panic - not syncing: {message} ]---");
    asm::halt_forever()
}

#[cfg(target_os = "none")]
#[panic_handler]
fn rust_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    local_irq_disable();
    if in_progress() || IN_BUG.swap(true, Ordering::Relaxed) {
        panic(format_args!("panic within a panic: {}", info.message()));
    }
    match info.location() {
        Some(place) => pr_alert!("kernel BUG at {}:{}!", place.file(), place.line()),
        None => pr_alert!("kernel BUG!"),
    }
    pr_alert!("{}", info.message());
    stacktrace::dump_stack();
    IN_BUG.store(false, Ordering::Relaxed);
    oops::end_of_task()
}

// SPDX-License-Identifier: GPL-2.0
//! The ends of the machine: restart, power off, halt. Called in process context by `reboot(2)`'s implementation after it has
//! synced and told the drivers; [`emergency_restart`] also by panic, in any context.

use boot_info::BootInfo;
use core::sync::atomic::{AtomicU8, Ordering};
use hook::Hook;
use klog::pr_emerg;
use x86_acpi::fadt::Fadt;
use x86_cpu::asm::{halt_forever, triple_fault};
use x86_cpu::io::PortRange;
use x86_cpu::irqflags::local_irq_disable;
use x86_delay::delay::{mdelay, udelay};

/// Who can switch the machine off (`drivers/acpi`: it knows `_S5`).
pub trait PowerOff: Sync {
    /// What may sleep or allocate: runs before the other CPUs stop. False if power-off is not possible.
    fn prepare(&self) -> bool;
    /// Switches off. Interrupts off, one CPU. Returns only if it failed.
    fn power_off(&self);
}

/// The one who can.
pub static POWER_OFF: Hook<dyn PowerOff> = Hook::new();

/// Restarts the machine.
pub fn machine_restart() -> ! {
    pr_emerg!("reboot: Restarting system");
    shutdown();
    emergency_restart()
}

/// Switches the machine off; halts it if that is not possible.
pub fn machine_power_off() -> ! {
    pr_emerg!("reboot: Power down");
    let ready = POWER_OFF.get().filter(|power| power.prepare());
    shutdown();
    if let Some(power) = ready {
        power.power_off();
        mdelay(1000);
    }
    pr_emerg!("reboot: power off is not available, System halted");
    halt_forever()
}

/// Stops the machine with its power on.
pub fn machine_halt() -> ! {
    pr_emerg!("reboot: System halted");
    shutdown();
    halt_forever()
}

/// Leaves this CPU alone, interrupts off, interrupt sources silent.
fn shutdown() {
    local_irq_disable();
    x86_irq::smp::stop_other_cpus();
    x86_irq::io::shutdown();
    x86_apic::local::shutdown_cpu();
}

/// The first way to try, as `reboot=` names it by its first letter; 0: the usual order.
static FIRST_WAY: AtomicU8 = AtomicU8::new(0);

/// `reboot=`: `a`cpi, `k`bd, `p`ci or `t`riple come first if named. Other words of Linux's option are not known.
pub fn options(info: &BootInfo) {
    if let Some(way @ (b'a' | b'k' | b'p' | b't')) = info.option_value(b"reboot").and_then(|value| value.first()) {
        FIRST_WAY.store(*way, Ordering::Relaxed);
    }
}

/// Resets by whatever works: ACPI's register, the keyboard controller, the chip set's port, a triple fault.
pub fn emergency_restart() -> ! {
    local_irq_disable();
    match FIRST_WAY.load(Ordering::Relaxed) {
        b'k' => keyboard_resets(),
        b'p' => chip_set_reset(),
        b't' => triple_fault(),
        _ => {}
    }
    let fadt = Fadt::read();
    if let Some((register, value)) = fadt.and_then(|fadt| fadt.reset)
        && register.write8(value).is_ok()
    {
        mdelay(50);
    }
    if fadt.is_none_or(|fadt| fadt.has_i8042) {
        keyboard_resets();
    }
    chip_set_reset();
    triple_fault()
}

fn keyboard_resets() {
    for _ in 0..10 {
        keyboard_reset();
        udelay(50);
    }
}

fn chip_set_reset() {
    // The reset control register of PC chip sets; anything else there ignores it. 2: type of reset, 6: do it, hard.
    if let Some(register) = PortRange::claim(0xcf9, 1) {
        let keep = register.read8(0) & !6;
        register.write8(0, keep | 2);
        udelay(50);
        register.write8(0, keep | 6);
    }
    mdelay(50);
}

/// Pulses the CPU's reset line through the keyboard controller, if its input buffer ever empties.
fn keyboard_reset() {
    let Some(controller) = PortRange::claim(0x64, 1) else { return };
    for _ in 0..0x1_0000 {
        if controller.read8(0) & 2 == 0 {
            break;
        }
    }
    // Its command to pulse output line 0, which is the reset line; nothing else is there.
    controller.write8(0, 0xfe);
}

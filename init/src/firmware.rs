// SPDX-License-Identifier: GPL-2.0
//! Devices that firmware names, put on the platform bus, and on the bus `pnp`.

use acpi_core::namespace::{self, AcpiDevice, AcpiInterrupt, Value};
use device::platform::{self, Info, Interrupt, Memory};
use device::{FwNode, Property};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use x86::acpi::fadt::Fadt;

fn text(text: &str) -> Result<KString> {
    Ok(KString::from_str(text, GFP_KERNEL)?)
}

fn value(from: &Value) -> Result<device::Value> {
    Ok(match from {
        Value::Text(its) => device::Value::Text(text(its)?),
        Value::Number(number) => device::Value::Number(*number),
        Value::List(parts) => {
            let mut list = KVec::new();
            for part in parts {
                // Parts are no lists themselves.
                match part {
                    Value::Text(its) => list.push(device::Value::Text(text(its)?), GFP_KERNEL)?,
                    Value::Number(number) => list.push(device::Value::Number(*number), GFP_KERNEL)?,
                    Value::List(_) => {}
                }
            }
            device::Value::List(list)
        }
    })
}

/// Where a line ends, and how it signals. What firmware says of an ISA line in its tables of interrupts goes before what a device says.
fn interrupt(of: &AcpiInterrupt) -> Interrupt {
    match of.isa {
        Some(isa) => {
            let line = irq::isa_line(isa);
            let (level, low) = (line.trigger == irq::Trigger::Level, line.polarity == irq::Polarity::Low);
            Interrupt { gsi: line.gsi, level, low }
        }
        None => Interrupt { gsi: of.number, level: of.level, low: of.low },
    }
}

fn info(of: &AcpiDevice) -> Result<Info> {
    let mut properties = KVec::new();
    for (name, its) in &of.properties {
        properties.push(Property { name: text(name)?, value: value(its)? }, GFP_KERNEL)?;
    }
    let fwnode = FwNode { path: text(&of.path)?, properties, children: KVec::new() };
    let (mut acpi_ids, mut memory) = (KVec::new(), KVec::new());
    for id in &of.ids {
        acpi_ids.push(text(id)?, GFP_KERNEL)?;
    }
    for &(start, len) in &of.memory {
        memory.push(Memory { start, len }, GFP_KERNEL)?;
    }
    let mut interrupts = KVec::new();
    for its in &of.interrupts {
        interrupts.push(interrupt(its), GFP_KERNEL)?;
    }
    Ok(Info { acpi_ids, fwnode: Some(Arc::new(fwnode, GFP_KERNEL)?), memory, interrupts, ..Info::default() })
}

/// Adds a device, or says why not: the boot goes on without it.
fn put(name: &[u8], info: Result<Info>) {
    if let Err(error) = info.and_then(|info| platform::add(name, info)) {
        klog::pr_warn!("platform {}: {error}", name.escape_ascii());
    }
}

fn with_id(id: &str) -> Result<Info> {
    let mut info = Info::default();
    info.acpi_ids.push(text(id)?, GFP_KERNEL)?;
    Ok(info)
}

/// Adds what PCs have: the keyboard controller and the clock, unless ACPI says that there is none (`x86_platform.legacy`). Their drivers may
/// be modules.
fn add_legacy() {
    let fadt = Fadt::read();
    if fadt.is_none_or(|fadt| fadt.has_i8042) {
        put(b"i8042", Ok(Info::default()));
    }
    if fadt.is_none_or(|fadt| fadt.has_rtc) {
        put(b"rtc_cmos", with_id("PNP0B00"));
    }
}

/// Adds the HPET, whose counter the kernel has started.
fn add_hpet() -> Result {
    if let Some(found) = x86::clocks::hpet_found() {
        let mut info = with_id("PNP0103")?;
        info.memory.push(Memory { start: found.address, len: 0x400 }, GFP_KERNEL)?;
        put(b"PNP0103:00", Ok(info));
    }
    Ok(())
}

/// Adds the serial ports that ACPI describes, `00:00` and so on: all that is on this bus now.
fn add_ports() {
    let info = |of: &acpi_core::PnpDevice, id: &str| -> Result<device::pnp::Info> {
        let mut info = device::pnp::Info::default();
        info.ids.push(text(id)?, GFP_KERNEL)?;
        info.io.extend(of.io.iter().copied(), GFP_KERNEL)?;
        info.irqs.extend(of.irqs.iter().copied(), GFP_KERNEL)?;
        Ok(info)
    };
    let mut number = 0;
    for id in ["PNP0500", "PNP0501"] {
        for of in &acpi_core::devices_with_eisa_id(id) {
            if let Err(error) = info(of, id).and_then(|info| device::pnp::add(number, info)) {
                klog::pr_warn!("pnp 00:{number:02x}: {error}");
            }
            number = number.saturating_add(1);
        }
    }
}

/// Adds virtio devices in memory that ACPI names (QEMU's microvm).
fn add_virtio() -> Result {
    for (at, found) in acpi_core::devices_with_hid("LNRO0005").iter().enumerate() {
        let mut info = with_id("LNRO0005")?;
        info.memory.push(Memory { start: found.base, len: found.len }, GFP_KERNEL)?;
        info.interrupts.push(Interrupt { gsi: found.gsi, level: found.level, low: found.low }, GFP_KERNEL)?;
        let name = KString::from_fmt(format_args!("LNRO0005:{at:02x}"), GFP_KERNEL)?;
        put(name.as_bytes(), Ok(info));
    }
    Ok(())
}

/// Adds what every PC has, and what ACPI has in additional tables: `ID:00`, `ID:01`... May sleep.
pub(crate) fn add_devices() -> Result {
    add_legacy();
    add_ports();
    add_hpet()?;
    add_virtio()?;
    let devices = namespace::devices();
    for (at, of) in devices.iter().enumerate() {
        let Some(id) = of.ids.first() else { continue };
        let before = devices.iter().take(at).filter(|other| other.ids.first() == Some(id)).count();
        let name = KString::from_fmt(format_args!("{id}:{before:02x}"), GFP_KERNEL)?;
        if let Err(error) = platform::add(name.as_bytes(), info(of)?) {
            klog::pr_warn!("ACPI: {name}: {error}");
        }
    }
    Ok(())
}

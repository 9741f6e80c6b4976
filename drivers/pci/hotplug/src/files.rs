// SPDX-License-Identifier: GPL-2.0
//! A slot's directory, `/sys/bus/pci/slots/NUMBER`.

use crate::regs::{Led, cap};
use crate::slot::Slot;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use sysfs::Node;
use sysfs::uevent::{self, Action};
use vfs::{SeqBuf, seq_print};

/// Tries for a name: two slots may have the same number.
const MOST_NAMES: u32 = 64;

/// Shows the slot. May sleep.
pub(crate) fn add(slot: &Arc<Slot>) -> Result<Arc<Node>> {
    let slots = sysfs::root()?.path_or_new("bus/pci/slots")?;
    let node = new_directory(&slots, slot)?;
    fill(&node, slot).inspect_err(|_| node.remove())?;
    uevent::emit(Action::Add, &node, "slots", |_| Ok(()));
    Ok(node)
}

/// Takes it away. May sleep.
pub(crate) fn remove(node: &Arc<Node>) {
    uevent::emit(Action::Remove, node, "slots", |_| Ok(()));
    node.remove();
}

fn new_directory(slots: &Arc<Node>, slot: &Slot) -> Result<Arc<Node>> {
    match slots.mkdir(slot.name.as_bytes()) {
        Err(EEXIST) => {}
        made => return made,
    }
    for n in 1..MOST_NAMES {
        let name = KString::from_fmt(format_args!("{}-{n}", slot.name), GFP_KERNEL)?;
        match slots.mkdir(name.as_bytes()) {
            Err(EEXIST) => {}
            made => return made,
        }
    }
    Err(EEXIST)
}

/// An attribute that shows a number.
fn number(node: &Arc<Node>, slot: &Arc<Slot>, name: &str, value: fn(&Slot) -> u16) -> Result {
    let slot = slot.clone();
    sysfs::attr(node, name, move |out| seq_print!(out, "{}\n", value(&slot))).map(drop)
}

fn fill(node: &Arc<Node>, slot: &Arc<Slot>) -> Result {
    let its = slot.clone();
    // Of the bus behind the port, and the only device that a link can have.
    sysfs::attr(node, "address", move |out| {
        let port = its.port();
        seq_print!(out, "{:04x}:{:02x}:00\n", port.address.segment, pci::bus::bus_behind(port))
    })?;
    number(node, slot, "adapter", |slot| (slot.regs.is_present() || slot.regs.is_link_up()).into())?;
    if slot.regs.has(cap::LATCH) {
        number(node, slot, "latch", |slot| slot.regs.is_latch_open().into())?;
    }
    if slot.regs.has(cap::ATTENTION_LED) {
        let (shown, stored) = (slot.clone(), slot.clone());
        let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", shown.regs.attention());
        sysfs::attr_rw(node, "attention", show, move |data| attention(&stored, data))?;
    }
    let (shown, stored) = (slot.clone(), slot.clone());
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", u8::from(shown.regs.is_powered()));
    sysfs::attr_rw(node, "power", show, move |data| power(&stored, data))?;
    let its = slot.clone();
    sysfs::attr(node, "max_bus_speed", move |out| seq_print!(out, "{}\n", speed(its.regs.speeds().0)))?;
    let its = slot.clone();
    sysfs::attr(node, "cur_bus_speed", move |out| seq_print!(out, "{}\n", speed(its.regs.speeds().1))).map(drop)
}

/// A number as programs write it.
fn parse(data: &[u8]) -> Result<u32> {
    core::str::from_utf8(data.trim_ascii())?.parse::<u32>().map_err(|_| EINVAL)
}

fn power(slot: &Slot, data: &[u8]) -> Result<usize> {
    match parse(data)? {
        0 => slot.switch(false)?,
        1 => slot.switch(true)?,
        _ => return Err(EINVAL),
    }
    Ok(data.len())
}

fn attention(slot: &Slot, data: &[u8]) -> Result<usize> {
    let led = match parse(data)? {
        0 => Led::Off,
        1 => Led::On,
        2 => Led::Blink,
        _ => return Err(EINVAL),
    };
    slot.regs.set_leds(None, Some(led));
    Ok(data.len())
}

/// Source: Linux's `pci_speed_string`.
fn speed(number: u32) -> &'static str {
    match number {
        1 => "2.5 GT/s PCIe",
        2 => "5.0 GT/s PCIe",
        3 => "8.0 GT/s PCIe",
        4 => "16.0 GT/s PCIe",
        5 => "32.0 GT/s PCIe",
        6 => "64.0 GT/s PCIe",
        _ => "Unknown",
    }
}

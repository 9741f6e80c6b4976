// SPDX-License-Identifier: GPL-2.0
//! A slot's registers in the port's Express capability. A change of Slot Control is a command; where the port says so the next one has
//! to wait until it is completed.

use kalloc::Arc;
use pci::PciDevice;
use sync::Mutex;
use x86::pci_config::{read16, read32, write16};

/// Offsets in the capability.
const LINK_CAPABILITIES: u16 = 0x0c;
const LINK_CONTROL: u16 = 0x10;
const LINK_STATUS: u16 = 0x12;
const SLOT_CAPABILITIES: u16 = 0x14;
const SLOT_CONTROL: u16 = 0x18;
const SLOT_STATUS: u16 = 0x1a;

/// Slot Capabilities.
pub(crate) mod cap {
    /// There is an attention button.
    pub(crate) const BUTTON: u32 = 1 << 0;
    /// The port switches the slot's power.
    pub(crate) const POWER: u32 = 1 << 1;
    /// There is a latch with a sensor.
    pub(crate) const LATCH: u32 = 1 << 2;
    /// There is an attention indicator.
    pub(crate) const ATTENTION_LED: u32 = 1 << 3;
    /// There is a power indicator.
    pub(crate) const POWER_LED: u32 = 1 << 4;
    /// Commands need no waiting.
    pub(crate) const NO_COMPLETION: u32 = 1 << 18;
}

/// Slot Status, and the same bits of Slot Control for their interrupts.
pub(crate) mod event {
    /// The attention button was pressed.
    pub(crate) const BUTTON: u16 = 1 << 0;
    /// Power failed.
    pub(crate) const POWER_FAULT: u16 = 1 << 1;
    /// A card came or went.
    pub(crate) const PRESENCE: u16 = 1 << 3;
    /// The link came up or went down (Slot Status).
    pub(crate) const LINK: u16 = 1 << 8;
}

/// Slot Status: a command is completed.
const COMPLETED: u16 = 1 << 4;
/// Slot Status: the latch is open.
const LATCH_OPEN: u16 = 1 << 5;
/// Slot Status: there is a card.
const PRESENT: u16 = 1 << 6;
/// Slot Control: interrupts.
const INTERRUPTS: u16 = 1 << 5;
/// Slot Control: interrupt for completed commands.
const COMPLETION_INTERRUPT: u16 = 1 << 4;
/// Slot Control: interrupt for the link.
const LINK_INTERRUPT: u16 = 1 << 12;
/// Slot Control: the power is off.
const POWER_OFF: u16 = 1 << 10;
/// Link Capabilities: the port says whether the link is up.
const REPORTS_LINK: u32 = 1 << 20;
/// Link Status: the link is up.
const LINK_ACTIVE: u16 = 1 << 13;
/// Link Control: the link is off.
const LINK_DISABLED: u16 = 1 << 4;

/// What an indicator shows, as Slot Control has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    On = 1,
    Blink = 2,
    Off = 3,
}

/// The registers of a slot.
pub(crate) struct Regs {
    port: Arc<PciDevice>,
    at: u16,
    caps: u32,
    /// A change and the wait for its completion.
    control: Mutex<()>,
}

impl Regs {
    pub(crate) fn new(port: &Arc<PciDevice>, capability: u16) -> Self {
        let caps = read32(port.address, capability + SLOT_CAPABILITIES);
        Self { port: port.clone(), at: capability, caps, control: Mutex::new(()) }
    }

    pub(crate) fn port(&self) -> &Arc<PciDevice> {
        &self.port
    }

    fn read(&self, register: u16) -> u16 {
        read16(self.port.address, self.at + register)
    }

    /// Whether the slot has all of these ([`cap`]).
    pub(crate) fn has(&self, caps: u32) -> bool {
        self.caps & caps == caps
    }

    /// The number that is written at the slot.
    pub(crate) fn number(&self) -> u32 {
        self.caps >> 19
    }

    /// Takes the events that the slot reports; none from a port that is gone itself. Any context.
    pub(crate) fn take_events(&self) -> u16 {
        let all = event::BUTTON | event::POWER_FAULT | event::PRESENCE | event::LINK;
        let mut taken = 0;
        loop {
            let status = self.read(SLOT_STATUS);
            // A message comes only when all were taken: one may come after the first look.
            let events = if status == u16::MAX { 0 } else { status & all };
            if events == 0 {
                return taken;
            }
            // Bits that are written as 1 are cleared. A power fault stays as long as it lasts.
            write16(self.port.address, self.at + SLOT_STATUS, events);
            if events & !taken == 0 {
                return taken;
            }
            taken |= events;
        }
    }

    /// A command: the bits of `mask` in Slot Control become `value`'s. May sleep.
    fn command(&self, value: u16, mask: u16) {
        let _control = self.control.lock();
        let old = self.read(SLOT_CONTROL);
        if old == u16::MAX {
            return;
        }
        let address = self.port.address;
        write16(address, self.at + SLOT_STATUS, COMPLETED);
        write16(address, self.at + SLOT_CONTROL, old & !mask | value & mask);
        if self.has(cap::NO_COMPLETION) {
            return;
        }
        // A second is what it may take.
        for _ in 0..100 {
            if self.read(SLOT_STATUS) & COMPLETED != 0 {
                write16(address, self.at + SLOT_STATUS, COMPLETED);
                return;
            }
            ktime::sleep_ns(10_000_000);
        }
        klog::pr_info!("pcieport {address}: pciehp: Timeout on hotplug command {:#06x}", old & !mask | value & mask);
    }

    /// No interrupts, and no events that wait. May sleep.
    pub(crate) fn silence(&self) {
        let all = event::BUTTON | event::POWER_FAULT | event::PRESENCE;
        self.command(0, all | INTERRUPTS | COMPLETION_INTERRUPT | LINK_INTERRUPT);
        self.take_events();
    }

    /// Interrupts for what matters: with a button its press, else cards; and the link. May sleep.
    pub(crate) fn listen(&self) {
        let what = if self.has(cap::BUTTON) { event::BUTTON } else { event::PRESENCE };
        let link = if self.reports_link() { LINK_INTERRUPT } else { 0 };
        let on = what | link | INTERRUPTS;
        self.command(on, on | event::PRESENCE | event::BUTTON | event::POWER_FAULT | COMPLETION_INTERRUPT);
    }

    /// Whether there is a card.
    pub(crate) fn is_present(&self) -> bool {
        let status = self.read(SLOT_STATUS);
        status != u16::MAX && status & PRESENT != 0
    }

    /// Whether the latch is open.
    pub(crate) fn is_latch_open(&self) -> bool {
        self.has(cap::LATCH) && self.read(SLOT_STATUS) & LATCH_OPEN != 0
    }

    pub(crate) fn reports_link(&self) -> bool {
        read32(self.port.address, self.at + LINK_CAPABILITIES) & REPORTS_LINK != 0
    }

    /// Whether the link is up, where the port says so.
    pub(crate) fn is_link_up(&self) -> bool {
        let status = self.read(LINK_STATUS);
        status != u16::MAX && status & LINK_ACTIVE != 0 && self.reports_link()
    }

    /// Whether the slot has power.
    pub(crate) fn is_powered(&self) -> bool {
        !self.has(cap::POWER) || self.read(SLOT_CONTROL) & POWER_OFF == 0
    }

    /// Power on, and the link. May sleep.
    pub(crate) fn power_on(&self) {
        if self.has(cap::POWER) {
            self.command(0, POWER_OFF);
        }
        let link = self.read(LINK_CONTROL);
        if link != u16::MAX && link & LINK_DISABLED != 0 {
            write16(self.port.address, self.at + LINK_CONTROL, link & !LINK_DISABLED);
        }
    }

    /// Power off. May sleep.
    pub(crate) fn power_off(&self) {
        self.command(POWER_OFF, POWER_OFF);
    }

    /// Sets the indicators that there are: power, attention. One command. May sleep.
    pub(crate) fn set_leds(&self, power: Option<Led>, attention: Option<Led>) {
        let (mut value, mut mask) = (0, 0);
        if let Some(led) = power.filter(|_| self.has(cap::POWER_LED)) {
            value |= (led as u16) << 8;
            mask |= 3 << 8;
        }
        if let Some(led) = attention.filter(|_| self.has(cap::ATTENTION_LED)) {
            value |= (led as u16) << 6;
            mask |= 3 << 6;
        }
        if mask != 0 {
            self.command(value, mask);
        }
    }

    /// What the attention indicator shows: 0 off, 1 on, 2 blinking.
    pub(crate) fn attention(&self) -> u16 {
        match self.read(SLOT_CONTROL) >> 6 & 3 {
            state @ (1 | 2) => state,
            _ => 0,
        }
    }

    /// The speeds of the link as numbers of the specification: the highest, and the one now.
    pub(crate) fn speeds(&self) -> (u32, u32) {
        let most = read32(self.port.address, self.at + LINK_CAPABILITIES) & 0xf;
        (most, u32::from(self.read(LINK_STATUS) & 0xf))
    }
}

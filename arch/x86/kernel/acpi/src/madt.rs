// SPDX-License-Identifier: GPL-2.0
//! MADT: the CPUs and interrupt controllers. Source: ACPI specification 5.2.12.

use crate::bytes::Bytes;
use crate::line::{Line, Polarity, Trigger};
use crate::{HEADER, find};
use x86_cpu::MAX_CPUS;

/// An ISA interrupt that does not arrive at the GSI of its own number, or signals otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    /// ISA interrupt.
    pub source: u8,
    /// Where it arrives.
    pub line: Line,
}

/// What the table says (or, without it, what a PC has by default).
pub struct Madt {
    table: Option<Bytes<'static>>,
    /// Physical address of the local APICs, where the table gives one.
    pub local_apic_address: Option<u64>,
    apic_ids: [u32; MAX_CPUS],
    cpus: usize,
    /// CPUs beyond what this kernel can number.
    pub surplus: usize,
}

const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const SOURCE_OVERRIDE: u8 = 2;
const ADDRESS_OVERRIDE: u8 = 5;
const LOCAL_X2APIC: u8 = 9;
/// Processor flag: enabled.
const ENABLED: u32 = 1;

impl Madt {
    /// Reads the table, if there is one.
    pub fn read() -> Self {
        let table = find(b"APIC").map(|table| table.bytes);
        let address = table.and_then(|t| t.u32(36)).map(u64::from);
        let mut madt = Self { table, local_apic_address: address, apic_ids: [0; MAX_CPUS], cpus: 0, surplus: 0 };
        for (kind, entry) in entries(table) {
            match kind {
                LOCAL_APIC => {
                    let (id, flags) = (entry.u8(3).map(u32::from), entry.u32(4));
                    // 255 is xAPIC's broadcast; such CPUs are listed as x2APICs.
                    madt.push_cpu(id.filter(|&id| id != 255), flags);
                }
                LOCAL_X2APIC => madt.push_cpu(entry.u32(4), entry.u32(8)),
                ADDRESS_OVERRIDE => madt.local_apic_address = entry.u64(4).or(madt.local_apic_address),
                _ => {}
            }
        }
        madt
    }

    fn push_cpu(&mut self, id: Option<u32>, flags: Option<u32>) {
        let (Some(id), Some(flags)) = (id, flags) else { return };
        let known = self.apic_ids.get(..self.cpus).unwrap_or(&[]);
        if flags & ENABLED == 0 || known.contains(&id) {
            return;
        }
        match self.apic_ids.get_mut(self.cpus) {
            Some(slot) => {
                *slot = id;
                self.cpus += 1;
            }
            None => self.surplus += 1,
        }
    }

    /// APIC ids of the enabled CPUs, in the table's order. Empty without a table.
    pub fn apic_ids(&self) -> &[u32] {
        self.apic_ids.get(..self.cpus).unwrap_or(&[])
    }

    /// The highest APIC id, 0 without CPUs.
    pub fn highest_apic_id(&self) -> u32 {
        self.apic_ids().iter().copied().max().unwrap_or(0)
    }

    /// Whether there is no table, so that the PC's defaults hold.
    pub fn is_default(&self) -> bool {
        self.table.is_none()
    }

    /// IOAPICs: physical address and first GSI.
    pub fn ioapics(&self) -> impl Iterator<Item = (u64, u32)> {
        entries(self.table)
            .filter(|&(kind, _)| kind == IO_APIC)
            .filter_map(|(_, entry)| Some((u64::from(entry.u32(4)?), entry.u32(8)?)))
    }

    /// Interrupt source overrides.
    pub fn overrides(&self) -> impl Iterator<Item = Override> {
        let default = self.is_default().then_some(Override {
            // Without a table: the timer arrives at input 2, as on every PC.
            source: 0,
            line: Line { gsi: 2, trigger: Trigger::Edge, polarity: Polarity::High },
        });
        default.into_iter().chain(
            entries(self.table)
                .filter(|&(kind, _)| kind == SOURCE_OVERRIDE)
                .filter_map(|(_, entry)| Some(parse_override(entry.u8(3)?, entry.u32(4)?, entry.u16(8)?))),
        )
    }
}

fn parse_override(source: u8, gsi: u32, flags: u16) -> Override {
    let polarity = if flags & 3 == 3 { Polarity::Low } else { Polarity::High };
    let trigger = if flags >> 2 & 3 == 3 { Trigger::Level } else { Trigger::Edge };
    Override { source, line: Line { gsi, trigger, polarity } }
}

/// The entries after the fixed part: type and bytes. Ends at the first that does not fit.
fn entries(table: Option<Bytes<'static>>) -> impl Iterator<Item = (u8, Bytes<'static>)> {
    let mut rest = table.and_then(|t| t.from(HEADER + 8));
    core::iter::from_fn(move || {
        let bytes = rest?;
        let (kind, len) = (bytes.u8(0)?, usize::from(bytes.u8(1)?));
        if len < 2 {
            rest = None;
            return None;
        }
        let entry = bytes.first(len)?;
        rest = bytes.from(len);
        Some((kind, entry))
    })
}

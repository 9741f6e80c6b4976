// SPDX-License-Identifier: GPL-2.0
//! Which units there are. A target is asked what its unit 0 is; if there is a target, it is asked which units it has. What is there
//! already stays, what is not reported any more stays too: only its driver or an administrator takes a unit away.

use crate::command::HostStatus;
use crate::execute::{Answer, Call, TIMEOUT_NS};
use crate::host::Host;
use crate::unit::{State, Unit};
use crate::{Data, Direction};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::hardware::mm_alloc;
use klog::{pr_err, pr_info};
use mm_alloc::dma::DmaBuffer;
use scsi_proto::{Cdb, Inquiry};

/// Bytes of inquiry data that every unit gives.
const FIRST_INQUIRY: u8 = 36;
/// Bytes of the list of units that are asked for.
const LIST: u16 = 4096;
/// Units of a target that are asked one after the other if it has no list.
const SEQUENTIAL: u64 = 8;
/// Pages of vital product data that are kept.
const PAGES: [u8; 6] = [0x80, 0x83, 0x89, 0xb0, 0xb1, 0xb2];
/// First version of the standard (SPC-2) whose units are asked for such pages, and for their list of units.
const SPC_2: u8 = 4;

/// What a look at a place found.
enum Found {
    /// Nobody answers for the target.
    NoTarget,
    /// A target, but no such unit.
    NoUnit(Arc<Unit>),
    /// A unit.
    Unit(Arc<Unit>),
}

impl Host {
    /// Looks at all targets. ENOMEM. May sleep.
    pub fn scan(self: &Arc<Self>) -> Result {
        for target in 0..self.params().targets {
            self.scan_target(target, None)?;
        }
        Ok(())
    }

    /// Looks at one target: at all its units, or one. ENOMEM. May sleep.
    pub fn scan_target(self: &Arc<Self>, target: u32, lun: Option<u64>) -> Result {
        let _scanning = self.scanning.lock();
        if self.is_gone() || target >= self.params().targets {
            return Ok(());
        }
        let found = match lun {
            Some(lun) => {
                self.look_and_add(target, lun)?;
                return Ok(());
            }
            None => self.look_and_add(target, 0)?,
        };
        let (unit, is_there) = match found {
            Found::NoTarget => return Ok(()),
            Found::NoUnit(unit) => (unit, false),
            Found::Unit(unit) => (unit, true),
        };
        if self.params().max_lun <= 1 {
            return Ok(());
        }
        let old = is_there && unit.inquiry().is_some_and(|inquiry| inquiry.version < SPC_2);
        let list = if old { None } else { report_luns(&unit)? };
        match list {
            Some(list) => {
                for lun in list.iter().copied().filter(|&lun| lun != 0) {
                    self.look_and_add(target, lun)?;
                }
            }
            None if is_there => {
                for lun in 1..SEQUENTIAL.min(self.params().max_lun) {
                    if !matches!(self.look_and_add(target, lun)?, Found::Unit(_)) {
                        break;
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Takes the units of a target away that do not answer any more. May sleep.
    pub fn drop_missing(self: &Arc<Self>, target: u32) {
        let _scanning = self.scanning.lock();
        let Ok(units) = self.units_of(Some(target)) else { return };
        // One that is offline cannot be asked: it stays.
        for unit in units.iter().filter(|unit| unit.state() == State::Running) {
            let answer = inquire(unit, FIRST_INQUIRY);
            let gone = match answer {
                Ok((answer, bytes)) => match scsi_proto::inquiry(&bytes) {
                    Some(inquiry) if answer.result.is_ok() => inquiry.qualifier != 0,
                    _ => matches!(answer.host_status, HostStatus::NoConnect | HostStatus::BadTarget),
                },
                Err(_) => false,
            };
            if gone {
                self.take_away(unit);
            }
        }
    }

    /// Looks at a place, and shows the unit that is new there. `scanning` is held.
    fn look_and_add(self: &Arc<Self>, target: u32, lun: u64) -> Result<Found> {
        if let Some(unit) = self.unit(target, lun) {
            return Ok(Found::Unit(unit));
        }
        if lun >= self.params().max_lun {
            return Ok(Found::NoTarget);
        }
        let found = look(self, target, lun)?;
        if let Found::Unit(unit) = &found
            && let Err(error) = self.show_new(unit)
        {
            pr_err!("scsi host{}: target {target} unit {lun}: {error}", self.number());
            self.take_away(unit);
            return Err(error);
        }
        Ok(found)
    }

    fn show_new(&self, unit: &Arc<Unit>) -> Result {
        announce(unit)?;
        ask_pages(unit)?;
        self.insert(unit)?;
        crate::show::add_unit(unit)
    }
}

fn announce(unit: &Unit) -> Result {
    let Some(inquiry) = unit.inquiry() else { return Err(EIO) };
    let text = |bytes: &[u8]| -> Result<kalloc::KString> { Ok(kalloc::KString::from_bytes(bytes, GFP_KERNEL)?) };
    pr_info!(
        "scsi {}: {} {} {} {} PQ: {} ANSI: {}",
        unit.name()?,
        kind_name(inquiry.kind),
        text(&inquiry.vendor)?,
        text(&inquiry.model)?,
        text(&inquiry.revision)?,
        inquiry.qualifier,
        inquiry.version & 7,
    );
    Ok(())
}

/// The name of a kind of units, as long as Linux makes it.
fn kind_name(kind: u8) -> &'static str {
    match kind {
        0 => "Direct-Access    ",
        1 => "Sequential-Access",
        2 => "Printer          ",
        3 => "Processor        ",
        4 => "WORM             ",
        5 => "CD-ROM           ",
        6 => "Scanner          ",
        7 => "Optical Device   ",
        8 => "Medium Changer   ",
        12 => "RAID             ",
        13 => "Enclosure        ",
        14 => "Direct-Access-RBC",
        17 => "Object storage   ",
        0x14 => "Direct-Access-ZBC",
        _ => "Unknown          ",
    }
}

/// Sends INQUIRY for `len` bytes: the answer, and the bytes that came.
fn inquire(unit: &Arc<Unit>, len: u8) -> Result<(Answer, KVec<u8>)> {
    let buffer = DmaBuffer::new(usize::from(len), false, GFP_KERNEL)?;
    let data = Data::Buffer(buffer, len.into());
    let call = Call {
        cdb: Cdb::inquiry(None, len.into()),
        direction: Direction::In,
        data,
        timeout_ns: TIMEOUT_NS,
        retries: 3,
    };
    let answer = unit.execute(call)?;
    let mut bytes = KVec::zeroed(usize::from(len).saturating_sub(answer.residual as usize), GFP_KERNEL)?;
    if let Data::Buffer(buffer, _) = &answer.data {
        buffer.read_bytes(0, &mut bytes)?;
    }
    Ok((answer, bytes))
}

fn look(host: &Arc<Host>, target: u32, lun: u64) -> Result<Found> {
    let unit = Unit::new(host, target, lun)?;
    let (answer, mut bytes) = inquire(&unit, FIRST_INQUIRY)?;
    if answer.result.is_err() {
        let absent = matches!(answer.host_status, HostStatus::NoConnect | HostStatus::BadTarget);
        // A unit that refuses INQUIRY is not there for us; its target may be.
        return Ok(if absent || answer.host_status != HostStatus::Ok { Found::NoTarget } else { Found::NoUnit(unit) });
    }
    let Some(mut inquiry) = scsi_proto::inquiry(&bytes) else { return Ok(Found::NoTarget) };
    if inquiry.qualifier == 3 || inquiry.qualifier == 1 && inquiry.kind == 0x1f {
        return Ok(Found::NoUnit(unit));
    }
    let whole = bytes.get(4).copied().unwrap_or(0).saturating_add(5);
    if whole > FIRST_INQUIRY
        && let Ok((answer, all)) = inquire(&unit, whole)
        && answer.result.is_ok()
        && let Some(longer) = scsi_proto::inquiry(&all)
    {
        (inquiry, bytes) = (longer, all);
    }
    set(&unit, inquiry, bytes);
    Ok(Found::Unit(unit))
}

fn set(unit: &Unit, inquiry: Inquiry, bytes: KVec<u8>) {
    // New, so it is empty.
    let _ = unit.inquiry.set((inquiry, bytes));
}

/// The list of a target's units; `None` if it has none to give.
fn report_luns(unit: &Arc<Unit>) -> Result<Option<KVec<u64>>> {
    match unit.ask(Cdb::report_luns(LIST.into()), LIST) {
        Ok(bytes) => {
            let mut list = KVec::new();
            for lun in scsi_proto::luns(&bytes) {
                list.push(lun, GFP_KERNEL)?;
            }
            Ok(Some(list))
        }
        Err(ENOMEM) => Err(ENOMEM),
        Err(_) => Ok(None),
    }
}

/// Asks for the pages of vital product data that are kept. What does not come is not there.
fn ask_pages(unit: &Arc<Unit>) -> Result {
    let mut pages: KVec<(u8, KVec<u8>)> = KVec::new();
    if unit.inquiry().is_some_and(|inquiry| inquiry.version >= SPC_2)
        && let Some(list) = ask_page(unit, 0)?
    {
        let mut has = [0u8; PAGES.len()];
        for (to, page) in has.iter_mut().zip(PAGES) {
            *to = u8::from(scsi_proto::vpd_pages(&list).contains(&page));
        }
        pages.push((0, list), GFP_KERNEL)?;
        for (page, has) in PAGES.into_iter().zip(has) {
            if has != 0
                && let Some(bytes) = ask_page(unit, page)?
            {
                pages.push((page, bytes), GFP_KERNEL)?;
            }
        }
    }
    // New, so it is empty.
    let _ = unit.pages.set(pages);
    Ok(())
}

/// A whole page; `None` if it does not come or is another one.
fn ask_page(unit: &Arc<Unit>, page: u8) -> Result<Option<KVec<u8>>> {
    let mut len: u16 = 252;
    for _ in 0..2 {
        let mut bytes = match unit.ask(Cdb::inquiry(Some(page), len), len) {
            Ok(bytes) => bytes,
            Err(ENOMEM) => return Err(ENOMEM),
            Err(_) => return Ok(None),
        };
        let Some(whole) = scsi_proto::vpd_len(&bytes, page) else { return Ok(None) };
        if usize::from(whole) <= bytes.len() {
            bytes.truncate(whole.into());
            return Ok(Some(bytes));
        }
        if whole <= len {
            // It says more than it gives.
            return Ok(Some(bytes));
        }
        len = whole;
    }
    Ok(None)
}

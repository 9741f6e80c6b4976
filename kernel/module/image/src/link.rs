// SPDX-License-Identifier: GPL-2.0
//! Puts the sections together, finds the symbols, and applies the relocations: the result are the bytes of both regions.

use crate::elf::{Elf, SHN_ABS, SHN_COMMON, SHN_UNDEF, SHT_NOBITS, SHT_RELA, Section, Symbol};
use crate::layout::{Layout, Region};
use crate::{Bad, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KVVec, KVec};

/// Where a reference to a symbol may lead.
#[derive(Clone, Copy, Debug)]
struct Target {
    address: u64,
    /// For a symbol of the module: its section, and whether code is there.
    section: Option<(u64, u64, bool)>,
}

/// What compilers add to or take from an address at most: tables are addressed from before their start.
const BIAS: u64 = 4096;
/// The farthest that a reference may lead from a symbol of the kernel.
const FAR: u64 = 1 << 20;

impl Target {
    /// Whether a relocation of `kind` with `addend` leads to where this symbol can be.
    fn takes(&self, kind: u32, addend: i64) -> bool {
        // A call's field is its last four bytes, and the distance counts from its end.
        let call = kind == R_X86_64_PLT32;
        let Some((start, end, code)) = self.section else {
            // Weak, and not there: only the address 0 itself means something.
            return if call { addend == -4 } else { addend.unsigned_abs() <= FAR };
        };
        let to = self.address.wrapping_add_signed(addend);
        if call {
            return code && (start..end).contains(&to.wrapping_add(4));
        }
        to.wrapping_add(BIAS).wrapping_sub(start) <= end.wrapping_sub(start).wrapping_add(2 * BIAS)
    }
}

/// Finds a symbol that the module does not define: its address. An error gets the symbol's index as its number.
pub type Resolve<'r> = &'r mut dyn FnMut(&[u8]) -> Result<usize>;

/// The relocated bytes.
#[derive(Debug)]
pub struct Linked {
    /// Of [`Region::Core`].
    pub core: KVVec<u8>,
    /// Of [`Region::Init`].
    pub init: KVVec<u8>,
}

impl Linked {
    fn region(&mut self, region: Region) -> &mut [u8] {
        match region {
            Region::Core => &mut self.core,
            Region::Init => &mut self.init,
        }
    }
}

/// Addresses of the regions.
#[derive(Clone, Copy)]
struct Bases {
    core: usize,
    init: usize,
}

const R_X86_64_NONE: u32 = 0;
const R_X86_64_64: u32 = 1;
const R_X86_64_PC32: u32 = 2;
const R_X86_64_PLT32: u32 = 4;
const R_X86_64_32: u32 = 10;
const R_X86_64_32S: u32 = 11;
const R_X86_64_PC64: u32 = 24;

/// The number of bytes that a relocation fills.
fn width(kind: u32) -> Result<usize> {
    match kind {
        R_X86_64_NONE => Ok(0),
        R_X86_64_64 | R_X86_64_PC64 => Ok(8),
        R_X86_64_PC32 | R_X86_64_PLT32 | R_X86_64_32 | R_X86_64_32S => Ok(4),
        other => Err(Bad::new("Unknown rela relocation", other.into())),
    }
}

/// The value that a relocation stores at `place`, checked for its range.
fn value(kind: u32, symbol: u64, addend: i64, place: u64) -> Result<u64> {
    let absolute = symbol.wrapping_add_signed(addend);
    let relative = absolute.wrapping_sub(place);
    let overflow = Bad::new("overflow in relocation type", kind.into());
    let signed = |value: u64| i32::try_from(value.cast_signed()).map_err(|_| overflow);
    match kind {
        R_X86_64_64 => Ok(absolute),
        R_X86_64_PC64 => Ok(relative),
        R_X86_64_32 => u32::try_from(absolute).map(u64::from).map_err(|_| overflow),
        R_X86_64_32S => signed(absolute).map(|_| absolute),
        _ => signed(relative).map(|_| relative),
    }
}

impl Elf<'_> {
    /// Links the module to run at `core` and `init`.
    pub fn link(&self, layout: &Layout, core: usize, init: usize, resolve: Resolve<'_>) -> Result<Linked> {
        let bases = Bases { core, init };
        let mut linked = Linked {
            core: KVVec::from_elem(0, layout.size(Region::Core), GFP_KERNEL)?,
            init: KVVec::from_elem(0, layout.size(Region::Init), GFP_KERNEL)?,
        };
        for (index, section) in self.sections.iter().enumerate() {
            if let Some(to) = layout.bytes_of(&mut linked, index, section)
                && section.kind != SHT_NOBITS
            {
                let from = section.data.get(..to.len()).ok_or(Bad::new("Invalid ELF section size", index as u64))?;
                to.copy_from_slice(from);
            }
        }
        let symbols = self.symbol_values(layout, bases, resolve)?;
        for section in self.sections.iter().filter(|s| s.kind == SHT_RELA) {
            self.relocate(layout, bases, section, &symbols, &mut linked)?;
        }
        Ok(linked)
    }

    /// Where each symbol is; `None` for those that nothing loaded can refer to: in sections that are not loaded, or absolute.
    fn symbol_values(&self, layout: &Layout, bases: Bases, resolve: Resolve<'_>) -> Result<KVec<Option<Target>>> {
        let outside = |address| Some(Target { address, section: None });
        let mut values = KVec::with_capacity(self.symbol_count(), GFP_KERNEL)?;
        for index in 0..self.symbol_count() {
            let symbol = self.symbol(index).ok_or(Bad::new("Invalid ELF symbol", index as u64))?;
            let value = match symbol.section {
                // Number 0 stands for no symbol.
                SHN_UNDEF if index == 0 => outside(0),
                SHN_UNDEF => match resolve(symbol.name) {
                    Ok(address) => outside(address as u64),
                    Err(_) if symbol.weak => outside(0),
                    Err(bad) => return Err(Bad { number: index as u64, ..bad }),
                },
                SHN_ABS => None,
                SHN_COMMON => return Err(Bad::new("common symbol: please compile with -fno-common", index as u64)),
                number => layout.address_of(number.into(), bases).and_then(|base| {
                    let section = self.sections.get(usize::from(number))?;
                    let extent = (base, base.wrapping_add(section.size as u64), section.is_code());
                    Some(Target { address: base.wrapping_add(symbol.value), section: Some(extent) })
                }),
            };
            values.push(value, GFP_KERNEL)?;
        }
        Ok(values)
    }

    fn relocate(
        &self,
        layout: &Layout,
        bases: Bases,
        relas: &Section<'_>,
        symbols: &[Option<Target>],
        linked: &mut Linked,
    ) -> Result {
        let target = relas.info as usize;
        let Some(section) = self.sections.get(target) else {
            return Err(Bad::new("Invalid ELF relocation target", relas.info.into()));
        };
        let Some(base) = layout.address_of(target, bases) else { return Ok(()) };
        let Some(bytes) = layout.bytes_of(linked, target, section) else { return Ok(()) };
        for rela in relas.relas() {
            let symbol = symbols.get(rela.symbol as usize).ok_or(Bad::new("Invalid ELF symbol", rela.symbol.into()))?;
            let symbol =
                symbol.ok_or(Bad::new("relocation against a section that is not loaded", rela.symbol.into()))?;
            let width = width(rela.kind)?;
            let outside = Bad::new("Invalid relocation offset", rela.offset);
            let start = usize::try_from(rela.offset).map_err(|_| outside)?;
            let field = start.checked_add(width).and_then(|end| bytes.get_mut(start..end)).ok_or(outside)?;
            if field.iter().any(|&byte| byte != 0) {
                return Err(Bad::new(
                    "Invalid relocation target, existing value is nonzero for type",
                    rela.kind.into(),
                ));
            }
            if !symbol.takes(rela.kind, rela.addend) {
                return Err(Bad::new("relocation leads outside of what its symbol is in, offset", rela.offset));
            }
            let value = value(rela.kind, symbol.address, rela.addend, base.wrapping_add(rela.offset))?;
            field.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }

    /// The symbols of a region: (offset there, symbol).
    pub fn symbols_in<'s>(&'s self, layout: &'s Layout, region: Region) -> impl Iterator<Item = (usize, Symbol<'s>)> {
        (0..self.symbol_count()).filter_map(move |index| {
            let symbol = self.symbol(index).filter(|s| Self::is_ordinary(s.section))?;
            let (its, offset) = layout.place_of(symbol.section.into())?;
            let at = offset.checked_add(usize::try_from(symbol.value).ok()?)?;
            (its == region).then_some((at, symbol))
        })
    }

    /// Whether a function's symbol says that one begins at `address`, the regions being at `core` and `init`.
    pub fn is_function(&self, layout: &Layout, (core, init): (usize, usize), address: usize) -> bool {
        let bases = Bases { core, init };
        (0..self.symbol_count()).filter_map(|index| self.symbol(index)).any(|symbol| {
            let start = || layout.address_of(symbol.section.into(), bases)?.checked_add(symbol.value);
            symbol.function && Self::is_ordinary(symbol.section) && start() == Some(address as u64)
        })
    }

    /// Puts `stac` and `clac` at the places that section `__smap_sites` lists: pairs of the distance of three bytes of code,
    /// and 1 where access opens (see `x86_mm::extable`).
    pub fn patch_smap(&self, layout: &Layout, (core, init): (usize, usize), linked: &mut Linked) -> Result {
        let Some((index, section)) = self.section_named(b"__smap_sites") else { return Ok(()) };
        let Some((region, start)) = layout.place_of(index) else { return Ok(()) };
        let bad = Bad::new("Invalid __smap_sites", index as u64);
        if !section.size.is_multiple_of(8) {
            return Err(bad);
        }
        let base = if region == Region::Core { core } else { init };
        for at in (0..section.size).step_by(8).filter_map(|at| start.checked_add(at)) {
            let entry = linked.region(region).get(at..).and_then(|rest| rest.first_chunk::<8>()).copied().ok_or(bad)?;
            let [a, b, c, d, open @ ..] = entry;
            let site = base.wrapping_add(at).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]) as isize);
            let code = if open == [0; 4] { [0x0f, 0x01, 0xca] } else { [0x0f, 0x01, 0xcb] };
            let places =
                [(Region::Core, core), (Region::Init, init)].map(|(its, start)| (its, site.wrapping_sub(start)));
            let (its, offset) =
                places.into_iter().find(|&(its, offset)| offset < linked.region(its).len()).ok_or(bad)?;
            let place = linked.region(its).get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<3>()).ok_or(bad)?;
            if *place != [0x0f, 0x1f, 0x00] {
                return Err(bad);
            }
            *place = code;
        }
        Ok(())
    }
}

impl Layout {
    /// The address of section `index`, if it is loaded.
    fn address_of(&self, index: usize, bases: Bases) -> Option<u64> {
        let (region, offset) = self.place_of(index)?;
        let base = if region == Region::Core { bases.core } else { bases.init };
        Some(base.wrapping_add(offset) as u64)
    }

    /// The bytes of section `index` in what is linked.
    fn bytes_of<'l>(&self, linked: &'l mut Linked, index: usize, section: &Section<'_>) -> Option<&'l mut [u8]> {
        let (region, offset) = self.place_of(index)?;
        linked.region(region).get_mut(offset..offset.checked_add(section.size)?)
    }
}

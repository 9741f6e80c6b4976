// SPDX-License-Identifier: GPL-2.0
//! Which section goes where: six segments in two regions. A region is one range of addresses; in it code, constants and data
//! follow each other, each from a page boundary on, so that each gets its own protection.

use crate::elf::{Elf, SHF_EXECINSTR, SHF_WRITE, Section};
use crate::{Bad, Result};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;
/// Most bytes of a region: far more than any module needs, and no sum of a few of them overflows.
pub(crate) const MAX_SIZE: usize = 256 << 20;

/// What stays, and what goes when the module's start is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// While the module is there.
    Core,
    /// Until `init` has returned.
    Init,
}

/// A part of a region with one protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Executable.
    Text,
    /// Neither executable nor writable.
    RoData,
    /// Writable.
    Data,
}

impl Segment {
    /// In the order of their addresses.
    pub const ALL: [Self; 3] = [Self::Text, Self::RoData, Self::Data];
}

/// Where a section is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) region: Region,
    /// Offset in its region.
    pub(crate) offset: usize,
}

/// Offsets of the segments in a region, and its size; all are multiples of a page.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    starts: [usize; 3],
    size: usize,
}

/// Where everything goes.
#[derive(Debug)]
pub struct Layout {
    pub(crate) places: KVec<Option<Place>>,
    core: Extent,
    init: Extent,
}

fn kind_of(section: &Section<'_>) -> Segment {
    if section.flags & SHF_EXECINSTR != 0 {
        Segment::Text
    } else if section.flags & SHF_WRITE != 0 && !is_constant(section.name) {
        Segment::Data
    } else {
        Segment::RoData
    }
}

/// Sections that are written by relocation only.
fn is_constant(name: &[u8]) -> bool {
    name.starts_with(b".data.rel.ro") || name == b"__param" || name == b".kunit_test_suites"
}

fn region_of(section: &Section<'_>) -> Region {
    if section.name.starts_with(b".init") { Region::Init } else { Region::Core }
}

impl Elf<'_> {
    /// Places the sections.
    pub fn layout(&self) -> Result<Layout> {
        for (index, section) in (0u64..).zip(self.sections.iter()) {
            let both = SHF_WRITE | SHF_EXECINSTR;
            if section.is_loaded() && section.flags & both == both {
                return Err(Bad::new("section has invalid WRITE|EXEC flags", index));
            }
            if section.is_loaded() && section.name.starts_with(b".data..percpu") {
                return Err(Bad::new("per-CPU variables in a module are not supported, section", index));
            }
        }
        let mut layout = Layout { places: KVec::new(), core: Extent::default(), init: Extent::default() };
        layout.places.resize(self.sections.len(), None, GFP_KERNEL)?;
        for region in [Region::Core, Region::Init] {
            let extent = layout.place(self, region)?;
            match region {
                Region::Core => layout.core = extent,
                Region::Init => layout.init = extent,
            }
        }
        Ok(layout)
    }
}

impl Layout {
    fn place(&mut self, elf: &Elf<'_>, region: Region) -> Result<Extent> {
        let mut extent = Extent::default();
        let mut at = 0usize;
        for (segment, start) in Segment::ALL.into_iter().zip(extent.starts.iter_mut()) {
            *start = at;
            for (section, place) in elf.sections.iter().zip(self.places.iter_mut()) {
                if !section.is_loaded() || region_of(section) != region || kind_of(section) != segment {
                    continue;
                }
                let offset = at.next_multiple_of(section.align);
                at = offset
                    .checked_add(section.size)
                    .filter(|&end| end <= MAX_SIZE)
                    .ok_or(Bad::new("module is too large", 0))?;
                *place = Some(Place { region, offset });
            }
            at = at.next_multiple_of(PAGE_SIZE);
        }
        extent.size = at;
        Ok(extent)
    }

    fn extent(&self, region: Region) -> &Extent {
        match region {
            Region::Core => &self.core,
            Region::Init => &self.init,
        }
    }

    /// Bytes of a region, whole pages.
    pub fn size(&self, region: Region) -> usize {
        self.extent(region).size
    }

    /// Start and end of a segment in its region, whole pages.
    pub fn segment(&self, region: Region, segment: Segment) -> core::ops::Range<usize> {
        let extent = self.extent(region);
        let [text, rodata, data] = extent.starts;
        match segment {
            Segment::Text => text..rodata,
            Segment::RoData => rodata..data,
            Segment::Data => data..extent.size,
        }
    }

    /// Region and offset of section `index`, if it is loaded.
    pub fn place_of(&self, index: usize) -> Option<(Region, usize)> {
        self.places.get(index).copied().flatten().map(|place| (place.region, place.offset))
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The firmware's memory map as E820 entries, and the way out of boot services, which needs the map of the same moment.
//! Called by `efi`.

use super::firmware::{BELOW_4G, Firmware};
use super::room;
use boot_info::boot_params::Page;
use boot_info::memmap::MAX_REGIONS;
use boot_info::zero_page::{self, E820_ENTRY, E820_MAX, offset};
use boot_info::{MemMap, efi_map};
use core::ptr;
use r_efi::efi::{MemoryDescriptor, Status};

/// Descriptors that may appear between asking for the size and asking for the map.
const SLACK: usize = 32;
/// Attempts to leave: the map may change while we look at it.
const TRIES: u32 = 4;

/// Where the map is kept for the kernel, and what it looks like.
struct Map<'a> {
    buffer: &'a mut [u8],
    size: usize,
    key: usize,
    desc_size: usize,
    version: u32,
}

/// Gets the memory map into `params` and exits boot services. After `Ok` the firmware is gone, and so is what it kept: the result is
/// a place for `size` bytes in that, if `size` is not 0.
pub(crate) fn leave_firmware(firmware: &Firmware, params: &mut Page<'_>, size: usize) -> Result<u64, &'static str> {
    let mut map = buffer(firmware)?;
    let more = firmware.pages((16 + MAX_REGIONS * E820_ENTRY).div_ceil(4096), BELOW_4G);
    let more = more.ok_or("no memory for the memory map")?;
    // SAFETY: The stub runs on one CPU and uses this static here only.
    let regions = unsafe { &mut *ptr::addr_of_mut!(REGIONS) };
    for _ in 0..TRIES {
        if !get(firmware, &mut map) {
            return Err("the firmware gives no memory map");
        }
        let room = match size {
            0 => 0,
            size => room::find(descriptors(&map), size as u64).ok_or("no memory for the kernel")?,
        };
        // SAFETY: Live boot services; after success nothing calls them.
        if unsafe { (firmware.services().exit_boot_services)(firmware.image, map.key) } == Status::SUCCESS {
            // From here on no call to the firmware.
            convert(&map, regions);
            describe(firmware, params, &map);
            write_e820(params, regions, more);
            return Ok(room);
        }
    }
    Err("the firmware does not let go")
}

static mut REGIONS: MemMap = MemMap::new();

/// A buffer with room for the map.
fn buffer(firmware: &Firmware) -> Result<Map<'static>, &'static str> {
    let (mut size, mut key, mut desc_size, mut version) = (0, 0, 0, 0);
    let ask = firmware.services().get_memory_map;
    // SAFETY: Live boot services; a buffer of no bytes.
    let status = unsafe { ask(&mut size, ptr::null_mut(), &mut key, &mut desc_size, &mut version) };
    if status != Status::BUFFER_TOO_SMALL || desc_size < size_of::<MemoryDescriptor>() {
        return Err("the firmware gives no memory map");
    }
    let pages = (size + SLACK * desc_size).div_ceil(4096);
    let buffer = firmware.pages(pages, BELOW_4G).ok_or("no memory for the memory map")?;
    Ok(Map { buffer, size: 0, key, desc_size, version })
}

fn get(firmware: &Firmware, map: &mut Map<'_>) -> bool {
    map.size = map.buffer.len();
    let ask = firmware.services().get_memory_map;
    let descriptors = map.buffer.as_mut_ptr().cast();
    // SAFETY: Live boot services; the buffer has `size` bytes and is page aligned.
    unsafe { ask(&mut map.size, descriptors, &mut map.key, &mut map.desc_size, &mut map.version) == Status::SUCCESS }
}

fn descriptors<'a>(map: &'a Map<'_>) -> impl Iterator<Item = MemoryDescriptor> + Clone + 'a {
    (0..map.size).step_by(map.desc_size.max(1)).map(|at| {
        // SAFETY: The firmware wrote descriptors of this size up to `size`.
        unsafe { map.buffer.as_ptr().add(at).cast::<MemoryDescriptor>().read_unaligned() }
    })
}

/// Descriptors to sorted regions.
fn convert(map: &Map<'_>, regions: &mut MemMap) {
    for desc in descriptors(map) {
        if let Some(kind) = efi_map::kind(desc.r#type, desc.attribute) {
            regions.push(desc.physical_start, desc.number_of_pages.saturating_mul(4096), kind);
        }
    }
    regions.sanitize();
}

fn describe(firmware: &Firmware, params: &mut Page<'_>, map: &Map<'_>) {
    params.put32(offset::EFI_SIGNATURE, zero_page::EFI64_SIGNATURE);
    params.put_split(offset::EFI_SYSTAB, offset::EFI_SYSTAB_HI, firmware.system_table());
    params.put_split(offset::EFI_MEMMAP, offset::EFI_MEMMAP_HI, map.buffer.as_ptr().addr() as u64);
    params.put32(offset::EFI_MEMMAP_SIZE, map.size as u32);
    params.put32(offset::EFI_MEMDESC_SIZE, map.desc_size as u32);
    params.put32(offset::EFI_MEMDESC_VERSION, map.version);
}

/// The first 128 regions go to the table in `params`, the others to a `setup_data` node in `more`.
fn write_e820(params: &mut Page<'_>, regions: &MemMap, more: &mut [u8]) {
    let mut extra = 0;
    for (i, region) in regions.regions().iter().enumerate() {
        let mut entry = [0u8; E820_ENTRY];
        let mut fields = Page(&mut entry);
        fields.put(0, &region.start.to_le_bytes());
        fields.put(8, &region.len.to_le_bytes());
        fields.put32(16, region.kind.to_e820());
        if i < E820_MAX {
            params.put(offset::E820_TABLE + i * E820_ENTRY, &entry);
            params.put(offset::E820_ENTRIES, &[i as u8 + 1]);
        } else {
            Page(more).put(16 + extra, &entry);
            extra += E820_ENTRY;
        }
    }
    if extra != 0 {
        params.push_setup_data(more, zero_page::SETUP_E820_EXT, extra);
    }
}

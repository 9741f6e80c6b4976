// SPDX-License-Identifier: GPL-2.0
//! The boot services that the stub uses, with slices and options in place of pointers and status codes. Valid until
//! `ExitBootServices`. Used by the other modules of `efi`.

use core::ffi::c_void;
use core::fmt;
use core::ptr::null_mut;
use r_efi::efi::{self, Guid, Handle, Status, SystemTable};
use r_efi::protocols::{loaded_image, rng};

/// Highest address for memory that the kernel must reach with its early page tables.
pub(crate) const BELOW_4G: u64 = 0xffff_ffff;

/// Access to the firmware.
///
/// # Invariants
/// `table` and its boot services are the firmware's and live (boot services were not left).
pub(crate) struct Firmware {
    pub(crate) image: Handle,
    table: *mut SystemTable,
}

impl Firmware {
    /// # Safety
    /// The arguments are those the firmware started us with; boot services are live as long as this is used.
    pub(crate) unsafe fn new(image: Handle, table: *mut SystemTable) -> Self {
        Self { image, table }
    }

    pub(crate) fn system_table(&self) -> u64 {
        self.table.addr() as u64
    }

    pub(crate) fn services(&self) -> &efi::BootServices {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.table).boot_services }
    }

    /// `count` clear pages that end at or below `max`; never freed.
    pub(crate) fn pages(&self, count: usize, max: u64) -> Option<&'static mut [u8]> {
        let mut address = max;
        let allocate = self.services().allocate_pages;
        // SAFETY: Live boot services.
        let status = unsafe { allocate(efi::ALLOCATE_MAX_ADDRESS, efi::LOADER_DATA, count, &mut address) };
        if status != Status::SUCCESS {
            return None;
        }
        // SAFETY: The firmware just gave us these pages, and nobody frees them.
        let pages = unsafe { core::slice::from_raw_parts_mut(address as *mut u8, count * 4096) };
        pages.fill(0);
        Some(pages)
    }

    /// Takes `size` bytes at `address` if they are free.
    pub(crate) fn pages_at(&self, address: u64, size: usize) -> bool {
        let mut at = address;
        let allocate = self.services().allocate_pages;
        // SAFETY: Live boot services.
        unsafe { allocate(efi::ALLOCATE_ADDRESS, efi::LOADER_CODE, size.div_ceil(4096), &mut at) == Status::SUCCESS }
    }

    /// The protocol `guid` of `handle`.
    pub(crate) fn protocol<T>(&self, handle: Handle, mut guid: Guid) -> Option<*mut T> {
        let mut found: *mut c_void = null_mut();
        // SAFETY: Live boot services.
        let status = unsafe { (self.services().handle_protocol)(handle, &mut guid, &mut found) };
        (status == Status::SUCCESS && !found.is_null()).then_some(found.cast())
    }

    /// The first protocol `guid` there is.
    pub(crate) fn any_protocol<T>(&self, mut guid: Guid) -> Option<*mut T> {
        let mut found: *mut c_void = null_mut();
        // SAFETY: Live boot services.
        let status = unsafe { (self.services().locate_protocol)(&mut guid, null_mut(), &mut found) };
        (status == Status::SUCCESS && !found.is_null()).then_some(found.cast())
    }

    /// The configuration table `guid`.
    pub(crate) fn table(&self, guid: Guid) -> Option<usize> {
        // SAFETY: By the type invariant; the firmware keeps so many entries at that address.
        let tables = unsafe {
            let table = &*self.table;
            core::slice::from_raw_parts(table.configuration_table, table.number_of_table_entries)
        };
        tables.iter().find(|t| t.vendor_guid == guid).map(|t| t.vendor_table.addr())
    }

    pub(crate) fn loaded_image(&self) -> Option<&loaded_image::Protocol> {
        let protocol = self.protocol::<loaded_image::Protocol>(self.image, loaded_image::PROTOCOL_GUID)?;
        // SAFETY: The protocol of our own image lives as long as we.
        Some(unsafe { &*protocol })
    }

    /// Writes the load options (UCS-2) to `line` as bytes, NUL-terminated; returns the length. Other than ASCII becomes `?`.
    pub(crate) fn load_options(&self, line: &mut [u8]) -> usize {
        let Some(image) = self.loaded_image() else { return 0 };
        if image.load_options.is_null() {
            return 0;
        }
        // SAFETY: The firmware keeps the options at this address; they are 16-bit units (reads need not be aligned).
        let units = (0..image.load_options_size as usize / 2)
            .map(|i| unsafe { image.load_options.cast::<u16>().add(i).read_unaligned() })
            .take_while(|unit| *unit != 0 && *unit != u16::from(b'\n'));
        let mut used = 0;
        for (slot, unit) in line.iter_mut().zip(units) {
            *slot = u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?');
            used += 1;
        }
        used = used.min(line.len() - 1);
        if let Some(end) = line.get_mut(used) {
            *end = 0;
        }
        used
    }

    /// Fills `buffer` from the firmware's generator, if it has one.
    pub(crate) fn random(&self, buffer: &mut [u8]) -> bool {
        let Some(protocol) = self.any_protocol::<rng::Protocol>(rng::PROTOCOL_GUID) else { return false };
        // SAFETY: A live protocol; the buffer has this length.
        unsafe { ((*protocol).get_rng)(protocol, null_mut(), buffer.len(), buffer.as_mut_ptr()) == Status::SUCCESS }
    }
}

impl fmt::Write for Firmware {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: By the type invariant.
        let out = unsafe { (*self.table).con_out };
        if out.is_null() {
            return Ok(());
        }
        for byte in text.bytes() {
            let units = [u16::from(b'\r'), u16::from(byte), 0];
            let text = if byte == b'\n' { &units[..] } else { &units[1..] };
            // SAFETY: The console output protocol of the system table; the text ends with 0 and is not written to.
            unsafe { ((*out).output_string)(out, text.as_ptr().cast_mut()) };
        }
        Ok(())
    }
}

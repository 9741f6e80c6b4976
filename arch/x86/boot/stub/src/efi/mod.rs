// SPDX-License-Identifier: GPL-2.0
//! bzImage as an EFI application: gathers from the firmware what a boot loader would have put into `boot_params`, leaves the
//! firmware and enters the kernel. Also the (old) EFI handover protocol, by which GRUB passes command line and initrd itself.
//! Source: UEFI specification 2.10; Documentation/admin-guide/efi-stub.rst. One CPU, no locks.

mod firmware;
mod initrd;
mod memory;
mod room;
mod screen;

use crate::payload;
use boot_info::COMMAND_LINE_SIZE;
use boot_info::boot_params::Page;
use boot_info::bytes::u32_at;
use boot_info::zero_page::{self, offset};
use core::arch::asm;
use core::fmt::Write;
use firmware::{BELOW_4G, Firmware};
use r_efi::efi::{ACPI_10_TABLE_GUID, ACPI_20_TABLE_GUID, Handle, Status, SystemTable};

/// Where the kernel likes to be (`pref_address`).
const PREFERRED: u64 = 0x100_0000;
const SIZE_2M: u64 = 1 << 21;
/// Bytes of the setup part, which precedes the stub in the loaded image.
const SETUP_SIZE: usize = 4096;
/// `type_of_loader` of an EFI application without a number of its own.
const LOADER_EFI: u8 = 0x21;
/// Random bytes asked of the firmware.
const SEED_SIZE: usize = 32;

unsafe extern "C" {
    static startup_32: u8;
    fn enter_kernel(boot_params: usize, entry: usize) -> !;
}

/// From `entry`: `given` is the `boot_params` of the handover protocol, or 0 for an EFI application.
///
/// # Safety
/// Called once by `entry` with the firmware's arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn efi_main(image: Handle, table: *mut SystemTable, given: usize) -> Status {
    // SAFETY: By the contract these are the firmware's.
    let mut firmware = unsafe { Firmware::new(image, table) };
    match run(&mut firmware, given) {
        Ok(never) => match never {},
        Err(why) if given == 0 => {
            let _ = writeln!(firmware, "bzImage: {why}");
            Status::LOAD_ERROR
        }
        Err(why) => crate::fatal(why),
    }
}

fn run(firmware: &mut Firmware, given: usize) -> Result<core::convert::Infallible, &'static str> {
    let page = firmware.pages(1, BELOW_4G).ok_or("no memory for boot_params")?;
    let address = page.as_ptr().addr();
    let mut params = Page(page);
    if given == 0 {
        fresh(firmware, &mut params)?;
    } else {
        // SAFETY: The handover protocol passes a boot_params of one page.
        params.0.copy_from_slice(unsafe { core::slice::from_raw_parts(given as *const u8, zero_page::SIZE) });
    }
    screen::fill(firmware, &mut params);
    if let Some(rsdp) = firmware.table(ACPI_20_TABLE_GUID).or(firmware.table(ACPI_10_TABLE_GUID)) {
        params.put(offset::ACPI_RSDP_ADDR, &(rsdp as u64).to_le_bytes());
    }
    if let Some(node) = firmware.pages(1, BELOW_4G) {
        let data = node.get_mut(16..16 + SEED_SIZE).ok_or("no memory")?;
        if firmware.random(data) {
            params.push_setup_data(node, zero_page::SETUP_RNG_SEED, SEED_SIZE);
        }
    }
    params.put32(offset::SCRATCH, zero_page::SCRATCH_EFI);
    // After all that needs the firmware's memory: the kernel alone has another place to go.
    let early = place_kernel(firmware)?;
    let late = if early.is_some() { 0 } else { payload::image_size() };
    let room = memory::leave_firmware(firmware, &mut params, late)?;
    let entry = match early {
        Some(entry) => entry,
        // SAFETY: The firmware is gone and nobody uses this memory.
        None => unsafe { load_late(room) },
    };
    // SAFETY: The firmware is gone, the kernel is in place, and this is what its 64-bit entry asks for.
    unsafe { enter_kernel(address, entry) }
}

/// Puts the kernel where the firmware was. Not the first choice: firmware may have mapped that memory read-only or not executable.
///
/// # Safety
/// Boot services are gone, and `dest` is from [`room`].
unsafe fn load_late(dest: u64) -> usize {
    // SAFETY: No interrupt may look for the firmware's handlers, which the kernel overwrites.
    unsafe { asm!("cli", options(nomem, nostack)) };
    // SAFETY: By the contract.
    unsafe { payload::load(dest as usize) }.unwrap_or_else(|why| crate::fatal(why))
}

/// `boot_params` for an EFI application: our own setup header, the load options as command line, the initrd.
fn fresh(firmware: &mut Firmware, params: &mut Page<'_>) -> Result<(), &'static str> {
    let ours = (&raw const startup_32).addr() - SETUP_SIZE + offset::SETUP_SECTS;
    // SAFETY: The firmware loaded the headers right before the stub; the setup header lies in them.
    params.put(offset::SETUP_SECTS, unsafe {
        core::slice::from_raw_parts(ours as *const u8, 0x26c - offset::SETUP_SECTS)
    });
    params.put(offset::TYPE_OF_LOADER, &[LOADER_EFI]);
    let line = firmware.pages(1, BELOW_4G).ok_or("no memory for the command line")?;
    let line = line.get_mut(..COMMAND_LINE_SIZE).ok_or("no memory for the command line")?;
    let used = firmware.load_options(line);
    params.put_split(offset::CMD_LINE_PTR, offset::EXT_CMD_LINE_PTR, line.as_ptr().addr() as u64);
    let limit = u64::from(u32_at(params.0, 0x22c).unwrap_or(0x7fff_ffff));
    if let Some(initrd) = initrd::load(firmware, line.get(..used).unwrap_or(&[]), limit)? {
        params.put_split(offset::RAMDISK_IMAGE, offset::EXT_RAMDISK_IMAGE, initrd.as_ptr().addr() as u64);
        params.put_split(offset::RAMDISK_SIZE, offset::EXT_RAMDISK_SIZE, initrd.len() as u64);
    }
    Ok(())
}

/// Puts the kernel at its preferred address, or anywhere below 4 GB; returns its entry point, or `None` without room.
fn place_kernel(firmware: &mut Firmware) -> Result<Option<usize>, &'static str> {
    let size = payload::image_size();
    // Asked for by its address: of whatever room there is, the smallest will do, without a reserve for the alignment.
    let aligned = (SIZE_2M..=BELOW_4G.saturating_sub(size as u64)).step_by(SIZE_2M as usize);
    let dest = core::iter::once(PREFERRED).chain(aligned).find(|&at| firmware.pages_at(at, size));
    // SAFETY: The firmware gave us this memory.
    dest.map(|at| unsafe { payload::load(at as usize) }).transpose()
}

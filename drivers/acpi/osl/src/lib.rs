// SPDX-License-Identifier: GPL-2.0
//! What AML may do to the machine: memory, ports and PCI configuration as firmware asks for. Process context, one thread
//! (`acpi_core`).

#![no_std]

use acpi::address::{AddressSpace, GenericAddress, MappedGas};
use acpi::aml::AmlError;
use acpi::registers::{FixedRegisters, Pm1ControlRegisterBlock, Pm1EventRegisterBlock};
use acpi::{Handle, Handler, PciAddress, PhysicalMapping};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use mm_alloc::MmioRegion;
use x86::clocks::{delay, tsc};
use x86::pci_config;
use x86_cpu::io;

/// The services; it has no state.
#[derive(Clone, Copy)]
pub struct Osl;

/// The fixed registers that the interpreter wants to know for the global lock. This kernel never shares that lock with
/// firmware (there is no FACS for the interpreter), so they are never touched: a port that does nothing stands in for all.
pub fn registers() -> Option<FixedRegisters<Osl>> {
    const POST_CODE_PORT: u64 = 0x80;
    let register = || {
        let gas = GenericAddress {
            address_space: AddressSpace::SystemIo,
            bit_width: 16,
            bit_offset: 0,
            access_size: 2,
            address: POST_CODE_PORT,
        };
        // SAFETY: The port shows POST codes; reading and writing it is harmless.
        unsafe { MappedGas::map_gas(gas, &Osl) }.ok()
    };
    Some(FixedRegisters {
        pm1_event_registers: Pm1EventRegisterBlock { pm1_event_length: 4, pm1a: register()?, pm1b: None },
        pm1_control_registers: Pm1ControlRegisterBlock { pm1a: register()?, pm1b: None },
    })
}

macro_rules! memory {
    ($($read:ident, $write:ident, $access_read:ident, $access_write:ident, $ty:ty;)*) => {
        $(
            fn $read(&self, address: usize) -> $ty {
                match MmioRegion::map(address as u64, size_of::<$ty>()) {
                    Ok(region) => region.$access_read(0),
                    Err(_) => <$ty>::MAX,
                }
            }

            fn $write(&self, address: usize, value: $ty) {
                if let Ok(region) = MmioRegion::map(address as u64, size_of::<$ty>()) {
                    region.$access_write(0, value);
                }
            }
        )*
    };
}

macro_rules! ports {
    ($($read:ident, $write:ident, $in_op:ident, $out_op:ident, $ty:ty;)*) => {
        $(
            fn $read(&self, port: u16) -> $ty {
                // SAFETY: Firmware's own code asks for its own ports; there is nobody else to ask whether that is right.
                unsafe { io::$in_op(port) }
            }

            fn $write(&self, port: u16, value: $ty) {
                // SAFETY: As above.
                unsafe { io::$out_op(port, value) }
            }
        )*
    };
}

macro_rules! config {
    ($($read:ident, $write:ident, $op_read:ident, $op_write:ident, $ty:ty;)*) => {
        $(
            fn $read(&self, address: PciAddress, offset: u16) -> $ty {
                pci_config::$op_read(place(address), offset)
            }

            fn $write(&self, address: PciAddress, offset: u16, value: $ty) {
                pci_config::$op_write(place(address), offset, value);
            }
        )*
    };
}

fn place(address: PciAddress) -> pci_config::PciAddress {
    pci_config::PciAddress {
        segment: address.segment(),
        bus: address.bus(),
        device: address.device(),
        function: address.function(),
    }
}

/// Stands in for memory that cannot be mapped. Firmware may write it too.
#[repr(C, align(4096))]
struct Nothing([AtomicU64; 512]);

static NOTHING: Nothing = Nothing([const { AtomicU64::new(u64::MAX) }; 512]);

/// The longest busy wait that firmware may ask for; Linux refuses more.
const STALL_MAX_US: u64 = 1000;
/// The longest sleep, as on Linux.
const SLEEP_MAX_MS: u64 = 2000;

static NEXT_MUTEX: AtomicU32 = AtomicU32::new(0);

impl Handler for Osl {
    /// Tables are read by `x86::acpi` and handed over as bytes, so the interpreter maps little. What cannot be mapped reads as ones,
    /// as a port that is not there does.
    /// # Safety
    /// The region is mapped whole, or is [`NOTHING`] with its length, and lives as long as the mapping that is returned.
    unsafe fn map_physical_region<T>(&self, physical_address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let mapped = MmioRegion::map_table(physical_address as u64, size.max(size_of::<T>()));
        let start = mapped.as_ref().ok().and_then(|region| NonNull::new(region.virt() as *mut T));
        // Stays mapped: firmware's tables are small and few.
        core::mem::forget(mapped);
        let (virtual_start, length) = match start {
            Some(start) => (start, size),
            None => {
                const { assert!(align_of::<T>() <= align_of::<Nothing>() && size_of::<T>() <= size_of::<Nothing>()) };
                klog::pr_err!("ACPI: {physical_address:#x} cannot be mapped");
                (NonNull::from(&NOTHING).cast(), size.min(size_of::<Nothing>()))
            }
        };
        PhysicalMapping {
            physical_start: physical_address,
            virtual_start,
            region_length: length,
            mapped_length: length,
            handler: Self,
        }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}

    memory! {
        read_u8, write_u8, read8, write8, u8;
        read_u16, write_u16, read16, write16, u16;
        read_u32, write_u32, read32, write32, u32;
        read_u64, write_u64, read64, write64, u64;
    }

    ports! {
        read_io_u8, write_io_u8, inb, outb, u8;
        read_io_u16, write_io_u16, inw, outw, u16;
        read_io_u32, write_io_u32, inl, outl, u32;
    }

    config! {
        read_pci_u8, write_pci_u8, read8, write8, u8;
        read_pci_u16, write_pci_u16, read16, write16, u16;
        read_pci_u32, write_pci_u32, read32, write32, u32;
    }

    fn nanos_since_boot(&self) -> u64 {
        let khz = u64::from(tsc::khz()).max(1);
        (u128::from(x86_cpu::tsc::rdtsc()) * 1_000_000 / u128::from(khz)) as u64
    }

    fn stall(&self, microseconds: u64) {
        if microseconds > STALL_MAX_US {
            klog::pr_err!("ACPI: firmware wants to stall for {microseconds} us: refused");
        } else {
            delay::ndelay(microseconds * 1000);
        }
    }

    fn sleep(&self, milliseconds: u64) {
        let ns = milliseconds.min(SLEEP_MAX_MS) * 1_000_000;
        match task::hooks::SLEEP_TIMER.get() {
            Some(timer) => timer.sleep(ns),
            None => delay::ndelay(ns),
        }
    }

    fn create_mutex(&self) -> Handle {
        Handle(NEXT_MUTEX.fetch_add(1, Ordering::Relaxed))
    }

    /// One thread interprets, so every mutex is free.
    fn acquire(&self, _mutex: Handle, _timeout: u16) -> Result<(), AmlError> {
        Ok(())
    }

    fn release(&self, _mutex: Handle) {}
}

// SPDX-License-Identifier: GPL-2.0
//! A driver of a platform device that ACPI names `RIDE0001`: it maps the memory that firmware says the device has, reads its first
//! register, and a property. QEMU has no such device; a table given by `-acpitable` makes one of whatever memory there is
//! (`tools/testing/modules/samples.py`: the HPET's, whose first register is its capabilities). It is bound and unbound through
//! `/sys/bus/platform/drivers/rust_platdev`.

#![no_std]
#![forbid(unsafe_code)]

use kernel::device::Core;
use kernel::io::{Io, mem::IoMem, register};
use kernel::prelude::*;
use kernel::{acpi, platform};

register! {
    /// What the device is.
    CAPABILITIES(u32) @ 0x0 {
        31:16 vendor;
        7:0 revision;
    }
}

/// Bytes of these registers.
const REGISTERS: usize = 0x8;

struct PlatformSample;

/// What is kept of a device.
struct Data<'bound> {
    device: &'bound platform::Device,
    memory: IoMem<'bound, REGISTERS>,
}

kernel::acpi_device_table!(
    TABLE,
    <PlatformSample as platform::Driver>::IdInfo,
    [(acpi::DeviceId::new(c"RIDE0001"), ())]
);

impl platform::Driver for PlatformSample {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;

    const ACPI_ID_TABLE: Option<acpi::IdTable<Self::IdInfo>> = Some(&TABLE);

    fn probe<'bound>(
        device: &'bound platform::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let memory = device.io_request_by_index(0).ok_or(ENODEV)?.iomap_sized::<REGISTERS>()?;
            let its = memory.read(CAPABILITIES);
            dev_info!(device, "vendor {:#x}, revision {}\n", its.vendor(), its.revision());
            if let Some(node) = device.as_ref().fwnode() {
                dev_info!(device, "level {}\n", node.property_read::<u32>(c"rideau,level").or(0));
            }
            Ok(Ok::<_, Error>(Data { device, memory }))
        })
    }

    fn unbind<'bound>(_device: &'bound platform::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        // The memory is there until the data is dropped.
        dev_info!(this.device, "vendor {:#x}, still\n", this.memory.read(CAPABILITIES).vendor());
    }
}

impl Drop for Data<'_> {
    fn drop(&mut self) {
        dev_info!(self.device, "goodbye\n");
    }
}

kernel::module_platform_driver! {
    type: PlatformSample,
    name: "rust_platdev",
    authors: ["The Rideau developers"],
    description: "A driver of a platform device",
    license: "GPL",
}

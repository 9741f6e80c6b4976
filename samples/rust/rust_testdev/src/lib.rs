// SPDX-License-Identifier: GPL-2.0
//! A PCI driver for QEMU's test device (`-device pci-testdev`): it maps the device's memory and runs each of its tests. The memory
//! says for a test how wide an access is wanted, where, and with what value, and counts how often that access was seen; a name and
//! a width of 0 end the list. Source: QEMU's `docs/specs/pci-testdev.rst`.

#![no_std]
#![forbid(unsafe_code)]

use kernel::device::Core;
use kernel::io::{Io, register};
use kernel::pci;
use kernel::prelude::*;

register! {
    /// The test that the others are about.
    TEST(u8) @ 0x0 {
        7:0 number;
    }

    /// How wide its access is: 1, 2 or 4 bytes.
    WIDTH(u8) @ 0x1 {
        7:0 bytes;
    }

    /// Where the access goes.
    OFFSET(u32) @ 0x4 {
        31:0 bytes;
    }

    /// What is written.
    DATA(u32) @ 0x8 {
        31:0 value;
    }

    /// Accesses that were seen.
    COUNT(u32) @ 0xc {
        31:0 accesses;
    }
}

/// Bytes of these registers.
const REGISTERS: usize = 0x10;
/// The tests of the memory's part: with and without event descriptors.
const TESTS: u8 = 3;

type Memory<'bound> = pci::Bar<'bound, REGISTERS>;

struct TestDevice;

/// What is kept of a device.
struct Data<'bound> {
    pdev: &'bound pci::Device,
    memory: Memory<'bound>,
}

kernel::pci_device_table!(
    TABLE,
    <TestDevice as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

/// Runs a test: how often its access was seen; `None` if the device has no such test.
fn run(memory: &Memory<'_>, test: u8) -> Result<Option<u32>> {
    memory.write_reg(TEST::from_raw(test));
    let offset = usize::try_from(memory.read(OFFSET).into_raw())?;
    let value = memory.read(DATA).into_raw();
    match memory.read(WIDTH).into_raw() {
        1 => memory.try_write8(value as u8, offset)?,
        2 => memory.try_write16(value as u16, offset)?,
        4 => memory.try_write32(value, offset)?,
        _ => return Ok(None),
    }
    Ok(Some(memory.read(COUNT).into_raw()))
}

impl pci::Driver for TestDevice {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            pdev.enable_device_mem()?;
            let memory = pdev.iomap_region_sized::<REGISTERS>(0, c"rust_testdev")?;
            for test in 0..TESTS {
                match run(&memory, test)? {
                    Some(count) => dev_info!(pdev, "test {}: {} accesses\n", test, count),
                    None => dev_info!(pdev, "test {}: not there\n", test),
                }
            }
            Ok(Ok::<_, Error>(Data { pdev, memory }))
        })
    }

    fn unbind<'bound>(_pdev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.memory.write_reg(TEST::zeroed());
    }
}

impl Drop for Data<'_> {
    fn drop(&mut self) {
        dev_info!(self.pdev, "goodbye\n");
    }
}

kernel::module_pci_driver! {
    type: TestDevice,
    name: "rust_testdev",
    authors: ["The Rideau developers"],
    description: "A driver for QEMU's PCI test device",
    license: "GPL",
}

// SPDX-License-Identifier: GPL-2.0
//! A module whose `init` makes a device and memory, and then ends with an error, ENODEV: nothing of it may stay.

use kernel::{
    fs::File,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
};

module! {
    type: Fails,
    name: "fails",
    authors: ["The Rideau developers"],
    description: "A module that cannot be loaded",
    license: "GPL",
}

struct Device;

#[vtable]
impl MiscDevice for Device {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        Ok(KBox::pin(Self, GFP_KERNEL)?)
    }
}

struct Fails;

impl kernel::Module for Fails {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let mut numbers = KVec::new();
        for number in 0..1000u32 {
            numbers.push(number, GFP_KERNEL)?;
        }
        let options = MiscDeviceOptions { name: c"fails" };
        let _device = KBox::pin_init(MiscDeviceRegistration::<Device>::register(options), GFP_KERNEL)?;
        pr_info!("{} numbers and a device, in vain\n", numbers.len());
        Err(ENODEV)
    }
}

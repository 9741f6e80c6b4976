// SPDX-License-Identifier: GPL-2.0
//! Devices come and go; finding one by its tag.

use crate::channel::{Connection, ENTRIES, Virtio};
use kernel::ext::{Alive, KString, ModuleHeader, Mutex};
use kernel::filesystem::sysfs;
use kernel::prelude::*;
use kernel::sync::Arc;
use p9net::{Channel, Transport};
use virtio::{Handler, VirtioDevice, VirtioDriver};

/// Devices that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

/// Devices that can be mounted.
static CHANNELS: Mutex<KVec<Arc<Virtio>>> = Mutex::new(KVec::new());

/// The list's memory goes back: for the module's end, when no device is left.
pub(crate) fn clear() {
    let old = core::mem::take(&mut *CHANNELS.lock());
    drop(old);
}

/// The device says a tag (`VIRTIO_9P_MOUNT_TAG`).
const MOUNT_TAG: u64 = 1 << 0;

/// The way `virtio`.
pub(crate) struct Way;

pub(crate) static VIRTIO: Way = Way;

impl Transport for Way {
    fn name(&self) -> &'static str {
        "virtio"
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::Net9pVirtio as kernel::ModuleMetadata>::this_module().header()
    }

    fn connect(&self, address: &[u8]) -> Result<Arc<dyn Channel>> {
        let channels = CHANNELS.lock();
        // The first that is free, should two have the same tag.
        let mut result = Err(ENOENT);
        for channel in channels.iter().filter(|channel| channel.tag.as_bytes() == address) {
            result = channel.claim();
            if result.is_ok() {
                return match Arc::new(Connection(channel.clone()), GFP_KERNEL) {
                    Ok(connection) => Ok(connection),
                    Err(error) => {
                        Connection(channel.clone()).close();
                        Err(error.into())
                    }
                };
            }
        }
        if result == Err(ENOENT) {
            pr_err!("no channels available for device {}\n", Shown(address));
        }
        Err(result.err().unwrap_or(ENOENT))
    }
}

/// Bytes as text.
struct Shown<'a>(&'a [u8]);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}

/// A device that is bound.
struct Bound {
    virtio: Arc<Virtio>,
    /// `mount_tag` in `/sys`.
    shown: Mutex<Option<Arc<sysfs::Node>>>,
}

impl Handler for Bound {
    fn queue_interrupt(&self, _: u16) {
        self.virtio.interrupt();
    }

    fn config_changed(&self) {}

    fn remove(&self) {
        let virtio = &self.virtio;
        if let Some(shown) = self.shown.lock().take() {
            shown.remove();
        }
        CHANNELS.lock().retain(|other| !Arc::ptr_eq(other, virtio));
        virtio.device.reset();
        // The device writes to no memory any more. Who has it mounted gets errors from now on.
        virtio.shut_down();
    }
}

pub(crate) struct Driver;

pub(crate) static DRIVER: Driver = Driver;

/// The tag in the device's configuration.
fn tag_of(device: &VirtioDevice) -> Result<KString> {
    if !device.has(MOUNT_TAG) {
        pr_err!("{}: the device has no mount tag\n", device.name());
        return Err(EINVAL);
    }
    let len = usize::from(device.config16(0));
    let mut tag = KVec::with_capacity(len, GFP_KERNEL)?;
    for at in 0..len {
        tag.push(device.config8(2 + at), GFP_KERNEL)?;
    }
    let text = core::str::from_utf8(&tag).map_err(|_| EINVAL)?;
    Ok(KString::from_fmt(format_args!("{text}"), GFP_KERNEL)?)
}

impl VirtioDriver for Driver {
    fn name(&self) -> &'static str {
        "9pnet_virtio"
    }

    fn device_types(&self) -> &'static [u32] {
        &[9]
    }

    fn features(&self) -> u64 {
        MOUNT_TAG
    }

    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
        let virtio = Arc::new(Virtio::new(device, tag_of(device)?, ALIVE.count())?, GFP_KERNEL)?;
        let bound = Arc::new(Bound { virtio: virtio.clone(), shown: Mutex::new(None) }, GFP_KERNEL)?;
        let name = device.name().to_str().ok_or(EINVAL)?;
        device.transport().connect(name, &[0], bound.clone())?;
        let queue = device.new_queue(0, ENTRIES)?;
        virtio.ring.lock_irqsave().queue = Some(queue);
        device.ready();
        let path = device.sysfs_path()?;
        let node = sysfs::root()?.path_or_new(path.to_str().ok_or(EINVAL)?)?;
        // With the zero byte behind it, as on Linux.
        let mut tag = KVec::from_slice(virtio.tag.as_bytes(), GFP_KERNEL)?;
        tag.push(0, GFP_KERNEL)?;
        let shown = sysfs::fixed(&node, "mount_tag", tag)?;
        *bound.shown.lock() = Some(shown.clone());
        CHANNELS.lock().push(virtio, GFP_KERNEL).inspect_err(|_| shown.remove())?;
        Ok(bound)
    }
}

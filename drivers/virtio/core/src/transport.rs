// SPDX-License-Identifier: GPL-2.0
//! What a bus has to do for its devices.

use crate::device::Handler;
use errno::Result;
use kalloc::{Arc, KString};
use kernel::hardware::mm_alloc;
use mm_alloc::PhysAddr;

/// Bits of a device's status.
pub mod status {
    /// The device was seen.
    pub const ACKNOWLEDGE: u8 = 1;
    /// There is a driver.
    pub const DRIVER: u8 = 2;
    /// The driver works.
    pub const DRIVER_OK: u8 = 4;
    /// Features are agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device wants a reset.
    pub const NEEDS_RESET: u8 = 0x40;
    /// The driver gave up.
    pub const FAILED: u8 = 0x80;
}

/// Where a ring is.
#[derive(Clone, Copy, Debug)]
pub struct QueueAddresses {
    /// Descriptors.
    pub desc: PhysAddr,
    /// What the driver writes beside them: the available ring of a split one.
    pub driver: PhysAddr,
    /// What the device writes beside them: the used ring of a split one.
    pub device: PhysAddr,
}

/// Who a device is, and where: what its bus finds out before it registers it.
pub struct Identity {
    /// What kind of device it is (2: disk).
    pub device_type: u32,
    /// Its vendor.
    pub vendor: u32,
    /// Where in `/sys` the bus's device is (`devices/pci0000:00/0000:00:04.0`).
    pub parent: KString,
    /// Name of the bus's device (`0000:00:04.0`).
    pub bus_name: KString,
}

/// A device's registers. All may sleep but `notify`, `read_config` and `status`.
pub trait Transport: Send + Sync {
    /// Who it is.
    fn identity(&self) -> &Identity;
    /// Whether it is still there: it was not pulled out.
    fn is_present(&self) -> bool {
        true
    }
    /// Whether it speaks version 1.0 or later.
    fn is_modern(&self) -> bool;
    /// Features it offers.
    fn features(&self) -> u64;
    /// Features the driver takes.
    fn set_features(&self, features: u64);
    /// Its status.
    fn status(&self) -> u8;
    /// Sets its status (not to 0: that is [`Self::reset`]).
    fn set_status(&self, status: u8);
    /// Stops it: it reads and writes no memory when this returns.
    fn reset(&self);
    /// Reads configuration, in accesses as wide as the field where that is 1, 2 or 4 bytes.
    fn read_config(&self, offset: usize, to: &mut [u8]);
    /// Writes configuration.
    fn write_config(&self, offset: usize, from: &[u8]);
    /// Changes when configuration does.
    fn generation(&self) -> u32;
    /// Most entries of queue `index`, as the device says; 0: no such queue.
    fn max_queue_size(&self, index: u16) -> u16;
    /// Whether the size of a queue can be chosen (else it is [`Self::max_queue_size`]).
    fn can_choose_size(&self) -> bool;
    /// Lets interrupts come to `handler`; `cpus`: of queue `n`, the CPU that should get its interrupts. `name`: what they are called
    /// after. Once; until [`Self::disconnect`].
    fn connect(&self, name: &str, cpus: &[u32], handler: Arc<dyn Handler>) -> Result;
    /// After a reset, tells the device of the interrupts again, which are still connected.
    fn reconnect(&self) -> Result {
        Ok(())
    }
    /// No interrupts any more; none runs when this returns.
    fn disconnect(&self);
    /// Switches a queue on.
    fn activate_queue(&self, index: u16, size: u16, at: &QueueAddresses) -> Result;
    /// Tells the device that something is available in a queue. Any context.
    fn notify(&self, index: u16);
}

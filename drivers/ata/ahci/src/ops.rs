// SPDX-License-Identifier: GPL-2.0
//! What the middle layer of SCSI reaches of a port, and devices that come and go.

use crate::port::Port;
use crate::regs::{PIECE, PIECES};
use errno::{Error, Result};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use scsi::{Command, Host, HostOps, HostParams, Unit};

struct Ops(Arc<Port>);

impl HostOps for Ops {
    fn queue_command(&self, command: KBox<Command>, _last: bool) -> Result<(), (Error, KBox<Command>)> {
        self.0.submit(command)
    }

    /// A single command cannot be aborted.
    fn abort(&self, _: &Unit, _: u32, id: u64) -> bool {
        // Perhaps only the interrupt was lost.
        self.0.finish();
        !self.0.has(id)
    }

    fn reset_unit(&self, _: &Unit, _: u32, id: u64) -> bool {
        self.0.reset_for(id);
        !self.0.has(id)
    }

    fn reset_host(&self) {
        // A reset gives everything back, whether or not the device answers.
        self.0.reset_for(0);
    }
}

/// Shows a port as an adapter. May sleep.
pub(crate) fn add(port: &Arc<Port>, parent: &str) -> Result<Arc<Host>> {
    let params = HostParams {
        name: "ahci",
        driver: "ahci",
        owner: <crate::AhciModule as kernel::ModuleMetadata>::this_module().header(),
        hw_queues: 1,
        can_queue: port.depth(),
        cmd_per_lun: port.depth(),
        targets: 1,
        max_lun: 1,
        max_sectors: 65535,
        max_segments: PIECES as u32,
        max_segment_size: PIECE,
        dma_alignment: 1,
        seg_boundary_mask: u32::MAX.into(),
        no_write_same: true,
        unique_id: port.id,
    };
    let host = Host::add(params, parent, Arc::new(Ops(port.clone()), GFP_KERNEL)?)?;
    *port.host.lock_irqsave() = Some(host.clone());
    Ok(host)
}

/// A device came, went, or was replaced. May sleep.
pub(crate) fn changed(port: &Port) {
    let Some(host) = port.host() else { return };
    let device = port.slots.lock_irqsave().device;
    if let Some(unit) = host.unit(0, 0) {
        // Another one, perhaps: what is known of the old one is of no use.
        host.remove_unit(&unit);
    }
    if device.is_some()
        && let Err(error) = host.scan_target(0, None)
    {
        klog::pr_err!("scsi host{}: {error}", host.number());
    }
}

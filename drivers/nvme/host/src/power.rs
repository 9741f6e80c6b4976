// SPDX-License-Identifier: GPL-2.0
//! A controller's configuration and status: it is started, stopped, and told that its power goes.

use crate::admin::Admin;
use crate::ctrl::{Bound, Ctrl};
use crate::spec::{CC_ENABLE, CC_SHUTDOWN, CSTS_FATAL, CSTS_READY, CSTS_SHUTDOWN, CSTS_SHUTDOWN_DONE, reg};
use core::sync::atomic::Ordering::SeqCst;
use errno::{Result, code::*};
use kernel::hardware::ktime;
use klog::pr_warn;

/// How long a controller may take to write its cache at the end (Linux's `shutdown_timeout`).
const SHUTDOWN_NS: u64 = 5_000_000_000;

impl Bound {
    /// Tells the controller that its power goes (NVM Express Base Specification 2.0, 3.6.1), and waits for it. May sleep.
    pub(crate) fn shut_down(&self) {
        let ctrl = &*self.0;
        // No reset meanwhile.
        let _admin = ctrl.admin.lock();
        if ctrl.dead.load(SeqCst) || !ctrl.device.is_present() {
            return;
        }
        ctrl.regs.write32(reg::CC, CC_ENABLE | CC_SHUTDOWN);
        let deadline = ktime::now_ns().saturating_add(SHUTDOWN_NS);
        while ctrl.regs.read32(reg::CSTS) & CSTS_SHUTDOWN != CSTS_SHUTDOWN_DONE {
            if ktime::now_ns() > deadline {
                return pr_warn!("nvme {}: Device shutdown incomplete; abort shutdown", ctrl.name);
            }
            ktime::sleep_ns(1_000_000);
        }
    }
}

impl Ctrl {
    /// Waits until the controller says that it is ready, or that it is not. ENODEV, ETIMEDOUT. May sleep.
    fn wait_ready(&self, ready: bool) -> Result {
        let limit = (self.cap >> 24 & 0xff).max(1) * 500_000_000;
        let deadline = ktime::now_ns().saturating_add(limit);
        loop {
            let status = self.regs.read32(reg::CSTS);
            if status == u32::MAX || ready && status & CSTS_FATAL != 0 {
                return Err(ENODEV);
            }
            if (status & CSTS_READY != 0) == ready {
                return Ok(());
            }
            if ktime::now_ns() > deadline {
                return Err(ETIMEDOUT);
            }
            ktime::sleep_ns(1_000_000);
        }
    }

    /// Stops it: it touches no memory any more. May sleep.
    pub(crate) fn disable(&self) -> Result {
        self.regs.write32(reg::CC, 0);
        self.wait_ready(false)
    }

    /// Starts it with empty administrative rings. May sleep.
    pub(crate) fn enable(&self, admin: &Admin) -> Result {
        self.disable()?;
        while admin.pair.take_back().is_some() {}
        admin.pair.restart();
        let (sq, cq) = admin.pair.addresses();
        self.regs.write32(reg::AQA, Admin::attributes());
        for (at, value) in [(reg::ASQ, sq), (reg::ACQ, cq)] {
            self.regs.write32(at, value as u32);
            self.regs.write32(at + 4, (value >> 32) as u32);
        }
        self.regs.write32(reg::CC, CC_ENABLE);
        self.wait_ready(true)
    }
}

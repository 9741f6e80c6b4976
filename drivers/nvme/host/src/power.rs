// SPDX-License-Identifier: GPL-2.0
//! A controller's configuration and status: it is started, stopped, and told that its power goes, at the end or while the machine sleeps.

use crate::admin::Admin;
use crate::ctrl::{Bound, Ctrl};
use crate::spec::{CC_ENABLE, CC_SHUTDOWN, CSTS_FATAL, CSTS_READY, CSTS_SHUTDOWN, CSTS_SHUTDOWN_DONE, reg};
use core::sync::atomic::Ordering::SeqCst;
use errno::{Result, code::*};
use kernel::hardware::ktime;
use klog::pr_warn;

/// How long a controller may take to write its cache at the end (Linux's `shutdown_timeout`).
const SHUTDOWN_NS: u64 = 5_000_000_000;

/// How long commands may take when the machine goes to sleep: resets may be among it.
const PATIENCE_NS: u64 = 60_000_000_000;

impl Bound {
    /// The machine goes to sleep: the controller ends what it has, and is switched off. EBUSY: it takes too long. May sleep.
    pub(crate) fn suspend(&self) -> Result {
        let ctrl = &*self.0;
        ctrl.asleep.store(true, SeqCst);
        let deadline = ktime::now_ns().saturating_add(PATIENCE_NS);
        while ctrl.queues().iter().any(|queue| queue.pair.has(|_| true)) && !ctrl.dead.load(SeqCst) {
            if ktime::now_ns() > deadline {
                ctrl.asleep.store(false, SeqCst);
                ctrl.go_on(false);
                return Err(EBUSY);
            }
            // Whoever would look at these may be frozen.
            (ctrl.interrupting()..ctrl.queues().len()).for_each(|index| {
                let _ = ctrl.finish(index);
            });
            ktime::sleep_ns(1_000_000);
        }
        self.shut_down();
        let _admin = ctrl.admin.lock();
        if !ctrl.dead.load(SeqCst) && ctrl.device.is_present() {
            ctrl.off.store(true, SeqCst);
            // One that does not stop is found out when it is started.
            let _ = ctrl.disable();
        }
        Ok(())
    }

    /// The machine wakes: the controller is started. If it does not, it is given up. May sleep.
    pub(crate) fn resume(&self) -> Result {
        let ctrl = &*self.0;
        let started = {
            let admin = ctrl.admin.lock();
            match ctrl.off.swap(false, SeqCst) && !ctrl.dead.load(SeqCst) {
                true => {
                    ctrl.queues().iter().for_each(|queue| queue.pair.restart());
                    ctrl.start_again(&admin).inspect_err(|_| ctrl.dead.store(true, SeqCst))
                }
                false => Ok(()),
            }
        };
        ctrl.asleep.store(false, SeqCst);
        ctrl.go_on(ctrl.dead.load(SeqCst));
        started
    }

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

// SPDX-License-Identifier: GPL-2.0
//! KUnit suites of modules: run once the module is live, by the task that loads it, as on Linux. What they say is in the log.
//!
//! Lock: `TURN` (sleeping, outermost): one module's tests at a time. A test that panics ends the task and never gives it back; who waits
//! for it can be interrupted.

use crate::registry::Module;
use klog::pr_warn;
use sync::Mutex;

static TURN: Mutex<()> = Mutex::new(());

/// Runs the suites of `module`, if it has any.
pub(crate) fn run(module: &Module) {
    let Some(body) = module.body() else { return };
    let (address, len) = body.suites;
    let suites = match body.core.suites(address, len) {
        Ok([]) => return,
        Ok(suites) => suites,
        Err(_) => return pr_warn!("{}: bad .kunit_test_suites", module.name()),
    };
    match TURN.lock_interruptible() {
        Ok(_turn) => drop(kunit::run_of_module(suites)),
        Err(_) => pr_warn!("{}: interrupted before its tests ran", module.name()),
    }
}

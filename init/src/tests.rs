// SPDX-License-Identifier: GPL-2.0
//! Runs the tests that are linked in (KUnit), before the first program.

use kunit::{Params, Shutdown};
use locking::SetOnce;
use process::hooks::MACHINE;
use x86_head::BootInfo;

/// Runs what the command line selects, and ends the machine if it says so.
pub(crate) fn run(info: &'static BootInfo) {
    let mut params = Params::default();
    for param in crate::params::line(info).params() {
        if let (Ok(name), Some(Ok(value))) = (core::str::from_utf8(param.name), param.value.map(core::str::from_utf8)) {
            params.set(name, value);
        }
    }
    static WHO: kunit::Who = || core::ptr::from_ref::<task::Task>(&task::current()).addr();
    kunit::set_who(&WHO);
    // What modules bring is run when they are loaded, by the same words.
    static PARAMS: SetOnce<Params<'static>> = SetOnce::new();
    if PARAMS.set(params).is_ok()
        && let Some(params) = PARAMS.get()
    {
        kunit::set_for_modules(params);
    }
    if !params.autorun {
        return;
    }
    kunit::run_all(&params);
    if let Some(machine) = MACHINE.get() {
        match params.shutdown {
            Shutdown::No => {}
            Shutdown::PowerOff => machine.power_off(),
            Shutdown::Halt => machine.halt(),
            Shutdown::Reboot => machine.restart(),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! KUnit: tests that run inside the kernel and report on the console in KTAP version 1.
//!
//! A suite is written with `#[macros::kunit_tests(name)]`; the linker gathers all of them between
//! `__start_kunit_test_suites` and `__stop_kunit_test_suites` (section `.kunit_test_suites`). `init` calls [`run_all`]
//! late in boot, in a kernel thread; the loader calls [`run_of_module`] for those that a module has. Tests run one at
//! a time. The state of the running test is a few atomics, so an assertion may be made in any context. No locks.
//!
//! What holds the suites together, and the unsafe code that it takes, is in `lib/kunit/suites`.

#![no_std]
#![forbid(unsafe_code)]

mod assert;
mod glob;
mod params;
mod run;

pub use assert::{Failed, Outcome, Who, fail, finish, in_test, set_who, skip};
pub use kunit_suites::{Case, Suite, kunit_suite, suites};
pub use params::{Action, Params, Shutdown};
pub use run::{Output, Totals, run, run_of_module, set_for_modules};

/// Runs the suites of this image as `params` say, on the kernel log. May sleep; call it from a kernel thread.
pub fn run_all(params: &Params<'_>) -> Totals {
    run(suites(), params, &|args| klog::pr_info!("{args}"))
}

#[cfg(test)]
mod tests;

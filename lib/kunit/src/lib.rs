// SPDX-License-Identifier: GPL-2.0
//! KUnit: tests that run inside the kernel and report on the console in KTAP version 1.
//!
//! A suite is written with `#[macros::kunit_tests(name)]`; the linker gathers all of them between
//! `__start_kunit_test_suites` and `__stop_kunit_test_suites` (section `.kunit_test_suites`). `init` calls [`run_all`]
//! late in boot, in a kernel thread. Tests run one at a time. The state of the running test is a few atomics, so an
//! assertion may be made in any context. No locks.
//!
//! A named container of level 0: the one unsafe block turns the linker's section into a slice.

#![no_std]

mod assert;
mod glob;
mod params;
mod run;

pub use assert::{Failed, Outcome, fail, finish, skip};
pub use params::{Action, Params, Shutdown};
pub use run::{Output, Totals, run};

/// One test: a name and a function that runs it.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: fn(),
}

impl Case {
    /// A test of a suite. `run` reports through [`fail`] and [`skip`].
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, run }
    }
}

/// Tests that belong together.
#[derive(Clone, Copy)]
pub struct Suite {
    name: &'static str,
    cases: &'static [Case],
}

impl Suite {
    /// A suite named `name`.
    pub const fn new(name: &'static str, cases: &'static [Case]) -> Self {
        Self { name, cases }
    }
}

/// Registers a suite with the linker; `#[kunit_tests]` emits it.
#[macro_export]
macro_rules! kunit_suite {
    ($name:expr, $cases:expr) => {
        static __KUNIT_SUITE: $crate::Suite = $crate::Suite::new($name, $cases);
        #[used]
        #[unsafe(link_section = ".kunit_test_suites")]
        static __KUNIT_SUITE_ENTRY: &$crate::Suite = &__KUNIT_SUITE;
    };
}

/// The suites that are linked into this image.
#[cfg(target_os = "none")]
pub fn suites() -> &'static [&'static Suite] {
    #[allow(improper_ctypes, reason = "the symbols only mark where Rust values lie")]
    unsafe extern "C" {
        static __start_kunit_test_suites: [&'static Suite; 0];
        static __stop_kunit_test_suites: [&'static Suite; 0];
    }
    // SAFETY: The linker script defines both symbols around the section `.kunit_test_suites`, which holds only what
    // `kunit_suite!` puts there: references to suites.
    unsafe {
        let start = (&raw const __start_kunit_test_suites).cast::<&'static Suite>();
        let stop = (&raw const __stop_kunit_test_suites).cast::<&'static Suite>();
        core::slice::from_raw_parts(start, stop.offset_from_unsigned(start))
    }
}

/// The suites that are linked into this image: none on the host, where they are ordinary tests.
#[cfg(not(target_os = "none"))]
pub fn suites() -> &'static [&'static Suite] {
    &[]
}

/// Runs the suites of this image as `params` say, on the kernel log. May sleep; call it from a kernel thread.
pub fn run_all(params: &Params<'_>) -> Totals {
    run(suites(), params, &|args| klog::pr_info!("{args}"))
}

#[cfg(test)]
mod tests;

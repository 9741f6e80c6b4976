// SPDX-License-Identifier: GPL-2.0
//! What a KUnit suite is, and which ones are linked into this image; `kunit` runs them.
//!
//! A named container of level 0: the unsafe code turns the linker's section into a slice.

#![no_std]

/// One test: a name and a function that runs it.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: fn(),
}

impl Case {
    /// A test of a suite. `run` reports through `kunit::fail` and `kunit::skip`.
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, run }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it.
    pub fn run(&self) {
        (self.run)();
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

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its tests.
    pub const fn cases(&self) -> &'static [Case] {
        self.cases
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

// SPDX-License-Identifier: GPL-2.0
//! `#[kunit_tests]` works in a crate that forbids unsafe code. On the host its functions are ordinary tests; compiled
//! with `--cfg 'CONFIG_KUNIT="y"'` they become a suite.

#![forbid(unsafe_code)]

use macros::kunit_tests;

#[cfg(not(test))]
fn main() {}

#[kunit_tests(forbid_unsafe)]
mod tests {
    #[test]
    fn passes() {
        assert_eq!(2 + 2, 4);
        assert!(true != false, "never {}", 1);
    }

    #[test]
    #[cfg(any())]
    fn configured_out() {}
}

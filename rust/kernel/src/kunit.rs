// SPDX-License-Identifier: GPL-2.0
//! What code may ask of the tests: `kernel::kunit`.

/// Whether a test runs this very code: the current task is the one in which the running test is. Always false without `CONFIG_KUNIT`, whose
/// tests alone set it.
pub fn in_kunit_test() -> bool {
    ::kunit::in_test()
}

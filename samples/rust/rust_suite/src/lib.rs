// SPDX-License-Identifier: GPL-2.0
//! A module that tests what it has: `#[kunit_tests(suite)]` makes a suite of the tests in a `mod`. In a kernel with `CONFIG_KUNIT` that was
//! started with `kunit.enable=1` the suite runs when the module is loaded, or at boot if it is part of the image, and the log has what
//! became of it (KTAP). Without `CONFIG_KUNIT` the tests are not there.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Suite,
    name: "rust_suite",
    authors: ["The Rideau developers"],
    description: "A module with tests",
    license: "GPL",
}

/// Days of a month of the Gregorian calendar. `EINVAL`: there is no such month.
pub fn days(year: u32, month: u32) -> Result<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => Ok(29),
        2 => Ok(28),
        4 | 6 | 9 | 11 => Ok(30),
        1..=12 => Ok(31),
        _ => Err(EINVAL),
    }
}

struct Suite;

impl kernel::Module for Suite {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("February 2024 has {} days\n", days(2024, 2)?);
        Ok(Self)
    }
}

#[kunit_tests(rust_suite)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        assert_eq!(days(2026, 1), Ok(31));
        assert_eq!(days(2026, 4), Ok(30));
        assert_eq!(days(2026, 13), Err(EINVAL));
        assert_eq!(days(2026, 0), Err(EINVAL));
    }

    /// A test may end by `?`.
    #[test]
    fn leap_years() -> Result {
        for (year, february) in [(2023, 28), (2024, 29), (2100, 28), (2000, 29)] {
            assert_eq!(days(year, 2)?, february);
        }
        Ok(())
    }
}

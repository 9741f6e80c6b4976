// SPDX-License-Identifier: GPL-2.0
//! How a running test says what became of it. One test runs at a time, so its state is static.

use core::fmt::Arguments;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use hook::AtomicRef;

/// Failed assertions of the running test.
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// Why the running test was skipped.
static SKIPPED: AtomicRef<&'static str> = AtomicRef::new();

/// What runs this code, as a number that is not 0: said by who knows tasks.
pub type Who = fn() -> usize;
/// See [`Who`].
static WHO: AtomicRef<Who> = AtomicRef::new();
/// What runs the running test; 0: there is none.
static RUNNER: AtomicUsize = AtomicUsize::new(0);

fn who() -> usize {
    WHO.load().map_or(0, |who| who())
}

/// Says how what runs this code is asked for: before the first test.
pub fn set_who(who: &'static Who) {
    WHO.store(Some(who));
}

/// Whether the running test runs this code itself: not another task meanwhile, nor one that the test started.
pub fn in_test() -> bool {
    match RUNNER.load(Ordering::Acquire) {
        0 => false,
        runner => runner == who(),
    }
}

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every assertion held.
    Pass,
    /// At least one did not.
    Fail,
    /// The test chose not to run, for this reason.
    Skip(&'static str),
}

/// Forgets the previous test.
pub(crate) fn begin() {
    RUNNER.store(who(), Ordering::Release);
    FAILURES.store(0, Ordering::Release);
    SKIPPED.store(None);
}

/// The test is over.
pub(crate) fn end() {
    RUNNER.store(0, Ordering::Release);
}

/// What became of the test since [`begin`].
pub(crate) fn outcome() -> Outcome {
    if FAILURES.load(Ordering::Acquire) != 0 {
        return Outcome::Fail;
    }
    match SKIPPED.load() {
        Some(reason) => Outcome::Skip(reason),
        None => Outcome::Pass,
    }
}

/// Records a failed assertion of the running test and prints where it is. Any context.
pub fn fail(file: &str, line: u32, what: Arguments<'_>) {
    FAILURES.fetch_add(1, Ordering::AcqRel);
    klog::pr_info!("    # ASSERTION FAILED at {file}:{line}");
    klog::pr_info!("    {what}");
}

/// Records that the running test cannot run here.
pub fn skip(reason: &'static &'static str) {
    SKIPPED.store(Some(reason));
}

/// What a test function may return.
pub trait Failed {
    /// The value with which a failed assertion leaves the function.
    fn failed() -> Self;
    /// The value with which a skipped test leaves the function.
    fn passed() -> Self;
    /// Whether the function ended well.
    fn is_ok(&self) -> bool;
}

impl Failed for () {
    fn failed() -> Self {}
    fn passed() -> Self {}
    fn is_ok(&self) -> bool {
        true
    }
}

impl<T: Default> Failed for errno::Result<T> {
    fn failed() -> Self {
        Err(errno::code::EINVAL)
    }
    fn passed() -> Self {
        Ok(T::default())
    }
    fn is_ok(&self) -> bool {
        self.is_ok()
    }
}

/// Takes what a test function returned.
pub fn finish<R: Failed>(result: R) {
    if !result.is_ok() {
        FAILURES.fetch_add(1, Ordering::AcqRel);
    }
}

/// `assert!` of a test: records the failure and leaves the test, since there is no unwinding in the kernel.
#[macro_export]
macro_rules! kunit_assert {
    ($condition:expr $(,)?) => {
        $crate::kunit_assert!($condition, "Expected {} to be true, but is false", stringify!($condition))
    };
    ($condition:expr, $($arg:tt)+) => {
        if !$condition {
            $crate::fail(file!(), line!(), format_args!($($arg)+));
            return $crate::Failed::failed();
        }
    };
}

/// `assert_eq!` of a test.
#[macro_export]
macro_rules! kunit_assert_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => $crate::kunit_assert!(
                *left == *right,
                "Expected {} == {}, but {left:?} != {right:?}",
                stringify!($left),
                stringify!($right)
            ),
        }
    };
    ($left:expr, $right:expr, $($arg:tt)+) => {
        $crate::kunit_assert!($left == $right, $($arg)+)
    };
}

/// `assert_ne!` of a test.
#[macro_export]
macro_rules! kunit_assert_ne {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => $crate::kunit_assert!(
                *left != *right,
                "Expected {} != {}, but both are {left:?}",
                stringify!($left),
                stringify!($right)
            ),
        }
    };
    ($left:expr, $right:expr, $($arg:tt)+) => {
        $crate::kunit_assert!($left != $right, $($arg)+)
    };
}

/// Leaves the test as skipped: `kunit_skip!("needs two CPUs")`.
#[macro_export]
macro_rules! kunit_skip {
    ($reason:literal) => {{
        $crate::skip(&$reason);
        return $crate::Failed::passed();
    }};
}

// SPDX-License-Identifier: GPL-2.0
//! Host tests of the runner: its text, its filter, its parameters.

extern crate std;

use super::*;
use std::cell::RefCell;
use std::string::{String, ToString};
use std::vec::Vec;

fn good() {}
fn bad() -> errno::Result {
    crate::kunit_assert_eq!(1 + 1, 3);
    Ok(())
}
fn error() -> errno::Result {
    Err(errno::code::ENOMEM)
}
fn skipped() {
    crate::kunit_skip!("not here");
}

static ONE: Suite = Suite::new("one", &[Case::new("good", good), Case::new("skipped", skipped)]);
static TWO: Suite = Suite::new(
    "two",
    &[Case::new("bad", || finish(bad())), Case::new("good", || finish(good())), Case::new("error", || finish(error()))],
);

/// The state of the running test is global, so everything is in one test function.
#[test]
fn ktap_filter_and_list() {
    let lines = RefCell::new(Vec::<String>::new());
    let out = |args: core::fmt::Arguments<'_>| lines.borrow_mut().push(args.to_string());
    let mut params = Params { enable: true, ..Params::default() };

    let totals = run(&[&ONE, &TWO], &params, &out);
    assert_eq!(totals, Totals { pass: 2, fail: 2, skip: 1 });
    let expected = [
        "KTAP version 1",
        "1..2",
        "    KTAP version 1",
        "    # Subtest: one",
        "    1..2",
        "    ok 1 good",
        "    ok 2 skipped # SKIP not here",
        "# one: pass:1 fail:0 skip:1 total:2",
        "ok 1 one",
        "    KTAP version 1",
        "    # Subtest: two",
        "    1..3",
        "    not ok 1 bad",
        "    ok 2 good",
        "    not ok 3 error",
        "# two: pass:1 fail:2 skip:0 total:3",
        "not ok 2 two",
        "# Totals: pass:2 fail:2 skip:1 total:5",
    ];
    assert_eq!(*lines.borrow(), expected);

    // A module's: without plan and totals.
    lines.borrow_mut().clear();
    let totals = crate::run::run_suites(&[&ONE, &TWO], &params, &out);
    assert_eq!(totals, Totals { pass: 2, fail: 2, skip: 1 });
    assert_eq!(*lines.borrow(), expected[2..expected.len() - 1]);
    lines.borrow_mut().clear();
    let off = Params { enable: false, ..params };
    assert_eq!(crate::run::run_suites(&[&ONE], &off, &out), Totals::default());
    assert_eq!(*lines.borrow(), ["kunit: disabled"]);

    lines.borrow_mut().clear();
    assert!(params.set("kunit.filter_glob", "t*.[a-f]*"));
    assert!(params.set("kunit.action", "list"));
    assert_eq!(run(&[&ONE, &TWO], &params, &out), Totals::default());
    assert_eq!(*lines.borrow(), ["KTAP version 1", "two.bad", "two.error"]);
}

#[test]
fn parameters() {
    let mut params = Params::default();
    assert!(params.set("kunit.enable", "on") && params.enable);
    assert!(params.set("kunit.enable", "0") && !params.enable);
    assert!(!params.set("kunit.enable", "") && !params.set("kunit.enabled", "1"));
    assert!(params.set("kunit_shutdown", "reboot") && params.shutdown == Shutdown::Reboot);
    assert!(!params.set("kunit_shutdown", "sleep") && params.shutdown == Shutdown::Reboot);
}

#[test]
fn globs() {
    use crate::glob::matches;
    for (pattern, text, expected) in [
        ("", "", true),
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c*", "abbd", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false),
        ("[]]", "]", true),
        ("[a", "a", false),
        ("*aab", "aaab", true),
        ("x*", "", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

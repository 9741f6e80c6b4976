// SPDX-License-Identifier: GPL-2.0
//! Runs suites and prints KTAP version 1, in the form that Linux's KUnit prints and `kunit.py` reads.

use crate::assert::{self, Outcome};
use crate::{Action, Case, Params, Suite};
use core::fmt::Arguments;

/// Where lines go.
pub type Output<'a> = &'a dyn Fn(Arguments<'_>);

/// Counts of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests that passed.
    pub pass: u32,
    /// Tests that failed.
    pub fail: u32,
    /// Tests that were skipped.
    pub skip: u32,
}

impl Totals {
    fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Pass => &mut self.pass,
            Outcome::Fail => &mut self.fail,
            Outcome::Skip(_) => &mut self.skip,
        };
        *counter = counter.saturating_add(1);
    }

    fn add(&mut self, other: Self) {
        self.pass = self.pass.saturating_add(other.pass);
        self.fail = self.fail.saturating_add(other.fail);
        self.skip = self.skip.saturating_add(other.skip);
    }

    fn total(&self) -> u32 {
        self.pass.saturating_add(self.fail).saturating_add(self.skip)
    }

    fn print(&self, indent: &str, name: &str, out: Output<'_>) {
        let Self { pass, fail, skip } = self;
        out(format_args!("{indent}# {name}: pass:{pass} fail:{fail} skip:{skip} total:{}", self.total()));
    }

    /// A suite is `ok` unless one of its tests failed.
    fn word(&self) -> &'static str {
        if self.fail == 0 { "ok" } else { "not ok" }
    }
}

/// The tests of `suite` that `params` select.
fn selected<'a>(suite: &'a Suite, params: &'a Params<'_>) -> impl Iterator<Item = &'a Case> + Clone {
    suite.cases().iter().filter(move |case| params.selects(suite.name(), case.name()))
}

/// Runs (or lists) what `params` select of `suites`, one test at a time. May sleep, as tests may.
pub fn run(suites: &[&Suite], params: &Params<'_>, out: Output<'_>) -> Totals {
    let mut totals = Totals::default();
    if !params.enable {
        out(format_args!("kunit: disabled"));
        return totals;
    }
    let chosen = suites.iter().filter(|suite| selected(suite, params).next().is_some());
    out(format_args!("KTAP version 1"));
    if params.action == Action::List {
        for suite in chosen {
            selected(suite, params).for_each(|case| out(format_args!("{}.{}", suite.name(), case.name())));
        }
        return totals;
    }
    out(format_args!("1..{}", chosen.clone().count()));
    for (index, suite) in chosen.enumerate() {
        let of_suite = run_suite(suite, params, out);
        out(format_args!("{} {} {}", of_suite.word(), index.saturating_add(1), suite.name()));
        totals.add(of_suite);
    }
    totals.print("", "Totals", out);
    totals
}

fn run_suite(suite: &Suite, params: &Params<'_>, out: Output<'_>) -> Totals {
    let cases = selected(suite, params);
    out(format_args!("    KTAP version 1"));
    out(format_args!("    # Subtest: {}", suite.name()));
    out(format_args!("    1..{}", cases.clone().count()));
    let mut totals = Totals::default();
    for (index, case) in cases.enumerate() {
        assert::begin();
        case.run();
        assert::end();
        let outcome = assert::outcome();
        totals.count(outcome);
        let number = index.saturating_add(1);
        match outcome {
            Outcome::Pass => out(format_args!("    ok {number} {}", case.name())),
            Outcome::Fail => out(format_args!("    not ok {number} {}", case.name())),
            Outcome::Skip(reason) => out(format_args!("    ok {number} {} # SKIP {reason}", case.name())),
        }
    }
    totals.print("", suite.name(), out);
    totals
}

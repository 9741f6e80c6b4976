// SPDX-License-Identifier: GPL-2.0
//! Runs suites and prints KTAP version 1, in the form that Linux's KUnit prints and `kunit.py` reads.

use crate::assert::{self, Outcome};
use crate::{Action, Case, Params, Suite};
use core::fmt::Arguments;
use hook::AtomicRef;

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
    if !params.enable {
        out(format_args!("kunit: disabled"));
        return Totals::default();
    }
    out(format_args!("KTAP version 1"));
    if params.action == Action::Run {
        out(format_args!("1..{}", chosen(suites, params).count()));
    }
    let totals = run_chosen(suites, params, out);
    if params.action == Action::Run {
        totals.print("", "Totals", out);
    }
    totals
}

/// The suites with a test that `params` select.
fn chosen<'a>(suites: &'a [&Suite], params: &'a Params<'_>) -> impl Iterator<Item = &'a Suite> {
    suites.iter().copied().filter(|suite| selected(suite, params).next().is_some())
}

/// Runs or lists them.
fn run_chosen(suites: &[&Suite], params: &Params<'_>, out: Output<'_>) -> Totals {
    let mut totals = Totals::default();
    for (index, suite) in chosen(suites, params).enumerate() {
        if params.action == Action::List {
            selected(suite, params).for_each(|case| out(format_args!("{}.{}", suite.name(), case.name())));
            continue;
        }
        let of_suite = run_suite(suite, params, out);
        out(format_args!("{} {} {}", of_suite.word(), index.saturating_add(1), suite.name()));
        totals.add(of_suite);
    }
    totals
}

/// How suites of modules are run.
static FOR_MODULES: AtomicRef<Params<'static>> = AtomicRef::new();

/// Says how suites of modules are run from now on; before that they are not.
pub fn set_for_modules(params: &'static Params<'static>) {
    FOR_MODULES.store(Some(params));
}

/// Runs the suites of a module that was loaded, on the kernel log, without the plan and the totals that a whole image has. The caller
/// has it run alone. May sleep.
pub fn run_of_module(suites: &[&Suite]) -> Totals {
    match FOR_MODULES.load() {
        Some(params) => run_suites(suites, params, &|args| klog::pr_info!("{args}")),
        None => Totals::default(),
    }
}

/// See [`run_of_module`].
pub(crate) fn run_suites(suites: &[&Suite], params: &Params<'_>, out: Output<'_>) -> Totals {
    if !params.enable {
        out(format_args!("kunit: disabled"));
    }
    if params.enable && params.autorun { run_chosen(suites, params, out) } else { Totals::default() }
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

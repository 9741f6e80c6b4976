// SPDX-License-Identifier: GPL-2.0
//! Lines of interrupts, as the tables describe them.

/// How a line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On its change.
    Edge,
    /// As long as it is active.
    Level,
}

/// Which level of a line is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// High (ISA).
    High,
    /// Low (PCI).
    Low,
}

/// Where a line of the old PC's interrupt controller arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Global system interrupt: an input of some IOAPIC.
    pub gsi: u32,
    /// How it signals.
    pub trigger: Trigger,
    /// Its active level.
    pub polarity: Polarity,
}

// SPDX-License-Identifier: GPL-2.0
//! The parts of `kernel::sync` that are thin forms over crates below.

pub mod completion;
pub mod rcu;

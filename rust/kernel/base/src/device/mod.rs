// SPDX-License-Identifier: GPL-2.0
//! The parts of `kernel::device` that know no contexts.

pub mod property;

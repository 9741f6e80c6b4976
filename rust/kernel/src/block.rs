// SPDX-License-Identifier: GPL-2.0
//! Block devices: the core's types for drivers and file systems, and `mq` for drivers with hardware queues.

pub use block::*;

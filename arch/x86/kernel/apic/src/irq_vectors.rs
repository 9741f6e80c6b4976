// SPDX-License-Identifier: GPL-2.0
//! The kernel's own interrupt vectors, at the top of the range.

/// Local APIC timer.
pub const LOCAL_TIMER_VECTOR: u8 = 0xec;
/// Stops the CPU (reboot, panic).
pub const REBOOT_VECTOR: u8 = 0xf8;
/// Runs queued functions.
pub const CALL_FUNCTION_VECTOR: u8 = 0xfc;
/// Reschedules.
pub const RESCHEDULE_VECTOR: u8 = 0xfd;
/// Local APIC error.
pub const ERROR_VECTOR: u8 = 0xfe;
/// Local APIC spurious.
pub const SPURIOUS_VECTOR: u8 = 0xff;

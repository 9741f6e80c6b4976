// SPDX-License-Identifier: GPL-2.0
//! Registers.

/// The controller's: capabilities.
pub(crate) const CAP: usize = 0x00;
/// Its control.
pub(crate) const GHC: usize = 0x04;
/// Ports that interrupt.
pub(crate) const IS: usize = 0x08;
/// Ports that there are.
pub(crate) const PI: usize = 0x0c;
/// Its version.
pub(crate) const VS: usize = 0x10;
/// More capabilities.
pub(crate) const CAP2: usize = 0x24;
/// Who owns it: firmware or us.
pub(crate) const BOHC: usize = 0x28;

pub(crate) const CAP_64: u32 = 1 << 31;
pub(crate) const CAP_NCQ: u32 = 1 << 30;
pub(crate) const CAP_CLO: u32 = 1 << 24;
pub(crate) const GHC_RESET: u32 = 1;
pub(crate) const GHC_INTERRUPTS: u32 = 1 << 1;
pub(crate) const GHC_AHCI: u32 = 1 << 31;
pub(crate) const CAP2_HANDOFF: u32 = 1;
pub(crate) const BOHC_BIOS: u32 = 1;
pub(crate) const BOHC_OS: u32 = 1 << 1;

/// A port's: where its list of commands is, where frames are received (two words each).
pub(crate) const CLB: usize = 0x00;
pub(crate) const FB: usize = 0x08;
/// What interrupts, and what may.
pub(crate) const PIS: usize = 0x10;
pub(crate) const PIE: usize = 0x14;
/// Control.
pub(crate) const CMD: usize = 0x18;
/// Status and error of the device.
pub(crate) const TFD: usize = 0x20;
/// What the device is.
pub(crate) const SIG: usize = 0x24;
/// The link: status, control, errors.
pub(crate) const SSTS: usize = 0x28;
pub(crate) const SCTL: usize = 0x2c;
pub(crate) const SERR: usize = 0x30;
/// Slots with queued commands; slots with commands.
pub(crate) const SACT: usize = 0x34;
pub(crate) const CI: usize = 0x38;

pub(crate) const CMD_START: u32 = 1;
pub(crate) const CMD_SPIN_UP: u32 = 1 << 1;
pub(crate) const CMD_POWER_ON: u32 = 1 << 2;
pub(crate) const CMD_CLO: u32 = 1 << 3;
pub(crate) const CMD_RECEIVE: u32 = 1 << 4;
pub(crate) const CMD_RECEIVING: u32 = 1 << 14;
pub(crate) const CMD_RUNNING: u32 = 1 << 15;
pub(crate) const CMD_ATAPI: u32 = 1 << 24;
pub(crate) const CMD_ACTIVE: u32 = 1 << 28;
pub(crate) const CMD_ICC: u32 = 0xf << 28;

/// The device put an error into its status; memory, bus or link failed; the link changed.
pub(crate) const INT_TASKFILE: u32 = 1 << 30;
pub(crate) const INT_FATAL: u32 = 1 << 29 | 1 << 28 | 1 << 27;
pub(crate) const INT_OVERFLOW: u32 = 1 << 24;
pub(crate) const INT_UNKNOWN: u32 = 1 << 4;
pub(crate) const INT_PHY: u32 = 1 << 22;
pub(crate) const INT_CONNECT: u32 = 1 << 6;
pub(crate) const INT_BAD: u32 = INT_TASKFILE | INT_FATAL | INT_OVERFLOW | INT_UNKNOWN | INT_PHY | INT_CONNECT;
/// Frames that end commands: registers, PIO set-up, DMA set-up, device bits.
pub(crate) const INT_FRAMES: u32 = 0xf;
/// What may interrupt.
pub(crate) const INT_ALL: u32 = INT_BAD | INT_FRAMES;

/// Bytes of a list of commands, of received frames, of a command's table; pieces in that.
pub(crate) const LIST: usize = 1024;
pub(crate) const RECEIVED: usize = 256;
pub(crate) const TABLE: usize = 2048;
pub(crate) const PIECES: usize = (TABLE - 128) / 16;
/// Bytes of a piece.
pub(crate) const PIECE: u32 = 1 << 22;

// SPDX-License-Identifier: GPL-2.0
//! Offsets and bits of configuration space that the core uses. Names follow `linux/pci_regs.h` of the UAPI headers.

/// Vendor id.
pub const PCI_VENDOR_ID: u16 = 0x00;
/// Device id.
pub const PCI_DEVICE_ID: u16 = 0x02;
/// Command.
pub const PCI_COMMAND: u16 = 0x04;
/// Command: answer to I/O accesses.
pub const PCI_COMMAND_IO: u16 = 0x1;
/// Command: answer to memory accesses.
pub const PCI_COMMAND_MEMORY: u16 = 0x2;
/// Command: may start transfers (DMA, MSI).
pub const PCI_COMMAND_MASTER: u16 = 0x4;
/// Command: INTx off.
pub const PCI_COMMAND_INTX_DISABLE: u16 = 0x400;
/// Status.
pub const PCI_STATUS: u16 = 0x06;
/// Status: there is a list of capabilities.
pub const PCI_STATUS_CAP_LIST: u16 = 0x10;
/// Revision, then three bytes of class.
pub const PCI_CLASS_REVISION: u16 = 0x08;
/// Header type; bit 7: more than one function.
pub const PCI_HEADER_TYPE: u16 = 0x0e;
/// First base address register.
pub const PCI_BASE_ADDRESS_0: u16 = 0x10;
/// Secondary bus of a bridge.
pub const PCI_SECONDARY_BUS: u16 = 0x19;
/// Highest bus behind a bridge.
pub const PCI_SUBORDINATE_BUS: u16 = 0x1a;
/// First port of a bridge's window, bits 12 to 15.
pub const PCI_IO_BASE: u16 = 0x1c;
/// Last port of a bridge's window, bits 12 to 15.
pub const PCI_IO_LIMIT: u16 = 0x1d;
/// First address of a bridge's window in memory, bits 20 to 31.
pub const PCI_MEMORY_BASE: u16 = 0x20;
/// Last address of a bridge's window in memory, bits 20 to 31.
pub const PCI_MEMORY_LIMIT: u16 = 0x22;
/// First address of a bridge's prefetchable window, bits 20 to 31.
pub const PCI_PREF_MEMORY_BASE: u16 = 0x24;
/// Last address of a bridge's prefetchable window, bits 20 to 31.
pub const PCI_PREF_MEMORY_LIMIT: u16 = 0x26;
/// Upper half of the first address of the prefetchable window.
pub const PCI_PREF_BASE_UPPER32: u16 = 0x28;
/// Upper half of the last address of the prefetchable window.
pub const PCI_PREF_LIMIT_UPPER32: u16 = 0x2c;
/// Upper halves of the first and last port of a bridge's window.
pub const PCI_IO_BASE_UPPER16: u16 = 0x30;
/// Subsystem vendor, then subsystem.
pub const PCI_SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
/// First capability.
pub const PCI_CAPABILITY_LIST: u16 = 0x34;
/// Interrupt line.
pub const PCI_INTERRUPT_LINE: u16 = 0x3c;
/// Interrupt pin.
pub const PCI_INTERRUPT_PIN: u16 = 0x3d;
/// Header of a bridge.
pub const PCI_HEADER_TYPE_BRIDGE: u8 = 1;
/// Class and subclass of the bridge from the processor.
pub const PCI_CLASS_BRIDGE_HOST: u32 = 0x0600;
/// First extended capability.
pub const PCI_CFG_SPACE_SIZE: u16 = 256;

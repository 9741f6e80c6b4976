// SPDX-License-Identifier: GPL-2.0
//! What drivers of this tree for things on buses are made of: the crates below under their own names. Rust-for-Linux's interfaces
//! (`pci`, `irq`, `io`) are for one device and its driver; what is here is for who makes devices himself, or answers for many queues.

pub use ::device;
pub use ::irq;
#[cfg(feature = "CONFIG_PCI")]
pub use ::pci;
pub use ktime;
pub use mm_alloc;
#[cfg(feature = "CONFIG_PCI")]
pub use x86::pci_config;
pub use x86_cpu::io::PortRange;

// SPDX-License-Identifier: GPL-2.0
//! What drivers of this tree for things on buses are made of: the crates below under their own names. Rust-for-Linux's interfaces
//! (`pci`, `irq`, `io`) are for one device and its driver; what is here is for who makes devices himself, or answers for many queues.

#[cfg(feature = "CONFIG_BLOCK")]
pub use ::block;
pub use ::cred;
pub use ::device;
pub use ::input;
pub use ::irq;
#[cfg(feature = "CONFIG_PCI")]
pub use ::pci;
pub use ::sync;
pub use ::task;
pub use ::workqueue;
pub use kernfs;
pub use ktime;
pub use locking;
pub use misc;
pub use mm;
pub use mm_alloc;
pub use module_core;
pub use proc;
pub use random;
pub use rcu;
#[cfg(feature = "CONFIG_RTC_CLASS")]
pub use rtc;
pub use sysfs;
pub use vfs;
pub use x86::acpi;
pub use x86::clocks;
pub use x86::irq::chip as irq_chip;
#[cfg(feature = "CONFIG_PCI")]
pub use x86::pci_config;
pub use x86_cpu::io::PortRange;
pub use x86_mm::uaccess;

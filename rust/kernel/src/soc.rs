// SPDX-License-Identifier: GPL-2.0
//! What a system on a chip is: `kernel::soc`, over `drivers/base/core`.

use crate::error::{Error, Result};
use crate::str::CString;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use pin_init::{PinInit, init_with};

/// What is said of it in `/sys/devices/socN`.
pub struct Attributes {
    /// The board.
    pub machine: Option<CString>,
    /// The family of chips.
    pub family: Option<CString>,
    /// The chip's revision.
    pub revision: Option<CString>,
    /// Its serial number.
    pub serial_number: Option<CString>,
    /// The chip.
    pub soc_id: Option<CString>,
}

impl Attributes {
    fn texts(&self) -> Result<::device::soc::Texts> {
        let mut texts = KVec::new();
        for (name, text) in [
            ("machine", &self.machine),
            ("family", &self.family),
            ("revision", &self.revision),
            ("serial_number", &self.serial_number),
            ("soc_id", &self.soc_id),
        ] {
            if let Some(text) = text {
                texts.push((name, KString::from_bytes(text.to_bytes(), GFP_KERNEL)?), GFP_KERNEL)?;
            }
        }
        Ok(texts)
    }
}

/// A device that says it; it goes when this is dropped.
pub struct Registration(Arc<::device::Device>);

impl Registration {
    fn register(attributes: &Attributes) -> Result<Self> {
        Ok(Self(::device::soc::add(attributes.texts()?)?))
    }

    /// The device with these attributes. `ENOMEM`. May sleep.
    pub fn new(attr: Attributes) -> impl PinInit<Self, Error> {
        init_with(move || Self::register(&attr))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        ::device::soc::remove(&self.0);
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Devices as the command line names them: `512@0xfeb00000:5` or `4K@0xd0000000:12:1`. Lock: `NAMED` (sleeping), the list.

use core::fmt;
use kernel::ext::Mutex;
use kernel::hardware::irq::{Polarity, Trigger};
use kernel::module_param::ModuleParam;
use kernel::prelude::*;

/// Where a device's registers are, and its interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) size: u64,
    pub(crate) base: u64,
    pub(crate) irq: u32,
    pub(crate) trigger: Trigger,
    pub(crate) polarity: Polarity,
}

impl Named {
    /// No device.
    pub(crate) const NONE: Self = Self { size: 0, base: 0, irq: 0, trigger: Trigger::Edge, polarity: Polarity::High };
}

/// What was named until now.
static NAMED: Mutex<KVec<Named>> = Mutex::new(KVec::new());

/// The devices that were named.
pub(crate) fn take() -> KVec<Named> {
    core::mem::take(&mut *NAMED.lock())
}

impl ModuleParam for Named {
    fn try_from_param_arg(arg: &[u8]) -> Result<Self> {
        let named = parse(arg).ok_or(EINVAL)?;
        NAMED.lock().push(named, GFP_KERNEL)?;
        Ok(named)
    }

    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{:#x}@{:#x}:{}", self.size, self.base, self.irq)
    }

    fn may_repeat() -> bool {
        true
    }
}

fn parse(value: &[u8]) -> Option<Named> {
    let text = core::str::from_utf8(value).ok()?;
    let (size, rest) = text.split_once('@')?;
    let mut rest = rest.split(':');
    let (size, scale) = match size.as_bytes().last()? {
        b'K' | b'k' => (size.get(..size.len() - 1)?, 1 << 10),
        b'M' | b'm' => (size.get(..size.len() - 1)?, 1 << 20),
        _ => (size, 1),
    };
    let named = Named {
        size: number(size)?.checked_mul(scale)?,
        base: number(rest.next()?)?,
        irq: u32::try_from(number(rest.next()?)?).ok()?,
        trigger: Trigger::Edge,
        polarity: Polarity::High,
    };
    (named.size >= 0x108 && named.size <= 1 << 20).then_some(named)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

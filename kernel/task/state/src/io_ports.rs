// SPDX-License-Identifier: GPL-2.0
//! Sets of I/O ports that a program may use; see `switch::set_io_ports`. A set in use does not change.

use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use x86_cpu::tss::{self, IO_WORDS};

/// A set of ports.
pub struct IoPorts {
    /// Never used twice, so that a CPU knows whether it has the bitmap already.
    number: u64,
    /// One bit a port, clear if it may be used.
    words: KVec<u32>,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl IoPorts {
    fn with(words: KVec<u32>) -> Self {
        Self { number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed), words }
    }

    /// Every port.
    pub fn all() -> Result<Self> {
        Ok(Self::with(KVec::from_elem(0, IO_WORDS, GFP_KERNEL)?))
    }

    /// The ports of `old`, with those from `first` to before `end` allowed or not.
    pub fn changed(old: Option<&Self>, first: usize, end: usize, allowed: bool) -> Result<Self> {
        let mut words = match old {
            Some(old) => old.words.try_clone(GFP_KERNEL)?,
            None => KVec::from_elem(u32::MAX, IO_WORDS, GFP_KERNEL)?,
        };
        for port in first..end {
            if let Some(word) = words.get_mut(port / 32) {
                let bit = 1 << (port % 32);
                *word = if allowed { *word & !bit } else { *word | bit };
            }
        }
        Ok(Self::with(words))
    }

    /// Whether no port is allowed.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == u32::MAX)
    }

    /// Puts a set, or none, into force on this CPU. Interrupts are off.
    pub fn load(ports: Option<&Self>) {
        match ports {
            Some(ports) => tss::allow_io(ports.number, &ports.words),
            None => tss::forbid_io(),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Taints: what was done to this kernel, shown in oopses and `/proc/sys/kernel/tainted`. Bits only get set. No locks.
//! Source: Linux's `Documentation/admin-guide/tainted-kernels.rst`.

use core::sync::atomic::{AtomicU64, Ordering};

static TAINTED: AtomicU64 = AtomicU64::new(0);

/// A taint: the number of its bit, and its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taint(u32, u8);

/// A module whose licence is not compatible with the GPL.
pub const PROPRIETARY_MODULE: Taint = Taint(0, b'P');
/// A module was loaded by force.
pub const FORCED_MODULE: Taint = Taint(1, b'F');
/// A module was unloaded by force.
pub const FORCED_RMMOD: Taint = Taint(3, b'R');
/// The kernel warned of what must not be.
pub const WARN: Taint = Taint(9, b'W');
/// A module that was built out of the kernel's tree.
pub const OOT_MODULE: Taint = Taint(12, b'O');

/// A module without a signature of a known key.
pub const UNSIGNED_MODULE: Taint = Taint(13, b'E');

/// Those that modules can bring, by their numbers.
const OF_MODULES: [Taint; 4] = [PROPRIETARY_MODULE, FORCED_MODULE, OOT_MODULE, UNSIGNED_MODULE];

impl Taint {
    /// As a set of one.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// Sets a taint of the kernel (`add_taint`).
pub fn add(taint: Taint) {
    TAINTED.fetch_or(taint.bit(), Ordering::Relaxed);
}

/// Sets those of Linux's taints that `bits` has.
pub(crate) fn add_bits(bits: u64) {
    TAINTED.fetch_or(bits & ((1 << 20) - 1), Ordering::Relaxed);
}

/// All taints of the kernel (`get_taint`).
pub fn get() -> u64 {
    let warned = if module_core::has_warned() { WARN.bit() } else { 0 };
    TAINTED.load(Ordering::Relaxed) | warned
}

/// The letters of a module's taints (`module_flags_taint`).
pub fn letters(set: u64) -> impl Iterator<Item = u8> {
    OF_MODULES.into_iter().filter(move |taint| set & taint.bit() != 0).map(|taint| taint.1)
}

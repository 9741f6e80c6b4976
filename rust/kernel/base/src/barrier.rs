// SPDX-License-Identifier: GPL-2.0
//! Memory barriers: `kernel::sync::barrier`.

#![expect(private_bounds, reason = "which orders there are is not for others to add to")]

use core::sync::atomic::{Ordering, compiler_fence, fence};

/// The kinds of order.
pub mod ordering {
    pub use crate::ordering::Full;
    /// Reads before are before reads after.
    pub struct Read;
    /// Writes before are before writes after.
    pub struct Write;
}
pub use ordering::{Full, Read, Write};

trait Barrier {
    /// For memory that other CPUs see.
    fn smp();
    /// For memory that devices see too.
    fn device();
}

impl Barrier for Full {
    fn smp() {
        fence(Ordering::SeqCst);
    }
    fn device() {
        fence(Ordering::SeqCst);
    }
}

// x86 keeps the order of reads and that of writes to ordinary memory by itself: the compiler alone is told.
impl Barrier for Read {
    fn smp() {
        compiler_fence(Ordering::SeqCst);
    }
    fn device() {
        fence(Ordering::SeqCst);
    }
}

impl Barrier for Write {
    fn smp() {
        compiler_fence(Ordering::SeqCst);
    }
    fn device() {
        fence(Ordering::SeqCst);
    }
}

/// A barrier for memory and devices (`mb`, `rmb`, `wmb`).
#[inline(always)]
pub fn mb<T: Barrier>(_: T) {
    T::device();
}

/// A barrier for memory that CPUs share (`smp_mb`, `smp_rmb`, `smp_wmb`).
#[inline(always)]
pub fn smp_mb<T: Barrier>(_: T) {
    T::smp();
}

/// A barrier for memory that a device reads and writes (`dma_mb`, `dma_rmb`, `dma_wmb`): coherent on x86.
#[inline(always)]
pub fn dma_mb<T: Barrier>(_: T) {
    T::smp();
}

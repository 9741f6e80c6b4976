// SPDX-License-Identifier: GPL-2.0
//! CPUs by number: `kernel::cpu`.

/// One more than the largest number of a CPU that there can be.
#[inline]
pub fn nr_cpu_ids() -> u32 {
    u64::BITS - x86::smp::possible().leading_zeros()
}

/// The number of a CPU that there can be.
///
/// # Invariants
/// It is below [`nr_cpu_ids`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuId(u32);

impl CpuId {
    /// The CPU `id`.
    ///
    /// # Safety
    /// It is not negative, and below [`nr_cpu_ids`].
    #[inline]
    pub unsafe fn from_i32_unchecked(id: i32) -> Self {
        Self(id.cast_unsigned())
    }

    /// The CPU `id`, if there can be one.
    pub fn from_i32(id: i32) -> Option<Self> {
        Self::from_u32(u32::try_from(id).ok()?)
    }

    /// The CPU `id`.
    ///
    /// # Safety
    /// It is below [`nr_cpu_ids`].
    #[inline]
    pub unsafe fn from_u32_unchecked(id: u32) -> Self {
        Self(id)
    }

    /// The CPU `id`, if there can be one.
    pub fn from_u32(id: u32) -> Option<Self> {
        (id < nr_cpu_ids()).then_some(Self(id))
    }

    /// The number.
    #[inline]
    pub fn as_u32(&self) -> u32 {
        self.0
    }

    /// The CPU that this runs on; another one a moment later, where a task may move.
    #[inline]
    pub fn current() -> Self {
        Self(x86_cpu::cpu_id())
    }
}

impl From<CpuId> for u32 {
    fn from(id: CpuId) -> Self {
        id.0
    }
}

impl From<CpuId> for i32 {
    fn from(id: CpuId) -> Self {
        // There are not so many.
        id.0.cast_signed()
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Stand-ins until the allocators and page tables of `mm` land.
#![allow(missing_docs)]
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
#[repr(align(4096))]
struct Area([u8; 16384]);
pub struct KernelStack(KBox<core::mem::MaybeUninit<Area>>);
impl KernelStack {
    pub fn new() -> errno::Result<Self> {
        Ok(Self(KBox::new_uninit(GFP_KERNEL)?))
    }
    pub fn top(&self) -> usize {
        core::ptr::from_ref(&*self.0).addr() + 16384
    }
}
pub mod x86_mm {
    pub struct PageTable;
    pub fn switch_to(_: Option<&kalloc::Arc<PageTable>>) {}
}

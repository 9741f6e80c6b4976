// SPDX-License-Identifier: GPL-2.0
//! Memory that devices transfer to and from: `kernel::dma`. There is no IOMMU driver: a device's addresses are physical ones, and
//! on this machine its view of memory is the caches'.

use crate::device::{self, Bound};
use crate::error::{Result, code::*};
use crate::num::Bounded;
use crate::sync::aref::ARef;
use crate::transmute::{AsBytes, FromBytes};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kalloc::{Allocator, Flags, Kmalloc};
use mm_alloc::{PAGE_SIZE, kpt};

/// An address as devices see it.
pub type DmaAddress = u64;

/// Which addresses a device can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMask(u64);

impl DmaMask {
    /// Addresses of `N` bits.
    pub const fn new<const N: u32>() -> Self {
        const { assert!(N > 0 && N <= 64, "invalid DMA mask") };
        Self(u64::MAX >> (64 - N))
    }

    /// Addresses of `n` bits. `EINVAL`.
    pub fn try_new(n: u32) -> Result<Self> {
        let bits = Bounded::<u32, 7>::try_new(n).map(Bounded::get).filter(|&n| n > 0 && n <= 64).ok_or(EINVAL)?;
        Ok(Self(u64::MAX >> 64u32.saturating_sub(bits)))
    }

    /// All of them.
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// `EIO` for a mask that does not reach all of memory: what would be needed then is not there.
fn check(mask: DmaMask) -> Result {
    let every = u64::MAX >> 64u32.saturating_sub(x86_cpu::cpuid::features().phys_bits).min(63);
    if mask.0 & every == every { Ok(()) } else { Err(EIO) }
}

/// A device that transfers, while its driver probes it.
pub trait Device<'a>: AsRef<device::Device<device::Core<'a>>> {
    /// Says which addresses streaming transfers can reach. `EIO`.
    ///
    /// # Safety
    /// Nothing is mapped or allocated for the device at the same time.
    unsafe fn dma_set_mask(&self, mask: DmaMask) -> Result {
        check(mask)
    }

    /// Says which addresses coherent memory may have. `EIO`.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_coherent_mask(&self, mask: DmaMask) -> Result {
        check(mask)
    }

    /// Both.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_mask_and_coherent(&self, mask: DmaMask) -> Result {
        check(mask)
    }
}

impl<'a> Device<'a> for crate::platform::Device<device::Core<'a>> {}
#[cfg(feature = "CONFIG_PCI")]
impl<'a> Device<'a> for crate::pci::Device<device::Core<'a>> {}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DataDirection {
    /// Both ways.
    Bidirectional = 0,
    /// To the device.
    ToDevice = 1,
    /// From the device.
    FromDevice = 2,
    /// None.
    None = 3,
}

/// Physically contiguous memory from page boundaries on.
///
/// # Invariants
/// `start` is memory of `layout` from `Kmalloc`, not given back.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn zeroed(size: usize, flags: Flags) -> Result<Self> {
        let layout = Layout::from_size_align(size.max(1), PAGE_SIZE).map_err(|_| ENOMEM)?;
        let start = Kmalloc::alloc(layout, flags)?;
        // SAFETY: Just allocated with this size.
        unsafe { start.write_bytes(0, layout.size()) };
        Ok(Self { start, layout })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; it is not used any more.
        unsafe { Kmalloc::free(self.start, self.layout) };
    }
}

// SAFETY: It is owned memory.
unsafe impl Send for Memory {}
// SAFETY: A shared reference gives nothing but the address.
unsafe impl Sync for Memory {}

/// Memory that the CPU and a device see alike: one `T`, or a slice.
///
/// # Invariants
/// `value` is in `memory`, and `device_address` is where the device sees it.
pub struct Coherent<T: ?Sized> {
    value: NonNull<T>,
    device_address: DmaAddress,
    _memory: Memory,
    _device: ARef<device::Device>,
}

// SAFETY: It owns its memory, whose contents are plain bytes.
unsafe impl<T: ?Sized + Send> Send for Coherent<T> {}
// SAFETY: The contents are reached by accesses of their own alone, as a device's registers are.
unsafe impl<T: ?Sized + Send + Sync> Sync for Coherent<T> {}

fn allocate(size: usize, flags: Flags) -> Result<(Memory, DmaAddress)> {
    let memory = Memory::zeroed(size, flags)?;
    let (address, ..) = kpt::translate(memory.start.as_ptr().addr()).ok_or(ENOMEM)?;
    Ok((memory, address))
}

impl<T: AsBytes + FromBytes> Coherent<[T]> {
    /// `count` values whose bytes are zero. `EINVAL` for none, `ENOMEM`.
    pub fn zeroed_slice(dev: &device::Device<Bound>, count: usize, flags: Flags) -> Result<Self> {
        let size = count.checked_mul(size_of::<T>()).filter(|&size| size != 0).ok_or(EINVAL)?;
        if align_of::<T>() > PAGE_SIZE {
            return Err(EINVAL);
        }
        let (memory, device_address) = allocate(size, flags)?;
        let value = NonNull::slice_from_raw_parts(memory.start.cast(), count);
        Ok(Self { value, device_address, _memory: memory, _device: dev.into() })
    }
}

impl<T: AsBytes + FromBytes> Coherent<T> {
    /// A value whose bytes are zero. `ENOMEM`.
    pub fn zeroed(dev: &device::Device<Bound>, flags: Flags) -> Result<Self> {
        if align_of::<T>() > PAGE_SIZE || size_of::<T>() == 0 {
            return Err(EINVAL);
        }
        let (memory, device_address) = allocate(size_of::<T>(), flags)?;
        Ok(Self { value: memory.start.cast(), device_address, _memory: memory, _device: dev.into() })
    }
}

impl<T> Coherent<[T]> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }
}

impl<T: ?Sized> Coherent<T> {
    /// Where the device sees it.
    pub fn dma_handle(&self) -> DmaAddress {
        self.device_address
    }

    /// Its address. The device may change what is there at any time.
    pub fn as_ptr(&self) -> *const T {
        self.value.as_ptr()
    }

    /// Its address, to write to.
    pub fn as_mut_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// A view of all of it.
    pub fn as_view(&self) -> View<'_, T> {
        View { value: self.value, _memory: PhantomData }
    }
}

/// A part of such memory, accessed like registers.
///
/// # Invariants
/// The pointer is valid for accesses during `'a`.
pub struct View<'a, T: ?Sized> {
    value: NonNull<T>,
    _memory: PhantomData<&'a T>,
}

impl<'a, T: ?Sized> View<'a, T> {
    /// Its address.
    pub fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// A part of it.
    ///
    /// # Safety
    /// `part` is inside of the view.
    pub unsafe fn project_view<U: ?Sized>(&self, part: *mut U) -> View<'a, U> {
        // SAFETY: Inside of something that is not null.
        View { value: unsafe { NonNull::new_unchecked(part) }, _memory: PhantomData }
    }
}

impl<'a, T> View<'a, [T]> {
    /// The value at `index`. Panics if there is none: the caller has checked.
    #[doc(hidden)]
    #[track_caller]
    pub fn element(&self, index: usize) -> View<'a, T> {
        assert!(index < self.value.len(), "index out of bounds");
        // SAFETY: In bounds, and the slice is valid.
        View { value: unsafe { self.value.cast::<T>().add(index) }, _memory: PhantomData }
    }
}

impl<T> View<'_, T> {
    /// Writes it.
    pub fn copy_write(&self, value: T)
    where
        T: AsBytes,
    {
        // SAFETY: By the type invariant; plain bytes, of which nothing needs to be dropped.
        unsafe { self.value.write_volatile(value) };
    }

    /// Reads it.
    pub fn copy_read(&self) -> T
    where
        T: FromBytes,
    {
        // SAFETY: By the type invariant; every bit pattern is a value.
        unsafe { self.value.read_volatile() }
    }

    /// Reads a plain number.
    #[doc(hidden)]
    pub fn read_val(&self) -> T
    where
        T: FromBytes + Copy,
    {
        self.copy_read()
    }
}

/// A view of a part of a device's memory: `io_project!(memory, [panic: i].field)`.
#[macro_export]
macro_rules! io_project {
    ($io:expr, [panic: $index:expr] $(. $field:ident)*) => {{
        let view = $io.as_view().element($index);
        // SAFETY: A field of a value is inside of it.
        #[allow(unused_unsafe)]
        unsafe {
            view.project_view(&raw mut (*view.as_ptr()) $(. $field)*)
        }
    }};
    ($io:expr, $(. $field:ident)+) => {{
        let view = $io.as_view();
        // SAFETY: A field of a value is inside of it.
        #[allow(unused_unsafe)]
        unsafe {
            view.project_view(&raw mut (*view.as_ptr()) $(. $field)+)
        }
    }};
}

/// Reads a part of a device's memory.
#[macro_export]
macro_rules! io_read {
    ($io:expr, $($part:tt)*) => { $crate::io_project!($io, $($part)*).read_val() };
}

/// Writes a part of a device's memory.
#[macro_export]
macro_rules! io_write {
    ($io:expr, [panic: $index:expr] $(. $field:ident)*, $value:expr) => {
        $crate::io_project!($io, [panic: $index] $(. $field)*).copy_write($value)
    };
}

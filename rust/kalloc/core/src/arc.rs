// SPDX-License-Identifier: GPL-2.0
//! `Arc`: shared ownership with saturating counts (R4L's `kernel::sync::Arc`), and `WeakArc` for pointers to parents.
//! No locks: two 32-bit counts before the value. Counts that would overflow stick at a high value and the object leaks
//! (as Linux's `refcount_t` does) in place of being freed in use.
//!
//! The value of an `Arc` never moves and is never reachable mutably except through `UniqueArc` and `Arc::get_mut`.
//! All strong references together hold one weak count; memory is freed at weak 0. A `UniqueArc` has strong 0, so that
//! no `WeakArc` can be upgraded meanwhile.
//!
//! ```
//! use kernel::sync::{Arc, UniqueArc};
//!
//! let mut draft = UniqueArc::new([1, 2], GFP_KERNEL)?;
//! draft[0] = 7;
//! let shared: Arc<[u32; 2]> = draft.into();
//! let other = shared.clone();
//! assert!(Arc::ptr_eq(&shared, &other));
//! drop(shared);
//! assert!(Arc::into_unique_or_drop(other).is_some());
//! # Ok::<(), Error>(())
//! ```

mod unique;

pub use unique::UniqueArc;

use crate::allocator::{Allocator, Kmalloc};
use crate::{AllocError, Flags};
use core::alloc::Layout;
use core::fmt;
use core::marker::{CoercePointee, PhantomData};
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

/// Where an overflown count is put: far from both ends, so that races cannot bring it back.
const SATURATED: u32 = 0xC000_0000;
/// The weak count while `get_mut` looks.
const LOCKED: u32 = 0x7FFF_FFFF;

#[repr(C)]
struct ArcInner<T: ?Sized> {
    strong: AtomicU32,
    weak: AtomicU32,
    data: T,
}

#[cold]
#[inline(never)]
fn saturate(count: &AtomicU32) {
    count.store(SATURATED, Ordering::Relaxed);
}

/// In the debug configuration: a count that no object reaches is the link of a freed one.
#[inline(always)]
fn check(count: u32) {
    #[cfg(CONFIG_DEBUG_HEAP)]
    assert!(count < 0x10_0000 || count.cast_signed() < 0, "reference count {count:#x}: the object was freed");
    #[cfg(not(CONFIG_DEBUG_HEAP))]
    let _ = count;
}

/// Adds a reference.
#[inline(always)]
fn get(count: &AtomicU32) {
    let old = count.fetch_add(1, Ordering::Relaxed);
    check(old);
    if old.cast_signed() < 0 {
        saturate(count);
    }
}

/// Drops a reference; true if it was the last.
#[inline(always)]
fn put(count: &AtomicU32) -> bool {
    let old = count.fetch_sub(1, Ordering::Release);
    check(old);
    if old == 1 {
        fence(Ordering::Acquire);
        return true;
    }
    if old.cast_signed() <= 0 {
        saturate(count);
    }
    false
}

/// A shared, counted, pinned value.
///
/// # Invariants
/// The pointer is to an initialized `ArcInner` allocated by `Kmalloc`, of which this holds one strong count.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct Arc<#[pointee] T: ?Sized> {
    ptr: NonNull<ArcInner<T>>,
    _p: PhantomData<ArcInner<T>>,
}

/// A reference to the memory of an `Arc` that does not keep the value alive.
///
/// # Invariants
/// The pointer is to an `ArcInner` allocated by `Kmalloc`, of which this holds one weak count; the value is initialized
/// while strong is not 0.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct WeakArc<#[pointee] T: ?Sized> {
    ptr: NonNull<ArcInner<T>>,
    _p: PhantomData<ArcInner<T>>,
}

/// A borrowed `Arc`: as cheap as a reference, and can become an `Arc`.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct ArcBorrow<'a, #[pointee] T: ?Sized> {
    ptr: NonNull<ArcInner<T>>,
    _p: PhantomData<&'a T>,
}

// SAFETY: The counts are atomic; the value may be dropped and read by any thread, so it must be both.
unsafe impl<T: ?Sized + Sync + Send> Send for Arc<T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync + Send> Sync for Arc<T> {}
// SAFETY: As above: an upgraded `WeakArc` is an `Arc`.
unsafe impl<T: ?Sized + Sync + Send> Send for WeakArc<T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync + Send> Sync for WeakArc<T> {}
// SAFETY: As above: an `ArcBorrow` can become an `Arc`.
unsafe impl<T: ?Sized + Sync + Send> Send for ArcBorrow<'_, T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync + Send> Sync for ArcBorrow<'_, T> {}

impl<T: ?Sized> Unpin for Arc<T> {}

/// Drops a weak count and frees the memory with the last.
///
/// # Safety
/// The caller holds a weak count and gives it up; the value was dropped if this is the last.
#[inline]
unsafe fn put_weak<T: ?Sized>(ptr: NonNull<ArcInner<T>>) {
    // SAFETY: The caller's weak count keeps the memory.
    let last = unsafe {
        let weak = &(*ptr.as_ptr()).weak;
        // With no other reference the count needs no atomic write.
        weak.load(Ordering::Acquire) == 1 || put(weak)
    };
    if last {
        // SAFETY: No reference is left. The layout of the dropped value is still known from the pointer's metadata.
        unsafe { Kmalloc::free(ptr.cast(), Layout::for_value(ptr.as_ref())) };
    }
}

impl<T> Arc<T> {
    /// Shares `value`.
    #[inline]
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        let ptr = alloc_inner::<T>(1, flags)?;
        // SAFETY: Fresh memory for an `ArcInner<T>`.
        unsafe { (&raw mut (*ptr.as_ptr()).data).write(value) };
        Ok(Self { ptr, _p: PhantomData })
    }

    /// Shares a value that keeps a `WeakArc` to itself. The weak reference cannot be upgraded before this returns.
    pub fn new_cyclic(make: impl FnOnce(&WeakArc<T>) -> T, flags: Flags) -> Result<Self, AllocError> {
        // Strong 0 and one weak count of our own: if `make` unwinds only memory is freed.
        let weak = WeakArc { ptr: alloc_inner::<T>(0, flags)?, _p: PhantomData };
        let value = make(&weak);
        let weak = ManuallyDrop::new(weak);
        // SAFETY: The memory is kept by our weak count, and with strong 0 nobody looks at the value.
        unsafe {
            (&raw mut (*weak.ptr.as_ptr()).data).write(value);
            (*weak.ptr.as_ptr()).strong.store(1, Ordering::Release);
        }
        Ok(Self { ptr: weak.ptr, _p: PhantomData })
    }
}

impl Arc<dyn core::any::Any + Send + Sync> {
    /// The same reference by its concrete type; itself if it is of another.
    pub fn downcast<T: core::any::Any + Send + Sync>(self) -> Result<Arc<T>, Self> {
        if !(*self).is::<T>() {
            return Err(self);
        }
        // The count goes along with the pointer. The value is a `T`, so it lies where that one's would.
        let this = ManuallyDrop::new(self);
        Ok(Arc { ptr: this.ptr.cast(), _p: PhantomData })
    }
}

#[inline(always)]
fn alloc_inner<T>(strong: u32, flags: Flags) -> Result<NonNull<ArcInner<T>>, AllocError> {
    let ptr = Kmalloc::alloc(Layout::new::<ArcInner<T>>(), flags)?.cast::<ArcInner<T>>();
    // SAFETY: Fresh memory for an `ArcInner<T>`.
    unsafe {
        (&raw mut (*ptr.as_ptr()).strong).write(AtomicU32::new(strong));
        (&raw mut (*ptr.as_ptr()).weak).write(AtomicU32::new(1));
    }
    Ok(ptr)
}

impl<T: ?Sized> Arc<T> {
    #[inline(always)]
    fn inner(&self) -> &ArcInner<T> {
        // SAFETY: Valid by the type invariant.
        unsafe { self.ptr.as_ref() }
    }

    /// Whether both are the same object.
    #[inline(always)]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        core::ptr::addr_eq(this.ptr.as_ptr(), other.ptr.as_ptr())
    }

    /// A borrow that can become an `Arc` again.
    #[inline(always)]
    pub fn as_arc_borrow(&self) -> ArcBorrow<'_, T> {
        ArcBorrow { ptr: self.ptr, _p: PhantomData }
    }

    /// The address of the value.
    #[inline(always)]
    pub fn as_ptr(this: &Self) -> *const T {
        // SAFETY: Valid by the type invariant; no reference is made.
        unsafe { &raw const (*this.ptr.as_ptr()).data }
    }

    /// How many strong references there are, at some moment during the call.
    pub fn strong_count(this: &Self) -> usize {
        this.inner().strong.load(Ordering::Relaxed) as usize
    }

    /// How many weak references there are, at some moment during the call.
    pub fn weak_count(this: &Self) -> usize {
        match this.inner().weak.load(Ordering::Relaxed) {
            LOCKED => 0,
            n => (n as usize).saturating_sub(1),
        }
    }

    /// A weak reference.
    #[inline]
    pub fn downgrade(this: &Self) -> WeakArc<T> {
        let weak = &this.inner().weak;
        let mut n = weak.load(Ordering::Relaxed);
        loop {
            if n == LOCKED {
                core::hint::spin_loop();
                n = weak.load(Ordering::Relaxed);
                continue;
            }
            let next = if n.cast_signed() < 0 || n + 1 == LOCKED { SATURATED } else { n + 1 };
            match weak.compare_exchange_weak(n, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return WeakArc { ptr: this.ptr, _p: PhantomData },
                Err(now) => n = now,
            }
        }
    }

    /// The value, mutably, if there is no other reference, strong or weak.
    pub fn get_mut(this: &mut Self) -> Option<&mut T>
    where
        T: Unpin,
    {
        let inner = this.inner();
        // With weak locked no `downgrade` can make a reference behind our back.
        inner.weak.compare_exchange(1, LOCKED, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let unique = inner.strong.load(Ordering::Acquire) == 1;
        inner.weak.store(1, Ordering::Release);
        // SAFETY: Strong was 1 and weak was 1, both ours, and `this` is borrowed mutably.
        unique.then(|| unsafe { &mut (*this.ptr.as_ptr()).data })
    }

    /// Gives the reference up as a pointer to the value; `from_raw` takes it back, else it leaks.
    #[inline]
    pub fn into_raw(self) -> *const T {
        Self::as_ptr(&ManuallyDrop::new(self))
    }

    /// Takes back what `into_raw` gave.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type, and this reference was not taken back before.
    #[inline]
    pub unsafe fn from_raw(raw: *const T) -> Self {
        // SAFETY: By the contract `raw` is the `data` field of an `ArcInner`.
        Self { ptr: unsafe { inner_of(raw) }, _p: PhantomData }
    }

    /// A borrow from what `into_raw` gave, without taking it back.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type, and the reference stays for `'a`.
    #[inline]
    pub unsafe fn borrow_raw<'a>(raw: *const T) -> ArcBorrow<'a, T> {
        // SAFETY: By the contract `raw` is the `data` field of an `ArcInner`.
        ArcBorrow { ptr: unsafe { inner_of(raw) }, _p: PhantomData }
    }

    /// Drops the reference; if it was the last, gives the value as a `UniqueArc` in place of dropping it.
    pub fn into_unique_or_drop(this: Self) -> Option<Pin<UniqueArc<T>>> {
        let this = ManuallyDrop::new(this);
        // SAFETY: With strong 0 we are alone with the value, and hold the weak count of the strong references.
        put(&this.inner().strong).then(|| unsafe { Pin::new_unchecked(UniqueArc { ptr: this.ptr, _p: PhantomData }) })
    }

    #[cold]
    #[inline(never)]
    fn drop_slow(&mut self) {
        // SAFETY: Strong is 0: nobody else reaches the value; then the weak count of the strong references is given up.
        unsafe {
            (&raw mut (*self.ptr.as_ptr()).data).drop_in_place();
            put_weak(self.ptr);
        }
    }
}

/// The `ArcInner` around a value.
///
/// # Safety
/// `raw` points to the `data` of an `ArcInner<T>` whose value or metadata is valid.
#[inline(always)]
unsafe fn inner_of<T: ?Sized>(raw: *const T) -> NonNull<ArcInner<T>> {
    // SAFETY: `raw` is valid for its layout, so the offset below stays in the same allocation. The cast keeps metadata.
    unsafe {
        let align = align_of_val(&*raw);
        let offset = (size_of::<ArcInner<()>>() + align - 1) & !(align - 1);
        let inner = (raw as *mut ArcInner<T>).wrapping_byte_sub(offset);
        NonNull::new_unchecked(inner)
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        get(&self.inner().strong);
        Self { ptr: self.ptr, _p: PhantomData }
    }
}

impl<T: ?Sized> Drop for Arc<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if put(&self.inner().strong) {
            self.drop_slow();
        }
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner().data
    }
}

impl<T: ?Sized> AsRef<T> for Arc<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> core::borrow::Borrow<T> for Arc<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized> From<UniqueArc<T>> for Arc<T> {
    #[inline]
    fn from(unique: UniqueArc<T>) -> Self {
        let unique = ManuallyDrop::new(unique);
        // SAFETY: Valid by the type invariant. Release: an upgrade that sees 1 sees the value as we leave it.
        unsafe { unique.ptr.as_ref().strong.store(1, Ordering::Release) };
        Self { ptr: unique.ptr, _p: PhantomData }
    }
}

impl<T: ?Sized> From<Pin<UniqueArc<T>>> for Arc<T> {
    #[inline]
    fn from(unique: Pin<UniqueArc<T>>) -> Self {
        // SAFETY: An `Arc` is always pinned.
        unsafe { Pin::into_inner_unchecked(unique) }.into()
    }
}

impl<T: ?Sized> From<ArcBorrow<'_, T>> for Arc<T> {
    #[inline]
    fn from(borrow: ArcBorrow<'_, T>) -> Self {
        // SAFETY: The borrow keeps a reference alive, so the object is valid.
        get(unsafe { &borrow.ptr.as_ref().strong });
        Self { ptr: borrow.ptr, _p: PhantomData }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Arc<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Arc<T> {}

impl<T: ?Sized> WeakArc<T> {
    /// The value, if any strong reference is left.
    #[inline]
    pub fn upgrade(&self) -> Option<Arc<T>> {
        // SAFETY: Our weak count keeps the memory; the counts stay valid after the value is dropped.
        let strong = unsafe { &(*self.ptr.as_ptr()).strong };
        let mut n = strong.load(Ordering::Relaxed);
        while n != 0 {
            let next = if n.cast_signed() < 0 || (n + 1).cast_signed() < 0 { SATURATED } else { n + 1 };
            match strong.compare_exchange_weak(n, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Arc { ptr: self.ptr, _p: PhantomData }),
                Err(now) => n = now,
            }
        }
        None
    }

    /// Whether both point to the same object.
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        core::ptr::addr_eq(self.ptr.as_ptr(), other.ptr.as_ptr())
    }

    /// Whether this points to the object of `arc`.
    #[inline]
    pub fn is(&self, arc: &Arc<T>) -> bool {
        core::ptr::addr_eq(self.ptr.as_ptr(), arc.ptr.as_ptr())
    }

    /// The address of the value, which may be gone: for comparing only.
    pub fn as_ptr(&self) -> *const T
    where
        T: Sized,
    {
        // SAFETY: Our weak count keeps the memory; no reference is made.
        unsafe { &raw const (*self.ptr.as_ptr()).data }
    }

    /// How many strong references there are, at some moment during the call.
    pub fn strong_count(&self) -> usize {
        // SAFETY: Our weak count keeps the memory.
        unsafe { (*self.ptr.as_ptr()).strong.load(Ordering::Relaxed) as usize }
    }
}

impl<T: ?Sized> Clone for WeakArc<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: Our weak count keeps the memory. It cannot be locked by `get_mut`, which needs ours to be gone.
        get(unsafe { &(*self.ptr.as_ptr()).weak });
        Self { ptr: self.ptr, _p: PhantomData }
    }
}

impl<T: ?Sized> Drop for WeakArc<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Gives up our own weak count; the strong references hold another until they dropped the value.
        unsafe { put_weak(self.ptr) };
    }
}

impl<T: ?Sized> fmt::Debug for WeakArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakArc)")
    }
}

impl<'a, T: ?Sized> ArcBorrow<'a, T> {
    /// The value, for as long as the borrow itself (dereferencing only lasts as long as the variable).
    #[inline(always)]
    pub fn into_ref(self) -> &'a T {
        // SAFETY: The borrow keeps a reference alive for `'a`, so the object is valid for that long.
        unsafe { &(*self.ptr.as_ptr()).data }
    }
}

impl<T: ?Sized> Clone for ArcBorrow<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ArcBorrow<'_, T> {}

impl<T: ?Sized> Deref for ArcBorrow<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: The borrow keeps a reference alive, so the object is valid.
        unsafe { &(*self.ptr.as_ptr()).data }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ArcBorrow<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

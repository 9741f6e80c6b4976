// SPDX-License-Identifier: GPL-2.0
//! Host tests: against `std`'s containers as models, and with allocations that fail.

use crate::allocator::BUDGET;
use crate::prelude::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec as StdVec;

/// Counts live values.
struct Live(Rc<Cell<isize>>, u32);
impl Live {
    fn new(count: &Rc<Cell<isize>>, id: u32) -> Self {
        count.set(count.get() + 1);
        Self(count.clone(), id)
    }
}
impl Clone for Live {
    fn clone(&self) -> Self {
        Self::new(&self.0, self.1)
    }
}
impl Drop for Live {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn with_budget<R>(n: usize, f: impl FnOnce() -> R) -> R {
    BUDGET.with(|b| b.set(n));
    let r = f();
    BUDGET.with(|b| b.set(usize::MAX));
    r
}

trait Speak {
    fn speak(&self) -> u32;
}
impl Speak for Live {
    fn speak(&self) -> u32 {
        self.1
    }
}

#[test]
fn boxes() {
    let count = Rc::new(Cell::new(0));
    let b: KBox<dyn Speak> = KBox::new(Live::new(&count, 7), GFP_KERNEL).unwrap();
    assert_eq!((b.speak(), count.get()), (7, 1));
    drop(b);
    assert_eq!(count.get(), 0);
    let b = KBox::new(Live::new(&count, 8), GFP_KERNEL).unwrap();
    let v = KBox::into_inner(b);
    assert_eq!((v.1, count.get()), (8, 1));
    drop(v);
    let raw = KBox::into_raw(KBox::new(Live::new(&count, 9), GFP_KERNEL).unwrap());
    // SAFETY: From `into_raw` above, taken back once.
    drop(unsafe { KBox::from_raw(raw) });
    assert_eq!(count.get(), 0);
    let big = KBox::<[u64; 4096]>::new_array(5, GFP_KERNEL).unwrap();
    assert!(big.iter().all(|&x| x == 5));
    let slice: KBox<[u64]> = big;
    assert_eq!(slice.len(), 4096);
    assert!(KBox::new((), GFP_KERNEL).is_ok());
    assert!(with_budget(0, || KBox::new(1, GFP_KERNEL)).is_err());
    assert_eq!(errno::Error::from(AllocError), errno::code::ENOMEM);
}

#[test]
fn zeroed() {
    let b = KBox::<[u8; 100]>::new_uninit(GFP_KERNEL | __GFP_ZERO).unwrap();
    // SAFETY: Zeroes are a valid array of bytes.
    let b = unsafe { b.assume_init() };
    assert_eq!(*b, [0; 100]);
}

#[test]
fn arcs_of_any() {
    use core::any::Any;
    let any: Arc<dyn Any + Send + Sync> = Arc::new(7u64, GFP_KERNEL).unwrap();
    let other = any.clone();
    let any = any.downcast::<u32>().unwrap_err();
    let seven = any.downcast::<u64>().unwrap();
    assert_eq!((*seven, Arc::strong_count(&seven)), (7, 2));
    drop(seven);
    assert_eq!(Arc::strong_count(&other), 1);
}

#[test]
fn arcs() {
    let count = Rc::new(Cell::new(0));
    let a: Arc<dyn Speak> = Arc::new(Live::new(&count, 3), GFP_KERNEL).unwrap();
    let b = a.clone();
    let c: Arc<dyn Speak> = b.as_arc_borrow().into();
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(Arc::strong_count(&a), 3);
    let w = Arc::downgrade(&a);
    assert_eq!((Arc::weak_count(&a), w.is(&a)), (1, true));
    let raw = Arc::into_raw(b);
    // SAFETY: From `into_raw` above, and not taken back before the next line.
    assert_eq!(unsafe { Arc::borrow_raw(raw) }.speak(), 3);
    // SAFETY: From `into_raw` above, taken back once.
    drop(unsafe { Arc::from_raw(raw) });
    drop(c);
    assert_eq!(w.upgrade().unwrap().speak(), 3);
    drop(a);
    assert!(w.upgrade().is_none());
    assert_eq!(count.get(), 0);
    let w2 = w.clone();
    drop(w);
    assert!(w2.upgrade().is_none());
}

#[test]
fn raw_of_aligned_value() {
    #[repr(align(64))]
    struct Line(u8);
    let raw = Arc::into_raw(Arc::new(Line(4), GFP_KERNEL).unwrap());
    assert_eq!(raw as usize % 64, 0);
    // SAFETY: From `into_raw` above, taken back once.
    let a = unsafe { Arc::from_raw(raw) };
    assert_eq!((a.0, Arc::strong_count(&a)), (4, 1));
}

#[test]
fn unique_and_cyclic() {
    let mut u = UniqueArc::new(1, GFP_KERNEL).unwrap();
    *u += 1;
    let w = UniqueArc::downgrade(&u);
    assert!(w.upgrade().is_none());
    let a = Arc::from(u);
    assert_eq!(*w.upgrade().unwrap(), 2);
    let b = a.clone();
    assert!(Arc::into_unique_or_drop(a).is_none());
    let u = Arc::into_unique_or_drop(b).unwrap();
    assert!(w.upgrade().is_none());
    let mut a = Arc::from(u);
    assert!(Arc::get_mut(&mut a).is_none());
    drop(w);
    *Arc::get_mut(&mut a).unwrap() = 9;
    assert_eq!(*a, 9);

    struct Node {
        me: WeakArc<Node>,
    }
    let n = Arc::new_cyclic(|w| Node { me: w.clone() }, GFP_KERNEL).unwrap();
    assert!(Arc::ptr_eq(&n, &n.me.upgrade().unwrap()));
}

#[test]
fn arc_threads() {
    let a = Arc::new(std::sync::atomic::AtomicUsize::new(0), GFP_KERNEL).unwrap();
    let w = Arc::downgrade(&a);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..1000 {
                    let b = w.upgrade().unwrap();
                    let w2 = Arc::downgrade(&b);
                    b.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    drop(b);
                    drop(w2);
                }
            });
        }
    });
    assert_eq!((a.load(std::sync::atomic::Ordering::Relaxed), Arc::strong_count(&a)), (4000, 1));
    assert_eq!(Arc::weak_count(&a), 1);
}

#[test]
fn pinned() {
    use crate::pinned_init::{init, pin_data, pin_init, try_pin_init};
    #[pin_data]
    struct S {
        a: u32,
        #[pin]
        b: core::marker::PhantomPinned,
    }
    let s = KBox::pin_init(pin_init!(S { a: 4, b: core::marker::PhantomPinned }), GFP_KERNEL).unwrap();
    assert_eq!(s.a, 4);
    let s = Arc::pin_init(pin_init!(S { a: 5, b: core::marker::PhantomPinned }), GFP_KERNEL).unwrap();
    assert_eq!(s.a, 5);
    struct P {
        a: u64,
    }
    assert_eq!(UniqueArc::init(init!(P { a: 6 }), GFP_KERNEL).unwrap().a, 6);
    let failed = Arc::<S>::pin_init(
        try_pin_init!(S { a: Err(errno::code::EIO)?, b: core::marker::PhantomPinned }? errno::Error),
        GFP_KERNEL,
    );
    assert_eq!(failed.err(), Some(errno::code::EIO));
}

#[test]
fn vec_failures_keep_contents() {
    let mut v: KVec<u32> = kvec![1, 2, 3].unwrap();
    v.shrink_to_fit(GFP_KERNEL).unwrap();
    assert!(with_budget(0, || v.push(4, GFP_KERNEL)).is_err());
    assert_eq!(v, [1, 2, 3]);
    assert!(v.insert(4, 0, GFP_KERNEL).is_err());
    assert!(KVec::<u64>::with_capacity(usize::MAX, GFP_KERNEL).is_err());
    // Doubling fails, the exact size succeeds.
    assert!(with_budget(0, || v.reserve(100, GFP_KERNEL)).is_err());
    assert_eq!(kvec![7u8; 3].unwrap(), [7, 7, 7]);
    let b: KBox<[u32]> = v.into_boxed_slice(GFP_KERNEL).unwrap();
    assert_eq!(*b, [1, 2, 3]);
}

#[test]
fn vec_of_nothing() {
    let mut v: KVec<()> = KVec::new();
    for _ in 0..10 {
        v.push((), GFP_KERNEL).unwrap();
    }
    assert_eq!(v.len(), 10);
    assert_eq!(v.drain(2..4).count(), 2);
    assert_eq!(v.len(), 8);
    let b: KBox<[()]> = v.into_boxed_slice(GFP_KERNEL).unwrap();
    assert_eq!(b.len(), 8);
}

#[derive(Clone, Debug)]
enum Op {
    Push(u32),
    Pop,
    Insert(usize, u32),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Drain(usize, usize),
    DrainAll(usize),
    Retain(u32),
    Extend(u8),
    Resize(usize),
    Shrink,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<u32>().prop_map(Op::Push),
        any::<u32>().prop_map(Op::Push),
        Just(Op::Pop),
        (0usize..20, any::<u32>()).prop_map(|(i, x)| Op::Insert(i, x)),
        (0usize..20).prop_map(Op::Remove),
        (0usize..20).prop_map(Op::SwapRemove),
        (0usize..40).prop_map(Op::Truncate),
        (0usize..20, 0usize..20).prop_map(|(a, b)| Op::Drain(a, b)),
        (0usize..20).prop_map(Op::DrainAll),
        (1u32..5).prop_map(Op::Retain),
        any::<u8>().prop_map(|n| Op::Extend(n % 16)),
        (0usize..40).prop_map(Op::Resize),
        Just(Op::Shrink),
    ]
}

proptest! {
    #[test]
    fn vec_is_vec(ops in proptest::collection::vec(op(), 0..60)) {
        let count = Rc::new(Cell::new(0));
        let mut v: KVec<Live> = KVec::new();
        let mut m: StdVec<u32> = StdVec::new();
        let live = |x| Live::new(&count, x);
        for op in ops {
            match op {
                Op::Push(x) => { v.push(live(x), GFP_KERNEL).unwrap(); m.push(x); }
                Op::Pop => prop_assert_eq!(v.pop().map(|l| l.1), m.pop()),
                Op::Insert(i, x) => {
                    let ok = v.insert(i, live(x), GFP_KERNEL).is_ok();
                    prop_assert_eq!(ok, i <= m.len());
                    if ok { m.insert(i, x); }
                }
                Op::Remove(i) => {
                    let want = (i < m.len()).then(|| m.remove(i));
                    prop_assert_eq!(v.remove(i).ok().map(|l| l.1), want);
                }
                Op::SwapRemove(i) => {
                    let want = (i < m.len()).then(|| m.swap_remove(i));
                    prop_assert_eq!(v.swap_remove(i).map(|l| l.1), want);
                }
                Op::Truncate(n) => { v.truncate(n); m.truncate(n); }
                Op::DrainAll(n) => {
                    let all: StdVec<u32> = std::mem::take(&mut m);
                    let taken = v.drain_all();
                    prop_assert_eq!(taken.len(), all.len());
                    let got: StdVec<u32> = taken.take(n).map(|l| l.1).collect();
                    prop_assert_eq!(&got[..], &all[..all.len().min(n)]);
                    prop_assert!(v.is_empty());
                }
                Op::Drain(a, b) => {
                    let end = b.min(m.len());
                    let start = a.min(end);
                    let want: StdVec<u32> = m.drain(start..end).collect();
                    let got: StdVec<u32> = v.drain(a..b).map(|l| l.1).take(2).collect();
                    prop_assert_eq!(&got[..], &want[..want.len().min(2)]);
                }
                Op::Retain(k) => { v.retain(|l| l.1 % k == 0); m.retain(|x| x % k == 0); }
                Op::Extend(n) => {
                    let xs: StdVec<Live> = (0..u32::from(n)).map(live).collect();
                    v.extend_from_slice(&xs, GFP_KERNEL).unwrap();
                    m.extend(0..u32::from(n));
                }
                Op::Resize(n) => { v.resize(n, live(1), GFP_KERNEL).unwrap(); m.resize(n, 1); }
                Op::Shrink => v.shrink_to_fit(GFP_KERNEL).unwrap(),
            }
            prop_assert_eq!(v.iter().map(|l| l.1).collect::<StdVec<_>>(), m.clone());
            prop_assert_eq!(count.get(), m.len() as isize);
        }
        let mut it = v.into_iter();
        prop_assert_eq!(it.next().map(|l| l.1), m.first().copied());
        let back = it.next_back().map(|l| l.1);
        prop_assert_eq!(back, if m.len() > 1 { m.last().copied() } else { None });
        drop(it);
        prop_assert_eq!(count.get(), 0);
    }
}

#[test]
fn a_full_vector_gives_back() {
    let mut v = KVec::with_capacity(2, GFP_KERNEL).unwrap();
    assert!(v.insert_within_capacity(0, 2).is_ok() && v.insert_within_capacity(0, 1).is_ok());
    assert_eq!(v.as_slice(), [1, 2]);
    let room = v.capacity();
    while v.len() < room {
        v.push_within_capacity(0).unwrap();
    }
    assert_eq!(v.push_within_capacity(7).unwrap_err().0, 7);
    assert!(matches!(v.insert_within_capacity(0, 8), Err(crate::kvec::InsertError::OutOfCapacity(8))));
    assert!(matches!(v.insert_within_capacity(room + 1, 8), Err(crate::kvec::InsertError::IndexOutOfBounds(8))));
    assert_eq!(v.insert_within_capacity(0, 9).unwrap_err().into_value(), 9);
    assert_eq!(errno::Error::from(v.push_within_capacity(1).unwrap_err()), errno::code::EINVAL);
}

// SPDX-License-Identifier: GPL-2.0
//! Tests of what this crate makes itself (and does not just pass on), in the kernel.

mod coherent;
mod dma;
mod io;
mod later;
mod maps;
mod num;
mod outside;
mod small;

use crate::bitmap::BitmapVec;
use crate::prelude::*;
use crate::str::{CString, Formatter, kstrtobool, parse_int::ParseInt};
use crate::sync::{Arc, Completion, CondVar, Mutex, SpinLockIrq};
use crate::time::hrtimer::{
    HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerHandle, HrTimerPointer, HrTimerRestart, RelativeMode,
    impl_has_hr_timer,
};
use crate::time::{Delta, Instant, Monotonic};
use crate::workqueue::{self, Work, WorkItem, impl_has_work, new_work};
use crate::{new_condvar, new_mutex, new_spinlock_irq};
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

/// An object with work, a timer, and a flag that a condition variable tells of.
#[pin_data]
struct Object {
    #[pin]
    work: Work<Object>,
    #[pin]
    timer: HrTimer<Object>,
    #[pin]
    flag: Mutex<bool>,
    #[pin]
    changed: CondVar,
    #[pin]
    ticked: Completion,
    ticks: AtomicU32,
}

impl_has_work! {
    impl HasWork<Self> for Object { self.work }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Object {
        mode: RelativeMode<Monotonic>,
        field: self.timer
    }
}

impl WorkItem for Object {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        *this.flag.lock() = true;
        this.changed.notify_all();
    }
}

impl HrTimerCallback for Object {
    type Pointer<'a> = Arc<Self>;

    fn run(this: crate::sync::ArcBorrow<'_, Self>, mut ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        if this.ticks.fetch_add(1, Ordering::Relaxed) == 0 {
            ctx.forward_now(Delta::from_micros(100));
            return HrTimerRestart::Restart;
        }
        this.ticked.complete_all();
        HrTimerRestart::NoRestart
    }
}

impl Object {
    fn new() -> Result<Arc<Self>> {
        let init = pin_init!(Self {
            work <- new_work!(),
            timer <- HrTimer::new(),
            flag <- new_mutex!(false),
            changed <- new_condvar!(),
            ticked <- Completion::new(),
            ticks: AtomicU32::new(0),
        });
        Arc::pin_init(init, GFP_KERNEL)
    }
}

#[macros::kunit_tests(rust_kernel)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_and_wakes() -> Result {
        let object = Object::new()?;
        let mut flag = object.flag.lock();
        assert!(workqueue::system().enqueue(object.clone()).is_ok());
        // The work waits for the mutex, which the wait gives up.
        while !*flag {
            object.changed.wait(&mut flag);
        }
        drop(flag);
        workqueue::system().try_spawn(GFP_KERNEL, {
            let object = object.clone();
            move || {
                *object.flag.lock() = false;
                object.changed.notify_all();
            }
        })?;
        let mut flag = object.flag.lock();
        while *flag {
            object.changed.wait(&mut flag);
        }
        Ok(())
    }

    #[test]
    fn timers_restart_and_stop() -> Result {
        let object = Object::new()?;
        let begin = Instant::<Monotonic>::now();
        let mut handle = object.clone().start(Delta::from_micros(100));
        object.ticked.wait_for_completion();
        assert!(object.ticks.load(Ordering::Relaxed) == 2);
        assert!(begin.elapsed() >= Delta::from_micros(200));
        assert!(!handle.cancel());
        drop(handle);
        // One that is stopped before it expires does not.
        let later = Object::new()?;
        drop(later.clone().start(Delta::from_secs(3600)));
        assert!(later.ticks.load(Ordering::Relaxed) == 0);
        Ok(())
    }

    #[test]
    fn locks_have_one_holder() -> Result {
        stack_pin_init!(let mutex = new_mutex!(1u32));
        let guard = mutex.lock();
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
        let spin: Pin<KBox<SpinLockIrq<u32>>> = KBox::pin_init(new_spinlock_irq!(1u32), GFP_KERNEL)?;
        *spin.lock() += 1;
        assert!(*spin.lock() == 2);
        Ok(())
    }

    #[test]
    fn revoked_values_are_gone() -> Result {
        let value = KBox::pin_init(crate::revocable::Revocable::new(7u32), GFP_KERNEL)?;
        assert!(value.try_access_with(|n| *n) == Some(7));
        assert!(value.revoke());
        assert!(value.try_access().is_none());
        assert!(!value.revoke());
        Ok(())
    }

    #[test]
    fn bitmaps() -> Result {
        for len in [1, 63, 64, 65, 1000] {
            let mut map = BitmapVec::new(len, GFP_KERNEL)?;
            assert!(map.next_bit(0).is_none() && map.last_bit().is_none());
            map.set_bit(len - 1);
            assert!(map.next_bit(0) == Some(len - 1) && map.last_bit() == Some(len - 1));
            assert!(map.next_zero_bit(0) == if len == 1 { None } else { Some(0) });
            let mut copy = BitmapVec::new(len + 70, GFP_KERNEL)?;
            copy.set_bit(len + 1);
            copy.copy_and_extend(&map);
            assert!(copy.last_bit() == Some(len - 1));
            map.clear_bit(len - 1);
            assert!(map.last_bit().is_none());
        }
        Ok(())
    }

    #[test]
    fn numbers_in_use() -> Result {
        let mut pool = crate::id_pool::IdPool::new();
        for wanted in 0..pool.capacity() {
            assert!(pool.find_unused_id(0).map(|id| id.acquire()) == Some(wanted));
        }
        assert!(pool.find_unused_id(0).is_none());
        let more = pool.grow_request().ok_or(ENOMEM)?.realloc(GFP_KERNEL)?;
        pool.grow(more);
        assert!(pool.find_unused_id(0).map(|id| id.as_usize()) == Some(64));
        pool.release_id(3);
        assert!(pool.find_unused_id(0).map(|id| id.as_u32()) == Some(3));
        Ok(())
    }

    #[test]
    fn strings() -> Result {
        let name = c"na\x01me";
        let text = CString::try_from_fmt(crate::fmt::fmt!("{name}:{:>4}:{:?}", 12, Some(name.count_bytes())))?;
        assert!(text.to_bytes() == br"na\x01me:  12:Some(5)");
        assert!(CString::try_from_fmt(crate::fmt::fmt!("a\0b")).err() == Some(EINVAL));
        assert!(text.to_ascii_uppercase()?.to_bytes() == br"NA\X01ME:  12:SOME(5)");
        let mut buffer = [0u8; 4];
        let mut out = Formatter::new(&mut buffer);
        assert!(out.write_str("abcdef").is_err() && out.bytes_written() == 6);
        assert!(&buffer == b"abcd");
        assert!(kstrtobool(c"on") == Ok(true) && kstrtobool(c"N") == Ok(false) && kstrtobool(c"?").is_err());
        let number = |text: &'static [u8]| i8::from_str(text.as_ref());
        assert!(number(b"-0x80") == Ok(-128) && number(b"0b101") == Ok(5) && number(b"017") == Ok(15));
        assert!(number(b"128").is_err() && number(b"").is_err() && number(b"08").is_err());
        Ok(())
    }

    #[test]
    fn requests_have_linux_numbers() {
        assert!(crate::ioctl::_IOR::<u32>('T' as u32, 0x30) == uapi::TIOCGPTN);
        assert!(crate::ioctl::_IOC_SIZE(uapi::TIOCGPTN) == 4);
    }
}

#[macros::kunit_tests(rust_num_casts)]
mod casts {
    use crate::num::casts::arch::{FromSafeCastArch, IntoSafeCastArch};
    use crate::num::casts::*;

    #[test]
    fn nothing_is_lost() {
        const WIDE: usize = u8_as_usize(255);
        assert_eq!(
            (WIDE, u64::from_safe_cast(usize::MAX), usize::from_safe_cast(u32::MAX)),
            (255, u64::MAX, 0xffff_ffff)
        );
        let wide: u64 = 4096usize.into_safe_cast();
        let narrow: usize = u64::MAX.into_safe_cast_arch();
        assert_eq!((wide, narrow, usize::from_safe_cast_arch(7u64)), (4096, usize::MAX, 7));
        assert_eq!((u64_into_u8::<255>(), usize_into_u16::<65535>()), (255, 65535));
    }
}

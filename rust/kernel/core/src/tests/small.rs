// SPDX-License-Identifier: GPL-2.0
//! Static keys, name spaces of process numbers, values of zeroes, security modules.

use crate::bindings;
use crate::error::{Result, code::*};
use crate::init::{InPlaceInit, Zeroable, zeroed};
use crate::security::SecurityCtx;
use crate::sync::aref::ARef;
use core::sync::atomic::AtomicI32;
use kalloc::{KBox, flags::GFP_KERNEL};

/// What has a key, as C code declares it.
struct Feature {
    key: bindings::static_key_false,
}

static FEATURE: Feature =
    Feature { key: bindings::static_key_false { key: bindings::static_key { enabled: AtomicI32::new(0) } } };

#[macros::kunit_tests(rust_kernel_core_small)]
mod cases {
    use super::*;

    fn on() -> bool {
        // SAFETY: The static is a key.
        unsafe { crate::jump_label::static_branch_unlikely!(FEATURE, Feature, key) }
    }

    /// A key is on until it was turned off as often as on.
    #[test]
    fn static_keys() {
        let key = (&raw const FEATURE.key.key).cast_mut();
        assert!(!on());
        // SAFETY: The static is a key.
        unsafe { bindings::static_key_slow_inc(key) };
        // SAFETY: As above.
        unsafe { bindings::static_key_slow_inc(key) };
        assert!(on());
        // SAFETY: As above.
        unsafe { bindings::static_key_slow_dec(key) };
        assert!(on());
        // SAFETY: As above.
        unsafe { bindings::static_key_slow_dec(key) };
        assert!(!on());
        // SAFETY: As above; it is off already.
        unsafe { bindings::static_key_slow_dec(key) };
        assert!(!on());
    }

    /// This task, one of the kernel, is a process of its own in the name space that all are in.
    #[test]
    fn names_of_processes() -> Result {
        let task = crate::current!();
        let space: ARef<_> = task.active_pid_ns().ok_or(ESRCH)?.into();
        assert!(task.get_pid_ns().is_some_and(|other| core::ptr::eq(&*other, &*space)));
        assert!(task.pid() > 0);
        assert_eq!(
            (task.tgid(), task.tgid_nr_ns(Some(&space)), task.tgid_nr_ns(None)),
            (task.pid(), task.pid(), task.pid())
        );
        Ok(())
    }

    #[derive(Zeroable)]
    struct Named<T> {
        low: T,
        _high: u64,
    }

    #[derive(Zeroable)]
    struct Plain<T: Copy, const N: usize>([T; N], Named<u16>)
    where
        T: Into<u64>;

    #[derive(Zeroable)]
    struct Nothing;

    #[derive(Zeroable)]
    union Either {
        byte: u8,
        _word: u32,
    }

    /// The derived trait is that of every kind of type that can have it.
    #[test]
    fn zeroes() -> Result {
        let plain = KBox::init(zeroed::<Plain<u8, 3>>(), GFP_KERNEL)?;
        assert_eq!((plain.0, plain.1.low), ([0; 3], 0));
        KBox::init(zeroed::<Nothing>(), GFP_KERNEL)?;
        let either = KBox::init(zeroed::<Either>(), GFP_KERNEL)?;
        // SAFETY: All of it was written.
        assert_eq!(unsafe { either.byte }, 0);
        Ok(())
    }

    #[test]
    fn no_security_module() {
        assert_eq!(SecurityCtx::from_secid(1).err(), Some(EOPNOTSUPP));
    }
}

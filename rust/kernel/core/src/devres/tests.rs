// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of resources that go with a driver.

use super::*;

#[macros::kunit_tests(rust_devres)]
mod cases {
    use super::*;
    use crate::faux::{self, for_tests::device};
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

    /// Counts its drops.
    struct Counted(Arc<AtomicU32>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_resource_goes_with_the_driver() -> Result {
        let drops = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let registration = faux::Registration::new(c"devres-driver", None)?;
        let devres = Devres::new(device(&registration), Counted(drops.clone()))?;
        register(device(&registration), Counted(drops.clone()), GFP_KERNEL)?;
        assert_eq!(devres.try_access().is_some(), true);
        assert_eq!(devres.access(device(&registration)).is_ok(), true);
        let other = faux::Registration::new(c"devres-other", None)?;
        assert_eq!(devres.access(device(&other)).err(), Some(EINVAL));
        assert_eq!(drops.load(SeqCst), 0);
        drop(registration);
        assert_eq!(drops.load(SeqCst), 2);
        assert_eq!(devres.try_access().is_none(), true);
        assert_eq!(devres.try_access_with(|_| ()), None);
        drop(devres);
        assert_eq!(drops.load(SeqCst), 2);
        Ok(())
    }

    #[test]
    fn a_resource_goes_with_its_owner() -> Result {
        let drops = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let registration = faux::Registration::new(c"devres-owner", None)?;
        let first = Devres::new(device(&registration), Counted(drops.clone()))?;
        let second = Devres::new(device(&registration), Counted(drops.clone()))?;
        drop(first);
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(second.try_access().is_some(), true);
        drop(registration);
        assert_eq!(drops.load(SeqCst), 2);
        // Nobody else has what the device and the value shared.
        assert_eq!(Arc::strong_count(&second.inner), 1);
        Ok(())
    }

    #[test]
    fn an_initializer_that_fails_leaves_nothing() -> Result {
        let registration = faux::Registration::new(c"devres-fails", None)?;
        // SAFETY: It builds nothing.
        let never = unsafe { pin_init_from_closure::<Counted, Error>(|_| Err(ENXIO)) };
        assert_eq!(Devres::new(device(&registration), never).err(), Some(ENXIO));
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What a platform device has, and how interrupts are asked for.

use crate::device::{self, Bound};
use crate::error::{Result, code::*};
use crate::irq::Flags;
use crate::platform;
use ::device::platform::{BUS, Info, Interrupt, Memory};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};

#[macros::kunit_tests(rust_kernel_platform)]
mod cases {
    use super::*;

    /// A device that nobody else knows.
    fn made() -> Result<Arc<::device::Device>> {
        let mut info = Info {
            memory: KVec::from_elem(Memory { start: 0x1000, len: 0x100 }, 2, GFP_KERNEL)?,
            interrupts: KVec::from_elem(Interrupt { gsi: 21, level: true, low: true }, 1, GFP_KERNEL)?,
            ..Info::default()
        };
        info.memory[1] = Memory { start: 0x2000, len: 0 };
        ::device::Device::new(&BUS, b"kunit-platform", None, Some(KBox::new(info, GFP_KERNEL)?))
    }

    #[test]
    fn what_firmware_says() -> Result {
        let core = made()?;
        // SAFETY: It is on no list, so that no driver is unbound from it.
        let device: &device::Device<Bound> = unsafe { device::Device::from_core(&core) };
        let device: &platform::Device<Bound> = device.try_into()?;
        let resource = device.resource_by_index(0).ok_or(ENOENT)?;
        assert_eq!((resource.start(), resource.size()), (0x1000, 0x100));
        // It is the same value the next time, and an empty range is none.
        assert!(device.resource_by_index(0).is_some_and(|again| core::ptr::eq(again, resource)));
        assert!(device.resource_by_index(1).is_none() && device.resource_by_index(2).is_none());
        assert!(device.resource_by_name(c"registers").is_none());
        assert!(device.io_request_by_index(0).is_some() && device.io_request_by_index(1).is_none());
        assert_eq!(device.irq_by_index(0)?.irq(), 21);
        assert_eq!(device.optional_irq_by_index(1).err(), Some(ENXIO));
        assert_eq!(device.optional_irq_by_name(c"done").err(), Some(ENXIO));
        Ok(())
    }

    #[test]
    fn another_bus() -> Result {
        let registration = crate::faux::Registration::new(c"kunit-no-platform", None)?;
        let device = crate::faux::for_tests::device(&registration);
        assert_eq!(<&platform::Device<Bound>>::try_from(device).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn flags() {
        let good = |flags: Flags| flags.to_core(None).is_ok();
        assert!(good(Flags::TRIGGER_NONE) && good(Flags::SHARED | Flags::TRIGGER_LOW | Flags::ONESHOT));
        assert!(good(Flags::TIMER | Flags::PERCPU | Flags::NOBALANCING | Flags::IRQPOLL | Flags::PROBE_SHARED));
        // What contradicts itself.
        assert!(
            !good(Flags::TRIGGER_LOW | Flags::TRIGGER_HIGH) && !good(Flags::TRIGGER_RISING | Flags::TRIGGER_FALLING)
        );
        assert!(!good(Flags::COND_SUSPEND) && !good(Flags::COND_SUSPEND | Flags::SHARED | Flags::NO_SUSPEND));
        assert!(good(Flags::COND_SUSPEND | Flags::SHARED));
        assert!(!good(!Flags::SHARED));
        let low = Flags::TRIGGER_LOW.to_core(Some((::irq::Trigger::Edge, ::irq::Polarity::High)));
        assert_eq!(low.ok().and_then(|flags| flags.trigger), Some((::irq::Trigger::Level, ::irq::Polarity::Low)));
        assert_eq!((Flags::SHARED | Flags::ONESHOT) & !Flags::ONESHOT, Flags::SHARED);
    }
}

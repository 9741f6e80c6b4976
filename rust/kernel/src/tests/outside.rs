// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of what is seen of others: firmware's files, clocks, the task and the test itself.

use crate::clk::{Clk, Hertz, OptionalClk};
use crate::faux::{self, for_tests::device};
use crate::firmware::{self, Firmware, ModInfoBuilder};
use crate::prelude::*;
use crate::regulator::{self, Disabled, Enabled, Regulator, Voltage};
use crate::sync::{Arc, Completion};
use crate::{kunit, workqueue};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use vfs::namei::{PathName, Start, create, remove};

/// The text that says which files a module loads.
const fn text<const N: usize>(module: &'static CStr) -> ModInfoBuilder<N> {
    ModInfoBuilder::new(module).new_entry().push("a/").push("b.bin").new_entry().push("c.bin")
}

#[macros::kunit_tests(rust_kernel_outside)]
mod cases {
    use super::*;

    /// What there can be no file for.
    #[test]
    fn firmware_that_is_not_there() -> Result {
        let registration = faux::Registration::new(c"firmware-test", None)?;
        let dev = device(&registration);
        let load = |name: &CStr| Firmware::request_nowarn(name, dev).map(|firmware| firmware.size());
        assert_eq!(load(c""), Err(EINVAL));
        assert_eq!(load(c"../passwd"), Err(EINVAL));
        assert_eq!(load(c"a/../b"), Err(EINVAL));
        assert_eq!(load(c"nobody-has-this..bin"), Err(ENOENT));
        let mut buffer = [7; 4];
        assert_eq!(firmware::request_into_buf(c"nobody-has-this.bin", dev, &mut buffer), Err(ENOENT));
        assert_eq!(buffer, [7; 4]);
        let mut long = KVec::from_elem(b'n', uapi::PATH_MAX as usize, GFP_KERNEL)?;
        long.push(0, GFP_KERNEL)?;
        let long = CStr::from_bytes_with_nul(&long).map_err(|_| EINVAL)?;
        assert_eq!(load(long), Err(ENAMETOOLONG));
        Ok(())
    }

    /// There is nobody who has clocks or supplies of voltage: a clock that a device can do without is on, and so is what Linux has in the
    /// place of each supply.
    #[test]
    fn no_clocks_and_supplies() -> Result {
        let registration = faux::Registration::new(c"clock-test", None)?;
        let dev = device(&registration);
        assert_eq!(Clk::get(dev, Some(c"apb")).err(), Some(ENOENT));
        let clock = OptionalClk::get(dev, None)?;
        clock.prepare_enable()?;
        clock.set_rate(Hertz::from_mhz(1))?;
        assert_eq!(clock.rate(), Hertz(0));
        clock.disable_unprepare();
        let supply = Regulator::<Disabled>::get(dev, c"vcc")?;
        assert!(supply.is_enabled());
        let volt = Voltage::from_microvolts(1_000_000);
        assert_eq!((supply.set_voltage(volt, volt), supply.get_voltage().err()), (Err(EINVAL), Some(EINVAL)));
        let supply = supply.try_into_enabled().map_err(|failed| failed.error)?;
        assert!(supply.try_into_disabled().map_err(|failed| failed.error)?.is_enabled());
        Regulator::<Enabled>::get(dev, c"vcc")?;
        regulator::devm_enable(dev, c"vcc")?;
        assert_eq!(regulator::devm_enable_optional(dev, c"vcc"), Err(ENODEV));
        Ok(())
    }

    /// The first place counts, and only whole files that are not empty.
    #[test]
    fn firmware_that_is_there() -> Result {
        let registration = faux::Registration::new(c"firmware-test", None)?;
        let dev = device(&registration);
        // In this order; those that were there before stay.
        let dirs = ["/lib", "/lib/firmware", "/lib/firmware/updates"].map(|dir| PathName::from_bytes(dir.as_bytes()));
        let mut made = [false; 3];
        for (dir, made) in dirs.iter().zip(&mut made) {
            *made = create::mkdir(Start::Cwd, dir.as_ref().map_err(|error| *error)?, 0o755).is_ok();
        }
        let later = b"/lib/firmware/kunit-firmware.bin";
        let first = b"/lib/firmware/updates/kunit-firmware.bin";
        let write = |path: &[u8], bytes: &[u8]| -> Result {
            let file = vfs::kernel_open(path, uapi::O_WRONLY | uapi::O_CREAT | uapi::O_TRUNC, 0o644)?;
            if vfs::kernel_write(&file, 0, bytes)? == bytes.len() { Ok(()) } else { Err(EIO) }
        };
        write(later, b"one")?;
        write(first, b"two!")?;
        let name = c"kunit-firmware.bin";
        let loaded = Firmware::request(name, dev).map(|firmware| (firmware.size(), firmware.data() == b"two!"));
        let (mut small, mut large) = ([7; 3], [7; 6]);
        let refused = firmware::request_into_buf(name, dev, &mut large[..0]);
        let whole = firmware::request_into_buf(name, dev, &mut large);
        write(first, b"")?;
        // What is empty is passed over.
        let other = firmware::request_into_buf(name, dev, &mut small);
        for path in [&later[..], first] {
            remove::unlink(Start::Cwd, &PathName::from_bytes(path)?)?;
        }
        let gone = Firmware::request_nowarn(name, dev).err();
        for (dir, _) in dirs.iter().zip(made).filter(|(_, made)| *made).rev() {
            let _ = dir.as_ref().map(|dir| remove::rmdir(Start::Cwd, dir));
        }
        assert_eq!(loaded, Ok((4, true)));
        assert_eq!((whole, large), (Ok(()), *b"two!\x07\x07"));
        assert_eq!((other, &small), (Ok(()), b"one"));
        // The later place's file is too large as well.
        assert_eq!((refused, gone), (Err(EFBIG), Some(ENOENT)));
        Ok(())
    }

    #[test]
    fn firmware_that_is_wanted() {
        const MODULE: [u8; text::<0>(c"").build_length()] = text(c"").build();
        const IMAGE: [u8; text::<0>(c"chip").build_length()] = text(c"chip").build();
        assert_eq!(&MODULE[..], b"firmware=a/b.bin\0firmware=c.bin\0");
        assert_eq!(&IMAGE[..], b"chip.firmware=a/b.bin\0chip.firmware=c.bin\0");
    }

    /// The task that runs the test does; what the test has others do is not the test.
    #[test]
    fn tests_know_themselves() -> Result {
        assert!(kunit::in_kunit_test());
        let seen = Arc::new((AtomicBool::new(true), AtomicBool::new(false)), GFP_KERNEL)?;
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        workqueue::system().try_spawn(GFP_KERNEL, {
            let (seen, done) = (seen.clone(), done.clone());
            move || {
                seen.0.store(kunit::in_kunit_test(), SeqCst);
                done.complete_all();
            }
        })?;
        done.wait_for_completion();
        assert!(!seen.0.load(SeqCst));
        // There is one thread, or it is the kernel's.
        assert_eq!(current!().group_leader().pid(), current!().pid());
        Ok(())
    }
}

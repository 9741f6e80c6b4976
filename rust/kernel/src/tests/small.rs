// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of small types: guards, texts of files, directories of debugfs.

use crate::alloc::KBox;
use crate::alloc::flags::GFP_KERNEL;
use crate::error::{Error, Result};
use crate::fmt::from_fn;
use crate::seq_file::SeqFile;
use crate::str::Formatter;
use crate::types::ScopeGuard;
use core::cell::Cell;
use kalloc::{Arc, InPlaceInit};
use kernel_core::debugfs::{MakeOps, Scope, ScopedDir};
use pin_init::init_with;

/// A kind of file that says by its count whether the file is there.
struct Counted {
    _count: Arc<u32>,
}

impl MakeOps<u32> for Counted {
    const READS: bool = true;
    const WRITES: bool = false;
}

/// Makes a file in a directory in the scope's, which is forgotten.
fn fill<'data>(data: &'data u32, dir: ScopedDir<'data, 'data>, count: Arc<u32>) {
    let inner = dir.dir(c"inner");
    inner.create(c"file", data, Counted { _count: count });
    core::mem::forget(inner);
}

#[macros::kunit_tests(rust_kernel_small)]
mod cases {
    use super::*;

    /// A guard cleans up once, and not if it was dismissed.
    #[test]
    fn guards() {
        let cleaned = Cell::new(0);
        let mut guard = ScopeGuard::new_with_data(3, |data| cleaned.set(cleaned.get() + data));
        *guard += 1;
        assert_eq!(*guard, 4);
        drop(guard);
        assert_eq!(cleaned.get(), 4);
        assert_eq!(ScopeGuard::new_with_data(5, |data| cleaned.set(data)).dismiss(), 5);
        assert_eq!(cleaned.get(), 4);
        drop(ScopeGuard::new(|| cleaned.set(9)));
        assert_eq!(cleaned.get(), 9);
    }

    /// What is printed to a text while it is printed to is not there; what follows is.
    #[test]
    fn a_text_has_one_writer() {
        let mut buffer = [0; 16];
        let mut out = Formatter::new(&mut buffer);
        let file = SeqFile::new(&mut out);
        let nested = from_fn(|f| {
            file.call_printf(format_args!("no"));
            f.write_str("2")
        });
        file.call_printf(format_args!("1{nested}3"));
        file.call_printf(format_args!("4"));
        assert_eq!(&buffer[..5], b"1234\0");
    }

    /// The files of a scope go with it, also if a directory in it was forgotten.
    #[test]
    fn a_forgotten_directory_keeps_no_file() -> Result {
        let count = Arc::new(0, GFP_KERNEL)?;
        let make = || ::debugfs::Dir::new(b"kunit-forgotten", None);
        let (data, counted) = (init_with(|| Ok::<_, Error>(7)), count.clone());
        let scope = Scope::dir(None, make, data, |data, dir| fill(data, dir, counted));
        let scope = KBox::pin_init(scope, GFP_KERNEL)?;
        assert_eq!((Arc::strong_count(&count), **scope), (2, 7));
        drop(scope);
        assert_eq!(Arc::strong_count(&count), 1);
        Ok(())
    }
}

/// What parameters of modules take.
#[macros::kunit_tests(rust_kernel_module_param)]
mod parameters {
    use crate::error::code::*;
    use crate::module_param::{ModuleParam, Text};

    /// Each type takes its range, in the bases that the kernel reads.
    #[test]
    fn numbers() {
        assert_eq!((u8::try_from_param_arg(b"255"), u8::try_from_param_arg(b"256")), (Ok(255), Err(ERANGE)));
        assert_eq!((i8::try_from_param_arg(b"-128"), i8::try_from_param_arg(b"128")), (Ok(-128), Err(ERANGE)));
        assert_eq!(
            (u16::try_from_param_arg(b"0xffff"), i16::try_from_param_arg(b"-0x8000")),
            (Ok(u16::MAX), Ok(i16::MIN))
        );
        assert_eq!((u32::try_from_param_arg(b"-1"), i32::try_from_param_arg(b"017")), (Err(ERANGE), Ok(15)));
        assert_eq!(u64::try_from_param_arg(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(i64::try_from_param_arg(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!((usize::try_from_param_arg(b""), isize::try_from_param_arg(b"1x")), (Err(EINVAL), Err(EINVAL)));
    }

    #[test]
    fn flags() {
        assert_eq!((bool::try_from_param_arg(b"Y"), bool::try_from_param_arg(b"0")), (Ok(true), Ok(false)));
        assert_eq!((bool::try_from_param_arg(b"maybe"), bool::without_text()), (Err(EINVAL), Some(true)));
    }

    #[test]
    fn texts() {
        let text = Text::try_from_param_arg(b"two words");
        assert_eq!(text.ok().as_ref().and_then(Text::to_str), Some("two words"));
        assert_eq!(Text::new("by default").as_bytes(), b"by default");
        assert_eq!(Text::try_from_param_arg(&[b'x'; Text::MOST]).map(|text| text.as_bytes().len()), Ok(Text::MOST));
        assert_eq!(Text::try_from_param_arg(&[b'x'; Text::MOST + 1]).err(), Some(ENOSPC));
        assert!(Text::without_text().is_none());
    }
}

/// Pointers as text.
#[macros::kunit_tests(rust_kernel_pointers)]
mod pointers {
    use crate::prelude::*;
    use crate::str::CString;

    /// The same number for the same place, whatever says where that is; never the place; null as it is.
    #[test]
    fn places_are_not_told() -> Result {
        let value = KBox::new(7_u32, GFP_KERNEL)?;
        let place: *const u32 = &*value;
        let (raw, again) = (CString::try_from_fmt(fmt!("{:p}", place))?, CString::try_from_fmt(fmt!("{place:p}"))?);
        assert_eq!((raw.to_bytes().len(), raw.to_bytes()), (18, again.to_bytes()));
        assert!(raw.to_bytes().starts_with(b"0x00000000"));
        let reference = CString::try_from_fmt(fmt!("{:p}", &*value))?;
        assert_eq!(reference.to_bytes(), raw.to_bytes());
        let plain = CString::try_from_fmt(format_args!("{:#018x}", place.addr()))?;
        assert!(plain.to_bytes() != raw.to_bytes());
        let null = CString::try_from_fmt(fmt!("{:p}", core::ptr::null::<u8>()))?;
        assert_eq!(null.to_bytes(), b"0x0000000000000000");
        // References are still what they refer to, elsewhere.
        assert_eq!(CString::try_from_fmt(fmt!("{} {:?} {:#x}", &*value, &&*value, &255))?.to_bytes(), b"7 7 0xff");
        Ok(())
    }

    #[test]
    fn other_places_are_other_numbers() -> Result {
        let pair = [1_u8, 2];
        let (one, two) = (fmt_of(&pair[0])?, fmt_of(&pair[1])?);
        assert!(one.to_bytes() != two.to_bytes());
        Ok(())
    }

    fn fmt_of(place: &u8) -> Result<CString> {
        CString::try_from_fmt(fmt!("{place:p}"))
    }
}

// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of maps by number and by range.

use crate::maple_tree::{AllocErrorKind, InsertErrorKind, MapleTree, MapleTreeAlloc};
use crate::prelude::*;
use crate::sync::Arc;
use crate::xarray::{AllocKind, XArray};

fn number(value: u32) -> Result<Arc<u32>> {
    Ok(Arc::new(value, GFP_KERNEL)?)
}

#[macros::kunit_tests(rust_kernel_maps)]
mod cases {
    use super::*;

    /// Storing, replacing, removing, and what is left dropped with the array.
    #[test]
    fn xarray() -> Result {
        let array = KBox::pin_init(XArray::<Arc<u32>>::new(AllocKind::Alloc), GFP_KERNEL)?;
        let (value, other) = (number(7)?, number(8)?);
        let mut guard = array.lock();
        assert!(array.try_lock().is_none());
        assert!(guard.store(3, value.clone(), GFP_KERNEL)?.is_none());
        assert!(guard.store(usize::MAX, value.clone(), GFP_KERNEL)?.is_none());
        assert_eq!(guard.store(3, other, GFP_KERNEL)?.map(|old| *old), Some(7));
        assert_eq!(guard.get(3).map(|now| *now), Some(8));
        assert_eq!((guard.remove(3).map(|old| *old), guard.remove(3).is_none()), (Some(8), true));
        assert_eq!(Arc::strong_count(&value), 2);
        drop(guard);
        drop(array);
        assert_eq!(Arc::strong_count(&value), 1);
        Ok(())
    }

    /// Ranges do not overlap, and go as a whole.
    #[test]
    fn ranges() -> Result {
        let tree = KBox::pin_init(MapleTree::<Arc<u32>>::new(), GFP_KERNEL)?;
        tree.insert_range(10..20, number(1)?, GFP_KERNEL)?;
        tree.insert(20, number(2)?, GFP_KERNEL)?;
        tree.insert_range(100.., number(3)?, GFP_KERNEL)?;
        for taken in [0..11, 19..20, 15..16, 0..200] {
            let error = tree.insert_range(taken, number(4)?, GFP_KERNEL).err().map(|error| error.cause);
            assert_eq!(error, Some(InsertErrorKind::Occupied));
        }
        let empty = tree.insert_range(5..5, number(4)?, GFP_KERNEL).err().map(|error| error.cause);
        assert_eq!(empty, Some(InsertErrorKind::InvalidRequest));
        let mut guard = tree.lock();
        assert_eq!((guard.load(19).map(|v| *v), guard.load(21).map(|v| *v)), (Some(1), None));
        let mut state = guard.ma_state(12, usize::MAX);
        assert_eq!((state.find(99).map(|v| *v), state.find(99).map(|v| *v)), (Some(1), Some(2)));
        assert!(state.find(99).is_none());
        assert_eq!(state.find(usize::MAX).map(|v| *v), Some(3));
        assert!(state.find(usize::MAX).is_none());
        drop(guard);
        assert_eq!((tree.erase(15).map(|v| *v), tree.erase(10).is_none()), (Some(1), true));
        Ok(())
    }

    /// The lowest gap that is large enough.
    #[test]
    fn gaps() -> Result {
        let tree = KBox::pin_init(MapleTreeAlloc::<Arc<u32>>::new(), GFP_KERNEL)?;
        tree.insert_range(4..8, number(0)?, GFP_KERNEL)?;
        tree.insert_range(10..12, number(0)?, GFP_KERNEL)?;
        assert_eq!(tree.alloc_range(2, number(0)?, 5..100, GFP_KERNEL)?, 8);
        assert_eq!(tree.alloc_range(3, number(0)?, 2..100, GFP_KERNEL)?, 12);
        assert_eq!(tree.alloc_range(4, number(0)?, .., GFP_KERNEL)?, 0);
        let busy = tree.alloc_range(90, number(0)?, ..100, GFP_KERNEL).err().map(|error| error.cause);
        assert_eq!(busy, Some(AllocErrorKind::Busy));
        let more = tree.alloc_range(101, number(0)?, ..100, GFP_KERNEL).err().map(|error| error.cause);
        assert_eq!(more, Some(AllocErrorKind::InvalidRequest));
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: what becomes of attributes when they are removed.

use macros::kunit_tests;

#[kunit_tests(kernfs)]
mod in_kernel {
    use crate::node::Kind;
    use crate::{Attribute, Ino, Node};
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use errno::{Result, code::ENODEV};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use vfs::SeqBuf;

    static NUMBERS: Ino = Ino::new(1);

    /// Counts how many there are.
    struct Counted(Arc<AtomicU32>);

    impl Attribute for Counted {
        fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
            out.put(b"x")?;
            Ok(None)
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }

    fn counted(count: &Arc<AtomicU32>) -> Counted {
        count.fetch_add(1, SeqCst);
        Counted(count.clone())
    }

    /// What a reader of an open file gets.
    fn read(node: &Node) -> Result {
        let Kind::Attribute(behind, _) = &node.kind else { return Err(ENODEV) };
        behind.with(|attribute| attribute.show(0, &mut SeqBuf::new(16))).map(drop)
    }

    #[test]
    fn a_modules_attribute_goes_at_once() -> Result {
        let count = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let root = Node::new_root(&NUMBERS)?;
        let dir = root.mkdir(b"module")?;
        dir.fill_by_module();
        let open = dir.attr(b"a", 0o444, counted(&count))?;
        assert_eq!((read(&open), count.load(SeqCst)), (Ok(()), 1));
        dir.remove();
        assert_eq!((read(&open), count.load(SeqCst)), (Err(ENODEV), 0));
        Ok(())
    }

    #[test]
    fn an_attribute_of_the_image_stays_while_it_is_open() -> Result {
        let count = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let root = Node::new_root(&NUMBERS)?;
        let dir = root.mkdir(b"image")?;
        let open = dir.attr(b"a", 0o444, counted(&count))?;
        dir.remove();
        assert_eq!((read(&open), count.load(SeqCst)), (Ok(()), 1));
        drop(open);
        assert_eq!(count.load(SeqCst), 0);
        Ok(())
    }

    #[test]
    fn all_below_goes() -> Result {
        let count = Arc::new(AtomicU32::new(0), GFP_KERNEL)?;
        let root = Node::new_root(&NUMBERS)?;
        let top = root.mkdir(b"top")?;
        let deep = top.mkdir(b"one")?.mkdir(b"two")?;
        let beside = top.mkdir(b"beside")?;
        let kept = beside.attr(b"kept", 0o444, counted(&count))?;
        for dir in [&deep, &top] {
            dir.fill_by_module();
            dir.attr(b"a", 0o444, counted(&count))?;
            dir.attr(b"b", 0o444, counted(&count))?;
        }
        top.remove();
        assert_eq!(count.load(SeqCst), 1);
        for node in [&top, &deep, &beside, &kept] {
            assert!(!node.is_active());
        }
        assert!(root.is_empty() && deep.attr(b"late", 0o444, counted(&count)).is_err());
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Tests of the ring, with this test in the device's place.

use macros::kunit_tests;

#[kunit_tests(virtio_ring)]
mod in_kernel {
    use super::super::*;

    const SIZE: u16 = 8;

    /// The device's side.
    struct Device {
        used: u16,
        seen: u16,
    }

    impl Device {
        /// The next chain that is available: its first descriptor.
        fn next(&mut self, queue: &VirtQueue<u32>) -> Option<u16> {
            let (mem, avail_at, _) = queue.memory();
            if mem.read16(avail_at + 2) == self.seen {
                return None;
            }
            let head = mem.read16(avail_at + 4 + 2 * usize::from(self.seen % SIZE));
            self.seen = self.seen.wrapping_add(1);
            Some(head)
        }

        fn use_one(&mut self, queue: &VirtQueue<u32>, id: u32, len: u32) {
            let (mem, _, used_at) = queue.memory();
            let at = used_at + 4 + 8 * usize::from(self.used % SIZE);
            mem.write32(at, id);
            mem.write32(at + 4, len);
            self.used = self.used.wrapping_add(1);
            mem.write16(used_at + 2, self.used);
        }
    }

    fn pieces(n: usize) -> KVec<Sg> {
        let mut pieces = KVec::new();
        for i in 0..n {
            let _ = pieces.push(Sg { addr: 0x1000 * (i as u64 + 1), len: 512 }, GFP_KERNEL);
        }
        pieces
    }

    fn round(event_idx: bool, indirect: bool) -> Result {
        let mut queue = VirtQueue::new(SIZE, event_idx, indirect)?;
        let mut device = Device { used: 0, seen: 0 };
        for turn in 0..40_000u32 {
            let n = (turn % 3) as usize + 1;
            queue.add(&pieces(n), 1, turn).map_err(|(error, _)| error)?;
            queue.add(&pieces(2), 2, turn + 1).map_err(|(error, _)| error)?;
            let (first, second) = (device.next(&queue).ok_or(EIO)?, device.next(&queue).ok_or(EIO)?);
            // Out of order.
            device.use_one(&queue, second.into(), 0);
            device.use_one(&queue, first.into(), (n as u32 - 1) * 512);
            if queue.get()? != Some((turn + 1, 0)) || queue.get()? != Some((turn, (n as u32 - 1) * 512)) {
                return Err(EINVAL);
            }
            if queue.get()?.is_some() || queue.free() != SIZE {
                return Err(ENOSPC);
            }
        }
        Ok(())
    }

    #[test]
    fn tokens_come_back() {
        for event_idx in [false, true] {
            for indirect in [false, true] {
                assert_eq!(round(event_idx, indirect), Ok(()));
            }
        }
    }

    #[test]
    fn full_and_drained() {
        let Ok(mut queue) = VirtQueue::new(SIZE, true, false) else { return assert!(false) };
        for token in 0..4 {
            assert!(queue.add(&pieces(2), 1, token).is_ok());
        }
        assert_eq!(queue.add(&pieces(1), 1, 9), Err((ENOSPC, 9)));
        assert_eq!(queue.add(&pieces(9), 1, 9), Err((EINVAL, 9)));
        assert_eq!(queue.add(&pieces(0), 0, 9), Err((EINVAL, 9)));
        let mut sum = 0;
        while let Some(token) = queue.detach_unused() {
            sum += token + 1;
        }
        assert_eq!(sum, 10);
        assert_eq!(queue.free(), SIZE);
        assert!(queue.add(&pieces(8), 1, 1).is_ok());
    }

    fn lies(lie: impl FnOnce(&mut Device, &VirtQueue<u32>)) -> bool {
        let Ok(mut queue) = VirtQueue::new(SIZE, false, false) else { return false };
        let mut device = Device { used: 0, seen: 0 };
        if queue.add(&pieces(2), 1, 7).is_err() {
            return false;
        }
        lie(&mut device, &queue);
        let broken = queue.get() == Err(EIO) && queue.is_broken() && queue.add(&pieces(1), 1, 8) == Err((EIO, 8));
        broken && queue.get() == Err(EIO) && queue.detach_unused() == Some(7) && queue.detach_unused().is_none()
    }

    #[test]
    fn nonsense_breaks_the_queue_only() {
        assert!(lies(|device, queue| device.use_one(queue, 8, 0)));
        assert!(lies(|device, queue| device.use_one(queue, u32::MAX, 0)));
        assert!(lies(|device, queue| device.use_one(queue, 1, 0)));
        assert!(lies(|device, queue| device.use_one(queue, 0, 513)));
        assert!(lies(|device, queue| {
            device.used = 1000;
            device.use_one(queue, 0, 0);
        }));
    }

    #[test]
    fn a_chain_is_used_once() {
        let Ok(mut queue) = VirtQueue::new(SIZE, false, true) else { return assert!(false) };
        let mut device = Device { used: 0, seen: 0 };
        assert!(queue.add(&pieces(3), 1, 7).is_ok());
        device.use_one(&queue, 0, 0);
        device.use_one(&queue, 0, 0);
        assert_eq!(queue.get(), Ok(Some((7, 0))));
        assert_eq!(queue.get(), Err(EIO));
    }

    #[test]
    fn kicks_and_callbacks() {
        let Ok(mut queue) = VirtQueue::new(SIZE, true, false) else { return assert!(false) };
        let mut device = Device { used: 0, seen: 0 };
        assert!(!queue.prepare_kick());
        assert!(queue.add(&pieces(1), 1, 1).is_ok());
        assert!(queue.prepare_kick());
        // The device has not asked to hear of the next one.
        assert!(queue.add(&pieces(1), 1, 2).is_ok());
        assert!(!queue.prepare_kick());
        queue.disable_callbacks();
        device.use_one(&queue, 0, 0);
        assert!(!queue.enable_callbacks());
        assert!(queue.get().is_ok());
        assert!(queue.enable_callbacks());
    }
}

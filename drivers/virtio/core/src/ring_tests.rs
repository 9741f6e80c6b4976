// SPDX-License-Identifier: GPL-2.0
//! The ring in the memory that a device sees. What it does is tested on the host (`virtio_ring`).

use macros::kunit_tests;

#[kunit_tests(virtio_ring)]
mod in_kernel {
    use super::super::*;
    use errno::Error;
    use virtio_ring::Sg;

    const SIZE: u16 = 8;

    fn pair(device_writes: u32) -> [Sg; 2] {
        [Sg { addr: 0x1000, len: 512 }, Sg { addr: 0x2000, len: device_writes }]
    }

    /// Tells the ring's memory that chain `id` is done, the `n`th answer of all, each of one descriptor.
    fn answer(mem: &RingMemory, shape: Shape, n: u16, id: u16, len: u32) {
        let places = shape.places();
        if shape.packed {
            let flags = if (n / SIZE).is_multiple_of(2) { 0x8080u64 } else { 0 };
            let at = places.desc + usize::from(n % SIZE) * 16 + 8;
            return mem.0.write64(at, u64::from(len) | u64::from(id) << 32 | flags << 48);
        }
        let at = places.device + 4 + usize::from(n % SIZE) * 8;
        mem.0.write32(at, id.into());
        mem.0.write32(at + 4, len);
        mem.0.write16(places.device + 2, n + 1);
    }

    fn round(shape: Shape) -> Result {
        let mut queue: VirtQueue<u16> = new_ring(shape)?;
        for turn in 0..100 {
            queue.add(&pair(100), 1, turn).map_err(|(error, _)| error)?;
            if !queue.prepare_kick() && !shape.event_idx {
                return Err(EAGAIN);
            }
            answer(queue.memory(), shape, turn, 0, 60);
            if queue.get()? != Some((turn, 60)) || queue.get()?.is_some() || queue.free() != SIZE {
                return Err(EINVAL);
            }
        }
        queue.add(&pair(100), 1, 1).map_err(|(error, _)| error)?;
        answer(queue.memory(), shape, 100, 0, 101);
        let broken: Result<_, Error> = queue.get();
        if broken != Err(EIO) || queue.detach_unused() != Some(1) { Err(EBADMSG) } else { Ok(()) }
    }

    #[test]
    fn in_the_devices_memory() {
        for packed in [false, true] {
            for event_idx in [false, true] {
                assert_eq!(round(Shape { size: SIZE, packed, event_idx, indirect: true }), Ok(()));
            }
        }
    }

    #[test]
    fn shapes_that_cannot_be() {
        for size in [0, 3, 40_000] {
            let made = new_ring::<u16>(Shape { size, packed: true, event_idx: true, indirect: true });
            assert_eq!(made.err(), Some(EINVAL));
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! `TagSet`: how many hardware queues and requests a disk has.

use super::Operations;
use crate::error::{Error, code::EINVAL};
use core::marker::PhantomData;
use pin_init::{PinInit, pin_init_from_closure};

/// Most requests of a hardware queue (`BLK_MQ_MAX_DEPTH`).
const MAX_DEPTH: u32 = 10240;
/// Kinds of hardware queues (`HCTX_MAX_TYPES`).
const MAX_MAPS: u32 = 3;

/// The hardware queues and requests of a disk of driver `T`.
pub struct TagSet<T: Operations> {
    pub(super) queues: u32,
    pub(super) depth: u32,
    _driver: PhantomData<fn() -> T>,
}

impl<T: Operations> TagSet<T> {
    /// `nr_hw_queues` queues of `num_tags` requests (at most 10240). `EINVAL` if there are none, or more than three kinds of queues.
    pub fn new(nr_hw_queues: u32, num_tags: u32, num_maps: u32) -> impl PinInit<Self, Error> {
        let make = move |slot: *mut Self| {
            if nr_hw_queues == 0 || num_tags == 0 || num_maps > MAX_MAPS {
                return Err(EINVAL);
            }
            let depth = num_tags.min(MAX_DEPTH);
            if depth != num_tags {
                crate::pr_info!("blk-mq: reduced tag depth to {depth}\n");
            }
            // More queues than CPUs serve nobody.
            let queues = nr_hw_queues.min(x86::smp::num_online());
            // SAFETY: The slot is memory for the value.
            unsafe { slot.write(Self { queues, depth, _driver: PhantomData }) };
            Ok(())
        };
        // SAFETY: The value is written, or an error returned and nothing is left.
        unsafe { pin_init_from_closure(make) }
    }
}

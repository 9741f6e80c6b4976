// SPDX-License-Identifier: GPL-2.0
//! blk-mq: requests for drivers whose hardware has queues. A [`Queue`] has hardware queues ([`HwQueue`]), each CPU uses one of them; a
//! request takes a tag of its hardware queue, is given to the driver, and comes back by [`Request::complete`].
//!
//! | file | what |
//! |---|---|
//! | `tags` | which tags are free; the requests themselves, made once |
//! | `request` | [`Request`], its steps (flush, data, flush) and its end |
//! | `queue` | from a bio to the driver; requests that the driver could not take yet |
//!
//! A request belongs to one owner: the block layer, or the driver between `queue_rq` and `complete`. Nothing is allocated on the way.
//! Locks: a hardware queue's `waiting` list (interrupts off), no other inside; drivers are called without it.

mod queue;
mod request;
mod tags;

pub use queue::{HwQueue, MqDisk, MqOps, MqParams, Queue, Refused};
pub use request::Request;

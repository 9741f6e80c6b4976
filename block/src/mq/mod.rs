// SPDX-License-Identifier: GPL-2.0
//! blk-mq: requests for drivers whose hardware has queues. A [`Queue`] has hardware queues ([`HwQueue`]), each CPU uses one of them; a
//! request takes a tag of its hardware queue, is given to the driver, and comes back by [`Request::complete`]. With a scheduler it
//! first waits under a tag of the scheduler's. A bio that lies beside a request that has not been sent is joined with it.
//!
//! | file | what |
//! |---|---|
//! | `tags` | which tags are free; the requests themselves, made once |
//! | `request` | [`Request`], its steps (flush, data, flush) and its end |
//! | `merge` | joining bios |
//! | `queue` | from a bio to the driver |
//! | `waiting` | requests that the driver could not take yet |
//! | `sched` | the I/O scheduler |
//! | `elevator` | which schedulers there are: those that register themselves, and |
//! | `deadline` | mq-deadline |
//! | `timeout` | requests that take too long |
//! | `control` | what an administrator sets |
//!
//! A request belongs to one owner: the block layer, or the driver between `queue_rq` and `complete`. Nothing is allocated on the way
//! but room for joined bios, and without it they are not joined.
//! Locks: a task's plug, a hardware queue's `waiting` list and a scheduler's `state` (the last two with interrupts off), none inside
//! another; drivers are called without them. `changing` (sleeping) around changes of the scheduler, in it the table of schedulers.

mod control;
mod deadline;
mod elevator;
mod merge;
mod queue;
mod request;
mod sched;
mod tags;
mod timeout;
mod waiting;

pub use elevator::{
    Policy, SchedulerType, for_each_scheduler, is_scheduler, is_scheduler_name, register_scheduler,
    unregister_scheduler,
};
pub(crate) use merge::try_merge;
pub use queue::{HwQueue, MqDisk, MqOps, MqParams, Queue, Refused};
pub use request::Request;
pub use timeout::{Expired, TimeoutAction};

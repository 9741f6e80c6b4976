// SPDX-License-Identifier: GPL-2.0
//! `kernel::block::mq`: a driver implements [`Operations`], makes a [`TagSet`] and builds a disk with it
//! ([`gen_disk::GenDiskBuilder`]). A request is a counted reference, `ARef<Request<T>>`, which the driver ends when it is the only one.
//!
//! | file | what |
//! |---|---|
//! | `operations` | the trait |
//! | `request` | [`Request`] |
//! | `tag_set` | how many requests there are |
//! | `gen_disk` | the disk |
//! | `driver` | what the block layer has of it: code of the image alone, for the disk may outlive the module |
//!
//! Tags belong to a disk: two disks on one `TagSet` have the set's number each, where Linux shares them. There are no queues that are
//! polled, so `Operations::poll` is not called.
//! Locks: none; a request's owner is found by its count.

mod driver;
pub mod gen_disk;
mod operations;
mod request;
mod tag_set;

pub use operations::Operations;
pub use request::Request;
pub use tag_set::TagSet;

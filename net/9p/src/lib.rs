// SPDX-License-Identifier: GPL-2.0
//! The client side of 9P2000.L: connections to servers, requests and their answers, fids. `fs/9p` makes a file system of it; ways to
//! servers (`net/9p/trans_virtio`) register themselves here. `p9_proto` knows the bytes.
//!
//! | file | what |
//! |---|---|
//! | `trans` | [`Transport`]: a way to servers; [`Channel`]: one connection |
//! | `request` | [`Request`]: one message, its memory and its answer |
//! | `client` | [`Client`]: a session; sending, waiting, giving up |
//! | `fid` | [`Fid`]: a file as the server knows it; numbers, giving back |
//! | `ops` | what can be asked of a fid |
//! | `data` | bytes in pages |
//!
//! A request belongs to its sender and, from `Channel::submit` until the answer, to the channel, which ends it from any context. Its
//! memory stays until both let go: a server that is late writes to nobody else's.
//!
//! Locks: a client's spin locks of tags and of fids, interrupts off, each alone; a channel's own inside of none of them.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod client;
mod data;
mod fid;
mod ops;
mod request;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod trans;

pub use client::{Client, MIN_MSIZE, Options};
pub use data::{Piece, bytes_of, pages_for, pieces_of};
pub use fid::Fid;
pub use p9_proto as proto;
pub use request::{Data, Request};
pub use trans::{Channel, Transport, TransportRef, find_transport, register_transport, unregister_transport};

use kernel::ext::Alive;
use kernel::prelude::*;

module! {
    type: Net9p,
    name: "9pnet",
    authors: ["The Rideau developers"],
    description: "Plan 9 Resource Sharing Support (9P2000)",
    license: "GPL",
}

/// Sessions that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

struct Net9p;

impl kernel::Module for Net9p {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

impl Drop for Net9p {
    fn drop(&mut self) {
        // Whoever used it is gone already; what he left to RCU may not be.
        ALIVE.wait_gone();
    }
}

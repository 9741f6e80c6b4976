// SPDX-License-Identifier: GPL-2.0
//! Unix-domain sockets: stream, datagram and sequenced-packet, by path, by abstract name and as pairs; with descriptors and
//! credentials in their messages. Source: `unix(7)`.
//!
//! | file | what |
//! |---|---|
//! | `sock` | the socket: state, ends, waiting, closing |
//! | `name` | addresses, and who is bound to them |
//! | `queue` | messages that wait to be received |
//! | `inflight` | files in messages: how many, and circles of them that nobody can receive |
//! | `connect` | listening, connecting, accepting, pairs |
//! | `transfer` | sending and receiving |
//!
//! Locks, outermost first: a socket's `reading` (sleeping; one receiver at a time), then `state` and `queue` (spin; never two
//! sockets' at once but for `connect`, which takes a pair's one after the other), `name::TABLE` (spin, alone). `inflight::FLIGHT`
//! (spin) is outside of `state` and `queue`. Files in messages are dropped outside of all of them.

#![no_std]
#![forbid(unsafe_code)]

mod connect;
mod inflight;
mod name;
mod queue;
mod sock;
mod transfer;

use errno::{Result, code::*};
use kalloc::Arc;
use socket::{Family, Socket};
use uapi::{SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};

struct Unix;

fn check(kind: u32, protocol: u32) -> Result<u32> {
    // `PF_UNIX` as the protocol is let pass.
    if protocol != 0 && protocol != u32::from(sock::AF_UNIX) {
        return Err(EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => Ok(kind),
        SOCK_RAW => Ok(SOCK_DGRAM),
        _ => Err(ESOCKTNOSUPPORT),
    }
}

impl Family for Unix {
    fn number(&self) -> u16 {
        sock::AF_UNIX
    }

    fn create(&self, kind: u32, protocol: u32) -> Result<Arc<dyn Socket>> {
        let socket: Arc<dyn Socket> = sock::UnixSocket::new(check(kind, protocol)?)?;
        Ok(socket)
    }

    fn pair(&self, kind: u32, protocol: u32) -> Result<[Arc<dyn Socket>; 2]> {
        let [a, b] = connect::pair(check(kind, protocol)?)?;
        Ok([a, b])
    }
}

/// Makes the family known. Once, at boot.
pub fn init() -> Result {
    static UNIX: Unix = Unix;
    socket::register_family(&UNIX)
}

// SPDX-License-Identifier: GPL-2.0
//! Options that every socket has (`SOL_SOCKET`). Source: `socket(7)`. No locks: atomics.

use crate::family::Socket;
use crate::message::Ucred;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use cred::{CAP_NET_ADMIN, capable};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use uapi::{
    SO_ACCEPTCONN, SO_BROADCAST, SO_DEBUG, SO_DOMAIN, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE,
    SO_PASSCRED, SO_PASSSEC, SO_PEEK_OFF, SO_PEERCRED, SO_PEERGROUPS, SO_PEERNAME, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF,
    SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO_NEW, SO_RCVTIMEO_OLD, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF,
    SO_SNDBUFFORCE, SO_SNDLOWAT, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD, SO_TIMESTAMP_NEW, SO_TIMESTAMP_OLD,
    SO_TIMESTAMPNS_NEW, SO_TIMESTAMPNS_OLD, SO_TYPE,
};

/// Default size of both buffers (`net.core.wmem_default`).
pub const BUFFER: u32 = 212_992;
const BUFFER_MIN: u32 = 2304;

/// Flags that are one bit each.
pub mod flag {
    /// `SO_REUSEADDR`.
    pub const REUSEADDR: u32 = 1 << 0;
    /// `SO_KEEPALIVE`.
    pub const KEEPALIVE: u32 = 1 << 1;
    /// `SO_BROADCAST`.
    pub const BROADCAST: u32 = 1 << 2;
    /// `SO_OOBINLINE`.
    pub const OOBINLINE: u32 = 1 << 3;
    /// `SO_DONTROUTE`.
    pub const DONTROUTE: u32 = 1 << 4;
    /// `SO_PASSCRED`.
    pub const PASSCRED: u32 = 1 << 5;
    /// `SO_TIMESTAMP` and its kin: messages come with the time at which they were sent.
    pub const TIMESTAMP: u32 = 1 << 6;
    /// `SO_REUSEPORT`.
    pub const REUSEPORT: u32 = 1 << 7;
    /// `SO_DEBUG`.
    pub const DEBUG: u32 = 1 << 8;
    /// `SO_PASSSEC`: without security modules nothing comes of it.
    pub const PASSSEC: u32 = 1 << 9;
    /// Times are in nanoseconds (`SO_TIMESTAMPNS`).
    pub const TIMESTAMP_NS: u32 = 1 << 10;
    /// The option's newer number was used, and is told.
    pub const TIMESTAMP_NEW: u32 = 1 << 11;
}

/// The options of one socket.
pub struct Options {
    flags: AtomicU32,
    /// Bytes that may wait to be received.
    pub rcvbuf: AtomicU32,
    /// Bytes that may be under way.
    pub sndbuf: AtomicU32,
    priority: AtomicU32,
    /// Nanoseconds a receive may wait; 0 is for ever.
    pub rcvtimeo: AtomicU64,
    /// Nanoseconds a send may wait; 0 is for ever.
    pub sndtimeo: AtomicU64,
    /// `SO_LINGER`: on (bit 32) and seconds.
    linger: AtomicU64,
    lowat: AtomicU32,
    /// `SO_PEEK_OFF`: where `MSG_PEEK` looks next; below 0 at the first byte always.
    peek_off: AtomicI32,
}

impl Options {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            flags: AtomicU32::new(0),
            rcvbuf: AtomicU32::new(BUFFER),
            sndbuf: AtomicU32::new(BUFFER),
            priority: AtomicU32::new(0),
            rcvtimeo: AtomicU64::new(0),
            sndtimeo: AtomicU64::new(0),
            linger: AtomicU64::new(0),
            lowat: AtomicU32::new(1),
            peek_off: AtomicI32::new(-1),
        }
    }

    /// Whether a [`flag`] is set.
    #[inline]
    pub fn has(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// `SO_RCVLOWAT`: bytes that a receive on a stream waits for, at least 1.
    #[inline]
    pub fn lowat(&self) -> usize {
        self.lowat.load(Ordering::Relaxed) as usize
    }

    /// The offset that `MSG_PEEK` begins at, if one was set.
    #[inline]
    pub fn peek_offset(&self) -> Option<usize> {
        usize::try_from(self.peek_off.load(Ordering::Relaxed)).ok()
    }

    /// `bytes` were looked at: the offset, if there is one, moves behind them. The caller is the only receiver.
    pub fn peek_forward(&self, bytes: usize) {
        if let Some(at) = self.peek_offset() {
            self.peek_off.store(i32::try_from(at.saturating_add(bytes)).unwrap_or(i32::MAX), Ordering::Relaxed);
        }
    }

    /// `bytes` were received: the offset stays where it was in what is left. The caller is the only receiver.
    #[inline]
    pub fn peek_back(&self, bytes: usize) {
        if let Some(at) = self.peek_offset() {
            self.peek_off.store(i32::try_from(at.saturating_sub(bytes)).unwrap_or(i32::MAX), Ordering::Relaxed);
        }
    }

    fn set(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// What a program that asked for times is told of a message that was sent at `ns` of real time (0: not known).
    pub fn timestamp(&self, ns: u64) -> Option<Timestamp> {
        if !self.has(flag::TIMESTAMP) {
            return None;
        }
        let ns = if ns == 0 { ktime::real_ns() } else { ns };
        let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
        Some(match (self.has(flag::TIMESTAMP_NS), self.has(flag::TIMESTAMP_NEW)) {
            (false, new) => Timestamp(if new { SO_TIMESTAMP_NEW } else { SO_TIMESTAMP_OLD }, [seconds, rest / 1000]),
            (true, new) => Timestamp(if new { SO_TIMESTAMPNS_NEW } else { SO_TIMESTAMPNS_OLD }, [seconds, rest]),
        })
    }

    fn set_timestamp(&self, name: u32, on: bool) {
        let (ns, new) = timestamp_kind(name);
        self.set(flag::TIMESTAMP, on);
        self.set(flag::TIMESTAMP_NS, on && ns);
        if on {
            self.set(flag::TIMESTAMP_NEW, new);
        }
    }

    fn has_timestamp(&self, name: u32) -> bool {
        let (ns, new) = timestamp_kind(name);
        self.has(flag::TIMESTAMP) && self.has(flag::TIMESTAMP_NS) == ns && self.has(flag::TIMESTAMP_NEW) == new
    }

    /// Until when a wait may last that begins now; `None` for ever.
    pub fn deadline(limit: &AtomicU64) -> Option<u64> {
        match limit.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(ktime::now_ns().saturating_add(ns)),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// A time for a control message: its kind, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub(crate) u32, pub(crate) [u64; 2]);

/// Whether an option for times means nanoseconds, and is the newer number.
fn timestamp_kind(name: u32) -> (bool, bool) {
    let ns = matches!(name, SO_TIMESTAMPNS_OLD | SO_TIMESTAMPNS_NEW);
    (ns, matches!(name, SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW))
}

fn flag_of(name: u32) -> Option<u32> {
    Some(match name {
        SO_REUSEADDR => flag::REUSEADDR,
        SO_REUSEPORT => flag::REUSEPORT,
        SO_DEBUG => flag::DEBUG,
        SO_KEEPALIVE => flag::KEEPALIVE,
        SO_BROADCAST => flag::BROADCAST,
        SO_OOBINLINE => flag::OOBINLINE,
        SO_DONTROUTE => flag::DONTROUTE,
        SO_PASSCRED => flag::PASSCRED,
        SO_PASSSEC => flag::PASSSEC,
        _ => return None,
    })
}

fn int(value: &[u8]) -> Result<i32> {
    value.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(EINVAL)
}

fn timeout(value: &[u8]) -> Result<u64> {
    let (sec, usec) = match value.first_chunk::<16>() {
        Some(bytes) => bytes.split_at(8),
        None => return Err(EINVAL),
    };
    let sec = i64::from_ne_bytes(sec.try_into().map_err(|_| EINVAL)?);
    let usec = i64::from_ne_bytes(usec.try_into().map_err(|_| EINVAL)?);
    if !(0..1_000_000).contains(&usec) {
        return Err(EDOM);
    }
    let sec = u64::try_from(sec).unwrap_or(0);
    Ok(sec.saturating_mul(1_000_000_000).saturating_add(usec.unsigned_abs() * 1000))
}

/// Sets a `SOL_SOCKET` option.
pub(crate) fn set(socket: &dyn Socket, name: u32, value: &[u8]) -> Result {
    let options = socket.options();
    // All of them are at least a number.
    let number = int(value)?;
    if name == SO_DEBUG && number != 0 && !capable(CAP_NET_ADMIN) {
        return Err(EACCES);
    }
    if let Some(flag) = flag_of(name) {
        let on = number != 0;
        if on && flag == flag::REUSEPORT && !matches!(u32::from(socket.family()), 2 | 10) {
            // Not of the Internet, which has ports.
            return Err(EOPNOTSUPP);
        }
        options.set(flag, on);
        return Ok(());
    }
    match name {
        SO_SNDBUF | SO_SNDBUFFORCE | SO_RCVBUF | SO_RCVBUFFORCE => {
            let forced = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;
            if forced && !capable(CAP_NET_ADMIN) {
                return Err(EPERM);
            }
            let size = int(value)?;
            let size = match forced {
                // As Linux: less than nothing is nothing when it is forced, and very much when it is not.
                true => size.max(0).cast_unsigned().min(i32::MAX as u32 / 2),
                false => size.cast_unsigned().min(BUFFER),
            };
            // The double is kept, for the kernel's own needs; so says socket(7).
            let (slot, least) = if name == SO_SNDBUF || name == SO_SNDBUFFORCE {
                (&options.sndbuf, BUFFER_MIN * 2)
            } else {
                (&options.rcvbuf, BUFFER_MIN)
            };
            slot.store((size * 2).max(least), Ordering::Relaxed);
        }
        SO_PRIORITY => {
            let priority = int(value)?;
            if !(0..=6).contains(&priority) && !capable(CAP_NET_ADMIN) {
                return Err(EPERM);
            }
            options.priority.store(priority.cast_unsigned(), Ordering::Relaxed);
        }
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => options.rcvtimeo.store(timeout(value)?, Ordering::Relaxed),
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => options.sndtimeo.store(timeout(value)?, Ordering::Relaxed),
        SO_LINGER => {
            let on = int(value)? != 0;
            let seconds = int(value.get(4..).unwrap_or(&[]))?;
            options.linger.store(u64::from(on) << 32 | u64::from(seconds.cast_unsigned()), Ordering::Relaxed);
        }
        SO_TIMESTAMP_OLD | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_OLD | SO_TIMESTAMPNS_NEW => {
            options.set_timestamp(name, number != 0);
        }
        SO_PEEK_OFF if !socket.has_peek_offset() => return Err(EOPNOTSUPP),
        SO_PEEK_OFF => options.peek_off.store(number, Ordering::Relaxed),
        SO_RCVLOWAT => {
            let bytes = match int(value)? {
                less if less < 0 => i32::MAX,
                bytes => bytes.max(1),
            };
            options.lowat.store(bytes.cast_unsigned(), Ordering::Relaxed);
        }
        _ => return Err(ENOPROTOOPT),
    }
    Ok(())
}

/// Appends a `SOL_SOCKET` option's value.
pub(crate) fn get(socket: &dyn Socket, name: u32, out: &mut KVec<u8>) -> Result {
    let options = socket.options();
    let load = |slot: &AtomicU32| slot.load(Ordering::Relaxed).cast_signed();
    if let Some(flag) = flag_of(name) {
        return push_int(out, i32::from(options.has(flag)));
    }
    match name {
        SO_TYPE => push_int(out, socket.kind().cast_signed()),
        SO_DOMAIN => push_int(out, socket.family().into()),
        SO_PROTOCOL => push_int(out, socket.protocol().cast_signed()),
        SO_ERROR => push_int(out, socket.take_error()),
        SO_ACCEPTCONN => push_int(out, socket.is_listening().into()),
        SO_SNDBUF => push_int(out, load(&options.sndbuf)),
        SO_RCVBUF => push_int(out, load(&options.rcvbuf)),
        SO_PRIORITY => push_int(out, load(&options.priority)),
        SO_RCVLOWAT => push_int(out, load(&options.lowat)),
        SO_SNDLOWAT => push_int(out, 1),
        SO_TIMESTAMP_OLD | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_OLD | SO_TIMESTAMPNS_NEW => {
            push_int(out, options.has_timestamp(name).into())
        }
        SO_PEEK_OFF if !socket.has_peek_offset() => Err(EOPNOTSUPP),
        SO_PEEK_OFF => push_int(out, options.peek_off.load(Ordering::Relaxed)),
        SO_LINGER => {
            let linger = options.linger.load(Ordering::Relaxed);
            push_int(out, (linger >> 32) as i32)?;
            push_int(out, linger as i32)
        }
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => push_time(out, options.rcvtimeo.load(Ordering::Relaxed)),
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => push_time(out, options.sndtimeo.load(Ordering::Relaxed)),
        SO_PEERCRED => {
            let Ucred { pid, uid, gid } = socket.peer_credentials();
            push_int(out, pid.here().cast_signed())?;
            push_int(out, uid.cast_signed())?;
            push_int(out, gid.cast_signed())
        }
        SO_PEERGROUPS => {
            let groups = socket.peer_groups()?;
            for gid in groups.as_ref().map_or([].as_slice(), |groups| groups.gids()) {
                push_int(out, gid.cast_signed())?;
            }
            Ok(())
        }
        SO_PEERNAME => Ok(out.extend_from_slice(socket.peer_name()?.as_bytes(), GFP_KERNEL)?),
        _ => Err(ENOPROTOOPT),
    }
}

fn push_int(out: &mut KVec<u8>, value: i32) -> Result {
    Ok(out.extend_from_slice(&value.to_ne_bytes(), GFP_KERNEL)?)
}

fn push_time(out: &mut KVec<u8>, ns: u64) -> Result {
    out.extend_from_slice(&(ns / 1_000_000_000).to_ne_bytes(), GFP_KERNEL)?;
    Ok(out.extend_from_slice(&(ns % 1_000_000_000 / 1000).to_ne_bytes(), GFP_KERNEL)?)
}

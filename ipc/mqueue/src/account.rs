// SPDX-License-Identifier: GPL-2.0
//! Limits (`/proc/sys/fs/mqueue`) and how many queues there are, in each name space; what each user's take of `RLIMIT_MSGQUEUE` in all.
//! Lock: `USERS` (spin), taken alone.

use crate::ns::{self, NsRef};
use containers::HashMap;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use errno::code::{EINVAL, EMFILE, ENOSPC, EOVERFLOW};
use kalloc::Arc;
use locking::{LazyLock, SpinLock};
use proc::per_ns::{NsAttribute, Number};

/// Limits of a name space, and its queues' number.
pub(crate) struct Limits {
    /// Most queues.
    queues_max: AtomicU32,
    /// Most messages of a queue, and bytes of a message, for the unprivileged.
    msg_max: AtomicU32,
    msgsize_max: AtomicU32,
    /// What a queue has that is made without attributes.
    msg_default: AtomicU32,
    msgsize_default: AtomicU32,
    queues: AtomicU32,
}

impl Limits {
    /// Linux's.
    pub(crate) const fn new() -> Self {
        Self {
            queues_max: AtomicU32::new(256),
            msg_max: AtomicU32::new(10),
            msgsize_max: AtomicU32::new(8192),
            msg_default: AtomicU32::new(10),
            msgsize_default: AtomicU32::new(8192),
            queues: AtomicU32::new(0),
        }
    }
}

/// Limits for everybody.
const HARD_MSG_MAX: u32 = 65536;
const HARD_MSGSIZE_MAX: u32 = 16 << 20;
/// What the kernel needs for a message, and for each priority in use (Linux's `msg_msg` and `posix_msg_tree_node`).
const MESSAGE_COST: u64 = 48;
const PRIORITY_COST: u64 = 48;
pub(crate) const PRIORITIES: u32 = 32768;

static USERS: LazyLock<SpinLock<HashMap<u32, u64>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

/// How large a queue is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Size {
    pub(crate) fn default_size(limits: &Limits) -> Self {
        let least = |a: &AtomicU32, b: &AtomicU32| a.load(Ordering::Relaxed).min(b.load(Ordering::Relaxed)) as usize;
        Self {
            messages: least(&limits.msg_max, &limits.msg_default),
            bytes: least(&limits.msgsize_max, &limits.msgsize_default),
        }
    }

    /// From `mq_open(3)`'s attributes. `EINVAL` above the caller's limits.
    pub(crate) fn checked(limits: &Limits, messages: i64, bytes: i64) -> Result<Self> {
        let (most, longest) = if cred::capable(cred::CAP_SYS_RESOURCE) {
            (HARD_MSG_MAX, HARD_MSGSIZE_MAX)
        } else {
            (limits.msg_max.load(Ordering::Relaxed), limits.msgsize_max.load(Ordering::Relaxed))
        };
        let within = |value: i64, most: u32| {
            usize::try_from(value).ok().filter(|value| (1..=most as usize).contains(value)).ok_or(EINVAL)
        };
        Ok(Self { messages: within(messages, most)?, bytes: within(bytes, longest)? })
    }

    fn cost(self) -> Result<u64> {
        let messages = self.messages as u64;
        let tree = messages * MESSAGE_COST + messages.min(PRIORITIES.into()) * PRIORITY_COST;
        messages.checked_mul(self.bytes as u64).and_then(|bytes| bytes.checked_add(tree)).ok_or(EOVERFLOW)
    }
}

/// A queue's share of the counts.
pub(crate) struct Charge {
    limits: Arc<Limits>,
    user: u32,
    bytes: u64,
}

impl Charge {
    /// `ENOSPC` above the number of queues, `EMFILE` above `RLIMIT_MSGQUEUE`.
    pub(crate) fn new(limits: &Arc<Limits>, size: Size) -> Result<Self> {
        let bytes = size.cost()?;
        let user = cred::current_cred()?.uid;
        let count = limits.queues.fetch_add(1, Ordering::Relaxed);
        let mut charge = Self { limits: limits.clone(), user, bytes: 0 };
        if count >= limits.queues_max.load(Ordering::Relaxed) && !cred::capable(cred::CAP_SYS_RESOURCE) {
            return Err(ENOSPC);
        }
        let mut users = USERS.lock();
        let all = users.get(&user).copied().unwrap_or(0).checked_add(bytes).ok_or(EMFILE)?;
        if all > rlimit::current(uapi::RLIMIT_MSGQUEUE) {
            return Err(EMFILE);
        }
        users.insert(user, all)?;
        drop(users);
        charge.bytes = bytes;
        Ok(charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.limits.queues.fetch_sub(1, Ordering::Relaxed);
        if self.bytes == 0 {
            return;
        }
        let mut users = USERS.lock();
        let left = users.get(&self.user).copied().unwrap_or(0).saturating_sub(self.bytes);
        if left == 0 {
            users.remove(&self.user);
        } else if let Some(all) = users.get_mut(&self.user) {
            *all = left;
        }
    }
}

type Of = fn(&NsRef) -> &AtomicU32;

/// The files. Once, at boot.
pub(crate) fn init() -> Result {
    let dir = proc::root()?.path_or_new("sys/fs")?.mkdir_mode(b"mqueue", 0o555)?;
    let (int, messages, bytes) = (i64::from(i32::MAX), i64::from(HARD_MSG_MAX), i64::from(HARD_MSGSIZE_MAX));
    let files: [(&str, Of, i64, i64); 5] = [
        ("queues_max", |ns| &ns.limits.queues_max, 0, int),
        ("msg_max", |ns| &ns.limits.msg_max, 1, messages),
        ("msgsize_max", |ns| &ns.limits.msgsize_max, 128, bytes),
        ("msg_default", |ns| &ns.limits.msg_default, 1, messages),
        ("msgsize_default", |ns| &ns.limits.msgsize_default, 128, bytes),
    ];
    for (name, of, least, most) in files {
        dir.attr(name.as_bytes(), 0o644, NsAttribute::new(ns::current, Number { of, least, most })?)?;
    }
    Ok(())
}

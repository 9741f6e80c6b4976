// SPDX-License-Identifier: GPL-2.0
//! Limits (`/proc/sys/fs/mqueue`), how many queues there are, and what each user's take of `RLIMIT_MSGQUEUE`.
//! Lock: `USERS` (spin), taken alone.

use containers::HashMap;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use errno::code::{EINVAL, EMFILE, ENOSPC, EOVERFLOW};
use kernfs::TextRw;
use locking::{LazyLock, SpinLock};
use proc::parse_number;
use vfs::{SeqBuf, seq_print};

/// Most queues.
static QUEUES_MAX: AtomicU32 = AtomicU32::new(256);
/// Most messages of a queue, and bytes of a message, for the unprivileged.
static MSG_MAX: AtomicU32 = AtomicU32::new(10);
static MSGSIZE_MAX: AtomicU32 = AtomicU32::new(8192);
/// What a queue has that is made without attributes.
static MSG_DEFAULT: AtomicU32 = AtomicU32::new(10);
static MSGSIZE_DEFAULT: AtomicU32 = AtomicU32::new(8192);
/// Limits for everybody.
const HARD_MSG_MAX: u32 = 65536;
const HARD_MSGSIZE_MAX: u32 = 16 << 20;
/// What the kernel needs for a message, and for each priority in use (Linux's `msg_msg` and `posix_msg_tree_node`).
const MESSAGE_COST: u64 = 48;
const PRIORITY_COST: u64 = 48;
pub(crate) const PRIORITIES: u32 = 32768;

static QUEUES: AtomicU32 = AtomicU32::new(0);
static USERS: LazyLock<SpinLock<HashMap<u32, u64>>> = LazyLock::new(|| SpinLock::new(HashMap::new()));

/// How large a queue is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Size {
    pub(crate) fn default_size() -> Self {
        let least = |a: &AtomicU32, b: &AtomicU32| a.load(Ordering::Relaxed).min(b.load(Ordering::Relaxed)) as usize;
        Self { messages: least(&MSG_MAX, &MSG_DEFAULT), bytes: least(&MSGSIZE_MAX, &MSGSIZE_DEFAULT) }
    }

    /// From `mq_open(3)`'s attributes. `EINVAL` above the caller's limits.
    pub(crate) fn checked(messages: i64, bytes: i64) -> Result<Self> {
        let (most, longest) = if cred::capable(cred::CAP_SYS_RESOURCE) {
            (HARD_MSG_MAX, HARD_MSGSIZE_MAX)
        } else {
            (MSG_MAX.load(Ordering::Relaxed), MSGSIZE_MAX.load(Ordering::Relaxed))
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
    user: u32,
    bytes: u64,
}

impl Charge {
    /// `ENOSPC` above the number of queues, `EMFILE` above `RLIMIT_MSGQUEUE`.
    pub(crate) fn new(size: Size) -> Result<Self> {
        let bytes = size.cost()?;
        let user = cred::current_cred()?.uid;
        let count = QUEUES.fetch_add(1, Ordering::Relaxed);
        let mut charge = Self { user, bytes: 0 };
        if count >= QUEUES_MAX.load(Ordering::Relaxed) && !cred::capable(cred::CAP_SYS_RESOURCE) {
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
        QUEUES.fetch_sub(1, Ordering::Relaxed);
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

/// The files. Once, at boot.
pub(crate) fn init() -> Result {
    let dir = proc::root()?.path_or_new("sys/fs")?.mkdir_mode(b"mqueue", 0o555)?;
    let int = i32::MAX as u32;
    for (name, value, min, max) in [
        ("queues_max", &QUEUES_MAX, 0, int),
        ("msg_max", &MSG_MAX, 1, HARD_MSG_MAX),
        ("msgsize_max", &MSGSIZE_MAX, 128, HARD_MSGSIZE_MAX),
        ("msg_default", &MSG_DEFAULT, 1, HARD_MSG_MAX),
        ("msgsize_default", &MSGSIZE_DEFAULT, 128, HARD_MSGSIZE_MAX),
    ] {
        let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
        let store = move |data: &[u8]| {
            let new = u32::try_from(parse_number(data)?).ok().filter(|new| (min..=max).contains(new)).ok_or(EINVAL)?;
            value.store(new, Ordering::Relaxed);
            Ok(data.len())
        };
        dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    }
    Ok(())
}

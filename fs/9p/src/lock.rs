// SPDX-License-Identifier: GPL-2.0
//! Locks on the server. The VFS has set a lock here before the server is asked, so that the server has to tell machines apart, not
//! processes.

use crate::node::Shared;
use kernel::ext::WaitQueue;
use kernel::filesystem::ktime::now_ns;
use kernel::filesystem::process::misc::hostname;
use kernel::filesystem::vfs::RemoteLock;
use kernel::prelude::*;
use p9net::Fid;
use p9net::proto::{FileLock, lock};

fn kind_of(kind: u32) -> u8 {
    match kind {
        uapi::F_RDLCK => lock::RDLCK,
        uapi::F_WRLCK => lock::WRLCK,
        _ => lock::UNLCK,
    }
}

/// Calls `f` with the lock as the protocol has it.
fn with<R>(wanted: &RemoteLock, f: impl FnOnce(&FileLock<'_>) -> R) -> R {
    let host = hostname();
    let len = host.iter().position(|&byte| byte == 0).unwrap_or(host.len());
    let start = wanted.start.max(0).cast_unsigned();
    let length = match wanted.end {
        i64::MAX => 0,
        end => end.cast_unsigned().saturating_sub(start).saturating_add(1),
    };
    f(&FileLock {
        kind: kind_of(wanted.kind),
        flags: if wanted.wait { lock::BLOCK } else { 0 },
        start,
        length,
        pid: wanted.pid.cast_unsigned(),
        client: host.get(..len).unwrap_or(&[]),
    })
}

/// Sets a lock, or takes it away. EAGAIN: somebody else has it; ENOLCK.
pub(crate) fn set(shared: &Shared, fid: &Fid, wanted: &RemoteLock) -> Result {
    let nobody = WaitQueue::new();
    loop {
        match with(wanted, |lock| fid.lock(lock))? {
            lock::SUCCESS => return Ok(()),
            lock::BLOCKED if wanted.wait && wanted.kind != uapi::F_UNLCK => {
                let until = now_ns().saturating_add(u64::from(shared.session.options.lock_timeout) * 1_000_000_000);
                // Nobody wakes it but time, or a signal.
                nobody.wait_interruptible_deadline(Some(until), || false)?;
            }
            lock::BLOCKED => return Err(EAGAIN),
            // An error, a server that has just started, or an answer that is none.
            _ => return Err(ENOLCK),
        }
    }
}

/// What is in the way of a lock on the server.
pub(crate) fn get(fid: &Fid, wanted: &RemoteLock) -> Result<Option<RemoteLock>> {
    let held = with(wanted, |lock| fid.get_lock(lock))?;
    let kind = match held.kind {
        lock::RDLCK => uapi::F_RDLCK,
        lock::WRLCK => uapi::F_WRLCK,
        _ => return Ok(None),
    };
    let start = i64::try_from(held.start).unwrap_or(i64::MAX);
    let end = match held.length {
        0 => i64::MAX,
        length => start.saturating_add(i64::try_from(length - 1).unwrap_or(i64::MAX)),
    };
    // Processes of other machines are shown as Linux does.
    Ok(Some(RemoteLock { kind, start, end, pid: held.pid.cast_signed().wrapping_neg(), wait: false }))
}

// SPDX-License-Identifier: GPL-2.0
//! Taking a module out: `delete_module(2)` after its checks of permission.

use crate::registry::{self, Module, State};
use crate::{load, taint};
use errno::{Result, code::*};
use kalloc::Arc;
use klog::pr_warn;
use module_core::Header;

/// Unloads `name`. `ENOENT`: there is none; `EWOULDBLOCK`: it is in use; `EBUSY`: it is coming or going, or cannot end (and
/// `force` is not given).
pub(crate) fn unload(name: &[u8], force: bool) -> Result {
    let module = {
        let list = registry::modules();
        let module = registry::find(&list, name).ok_or(ENOENT)?;
        if list.iter().any(|other| other.is_user_of(&module)) {
            return Err(EWOULDBLOCK);
        }
        if module.state() != State::Live {
            return Err(EBUSY);
        }
        close(&module, force)?;
        module.set_state(State::Going);
        module
    };
    let body = module.body().ok_or(EBUSY)?;
    if let Some(exit) = module.header().and_then(|header| header.exit()) {
        body.core.call_exit(exit)?;
    }
    load::stop(&module);
    module.put_uses();
    registry::remove(&module);
    Ok(())
}

/// Lets nobody take a reference any more.
fn close(module: &Arc<Module>, force: bool) -> Result {
    let header = module.header().ok_or(EBUSY)?;
    if header.exit().is_none() {
        // Without an end its code may be in use for ever; Linux goes on if forced, and so does this.
        if !force {
            return Err(EBUSY);
        }
        forced(module);
    }
    if stop(header) {
        return Ok(());
    }
    // What still holds a reference would run code that is gone: that is refused, forced or not.
    Err(EWOULDBLOCK)
}

/// How deep what waits for RCU lies in each other: a mount has its dentries, these their inodes, an inode its super block, which has the
/// module.
const DEPTH: usize = 4;

/// Closes a module for new users if it has none, or none but what was given up and waits for RCU. May sleep.
fn stop(header: &Header) -> bool {
    for _ in 0..DEPTH {
        if header.try_stop() {
            return true;
        }
        rcu::barrier();
    }
    header.try_stop()
}

fn forced(module: &Arc<Module>) {
    pr_warn!("{}: forced unload", module.name());
    taint::add(taint::FORCED_RMMOD);
}

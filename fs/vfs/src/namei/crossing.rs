// SPDX-License-Identifier: GPL-2.0
//! From one mount to another during a walk: what is mounted on a place is entered, and `..` leads from a mount's root to what is
//! above it, but not above the root of the walk. All of it runs inside the walk's RCU section and takes no reference.

use super::walk::{Place, Walker, lflag};
use crate::dentry::{Dentry, dflag};
use crate::mount::{self, Mount};
use errno::{Result, code::*};
use kalloc::ArcBorrow;
use rcu::ReadGuard;

impl Walker<'_> {
    /// Enters what is mounted on `place`.
    pub(super) fn down<'g>(&self, section: &'g ReadGuard, mut place: Place<'g>) -> Result<Place<'g>> {
        while place.dentry.test_flags(dflag::MOUNTED) {
            let Some(found) = mount::lookup(section, &place.mnt, &place.dentry) else { break };
            if self.flags() & lflag::NO_XDEV != 0 {
                return Err(self.looked_at_again(EXDEV));
            }
            if self.flags() & lflag::KEEP_EXPIRY == 0 {
                found.into_ref().set_expiring(false);
            }
            place = Place::new(found, found.into_ref().root.as_arc_borrow())?;
        }
        Ok(place)
    }

    /// `..`: never above `root`, up through mounts. `ENOENT` where a bind mount's directory was moved out of what is mounted.
    pub(super) fn up<'g>(&self, section: &'g ReadGuard, root: Place<'g>, place: Place<'g>) -> Result<Place<'g>> {
        let mut from = place;
        if place.is(&root) {
            return self.stay(section, place);
        }
        if core::ptr::eq(&*place.dentry, &*place.mnt.root) {
            let Some(above) = above_mount(section, &root, place)? else { return self.stay(section, place) };
            if self.flags() & lflag::NO_XDEV != 0 {
                return Err(self.looked_at_again(EXDEV));
            }
            from = above;
        }
        let Some(parent) = from.dentry.parent(section) else { return Ok(from) };
        if !is_connected(section, &from.mnt, parent) {
            return Err(self.looked_at_again(ENOENT));
        }
        self.down(section, Place::new(from.mnt, parent)?)
    }

    /// `..` where there is nothing above: what is mounted there is entered all the same.
    fn stay<'g>(&self, section: &'g ReadGuard, place: Place<'g>) -> Result<Place<'g>> {
        if self.flags() & lflag::BENEATH != 0 {
            return Err(self.looked_at_again(EXDEV));
        }
        self.down(section, place)
    }
}

/// What the root of a mount is mounted on: the next place above that is no root itself. `None` at the end of all mounts, and if
/// that is `root`.
fn above_mount<'g>(section: &'g ReadGuard, root: &Place<'g>, place: Place<'g>) -> Result<Option<Place<'g>>> {
    let mut mnt = place.mnt;
    while let Some((above, dentry)) = mnt.into_ref().mounted_on(section) {
        let place = Place::new(above, dentry)?;
        if place.is(root) {
            break;
        }
        if !core::ptr::eq(&*dentry, &*above.root) {
            return Ok(Some(place));
        }
        mnt = above;
    }
    Ok(None)
}

/// Whether `dentry` is in what `mnt` shows of its file system.
fn is_connected(section: &ReadGuard, mnt: &Mount, dentry: ArcBorrow<'_, Dentry>) -> bool {
    let mut at: &Dentry = &dentry;
    if mnt.root.is_root() {
        return true;
    }
    while !core::ptr::eq(at, &*mnt.root) {
        match at.parent(section) {
            Some(parent) => at = parent.into_ref(),
            None => return false,
        }
    }
    true
}

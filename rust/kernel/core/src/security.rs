// SPDX-License-Identifier: GPL-2.0
//! What security modules are asked: `kernel::security`. This kernel has none, so that nobody forbids anything and no number stands for a
//! context, as in a Linux without `CONFIG_SECURITY`.

use crate::cred::Credential;
use crate::error::{Result, code::*};
use crate::fs::File;
use core::convert::Infallible;

/// Whether `mgr` may manage a context of binder.
pub fn binder_set_context_mgr(mgr: &Credential) -> Result {
    let _ = mgr;
    Ok(())
}

/// Whether `from` may call `to` by binder.
pub fn binder_transaction(from: &Credential, to: &Credential) -> Result {
    let _ = (from, to);
    Ok(())
}

/// Whether `from` may give objects of binder to `to`.
pub fn binder_transfer_binder(from: &Credential, to: &Credential) -> Result {
    let _ = (from, to);
    Ok(())
}

/// Whether `from` may give `file` to `to` by binder.
pub fn binder_transfer_file(from: &Credential, to: &Credential, file: &File) -> Result {
    let _ = (from, to, file);
    Ok(())
}

/// A security module's name for a context. There is never one.
#[derive(Debug)]
pub struct SecurityCtx(Infallible);

impl SecurityCtx {
    /// The context that `secid` stands for. `EOPNOTSUPP`: no module knows any.
    pub fn from_secid(secid: u32) -> Result<Self> {
        let _ = secid;
        Err(EOPNOTSUPP)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self.0 {}
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A mounted file system. Each user who comes has a root of his own on the server, which then acts for him.

use crate::node::{Node, Shared};
use crate::options::{Access, Options, cache};
use kalloc::{Arc, KVec};
use kernel::ext::AliveGuard;
use kernel::filesystem::cred;
use kernel::filesystem::mm::BackingDev;
use kernel::filesystem::vfs::Inode;
use kernel::prelude::*;
use p9net::proto::NONUNAME;
use p9net::{Client, Fid};

/// What is known of a mounted file system.
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    pub(crate) options: Options,
    pub(crate) bdi: Arc<BackingDev>,
    /// Dropped last.
    pub(crate) _alive: AliveGuard,
}

impl Session {
    /// Attributes and names are asked for when they are used.
    pub(crate) fn asks(&self) -> bool {
        !self.options.caches(cache::META | cache::LOOSE)
    }

    /// For whom the current task's requests are, on the server.
    fn user(&self) -> Result<u32> {
        Ok(match self.options.access {
            Access::Any => NONUNAME,
            _ => cred::current_cred()?.fsuid,
        })
    }

    /// The root for `uid`, who has none yet. EPERM: nobody but one may come.
    fn attach(&self, uid: u32) -> Result<Fid> {
        if matches!(self.options.access, Access::Single(_)) {
            return Err(EPERM);
        }
        self.client.attach(&self.options.aname, uid)
    }

    /// `inode` as the server knows it for the current task's user (not to be opened). EPERM; ESTALE if it is where it was no more.
    pub(crate) fn fid(&self, inode: &Inode) -> Result<Arc<Fid>> {
        let uid = self.user()?;
        let shared = &Node::of(inode)?.shared;
        match shared.fid_of(uid) {
            Some(fid) => Ok(fid),
            None => self.find(shared, uid),
        }
    }

    /// Walks to a file for a user who was not there yet, from the next directory above where he was.
    #[cold]
    #[inline(never)]
    fn find(&self, shared: &Arc<Shared>, uid: u32) -> Result<Arc<Fid>> {
        let mut names: KVec<KVec<u8>> = KVec::new();
        let mut at = shared.clone();
        let start = loop {
            if let Some(fid) = at.fid_of(uid) {
                break fid;
            }
            let Some((parent, name)) = at.place()? else {
                let root = at.keep(self.attach(uid)?)?;
                break root;
            };
            names.push(name, GFP_KERNEL)?;
            at = Node::of(&parent)?.shared.clone();
        };
        if names.is_empty() {
            return Ok(start);
        }
        let mut path: KVec<&[u8]> = KVec::with_capacity(names.len(), GFP_KERNEL)?;
        for name in names.iter().rev() {
            path.push(name, GFP_KERNEL)?;
        }
        let found = start.walk(&path).map_err(|error| if error == ENOENT { ESTALE } else { error })?;
        shared.keep(found)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Ways to servers. Lock: `TRANSPORTS` (sleeping), alone.

use crate::request::Request;
use kalloc::{Arc, KVec};
use kernel::ext::{ModuleHeader, ModuleRef, Mutex};
use kernel::filesystem::vfs::hooks::request_module;
use kernel::prelude::*;

/// A connection to a server, used by one client.
pub trait Channel: Send + Sync {
    /// Gives a request to the server; waits for room if there is none. Later, in any context, [`Request::done`] is called, or
    /// [`Request::fail`] if the server is gone. EIO: it is gone already. ERESTARTSYS: a fatal signal came before there was room, and
    /// `killable` was asked for. May sleep.
    fn submit(&self, request: &Arc<Request>, killable: bool) -> Result;

    /// Bytes of the greatest message.
    fn max_message(&self) -> u32;

    /// The client goes: another may have the connection. May sleep.
    fn close(&self);
}

/// A way to servers.
pub trait Transport: Sync {
    /// The name that `trans=` takes.
    fn name(&self) -> &'static str;

    /// The module it is in, which stays from [`Self::connect`] until [`Channel::close`]. The channel itself may be dropped a little later
    /// (RCU): the module's end waits for that.
    fn owner(&self) -> Option<&'static ModuleHeader>;

    /// A connection to the server that `address` names. ENOENT: there is none, EBUSY: somebody has it. May sleep.
    fn connect(&self, address: &[u8]) -> Result<Arc<dyn Channel>>;
}

static TRANSPORTS: Mutex<KVec<&'static dyn Transport>> = Mutex::new(KVec::new());

/// A way to servers is there. ENOMEM.
pub fn register_transport(transport: &'static dyn Transport) -> Result {
    Ok(TRANSPORTS.lock().push(transport, GFP_KERNEL)?)
}

/// It goes. Nobody uses it.
pub fn unregister_transport(transport: &'static dyn Transport) {
    TRANSPORTS.lock().retain(|other| other.name() != transport.name());
}

/// A way to servers that somebody uses: its module stays.
pub struct Way {
    pub(crate) transport: &'static dyn Transport,
    pub(crate) module: ModuleRef,
}

impl Way {
    /// `None`: its module is going.
    fn take(transport: &'static dyn Transport) -> Option<Self> {
        Some(Self { transport, module: ModuleRef::get(transport.owner())? })
    }
}

/// The list's memory goes back: for the module's end, when no way is left.
pub(crate) fn clear() {
    let old = core::mem::take(&mut *TRANSPORTS.lock());
    drop(old);
}

/// The way called `name`, whose module is loaded if need be. May sleep.
pub fn find_transport(name: &str) -> Option<Way> {
    // Its module cannot go between the search and the reference: it would leave the list first.
    let find = || {
        let transports = TRANSPORTS.lock();
        transports.iter().copied().find(|transport| transport.name() == name).and_then(Way::take)
    };
    find().or_else(|| {
        request_module(format_args!("9p-{name}"));
        find()
    })
}

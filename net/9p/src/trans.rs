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

    /// The module it is in.
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

/// A way to servers whose module stays meanwhile.
pub struct TransportRef {
    transport: &'static dyn Transport,
    /// None of the module's code runs when this is dropped.
    _module: ModuleRef,
}

impl TransportRef {
    /// A reference to a way. `None`: its module is going.
    pub(crate) fn of(transport: &'static dyn Transport) -> Option<Self> {
        Some(Self { transport, _module: ModuleRef::get(transport.owner())? })
    }

    /// The way, to be used while this is there.
    pub fn get(&self) -> &dyn Transport {
        self.transport
    }
}

/// The way called `name`, whose module is loaded if need be. May sleep.
pub fn find_transport(name: &str) -> Option<TransportRef> {
    let find = || {
        let transports = TRANSPORTS.lock();
        transports.iter().copied().filter(|transport| transport.name() == name).find_map(TransportRef::of)
    };
    find().or_else(|| {
        request_module(format_args!("9p-{name}"));
        find()
    })
}

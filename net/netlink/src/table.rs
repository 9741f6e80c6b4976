// SPDX-License-Identifier: GPL-2.0
//! The sockets that there are, and messages to them. Lock: `SOCKETS`.

use crate::sock::{Message, NetlinkSocket};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use socket::Ucred;
use sync::Mutex;

static SOCKETS: Mutex<KVec<Arc<NetlinkSocket>>> = Mutex::new(KVec::new());

/// A new socket.
pub(crate) fn add(kind: u32, protocol: u32) -> Result<Arc<NetlinkSocket>> {
    let socket = NetlinkSocket::new(kind, protocol)?;
    SOCKETS.lock().push(socket.clone(), GFP_KERNEL)?;
    Ok(socket)
}

/// Forgets a socket whose file is closed.
pub(crate) fn remove(socket: &NetlinkSocket) {
    let mut sockets = SOCKETS.lock();
    let at = sockets.iter().position(|other| core::ptr::eq(&**other, socket));
    let gone = at.and_then(|at| sockets.remove(at).ok());
    drop(sockets);
    // What waited in its queue goes outside of the lock.
    drop(gone);
}

/// Gives `socket` the address `wanted`; 0: the process's number, or a free one. `EADDRINUSE`, `EINVAL` if it has another one.
pub(crate) fn bind(socket: &NetlinkSocket, wanted: u32) -> Result {
    let sockets = SOCKETS.lock();
    match socket.port() {
        0 => {}
        port if wanted == 0 || wanted == port => return Ok(()),
        _ => return Err(EINVAL),
    }
    let taken = |port: u32| sockets.iter().any(|other| other.port() == port);
    if wanted != 0 {
        if taken(wanted) {
            return Err(EADDRINUSE);
        }
        socket.set_port(wanted);
        return Ok(());
    }
    let own = vfs::hooks::current_name().own();
    // Then from -4097 down, as Linux's start is.
    let mut others = (0..=u32::MAX - 4096).rev();
    let port = if own != 0 && !taken(own) { Some(own) } else { others.find(|&port| port != 0 && !taken(port)) };
    socket.set_port(port.ok_or(EADDRINUSE)?);
    Ok(())
}

/// Sends `data` to all sockets of a group (counted from 1) but `except`. `ENOBUFS` if some of them had no room.
pub(crate) fn broadcast(
    data: KVec<u8>,
    group: u32,
    from: u32,
    sender: Ucred,
    except: Option<&NetlinkSocket>,
) -> Result {
    let data = Arc::new(data, GFP_KERNEL).map_err(|_| ENOBUFS).inspect_err(|_| lost(group))?;
    let mut result = Ok(());
    for socket in SOCKETS.lock().iter() {
        let itself = except.is_some_and(|except| core::ptr::eq(except, &**socket));
        if !itself && socket.is_member(group) {
            let message = Message { data: data.clone(), sender: sender.clone(), from, group };
            if !socket.deliver(message) {
                result = Err(ENOBUFS);
            }
        }
    }
    result
}

/// A message to a group is lost before it could be sent.
pub(crate) fn lost(group: u32) {
    SOCKETS.lock().iter().filter(|socket| socket.is_member(group)).for_each(|socket| socket.overrun());
}

/// Sends `data` to the socket at `port`. `ECONNREFUSED`, `EAGAIN` (no room).
pub(crate) fn unicast(data: KVec<u8>, port: u32, from: u32, sender: Ucred) -> Result {
    let data = Arc::new(data, GFP_KERNEL)?;
    let to = SOCKETS.lock().iter().find(|socket| socket.port() == port).cloned().ok_or(ECONNREFUSED)?;
    if to.deliver(Message { data, sender, from, group: 0 }) { Ok(()) } else { Err(EAGAIN) }
}

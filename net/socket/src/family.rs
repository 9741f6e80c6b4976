// SPDX-License-Identifier: GPL-2.0
//! What a protocol family implements, and the table of families. Locks: a spin lock around the short table.

use crate::address::SockAddr;
use crate::message::{Recv, Send as SendMessage, Ucred};
use crate::options::Options;
use core::any::Any;
use cred::GroupInfo;
use errno::{Result, code::*};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
use locking::SpinLock;
use vfs::{FasyncList, PollMask, PollTable};

/// A socket. All may sleep but `poll`. Defaults answer as Linux does where the operation is missing.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait Socket: Any + Send + Sync {
    /// `AF_*`.
    fn family(&self) -> u16;
    /// `SOCK_*`.
    fn kind(&self) -> u32;
    /// Protocol number.
    fn protocol(&self) -> u32 {
        0
    }
    /// The options all sockets have.
    fn options(&self) -> &Options;
    /// Gives it an address.
    fn bind(&self, address: &SockAddr) -> Result {
        Err(EOPNOTSUPP)
    }
    /// Connects to an address.
    fn connect(&self, address: &SockAddr, nonblock: bool) -> Result {
        Err(EOPNOTSUPP)
    }
    /// Takes connections from now on.
    fn listen(&self, backlog: i32) -> Result {
        Err(EOPNOTSUPP)
    }
    /// The next connection.
    fn accept(&self, nonblock: bool) -> Result<Arc<dyn Socket>> {
        Err(EOPNOTSUPP)
    }
    /// Whether it listens (`SO_ACCEPTCONN`).
    fn is_listening(&self) -> bool {
        false
    }
    /// Its own address.
    fn name(&self) -> Result<SockAddr>;
    /// The other side's address. `ENOTCONN`.
    fn peer_name(&self) -> Result<SockAddr> {
        Err(ENOTCONN)
    }
    /// Who is on the other side (`SO_PEERCRED`).
    fn peer_credentials(&self) -> Ucred {
        Ucred::NOBODY
    }
    /// The groups of who is on the other side (`SO_PEERGROUPS`). `ENODATA` if nobody is known.
    fn peer_groups(&self) -> Result<Option<Arc<GroupInfo>>> {
        Err(ENODATA)
    }
    /// Whether `MSG_PEEK` can look elsewhere than at the first byte (`SO_PEEK_OFF`).
    fn has_peek_offset(&self) -> bool {
        false
    }
    /// What is said before the control part of a message is looked at.
    fn may_send(&self) -> Result {
        Ok(())
    }
    /// Sends a message; how many bytes went.
    fn send(&self, message: &mut SendMessage<'_, '_>) -> Result<usize>;
    /// Receives a message; how many bytes came.
    fn receive(&self, message: &mut Recv<'_, '_>) -> Result<usize>;
    /// Ends one direction or both (`SHUT_*`).
    fn shutdown(&self, how: u32) -> Result {
        Err(EOPNOTSUPP)
    }
    /// Who wants `SIGIO`.
    fn fasync(&self) -> &FasyncList;
    /// What is ready.
    fn poll(&self, table: &mut PollTable) -> PollMask;
    /// Requests of its own.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<usize> {
        Err(ENOTTY)
    }
    /// An option of its own level. `ENOPROTOOPT`.
    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result {
        Err(EOPNOTSUPP)
    }
    /// An option of its own level, appended to `out`.
    fn get_option(&self, level: u32, name: u32, out: &mut KVec<u8>) -> Result {
        Err(EOPNOTSUPP)
    }
    /// The error that came meanwhile, taken away (`SO_ERROR`); 0 if none.
    fn take_error(&self) -> i32 {
        0
    }
    /// The file is closed.
    fn release(&self);
}

/// A protocol family.
pub trait Family: Sync {
    /// `AF_*`.
    fn number(&self) -> u16;
    /// A new socket. `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`.
    fn create(&self, kind: u32, protocol: u32) -> Result<Arc<dyn Socket>>;
    /// Two sockets connected with each other.
    fn pair(&self, _kind: u32, _protocol: u32) -> Result<[Arc<dyn Socket>; 2]> {
        Err(EOPNOTSUPP)
    }
}

static FAMILIES: SpinLock<KVec<&'static dyn Family>> = SpinLock::new(KVec::new());

/// Makes a family known. `EEXIST`.
pub fn register_family(family: &'static dyn Family) -> Result {
    let mut families = FAMILIES.lock();
    if families.iter().any(|other| other.number() == family.number()) {
        return Err(EEXIST);
    }
    Ok(families.push(family, GFP_ATOMIC)?)
}

pub(crate) fn find(number: u32) -> Result<&'static dyn Family> {
    let families = FAMILIES.lock();
    families.iter().copied().find(|family| u32::from(family.number()) == number).ok_or(EAFNOSUPPORT)
}

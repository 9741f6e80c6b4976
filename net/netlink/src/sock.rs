// SPDX-License-Identifier: GPL-2.0
//! The socket itself.

use crate::{AF_NETLINK, table};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use cred::{CAP_NET_ADMIN, capable};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::SpinLock;
use socket::options::flag;
use socket::{Options, Recv, Send, SockAddr, Socket, Ucred};
use sync::wait::WaitQueue;
use sync::{PollMask, PollTable};
use uapi::{MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOL_NETLINK};
use vfs::FasyncList;

// Options of the level SOL_NETLINK (linux/netlink.h).
const NETLINK_ADD_MEMBERSHIP: u32 = 1;
const NETLINK_DROP_MEMBERSHIP: u32 = 2;
const NETLINK_NO_ENOBUFS: u32 = 5;
const NETLINK_LIST_MEMBERSHIPS: u32 = 9;
/// Bytes that each waiting message counts for beside its own.
const OVERHEAD: usize = 256;

/// A message in a socket's queue.
pub(crate) struct Message {
    pub(crate) data: Arc<KVec<u8>>,
    pub(crate) sender: Ucred,
    /// The sender's address; 0 for the kernel.
    pub(crate) from: u32,
    /// The group it went to, counted from 1; 0 for none.
    pub(crate) group: u32,
}

impl Message {
    fn cost(&self) -> usize {
        self.data.len().saturating_add(OVERHEAD)
    }
}

/// Messages in two parts, so that none moves for each that is taken: a reader may allow many.
struct Queue {
    /// The oldest, the first one last.
    old: KVec<Message>,
    /// What came since.
    new: KVec<Message>,
    bytes: usize,
}

impl Queue {
    const fn new() -> Self {
        Self { old: KVec::new(), new: KVec::new(), bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.old.is_empty() && self.new.is_empty()
    }

    fn first(&self) -> Option<&Message> {
        self.old.last().or(self.new.first())
    }

    fn pop(&mut self) -> Option<Message> {
        if self.old.is_empty() {
            core::mem::swap(&mut self.old, &mut self.new);
            self.old.reverse();
        }
        let first = self.old.pop()?;
        self.bytes = self.bytes.saturating_sub(first.cost());
        Some(first)
    }
}

/// A netlink socket.
pub(crate) struct NetlinkSocket {
    kind: u32,
    protocol: u32,
    options: Options,
    /// Its address; 0 before it has one.
    port: AtomicU32,
    /// Bit `n`: it is in group `n + 1`.
    groups: AtomicU32,
    /// Where it is connected to: address, the bit of a group.
    peer: SpinLock<(u32, u32)>,
    queue: SpinLock<Queue>,
    readers: Arc<WaitQueue>,
    fasync: FasyncList,
    error: AtomicI32,
    no_enobufs: AtomicBool,
}

/// Address and groups of a `struct sockaddr_nl`. `EINVAL`.
fn parse(address: &SockAddr) -> Result<(u32, u32)> {
    let [f0, f1, _, _, p0, p1, p2, p3, g0, g1, g2, g3] = *address.as_bytes().first_chunk::<12>().ok_or(EINVAL)?;
    if u16::from_ne_bytes([f0, f1]) != AF_NETLINK {
        return Err(EINVAL);
    }
    Ok((u32::from_ne_bytes([p0, p1, p2, p3]), u32::from_ne_bytes([g0, g1, g2, g3])))
}

fn address(port: u32, groups: u32) -> SockAddr {
    let mut bytes = [0; 12];
    let parts =
        AF_NETLINK.to_ne_bytes().into_iter().chain([0; 2]).chain(port.to_ne_bytes()).chain(groups.to_ne_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    SockAddr::new(&bytes)
}

/// The bit of a group that is counted from 1.
fn bit(group: u32) -> u32 {
    group.checked_sub(1).and_then(|shift| 1u32.checked_shl(shift)).unwrap_or(0)
}

impl NetlinkSocket {
    pub(crate) fn new(kind: u32, protocol: u32) -> Result<Arc<Self>> {
        let readers = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        let socket = Self {
            kind,
            protocol,
            options: Options::new(),
            port: AtomicU32::new(0),
            groups: AtomicU32::new(0),
            peer: SpinLock::new((0, 0)),
            queue: SpinLock::new(Queue::new()),
            readers,
            fasync: FasyncList::new(),
            error: AtomicI32::new(0),
            no_enobufs: AtomicBool::new(false),
        };
        Ok(Arc::new(socket, GFP_KERNEL)?)
    }

    pub(crate) fn port(&self) -> u32 {
        self.port.load(Ordering::Acquire)
    }

    pub(crate) fn set_port(&self, port: u32) {
        self.port.store(port, Ordering::Release);
    }

    pub(crate) fn is_member(&self, group: u32) -> bool {
        self.groups.load(Ordering::Acquire) & bit(group) != 0
    }

    /// A message for it was lost: it learns of it, if it wants to.
    pub(crate) fn overrun(&self) {
        if !self.no_enobufs.load(Ordering::Relaxed) {
            self.error.store(ENOBUFS.to_errno().saturating_neg(), Ordering::Release);
            self.readers.wake_up_poll(PollMask::ERR);
        }
    }

    /// Puts a message into its queue; false: there is no room.
    pub(crate) fn deliver(&self, message: Message) -> bool {
        let cost = message.cost();
        let limit = self.options.rcvbuf.load(Ordering::Relaxed) as usize;
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(cost);
        let fits = bytes <= limit && queue.new.push(message, GFP_ATOMIC).is_ok();
        if fits {
            queue.bytes = bytes;
        }
        drop(queue);
        if fits {
            self.readers.wake_up_poll(PollMask::IN | PollMask::RDNORM);
            self.fasync.kill(uapi::POLL_IN);
        } else {
            self.overrun();
        }
        fits
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// The first message, which stays in the queue if `peek`.
    fn next(&self, peek: bool) -> Option<Message> {
        let mut queue = self.queue.lock();
        if peek {
            let first = queue.first()?;
            return Some(Message {
                data: first.data.clone(),
                sender: first.sender.clone(),
                from: first.from,
                group: first.group,
            });
        }
        queue.pop()
    }

    fn check_error(&self) -> Result {
        match self.take_error() {
            0 => Ok(()),
            error => Err(errno::Error::from_errno(error.saturating_neg())),
        }
    }
}

impl Socket for NetlinkSocket {
    fn family(&self) -> u16 {
        AF_NETLINK
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn protocol(&self) -> u32 {
        self.protocol
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn fasync(&self) -> &FasyncList {
        &self.fasync
    }

    fn bind(&self, address: &SockAddr) -> Result {
        let (port, groups) = parse(address)?;
        // An address once given stays, and 0 does not mean it.
        if self.port() != 0 && port != self.port() {
            return Err(EINVAL);
        }
        table::bind(self, port)?;
        self.groups.store(groups, Ordering::Release);
        Ok(())
    }

    fn connect(&self, address: &SockAddr, _: bool) -> Result {
        if address.family() == Some(uapi::AF_UNSPEC as u16) {
            *self.peer.lock() = (0, 0);
            return Ok(());
        }
        let (port, groups) = parse(address)?;
        if (port != 0 || groups != 0) && !capable(CAP_NET_ADMIN) {
            return Err(EPERM);
        }
        table::bind(self, 0)?;
        // One group only, the lowest.
        *self.peer.lock() = (port, groups & groups.wrapping_neg());
        Ok(())
    }

    fn name(&self) -> Result<SockAddr> {
        Ok(address(self.port(), self.groups.load(Ordering::Acquire)))
    }

    fn peer_name(&self) -> Result<SockAddr> {
        let (port, groups) = *self.peer.lock();
        Ok(address(port, groups))
    }

    /// To one group, or to one socket. What goes to the kernel alone is no event that it takes (`EOPNOTSUPP`).
    fn send(&self, message: &mut Send<'_, '_>) -> Result<usize> {
        if message.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let (port, groups) = match message.to.filter(|to| !to.is_empty()) {
            Some(to) => parse(to)?,
            None => *self.peer.lock(),
        };
        if (port != 0 || groups != 0) && !capable(CAP_NET_ADMIN) {
            return Err(EPERM);
        }
        table::bind(self, 0)?;
        let len = message.data.count();
        if len > (self.options.sndbuf.load(Ordering::Relaxed) as usize).saturating_sub(32) {
            return Err(EMSGSIZE);
        }
        let sender = match message.control.credentials.take() {
            Some(said) => said,
            None => Ucred::real()?,
        };
        let mut data = KVec::from_elem(0u8, len, GFP_KERNEL)?;
        message.data.copy_from_iter_full(&mut data)?;
        if groups != 0 {
            // The lowest one only; who had no room learns of it; the sender does not.
            let group = groups.trailing_zeros().saturating_add(1);
            let _ = table::broadcast(data, group, self.port(), sender, Some(self));
            return Ok(len);
        }
        if port == 0 {
            return Err(EOPNOTSUPP);
        }
        table::unicast(data, port, self.port(), sender).map(|()| len)
    }

    fn receive(&self, message: &mut Recv<'_, '_>) -> Result<usize> {
        if message.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let deadline = Options::deadline(&self.options.rcvtimeo);
        let packet = loop {
            self.check_error()?;
            if let Some(packet) = self.next(message.flags & MSG_PEEK != 0) {
                break packet;
            }
            if message.flags & MSG_DONTWAIT != 0 {
                return Err(EAGAIN);
            }
            let ready = || !self.is_empty() || self.error.load(Ordering::Acquire) != 0;
            if !self.readers.wait_interruptible_deadline(deadline, ready)? {
                return Err(EAGAIN);
            }
        };
        let len = packet.data.len();
        let want = len.min(message.data.count());
        if message.data.copy_to_iter(packet.data.get(..want).unwrap_or(&[])) < want {
            return Err(EFAULT);
        }
        message.from = address(packet.from, bit(packet.group));
        if self.options.has(flag::PASSCRED) {
            message.control.credentials = Some(packet.sender);
        }
        if len > want {
            message.out_flags |= MSG_TRUNC;
        }
        Ok(if message.flags & MSG_TRUNC != 0 { len } else { want })
    }

    fn poll(&self, table: &mut PollTable) -> PollMask {
        table.add(&self.readers);
        let mut mask = PollMask::OUT | PollMask::WRNORM | PollMask::WRBAND;
        if self.error.load(Ordering::Acquire) != 0 {
            mask |= PollMask::ERR;
        }
        if !self.is_empty() {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        mask
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result {
        if level != SOL_NETLINK {
            return Err(ENOPROTOOPT);
        }
        let value = u32::from_ne_bytes(*value.first_chunk::<4>().ok_or(EINVAL)?);
        match name {
            NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
                let bit = Some(bit(value)).filter(|&bit| bit != 0).ok_or(EINVAL)?;
                if name == NETLINK_ADD_MEMBERSHIP {
                    self.groups.fetch_or(bit, Ordering::AcqRel);
                } else {
                    self.groups.fetch_and(!bit, Ordering::AcqRel);
                }
            }
            NETLINK_NO_ENOBUFS => self.no_enobufs.store(value != 0, Ordering::Relaxed),
            _ => return Err(ENOPROTOOPT),
        }
        Ok(())
    }

    fn get_option(&self, level: u32, name: u32, out: &mut KVec<u8>) -> Result {
        let value = match (level, name) {
            (SOL_NETLINK, NETLINK_NO_ENOBUFS) => self.no_enobufs.load(Ordering::Relaxed).into(),
            (SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS) => self.groups.load(Ordering::Acquire),
            _ => return Err(ENOPROTOOPT),
        };
        Ok(out.extend_from_slice(&value.to_ne_bytes(), GFP_KERNEL)?)
    }

    fn take_error(&self) -> i32 {
        self.error.swap(0, Ordering::AcqRel)
    }

    fn release(&self) {
        table::remove(self);
    }
}

#[macros::kunit_tests(netlink)]
mod tests {
    use super::*;

    fn message(group: u32, len: usize) -> Option<Message> {
        let data = Arc::new(KVec::from_elem(7u8, len, GFP_KERNEL).ok()?, GFP_KERNEL).ok()?;
        Some(Message { data, sender: Ucred::KERNEL, from: 0, group })
    }

    #[test]
    fn addresses() {
        assert_eq!(parse(&address(5, 2)), Ok((5, 2)));
        assert_eq!(parse(&SockAddr::new(&[16, 0, 0, 0])), Err(EINVAL));
        assert_eq!(parse(&SockAddr::new(&[1; 12])), Err(EINVAL));
        assert_eq!((bit(0), bit(1), bit(32), bit(33)), (0, 1, 1 << 31, 0));
    }

    #[test]
    fn a_full_queue_says_so() {
        let Ok(socket) = NetlinkSocket::new(uapi::SOCK_RAW, crate::KOBJECT_UEVENT) else { return };
        let mut count = 0;
        while let Some(message) = message(1, 10_000)
            && socket.deliver(message)
        {
            count += 1;
        }
        assert_eq!(count, socket::options::BUFFER as usize / (10_000 + OVERHEAD));
        assert_eq!(socket.take_error(), -ENOBUFS.to_errno());
        assert_eq!(socket.next(true).map(|message| message.group), Some(1));
        let mut taken = 0;
        while socket.next(false).is_some() {
            taken += 1;
        }
        assert_eq!((taken, socket.is_empty(), socket.queue.lock().bytes), (count, true, 0));
    }

    #[test]
    fn messages_come_in_order() {
        let Ok(socket) = NetlinkSocket::new(uapi::SOCK_RAW, crate::KOBJECT_UEVENT) else { return };
        let put = |group| message(group, 10).is_some_and(|message| socket.deliver(message));
        let take = |peek| socket.next(peek).map(|message| message.group);
        assert_eq!((put(1), put(2), put(3)), (true, true, true));
        assert_eq!((take(true), take(false)), (Some(1), Some(1)));
        assert_eq!((put(4), take(true), take(false)), (true, Some(2), Some(2)));
        assert_eq!((take(false), take(true), take(false), take(false)), (Some(3), Some(4), Some(4), None));
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Addresses: a path, an abstract name (that begins with a NUL), or none. Who is bound to which.
//!
//! Locks: `TABLE` (spin), taken alone.

use crate::sock::{AF_UNIX, UnixSocket};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use socket::SockAddr;
use vfs::namei::{PathName, Start, create, lflag, walk::lookup_path};
use vfs::perm::{MAY_WRITE, inode_permission};
use vfs::{FileType, Path};

/// Longest path in an address.
const PATH_LEN: usize = 108;

/// What an address says.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Choose an abstract name (autobind).
    Any,
    /// A path in the file system.
    Path(&'a [u8]),
    /// An abstract name: the whole address counts.
    Abstract,
}

/// Reads an address. `EINVAL`.
pub(crate) fn parse(address: &SockAddr) -> Result<Wanted<'_>> {
    let bytes = address.as_bytes();
    if address.family() != Some(AF_UNIX) || bytes.len() > PATH_LEN + 2 {
        return Err(EINVAL);
    }
    let name = bytes.get(2..).unwrap_or(&[]);
    match name.first() {
        None => Ok(Wanted::Any),
        Some(0) => Ok(Wanted::Abstract),
        Some(_) => {
            let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            Ok(Wanted::Path(name.get(..len).unwrap_or(name)))
        }
    }
}

/// What a socket is bound to.
#[derive(Clone)]
pub(crate) struct Bound {
    /// The address as it was given.
    pub(crate) address: SockAddr,
    /// The place of a path; kept so that the inode's address, by which it is found, stays its own.
    place: Option<Path>,
}

impl Bound {
    /// The socket is closed: it is found no more, but has its address as long as somebody can ask.
    pub(crate) fn leave_place(&mut self) -> Option<Path> {
        self.place.take()
    }
}

struct Entry {
    /// Address of the inode, or 0 for an abstract name.
    inode: usize,
    address: SockAddr,
    kind: u32,
    socket: WeakArc<UnixSocket>,
}

static TABLE: SpinLock<KVec<Entry>> = SpinLock::new(KVec::new());

fn inode_key(path: &Path) -> Result<usize> {
    Ok(Arc::as_ptr(path.inode()?).addr())
}

fn enter(entry: Entry) -> Result {
    let mut table = TABLE.lock();
    if entry.inode == 0 && table.iter().any(|other| same_abstract(other, entry.address.as_bytes(), entry.kind)) {
        return Err(EADDRINUSE);
    }
    Ok(table.push(entry, GFP_ATOMIC)?)
}

fn same_abstract(entry: &Entry, address: &[u8], kind: u32) -> bool {
    entry.inode == 0 && entry.kind == kind && entry.address.as_bytes() == address
}

/// Binds `socket` to what `address` says. `EADDRINUSE`, and those of making a file. May sleep.
pub(crate) fn bind(socket: &Arc<UnixSocket>, address: &SockAddr) -> Result<Bound> {
    let kind = socket.type_number();
    match parse(address)? {
        Wanted::Any => autobind(socket),
        Wanted::Abstract => {
            enter(Entry { inode: 0, address: *address, kind, socket: Arc::downgrade(socket) })?;
            Ok(Bound { address: *address, place: None })
        }
        Wanted::Path(text) => {
            let name = PathName::from_bytes(text)?;
            let path = create::mksock(Start::Cwd, &name, 0o777).map_err(|error| match error {
                EEXIST => EADDRINUSE,
                error => error,
            })?;
            let inode = inode_key(&path)?;
            let mut full = [0; PATH_LEN + 3];
            // The shown address ends with a NUL.
            let len = 2 + text.len() + 1;
            for (to, from) in full.iter_mut().zip(AF_UNIX.to_ne_bytes().iter().chain(text)) {
                *to = *from;
            }
            let address = SockAddr::new(full.get(..len).unwrap_or(&full));
            enter(Entry { inode, address, kind, socket: Arc::downgrade(socket) })?;
            Ok(Bound { address, place: Some(path) })
        }
    }
}

/// Why a socket that has a name cannot get another: a path is tried first, so one that is taken is told.
pub(crate) fn error_of_second_bind(address: &SockAddr) -> Error {
    let Ok(Wanted::Path(text)) = parse(address) else { return EINVAL };
    let taken = PathName::from_bytes(text).and_then(|name| lookup_path(Start::Cwd, &name, 0));
    match taken {
        Ok(_) => EADDRINUSE,
        // The name could be made there.
        Err(ENOENT) if parent_is_there(text) => EINVAL,
        Err(error) => error,
    }
}

/// Whether the directory that `text` is to be in exists.
fn parent_is_there(text: &[u8]) -> bool {
    let parent = match text.iter().rposition(|&byte| byte == b'/') {
        None => b".".as_slice(),
        Some(0) => b"/".as_slice(),
        Some(at) => text.get(..at).unwrap_or(b"."),
    };
    PathName::from_bytes(parent).and_then(|name| lookup_path(Start::Cwd, &name, lflag::FOLLOW)).is_ok()
}

/// A free abstract name of five hexadecimal digits.
pub(crate) fn autobind(socket: &Arc<UnixSocket>) -> Result<Bound> {
    static NEXT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(1);
    for _ in 0..1 << 20 {
        let number = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed) & 0xf_ffff;
        let mut bytes = [0; 8];
        let [family @ .., _, d4, d3, d2, d1, d0] = &mut bytes;
        for (to, from) in family.iter_mut().zip(AF_UNIX.to_ne_bytes()) {
            *to = from;
        }
        for (shift, digit) in [d0, d1, d2, d3, d4].into_iter().enumerate() {
            *digit = b"0123456789abcdef".get((number >> (shift * 4)) as usize & 15).copied().unwrap_or(b'0');
        }
        let address = SockAddr::new(&bytes);
        let entry = Entry { inode: 0, address, kind: socket.type_number(), socket: Arc::downgrade(socket) };
        match enter(entry) {
            Ok(()) => return Ok(Bound { address, place: None }),
            Err(EADDRINUSE) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ENOSPC)
}

/// Takes `socket`'s name away: it is closed.
pub(crate) fn unbind(socket: &UnixSocket) {
    let gone = {
        let mut table = TABLE.lock();
        let index = table.iter().position(|entry| core::ptr::eq(entry.socket_ptr(), socket));
        index.map(|index| table.swap_remove(index))
    };
    drop(gone);
}

impl Entry {
    fn socket_ptr(&self) -> *const UnixSocket {
        self.socket.as_ptr()
    }
}

/// Who is bound to `address`, for a socket of type `kind`. `ECONNREFUSED`, `EPROTOTYPE`, `EACCES` and those of a walk. May
/// sleep.
pub(crate) fn find(address: &SockAddr, kind: u32) -> Result<Arc<UnixSocket>> {
    match parse(address)? {
        Wanted::Any => Err(EINVAL),
        Wanted::Abstract => {
            let table = TABLE.lock();
            let entry = table.iter().find(|entry| same_abstract(entry, address.as_bytes(), kind));
            entry.and_then(|entry| entry.socket.upgrade()).ok_or(ECONNREFUSED)
        }
        Wanted::Path(text) => {
            let name = PathName::from_bytes(text)?;
            let path = lookup_path(Start::Cwd, &name, lflag::FOLLOW)?;
            let inode = path.inode()?;
            inode_permission(inode, MAY_WRITE)?;
            if inode.file_type() != FileType::Sock {
                return Err(ECONNREFUSED);
            }
            let key = inode_key(&path)?;
            let found = {
                let table = TABLE.lock();
                table.iter().find(|entry| entry.inode == key).and_then(|entry| entry.socket.upgrade())
            };
            let found = found.ok_or(ECONNREFUSED)?;
            if found.type_number() != kind { Err(EPROTOTYPE) } else { Ok(found) }
        }
    }
}

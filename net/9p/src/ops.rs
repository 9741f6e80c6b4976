// SPDX-License-Identifier: GPL-2.0
//! What can be asked of a fid. All may sleep, and give the server's error, or those of [`Client::call`].

use crate::client::{Client, Failed, Fate};
use crate::data::{Piece, bytes_of, pages_for, pieces_of, total};
use crate::fid::Fid;
use crate::request::Data;
use kalloc::{Arc, KVec};
use kernel::prelude::*;
use p9_proto::{
    Attributes, FileLock, GotLock, MAX_WALK, Message, NONUNAME, NewAttributes, Qid, Reader, StatFs, answer, kind, lock,
    request,
};

/// Bytes of the longest path that a link can have.
const PATH_MAX: usize = 4096;

impl Client {
    /// The root of tree `aname` for user `uid`.
    pub fn attach(self: &Arc<Self>, aname: &[u8], uid: u32) -> Result<Fid> {
        self.attach_by(b"", aname, uid, uid)
    }

    /// The root of tree `aname` for the user called `uname`, whose requests count as those of `uid` here.
    pub fn attach_as(self: &Arc<Self>, uname: &[u8], aname: &[u8], uid: u32) -> Result<Fid> {
        self.attach_by(uname, aname, NONUNAME, uid)
    }

    fn attach_by(self: &Arc<Self>, uname: &[u8], aname: &[u8], number: u32, uid: u32) -> Result<Fid> {
        let mut fid = Fid::new(self, uid)?;
        let message = request::attach(fid.number(), uname, aname, number);
        let body = introduce(&mut fid, |client| client.ask(message, 13))?;
        fid.qid = answer::qid(&body)?;
        Ok(fid)
    }

    /// Sends a message without data. What follows the answer's frame.
    fn ask(&self, message: Message, room: usize) -> Result<KVec<u8>, Failed> {
        Ok(self.call(message, room, Data::None)?.0.body)
    }
}

/// Sends what makes a fid known to the server.
fn introduce<R>(fid: &mut Fid, send: impl FnOnce(&Client) -> Result<R, Failed>) -> Result<R> {
    let client = fid.client().clone();
    let result = send(&client);
    match &result {
        // The server may have done it before it gave the request up, or said nonsense.
        Ok(_) | Err(Failed { fate: Fate::Unknown, .. }) => fid.born(),
        Err(_) => {}
    }
    Ok(result?)
}

impl Fid {
    fn ask(&self, message: Message, room: usize) -> Result<KVec<u8>, Failed> {
        self.client().ask(message, room)
    }

    fn walk_step(&self, names: &[&[u8]]) -> Result<Fid> {
        let mut new = Fid::new(self.client(), self.uid())?;
        let message = request::walk(self.number(), new.number(), names.iter().copied());
        let body = introduce(&mut new, |client| client.ask(message, 2 + 13 * MAX_WALK))?;
        let (last, count) = answer::walked(&body, names.len())?;
        if count != names.len() {
            // The server did not take the number.
            new.gone();
            return Err(ENOENT);
        }
        new.qid = last.unwrap_or(self.qid);
        Ok(new)
    }

    /// What `names` lead to from here; without names the same file again. ENOENT.
    pub fn walk(&self, names: &[&[u8]]) -> Result<Fid> {
        let (first, mut rest) = self.front(names);
        let mut at = self.walk_step(first)?;
        while !rest.is_empty() {
            let (next, others) = self.front(rest);
            at = at.walk_step(next)?;
            rest = others;
        }
        Ok(at)
    }

    /// Splits off as many of `names` as go into one message, which is at least one.
    fn front<'a, 'b>(&self, names: &'a [&'b [u8]]) -> (&'a [&'b [u8]], &'a [&'b [u8]]) {
        let most = self.client().max_data() as usize;
        let mut bytes = 0;
        let fits = names.iter().take(MAX_WALK).take_while(|name| {
            bytes += 2 + name.len();
            bytes <= most
        });
        names.split_at(fits.count().max(1).min(names.len()))
    }

    /// Opens it (`flags` in the protocol's numbers, which are those of `O_*` on most machines).
    pub fn open(mut self, flags: u32) -> Result<Fid> {
        let body = self.ask(request::lopen(self.number(), flags), 17)?;
        (self.qid, self.iounit) = answer::opened(&body)?;
        Ok(self)
    }

    /// Makes file `name` in this directory and becomes it, open.
    pub fn create(mut self, name: &[u8], flags: u32, mode: u32, gid: u32) -> Result<Fid> {
        let body = self.ask(request::lcreate(self.number(), name, flags, mode, gid), 17)?;
        (self.qid, self.iounit) = answer::opened(&body)?;
        Ok(self)
    }

    /// Makes a symbolic link in this directory.
    pub fn symlink(&self, name: &[u8], target: &[u8], gid: u32) -> Result<Qid> {
        answer::qid(&self.ask(request::symlink(self.number(), name, target, gid), 13)?)
    }

    /// Makes a device, FIFO or socket in this directory.
    pub fn mknod(&self, name: &[u8], mode: u32, device: (u32, u32), gid: u32) -> Result<Qid> {
        answer::qid(&self.ask(request::mknod(self.number(), name, mode, device, gid), 13)?)
    }

    /// Makes a directory in this one.
    pub fn mkdir(&self, name: &[u8], mode: u32, gid: u32) -> Result<Qid> {
        answer::qid(&self.ask(request::mkdir(self.number(), name, mode, gid), 13)?)
    }

    /// A further name of `file`, in this directory.
    pub fn link(&self, name: &[u8], file: &Fid) -> Result {
        self.ask(request::link(self.number(), file.number(), name), 0)?;
        Ok(())
    }

    /// Moves entry `name` of this directory to `new_dir`. EOPNOTSUPP: the server does not know this message.
    pub fn rename_at(&self, name: &[u8], new_dir: &Fid, new_name: &[u8]) -> Result {
        self.ask(request::renameat(self.number(), name, new_dir.number(), new_name), 0)?;
        Ok(())
    }

    /// Moves this file to `new_dir`.
    pub fn rename(&self, new_dir: &Fid, new_name: &[u8]) -> Result {
        self.ask(request::rename(self.number(), new_dir.number(), new_name), 0)?;
        Ok(())
    }

    /// Removes entry `name` of this directory (`AT_REMOVEDIR`: which is one).
    pub fn unlink_at(&self, name: &[u8], flags: u32) -> Result {
        self.ask(request::unlinkat(self.number(), name, flags), 0)?;
        Ok(())
    }

    /// Removes this file. The fid is gone, whatever the server says.
    pub fn remove(self) -> Result {
        self.last(kind::TREMOVE)
    }

    /// Sends what ends a fid for the server, be the answer yes or no. Its number stays taken if it is not known whether the server saw
    /// that: then it is given back once more, and another file gets the number after the answer to that.
    fn last(mut self, kind: u8) -> Result {
        let result = self.ask(request::simple(kind, self.number()), 0);
        match &result {
            Ok(_) | Err(Failed { fate: Fate::Refused, .. }) => self.gone(),
            Err(_) => {}
        }
        Ok(result.map(drop)?)
    }

    /// Its attributes.
    pub fn attributes(&self, mask: u64) -> Result<Attributes> {
        Attributes::read(&self.ask(request::getattr(self.number(), mask), 153)?)
    }

    /// Changes its attributes.
    pub fn set_attributes(&self, new: &NewAttributes) -> Result {
        self.ask(request::setattr(self.number(), new), 0)?;
        Ok(())
    }

    /// Counts of its file system.
    pub fn statfs(&self) -> Result<StatFs> {
        StatFs::read(&self.ask(request::simple(kind::TSTATFS, self.number()), 60)?)
    }

    /// Where this symbolic link leads.
    pub fn readlink(&self) -> Result<KVec<u8>> {
        let body = self.ask(request::simple(kind::TREADLINK, self.number()), 2 + PATH_MAX)?;
        let target = Reader::new(&body).string()?;
        Ok(KVec::from_slice(target, GFP_KERNEL)?)
    }

    /// Its extended attribute `name`, or the list of all for an empty name, to be read, and how long that is.
    pub fn xattr_walk(&self, name: &[u8]) -> Result<(Fid, u64)> {
        let mut new = Fid::new(self.client(), self.uid())?;
        let message = request::xattrwalk(self.number(), new.number(), name);
        let body = introduce(&mut new, |client| client.ask(message, 8))?;
        let size = Reader::new(&body).take_u64()?;
        Ok((new, size))
    }

    /// Sets extended attribute `name` to `value`, or removes it (`None`). The fid is used up.
    pub fn set_xattr(self, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        let value = value.unwrap_or(&[]);
        self.ask(request::xattrcreate(self.number(), name, value.len() as u64, flags), 0)?;
        let written = self.write_all(0, value);
        // It is set now.
        let clunked = self.clunk();
        written.and(clunked)
    }

    /// Most bytes that it is read or written by at once.
    pub fn max_io(&self) -> u32 {
        let most = self.client().max_data();
        if self.iounit == 0 { most } else { most.min(self.iounit) }
    }

    fn read_kind(&self, kind: u8, offset: u64, data: KVec<Piece>) -> Result<(usize, KVec<Piece>)> {
        let wanted = u32::try_from(total(&data))?;
        if wanted > self.client().max_data() {
            return Err(EINVAL);
        }
        // The request has the pages until nobody writes to them any more.
        let copy = data.try_clone(GFP_KERNEL)?;
        let message = request::read(kind, self.number(), offset, wanted);
        let (answer, _request) = self.client().call(message, 4, Data::In(copy))?;
        let count = answer::count(&answer.body, wanted)?;
        if count as usize > answer.data {
            return Err(EIO);
        }
        Ok((count as usize, data))
    }

    /// Reads into `data`, at most [`Self::max_io`] bytes: how many there were; 0 at the end. The pages may still be written to if a
    /// fatal signal came and the server is out of order.
    pub fn read(&self, offset: u64, data: KVec<Piece>) -> Result<(usize, KVec<Piece>)> {
        self.read_kind(kind::TREAD, offset, data)
    }

    /// Reads up to `len` bytes of a file or of entries (`kind`: `TREAD`, `TREADDIR`), by one message.
    pub fn read_bytes(&self, kind: u8, offset: u64, len: usize) -> Result<KVec<u8>> {
        let len = len.min(self.max_io() as usize);
        let (count, data) = self.read_kind(kind, offset, pages_for(len)?)?;
        bytes_of(&data, count)
    }

    /// Writes `data`, at most [`Self::max_io`] bytes: how many were.
    pub fn write(&self, offset: u64, data: KVec<Piece>) -> Result<usize> {
        let wanted = u32::try_from(total(&data))?;
        if wanted > self.client().max_data() {
            return Err(EINVAL);
        }
        let message = request::write(self.number(), offset, wanted);
        let (answer, _) = self.client().call(message, 4, Data::Out(data))?;
        Ok(answer::count(&answer.body, wanted)? as usize)
    }

    /// Writes all of `bytes`. EIO if the server takes none.
    pub fn write_all(&self, offset: u64, bytes: &[u8]) -> Result {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let part = rest.get(..self.max_io() as usize).unwrap_or(rest);
            let n = self.write(at, pieces_of(part)?)?;
            if n == 0 {
                return Err(EIO);
            }
            at = at.checked_add(n as u64).ok_or(EFBIG)?;
            rest = rest.get(n..).ok_or(EIO)?;
        }
        Ok(())
    }

    /// Writes the file to the server's disk.
    pub fn fsync(&self, datasync: bool) -> Result {
        self.ask(request::fsync(self.number(), datasync), 0)?;
        Ok(())
    }

    /// Asks for a lock: `lock::SUCCESS` and its kin. One that is taken away is, even if the caller is killed meanwhile.
    pub fn lock(&self, lock: &FileLock<'_>) -> Result<u8> {
        let message = request::lock(self.number(), lock);
        let body = match lock.kind {
            lock::UNLCK => self.client().call_always(message, 1)?.body,
            _ => self.ask(message, 1)?,
        };
        Reader::new(&body).take_u8()
    }

    /// What is in the way of a lock.
    pub fn get_lock(&self, lock: &FileLock<'_>) -> Result<GotLock> {
        GotLock::read(&self.ask(request::getlock(self.number(), lock), 1 + 8 + 8 + 4 + 2 + 256)?)
    }

    /// Gives it back now, to hear of errors.
    pub fn clunk(self) -> Result {
        self.last(kind::TCLUNK)
    }
}

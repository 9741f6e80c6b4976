// SPDX-License-Identifier: GPL-2.0
//! The open file behind a socket. Locks: none.

use crate::family::Socket;
use crate::message::{Recv, Send};
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use vfs::{File, FileOps, Inode, InodeOps, IovIter, OpenFlags, PollMask, PollTable, Prepared, PseudoFs, fdget};

static SOCKFS: PseudoFs = PseudoFs::new("sockfs", uapi::SOCKFS_MAGIC);

/// Makes the file system that sockets live in. Once, at boot.
pub fn init() -> Result {
    SOCKFS.init()
}

struct SocketInode;

impl InodeOps for SocketInode {
    fn dname(&self, inode: &Inode, out: &mut dyn Write) -> core::fmt::Result {
        write!(out, "socket:[{}]", inode.ino)
    }
}

/// What is behind a socket's file.
pub(crate) struct SocketFile {
    pub(crate) socket: Arc<dyn Socket>,
}

/// An open file for `socket`. `flags`: `O_NONBLOCK` counts. The socket is released when it cannot be made, too.
pub(crate) fn open(socket: Arc<dyn Socket>, flags: u32) -> Result<Arc<File>> {
    let made = SOCKFS.new_inode(uapi::S_IFSOCK | 0o777, KBox::new(SocketInode, GFP_KERNEL)?);
    let path = match made {
        Ok(path) => path,
        Err(error) => {
            socket.release();
            return Err(error);
        }
    };
    let ops = KBox::new(SocketFile { socket }, GFP_KERNEL)?;
    File::new(path, OpenFlags(uapi::O_RDWR | flags & uapi::O_NONBLOCK), ops, Prepared::nothing())
}

/// The file of descriptor `fd`, which must be a socket. `EBADF`, `ENOTSOCK`.
pub(crate) fn socket_file(fd: usize) -> Result<Arc<File>> {
    let file = fdget(fd)?;
    if file.private::<SocketFile>().is_none() {
        return Err(ENOTSOCK);
    }
    Ok(file)
}

/// The socket behind a file. `ENOTSOCK`.
pub fn socket_of(file: &File) -> Result<&Arc<dyn Socket>> {
    file.private::<SocketFile>().map(|file| &file.socket).ok_or(ENOTSOCK)
}

fn wait_flag(file: &File) -> u32 {
    if file.nonblock() { uapi::MSG_DONTWAIT } else { 0 }
}

impl FileOps for SocketFile {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if to.count() == 0 {
            return Ok(0);
        }
        self.socket.receive(&mut Recv::new(to, wait_flag(file)))
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        self.socket.send(&mut Send::new(from, wait_flag(file)))
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        self.socket.poll(table)
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        self.socket.fasync().set(file, fd, on).map(|_| ())
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            uapi::FIOSETOWN | uapi::SIOCSPGRP => file.set_owner_number(vfs::user::get(arg)?).map(|()| 0),
            uapi::FIOGETOWN | uapi::SIOCGPGRP => vfs::user::put(arg, &file.owner_number()).map(|()| 0),
            _ => self.socket.ioctl(cmd, arg),
        }
    }

    fn release(&self, _: &File) {
        self.socket.release();
    }
}

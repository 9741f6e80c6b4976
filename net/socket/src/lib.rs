// SPDX-License-Identifier: GPL-2.0
//! Sockets as programs see them: the system calls, the open file behind a socket, options and control messages that all
//! families share. Families (`net/unix`...) implement `Socket` and `Family` and register themselves.
//!
//! | file | what |
//! |---|---|
//! | `family` | the traits, and which family answers which number |
//! | `file` | the open file, and `socket`, `socketpair`, `accept` |
//! | `address` | addresses to and from programs |
//! | `message` | `sendmsg` and `recvmsg` with their control messages |
//! | `options` | `SOL_SOCKET` options |
//! | `syscalls` | the rest of the calls |
//!
//! Locks: the registry's spin lock; a socket's own are its family's. Source: `socket(2)`, `socket(7)`, `cmsg(3)`.

#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod family;
pub mod file;
pub mod message;
pub mod options;
pub mod syscalls;

pub use address::SockAddr;
pub use family::{Family, Socket, register_family};
pub use file::{init, socket_of};
pub use message::{Control, Recv, Send, Ucred};
pub use options::Options;

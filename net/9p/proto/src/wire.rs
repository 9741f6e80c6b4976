// SPDX-License-Identifier: GPL-2.0
//! The bytes of messages: little-endian numbers, strings with a length of 16 bits, and `size[4] type[1] tag[2]` in front of it all.

use crate::kind;
use errno::{Error, Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// Bytes of the frame.
pub const HEADER: usize = 7;

/// What an answer that ends too early is to a program, as in Linux.
const SHORT: Error = EFAULT;

/// A request in the making.
pub struct Message {
    bytes: KVec<u8>,
    /// Something did not fit, or there was no memory.
    failed: Option<Error>,
}

macro_rules! numbers {
    ($($put:ident $get:ident $type:ty;)*) => {
        impl Message {
            $(
                #[doc = concat!("Adds a `", stringify!($type), "`.")]
                pub fn $put(mut self, value: $type) -> Self {
                    self.append(&value.to_le_bytes());
                    self
                }
            )*
        }
        impl<'a> Reader<'a> {
            $(
                #[doc = concat!("Takes a `", stringify!($type), "`. EFAULT: there is none.")]
                pub fn $get(&mut self) -> Result<$type> {
                    Ok(<$type>::from_le_bytes(self.array()?))
                }
            )*
        }
    };
}

numbers! {
    u8 take_u8 u8;
    u16 take_u16 u16;
    u32 take_u32 u32;
    u64 take_u64 u64;
}

impl Message {
    /// An empty request of type `kind`.
    pub fn new(kind: u8) -> Self {
        let mut message = Self { bytes: KVec::new(), failed: None };
        message.append(&[0, 0, 0, 0, kind, 0, 0]);
        message
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.bytes.extend_from_slice(bytes, GFP_KERNEL)
        {
            self.failed = Some(error.into());
        }
    }

    /// Adds a string. One of more than 65535 bytes is refused at the end (ENAMETOOLONG).
    pub fn string(mut self, text: &[u8]) -> Self {
        match u16::try_from(text.len()) {
            Ok(len) => {
                self.append(&len.to_le_bytes());
                self.append(text);
            }
            Err(_) => self.failed = self.failed.or(Some(ENAMETOOLONG)),
        }
        self
    }

    /// The request's type.
    pub fn kind(&self) -> u8 {
        self.bytes.get(4).copied().unwrap_or(0)
    }

    /// The bytes, with the tag and the size of all; `data`: bytes that follow from elsewhere. What went wrong on the way is told now.
    pub fn finish(mut self, tag: u16, data: usize) -> Result<KVec<u8>> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let size = self.bytes.len().checked_add(data).and_then(|size| u32::try_from(size).ok()).ok_or(EINVAL)?;
        for (to, byte) in self.bytes.iter_mut().zip(size.to_le_bytes()) {
            *to = byte;
        }
        for (to, byte) in self.bytes.iter_mut().skip(5).zip(tag.to_le_bytes()) {
            *to = byte;
        }
        Ok(self.bytes)
    }
}

/// The frame of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Bytes of all of it.
    pub size: u32,
    /// Type.
    pub kind: u8,
    /// The request's tag.
    pub tag: u16,
}

impl Frame {
    /// The frame in front of `bytes`. EINVAL if it is none: its size says less than it has.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let read = |reader: &mut Reader<'_>| -> Result<Self> {
            Ok(Self { size: reader.take_u32()?, kind: reader.take_u8()?, tag: reader.take_u16()? })
        };
        match read(&mut reader) {
            Ok(frame) if frame.size as usize >= HEADER => Ok(frame),
            _ => Err(EINVAL),
        }
    }

    /// Whether this answers a request of type `asked`; the server's error if it says one (`body`: what follows the frame). EIO for an
    /// answer to something else.
    pub fn check(&self, asked: u8, body: &[u8]) -> Result {
        if self.kind == kind::RLERROR {
            return Err(error_of(Reader::new(body).take_u32()?));
        }
        if asked.checked_add(1) == Some(self.kind) { Ok(()) } else { Err(EIO) }
    }
}

/// A server's error. What cannot be one is EIO.
pub fn error_of(code: u32) -> Error {
    match i32::try_from(code) {
        Ok(code @ 1..=errno::MAX_ERRNO) => Error::from_errno(-code),
        _ => EIO,
    }
}

/// Takes an answer apart, from front to back.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over what follows the frame.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Takes `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*front)
    }

    /// Takes a string.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let len = self.take_u16()?;
        self.take(len.into())
    }
}

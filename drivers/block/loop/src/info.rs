// SPDX-License-Identifier: GPL-2.0
//! What programs tell and are told of a device: `struct loop_info64` (232 bytes), `struct loop_info` (168 bytes), `struct loop_config`.

use kernel::filesystem::vfs::user;
use kernel::prelude::*;

/// The device cannot be written.
pub(crate) const READ_ONLY: u32 = 1;
/// The file is detached when nobody has the device open any more.
pub(crate) const AUTOCLEAR: u32 = 4;
/// Partition tables are read.
pub(crate) const PARTSCAN: u32 = 8;
/// The file is read and written past its cache.
pub(crate) const DIRECT_IO: u32 = 16;
/// Flags that `LOOP_SET_STATUS` can set, and clear.
pub(crate) const SETTABLE: u32 = AUTOCLEAR | PARTSCAN;
pub(crate) const CLEARABLE: u32 = AUTOCLEAR;
/// Flags that `LOOP_CONFIGURE` can set.
pub(crate) const CONFIGURABLE: u32 = READ_ONLY | AUTOCLEAR | PARTSCAN | DIRECT_IO;

const LEN64: usize = 232;
const LEN32: usize = 168;

/// The parts that have a meaning.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) rdevice: u64,
    pub(crate) offset: u64,
    pub(crate) sizelimit: u64,
    pub(crate) number: u32,
    pub(crate) encrypt: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; 64],
    pub(crate) crypt_name: [u8; 64],
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

impl Info {
    fn parse64(bytes: &[u8]) -> Self {
        let n64 = |at| u64::from_le_bytes(word(bytes, at));
        let n32 = |at| u32::from_le_bytes(word(bytes, at));
        Self {
            device: n64(0),
            inode: n64(8),
            rdevice: n64(16),
            offset: n64(24),
            sizelimit: n64(32),
            number: n32(40),
            encrypt: n32(44),
            flags: n32(52),
            name: word(bytes, 56),
            crypt_name: word(bytes, 120),
        }
    }

    /// Reads `struct loop_info64`.
    pub(crate) fn get64(arg: usize) -> Result<Self> {
        let mut bytes = [0; LEN64];
        user::copy_in(arg, &mut bytes)?;
        Ok(Self::parse64(&bytes))
    }

    /// Reads `struct loop_config`: file, block size, info. EINVAL if what is reserved is not 0.
    pub(crate) fn get_config(arg: usize) -> Result<(u32, u32, Self)> {
        let mut bytes = [0; 304];
        user::copy_in(arg, &mut bytes)?;
        let (fd, block) = (u32::from_le_bytes(word(&bytes, 0)), u32::from_le_bytes(word(&bytes, 4)));
        let info = Self::parse64(bytes.get(8..8 + LEN64).unwrap_or_default());
        Ok((fd, block, info))
    }

    /// Writes `struct loop_info64`.
    pub(crate) fn put64(&self, arg: usize) -> Result {
        let mut bytes = [0; LEN64];
        for (at, value) in
            [(0, self.device), (8, self.inode), (16, self.rdevice), (24, self.offset), (32, self.sizelimit)]
        {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        for (at, value) in [(40, self.number), (44, self.encrypt), (52, self.flags)] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        put(&mut bytes, 56, &self.name);
        put(&mut bytes, 120, &self.crypt_name);
        user::copy_out(arg, &bytes)
    }

    /// Reads `struct loop_info`: number, device, inode, rdevice, offset, encryption, key size, flags, name.
    pub(crate) fn get32(arg: usize) -> Result<Self> {
        let mut bytes = [0; LEN32];
        user::copy_in(arg, &mut bytes)?;
        let n32 = |at| u32::from_le_bytes(word(&bytes, at));
        let n64 = |at| u64::from_le_bytes(word(&bytes, at));
        Ok(Self {
            number: n32(0),
            device: n64(8),
            inode: n64(16),
            rdevice: n64(24),
            offset: u64::from(n32(32)),
            sizelimit: 0,
            encrypt: n32(36),
            flags: n32(44),
            name: word(&bytes, 48),
            crypt_name: [0; 64],
        })
    }

    /// Writes `struct loop_info`. EOVERFLOW if the offset does not fit.
    pub(crate) fn put32(&self, arg: usize) -> Result {
        let mut bytes = [0; LEN32];
        let offset = i32::try_from(self.offset).map_err(|_| EOVERFLOW)?;
        for (at, value) in [(0, self.number), (32, offset.cast_unsigned()), (36, self.encrypt), (44, self.flags)] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        for (at, value) in [(8, self.device), (16, self.inode), (24, self.rdevice)] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        put(&mut bytes, 48, &self.name);
        user::copy_out(arg, &bytes)
    }
}

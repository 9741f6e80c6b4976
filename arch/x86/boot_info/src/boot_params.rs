// SPDX-License-Identifier: GPL-2.0
//! Writing Linux's `boot_params`, for the bzImage stub; `zero_page` reads them. No locks.

use crate::bytes::u64_at;
use crate::zero_page::offset;

/// A writable `boot_params`.
pub struct Page<'a>(pub &'a mut [u8]);

impl Page<'_> {
    /// Puts `bytes` at offset `at`; nothing if they do not fit.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// Puts 16 bits, as many ones if `value` has more.
    pub fn put16(&mut self, at: usize, value: u32) {
        self.put(at, &u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
    }

    /// Puts 32 bits.
    pub fn put32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// The halves of `value` into two fields.
    pub fn put_split(&mut self, low: usize, high: usize, value: u64) {
        self.put32(low, value as u32);
        self.put32(high, (value >> 32) as u32);
    }

    /// Puts a `setup_data` node at the head of the list.
    pub fn push_setup_data(&mut self, node: &mut [u8], kind: u32, data_len: usize) {
        let next = u64_at(self.0, offset::SETUP_DATA).unwrap_or(0);
        let mut head = Page(node);
        head.put(0, &next.to_le_bytes());
        head.put32(8, kind);
        head.put32(12, data_len as u32);
        let address = head.0.as_ptr().addr() as u64;
        self.put(offset::SETUP_DATA, &address.to_le_bytes());
    }
}

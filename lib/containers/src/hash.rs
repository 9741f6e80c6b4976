// SPDX-License-Identifier: GPL-2.0
//! `HashMap`: hashbrown's table with fallible insertion and a fast hash. No locks: the owner's lock guards it.
//!
//! The hash is a folded multiply a word from a secret start (`set_seed`, once at boot from the boot entropy). It is
//! made for speed; a table whose keys an attacker picks in number bounds its size by other means (rlimits, quotas).

use core::hash::{BuildHasher, Hash, Hasher};
use core::sync::atomic::{AtomicU64, Ordering};
use hashbrown::HashMap as Table;
use kalloc::AllocError;

static SEED: AtomicU64 = AtomicU64::new(0x243f_6a88_85a3_08d3);

/// Sets the secret start of all maps made from now on.
pub fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

const K: u64 = 0xf135_7aea_2e62_a9c5;

/// The state of a hash.
#[derive(Clone, Copy, Debug)]
pub struct FastHasher(u64);

impl FastHasher {
    #[inline(always)]
    fn add(&mut self, word: u64) {
        // Both halves of the product: each bit of the word reaches each bit of the state.
        let (low, high) = (self.0 ^ word).carrying_mul(K, 0);
        self.0 = low ^ high;
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }
    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.add(n.into());
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.add(n.into());
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Makes hashers of one map.
#[derive(Clone, Copy, Debug)]
pub struct FastState(u64);

impl Default for FastState {
    fn default() -> Self {
        Self(SEED.load(Ordering::Relaxed))
    }
}

impl BuildHasher for FastState {
    type Hasher = FastHasher;
    #[inline]
    fn build_hasher(&self) -> FastHasher {
        FastHasher(self.0)
    }
}

/// The hash of bytes from a start of the caller's: for tables of his own.
#[inline]
pub fn hash_bytes(start: u64, bytes: &[u8]) -> u64 {
    let mut h = FastHasher(start);
    h.write(bytes);
    h.finish()
}

/// A map by hash. Memory comes from the kernel's heap and may sleep as `GFP_KERNEL` does; `insert` can fail.
#[derive(Default)]
pub struct HashMap<K, V>(Table<K, V, FastState>);

impl<K: Eq + Hash, V> HashMap<K, V> {
    /// An empty map without memory.
    pub fn new() -> Self {
        Self(Table::with_hasher(FastState::default()))
    }

    /// Makes room for `additional` more entries.
    pub fn reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        self.0.try_reserve(additional).map_err(|_| AllocError)
    }

    /// Puts `value` under `key`; returns what was there.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, AllocError> {
        self.reserve(1)?;
        Ok(self.0.insert(key, value))
    }

    /// The value of `key`.
    #[inline]
    pub fn get<Q: Hash + hashbrown::Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        self.0.get(key)
    }

    /// The value of `key`.
    #[inline]
    pub fn get_mut<Q: Hash + hashbrown::Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Whether there is a value of `key`.
    #[inline]
    pub fn contains_key<Q: Hash + hashbrown::Equivalent<K> + ?Sized>(&self, key: &Q) -> bool {
        self.0.contains_key(key)
    }

    /// Removes and returns the value of `key`.
    #[inline]
    pub fn remove<Q: Hash + hashbrown::Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        self.0.remove(key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }

    /// All entries in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut()
    }

    /// Keeps the entries for which `keep` says true.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(keep);
    }

    /// Removes all entries, keeping the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::format;

    #[test]
    fn a_map() {
        let mut m = HashMap::new();
        for i in 0..1000u32 {
            assert_eq!(m.insert(i, i * 2), Ok(None));
        }
        assert_eq!(m.get(&7), Some(&14));
        assert_eq!(m.remove(&7), Some(14));
        assert_eq!((m.get(&7), m.len()), (None, 999));
        m.retain(|k, _| k % 2 == 0);
        assert_eq!((m.len(), m.iter().count()), (500, 500));
        *m.get_mut(&4).unwrap() = 1;
        assert!(m.contains_key(&4));
    }

    #[test]
    fn spreads() {
        for shift in [0, 7] {
            let low: HashSet<u64> =
                (0..1000).map(|i| hash_bytes(1, format!("file{i}").as_bytes()) >> shift & 0xffff).collect();
            assert!(low.len() > 950, "{}", low.len());
        }
        assert_ne!(hash_bytes(1, b"a"), hash_bytes(1, b"a\0"));
        assert_ne!(hash_bytes(1, b"a"), hash_bytes(2, b"a"));
    }
}

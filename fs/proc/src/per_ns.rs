// SPDX-License-Identifier: GPL-2.0
//! Texts and settings of the name space that whoever opens the file is in, which its reads and writes then go to. No locks.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::{Arc, KBox};
use kernfs::Attribute;
use vfs::{FileOps, Inode, OpenFlags, SeqBuf, SeqFile, SeqShow, seq_print};

/// What a file shows of a name space `N`.
pub trait PerNs<N>: Send + Sync + 'static {
    /// As [`Attribute::show`].
    fn show(&self, ns: &N, at: u64, out: &mut SeqBuf) -> Result<Option<u64>>;

    /// As [`Attribute::store`].
    fn store(&self, ns: &N, data: &[u8]) -> Result<usize> {
        let _ = (ns, data);
        Err(EIO)
    }

    /// Whether the caller may write though the mode lets nobody.
    fn may_write(&self) -> bool {
        false
    }
}

/// An attribute of name spaces; the function gives the caller's.
pub struct NsAttribute<N, P> {
    find: fn() -> Result<N>,
    what: Arc<P>,
}

impl<N, P> NsAttribute<N, P> {
    /// An attribute that is `what` of the name space that `find` gives.
    pub fn new(find: fn() -> Result<N>, what: P) -> Result<Self> {
        Ok(Self { find, what: Arc::new(what, kalloc::flags::GFP_KERNEL)? })
    }
}

struct Opened<N, P> {
    ns: N,
    what: Arc<P>,
}

impl<N: Send + Sync + 'static, P: PerNs<N>> Attribute for NsAttribute<N, P> {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<Option<KBox<dyn FileOps>>> {
        SeqFile::boxed(Opened { ns: (self.find)()?, what: self.what.clone() }).map(Some)
    }

    fn may_write(&self) -> bool {
        self.what.may_write()
    }
}

impl<N: Send + Sync + 'static, P: PerNs<N>> SeqShow for Opened<N, P> {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.what.show(&self.ns, at, out)
    }

    fn write(&self, data: &[u8]) -> Result<usize> {
        self.what.store(&self.ns, data)
    }
}

/// A number that a setting is kept in.
pub trait Word {
    /// Its value.
    fn value(&self) -> i128;
    /// Sets it to the number in a program's `data`, if that is within the range. `EINVAL`.
    fn parse(&self, data: &[u8], least: i64, most: i64) -> Result;
}

macro_rules! word {
    ($atomic:ty, $int:ty) => {
        impl Word for $atomic {
            fn value(&self) -> i128 {
                self.load(Ordering::Relaxed).into()
            }

            fn parse(&self, data: &[u8], least: i64, most: i64) -> Result {
                let new = crate::parse_number(data)?;
                if !(least..=most).contains(&new) {
                    return Err(EINVAL);
                }
                self.store(<$int>::try_from(new).map_err(|_| EINVAL)?, Ordering::Relaxed);
                Ok(())
            }
        }
    };
}

word!(AtomicI32, i32);
word!(AtomicU32, u32);

impl Word for AtomicU64 {
    fn value(&self) -> i128 {
        self.load(Ordering::Relaxed).into()
    }

    /// All values are allowed.
    fn parse(&self, data: &[u8], _: i64, _: i64) -> Result {
        self.store(crate::sysctl::parse_long(data)?, Ordering::Relaxed);
        Ok(())
    }
}

/// A number as a setting.
pub struct Number<N, W> {
    /// Where a name space has it.
    pub of: fn(&N) -> &W,
    /// The least value, and the largest.
    pub least: i64,
    /// See `least`.
    pub most: i64,
}

impl<N: 'static, W: Word + 'static> PerNs<N> for Number<N, W> {
    fn show(&self, ns: &N, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        seq_print!(out, "{}\n", (self.of)(ns).value())?;
        Ok(None)
    }

    fn store(&self, ns: &N, data: &[u8]) -> Result<usize> {
        (self.of)(ns).parse(data, self.least, self.most)?;
        Ok(data.len())
    }
}

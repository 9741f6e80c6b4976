// SPDX-License-Identifier: GPL-2.0
//! The generators, and which of them is in use: the one of the best quality, unless a program chose another.

use crate::{HwRng, MAX_QUALITY, fill};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use kernel::hardware::{kernfs, sync};
use kernfs::Revocable;
use sync::Mutex;

/// A generator as the core knows it.
pub(crate) struct Source {
    name: KString,
    /// How much of a bit is random, in 1024ths; 0: it is not used for the random numbers of everybody.
    quality: AtomicU32,
    rng: Revocable<dyn HwRng>,
}

impl Source {
    pub(crate) fn name(&self) -> &KString {
        &self.name
    }

    pub(crate) fn quality(&self) -> u32 {
        self.quality.load(Ordering::Relaxed)
    }

    /// Reads. `ENODEV`: its driver is gone.
    pub(crate) fn read(&self, out: &mut [u8], wait: bool) -> Result<usize> {
        let most = out.len();
        // What a driver says is checked once, here.
        self.rng.with(|rng| rng.read(out, wait)).ok_or(ENODEV)?.map(|len| len.min(most))
    }
}

/// All of them.
pub(crate) struct List {
    pub(crate) all: KVec<Arc<Source>>,
    pub(crate) current: Option<Arc<Source>>,
    /// A program chose it.
    pub(crate) chosen: bool,
}

/// Generators come and go one after the other.
static CHANGING: Mutex<()> = Mutex::new(());
/// See [`List`].
pub(crate) static LIST: Mutex<List> = Mutex::new(List::new());

impl List {
    const fn new() -> Self {
        Self { all: KVec::new(), current: None, chosen: false }
    }

    fn add(&mut self, source: Arc<Source>) -> Result {
        if self.all.iter().any(|other| other.name.as_bytes() == source.name.as_bytes()) {
            return Err(EEXIST);
        }
        self.all.push(source.clone(), GFP_KERNEL)?;
        let better = self.current.as_ref().is_none_or(|now| !self.chosen && source.quality() > now.quality());
        if better {
            self.current = Some(source);
        }
        Ok(())
    }

    fn remove(&mut self, source: &Arc<Source>) {
        self.all.retain(|other| !Arc::ptr_eq(other, source));
        if self.current.as_ref().is_some_and(|now| Arc::ptr_eq(now, source)) {
            self.choose_best();
        }
    }

    /// The first of the best, if there are any.
    pub(crate) fn choose_best(&mut self) {
        let mut best: Option<&Arc<Source>> = None;
        for source in &self.all {
            if best.is_none_or(|best| source.quality() > best.quality()) {
                best = Some(source);
            }
        }
        self.current = best.cloned();
        self.chosen = false;
    }

    /// A program chooses by name; nothing: the best. `ENODEV`.
    pub(crate) fn choose(&mut self, name: &[u8]) -> Result {
        if name.is_empty() {
            if self.all.is_empty() {
                return Err(ENODEV);
            }
            self.choose_best();
            return Ok(());
        }
        let found = self.all.iter().find(|source| source.name.as_bytes() == name).ok_or(ENODEV)?;
        self.current = Some(found.clone());
        self.chosen = true;
        Ok(())
    }

    /// Sets the quality of the one in use, which may make another one the best. `EINVAL`, `ENODEV`.
    pub(crate) fn set_quality(&mut self, quality: i64) -> Result {
        let quality = u32::try_from(quality).ok().filter(|&quality| quality <= MAX_QUALITY).ok_or(EINVAL)?;
        self.current.as_ref().ok_or(ENODEV)?.quality.store(quality, Ordering::Relaxed);
        self.choose_best();
        Ok(())
    }
}

/// Gives the list's memory back: for the module's end.
pub(crate) fn clear() {
    let old = core::mem::replace(&mut *LIST.lock(), List::new());
    drop(old);
}

/// A generator that is registered. Dropping it takes it away, after those who read from it are done; may sleep.
pub struct Registration {
    source: Arc<Source>,
}

impl Registration {
    /// Registers a generator. `quality`: see [`MAX_QUALITY`]. `rng` is the only reference to it: taking it back waits until there is no
    /// other. `EEXIST`, `EINVAL`. May sleep.
    pub fn new(name: &[u8], quality: u32, rng: Arc<dyn HwRng>) -> Result<Self> {
        if name.is_empty() || quality > MAX_QUALITY {
            return Err(EINVAL);
        }
        let source = Source {
            name: KString::from_bytes(name, GFP_KERNEL)?,
            quality: AtomicU32::new(quality),
            rng: Revocable::new(rng),
        };
        let source = Arc::new(source, GFP_KERNEL)?;
        let _changing = CHANGING.lock();
        LIST.lock().add(source.clone())?;
        fill::changed();
        Ok(Self { source })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _changing = CHANGING.lock();
        LIST.lock().remove(&self.source);
        fill::changed();
        self.source.rng.revoke();
        fill::end_if_alone();
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(hw_random)]
mod tests {
    use super::*;

    /// Gives the bytes 0, 1, 2..., and says that it gave more than fits.
    struct Counter;

    impl HwRng for Counter {
        fn read(&self, out: &mut [u8], _: bool) -> Result<usize> {
            out.iter_mut().zip(0..).for_each(|(to, n)| *to = n);
            Ok(out.len() + 1)
        }
    }

    fn source(name: &[u8], quality: u32) -> Option<Arc<Source>> {
        let rng: Arc<dyn HwRng> = Arc::new(Counter, GFP_KERNEL).ok()?;
        let name = KString::from_bytes(name, GFP_KERNEL).ok()?;
        Arc::new(Source { name, quality: AtomicU32::new(quality), rng: Revocable::new(rng) }, GFP_KERNEL).ok()
    }

    fn current(list: &List) -> &[u8] {
        list.current.as_ref().map_or(b"none", |source| source.name.as_bytes())
    }

    #[test]
    fn the_best_is_in_use() {
        let mut list = List::new();
        let (Some(a), Some(b), Some(c)) = (source(b"a", 10), source(b"b", 20), source(b"c", 20)) else { return };
        assert_eq!(list.choose(b""), Err(ENODEV));
        assert_eq!(list.set_quality(1), Err(ENODEV));
        assert_eq!((list.add(a.clone()), current(&list)), (Ok(()), &b"a"[..]));
        assert_eq!((list.add(b.clone()), current(&list)), (Ok(()), &b"b"[..]));
        assert_eq!((list.add(c.clone()), current(&list)), (Ok(()), &b"b"[..]));
        assert_eq!(list.add(b.clone()), Err(EEXIST));
        list.remove(&b);
        assert_eq!(current(&list), b"c");
        assert_eq!((list.choose(b"x"), list.choose(b"a")), (Err(ENODEV), Ok(())));
        assert!(list.chosen);
        // What was chosen stays when a better one comes.
        assert_eq!((list.add(b), current(&list)), (Ok(()), &b"a"[..]));
        assert_eq!((list.set_quality(1025), list.set_quality(1024)), (Err(EINVAL), Ok(())));
        assert_eq!((current(&list), list.chosen), (&b"a"[..], false));
        list.remove(&a);
        list.remove(&c);
        assert_eq!((list.choose(b""), current(&list)), (Ok(()), &b"b"[..]));
    }

    #[test]
    fn the_thread_ends_with_the_last_one() -> Result {
        if LIST.lock().current.is_some() {
            // Of a machine with a generator, it does not.
            return Ok(());
        }
        for _ in 0..3 {
            let its = Registration::new(b"kunit", 1, Arc::new(Counter, GFP_KERNEL)?)?;
            assert!(fill::is_running());
            drop(its);
            assert!(!fill::is_running());
        }
        Ok(())
    }

    #[test]
    fn a_driver_that_goes_is_not_asked() {
        let Some(source) = source(b"a", 0) else { return };
        let mut out = [0xff; 4];
        assert_eq!((source.read(&mut out, true), out), (Ok(4), [0, 1, 2, 3]));
        source.rng.revoke();
        assert_eq!(source.read(&mut out, true), Err(ENODEV));
    }
}

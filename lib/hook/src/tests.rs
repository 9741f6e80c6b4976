// SPDX-License-Identifier: GPL-2.0
//! Host tests of hooks.

use super::*;

trait Number: Sync {
    fn number(&self) -> u32;
}
struct Five;
impl Number for Five {
    fn number(&self) -> u32 {
        5
    }
}
struct Six;
impl Number for Six {
    fn number(&self) -> u32 {
        6
    }
}

#[test]
fn first_set_wins() {
    static HOOK: Hook<dyn Number> = Hook::new();
    static FIVE: &'static dyn Number = &Five;
    static SIX: &'static dyn Number = &Six;
    assert!(HOOK.get().is_none());
    assert!(HOOK.set(&FIVE));
    assert!(!HOOK.set(&SIX));
    assert_eq!(HOOK.get().map(|n| n.number()), Some(5));
}

#[test]
fn references_change() {
    static REF: AtomicRef<u32> = AtomicRef::new();
    static ONE: u32 = 1;
    static TWO: u32 = 2;
    assert_eq!(REF.load(), None);
    assert_eq!(REF.compare_exchange(None, Some(&ONE)), Ok(()));
    assert_eq!(REF.compare_exchange(None, Some(&TWO)), Err(Some(&1)));
    REF.store(Some(&TWO));
    assert_eq!(REF.load(), Some(&2));
}

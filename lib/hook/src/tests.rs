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

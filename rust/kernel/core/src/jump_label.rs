// SPDX-License-Identifier: GPL-2.0
//! Branches on static keys: `kernel::jump_label`. No code is patched: a branch reads its key, as in a Linux without `CONFIG_JUMP_LABEL`.

/// Whether the static key in `field` of `key`, a static of type `keytyp`, is on, which is the rarer case.
///
/// # Safety
/// The key is a real one: the macro expands to what is `unsafe`.
#[macro_export]
macro_rules! static_branch_unlikely {
    ($key:path, $keytyp:ty, $field:ident) => {{
        let key: *const $keytyp = &raw const $key;
        let key: *const $crate::bindings::static_key_false = &raw const (*key).$field;
        $crate::bindings::static_key_count(key.cast_mut().cast()) > 0
    }};
}
pub use static_branch_unlikely;

// SPDX-License-Identifier: GPL-2.0
//! Shell-like patterns as `kunit.filter_glob` takes them: `*`, `?` and `[a-z]` (`[!a-z]`), as Linux's `glob_match`.

/// Whether the whole of `text` matches `pattern`. Linear in both, without recursion: it goes back to the last `*` only.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0usize, 0usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p = p.saturating_add(1);
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(pattern.get(p..).unwrap_or(&[]), byte),
            Some(&same) if same == byte => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p = p.saturating_add(step);
                t = t.saturating_add(1);
            }
            (None, Some((star_p, star_t))) => {
                p = star_p.saturating_add(1);
                t = star_t.saturating_add(1);
                star = Some((star_p, t));
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or(&[]).iter().all(|&b| b == b'*')
}

/// The length of the class at the start of `pattern` if `byte` is in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let inverted = pattern.get(1) == Some(&b'!');
    let first = if inverted { 2 } else { 1 };
    let mut at = first;
    let mut inside = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at != first {
            break;
        }
        let high = match (pattern.get(at.saturating_add(1)), pattern.get(at.saturating_add(2))) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                at = at.saturating_add(2);
                high
            }
            _ => low,
        };
        inside |= (low..=high).contains(&byte);
        at = at.saturating_add(1);
    }
    (inside != inverted).then_some(at.saturating_add(1))
}

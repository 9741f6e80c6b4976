// SPDX-License-Identifier: GPL-2.0
//! `damage FILE cut STEP`, `damage FILE flip COUNT SEED [FROM TO]`: loads FILE cut off at every STEPth byte, or with one to four
//! random bits flipped (between FROM and TO), unloads what loads, and prints how often each errno came: `ENOEXEC 12`, `loaded 1`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_long};
use std::io::Error;

/// A small generator (xorshift): the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn call(number: c_long, first: usize, second: usize, third: usize) -> i32 {
    // SAFETY: The calls read the buffers and strings that are given, which outlive them.
    match unsafe { libc::syscall(number, first, second, third) } {
        -1 => Error::last_os_error().raw_os_error().unwrap_or(0),
        _ => 0,
    }
}

/// Loads `file`, and unloads it: the errno, 0 if it was loaded.
fn load(file: &[u8], name: &CString) -> i32 {
    let error = call(libc::SYS_init_module, file.as_ptr() as usize, file.len(), c"".as_ptr() as usize);
    if error == 0 {
        let gone = call(libc::SYS_delete_module, name.as_ptr() as usize, 0, 0);
        assert_eq!(gone, 0, "it cannot be unloaded");
    }
    error
}

fn name(error: i32) -> String {
    match error {
        0 => "loaded".into(),
        libc::ENOENT => "ENOENT".into(),
        libc::ENOEXEC => "ENOEXEC".into(),
        libc::ENOMEM => "ENOMEM".into(),
        libc::EINVAL => "EINVAL".into(),
        libc::EBADMSG => "EBADMSG".into(),
        libc::ENOPKG => "ENOPKG".into(),
        libc::EKEYREJECTED => "EKEYREJECTED".into(),
        other => format!("errno{other}"),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: usize| words.get(at).map_or(or, |word| word.parse().expect("a number"));
    let good = std::fs::read(&words[0]).expect("the file");
    let stem = std::path::Path::new(&words[0]).file_stem().expect("a name").to_string_lossy().into_owned();
    let module = CString::new(stem).expect("a name");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |error| *counts.entry(name(error)).or_default() += 1;
    if words[1] == "cut" {
        for len in (0..good.len()).step_by(number(2, 64)) {
            count(load(&good[..len], &module));
        }
    } else {
        let (from, to) = (number(4, 0), number(5, good.len()).min(good.len()));
        let mut random = Random(number(3, 1) as u64 * 0x9e37_79b9_7f4a_7c15 | 1);
        let mut file = good.clone();
        for _ in 0..number(2, 100) {
            // A set: a bit that is flipped twice is whole.
            let flips: BTreeSet<(usize, u8)> =
                (0..=random.below(4)).map(|_| (from + random.below(to - from), 1 << random.below(8))).collect();
            flips.iter().for_each(|&(at, bit)| file[at] ^= bit);
            count(load(&file, &module));
            flips.iter().for_each(|&(at, bit)| file[at] ^= bit);
            debug_assert!(file == good);
        }
    }
    counts.iter().for_each(|(name, count)| println!("{name} {count}"));
}

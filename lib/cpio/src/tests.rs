// SPDX-License-Identifier: GPL-2.0
//! Host tests: archives made here, in pieces, concatenated, compressed, damaged.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

#[derive(Default, Debug, PartialEq, Clone)]
struct Tree {
    files: BTreeMap<String, (u32, Vec<u8>)>,
    links: Vec<(String, String)>,
    open: Option<String>,
    closed: usize,
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).to_string()
}

impl Sink for Tree {
    fn create(&mut self, name: &[u8], h: &Header) -> errno::Result<bool> {
        self.files.insert(text(name), (h.mode, vec![]));
        self.open = Some(text(name));
        Ok(name != b"skipped")
    }
    fn hard_link(&mut self, old: &[u8], name: &[u8], _: &Header) -> errno::Result<bool> {
        self.links.push((text(old), text(name)));
        self.open = Some(text(old));
        Ok(true)
    }
    fn symlink(&mut self, name: &[u8], target: &[u8], h: &Header) -> errno::Result {
        self.files.insert(text(name), (h.mode, target.to_vec()));
        Ok(())
    }
    fn data(&mut self, bytes: &[u8]) -> errno::Result {
        let open = self.open.clone().ok_or(EIO)?;
        self.files.get_mut(&open).ok_or(EIO)?.1.extend(bytes);
        Ok(())
    }
    fn close(&mut self, _: &Header) -> errno::Result {
        self.closed += 1;
        Ok(())
    }
}

fn entry(out: &mut Vec<u8>, name: &str, mode: u32, ino: u32, nlink: u32, data: &[u8], crc: bool) {
    let sum: u32 = if crc { data.iter().map(|&b| u32::from(b)).sum() } else { 0 };
    let magic = if crc { "070702" } else { "070701" };
    let fields = [ino, mode, 0, 0, nlink, 1, data.len() as u32, 8, 1, 5, 1, name.len() as u32 + 1, sum];
    out.extend(magic.bytes());
    for f in fields {
        out.extend(format!("{f:08X}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn archive(crc: bool) -> Vec<u8> {
    let mut a = vec![];
    entry(&mut a, "dir", 0o40755, 1, 2, b"", crc);
    entry(&mut a, "dir/hello", 0o100644, 2, 1, b"hello", crc);
    entry(&mut a, "dir/sym", 0o120777, 3, 1, b"hello", crc);
    entry(&mut a, "empty", 0o100600, 4, 1, b"", crc);
    entry(&mut a, "console", 0o20600, 5, 1, b"", crc);
    entry(&mut a, "one", 0o100755, 6, 2, b"", crc);
    entry(&mut a, "two", 0o100755, 6, 2, b"linked data", crc);
    entry(&mut a, "skipped", 0o100644, 7, 1, b"not wanted", crc);
    entry(&mut a, "TRAILER!!!", 0, 0, 1, b"", crc);
    a
}

fn unpacked(buffer: &[u8]) -> Result<Tree, Error> {
    let mut t = Tree::default();
    unpack(buffer, 1 << 30, &mut t)?;
    Ok(t)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    out.extend(miniz_oxide::deflate::compress_to_vec(data, 6));
    out.extend(decompress::crc32(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn check(t: &Tree) {
    let get = |n: &str| t.files.get(n).map(|f| (f.0, f.1.as_slice()));
    assert_eq!(get("dir"), Some((0o40755, &b""[..])));
    assert_eq!(get("dir/hello"), Some((0o100644, &b"hello"[..])));
    assert_eq!(get("dir/sym"), Some((0o120777, &b"hello"[..])));
    assert_eq!(get("console"), Some((0o20600, &b""[..])));
    assert_eq!(get("one"), Some((0o100755, &b"linked data"[..])));
    assert_eq!(get("skipped"), Some((0o100644, &b""[..])));
    assert_eq!(t.links, [("one".to_string(), "two".to_string())]);
    assert_eq!(t.closed, 6);
}

#[test]
fn plain() {
    check(&unpacked(&archive(false)).unwrap());
    check(&unpacked(&archive(true)).unwrap());
    assert_eq!(unpacked(b"").unwrap(), Tree::default());
    assert_eq!(unpacked(&[0; 512]).unwrap(), Tree::default());
}

#[test]
fn compressed_and_concatenated() {
    check(&unpacked(&gzip(&archive(false))).unwrap());
    let mut extra = vec![];
    entry(&mut extra, "more", 0o100644, 6, 2, b"x", false);
    entry(&mut extra, "TRAILER!!!", 0, 0, 1, b"", false);
    let mut all = archive(true);
    all.resize(all.len().next_multiple_of(512), 0);
    all.extend(gzip(&extra));
    all.resize(all.len().next_multiple_of(4), 0);
    all.extend(&extra);
    let t = unpacked(&all).unwrap();
    assert_eq!(t.files["more"].1, b"x");
    // The trailer ends the life of inode numbers: "more" is no link to "one".
    assert_eq!(t.links.len(), 1);
    // Without a trailer, too.
    let mut bare = vec![];
    entry(&mut bare, "f", 0o100644, 1, 1, b"abc", false);
    assert_eq!(unpacked(&bare).unwrap().files["f"].1, b"abc");
}

#[test]
fn errors() {
    let good = archive(false);
    assert_eq!(unpacked(&good[..300]).err(), Some(Error::Truncated));
    assert_eq!(unpacked(b"070707000000").err(), Some(Error::Truncated));
    assert_eq!(unpacked(&b"070707".repeat(30)).err(), Some(Error::OldFormat));
    assert_eq!(unpacked(&b"0xyz".repeat(30)).err(), Some(Error::NoMagic));
    assert_eq!(unpacked(b"junk").err(), Some(Error::BadStart));
    assert_eq!(
        unpacked(b"BZh9").err(),
        Some(Error::Decompress(decompress::Error::NotConfigured(decompress::Method::Bzip2)))
    );
    assert_eq!(unpacked(&gzip(b"junk")).err(), Some(Error::Junk));
    assert_eq!(unpacked(&gzip(&good[..300])).err(), Some(Error::Truncated));
    let mut bad = archive(true);
    let at = bad.windows(5).rposition(|w| w == b"linke").unwrap();
    bad[at] ^= 1;
    assert_eq!(unpacked(&bad).err(), Some(Error::BadChecksum));
    let mut bad = good.clone();
    bad[20] = b'g';
    assert_eq!(unpacked(&bad).err(), Some(Error::BadHeader));
    let mut odd = good.clone();
    odd.push(0);
    odd.extend(&good);
    assert_eq!(unpacked(&odd).err(), Some(Error::BrokenPadding));
    // Behind a compressed archive the alignment counts only for what is a plain one.
    let mut after = gzip(&good);
    while after.len() % 4 != 1 {
        after.push(0);
    }
    after.extend(&good);
    assert_eq!(unpacked(&after).err(), Some(Error::BadStart));
    assert_eq!(errno::Error::from(Error::BadChecksum), EINVAL);
}

proptest! {
    #[test]
    fn in_pieces(cuts in proptest::collection::vec(1usize..200, 1..60), crc in any::<bool>()) {
        let a = archive(crc);
        let (mut p, mut t, mut at) = (Parser::new(), Tree::default(), 0);
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(a.len());
            prop_assert_eq!(p.push(&a[at..end], &mut t), Ok(end - at));
            at = end;
            if at == a.len() { break; }
        }
        prop_assert!(p.is_between());
        check(&t);
    }

    #[test]
    fn damage_never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'F'), Just(b'0')]), 1..6), gz in any::<bool>()) {
        let mut a = archive(true);
        for (at, b) in changes { let n = at.index(a.len()); a[n] = b; }
        let _ = unpacked(&a);
        if gz { let _ = unpacked(&gzip(&a)); }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Messages byte by byte, and answers that are cut or damaged: an error, never a panic.

use errno::code::*;
use p9_proto::*;
use proptest::prelude::*;

fn le(parts: &[(u64, usize)]) -> Vec<u8> {
    parts.iter().flat_map(|(value, len)| value.to_le_bytes().into_iter().take(*len)).collect()
}

#[test]
fn version_as_the_manual_has_it() {
    let bytes = request::version(8192, VERSION).finish(NOTAG, 0).unwrap();
    let mut expected = le(&[(21, 4), (100, 1), (0xffff, 2), (8192, 4), (8, 2)]);
    expected.extend_from_slice(b"9P2000.L");
    assert_eq!(&bytes[..], &expected[..]);
}

#[test]
fn walk_and_write() {
    let names: [&[u8]; 2] = [b"a", b"bc"];
    let bytes = request::walk(1, 2, names.into_iter()).finish(5, 0).unwrap();
    let mut expected = le(&[(24, 4), (110, 1), (5, 2), (1, 4), (2, 4), (2, 2), (1, 2)]);
    expected.push(b'a');
    expected.extend_from_slice(&[2, 0, b'b', b'c']);
    assert_eq!(&bytes[..], &expected[..]);
    // The data is counted though it is elsewhere.
    let bytes = request::write(9, 1 << 40, 100).finish(3, 100).unwrap();
    assert_eq!(&bytes[..], &le(&[(123, 4), (118, 1), (3, 2), (9, 4), (1 << 40, 8), (100, 4)])[..]);
}

#[test]
fn names_that_are_too_long() {
    let name = vec![b'x'; 65536];
    assert_eq!(request::unlinkat(1, &name, 0).finish(1, 0).err(), Some(ENAMETOOLONG));
    assert!(request::unlinkat(1, &name[..65535], 0).finish(1, 0).is_ok());
}

#[test]
fn frames() {
    let frame = Frame::parse(&le(&[(11, 4), (7, 1), (4, 2), (2, 4)])).unwrap();
    assert_eq!(frame, Frame { size: 11, kind: kind::RLERROR, tag: 4 });
    assert_eq!(frame.check(kind::TREAD, &le(&[(2, 4)])), Err(ENOENT));
    assert_eq!(frame.check(kind::TREAD, &le(&[(0, 4)])), Err(EIO));
    assert_eq!(frame.check(kind::TREAD, &le(&[(4096, 4)])), Err(EIO));
    assert_eq!(frame.check(kind::TREAD, &[]), Err(EFAULT));
    let other = Frame { kind: kind::TREAD + 1, ..frame };
    assert_eq!(other.check(kind::TREAD, &[]), Ok(()));
    assert_eq!(other.check(kind::TWRITE, &[]), Err(EIO));
    assert_eq!(Frame::parse(&le(&[(6, 4), (7, 1), (4, 2)])), Err(EINVAL));
    assert_eq!(Frame::parse(&[1, 2, 3]), Err(EINVAL));
}

#[test]
fn answers() {
    let qid = le(&[(0x80, 1), (7, 4), (99, 8)]);
    let wanted = Qid { kind: 0x80, version: 7, path: 99 };
    let mut body = le(&[(1, 2)]);
    body.extend_from_slice(&qid);
    assert_eq!(answer::walked(&body, 2), Ok((Some(wanted), 1)));
    assert_eq!(answer::walked(&body, 0), Err(EINVAL));
    assert_eq!(answer::walked(&le(&[(0, 2)]), 0), Ok((None, 0)));
    assert_eq!(answer::count(&le(&[(5, 4)]), 4), Err(EIO));
    assert_eq!(answer::count(&le(&[(5, 4)]), 5), Ok(5));
    let mut body = le(&[(0x7ff, 8)]);
    body.extend_from_slice(&qid);
    body.extend(le(&[(0o100644, 4), (1, 4), (2, 4), (3, 8), (4, 8), (5, 8), (6, 8), (7, 8)]));
    body.extend(le(&[(10, 8), (11, 8), (12, 8), (13, 8), (14, 8), (15, 8), (16, 8), (17, 8), (18, 8), (19, 8)]));
    let attributes = Attributes::read(&body).unwrap();
    assert_eq!((attributes.mode, attributes.nlink, attributes.size), (0o100644, 3, 5));
    assert_eq!((attributes.mtime, attributes.data_version), ((12, 13), 19));
    for cut in 0..body.len() {
        assert_eq!(Attributes::read(&body[..cut]), Err(EFAULT));
    }
}

fn entry(path: u64, next: u64, name: &[u8]) -> Vec<u8> {
    let mut bytes = le(&[(0, 1), (1, 4), (path, 8), (next, 8), (8, 1), (name.len() as u64, 2)]);
    bytes.extend_from_slice(name);
    bytes
}

#[test]
fn directories() {
    let mut data = entry(1, 10, b"one");
    data.extend(entry(2, 20, b"two"));
    let seen: Vec<_> = Entries::new(&data).map(|entry| entry.unwrap()).collect();
    assert_eq!(
        seen.iter().map(|e| (e.qid.path, e.next, e.name)).collect::<Vec<_>>(),
        [(1, 10, b"one".as_slice()), (2, 20, b"two")]
    );
    for name in [b"".as_slice(), b"a/b", b"a\0b", &[b'x'; 256]] {
        let mut bad = data.clone();
        bad.extend(entry(3, 30, name));
        bad.extend(entry(4, 40, b"later"));
        let seen: Vec<_> = Entries::new(&bad).collect();
        assert_eq!((seen.len(), seen[2]), (3, Err(EIO)));
    }
    data.truncate(data.len() - 1);
    assert_eq!(Entries::new(&data).last(), Some(Err(EIO)));
}

proptest! {
    #[test]
    fn damaged_answers(body in prop::collection::vec(any::<u8>(), 0..300), asked in any::<u32>()) {
        let _ = Frame::parse(&body).map(|frame| frame.check(asked as u8, &body));
        let _ = Version::read(&body);
        let _ = answer::opened(&body);
        let _ = answer::qid(&body);
        let _ = Attributes::read(&body);
        let _ = StatFs::read(&body);
        let _ = GotLock::read(&body);
        if let Ok((_, walked)) = answer::walked(&body, asked as usize % 17) {
            prop_assert!(walked <= asked as usize % 17);
        }
        if let Ok(count) = answer::count(&body, asked) {
            prop_assert!(count <= asked);
        }
        // It ends, and every name is one that a file can have.
        prop_assert!(Entries::new(&body).count() <= body.len() / 24 + 1);
        for entry in Entries::new(&body).flatten() {
            prop_assert!(!entry.name.is_empty() && entry.name.len() <= 255 && !entry.name.contains(&b'/'));
        }
    }

    #[test]
    fn strings_come_back(text in prop::collection::vec(any::<u8>(), 0..2000), cut in any::<usize>()) {
        let bytes = Message::new(1).string(&text).u64(7).finish(2, 0).unwrap();
        let body = &bytes[HEADER..];
        let mut reader = Reader::new(body);
        prop_assert_eq!(reader.string(), Ok(text.as_slice()));
        prop_assert_eq!(reader.take_u64(), Ok(7));
        prop_assert!(reader.rest().is_empty());
        let mut reader = Reader::new(&body[..cut % body.len()]);
        prop_assert!(reader.string().and_then(|_| reader.take_u64()).is_err());
    }
}

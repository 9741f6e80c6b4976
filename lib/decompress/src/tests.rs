// SPDX-License-Identifier: GPL-2.0
//! Host tests: round trips, and damaged streams.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn gzip(data: &[u8], name: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::from([0x1f, 0x8b, 8, if name.is_some() { 8 | 4 } else { 0 }, 0, 0, 0, 0, 0, 3]);
    if let Some(name) = name {
        out.extend([3, 0, 1, 2, 3]);
        out.extend(name);
        out.push(0);
    }
    out.extend(miniz_oxide::deflate::compress_to_vec(data, 6));
    out.extend(crc32(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

fn unpack(data: &[u8], limit: u64) -> Result<(usize, Vec<u8>), Error> {
    let mut out = Vec::new();
    let used = decompress(data, detect(data).ok_or(Error::Corrupt)?, limit, &mut |p| {
        out.extend(p);
        Ok(())
    })?;
    Ok((used, out))
}

/// Data that compresses: repeats at distances up to more than the window.
fn sample(len: usize) -> Vec<u8> {
    let mut x = 1u32;
    let mut v: Vec<u8> = Vec::new();
    while v.len() < len {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let back = (x >> 8) as usize % 40_000;
        if x >> 30 != 0 && v.len() > back {
            let start = v.len() - back;
            let copy = v[start..(start + 60).min(v.len())].to_vec();
            v.extend(copy);
        } else {
            v.extend(x.to_le_bytes());
        }
    }
    v.truncate(len);
    v
}

#[test]
fn crc() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32_update(crc32(b"12345"), b"6789"), 0xcbf4_3926);
}

#[test]
fn long_streams() {
    let data = sample(1_000_000);
    for mut packed in [gzip(&data, None), gzip(&data, Some(b"initrd")), zstd(&data)] {
        let len = packed.len();
        packed.extend(b"next");
        let (used, out) = unpack(&packed, u64::MAX).unwrap();
        assert_eq!(used, len);
        assert!(out == data);
        assert_eq!(unpack(&packed, 999_999), Err(Error::TooLong));
        assert!(unpack(&packed[..len - 1], u64::MAX).is_err());
        assert!(matches!(
            decompress(&packed, detect(&packed).unwrap(), u64::MAX, &mut |_| Err(errno::code::ENOSPC)),
            Err(Error::Sink(errno::code::ENOSPC))
        ));
    }
}

/// A kernel stack has 16 KiB. (Unoptimized code needs more: the test means something with `--release`.)
#[test]
fn fits_a_kernel_stack() {
    let data = sample(300_000);
    let size = if cfg!(debug_assertions) { 256 << 10 } else { 16 << 10 };
    for packed in [gzip(&data, None), zstd(&data)] {
        let run = move || {
            let mut n = 0;
            decompress(&packed, detect(&packed).unwrap(), u64::MAX, &mut |p| {
                n += p.len();
                Ok(())
            })
            .map(|_| n)
        };
        let thread = std::thread::Builder::new().stack_size(size).spawn(run).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(300_000));
    }
}

#[test]
fn checksum_is_checked() {
    let mut packed = gzip(b"hello", None);
    let at = packed.len() - 8;
    packed[at] ^= 1;
    assert_eq!(unpack(&packed, 100), Err(Error::Checksum));
    assert_eq!(unpack(b"\xfd7zXZ\0", 100), Err(Error::NotConfigured(Method::Xz)));
}

proptest! {
    #[test]
    fn round_trip(data in proptest::collection::vec(0u8..4, 0..3000)) {
        prop_assert_eq!(unpack(&gzip(&data, None), u64::MAX).unwrap().1, data.clone());
        prop_assert_eq!(unpack(&zstd(&data), u64::MAX).unwrap().1, data);
    }

    #[test]
    fn damage_is_an_error_or_harmless(zst in any::<bool>(), at in any::<prop::sample::Index>(), x in 1u8.., cut in any::<prop::sample::Index>()) {
        let data = sample(5000);
        let mut packed = if zst { zstd(&data) } else { gzip(&data, None) };
        let n = at.index(packed.len());
        packed[n] ^= x;
        let _ = unpack(&packed, 1 << 20);
        let _ = unpack(&packed[..cut.index(packed.len())], 1 << 20);
    }
}

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

/// What a program of the host makes of `data`.
fn packed_by(program: &str, options: &str, data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = std::process::Command::new(program)
        .args(options.split_whitespace())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} (scripts/deps.py): {error}"));
    let mut input = child.stdin.take().unwrap();
    let (data, writer) = (data.to_vec(), std::thread::spawn);
    let writer = writer(move || input.write_all(&data));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {options}");
    output.stdout
}

fn xz(data: &[u8]) -> Vec<u8> {
    packed_by("xz", "-c -T1 --check=crc32", data)
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
    for mut packed in [gzip(&data, None), gzip(&data, Some(b"initrd")), zstd(&data), xz(&data)] {
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
    for packed in [gzip(&data, None), zstd(&data), xz(&data)] {
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
    assert_eq!(unpack(b"\xfd7zXZ\0", 100), Err(Error::Truncated));
    let data = sample(5000);
    for mut packed in [xz(&data), packed_by("xz", "-c --check=crc64", &data), packed_by("zstd", "-c --check", &data)] {
        // The block's check stands before its padding's end: the index's 12 bytes and the footer's follow; a frame's is the last.
        let at = if packed.starts_with(b"\xfd7") { packed.len() - 12 - 12 } else { packed.len() - 1 };
        packed[at] ^= 1;
        assert!(matches!(unpack(&packed, 1 << 20), Err(Error::Checksum | Error::Corrupt)));
    }
    assert_eq!(crc64_update(0, b"123456789"), 0x995d_c9bb_df19_39fa);
}

/// Data of several kinds: nothing, one byte, text, bytes of any value, one value, repeats further back than small windows.
fn kinds() -> Vec<Vec<u8>> {
    let text: Vec<u8> =
        (0..40_000u32).flat_map(|i| std::format!("line {} of a text, {}\n", i, i * i % 977).into_bytes()).collect();
    let mut x = 7u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    })
    .take(300_000)
    .collect();
    let far = [&noise[..], &sample(1_200_000), &noise[..]].concat();
    let skewed: Vec<u8> = noise.iter().map(|byte| byte & byte >> 3 & 0x3f).collect();
    Vec::from([Vec::new(), Vec::from([9]), text, noise, Vec::from([7; 1_000_000]), far, skewed, sample(70_000)])
}

#[test]
fn what_the_programs_make() {
    let kinds = kinds();
    let rows = [
        ("xz", "-c -T1 -0"),
        ("xz", "-c -T1 -6 --check=crc32"),
        ("xz", "-c -T1 --check=none --lzma2=preset=9,lc=1,lp=3,pb=0"),
        ("xz", "-c -T1 --lzma2=dict=64KiB,lc=0,lp=0,pb=4"),
        ("xz", "-c -T2 --block-size=65536"),
        ("zstd", "-c -1"),
        ("zstd", "-c -3 --no-check"),
        ("zstd", "-c -19"),
        ("zstd", "-c --ultra -22 --long=27"),
        ("zstd", "-c --fast=5"),
    ];
    for (program, options) in rows {
        let (mut xz, mut zstd) = (xz::Decoder::new(GFP_KERNEL).unwrap(), zstd::Decoder::new(GFP_KERNEL).unwrap());
        for data in &kinds {
            let packed = packed_by(program, options, data);
            let (used, out) = unpack(&packed, u64::MAX).unwrap_or_else(|e| panic!("{program} {options}: {e:?}"));
            assert!(used == packed.len() && out == *data, "{program} {options}: {} bytes", data.len());
            // Into memory of the very size, with a decoder that was used before.
            let mut whole = std::vec![1; data.len()];
            let mut decode =
                |to: &mut [u8]| if program == "xz" { xz.decode(&packed, to) } else { zstd.decode(&packed, to) };
            assert_eq!(decode(&mut whole), Ok(data.len()));
            assert!(whole == *data, "{program} {options}: {} bytes at once", data.len());
            if let Some(short) = whole.split_last_mut().map(|(_, short)| short) {
                assert!(matches!(decode(short), Err(Error::TooLong)), "{program} {options}");
            }
        }
    }
}

#[test]
fn filters_of_machine_code() {
    // Any bytes do; those of programs have more of what is changed.
    let code = std::fs::read("/proc/self/exe").unwrap();
    let code = &code[..code.len().min(600_000)];
    for filter in ["x86", "powerpc", "arm", "armthumb", "sparc"] {
        for data in [code, &kinds()[3], &kinds()[6]] {
            // 0xe8 and 0xe9 in heaps, too.
            let data: Vec<u8> = data.iter().map(|byte| if byte & 0x3c == 0x28 { byte | 0xe8 } else { *byte }).collect();
            let packed = packed_by("xz", &std::format!("-c --{filter} --lzma2=preset=0"), &data);
            let mut out = std::vec![0; data.len()];
            assert_eq!(xz::Decoder::new(GFP_KERNEL).unwrap().decode(&packed, &mut out), Ok(data.len()));
            assert!(out == data, "{filter}");
            assert_eq!(unpack(&packed, u64::MAX), Err(Error::NotConfigured(Method::Xz)));
        }
    }
    let packed = packed_by("xz", "-c --ia64 --lzma2=preset=0", b"text");
    assert_eq!(unpack(&packed, 100), Err(Error::NotConfigured(Method::Xz)));
    assert_eq!(unpack(&packed_by("xz", "-c --check=sha256", b"text"), 100), Err(Error::NotConfigured(Method::Xz)));
}

proptest! {
    #[test]
    fn round_trip(data in proptest::collection::vec(0u8..4, 0..3000)) {
        prop_assert_eq!(unpack(&gzip(&data, None), u64::MAX).unwrap().1, data.clone());
        prop_assert_eq!(unpack(&zstd(&data), u64::MAX).unwrap().1, data);
    }

    #[test]
    fn any_block(block in prop::collection::vec(any::<u8>(), 0..300), single in any::<bool>()) {
        // A frame of one compressed block, and a stream of chunks.
        let mut frame = Vec::from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x38]);
        if single {
            frame.truncate(4);
            frame.extend([0x60, 0xff, 0x07]);
        }
        let head = (block.len() as u32) << 3 | 5;
        frame.extend(&head.to_le_bytes()[..3]);
        frame.extend(&block);
        let mut to = std::vec![0; 10_000];
        let _ = zstd::Decoder::new(GFP_KERNEL).unwrap().decode(&frame, &mut to);
        let _ = unpack(&frame, 1 << 20);
        let mut stream = Vec::from(*b"\xfd7zXZ\0\0\0");
        stream.extend(crc32(&[0, 0]).to_le_bytes());
        let header = [2, 0, 0x21, 1, 8, 0, 0, 0];
        stream.extend(header);
        stream.extend(crc32(&header).to_le_bytes());
        stream.extend([0xe0, 0x10, 0x00, 0, 250, 0x5d, 0]);
        stream.extend(&block);
        let _ = xz::Decoder::new(GFP_KERNEL).unwrap().decode(&stream, &mut to);
        let _ = unpack(&stream, 1 << 20);
    }

    #[test]
    fn damage_is_an_error_or_harmless(kind in 0usize..4, at in any::<prop::sample::Index>(), x in 1u8.., cut in any::<prop::sample::Index>()) {
        static PACKED: std::sync::OnceLock<[Vec<u8>; 4]> = std::sync::OnceLock::new();
        let packed = PACKED.get_or_init(|| {
            let data = sample(5000);
            [gzip(&data, None), zstd(&data), xz(&data), packed_by("zstd", "-c -19 --no-check", &data)]
        });
        let mut packed = packed[kind].clone();
        let n = at.index(packed.len());
        packed[n] ^= x;
        let _ = unpack(&packed, 1 << 20);
        let (mut to, mut xz) = ([0; 6000], xz::Decoder::new(GFP_KERNEL).unwrap());
        let _ = xz.decode(&packed, &mut to);
        let _ = zstd::Decoder::new(GFP_KERNEL).unwrap().decode(&packed, &mut to[..4000]);
        // The CRCs hide what is behind them: the chunk alone, damaged.
        let _ = unpack(&packed[..cut.index(packed.len())], 1 << 20);
    }
}

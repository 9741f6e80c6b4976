// SPDX-License-Identifier: GPL-2.0
//! Reads a file through one descriptor in the order that `way=` names, and looks at every byte: each block of 4 KB holds its number, again
//! and again (`make=MB` writes such a file). `advice=` is given first. Prints how many bytes were read.

use ext4_tests::sys::{File, path};
use ext4_tests::{Rng, Words};

const BLOCK: u64 = 4096;

/// The byte at `offset`.
fn byte(offset: u64) -> u8 {
    (offset / BLOCK).to_le_bytes()[(offset % 8) as usize]
}

/// Reads at `offset`, and looks at what came.
fn read(file: &File, offset: u64, data: &mut [u8]) -> usize {
    let count = file.read(data, offset).unwrap_or_else(|error| panic!("read at {offset}: {error}"));
    for (at, found) in data[..count].iter().enumerate() {
        assert_eq!(*found, byte(offset + at as u64), "byte {}", offset + at as u64);
    }
    count
}

fn make(file: &File, bytes: u64) {
    let mut data = vec![0; 256 * BLOCK as usize];
    let mut at = 0;
    while at < bytes {
        for (n, to) in data.iter_mut().enumerate() {
            *to = byte(at + n as u64);
        }
        assert_eq!(file.write(&data, at), Ok(data.len()));
        at += data.len() as u64;
    }
    file.sync(false).expect("fsync");
}

fn main() {
    let words = Words::new();
    let name = path(words.text("file").expect("file="));
    if let Some(megabytes) = words.text("make") {
        let file = File::open(&name, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o644).expect("file");
        make(&file, megabytes.parse::<u64>().expect("make=MB") << 20);
        return println!("streams: made");
    }
    let file = File::open(&name, libc::O_RDONLY, 0).expect("file");
    if let Some(advice) = words.text("advice") {
        let advice = match advice {
            "random" => libc::POSIX_FADV_RANDOM,
            "sequential" => libc::POSIX_FADV_SEQUENTIAL,
            "noreuse" => libc::POSIX_FADV_NOREUSE,
            other => panic!("advice={other}"),
        };
        file.advise(advice).expect("fadvise");
    }
    let size = file.stat().expect("stat").st_size.unsigned_abs();
    let piece = words.number("bs", BLOCK);
    let mut data = vec![0; piece as usize];
    let mut done = 0;
    match words.text("way").expect("way=") {
        "forward" => (0..size).step_by(piece as usize).for_each(|at| done += read(&file, at, &mut data)),
        "backward" => (0..size / piece).rev().for_each(|n| done += read(&file, n * piece, &mut data)),
        "strided" => (0..size / piece).step_by(2).for_each(|n| done += read(&file, n * piece, &mut data)),
        "interleaved" => {
            let streams = words.number("streams", 2);
            let part = size / streams / piece * piece;
            for at in (0..part).step_by(piece as usize) {
                (0..streams).for_each(|stream| done += read(&file, stream * part + at, &mut data));
            }
        }
        // As one who gets a part of what he wants, and asks for the rest again.
        "retried" => {
            let (large, took) = (100 * BLOCK, 10 * BLOCK);
            let mut data = vec![0; large as usize];
            for from in (0..size).step_by(large as usize) {
                for at in (0..large).step_by(took as usize) {
                    let left = (large - at).min(size.saturating_sub(from + at)) as usize;
                    read(&file, from + at, &mut data[..left]);
                    done += left.min(took as usize);
                }
            }
        }
        "random" => {
            let mut rng = Rng::new(words.number("seed", 1));
            (0..words.number("count", 200))
                .for_each(|_| done += read(&file, rng.below(size / piece) * piece, &mut data));
        }
        other => panic!("way={other}"),
    }
    println!("streams: {done} bytes");
}

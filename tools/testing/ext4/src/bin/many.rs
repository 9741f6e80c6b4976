// SPDX-License-Identifier: GPL-2.0
//! Makes many small files: `files=` of them below `top=`, a thousand to a directory but for the last quarter, which shares one. Sizes,
//! modes and attributes follow from the number. `threads=`: how many make them. `dirs=`: so many empty directories too; `pieces=`: a file of so many
//! pieces with holes between them.

use ext4_tests::sys::{self, File, path};
use ext4_tests::{Words, fill};

/// File `number` in `dir`.
fn make(dir: &str, number: u64, data: &mut [u8]) {
    let name = path(&format!("{dir}/file number {number}"));
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let file = File::open(&name, flags, 0o600 | (number % 64) as u32).expect("a file");
    let length = (number * 7 % 3000) as usize;
    let data = &mut data[..length];
    fill(number, 0, data);
    assert_eq!(file.write(data, 0), Ok(length), "file {number}");
    if number.is_multiple_of(50) {
        sys::set_xattr(&name, c"user.number", number.to_string().as_bytes()).expect("an attribute");
    }
}

fn main() {
    let words = Words::new();
    let (top, files) = (words.text("top").expect("top="), words.number("files", 1000));
    let threads = words.number("threads", 1);
    sys::mkdir(&path(top), 0o755).expect("the top");
    let crowd = files - files / 4;
    sys::mkdir(&path(&format!("{top}/crowd")), 0o755).expect("a directory");
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut data = vec![0u8; 3001];
                for part in (thread..crowd.div_ceil(1000)).step_by(threads as usize) {
                    let dir = format!("{top}/d{part}");
                    sys::mkdir(&path(&dir), 0o755).expect("a directory");
                    (part * 1000..crowd.min((part + 1) * 1000)).for_each(|number| make(&dir, number, &mut data));
                }
                // All threads in the one large directory.
                let dir = format!("{top}/crowd");
                (crowd + thread..files).step_by(threads as usize).for_each(|number| make(&dir, number, &mut data));
            });
        }
    });
    for number in 0..words.number("dirs", 0) {
        sys::mkdir(&path(&format!("{top}/dir{number}")), 0o755).expect("a directory");
    }
    let pieces = words.number("pieces", 0);
    if pieces != 0 {
        let file = File::open(&path(&format!("{top}/pieces")), libc::O_WRONLY | libc::O_CREAT, 0o644).expect("a file");
        let mut data = [0; 1000];
        for piece in 0..pieces {
            fill(piece, 0, &mut data);
            assert_eq!(file.write(&data, piece * 8192), Ok(data.len()), "piece {piece}");
        }
    }
    println!("many: {files} files");
}

// SPDX-License-Identifier: GPL-2.0
//! Makes many small files: `files=` of them below `top=`, a thousand to a directory but for the last quarter, which shares one. Sizes,
//! modes and attributes follow from the number.

use ext4_tests::sys::{self, File, path};
use ext4_tests::{Words, fill};

fn main() {
    let words = Words::new();
    let (top, files) = (words.text("top").expect("top="), words.number("files", 1000));
    sys::mkdir(&path(top), 0o755).expect("the top");
    let crowd = files - files / 4;
    sys::mkdir(&path(&format!("{top}/crowd")), 0o755).expect("a directory");
    let mut data = vec![0u8; 3001];
    for number in 0..files {
        let dir = if number < crowd { format!("{top}/d{}", number / 1000) } else { format!("{top}/crowd") };
        if number < crowd && number % 1000 == 0 {
            sys::mkdir(&path(&dir), 0o755).expect("a directory");
        }
        let name = path(&format!("{dir}/file number {number}"));
        let file = File::open(&name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o600 | (number % 64) as u32)
            .expect("a file");
        let length = (number * 7 % 3000) as usize;
        fill(number, 0, &mut data[..length]);
        assert_eq!(file.write(&data[..length], 0), Ok(length), "file {number}");
        if number % 50 == 0 {
            sys::set_xattr(&name, c"user.number", number.to_string().as_bytes()).expect("an attribute");
        }
    }
    println!("many: {files} files");
}

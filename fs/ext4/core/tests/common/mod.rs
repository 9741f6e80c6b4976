// SPDX-License-Identifier: GPL-2.0
//! For tests: images made by e2fsprogs, and a file system in memory over one.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod vfs;

use ext4_core::format::SuperBlock;
use ext4_core::store::host::HostStore;
use ext4_core::{Fs, Geometry, Inode, Options, State};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory for this process, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ext4-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // In memory where there is such a place: images are small, and many.
        let shared = Path::new("/dev/shm");
        let path = if shared.is_dir() { shared.join(name) } else { std::env::temp_dir().join(name) };
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program of e2fsprogs (in /sbin, which not every PATH has); gives its status and output.
pub fn run(program: &str, arguments: &[&str]) -> (i32, String) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out = Command::new("env")
        .arg(format!("PATH={path}"))
        .arg("E2FSPROGS_FAKE_TIME=1700000000")
        .arg(program)
        .args(arguments)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    // The line with the version is in no one's way but ours.
    let text = text.lines().filter(|line| !line.starts_with("debugfs 1.")).collect::<Vec<_>>().join("\n");
    (out.status.code().unwrap_or(-1), text)
}

/// Makes an image; `words` are mke2fs's options.
pub fn mkfs(image: &Path, words: &str, size: &str, from: Option<&Path>) {
    let mut arguments = vec!["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=1"];
    arguments.extend(words.split_whitespace());
    let from = from.map(|path| path.to_str().unwrap().to_string());
    if let Some(from) = &from {
        arguments.extend(["-d", from]);
    }
    arguments.extend([image.to_str().unwrap(), size]);
    let _ = std::fs::remove_file(image);
    let (status, text) = run("mke2fs", &arguments);
    assert_eq!(status, 0, "mke2fs {words}: {text}");
}

/// Commands to debugfs, which may write.
pub fn debugfs(image: &Path, commands: &[String]) -> String {
    let script = image.with_extension("cmd");
    std::fs::write(&script, commands.join("\n")).unwrap();
    let (_, text) = run("debugfs", &["-w", "-f", script.to_str().unwrap(), image.to_str().unwrap()]);
    text
}

/// `e2fsck -fn`; its complaints, or None if all is well.
pub fn fsck(image: &Path) -> Option<String> {
    let (status, text) = run("e2fsck", &["-fn", image.to_str().unwrap()]);
    (status != 0).then(|| format!("status {status}: {text}"))
}

/// Mounts the bytes of an image.
pub fn mount_bytes(bytes: Vec<u8>, read_only: bool) -> errno::Result<Fs<HostStore>> {
    let sb = SuperBlock::parse(bytes.get(1024..).unwrap_or(&[])).ok_or(errno::code::EINVAL)?;
    let geo = Geometry::new(&sb, read_only)?;
    let store = HostStore::new(bytes, geo.block_size);
    Fs::mount(store, Options { read_only, ..Options::default() })
}

pub fn mount(image: &Path, read_only: bool) -> Fs<HostStore> {
    mount_bytes(std::fs::read(image).unwrap(), read_only).unwrap()
}

/// Content of a regular file.
pub fn read_file(fs: &Fs<HostStore>, inode: &Inode) -> errno::Result<Vec<u8>> {
    if inode.is_inline() {
        return Ok(fs.inline_read(inode)?.to_vec());
    }
    let size = inode.raw.size as usize;
    let bs = fs.geo.block_size;
    let mut data = vec![0; size];
    let mut at = 0u32;
    let end = size.div_ceil(bs) as u32;
    while at < end {
        let found = fs.map(inode, at, end - at)?;
        if let State::Written(block) = found.state {
            for i in 0..found.len {
                let from = (at + i) as usize * bs;
                let to = (from + bs).min(size);
                data[from..to].copy_from_slice(&fs.store.read_data(block + u64::from(i))[..to - from]);
            }
        }
        at += found.len;
    }
    Ok(data)
}

/// Names of a directory with inode and type, in the order of the listing.
pub fn list(fs: &Fs<HostStore>, dir: &Inode) -> errno::Result<Vec<(Vec<u8>, u32, u8)>> {
    let mut names = Vec::new();
    let mut cursor = ext4_core::Cursor::default();
    // In small portions, as getdents does.
    loop {
        let before = names.len();
        fs.list(dir, &mut cursor, |found| {
            if names.len() - before == 7 {
                return false;
            }
            names.push((found.name.to_vec(), found.ino, found.file_type));
            true
        })?;
        if names.len() == before {
            return Ok(names);
        }
    }
}

/// A simple generator of numbers that repeats.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Images of mksquashfs: each method and option gives back what went in; damaged ones give errors, never a panic or a loop.
//! `SQUASHFS_MUTATIONS` damages more (default 300).

use errno::code::EIO;
use kalloc::{Arc, KVec};
use squashfs_format::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// An image in memory; keeps a few blocks.
struct Memory {
    bytes: Vec<u8>,
    kept: Mutex<Vec<(bool, u64, Arc<Block>)>>,
    decoders: Mutex<Vec<Decoder>>,
}

impl Memory {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, kept: Mutex::new(Vec::new()), decoders: Mutex::default() }
    }
}

impl Store for Memory {
    fn read(&self, pos: u64, to: &mut [u8]) -> errno::Result {
        let pos = usize::try_from(pos).map_err(|_| EIO)?;
        let end = pos.checked_add(to.len()).ok_or(EIO)?;
        to.copy_from_slice(self.bytes.get(pos..end).ok_or(EIO)?);
        Ok(())
    }

    fn find(&self, kind: Kind, pos: u64) -> Option<Arc<Block>> {
        let kept = self.kept.lock().unwrap();
        kept.iter().find(|(meta, at, _)| *meta == (kind == Kind::Metadata) && *at == pos).map(|found| found.2.clone())
    }

    fn keep(&self, kind: Kind, pos: u64, block: &Arc<Block>) {
        let mut kept = self.kept.lock().unwrap();
        if kept.len() == 4 {
            kept.remove(0);
        }
        kept.push((kind == Kind::Metadata, pos, block.clone()));
    }

    fn take_decoder(&self) -> Option<Decoder> {
        self.decoders.lock().unwrap().pop()
    }

    fn keep_decoder(&self, decoder: Decoder) {
        self.decoders.lock().unwrap().push(decoder);
    }
}

fn open(bytes: &[u8]) -> Result<Image<Memory>, errno::Error> {
    let len = bytes.len() as u64;
    Image::open(Memory::new(bytes.to_vec()), len).map_err(|(error, _)| error)
}

struct Work(PathBuf);

impl Work {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("squashfs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("source")).unwrap();
        Self(path)
    }

    fn make(&self, options: &str) -> Vec<u8> {
        let image = self.0.join("image");
        let status = Command::new("mksquashfs")
            .args([self.0.join("source"), image.clone()])
            .args(["-noappend", "-quiet", "-no-progress", "-xattrs", "-processors", "1"])
            .args(options.split_whitespace())
            .stdout(std::process::Stdio::null())
            .status()
            .expect("mksquashfs (Debian's squashfs-tools)");
        assert!(status.success(), "{options}");
        std::fs::read(image).unwrap()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let mut out = Vec::with_capacity(len + 64);
    while out.len() < len {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if x >> 31 == 0 && out.len() > 50 {
            let back = (x >> 8) as usize % out.len().min(30_000).max(1);
            let start = out.len() - 1 - back;
            let end = (start + 40).min(out.len());
            out.extend_from_within(start..end);
        } else {
            out.extend(x.to_le_bytes());
        }
    }
    out.truncate(len);
    out
}

fn populate(top: &Path) {
    for (i, len) in [0, 1, 100, 4095, 4096, 4097, 131_071, 131_072, 131_073, 300_000, 1_200_000].iter().enumerate() {
        std::fs::write(top.join(format!("file{i}")), text(*len, i as u32)).unwrap();
    }
    let mut holes = vec![0u8; 900_000];
    holes[500_000..500_100].fill(7);
    std::fs::write(top.join("holes"), holes).unwrap();
    let many = top.join("many");
    std::fs::create_dir(&many).unwrap();
    for i in 0..1500 {
        std::fs::write(many.join(format!("a name that is not short, number {i}")), format!("{i}")).unwrap();
    }
    std::fs::create_dir_all(top.join("deep/deeper/deepest")).unwrap();
    std::os::unix::fs::symlink("where/it/leads", top.join("deep/link")).unwrap();
    std::fs::hard_link(top.join("file3"), top.join("deep/hard")).unwrap();
}

/// Every path with its content, of an image.
fn walk(image: &Image<Memory>) -> Result<BTreeMap<String, Vec<u8>>, errno::Error> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), image.sb.root)];
    let mut steps = 0;
    while let Some((path, at)) = todo.pop() {
        let inode = image.inode(at)?;
        let mut names = KVec::new();
        image.xattrs(inode.xattr, |space, name| {
            let value = image.xattr(inode.xattr, space, name)?;
            names.extend_from_slice(&value.unwrap_or_default(), kalloc::flags::GFP_KERNEL)?;
            Ok(())
        })?;
        match &inode.data {
            Data::Dir { .. } => {
                let mut reader = image.list(&inode, 0)?;
                while let Some(entry) = reader.next(image)? {
                    let name = String::from_utf8_lossy(reader.name()).into_owned();
                    if steps % 16 == 0 {
                        let found = image.lookup(&inode, reader.name())?;
                        if found.is_some_and(|found| found.at != entry.at) {
                            return Err(EIO);
                        }
                    }
                    todo.push((format!("{path}/{name}"), entry.at));
                    steps += 1;
                    // A damaged directory may lead back up.
                    if steps > 5000 {
                        return Err(EIO);
                    }
                }
                out.insert(path, Vec::new());
            }
            Data::Reg { .. } => {
                // A damaged size may be large.
                if inode.size > 8 << 20 {
                    return Err(EIO);
                }
                let content = read(image, &inode)?;
                out.insert(path, content);
            }
            Data::Link(target) => {
                out.insert(path, target.to_vec());
            }
            _ => {
                out.insert(path, Vec::new());
            }
        }
    }
    Ok(out)
}

fn read(image: &Image<Memory>, inode: &Inode) -> Result<Vec<u8>, errno::Error> {
    let mut map = FileMap::new();
    let mut content = Vec::new();
    let unit = u64::from(image.sb.block_size);
    for number in 0..inode.size.div_ceil(unit) {
        let len = (inode.size - number * unit).min(unit) as usize;
        match map.locate(image, inode, number)? {
            BlockAt::Hole => content.resize(content.len() + len, 0),
            BlockAt::Data(pos, word) => content.extend_from_slice(&image.file_block(pos, word, len)?),
            BlockAt::Fragment(block, at) => {
                content.extend_from_slice(at.checked_add(len).and_then(|end| block.data.get(at..end)).ok_or(EIO)?)
            }
        }
    }
    Ok(content)
}

fn source(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), top.to_path_buf())];
    while let Some((name, path)) = todo.pop() {
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                todo.push((format!("{name}/{}", entry.file_name().to_string_lossy()), entry.path()));
            }
            out.insert(name, Vec::new());
        } else if kind.is_symlink() {
            out.insert(name, std::fs::read_link(&path).unwrap().to_string_lossy().into_owned().into_bytes());
        } else {
            out.insert(name, std::fs::read(&path).unwrap());
        }
    }
    out
}

const ROWS: &[&str] = &[
    "-comp gzip",
    "-comp xz",
    "-comp xz -Xbcj x86 -b 64K",
    "-comp xz -Xbcj arm,armthumb,powerpc,sparc -b 1M",
    "-comp zstd",
    "-comp lzo",
    "-comp lz4 -Xhc",
    "-comp zstd -b 1M -Xcompression-level 19",
    "-comp zstd -b 4K -Xcompression-level 1",
    "-comp gzip -b 4K -no-fragments",
    "-comp gzip -noI -noD -noF -noX",
    "-comp gzip -always-use-fragments -no-exports",
];

#[test]
fn gives_back_what_went_in() {
    let work = Work::new("rows");
    populate(&work.0.join("source"));
    let expected = source(&work.0.join("source"));
    for options in ROWS {
        let bytes = work.make(options);
        // A kernel stack has 16 KiB; unoptimized code needs more, and the walk has its share.
        let size = if cfg!(debug_assertions) { 128 << 10 } else { 24 << 10 };
        let run = move || walk(&open(&bytes).unwrap());
        let found = std::thread::Builder::new().stack_size(size).spawn(run).unwrap().join().unwrap();
        let found = found.unwrap_or_else(|error| panic!("{options}: {error:?}"));
        assert!(found == expected, "{options}: another tree");
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
}

#[test]
fn damage_gives_errors() {
    let count: usize = std::env::var("SQUASHFS_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let work = Work::new("damage");
    let top = work.0.join("source");
    std::fs::create_dir(top.join("many")).unwrap();
    for i in 0..400 {
        std::fs::write(top.join(format!("many/a name that is not short, number {i}")), text(i * 3, i as u32)).unwrap();
    }
    std::fs::write(top.join("file"), text(40_000, 9)).unwrap();
    std::os::unix::fs::symlink("where/it/leads", top.join("link")).unwrap();
    let mut failed = 0;
    for (seed, options) in
        ["-comp gzip -b 8K -noI -noX", "-comp xz -b 8K", "-comp zstd -b 8K", "-comp lzo -b 8K", "-comp lz4 -b 8K"]
            .iter()
            .enumerate()
    {
        let good = work.make(options);
        let used = open(&good).unwrap().sb.bytes_used as usize;
        let mut random = Random(0x9e37_79b9 + seed as u64);
        for round in 0..count / 5 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(4) {
                // The superblock, what stands behind the data, or anything.
                let at = match round % 3 {
                    0 => random.below(96),
                    1 => used - 1 - random.below(used / 3),
                    _ => random.below(used),
                };
                bytes[at] = match random.below(3) {
                    0 => bytes[at] ^ 1 << random.below(8),
                    1 => 0xff,
                    _ => random.below(256) as u8,
                };
            }
            if round % 16 == 7 {
                bytes.truncate(random.below(used));
            }
            failed += usize::from(open(&bytes).and_then(|image| walk(&image)).is_err());
        }
    }
    assert!(failed > count / 5, "only {failed} of {count} were found damaged");
}

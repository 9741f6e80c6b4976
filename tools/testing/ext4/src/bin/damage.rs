// SPDX-License-Identifier: GPL-2.0
//! Damaged images, many in one run: each is made on the disk from a sound one and a list of changed bytes, mounted, read as a whole,
//! written to and unmounted. Every step may fail; none may take for ever.
//!
//! `disk=` the disk to make them on; `sound=` the disk with the sound images, `size=` bytes each; `cases=` a file with a line for each
//! image: number, index of the sound image, `errors=` policy, changes as `offset:bytes`. `first=`, `count=` choose among them.
//! Prints `done N` now and then, what was wrong, and counts of errors at the end.

use ext4_tests::sys::{self, File, Pages, path};
use ext4_tests::{Rng, Words};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Seconds after which an image is said to hang.
static LIMIT: AtomicU64 = AtomicU64::new(30);
/// The image at hand, and the step it is at.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static STEP: AtomicU64 = AtomicU64::new(0);
const STEPS: [&str; 6] = ["making", "mounting", "reading", "writing", "syncing", "unmounting"];

fn step(number: usize) {
    STEP.store(number as u64, Relaxed);
}

/// Says so when an image takes too long.
fn watch() {
    let (mut last, mut since) = (u64::MAX, 0);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = IMAGE.load(Relaxed);
        since = if now == last { since + 1 } else { 0 };
        last = now;
        if since == LIMIT.load(Relaxed) {
            println!("HANG {now} at {}", STEPS[STEP.load(Relaxed) as usize]);
            // Who waits, who runs, and where: on the console.
            std::fs::write("/proc/sys/kernel/printk", "8").ok();
            for key in ["w", "l"] {
                std::fs::write("/proc/sysrq-trigger", key).ok();
                std::thread::sleep(Duration::from_secs(1));
            }
            println!("END OF HANG");
        }
    }
}

/// Errors by step and number.
#[derive(Default)]
struct Seen(BTreeMap<(&'static str, i32), u64>);

impl Seen {
    /// Counts the error, if it is one.
    fn note<T>(&mut self, what: &'static str, result: sys::Result<T>) -> Option<T> {
        result.map_err(|errno| *self.0.entry((what, errno)).or_default() += 1).ok()
    }
}

fn join(dir: &CStr, name: &CStr) -> CString {
    let mut text = dir.to_bytes().to_vec();
    text.push(b'/');
    text.extend_from_slice(name.to_bytes());
    CString::new(text).expect("names have no NUL")
}

/// Reads a file's data where it has some, and asks for its runs.
fn read_file(name: &CStr, seen: &mut Seen, buffer: &mut [u8]) {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let Some(file) = seen.note("open", File::open(name, flags, 0)) else { return };
    seen.note("fiemap", sys::fiemap(&file, 0, 64));
    let mut at = 0;
    for _ in 0..12 {
        let Some(data) = seen.note("seek", file.seek(at, libc::SEEK_DATA)) else { break };
        let Some(end) = seen.note("seek", file.seek(data, libc::SEEK_HOLE)) else { break };
        let mut from = data;
        while from < end && from - data < 1 << 20 {
            match seen.note("read", file.read(buffer, from)) {
                Some(0) | None => break,
                Some(length) => from += length as u64,
            }
        }
        if end <= at {
            break;
        }
        at = end;
    }
}

/// Reads the whole tree, as far as it goes; the entries seen.
fn read_tree(dir: &CStr, depth: usize, left: &mut u64, seen: &mut Seen, buffer: &mut [u8]) {
    let Some((names, more)) = seen.note("readdir", sys::list(dir, 5000)) else { return };
    if more {
        println!("ENDLESS {} {dir:?}", IMAGE.load(Relaxed));
    }
    for name in names {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let name = join(dir, &name);
        let Some(st) = seen.note("stat", sys::lstat(&name)) else { continue };
        for key in seen.note("listxattr", sys::list_xattrs(&name)).unwrap_or_default() {
            seen.note("getxattr", sys::get_xattr(&name, &key));
        }
        match st.st_mode & libc::S_IFMT {
            libc::S_IFDIR if depth < 20 => read_tree(&name, depth + 1, left, seen, buffer),
            libc::S_IFREG => read_file(&name, seen, buffer),
            libc::S_IFLNK => drop(seen.note("readlink", sys::readlink(&name))),
            _ => {}
        }
    }
}

/// Changes of every kind, also of what is damaged.
fn change(seen: &mut Seen, rng: &mut Rng) {
    let data = [0x5au8; 20000];
    let make = libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK;
    seen.note("mkdir", sys::mkdir(c"new", 0o755));
    for number in 0..12 {
        let name = path(&format!("new/f{number}"));
        if let Some(file) = seen.note("create", File::open(&name, make, 0o644)) {
            seen.note("write", file.write(&data[..(number * 1700) as usize], rng.below(3) * 5000));
        }
        seen.note("setxattr", sys::set_xattr(&name, c"user.some", &data[..(number * 30) as usize]));
    }
    seen.note("symlink", sys::symlink(c"target", c"new/soft"));
    seen.note("link", sys::link(c"sparse", c"new/hard"));
    seen.note("rename", sys::rename(c"sparse", c"new/sparse"));
    let (names, _) = sys::list(c"many", 100).unwrap_or_default();
    for (number, name) in names.iter().enumerate() {
        let name = join(c"many", name);
        match number % 4 {
            0 => drop(seen.note("unlink", sys::unlink(&name))),
            1 => drop(seen.note("rename", sys::rename(&name, &path(&format!("new/moved{number}"))))),
            2 => drop(seen.note("truncate", sys::truncate(&name, 3000))),
            _ => {}
        }
    }
    let (names, _) = sys::list(c".", 200).unwrap_or_default();
    for name in names {
        let Ok(st) = sys::lstat(&name) else { continue };
        if st.st_mode & libc::S_IFMT == libc::S_IFREG {
            let Some(file) = seen.note("open", File::open(&name, libc::O_RDWR | libc::O_NONBLOCK, 0)) else { continue };
            seen.note("write", file.write(&data[..3000], rng.below(40000)));
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            match rng.below(4) {
                0 => drop(seen.note("punch", file.fallocate(hole, 2000, 9000))),
                1 => drop(seen.note("fallocate", file.fallocate(0, 30000, 60000))),
                2 => drop(seen.note("truncate", file.truncate(rng.below(5000)))),
                _ => drop(seen.note("collapse", file.fallocate(libc::FALLOC_FL_COLLAPSE_RANGE, 4096, 4096))),
            }
            seen.note("fsync", file.sync(false));
        }
    }
    seen.note("rmdir", sys::rmdir(c"new"));
}

/// The state of /mnt in /proc/mounts: read-only?
fn read_only() -> bool {
    let text = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    text.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some("/mnt")
            && words.nth(1).is_some_and(|options| options.split(',').any(|option| option == "ro"))
    })
}

/// One image, which is on the disk.
fn try_image(disk: &CStr, policy: &str, number: u64, seen: &mut Seen, buffer: &mut [u8]) {
    let options = path(&format!("errors={policy}"));
    for round in 0..2 {
        sys::klog();
        step(1);
        let flags = if round == 1 { libc::MS_RDONLY } else { 0 };
        if seen.note("mount", sys::mount(disk, c"/mnt", c"ext4", flags, &options)).is_none() {
            return;
        }
        step(2);
        std::env::set_current_dir("/mnt").ok();
        let mut left = 3000;
        read_tree(c".", 0, &mut left, seen, buffer);
        if round == 0 {
            step(3);
            change(seen, &mut Rng::new(number));
        }
        step(4);
        // SAFETY: takes nothing.
        unsafe { libc::sync() };
        std::env::set_current_dir("/").ok();
        if policy == "remount-ro" && sys::klog().contains("EXT4-fs error") && !read_only() {
            println!("NOT-RO {number}");
        }
        step(5);
        if let Err(errno) = sys::umount(c"/mnt", 0) {
            println!("BUSY {number}: {errno}");
            sys::umount(c"/mnt", libc::MNT_DETACH).ok();
            return;
        }
        if number % 4 != 0 {
            return;
        }
    }
}

/// Free memory in KiB when what can be dropped was.
fn free_memory() -> u64 {
    std::fs::write("/proc/sys/vm/drop_caches", "3").ok();
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemFree:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() {
    let words = Words::new();
    let disk = path(words.text("disk").expect("disk="));
    let (first, count) = (words.number("first", 0), words.number("count", u64::MAX));
    let size = words.number("size", 4 << 20) as usize;
    LIMIT.store(words.number("limit", 30), Relaxed);
    let cases = std::fs::read_to_string(words.text("cases").expect("cases=")).expect("the cases can be read");
    let direct = libc::O_DIRECT;
    let sound =
        File::open(&path(words.text("sound").expect("sound=")), libc::O_RDONLY | direct, 0).expect("the sound images");
    let length = sound.seek(0, libc::SEEK_END).expect("its size") as usize / size * size;
    let mut images = Pages::new(length);
    assert_eq!(sound.read(&mut images, 0), Ok(length));
    std::thread::spawn(watch);
    let (mut seen, mut mounted, mut all) = (Seen::default(), 0u64, 0u64);
    let mut buffer = vec![0u8; 65536];
    for case in cases.lines() {
        let mut words = case.split(' ');
        let mut next = || words.next().expect("a word");
        let number: u64 = next().parse().expect("a number");
        let start = next().parse::<usize>().expect("an index") * size;
        let policy = next();
        if number < first || number - first >= count {
            continue;
        }
        IMAGE.store(number, Relaxed);
        step(0);
        let image = &mut images[start..start + size];
        let mut old = Vec::new();
        for word in words {
            let (at, bytes) = word.split_once(':').expect("offset:bytes");
            let at: usize = at.parse().expect("an offset");
            for n in 0..bytes.len() / 2 {
                old.push((at + n, image[at + n]));
                image[at + n] = u8::from_str_radix(&bytes[2 * n..2 * n + 2], 16).expect("hexadecimal");
            }
        }
        {
            let target = File::open(&disk, libc::O_WRONLY | direct, 0).expect("the disk");
            assert_eq!(target.write(image, 0), Ok(size));
        }
        for (at, byte) in old.into_iter().rev() {
            image[at] = byte;
        }
        let refused = seen.0.iter().filter(|((what, _), _)| *what == "mount").map(|(_, n)| n).sum::<u64>();
        try_image(&disk, policy, number, &mut seen, &mut buffer);
        mounted +=
            u64::from(seen.0.iter().filter(|((what, _), _)| *what == "mount").map(|(_, n)| n).sum::<u64>() == refused);
        all += 1;
        if all % 50 == 0 {
            println!("done {all} free {}", free_memory());
        }
    }
    for ((what, errno), count) in &seen.0 {
        println!("error {what} {errno} {count}");
    }
    println!("end {all} images, {mounted} mounted");
}

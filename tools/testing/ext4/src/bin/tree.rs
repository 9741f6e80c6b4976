// SPDX-License-Identifier: GPL-2.0
//! A listing of a tree, a line for each thing: kind, mode, owner, times (with that of creation), links, size, blocks, flags, project, a
//! hash of the content, extended attributes, and where the blocks are. `top=`; `places=0` leaves out what depends on the allocator and
//! what reading changes, but for the inode's number with `numbers=1`; `access=0` leaves out times of access; `threads=`: how many list at
//! once (then in any order).

use ext4_tests::sys::{self, File, path};
use ext4_tests::{Words, mix};
use std::ffi::{CStr, CString};
use std::io::Write;
use std::sync::{Condvar, Mutex};

/// How many things of a directory are listed in one go: their content is asked for ahead.
const AHEAD: usize = 64;

/// What is still to be listed, and by how many it may become more.
#[derive(Default)]
struct Queue {
    parts: Vec<Vec<CString>>,
    busy: usize,
}

/// What all threads share.
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    out: Mutex<std::io::BufWriter<std::io::Stdout>>,
}

/// What one listing has at hand.
struct Listing<'a> {
    shared: &'a Shared,
    buffer: Vec<u8>,
    places: bool,
    numbers: bool,
    access: bool,
}

/// A hash of a file's content; holes are passed over and hash as the zeroes they are, for the position is part of each block's hash.
fn content(file: &File, size: u64, buffer: &mut [u8]) -> sys::Result<u64> {
    let (mut hash, mut at) = (0u64, 0);
    while at < size {
        let data = match file.seek(at, libc::SEEK_DATA) {
            Ok(data) => data,
            Err(libc::ENXIO) => break,
            Err(errno) => return Err(errno),
        };
        let end = file.seek(data, libc::SEEK_HOLE)?;
        at = data / 4096 * 4096;
        while at < end {
            let length = file.read(buffer, at)?;
            if length == 0 {
                break;
            }
            for (n, block) in buffer[..length].chunks(8).enumerate() {
                let mut word = [0u8; 8];
                word[..block.len()].copy_from_slice(block);
                let word = u64::from_le_bytes(word);
                if word != 0 {
                    hash = hash.wrapping_add(mix(word ^ mix(at / 8 + n as u64)));
                }
            }
            at += length as u64;
        }
        at = at.max(end);
    }
    Ok(hash)
}

/// statx(2): the time of creation.
fn birth(name: &CStr) -> (i64, u32) {
    // SAFETY: zeroes are a value of the structure, which the call fills.
    unsafe {
        let mut st: libc::statx = core::mem::zeroed();
        libc::statx(libc::AT_FDCWD, name.as_ptr(), libc::AT_SYMLINK_NOFOLLOW, libc::STATX_BTIME, &mut st);
        if st.stx_mask & libc::STATX_BTIME == 0 { (0, 0) } else { (st.stx_btime.tv_sec, st.stx_btime.tv_nsec) }
    }
}

impl Listing<'_> {
    /// What an open file or directory tells beyond its `stat`.
    fn opened(&mut self, name: &CStr, st: &libc::stat, line: &mut String) -> sys::Result<()> {
        let regular = st.st_mode & libc::S_IFMT == libc::S_IFREG;
        let file = File::open(name, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOATIME, 0)?;
        match sys::file_attributes(&file) {
            Ok((flags, project)) => line.push_str(&format!(" flags {flags:x} project {project}")),
            Err(errno) => line.push_str(&format!(" flags error {errno}")),
        }
        if regular {
            line.push_str(&format!(" content {:016x}", content(&file, st.st_size as u64, &mut self.buffer)?));
        }
        if self.places {
            match sys::fiemap(&file, 0, 2000) {
                Ok(runs) => {
                    runs.iter().for_each(|run| line.push_str(&format!(" {}:{}+{}/{:x}", run.0, run.1, run.2, run.3)))
                }
                Err(errno) => line.push_str(&format!(" fiemap error {errno}")),
            }
            if let Ok(runs) = sys::fiemap(&file, 2, 4) {
                runs.iter().for_each(|run| line.push_str(&format!(" attributes {}+{}/{:x}", run.1, run.2, run.3)));
            }
        }
        Ok(())
    }

    /// The line of one thing.
    fn one(&mut self, name: &CStr) -> sys::Result<bool> {
        let st = sys::lstat(name)?;
        let (born, nanoseconds) = birth(name);
        let kind = st.st_mode & libc::S_IFMT;
        let mut line = format!(
            "{name:?} {:o} {}:{} links {} size {} device {:x} modified {}.{:09} changed {}.{:09} born {born}.{nanoseconds:09}",
            st.st_mode,
            st.st_uid,
            st.st_gid,
            st.st_nlink,
            st.st_size,
            st.st_rdev,
            st.st_mtime,
            st.st_mtime_nsec,
            st.st_ctime,
            st.st_ctime_nsec
        );
        if self.places || self.numbers {
            line.push_str(&format!(" inode {}", st.st_ino));
        }
        if self.places {
            line.push_str(&format!(" blocks {}", st.st_blocks));
        }
        if self.access {
            line.push_str(&format!(" read {}.{:09}", st.st_atime, st.st_atime_nsec));
        }
        match kind {
            libc::S_IFLNK => line.push_str(&format!(" to {}", String::from_utf8_lossy(&sys::readlink(name)?))),
            libc::S_IFREG | libc::S_IFDIR => self.opened(name, &st, &mut line)?,
            _ => {}
        }
        for key in sys::list_xattrs(name)? {
            let value = sys::get_xattr(name, &key)?;
            let hash = value.iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
            line.push_str(&format!(" {key:?}={}/{hash:x}", value.len()));
        }
        self.say(&line);
        Ok(kind == libc::S_IFDIR)
    }

    /// A line of the listing.
    fn say(&self, line: &str) {
        writeln!(self.shared.out.lock().expect("nobody panics"), "{line}").expect("the listing can be written");
    }

    /// What is in a directory, to be listed. Names are sorted: with one thread the order of the listing is the same everywhere.
    fn enter(&self, dir: &CStr) {
        let mut names = match sys::list(dir, usize::MAX) {
            Ok((names, _)) => names,
            Err(errno) => return self.say(&format!("{dir:?} error {errno}")),
        };
        names.retain(|name| name.to_bytes() != b"lost+found");
        names.sort();
        let whole = |name: &CString| CString::new([dir.to_bytes(), b"/", name.to_bytes()].concat()).expect("no NUL");
        let parts = names.chunks(AHEAD).rev().map(|names| names.iter().map(whole).collect());
        self.shared.queue.lock().expect("nobody panics").parts.extend(parts);
        self.shared.changed.notify_all();
    }

    /// Lists some things of a directory, and what is in the directories among them.
    fn part(&mut self, names: &[CString]) {
        for name in names {
            let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOATIME;
            if sys::lstat(name).is_ok_and(|st| st.st_mode & libc::S_IFMT == libc::S_IFREG)
                && let Ok(file) = File::open(name, flags, 0)
            {
                file.will_need(65536);
            }
        }
        for name in names {
            match self.one(name) {
                Ok(true) => self.enter(name),
                Ok(false) => {}
                Err(errno) => self.say(&format!("{name:?} error {errno}")),
            }
        }
    }

    /// Lists until nothing is left.
    fn work(&mut self) {
        let mut queue = self.shared.queue.lock().expect("nobody panics");
        loop {
            if let Some(names) = queue.parts.pop() {
                queue.busy += 1;
                drop(queue);
                self.part(&names);
                queue = self.shared.queue.lock().expect("nobody panics");
                queue.busy -= 1;
            } else if queue.busy == 0 {
                self.shared.changed.notify_all();
                return;
            } else {
                queue = self.shared.changed.wait(queue).expect("nobody panics");
            }
        }
    }
}

fn main() {
    let words = Words::new();
    let top = path(words.text("top").expect("top="));
    // A deep tree's paths are longer than PATH_MAX allows, if they begin at the root.
    std::env::set_current_dir(top.to_str().expect("a text")).expect("the tree");
    let places = words.number("places", 1) != 0;
    let numbers = words.number("numbers", 0) != 0;
    let access = words.number("access", 1) != 0;
    let out = Mutex::new(std::io::BufWriter::new(std::io::stdout()));
    let shared = Shared { queue: Mutex::default(), changed: Condvar::new(), out };
    let listing = || Listing { shared: &shared, buffer: vec![0; 1 << 18], places, numbers, access };
    listing().part(&[c".".into()]);
    std::thread::scope(|scope| {
        for _ in 0..words.number("threads", 1) {
            scope.spawn(|| listing().work());
        }
    });
    shared.out.into_inner().expect("nobody panics").flush().expect("the listing can be written");
}

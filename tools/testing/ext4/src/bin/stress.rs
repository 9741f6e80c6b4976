// SPDX-License-Identifier: GPL-2.0
//! Random operations on names: each thread has a tree of its own, whose every name, link, size, mode, attribute and content is known and
//! compared; now and then it works in a tree that all share, where others may come first.
//!
//! `dir=`, `threads=`, `seconds=`, `seed=`; `errors=full` (ENOSPC and EDQUOT may come) or `errors=any` (EIO and EROFS, too: then a thread
//! ends at the first). `chattr=0` leaves out attributes (ext2 without them).

use ext4_tests::sys::{self, File, path};
use ext4_tests::{Rng, Words, fill, word};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What an inode should be.
#[derive(Clone, Default)]
struct Inode {
    kind: u32,
    mode: u32,
    links: u64,
    /// Bytes up to `data` follow from `id`, those behind are zeroes.
    id: u64,
    data: u64,
    size: u64,
    target: Vec<u8>,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// The state of the whole run.
struct Common {
    dir: String,
    full: bool,
    any: bool,
    attributes: bool,
    stop: AtomicBool,
    ops: AtomicU64,
    failed: AtomicU64,
    /// Errors that might come, and came.
    refused: AtomicU64,
}

/// A thread and its tree: names (`a/b`) and what they are names of.
struct Worker<'a> {
    common: &'a Common,
    top: String,
    rng: Rng,
    names: BTreeMap<String, usize>,
    inodes: Vec<Inode>,
    history: VecDeque<String>,
    ids: u64,
    ended: bool,
}

const DIR: u32 = libc::S_IFDIR;
const REG: u32 = libc::S_IFREG;
const LINK: u32 = libc::S_IFLNK;

impl Worker<'_> {
    fn wrong(&self, what: &str) {
        if self.common.failed.fetch_add(1, Relaxed) == 0 {
            let last: Vec<&str> = self.history.iter().map(String::as_str).collect();
            println!("WRONG {}: {what}\nlast operations:\n{}", self.top, last.join("\n"));
        }
        self.common.stop.store(true, Relaxed);
    }

    fn note(&mut self, text: String) {
        if self.history.len() > 40 {
            self.history.pop_front();
        }
        self.history.push_back(text);
    }

    /// True if it was done; an error that may not come is a mistake.
    fn done<T>(&mut self, result: sys::Result<T>) -> bool {
        match result {
            Ok(_) => true,
            Err(errno) => {
                self.refused(errno);
                false
            }
        }
    }

    fn refused(&mut self, errno: i32) {
        self.common.refused.fetch_add(1, Relaxed);
        match errno {
            libc::ENOSPC | libc::EDQUOT if self.common.full => {}
            libc::EIO | libc::EROFS if self.common.any => self.ended = true,
            _ => self.wrong(&format!("errno {errno}")),
        }
    }

    /// Must fail so; or with what a full or broken disk says.
    fn must_fail(&mut self, result: sys::Result<()>, wanted: i32) {
        match result {
            Err(errno) if errno == wanted => {}
            Err(errno) => self.refused(errno),
            Ok(()) => self.wrong(&format!("done, should give {wanted}")),
        }
    }

    fn path(&self, name: &str) -> std::ffi::CString {
        path(&if name.is_empty() { self.top.clone() } else { format!("{}/{name}", self.top) })
    }

    /// A name that is there, of one of the kinds.
    fn some(&mut self, kinds: &[u32]) -> Option<(String, usize)> {
        let all: Vec<(&String, &usize)> =
            self.names.iter().filter(|(_, at)| kinds.contains(&self.inodes[**at].kind)).collect();
        let chosen = if all.is_empty() { None } else { Some(self.rng.below(all.len() as u64) as usize) };
        chosen.map(|at| (all[at].0.clone(), *all[at].1))
    }

    /// A directory: the top, or one of ours.
    fn some_dir(&mut self) -> String {
        if self.rng.one_in(3) { String::new() } else { self.some(&[DIR]).map_or(String::new(), |(name, _)| name) }
    }

    /// A new name in some directory.
    fn fresh(&mut self) -> Option<String> {
        let dir = self.some_dir();
        if dir.matches('/').count() > 12 {
            return None;
        }
        let number = self.rng.below(5000);
        let long = match self.rng.below(8) {
            0 => "x".repeat(self.rng.below(240) as usize),
            _ => String::new(),
        };
        let name = format!("n{number}{long}");
        let full = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        if self.names.contains_key(&full) { None } else { Some(full) }
    }

    fn add(&mut self, name: String, inode: Inode) {
        self.inodes.push(inode);
        self.names.insert(name, self.inodes.len() - 1);
    }

    fn children(&self, name: &str) -> impl Iterator<Item = (&String, &usize)> {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}/") };
        let skip = prefix.len();
        self.names
            .range(prefix.clone()..)
            .take_while(move |(full, _)| full.starts_with(&prefix))
            .filter(move |(full, _)| !full[skip..].contains('/'))
    }

    fn create(&mut self) {
        let Some(name) = self.fresh() else { return };
        // Writing takes the set-user-id bit away from all but root. SAFETY: takes nothing.
        let special = if unsafe { libc::geteuid() } == 0 { 0o4711 } else { 0o711 };
        let mode = [0o644, 0o600, 0o755, special][self.rng.below(4) as usize];
        self.note(format!("create {name}"));
        match File::open(&self.path(&name), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, mode) {
            Ok(file) => {
                self.ids += 1;
                let id = self.ids;
                self.add(name.clone(), Inode { kind: REG, mode, links: 1, id, ..Inode::default() });
                let at = self.names[&name];
                self.extend(&file, at);
            }
            Err(errno) => self.refused(errno),
        }
    }

    /// Writes behind the data of a file.
    fn extend(&mut self, file: &File, at: usize) {
        let inode = &self.inodes[at];
        if inode.size != inode.data || inode.size > 400_000 {
            return;
        }
        let most = [100u64, 5000, 60000][self.rng.below(3) as usize];
        let mut data = vec![0u8; self.rng.below(most) as usize + 1];
        let (id, offset) = (inode.id, inode.size);
        fill(id, offset, &mut data);
        match file.write(&data, offset) {
            Ok(written) => {
                let inode = &mut self.inodes[at];
                inode.data = offset + written as u64;
                inode.size = inode.data;
            }
            Err(errno) => self.refused(errno),
        }
        if self.rng.one_in(12) {
            let synced = file.sync(self.rng.one_in(2));
            self.done(synced);
        }
    }

    fn append(&mut self) {
        let Some((name, at)) = self.some(&[REG]) else { return };
        self.note(format!("append to {name}"));
        match File::open(&self.path(&name), libc::O_RDWR, 0) {
            Ok(file) => self.extend(&file, at),
            Err(errno) => self.refused(errno),
        }
    }

    fn truncate(&mut self) {
        let Some((name, at)) = self.some(&[REG]) else { return };
        let inode = &self.inodes[at];
        let size = if self.rng.one_in(4) { inode.size + self.rng.below(50000) } else { self.rng.below(inode.size + 1) };
        self.note(format!("truncate {name} to {size}"));
        let result = sys::truncate(&self.path(&name), size as i64);
        if self.done(result) {
            let inode = &mut self.inodes[at];
            inode.size = size;
            inode.data = inode.data.min(size);
        }
    }

    fn mkdir(&mut self) {
        let Some(name) = self.fresh() else { return };
        self.note(format!("mkdir {name}"));
        let result = sys::mkdir(&self.path(&name), 0o755);
        if self.done(result) {
            self.add(name, Inode { kind: DIR, mode: 0o755, ..Inode::default() });
        }
    }

    fn rmdir(&mut self) {
        let Some((name, _)) = self.some(&[DIR]) else { return };
        self.note(format!("rmdir {name}"));
        let result = sys::rmdir(&self.path(&name));
        if self.children(&name).next().is_some() {
            self.must_fail(result, libc::ENOTEMPTY);
        } else if self.done(result) {
            self.names.remove(&name);
        }
    }

    fn unlink(&mut self) {
        let Some((name, at)) = self.some(&[REG, LINK, libc::S_IFIFO]) else { return };
        self.note(format!("unlink {name}"));
        // Sometimes it is open meanwhile.
        let open = if self.inodes[at].kind == REG && self.rng.one_in(3) {
            File::open(&self.path(&name), libc::O_RDWR, 0).ok()
        } else {
            None
        };
        let result = sys::unlink(&self.path(&name));
        if self.done(result) {
            self.names.remove(&name);
            self.inodes[at].links -= 1;
            if let Some(file) = open {
                self.extend(&file, at);
                self.content(&file, at, &name);
            }
        }
    }

    fn link(&mut self) {
        let (Some((old, at)), Some(new)) = (self.some(&[REG, LINK, libc::S_IFIFO]), self.fresh()) else { return };
        self.note(format!("link {old} {new}"));
        let result = sys::link(&self.path(&old), &self.path(&new));
        if self.done(result) {
            self.names.insert(new, at);
            self.inodes[at].links += 1;
        }
    }

    fn symlink(&mut self) {
        let Some(name) = self.fresh() else { return };
        let most = if self.rng.one_in(2) { 80 } else { 1000 };
        let target = "t".repeat(1 + self.rng.below(most) as usize);
        self.note(format!("symlink {name}, {} long", target.len()));
        let result = sys::symlink(&path(&target), &self.path(&name));
        if self.done(result) {
            self.add(
                name,
                Inode {
                    kind: LINK,
                    mode: 0o777,
                    links: 1,
                    size: target.len() as u64,
                    target: target.into_bytes(),
                    ..Inode::default()
                },
            );
        }
    }

    fn special(&mut self) {
        let Some(name) = self.fresh() else { return };
        self.note(format!("mkfifo {name}"));
        let result = sys::mknod(&self.path(&name), libc::S_IFIFO | 0o640, 0);
        if self.done(result) {
            self.add(name, Inode { kind: libc::S_IFIFO, mode: 0o640, links: 1, ..Inode::default() });
        }
    }

    /// The names below `old` are below `new` now.
    fn moved(&mut self, old: &str, new: &str) {
        let prefix = format!("{old}/");
        let below: Vec<String> = self
            .names
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| name.clone())
            .collect();
        for name in below.into_iter().chain([old.to_string()]) {
            if let Some(at) = self.names.remove(&name) {
                self.names.insert(format!("{new}{}", &name[old.len()..]), at);
            }
        }
    }

    fn rename(&mut self) {
        let Some((old, at)) = self.some(&[REG, LINK, DIR, libc::S_IFIFO]) else { return };
        let dir = self.inodes[at].kind == DIR;
        let over = if self.rng.one_in(3) { self.some(if dir { &[DIR] } else { &[REG, LINK] }) } else { None };
        let Some(new) = over.as_ref().map(|(name, _)| name.clone()).or_else(|| self.fresh()) else { return };
        self.note(format!("rename {old} {new}"));
        let result = sys::rename(&self.path(&old), &self.path(&new));
        if new.starts_with(&format!("{old}/")) {
            return self.must_fail(result, libc::EINVAL);
        }
        if dir && new != old && old.starts_with(&format!("{new}/")) {
            return self.must_fail(result, libc::ENOTEMPTY);
        }
        if over.as_ref().is_some_and(|(_, other)| *other == at) {
            self.done(result);
            return;
        }
        if dir && over.is_some() && self.children(&new).next().is_some() {
            return self.must_fail(result, libc::ENOTEMPTY);
        }
        if self.done(result) {
            if let Some((name, other)) = over {
                self.names.remove(&name);
                self.inodes[other].links = self.inodes[other].links.saturating_sub(1);
            }
            self.moved(&old, &new);
        }
    }

    fn exchange(&mut self) {
        let kinds = [REG, LINK, DIR];
        let (Some((one, _)), Some((other, _))) = (self.some(&kinds), self.some(&kinds)) else { return };
        if one == other || one.starts_with(&format!("{other}/")) || other.starts_with(&format!("{one}/")) {
            return;
        }
        self.note(format!("exchange {one} {other}"));
        let result = sys::exchange(&self.path(&one), &self.path(&other));
        if self.done(result) {
            self.moved(&one, "\u{1}");
            self.moved(&other, &one);
            self.moved("\u{1}", &other);
        }
    }

    fn chmod(&mut self) {
        let Some((name, at)) = self.some(&[REG, DIR]) else { return };
        let mode = 0o700 | self.rng.below(0o77) as u32;
        self.note(format!("chmod {name} {mode:o}"));
        let result = sys::chmod(&self.path(&name), mode);
        if self.done(result) {
            self.inodes[at].mode = mode;
        }
    }

    fn attribute(&mut self) {
        let Some((name, at)) = self.some(&[REG, DIR]) else { return };
        let key = format!("user.key{}", self.rng.below(6));
        let text = path(&key);
        if self.rng.one_in(3) {
            self.note(format!("remove {key} of {name}"));
            let result = sys::remove_xattr(&self.path(&name), &text);
            if self.inodes[at].attributes.remove(&key).is_none() {
                self.must_fail(result, libc::ENODATA);
            } else {
                self.done(result);
            }
            return;
        }
        let most = if self.rng.one_in(4) { 700 } else { 40 };
        let value = vec![self.rng.below(255) as u8; self.rng.below(most) as usize];
        self.note(format!("set {key} of {name}, {} long", value.len()));
        match sys::set_xattr(&self.path(&name), &text, &value) {
            Ok(()) => drop(self.inodes[at].attributes.insert(key, value)),
            // There is room for a block of them only.
            Err(libc::ENOSPC) => {}
            Err(errno) => self.refused(errno),
        }
    }

    /// The names of a directory.
    fn list(&mut self) {
        let dir = self.some_dir();
        self.note(format!("list {dir}"));
        let mut found: Vec<String> = match sys::list(&self.path(&dir), usize::MAX) {
            Ok((names, _)) => names.iter().map(|name| name.to_string_lossy().into_owned()).collect(),
            Err(errno) => return self.refused(errno),
        };
        found.sort();
        let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let mut wanted: Vec<String> = self.children(&dir).map(|(name, _)| name[skip..].to_string()).collect();
        wanted.sort();
        if found != wanted {
            let differ: Vec<&String> = found
                .iter()
                .filter(|name| !wanted.contains(name))
                .chain(wanted.iter().filter(|name| !found.contains(name)))
                .collect();
            self.wrong(&format!("{dir} lists {} names, wanted {}: {differ:?}", found.len(), wanted.len()));
        }
    }

    /// Everything about one name.
    fn look(&mut self, name: &str, at: usize) {
        let place = self.path(name);
        let inode = self.inodes[at].clone();
        let st = match sys::lstat(&place) {
            Ok(st) => st,
            Err(errno) => return self.wrong(&format!("stat {name}: {errno}")),
        };
        let links = if inode.kind == DIR {
            2 + self.children(name).filter(|(_, at)| self.inodes[**at].kind == DIR).count() as u64
        } else {
            inode.links
        };
        let found = (st.st_mode & libc::S_IFMT, st.st_mode & 0o7777, st.st_nlink as u64);
        if found != (inode.kind, inode.mode, links) {
            return self
                .wrong(&format!("{name}: kind, mode, links {found:?}, wanted {:?}", (inode.kind, inode.mode, links)));
        }
        if inode.kind != DIR && st.st_size as u64 != inode.size {
            return self.wrong(&format!("{name}: size {}, wanted {}", st.st_size, inode.size));
        }
        if inode.kind == LINK && sys::readlink(&place) != Ok(inode.target.clone()) {
            return self.wrong(&format!("{name}: another target"));
        }
        if inode.kind == REG {
            match File::open(&place, libc::O_RDONLY, 0) {
                Ok(file) => self.content(&file, at, name),
                Err(errno) => self.refused(errno),
            }
        }
        if matches!(inode.kind, REG | DIR) && self.common.attributes {
            let keys = match sys::list_xattrs(&place) {
                Ok(keys) => keys,
                Err(errno) => return self.refused(errno),
            };
            let found: BTreeMap<String, Vec<u8>> = keys
                .iter()
                .map(|key| (key.to_string_lossy().into_owned(), sys::get_xattr(&place, key).unwrap_or_default()))
                .collect();
            if found != inode.attributes {
                self.wrong(&format!("{name}: other attributes: {:?} {:?}", found.keys(), inode.attributes.keys()));
            }
        }
    }

    /// A file's content.
    fn content(&mut self, file: &File, at: usize, name: &str) {
        let (id, valid, size) = (self.inodes[at].id, self.inodes[at].data, self.inodes[at].size);
        let mut data = vec![0u8; size as usize + 1];
        match file.read(&mut data, 0) {
            Ok(length) if length as u64 == size => {}
            other => return self.wrong(&format!("{name}: read gives {other:?} of {size}")),
        }
        for (n, byte) in data[..size as usize].iter().enumerate() {
            let n = n as u64;
            let wanted = if n < valid { word(id, n).to_le_bytes()[(n % 8) as usize] } else { 0 };
            if *byte != wanted {
                return self.wrong(&format!(
                    "{name} (id {id}, {valid} bytes of data, size {size}): byte {n} is {byte:02x}, wanted {wanted:02x}"
                ));
            }
        }
    }

    /// Something in the tree of all: any error that others may have caused.
    fn shared(&mut self) {
        let name = |rng: &mut Rng| path(&format!("{}/shared/s{}", self.common.dir, rng.below(40)));
        let (one, other) = (name(&mut self.rng), name(&mut self.rng));
        let which = self.rng.below(9);
        self.note(format!("shared {which} {one:?} {other:?}"));
        let done = match which {
            0 | 1 => File::open(&one, libc::O_RDWR | libc::O_CREAT, 0o644)
                .and_then(|file| file.write(&[1; 3000], self.rng.below(9) * 3000).map(drop)),
            2 => sys::mkdir(&one, 0o755),
            3 => sys::rmdir(&one),
            4 => sys::unlink(&one),
            5 => sys::rename(&one, &other),
            6 => sys::link(&one, &other),
            7 => sys::exchange(&one, &other),
            _ => sys::truncate(&one, self.rng.below(9000) as i64),
        };
        match done {
            Ok(())
            | Err(libc::ENOENT | libc::EEXIST | libc::ENOTDIR | libc::EISDIR | libc::ENOTEMPTY | libc::EPERM) => {}
            Err(errno) => self.refused(errno),
        }
    }

    fn step(&mut self) {
        let many = self.names.len() > 300;
        match self.rng.below(100) {
            0..14 if !many => self.create(),
            14..22 => self.append(),
            22..28 => self.truncate(),
            28..34 if !many => self.mkdir(),
            34..38 => self.rmdir(),
            38..46 => self.unlink(),
            0..14 | 28..34 => self.unlink(),
            46..51 => self.link(),
            51..54 => self.symlink(),
            54..55 => self.special(),
            55..64 => self.rename(),
            64..67 => self.exchange(),
            67..69 => self.chmod(),
            69..75 if self.common.attributes => self.attribute(),
            75..78 => self.list(),
            78..88 => {
                if let Some((name, at)) = self.some(&[REG, DIR, LINK]) {
                    self.note(format!("look at {name}"));
                    self.look(&name, at);
                }
            }
            _ => self.shared(),
        }
        self.common.ops.fetch_add(1, Relaxed);
    }

    fn run(&mut self) {
        if let Err(errno) = sys::mkdir(&self.path(""), 0o755) {
            self.ended = errno != libc::EEXIST;
        }
        while !self.common.stop.load(Relaxed) && !self.ended {
            self.step();
        }
        for (name, at) in self.names.clone() {
            if self.common.failed.load(Relaxed) != 0 || self.ended {
                return;
            }
            self.note(format!("at the end, {name}"));
            self.look(&name, at);
        }
    }
}

fn main() {
    let words = Words::new();
    let errors = words.text("errors").unwrap_or("");
    let common = Common {
        dir: words.text("dir").expect("dir=").into(),
        full: errors == "full" || errors == "any",
        any: errors == "any",
        attributes: words.number("chattr", 1) == 1,
        stop: AtomicBool::new(false),
        ops: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    };
    let (seed, seconds) = (words.number("seed", 1), words.number("seconds", 10));
    sys::mkdir(&path(&format!("{}/shared", common.dir)), 0o755).ok();
    std::thread::scope(|scope| {
        for index in 0..words.number("threads", 4) {
            let common = &common;
            scope.spawn(move || {
                let top = format!("{}/tree{index}", common.dir);
                let rng = Rng::new(seed * 1000 + index);
                let (names, inodes, history) = (BTreeMap::new(), Vec::new(), VecDeque::new());
                Worker { common, top, rng, names, inodes, history, ids: index << 32, ended: false }.run();
            });
        }
        let (start, mut said) = (Instant::now(), Instant::now());
        while start.elapsed() < Duration::from_secs(seconds) && !common.stop.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
            if said.elapsed() > Duration::from_secs(20) {
                println!("stress: {} operations so far", common.ops.load(Relaxed));
                said = Instant::now();
            }
        }
        common.stop.store(true, Relaxed);
    });
    let failed = common.failed.load(Relaxed);
    println!(
        "stress: {} operations, {} refused, {failed} wrong",
        common.ops.load(Relaxed),
        common.refused.load(Relaxed)
    );
    std::process::exit(i32::from(failed != 0));
}

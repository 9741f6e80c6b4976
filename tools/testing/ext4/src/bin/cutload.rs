// SPDX-License-Identifier: GPL-2.0
//! A load of names and data for power cuts. Every file has a number, in its name (`f<id>...`), from which its content follows; what is
//! synchronised is said on a second disk, in order with the writes to the first: `K id length` (kept), `G id` (may be gone from now on).
//!
//! `dir=`, `marks=` (the disk), `threads=`, `ops=`, `seed=`. `check=file`: instead, looks at the tree `dir=`: no word of any file is
//! but its own or zero, and what `check` lists (`id length` a line) is there.

use ext4_tests::sys::{self, File, Pages, path};
use ext4_tests::{Rng, Words, fill, word};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Where marks go.
struct Marks {
    disk: File,
    at: u64,
    page: Pages,
}

impl Marks {
    /// The mark is on the disk when this returns.
    fn put(&mut self, text: &str) {
        self.page.fill(b' ');
        self.page[..text.len()].copy_from_slice(text.as_bytes());
        assert_eq!(self.disk.write(&self.page[..4096], self.at), Ok(4096));
        self.at = (self.at + 4096) % (1 << 20);
    }
}

/// A file of a thread.
struct Own {
    id: u64,
    name: String,
    size: u64,
    kept: bool,
    /// Its content is a prefix without holes.
    whole: bool,
}

struct Worker<'a> {
    dir: String,
    rng: Rng,
    files: Vec<Own>,
    marks: &'a Mutex<Marks>,
    next: u64,
    count: u64,
}

impl Worker<'_> {
    fn mark(&self, text: &str) {
        self.marks.lock().expect("no thread fails").put(text);
    }

    fn place(&mut self) -> String {
        format!("{}/d{}", self.dir, self.rng.below(5))
    }

    fn open(&self, at: usize, flags: i32) -> Option<File> {
        File::open(&path(&self.files[at].name), flags, 0o644).ok()
    }

    /// Writes more behind the end, in pieces.
    fn extend(&mut self, at: usize, direct: bool) {
        let Some(file) = self.open(at, libc::O_RDWR | if direct { libc::O_DIRECT } else { 0 }) else { return };
        let most = [300, 5000, 40000][self.rng.below(3) as usize];
        let mut length = 1 + self.rng.below(most);
        let own = &mut self.files[at];
        if direct {
            if own.size % 4096 != 0 {
                return;
            }
            length = length.next_multiple_of(4096);
        }
        let mut pages = Pages::new(65536);
        fill(own.id, own.size, &mut pages[..length as usize]);
        for piece in pages[..length as usize].chunks(12288) {
            match file.write(piece, own.size) {
                Ok(done) => own.size += done as u64,
                Err(_) => return,
            }
        }
        if self.rng.one_in(2) && self.files[at].whole {
            if file.sync(self.rng.one_in(3)).is_ok() {
                let own = &mut self.files[at];
                own.kept = true;
                let text = format!("K {} {}", own.id, own.size);
                self.mark(&text);
            }
        }
    }

    fn create(&mut self) {
        self.next += 1;
        let (id, place) = (self.next, self.place());
        let name = format!("{place}/f{id}");
        if File::open(&path(&name), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o644).is_err() {
            return;
        }
        self.files.push(Own { id, name, size: 0, kept: false, whole: true });
        let direct = self.rng.one_in(6);
        self.extend(self.files.len() - 1, direct);
    }

    /// Before what may take something away from a file.
    fn give_up(&mut self, at: usize) {
        if self.files[at].kept {
            let text = format!("G {}", self.files[at].id);
            self.mark(&text);
            self.files[at].kept = false;
        }
    }

    fn change(&mut self, at: usize) {
        let which = self.rng.below(10);
        let name = path(&self.files[at].name);
        match which {
            0 | 1 => {
                self.give_up(at);
                sys::unlink(&name).ok();
                // What it still has under other names is nobody's.
                self.files.swap_remove(at);
            }
            2 => {
                self.give_up(at);
                let size = self.rng.below(self.files[at].size + 3000);
                self.files[at].whole &= size <= self.files[at].size;
                if sys::truncate(&name, size as i64).is_ok() {
                    self.files[at].size = size;
                }
            }
            3 | 4 => {
                self.count += 1;
                let place = self.place();
                let new = format!("{place}/f{}.{}", self.files[at].id, self.count);
                if sys::rename(&name, &path(&new)).is_ok() {
                    self.files[at].name = new;
                }
            }
            5 => {
                self.count += 1;
                let place = self.place();
                sys::link(&name, &path(&format!("{place}/f{}.l{}", self.files[at].id, self.count % 9))).ok();
            }
            6 => {
                self.give_up(at);
                self.files[at].whole = false;
                if let Some(file) = self.open(at, libc::O_RDWR) {
                    let from = self.rng.below(self.files[at].size + 1);
                    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                    let mode = [hole, libc::FALLOC_FL_KEEP_SIZE][self.rng.below(2) as usize];
                    file.fallocate(mode, from, 20000).ok();
                }
            }
            7 => drop(sys::set_xattr(&name, c"user.some", &vec![b'a'; self.rng.below(600) as usize])),
            8 => {
                // The same bytes again, in place.
                let own = &self.files[at];
                let from = self.rng.below(own.size + 1);
                let mut data = vec![0u8; (own.size - from).min(9000) as usize];
                fill(own.id, from, &mut data);
                if own.whole {
                    if let Some(file) = self.open(at, libc::O_RDWR) {
                        file.write(&data, from).ok();
                    }
                }
            }
            _ => self.extend(at, false),
        }
    }

    /// Everything is on the disk after sync(2).
    fn sync_all(&mut self) {
        // SAFETY: takes nothing.
        unsafe { libc::sync() };
        let mut lines = Vec::new();
        for own in self.files.iter_mut().filter(|own| own.whole).take(100) {
            own.kept = true;
            lines.push(format!("K {} {}", own.id, own.size));
        }
        self.mark(&lines.join("\n"));
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..30 => self.create(),
            30..33 => {
                let (one, other) = (self.rng.below(40), self.rng.below(5));
                let name = path(&format!("{}/d{other}/sub{one}", self.dir));
                if sys::mkdir(&name, 0o755).is_err() {
                    sys::rmdir(&name).ok();
                }
            }
            33 => self.sync_all(),
            _ if self.files.is_empty() => self.create(),
            _ => {
                let mut at = self.rng.below(self.files.len() as u64) as usize;
                self.change(at);
                while self.files.len() > 60 {
                    at = self.rng.below(self.files.len() as u64) as usize;
                    self.give_up(at);
                    sys::unlink(&path(&self.files[at].name)).ok();
                    self.files.swap_remove(at);
                }
            }
        }
        // Links are not counted among the files.
        if self.rng.one_in(30) {
            for place in 0..5 {
                let dir = format!("{}/d{place}", self.dir);
                for name in sys::list(&path(&dir), 1000).map(|(names, _)| names).unwrap_or_default() {
                    let name = name.to_string_lossy();
                    if name.contains(".l") && self.rng.one_in(2) {
                        sys::unlink(&path(&format!("{dir}/{name}"))).ok();
                    }
                }
            }
        }
    }
}

/// Looks at one file; the bytes from its start that are its own.
fn look(name: &str, id: u64) -> (u64, Option<String>) {
    let data = match std::fs::read(name) {
        Ok(data) => data,
        Err(error) => return (0, Some(format!("{name}: {error}"))),
    };
    let mut good = None;
    for (n, byte) in data.iter().enumerate() {
        let wanted = word(id, n as u64).to_le_bytes()[n % 8];
        if *byte != wanted {
            good = good.or(Some(n as u64));
            if *byte != 0 {
                return (
                    good.unwrap_or(0),
                    Some(format!(
                        "STALE {name}: byte {n} of {} is {byte:02x}, neither {wanted:02x} nor zero",
                        data.len()
                    )),
                );
            }
        }
    }
    (good.unwrap_or(data.len() as u64), None)
}

fn walk(dir: &str, found: &mut BTreeMap<u64, u64>, wrong: &mut Vec<String>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return wrong.push(format!("{dir}: {error}")),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return wrong.push(format!("{dir}: {error}")),
        };
        let (place, name) =
            (entry.path().to_string_lossy().into_owned(), entry.file_name().to_string_lossy().into_owned());
        if name == "lost+found" {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&place, found, wrong);
            continue;
        }
        let Some(id) = name.strip_prefix('f').and_then(|rest| rest.split('.').next()?.parse().ok()) else {
            wrong.push(format!("{place}: whose is it?"));
            continue;
        };
        let (good, why) = look(&place, id);
        wrong.extend(why);
        let most = found.entry(id).or_default();
        *most = good.max(*most);
    }
}

fn check(dir: &str, list: &str) -> bool {
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    walk(dir, &mut found, &mut wrong);
    let text = std::fs::read_to_string(list).expect("the list");
    let mut kept = 0;
    for line in text.lines() {
        let (id, length) = line.split_once(' ').expect("id length");
        let (id, length): (u64, u64) = (id.parse().expect("a number"), length.parse().expect("a number"));
        kept += 1;
        match found.get(&id) {
            None => wrong.push(format!("LOST: file {id} with {length} bytes is not there")),
            Some(good) if *good < length => wrong.push(format!("LOST: file {id} has {good} bytes of {length}")),
            Some(_) => {}
        }
    }
    wrong.iter().take(20).for_each(|what| println!("{what}"));
    println!("checked {} files, {kept} kept, {} wrong", found.len(), wrong.len());
    wrong.is_empty()
}

fn main() {
    let words = Words::new();
    let dir = words.text("dir").expect("dir=");
    if let Some(list) = words.text("check") {
        std::process::exit(i32::from(!check(dir, list)));
    }
    let disk = File::open(&path(words.text("marks").expect("marks=")), libc::O_RDWR | libc::O_DIRECT, 0)
        .expect("the disk for marks");
    let marks = Mutex::new(Marks { disk, at: 0, page: Pages::new(4096) });
    let (seed, ops) = (words.number("seed", 1), words.number("ops", 1000));
    std::thread::scope(|scope| {
        for index in 0..words.number("threads", 2) {
            let (marks, dir) = (&marks, format!("{dir}/t{index}"));
            scope.spawn(move || {
                sys::mkdir(&path(&dir), 0o755).expect("a directory");
                for number in 0..5 {
                    sys::mkdir(&path(&format!("{dir}/d{number}")), 0o755).expect("a directory");
                }
                let mut worker = Worker {
                    dir,
                    rng: Rng::new(seed * 100 + index),
                    files: Vec::new(),
                    marks,
                    next: index * 1_000_000,
                    count: 0,
                };
                for _ in 0..ops {
                    worker.step();
                }
            });
        }
    });
    println!("load: done");
}

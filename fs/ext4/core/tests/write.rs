// SPDX-License-Identifier: GPL-2.0
//! Random operations against a simple model: afterwards `e2fsck -fn` must have nothing to say, and a fresh mount must show
//! what the model has. `EXT4_ROUNDS` runs more seeds (default 1 for each kind of image).

mod common;

use common::vfs::Vfs;
use common::*;
use errno::code::*;
use std::collections::BTreeMap;

const TABLE: &[&str] = &[
    "-t ext4 -b 1024",
    "-t ext4 -b 4096",
    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 1024 -O ^has_journal,^flex_bg,inline_data -I 256",
    "-t ext4 -b 4096 -O ^has_journal,inline_data -I 512",
    "-t ext4 -b 1024 -O bigalloc,^has_journal -C 8192",
    "-t ext4 -b 1024 -O large_dir,ea_inode,orphan_file",
    "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 2048",
    "-t ext4 -b 2048 -I 128 -O ^extra_isize,^64bit,^dir_index",
    "-t ext4 -b 1024 -O quota,project,^has_journal",
    "-t ext2 -b 1024",
    "-t ext3 -b 1024",
];

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Gone,
    File(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, u32>),
    Link(Vec<u8>),
}

#[derive(Clone, Default)]
struct Node {
    kind: Kind,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct World {
    vfs: Vfs,
    nodes: BTreeMap<u32, Node>,
    random: Random,
    counts: BTreeMap<&'static str, (u32, u32)>,
    /// The last operation, for who looks for a mistake.
    last: String,
}

impl World {
    fn new(fs: ext4_core::Fs<ext4_core::store::host::HostStore>, seed: u64) -> Self {
        let mut nodes = BTreeMap::new();
        let mut root = BTreeMap::new();
        let lost = fs.lookup(&fs.root().unwrap(), b"lost+found").unwrap().unwrap().0;
        root.insert(b"lost+found".to_vec(), lost);
        nodes.insert(2, Node { kind: Kind::Dir(root), ..Node::default() });
        nodes.insert(lost, Node { kind: Kind::Dir(BTreeMap::new()), ..Node::default() });
        Self { vfs: Vfs::new(fs), nodes, random: Random(seed * 7919 + 1), counts: BTreeMap::new(), last: String::new() }
    }

    fn note(&mut self, what: &'static str, result: &errno::Result) {
        self.last = format!("{what} {result:?}");
        let entry = self.counts.entry(what).or_default();
        match result {
            Ok(()) => entry.0 += 1,
            Err(error) => {
                let expected = [ENOSPC, EOPNOTSUPP, EMLINK, EINVAL, EFBIG, EDQUOT, ERANGE];
                assert!(expected.contains(error), "{what}: {error} {:?}", self.vfs.fs.store.reports());
                entry.1 += 1;
            }
        }
    }

    fn pick(&mut self, wanted: impl Fn(&Kind) -> bool) -> Option<u32> {
        let all: Vec<u32> = self.nodes.iter().filter(|(_, node)| wanted(&node.kind)).map(|(ino, _)| *ino).collect();
        (!all.is_empty()).then(|| all[self.random.below(all.len() as u64) as usize])
    }

    fn dir(&mut self) -> u32 {
        if self.random.below(3) == 0 { 2 } else { self.pick(|kind| matches!(kind, Kind::Dir(_))).unwrap_or(2) }
    }

    fn entries(&mut self, dir: u32) -> &mut BTreeMap<Vec<u8>, u32> {
        match &mut self.nodes.get_mut(&dir).unwrap().kind {
            Kind::Dir(entries) => entries,
            _ => panic!("no directory"),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.random.below(100_000);
        let mut name = format!("n{number}").into_bytes();
        let longer = self.random.below(8);
        if longer == 0 {
            name.resize(10 + self.random.below(240) as usize, b'x');
        } else if longer < 3 {
            name.resize(30, b'y');
        }
        name
    }

    /// A random name that is there: directory, name, inode.
    fn existing(&mut self) -> Option<(u32, Vec<u8>, u32)> {
        let dir = self.dir();
        let count = self.entries(dir).len() as u64;
        let at = self.random.below(count) as usize;
        let (name, ino) = self.entries(dir).iter().nth(at).map(|(name, ino)| (name.clone(), *ino))?;
        (name != b"lost+found").then_some((dir, name, ino))
    }

    fn links(&self, ino: u32) -> usize {
        let names = self
            .nodes
            .values()
            .filter_map(|node| if let Kind::Dir(entries) = &node.kind { Some(entries) } else { None });
        names.flat_map(|entries| entries.values()).filter(|&&other| other == ino).count()
    }

    fn dropped(&mut self, ino: u32) {
        if self.links(ino) == 0 {
            self.nodes.remove(&ino);
        }
    }

    fn below(&self, dir: u32, ino: u32) -> bool {
        if dir == ino {
            return true;
        }
        match &self.nodes[&dir].kind {
            Kind::Dir(entries) => {
                entries.values().any(|&child| matches!(self.nodes[&child].kind, Kind::Dir(_)) && self.below(child, ino))
            }
            _ => false,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..22 => self.make(),
            22..34 => self.unlink(),
            34..40 => self.rename(),
            40..44 => self.link(),
            44..66 => self.write(),
            66..76 => self.truncate(),
            76..90 => self.allocate(),
            _ => self.xattr(),
        }
    }

    fn make(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        if self.entries(dir).contains_key(&name) {
            return;
        }
        let (made, kind) = match self.random.below(8) {
            0 | 1 => (self.vfs.create(dir, &name, 0o040755), Kind::Dir(BTreeMap::new())),
            2 => {
                let target = vec![b't'; 1 + self.random.below(300) as usize];
                (self.vfs.symlink(dir, &name, &target), Kind::Link(target))
            }
            _ => (self.vfs.create(dir, &name, 0o100644), Kind::File(Vec::new())),
        };
        self.note("make", &made.map(|_| ()));
        if let Ok(ino) = made {
            assert!(self.nodes.insert(ino, Node { kind, ..Node::default() }).is_none(), "inode {ino} given twice");
            self.entries(dir).insert(name, ino);
        }
    }

    fn unlink(&mut self) {
        let Some((dir, name, ino)) = self.existing() else { return };
        let full = matches!(&self.nodes[&ino].kind, Kind::Dir(entries) if !entries.is_empty());
        let result = self.vfs.unlink(dir, &name, ino);
        if full {
            assert_eq!(result, Err(ENOTEMPTY));
            return;
        }
        self.note("unlink", &result);
        if result.is_ok() {
            self.entries(dir).remove(&name);
            self.dropped(ino);
        }
    }

    fn rename(&mut self) {
        let Some((from, name, ino)) = self.existing() else { return };
        let (to, mut new_name) = (self.dir(), self.name());
        let is_dir = matches!(self.nodes[&ino].kind, Kind::Dir(_));
        if is_dir && self.below(ino, to) {
            return;
        }
        if self.random.below(3) == 0 {
            if let Some((name, _)) = self.entries(to).iter().next_back() {
                new_name = name.clone();
            }
        }
        let over = self.entries(to).get(&new_name).copied();
        if let Some(over) = over {
            let both = matches!(self.nodes[&over].kind, Kind::Dir(_));
            let above = both && self.below(over, from);
            if self.random.below(2) == 0 && over != ino && !above && new_name != b"lost+found" {
                let result = self.vfs.exchange(from, &name, ino, to, &new_name, over);
                self.note("exchange", &result);
                if result.is_ok() {
                    self.entries(from).insert(name, over);
                    self.entries(to).insert(new_name, ino);
                }
                return;
            }
            let full = matches!(&self.nodes[&over].kind, Kind::Dir(entries) if !entries.is_empty());
            if over == ino || both != is_dir || full || new_name == b"lost+found" {
                return;
            }
        }
        let result = self.vfs.rename(from, &name, ino, to, &new_name, over);
        self.note("rename", &result);
        if result.is_ok() {
            self.entries(from).remove(&name);
            self.entries(to).insert(new_name, ino);
            if let Some(over) = over {
                self.dropped(over);
            }
        }
    }

    fn link(&mut self) {
        let Some(ino) = self.pick(|kind| matches!(kind, Kind::File(_) | Kind::Link(_))) else { return };
        let (dir, name) = (self.dir(), self.name());
        if self.entries(dir).contains_key(&name) {
            return;
        }
        let result = self.vfs.link(dir, &name, ino);
        self.note("link", &result);
        if result.is_ok() {
            self.entries(dir).insert(name, ino);
        }
    }

    fn file(&mut self) -> Option<(u32, usize)> {
        let ino = self.pick(|kind| matches!(kind, Kind::File(_)))?;
        match &self.nodes[&ino].kind {
            Kind::File(data) => Some((ino, data.len())),
            _ => None,
        }
    }

    fn data(&mut self, ino: u32) -> &mut Vec<u8> {
        match &mut self.nodes.get_mut(&ino).unwrap().kind {
            Kind::File(data) => data,
            _ => panic!("no file"),
        }
    }

    fn write(&mut self) {
        let Some((ino, size)) = self.file() else { return };
        // Seldom one that takes several blocks of pointers.
        let most = if self.random.below(25) == 0 { 900_000 } else { [50, 3000, 60_000][self.random.below(3) as usize] };
        let length = 1 + self.random.below(most) as usize;
        let pos = match self.random.below(4) {
            0 => size,
            1 => self.random.below(size as u64 + 1) as usize,
            2 => self.random.below(size as u64 + 20_000) as usize,
            _ => self.random.below(400_000) as usize,
        };
        let fill = self.random.next() as u8;
        let bytes: Vec<u8> = (0..length).map(|i| fill.wrapping_add(i as u8)).collect();
        let way = self.random.below(3);
        let result = self.vfs.write(ino, pos as u64, &bytes, way);
        self.note("write", &result.map(|_| ()));
        let done = result.unwrap_or(0);
        if done > 0 {
            let data = self.data(ino);
            if data.len() < pos + done {
                data.resize(pos + done, 0);
            }
            data[pos..pos + done].copy_from_slice(&bytes[..done]);
        }
    }

    fn truncate(&mut self) {
        let Some((ino, size)) = self.file() else { return };
        let to = self.random.below(size as u64 * 3 / 2 + 100);
        let result = self.vfs.truncate(ino, to);
        self.note("truncate", &result);
        if result.is_ok() {
            self.data(ino).resize(to as usize, 0);
        }
    }

    fn allocate(&mut self) {
        let Some((ino, size)) = self.file() else { return };
        let from = self.random.below(size as u64 + 1);
        let to = from + 1 + self.random.below(50_000);
        let (block, cluster) = (self.vfs.fs.geo.block_size as u64, u64::from(self.vfs.fs.geo.cluster_blocks()));
        match self.random.below(6) {
            0 | 1 => {
                let result = self.vfs.punch(ino, from, to.min(size as u64));
                self.note("punch", &result);
                if result.is_ok() {
                    self.data(ino)[from as usize..(to as usize).min(size)].fill(0);
                }
            }
            2 => {
                let keep = self.random.below(2) == 0;
                let result = self.vfs.fallocate(ino, from, to, keep);
                self.note("fallocate", &result);
                if result.is_ok() && !keep && size < to as usize {
                    self.data(ino).resize(to as usize, 0);
                }
            }
            3 => {
                let result = self.vfs.zero_range(ino, from, to.min(size as u64));
                self.note("zero_range", &result);
                if result.is_ok() {
                    self.data(ino)[from as usize..(to as usize).min(size)].fill(0);
                }
            }
            way => {
                let unit = block * cluster;
                let first = from / unit * unit;
                let len = unit * (1 + self.random.below(4));
                if first + len >= size as u64 || size > 1_000_000 {
                    return;
                }
                let result = self.vfs.shift(ino, (first / block) as u32, (len / block) as u32, way == 5);
                self.note(if way == 5 { "insert" } else { "collapse" }, &result);
                if result.is_ok() {
                    let data = self.data(ino);
                    if way == 5 {
                        data.splice(first as usize..first as usize, vec![0; len as usize]);
                    } else {
                        data.drain(first as usize..(first + len) as usize);
                    }
                }
            }
        }
    }

    fn xattr(&mut self) {
        let Some(ino) = self.pick(|kind| matches!(kind, Kind::File(_) | Kind::Dir(_))) else { return };
        let name = format!("a{}", self.random.below(6)).into_bytes();
        let there = self.nodes[&ino].xattrs.contains_key(&name);
        let value = if there && self.random.below(3) == 0 {
            None
        } else {
            let most = [20, 200, 3000][self.random.below(3) as usize];
            Some(vec![self.random.next() as u8; self.random.below(most) as usize])
        };
        let result = self.vfs.xattr(ino, &name, value.as_deref());
        self.note("xattr", &result);
        if result.is_ok() {
            let xattrs = &mut self.nodes.get_mut(&ino).unwrap().xattrs;
            match value {
                Some(value) => xattrs.insert(name, value),
                None => xattrs.remove(&name),
            };
        }
    }

    fn check(&mut self, image: &std::path::Path, what: &str) {
        let reports = self.vfs.fs.store.reports();
        assert!(reports.is_empty(), "{what}: {reports:?}");
        let before = self.vfs.fs.statfs();
        std::fs::write(image, self.vfs.image()).unwrap();
        if let Some(text) = fsck(image) {
            let _ = std::fs::copy(image, std::env::temp_dir().join("ext4-bad.img"));
            panic!("{what}: {text}\n{:?}\nlast {}", self.counts, self.last);
        }
        let fs = mount(image, true);
        assert_eq!(fs.statfs().free, before.free, "{what}");
        for (ino, node) in &self.nodes {
            let inode = fs.inode(*ino).unwrap();
            match &node.kind {
                Kind::File(data) => {
                    assert_eq!(inode.raw.size, data.len() as u64, "{what} inode {ino}; last {}", self.last);
                    let found = read_file(&fs, &inode).unwrap();
                    let differs = found.iter().zip(data).position(|(a, b)| a != b);
                    assert!(
                        found == *data,
                        "{what} inode {ino} differs at {differs:?} of {}; last {}",
                        data.len(),
                        self.last
                    );
                }
                Kind::Link(target) => assert_eq!(fs.read_link(&inode).unwrap().to_vec(), *target),
                Kind::Dir(entries) => {
                    let found = list(&fs, &inode).unwrap();
                    let found: BTreeMap<Vec<u8>, u32> =
                        found.into_iter().filter(|n| n.0 != b"." && n.0 != b"..").map(|n| (n.0, n.1)).collect();
                    assert!(found == *entries, "{what} directory {ino}: {} names for {}", found.len(), entries.len());
                    for (name, child) in entries.iter().take(50) {
                        assert_eq!(fs.lookup(&inode, name).unwrap().map(|found| found.0), Some(*child));
                    }
                }
                Kind::Gone => {}
            }
            for (name, value) in &node.xattrs {
                assert!(*fs.xattr_get(&inode, 1, name).unwrap() == **value, "{what} inode {ino}");
            }
        }
        let reports = fs.store.reports();
        assert!(reports.is_empty(), "{what}: {reports:?}");
    }
}

#[test]
fn random_operations() {
    let rounds: u64 = std::env::var("EXT4_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let steps: u32 = std::env::var("EXT4_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let parts: u32 = std::env::var("EXT4_PARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let first_round: u64 = std::env::var("EXT4_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let only = std::env::var("EXT4_ONLY").ok();
    let scratch = Scratch::new();
    for round in 0..rounds {
        for (kind, words) in TABLE.iter().enumerate() {
            if only.as_ref().is_some_and(|only| !words.contains(only.as_str())) {
                continue;
            }
            let image = scratch.file("image");
            let size = if words.contains("bigalloc") { "24M" } else { "6M" };
            mkfs(&image, words, size, None);
            let what = format!("{words} (round {round})");
            println!("{what}");
            if round < first_round {
                continue;
            }
            let mut world = World::new(mount(&image, false), round * 100 + kind as u64 + 1);
            for part in 0..parts {
                for _ in 0..steps / parts {
                    world.step();
                }
                world.check(&image, &format!("{what}, part {part}"));
            }
            println!("{:?} most {}", world.counts, world.vfs.fs.store.most_dirtied());
        }
    }
}

#[test]
fn data_in_the_inode_is_written_back_without_new_times() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,inline_data -I 256", "6M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let ino = vfs.create(2, b"file", 0o100_644).unwrap();
    let times = |vfs: &mut Vfs| vfs.with(ino, |_, inode| (inode.raw.mtime, inode.raw.ctime));
    let before = times(&mut vfs);
    assert_eq!(vfs.write(ino, 0, b"text", 0), Ok(4));
    assert!(vfs.with(ino, |_, inode| inode.is_inline()));
    assert_eq!(times(&mut vfs), before);
    let raw = vfs.fs.inode(ino).unwrap().raw;
    assert_eq!((raw.mtime, raw.ctime), before);
    vfs.truncate(ino, 2).unwrap();
    assert_ne!(times(&mut vfs), before);
}

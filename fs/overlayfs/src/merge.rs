// SPDX-License-Identifier: GPL-2.0
//! Listing directories: the entries of all layers, each name once, without what whiteouts hide. A list is made when a directory is
//! read from its beginning, and kept with the open file.

use crate::lookup::find;
use crate::node::Node;
use containers::sort;
use core::cmp::Ordering;
use kalloc::{KVVec, KVec};
use kernel::filesystem::vfs::dcache::lookup_cached;
use kernel::filesystem::vfs::namei::kernel::{kernel_lookup, kernel_open_real};
use kernel::filesystem::vfs::{DirContext, DirSink, File, FileType, Path};
use kernel::prelude::*;

/// A name that is shown.
struct Entry {
    start: usize,
    len: usize,
    ino: u64,
    kind: FileType,
    hidden: bool,
    upper: bool,
    /// Which of `Fs::systems` its layer is on.
    system: usize,
}

/// The entries of a directory in the order in which they are shown.
pub(crate) struct List {
    text: KVVec<u8>,
    entries: KVVec<Entry>,
}

impl List {
    fn name<'a>(&'a self, entry: &Entry) -> &'a [u8] {
        self.text.get(entry.start..).and_then(|rest| rest.get(..entry.len)).unwrap_or(b"")
    }

    /// Those from number `from` on.
    pub(crate) fn from(&self, from: usize) -> impl Iterator<Item = (usize, &[u8], u64, FileType)> {
        let rest = self.entries.iter().enumerate().skip(from);
        rest.map(|(index, entry)| (index, self.name(entry), entry.ino, entry.kind))
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Takes the entries of one layer.
struct Collect<'a> {
    list: &'a mut List,
    /// Entries of the layers above, by name.
    known: KVVec<usize>,
    upper: bool,
    system: usize,
    error: Result,
    seen: usize,
}

impl Collect<'_> {
    fn take(&mut self, name: &[u8], ino: u64, kind: FileType) -> Result {
        let list = &mut *self.list;
        let compare = |index: &usize| match list.entries.get(*index) {
            Some(entry) => list.name(entry).cmp(name),
            None => Ordering::Less,
        };
        if self.known.binary_search_by(compare).is_ok() {
            return Ok(());
        }
        let start = list.text.len();
        list.text.extend_from_slice(name, GFP_KERNEL)?;
        let entry = Entry { start, len: name.len(), ino, kind, hidden: false, upper: self.upper, system: self.system };
        list.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }
}

impl DirSink for Collect<'_> {
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, _next: i64) -> bool {
        self.seen += 1;
        if name == b"." || name == b".." {
            return true;
        }
        self.error = self.take(name, ino, kind);
        self.error.is_ok()
    }
}

/// Reads all of a directory of a layer.
fn read(path: Path, collect: &mut Collect<'_>) -> Result {
    let file = kernel_open_real(path, uapi::O_RDONLY | uapi::O_DIRECTORY | uapi::O_LARGEFILE | uapi::O_NOATIME)?;
    let mut pos = 0;
    loop {
        collect.seen = 0;
        let mut context = DirContext::new(pos, &mut *collect);
        {
            let _lock = file.inode().lock.read();
            file.ops().iterate(&file, &mut context)?;
        }
        pos = context.pos;
        collect.error?;
        if collect.seen == 0 {
            return Ok(());
        }
    }
}

/// Adds the entries of one layer to `list`.
fn layer(node: &Node, path: &Path, upper: bool, system: usize, list: &mut List) -> Result {
    let mut known = KVVec::with_capacity(list.entries.len(), GFP_KERNEL)?;
    for index in 0..list.entries.len() {
        known.push(index, GFP_KERNEL)?;
    }
    let name = |index: &usize| list.entries.get(*index).map_or(&b""[..], |entry| list.name(entry));
    sort::sort_by(&mut known, |one, other| name(one) < name(other));
    let first = list.entries.len();
    let mut collect = Collect { list, known, upper, system, error: Ok(()), seen: 0 };
    read(path.clone(), &mut collect)?;
    let dir = path.inode()?;
    let files = node.fs.may_have_whiteout_files(dir)?;
    for index in first..list.entries.len() {
        let Some(entry) = list.entries.get(index) else { break };
        if entry.kind == FileType::Char || files && entry.kind == FileType::Reg {
            let hidden = match kernel_lookup(path, list.name(entry))? {
                Some(dentry) => node.fs.is_whiteout(dir, dentry.positive()?)?,
                None => true,
            };
            if let Some(entry) = list.entries.get_mut(index) {
                entry.hidden = hidden;
            }
        }
    }
    Ok(())
}

/// The entries of `node`. May sleep.
pub(crate) fn list(node: &Node) -> Result<List> {
    let _acting = node.fs.act()?;
    let mut list = List { text: KVVec::new(), entries: KVVec::new() };
    if let Some(path) = node.upper_path()? {
        layer(node, &path, true, 0, &mut list)?;
    }
    for lower in node.lower.iter() {
        layer(node, &node.lower_path(lower)?, false, node.fs.system(lower.layer), &mut list)?;
    }
    list.entries.retain(|entry| !entry.hidden);
    Ok(list)
}

/// As [`list`], with the numbers that `stat` shows for the entries of the open directory `file`.
pub(crate) fn numbered(node: &Node, file: &File) -> Result<List> {
    let mut list = list(node)?;
    // Entries of the upper layer may show the number of a lower file.
    let merges = match node.upper.get() {
        Some(dentry) => !node.lower.is_empty() || node.fs.is_impure(dentry.positive()?)?,
        None => false,
    };
    if !merges && node.fs.xino.is_none() {
        return Ok(list);
    }
    for index in 0..list.entries.len() {
        let Some(entry) = list.entries.get(index) else { break };
        let name = list.name(entry);
        let cached = || lookup_cached(&file.path().dentry, name)?.inode().map(|inode| inode.ino);
        let ino = match entry.upper && merges {
            true => match cached() {
                Some(ino) => Some(ino),
                None => below(node, name)?,
            },
            false => None,
        };
        let ino = ino.or_else(|| node.fs.number(entry.system, entry.ino));
        if let (Some(ino), Some(entry)) = (ino, list.entries.get_mut(index)) {
            entry.ino = ino;
        }
    }
    Ok(list)
}

/// The number that entry `name` of the upper layer has from a lower file: from the topmost directory that it is merged with, or from what it
/// is a copy of.
fn below(node: &Node, name: &[u8]) -> Result<Option<u64>> {
    if !node.fs.same && node.fs.xino.is_none() {
        return Ok(None);
    }
    let _acting = node.fs.act()?;
    let lower = match find(node, name) {
        Ok(found) => found.lower,
        Err(ENOMEM) => return Err(ENOMEM),
        // Who looks at it hears of that.
        Err(_) => return Ok(None),
    };
    let Some(first) = lower.first() else { return Ok(None) };
    let inode = first.dentry.positive()?;
    let shown = inode.is_dir() || inode.nlink() == 1;
    Ok(node.fs.number(node.fs.system(first.layer), inode.ino).filter(|_| shown))
}

/// Whether a directory shows no entries.
pub(crate) fn is_empty(node: &Node) -> Result<bool> {
    list(node).map(|list| list.is_empty())
}

/// Whether a directory of a layer has entries, whiteouts among them.
pub(crate) fn has_any(path: Path) -> Result<bool> {
    names(path).map(|names| !names.is_empty())
}

/// The names in a directory of a layer, each ended by a NUL.
pub(crate) fn names(path: Path) -> Result<KVec<u8>> {
    let mut list = List { text: KVVec::new(), entries: KVVec::new() };
    let mut collect = Collect { list: &mut list, known: KVVec::new(), upper: false, system: 0, error: Ok(()), seen: 0 };
    read(path, &mut collect)?;
    let mut out = KVec::new();
    for entry in list.entries.iter() {
        out.extend_from_slice(list.name(entry), GFP_KERNEL)?;
        out.push(0, GFP_KERNEL)?;
    }
    Ok(out)
}

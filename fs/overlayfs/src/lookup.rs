// SPDX-License-Identifier: GPL-2.0
//! What a name stands for in all layers. A directory of a layer may say that what lies below it has another name (`redirect`): another
//! one in the same directory, or a path from the root of the layers, which leads out of the directories that are merged here.

use crate::node::{Home, Lower, Node};
use crate::origin;
use kalloc::{Arc, KVec};
use kernel::filesystem::vfs::namei::kernel::kernel_lookup;
use kernel::filesystem::vfs::{Dentry, Inode, Path};
use kernel::prelude::*;

/// Bytes of the longest name that redirects may make.
const LONGEST: usize = 1 << 16;

/// The overlay's inode for `name` in `dir`.
pub(crate) fn lookup(node: &Node, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
    let _acting = node.fs.act()?;
    let Found { upper, lower, redirect } = find(node, name)?;
    if upper.is_none() && lower.is_empty() {
        return Ok(None);
    }
    let home = Home { parent: dir.clone(), name: KVec::from_slice(name, GFP_KERNEL)? };
    // Whoever is in the upper layer needs no way there.
    let home = upper.is_none().then_some(home);
    Node::inode(dir.sb(), &node.fs, upper, lower, home, redirect).map(Some)
}

/// What a name stands for.
pub(crate) struct Found {
    pub(crate) upper: Option<Arc<Dentry>>,
    pub(crate) lower: KVec<Lower>,
    /// What the upper directory says of what lies below it.
    redirect: Option<KVec<u8>>,
}

/// A search from layer to layer, downwards.
struct Search<'a> {
    node: &'a Node,
    /// The name that is being looked for in the next layer; a path from the root if it begins with a slash.
    name: KVec<u8>,
    /// That is not the name the search began with.
    redirected: bool,
    /// A directory was found.
    is_dir: bool,
    /// Nothing below counts.
    stop: bool,
    /// No layer is below the next one.
    last: bool,
}

impl Search<'_> {
    /// The entry `part` of `dir`. `before` bytes of the name lead to `dir`; `rest` is what follows `part`.
    fn step(&mut self, dir: &Path, before: usize, part: &[u8], rest: &[u8]) -> Result<Option<Arc<Dentry>>> {
        let fs = &self.node.fs;
        let dentry = match kernel_lookup(dir, part) {
            Ok(Some(dentry)) => dentry,
            // A name that a layer cannot have is not there.
            Ok(None) | Err(ENAMETOOLONG) => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = dentry.positive()?;
        if fs.is_whiteout(dir.inode()?, inode)? {
            self.stop = true;
            return Ok(None);
        }
        if !inode.is_dir() {
            self.stop = true;
            if self.is_dir || !rest.is_empty() {
                return Ok(None);
            }
            whole(self.node, inode, part)?;
            return Ok(Some(dentry));
        }
        if fs.traps.iter().any(|trap| Arc::ptr_eq(trap, &dentry)) {
            return Err(ELOOP);
        }
        self.is_dir |= rest.is_empty();
        if self.last {
            return Ok(Some(dentry));
        }
        if fs.is_opaque(inode)? {
            self.stop = true;
        } else if let Some(to) = redirect(self.node, inode)? {
            self.turn(before, &to, rest)?;
        }
        Ok(Some(dentry))
    }

    /// From the next layer on `to` stands for the part of the name behind its first `before` bytes and in front of `rest`.
    fn turn(&mut self, before: usize, to: &[u8], rest: &[u8]) -> Result {
        let before = if to.first() == Some(&b'/') {
            // A directory on the way may have hidden what lies below it, but this leads elsewhere.
            self.stop = false;
            &[]
        } else {
            self.name.get(..before).ok_or(EIO)?
        };
        let mut name = KVec::with_capacity(before.len() + to.len() + rest.len(), GFP_KERNEL)?;
        for part in [before, to, rest] {
            name.extend_from_slice(part, GFP_KERNEL)?;
        }
        if name.len() > LONGEST {
            return Err(EINVAL);
        }
        self.name = name;
        self.redirected = true;
        Ok(())
    }

    fn is_absolute(&self) -> bool {
        self.name.first() == Some(&b'/')
    }

    /// What the name leads to from `base`.
    fn layer(&mut self, base: Path) -> Result<Option<Arc<Dentry>>> {
        if !self.is_absolute() {
            let name = self.name.try_clone(GFP_KERNEL)?;
            return self.step(&base, 0, &name, b"");
        }
        let mut at = base;
        // The name may become another on the way, but what follows in it stays: it is counted from the end.
        let mut left = self.name.len() - 1;
        loop {
            let before = self.name.len().checked_sub(left).ok_or(EIO)?;
            let rest = KVec::from_slice(self.name.get(before..).ok_or(EIO)?, GFP_KERNEL)?;
            let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let (part, rest) = rest.split_at(end);
            let Some(dentry) = self.step(&at, before, part, rest)? else { return Ok(None) };
            if rest.is_empty() {
                return Ok(Some(dentry));
            }
            left = rest.len() - 1;
            at = Path { mnt: at.mnt, dentry };
        }
    }
}

/// What `name` in directory `node` stands for.
pub(crate) fn find(node: &Node, name: &[u8]) -> Result<Found> {
    let fs = &node.fs;
    let follow = fs.options.redirect.follows();
    let mut search = Search {
        node,
        name: KVec::from_slice(name, GFP_KERNEL)?,
        redirected: false,
        is_dir: false,
        stop: false,
        last: !follow && node.lower.is_empty(),
    };
    let mut found = Found { upper: None, lower: KVec::new(), redirect: None };
    if let Some(path) = node.upper_path()? {
        found.upper = search.layer(path)?;
        if let Some(dentry) = &found.upper
            && !search.is_dir
        {
            found.lower.extend(origin::of(fs, dentry.positive()?)?, GFP_KERNEL)?;
        }
        if search.redirected {
            found.redirect = Some(search.name.try_clone(GFP_KERNEL)?);
        }
    }
    let mut from_root = search.redirected && search.is_absolute();
    let mut index = 0;
    while !search.stop {
        let (layer, base) = if from_root {
            let Some(layer) = fs.lower.get(index) else { break };
            (index, layer.root.clone())
        } else {
            let Some(lower) = node.lower.get(index) else { break };
            (lower.layer, node.lower_path(lower)?)
        };
        search.last = if follow { layer + 1 == fs.lower.len() } else { index + 1 == node.lower.len() };
        index += 1;
        let Some(dentry) = search.layer(base)? else { continue };
        found.lower.push(Lower { layer, dentry }, GFP_KERNEL)?;
        if search.redirected && !follow {
            pr_warn!("overlayfs: refusing to follow redirect for ({})\n", name.escape_ascii());
            return Err(EPERM);
        }
        if search.redirected && search.is_absolute() && !from_root {
            from_root = true;
            index = layer + 1;
        }
    }
    Ok(found)
}

/// `EPERM` for a file whose data is in a layer below (`metacopy`): following is not built.
fn whole(node: &Node, inode: &Inode, name: &[u8]) -> Result {
    if inode.is_reg() && node.fs.attribute(inode, b"metacopy")?.is_some() {
        pr_warn!("overlayfs: refusing to follow metacopy origin for ({})\n", name.escape_ascii());
        return Err(EPERM);
    }
    Ok(())
}

/// Where a directory says that what lies below it is. `EINVAL` for what is neither a name nor a path.
fn redirect(node: &Node, inode: &Inode) -> Result<Option<KVec<u8>>> {
    let Some(to) = node.fs.attribute(inode, b"redirect")? else { return Ok(None) };
    if is_redirect(&to) {
        return Ok(Some(to));
    }
    pr_warn!("overlayfs: invalid redirect ({})\n", to.escape_ascii());
    Err(EINVAL)
}

/// Whether it is a name, or a slash and names with one between each two.
fn is_redirect(to: &[u8]) -> bool {
    let names = to.strip_prefix(b"/");
    let is_name = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
    match names {
        Some(names) => names.split(|&byte| byte == b'/').all(is_name),
        None => is_name(to) && !to.contains(&b'/'),
    }
}

/// Whether `name` is in a lower layer of directory `node`, and would be seen if the upper one had no such name. What cannot be looked at
/// may be something.
pub(crate) fn shows_below(node: &Node, name: &[u8]) -> Result<bool> {
    for lower in node.lower.iter() {
        let path = node.lower_path(lower)?;
        match kernel_lookup(&path, name) {
            Ok(Some(dentry)) => return Ok(!node.fs.is_whiteout(path.inode()?, dentry.positive()?)?),
            Ok(None) | Err(ENAMETOOLONG) => {}
            Err(ENOMEM) => return Err(ENOMEM),
            Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(overlayfs_redirect)]
mod tests {
    use super::is_redirect;

    #[test]
    fn names_and_paths() {
        for good in [&b"a"[..], b"a b", b"/a", b"/a/b", b"...", b"/..a"] {
            assert!(is_redirect(good));
        }
        for bad in [&b""[..], b"/", b"a/b", b"a/", b"//a", b"/a/", b"/a//b", b".", b"..", b"/a/../b", b"/./a", b"a\0b"]
        {
            assert!(!is_redirect(bad));
        }
    }
}

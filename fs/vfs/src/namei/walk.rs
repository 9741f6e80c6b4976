// SPDX-License-Identifier: GPL-2.0
//! The walk along a path. While every name is cached it runs inside one RCU section and takes no reference and no lock; where
//! it must sleep (a name to be looked up, a symbolic link) it pins the place it has come to, leaves the section, does that, and
//! goes on from there in a new section. `crossing` leads from one mount to another.

use super::pathname::{PATH_MAX, PathName, padded};
use super::slow::{lookup_slow, stale};
use crate::dcache;
use crate::dentry::{Dentry, dflag};
use crate::fs_struct::borrow_fs;
use crate::inode::{Inode, Link, iop};
use crate::mount::Mount;
use crate::name::{Key, NAME_MAX};
use crate::path::Path;
use crate::perm::may_lookup;
use errno::{Error, Result, code::*};
use kalloc::{Arc, ArcBorrow, KVec};
use rcu::ReadGuard;

/// How a walk behaves.
pub mod lflag {
    /// A symbolic link at the end is followed.
    pub const FOLLOW: u32 = 1 << 0;
    /// The end must be a directory.
    pub const DIRECTORY: u32 = 1 << 1;
    /// An empty path means the start itself (`AT_EMPTY_PATH`).
    pub const EMPTY: u32 = 1 << 2;
    /// Never leave the start's mount (`RESOLVE_NO_XDEV`).
    pub const NO_XDEV: u32 = 1 << 3;
    /// Refuse magic links (`RESOLVE_NO_MAGICLINKS`).
    pub const NO_MAGICLINKS: u32 = 1 << 4;
    /// Refuse all symbolic links (`RESOLVE_NO_SYMLINKS`).
    pub const NO_SYMLINKS: u32 = 1 << 5;
    /// Never leave the tree below the start (`RESOLVE_BENEATH`).
    pub const BENEATH: u32 = 1 << 6;
    /// The start is the root (`RESOLVE_IN_ROOT`).
    pub const IN_ROOT: u32 = 1 << 7;
    /// Only what is cached; `EAGAIN` else (`RESOLVE_CACHED`).
    pub const CACHED: u32 = 1 << 8;
    /// What is mounted on the end is not entered (`umount` of a mountpoint's own dentry, `rename`).
    pub const NO_MOUNT_END: u32 = 1 << 9;
    /// Walking into a mount does not count as using it (`umount2(MNT_EXPIRE)`).
    pub const KEEP_EXPIRY: u32 = 1 << 10;
}

/// Most symbolic links in one walk.
const MAXSYMLINKS: u32 = 40;

/// Where a relative path starts.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// The working directory.
    Cwd,
    /// A place (an open directory).
    At(&'a Path),
}

/// A place inside an RCU section.
#[derive(Clone, Copy)]
pub struct Place<'g> {
    /// The mount.
    pub mnt: ArcBorrow<'g, Mount>,
    /// The dentry.
    pub dentry: ArcBorrow<'g, Dentry>,
    /// What it names.
    pub inode: &'g Arc<Inode>,
}

impl<'g> Place<'g> {
    #[inline(always)]
    pub(super) fn new(mnt: ArcBorrow<'g, Mount>, dentry: ArcBorrow<'g, Dentry>) -> Result<Self> {
        Ok(Self { mnt, dentry, inode: dentry.into_ref().positive()? })
    }

    #[inline(always)]
    fn of(path: &'g Path) -> Result<Self> {
        Self::new(path.mnt.as_arc_borrow(), path.dentry.as_arc_borrow())
    }

    /// The place, counted.
    #[inline]
    pub fn to_path(&self) -> Path {
        Path { mnt: Arc::from(self.mnt), dentry: Arc::from(self.dentry) }
    }

    #[inline(always)]
    pub(super) fn is(&self, other: &Place<'_>) -> bool {
        core::ptr::eq(&*self.dentry, &*other.dentry) && core::ptr::eq(&*self.mnt, &*other.mnt)
    }
}

enum Text<'a> {
    Given(&'a PathName),
    Made(KVec<u8>),
}

impl Text<'_> {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Given(name) => name.padded(),
            Text::Made(text) => text,
        }
    }
}

enum Anchor<'a> {
    Root,
    Cwd,
    Given(&'a Path),
    Here(Path),
}

/// What a stretch of walking inside one section came to.
enum Step<'g> {
    /// The end.
    End(Place<'g>),
    /// Before the last component, which starts at the position.
    Last(Place<'g>, usize),
    /// The component at the position is not cached in this directory.
    Miss(Place<'g>, usize),
    /// A symbolic link in this directory, to be followed; the rest of the path starts at the position.
    Link(Place<'g>, Place<'g>, usize),
    /// A cached dentry in this directory that no longer stands; the component starts at the position.
    Stale(Place<'g>, ArcBorrow<'g, Dentry>, usize),
}

/// What is left to do outside of the section.
enum Next<R> {
    Return(Result<R>),
    Miss(Path, usize),
    Link { dir: Path, link: Path, rest: usize },
    Stale(Path, Arc<Dentry>, usize),
}

/// A walk in progress.
pub struct Walker<'a> {
    text: Text<'a>,
    at: usize,
    anchor: Anchor<'a>,
    /// A root of its own (`RESOLVE_BENEATH`, `RESOLVE_IN_ROOT`, or the kernel's choice).
    root: Option<Path>,
    flags: u32,
    links: u32,
    /// The last link followed was a magic one: the anchor is where it led.
    jumped: bool,
    /// With `RESOLVE_NO_XDEV`: what `/` means was looked up, by a path from there, or for a `..` before the last link.
    rooted: bool,
    /// The dentry that was found to stand still just now.
    checked: Option<Arc<Dentry>>,
}

/// Walks `name` to its end and calls `finish` there, inside the section. The common way to look something up.
#[inline]
pub fn lookup<R>(
    start: Start<'_>,
    name: &PathName,
    flags: u32,
    finish: impl FnMut(&Place<'_>) -> Result<R>,
) -> Result<R> {
    Walker::new(start, name, flags)?.run(finish)
}

/// As [`lookup`], giving the counted path.
pub fn lookup_path(start: Start<'_>, name: &PathName, flags: u32) -> Result<Path> {
    lookup(start, name, flags, |place| Ok(place.to_path()))
}

impl<'a> Walker<'a> {
    /// A walk along `name`.
    #[inline(always)]
    pub fn new(start: Start<'a>, name: &'a PathName, flags: u32) -> Result<Self> {
        let mut walker = Self {
            text: Text::Given(name),
            at: 0,
            anchor: Anchor::Cwd,
            root: None,
            flags,
            links: 0,
            jumped: false,
            rooted: false,
            checked: None,
        };
        if let Start::At(path) = start {
            walker.anchor = Anchor::Given(path);
        }
        if flags & (lflag::BENEATH | lflag::IN_ROOT) != 0 {
            if let Start::At(path) = start
                && flags & lflag::IN_ROOT != 0
                && !name.is_empty()
                && !path.inode()?.is_dir()
            {
                return Err(ENOTDIR);
            }
            walker.scope(start)?;
        }
        if name.padded().first() == Some(&b'/') {
            if flags & lflag::BENEATH != 0 {
                return Err(EXDEV);
            }
            walker.anchor = Anchor::Root;
        } else if name.is_empty() && flags & lflag::EMPTY == 0 {
            return Err(ENOENT);
        }
        Ok(walker)
    }

    /// A walk whose root is `root` in place of the task's.
    pub fn in_root(root: &Path, name: &'a PathName, flags: u32) -> Self {
        Self {
            text: Text::Given(name),
            at: 0,
            anchor: Anchor::Root,
            root: Some(root.clone()),
            flags,
            links: 0,
            jumped: false,
            rooted: true,
            checked: None,
        }
    }

    #[cold]
    fn scope(&mut self, start: Start<'_>) -> Result {
        self.root = Some(match start {
            Start::At(path) => path.clone(),
            Start::Cwd => crate::fs_struct::current_fs()?.paths()?.pwd.clone(),
        });
        Ok(())
    }

    /// Walks to the end; `finish` runs inside the section.
    #[inline]
    pub fn run<R>(&mut self, mut finish: impl FnMut(&Place<'_>) -> Result<R>) -> Result<R> {
        loop {
            let next = {
                let section = rcu::read_lock();
                match self.stretch(&section, false) {
                    Err(error) => Next::Return(Err(error)),
                    Ok(Step::End(place) | Step::Last(place, _)) => Next::Return(finish(&place)),
                    Ok(step) => leave(step),
                }
            };
            match next {
                Next::Return(result) => return result,
                next => self.outside(next)?,
            }
        }
    }

    /// Walks to the directory that the last component is in, and leaves the walk there: see [`Self::last`]. `None`: the path
    /// has no last component (`/`).
    pub fn parent(&mut self) -> Result<Option<Path>> {
        loop {
            let next = {
                let section = rcu::read_lock();
                match self.stretch(&section, true) {
                    Err(error) => Next::Return(Err(error)),
                    Ok(Step::Last(place, at)) => Next::Return(Ok(Some((place.to_path(), at)))),
                    Ok(Step::End(_)) => Next::Return(Ok(None)),
                    Ok(step) => leave(step),
                }
            };
            match next {
                Next::Return(Ok(Some((path, at)))) => {
                    self.at = at;
                    self.anchor = Anchor::Here(path.clone());
                    return Ok(Some(path));
                }
                Next::Return(Ok(None)) => return Ok(None),
                Next::Return(Err(error)) => return Err(error),
                next => self.outside(next)?,
            }
        }
    }

    /// The last component after [`Self::parent`], and whether slashes follow it.
    pub fn last(&self) -> (Key<'_>, bool) {
        let text = self.text.bytes();
        let key = Key::scan(text, self.at);
        let slash = text.get(self.at + key.bytes.len()) == Some(&b'/');
        (key, slash)
    }

    /// After [`Self::parent`]: the last component is symbolic link `link`; go on along it.
    pub fn follow_last(&mut self, dir: Path, link: Path) -> Result {
        let (key, _) = self.last();
        let rest = self.at + key.bytes.len();
        self.follow(dir, link, rest)
    }

    /// After [`Self::follow_last`]: where a magic link led, if nothing of the path is left.
    pub fn jumped(&self) -> Option<Path> {
        let left = self.text.bytes().get(self.at).is_some_and(|&byte| byte != 0);
        match &self.anchor {
            Anchor::Here(path) if self.jumped && !left => Some(path.clone()),
            _ => None,
        }
    }

    /// Flags.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// `error` where Linux looks once more with locks before it says so, which `RESOLVE_CACHED` excludes.
    pub(super) fn looked_at_again(&self, error: Error) -> Error {
        if self.flags & lflag::CACHED != 0 { EAGAIN } else { error }
    }

    #[inline(always)]
    fn root_place<'g>(&'g self, section: &'g ReadGuard) -> Result<Place<'g>> {
        if let Some(root) = &self.root {
            return Place::of(root);
        }
        let paths = borrow_fs(section).and_then(|fs| fs.into_ref().borrow(section)).ok_or(ENOENT)?;
        Place::of(&paths.into_ref().root)
    }

    /// Walks inside one section as far as that goes.
    #[inline(always)]
    fn stretch<'g>(&'g self, section: &'g ReadGuard, parent_only: bool) -> Result<Step<'g>> {
        let (root, place) = match &self.anchor {
            Anchor::Here(path) => (self.root_place(section)?, Place::of(path)?),
            Anchor::Given(path) => (self.root_place(section)?, Place::of(path)?),
            Anchor::Root => {
                let root = self.root_place(section)?;
                (root, root)
            }
            Anchor::Cwd => {
                let paths = borrow_fs(section).and_then(|fs| fs.into_ref().borrow(section)).ok_or(ENOENT)?.into_ref();
                let root = match &self.root {
                    Some(root) => root,
                    None => &paths.root,
                };
                (Place::of(root)?, Place::of(&paths.pwd)?)
            }
        };
        self.components(section, root, place, parent_only)
    }

    fn components<'g>(
        &self,
        section: &'g ReadGuard,
        root: Place<'g>,
        mut place: Place<'g>,
        parent_only: bool,
    ) -> Result<Step<'g>> {
        let text = self.text.bytes();
        let mut at = skip_slashes(text, self.at);
        let had_slash = at != self.at;
        if text.get(at).is_none_or(|&byte| byte == 0) {
            // Nothing left: the place where the walk stands is the end.
            return self.at_end(place, had_slash && self.at != 0);
        }
        loop {
            if !place.inode.is_dir() {
                let on_the_way = at != skip_slashes(text, self.at);
                return Err(if on_the_way { self.looked_at_again(ENOTDIR) } else { ENOTDIR });
            }
            may_lookup(place.inode)?;
            let key = Key::scan(text, at);
            let len = key.bytes.len();
            let end = skip_slashes(text, at + len);
            let is_last = text.get(end).is_none_or(|&byte| byte == 0);
            if is_last && parent_only {
                return Ok(Step::Last(place, at));
            }
            match key.dots() {
                0 => {}
                1 => {
                    if is_last {
                        return self.at_end(place, true);
                    }
                    at = end;
                    continue;
                }
                _ => {
                    place = self.up(section, root, place)?;
                    if is_last {
                        return self.at_end(place, true);
                    }
                    at = end;
                    continue;
                }
            }
            if len > NAME_MAX {
                return Err(self.looked_at_again(if place.inode.nlink() == 0 { ENOENT } else { ENAMETOOLONG }));
            }
            let Some(child) = dcache::lookup(section, &place.dentry, &key) else {
                if place.inode.iflags() & iop::COMPLETE != 0 {
                    // That a name is not there is nothing that Linux has cached of such a directory.
                    return Err(self.looked_at_again(ENOENT));
                }
                return Ok(Step::Miss(place, at));
            };
            let inode = child.into_ref().positive()?;
            let flags = inode.iflags();
            if flags & iop::REVALIDATE != 0 && !inode.ops().revalidate(inode) && !self.was_checked(&child) {
                return Ok(Step::Stale(place, child, at));
            }
            let mut next = Place { mnt: place.mnt, dentry: child, inode };
            if child.test_flags(dflag::MOUNTED) && !(is_last && self.flags & lflag::NO_MOUNT_END != 0) {
                next = self.down(section, next)?;
            }
            if next.inode.is_symlink() {
                // Slashes behind a link ask for what it leads to.
                if !is_last || end != at + len || self.flags & lflag::FOLLOW != 0 {
                    return Ok(Step::Link(place, next, at + len));
                }
            }
            place = next;
            if is_last {
                return self.at_end(place, end != at + len);
            }
            at = end;
        }
    }

    #[inline(always)]
    fn at_end<'g>(&self, place: Place<'g>, wants_dir: bool) -> Result<Step<'g>> {
        if (wants_dir || self.flags & lflag::DIRECTORY != 0) && !place.inode.is_dir() {
            return Err(ENOTDIR);
        }
        Ok(Step::End(place))
    }

    /// Does what a stretch could not do inside its section.
    #[cold]
    fn outside<R>(&mut self, next: Next<R>) -> Result {
        match next {
            Next::Link { .. } => {}
            _ if self.flags & lflag::CACHED != 0 => return Err(EAGAIN),
            _ => {}
        }
        match next {
            Next::Return(_) => Ok(()),
            Next::Miss(dir, at) => self.look_up(dir, at),
            Next::Stale(dir, dentry, at) => {
                let key = Key::scan(self.text.bytes(), at);
                if !stale(&dir.dentry, &dentry, &key)? {
                    return self.look_up(dir, at);
                }
                self.checked = Some(dentry);
                self.at = at;
                self.anchor = Anchor::Here(dir);
                Ok(())
            }
            Next::Link { dir, link, rest } => self.follow(dir, link, rest),
        }
    }

    /// Whether `dentry` is the one that was found to stand.
    fn was_checked(&self, dentry: &Dentry) -> bool {
        self.checked.as_ref().is_some_and(|checked| core::ptr::eq(&**checked, dentry))
    }

    fn look_up(&mut self, dir: Path, at: usize) -> Result {
        let key = Key::scan(self.text.bytes(), at);
        // Kept until the walk has found it again in the cache: so it is not trimmed in between.
        let found = lookup_slow(&dir.dentry, &key)?;
        if found.as_ref().and_then(|dentry| dentry.inode()).is_none() {
            return Err(ENOENT);
        }
        self.checked = found;
        self.at = at;
        self.anchor = Anchor::Here(dir);
        Ok(())
    }

    fn follow(&mut self, dir: Path, link: Path, rest: usize) -> Result {
        self.links += 1;
        if self.links > MAXSYMLINKS {
            return Err(ELOOP);
        }
        let inode = link.inode()?;
        if crate::protect::symlinks() && self.ends_at(rest) {
            crate::protect::may_follow(dir.inode()?, inode).map_err(|error| self.looked_at_again(error))?;
        }
        if self.flags & lflag::NO_SYMLINKS != 0 || link.mnt.flags() & uapi::MS_NOSYMFOLLOW != 0 {
            return Err(ELOOP);
        }
        if self.flags & lflag::NO_XDEV != 0 {
            self.rooted |= self.was_at_root(rest);
        }
        if self.flags & lflag::CACHED != 0 {
            // As far as that needs nothing but what is in memory.
            let in_memory = dir.inode()?.iflags() & iop::COMPLETE != 0 && inode.iflags() & iop::MAGIC_LINK == 0;
            if !in_memory || crate::times::needs_touch(&link.mnt, inode).is_some() {
                return Err(EAGAIN);
            }
        }
        crate::times::touch_atime(&link.mnt, inode);
        if inode.iflags() & iop::MAGIC_LINK != 0 && self.flags & lflag::NO_MAGICLINKS != 0 {
            return Err(ELOOP);
        }
        let target = match inode.ops().get_link(inode)? {
            Link::Text(text) => self.splice(text, rest)?,
            Link::Owned(text) => self.splice(&text, rest)?,
            Link::Jump(path) => return self.jump(&dir, path, rest),
        };
        self.anchor = if target.first() == Some(&b'/') {
            // As on Linux, a root that nobody has asked for yet is on no mount.
            let stays = self.flags & lflag::NO_XDEV == 0 || self.rooted && self.root_is_on(&dir)?;
            if self.flags & lflag::BENEATH != 0 || !stays {
                return Err(EXDEV);
            }
            Anchor::Root
        } else {
            Anchor::Here(dir)
        };
        self.text = Text::Made(target);
        self.jumped = false;
        self.at = 0;
        Ok(())
    }

    /// Whether nothing but slashes is left of the path at `rest`.
    fn ends_at(&self, rest: usize) -> bool {
        let text = self.text.bytes();
        text.get(skip_slashes(text, rest)).is_none_or(|&byte| byte == 0)
    }

    /// The link's text and what follows it.
    fn splice(&self, target: &[u8], rest: usize) -> Result<KVec<u8>> {
        if target.is_empty() {
            return Err(ENOENT);
        }
        if target.len() >= PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        let text = self.text.bytes().get(rest..).unwrap_or(b"");
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        padded(&[target, text.get(..end).unwrap_or(b"")])
    }

    /// Whether the walk began at its root, or has gone up before `rest`.
    #[cold]
    fn was_at_root(&self, rest: usize) -> bool {
        let gone = self.text.bytes().get(..rest).unwrap_or(b"");
        self.root.is_some()
            || matches!(self.anchor, Anchor::Root)
            || gone.split(|&b| b == b'/').any(|name| name == b"..")
    }

    /// Whether `dir` is on the mount of what `/` means here.
    fn root_is_on(&self, dir: &Path) -> Result<bool> {
        let section = rcu::read_lock();
        let root = self.root_place(&section)?;
        Ok(core::ptr::eq(&*root.mnt, &*dir.mnt))
    }

    /// Goes on at `path`, where a link in `dir` leads.
    fn jump(&mut self, dir: &Path, path: Path, rest: usize) -> Result {
        if self.flags & (lflag::BENEATH | lflag::IN_ROOT) != 0 {
            return Err(EXDEV);
        }
        if self.flags & lflag::NO_XDEV != 0 && !Arc::ptr_eq(&dir.mnt, &path.mnt) {
            return Err(EXDEV);
        }
        self.anchor = Anchor::Here(path);
        self.jumped = true;
        self.at = rest;
        Ok(())
    }
}

/// Pins what a step that cannot go on stands on.
fn leave<R>(step: Step<'_>) -> Next<R> {
    match step {
        Step::Miss(dir, at) => Next::Miss(dir.to_path(), at),
        Step::Link(dir, link, rest) => Next::Link { dir: dir.to_path(), link: link.to_path(), rest },
        Step::Stale(dir, dentry, at) => Next::Stale(dir.to_path(), Arc::from(dentry), at),
        // Not reached: callers handle ends themselves.
        Step::End(_) | Step::Last(..) => Next::Return(Err(EINVAL)),
    }
}

#[inline(always)]
fn skip_slashes(text: &[u8], mut at: usize) -> usize {
    while text.get(at) == Some(&b'/') {
        at += 1;
    }
    at
}

// SPDX-License-Identifier: GPL-2.0
//! Mounting: the layers are looked up, checked and held by mounts of our own, which are attached nowhere.

use crate::entries::clear;
use crate::layers::{Fs, Layer, System};
use crate::node::{Lower, Node, Table};
use crate::options::{Options, Xino};
use core::fmt::Write;
use core::sync::atomic::AtomicU64;
use kalloc::{Arc, KBox, KVec};
use kernel::ext::ModuleHeader;
use kernel::filesystem::cred::current_cred;
use kernel::filesystem::vfs::handle::FileId;
use kernel::filesystem::vfs::namei::kernel::{kernel_lookup, kernel_make};
use kernel::filesystem::vfs::namei::walk::lookup_path;
use kernel::filesystem::vfs::namei::{PathName, Start, lflag};
use kernel::filesystem::vfs::super_block::{AnonDev, Kstatfs};
use kernel::filesystem::vfs::{Dentry, FileSystemType, FsContext, Mount, Path, SuperBlock, SuperInit, SuperOps};
use kernel::prelude::*;

/// `OVERLAYFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x794c_7630;
/// Most lower layers (`OVL_MAX_STACK`).
const LAYERS_MAX: usize = 500;

/// The type `overlay`.
pub(crate) struct Type;

/// `overlay`.
pub(crate) static OVERLAY: Type = Type;

/// Says why not.
fn refuse<T>(why: &str, error: Error) -> Result<T> {
    pr_err!("overlayfs: {why}\n");
    Err(error)
}

/// A directory of the caller's, in a mount of our own. `flags`: that mount's.
fn directory(name: &[u8], flags: u32) -> Result<(Path, Path)> {
    let path = lookup_path(Start::Cwd, &PathName::from_bytes(name)?, lflag::FOLLOW | lflag::DIRECTORY)?;
    let mnt = Mount::new(&path.mnt.sb, path.dentry.clone(), b"overlay", flags)?;
    if path.mnt.sb.private::<Super>().is_some() {
        return refuse("maximum fs stacking depth exceeded", EINVAL);
    }
    let own = Path { mnt, dentry: path.dentry.clone() };
    Ok((path, own))
}

/// Whether `below` is `above` or lies below it.
fn lies_below(below: &Arc<Dentry>, above: &Arc<Dentry>) -> bool {
    let mut at = Some(below.clone());
    while let Some(dentry) = at {
        if Arc::ptr_eq(&dentry, above) {
            return true;
        }
        at = dentry.parent_arc();
    }
    false
}

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn stacks(&self) -> bool {
        true
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::Overlay as kernel::ModuleMetadata>::this_module().header()
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let mut options = Options::parse(context.options)?;
        if options.lower.is_empty() {
            return refuse("missing 'lowerdir'", EINVAL);
        }
        if options.lower.len() > LAYERS_MAX {
            return refuse("too many lower directories, limit is 500", EINVAL);
        }
        if options.upper.is_none() && options.work.take().is_some() {
            pr_info!("overlayfs: option \"workdir\" is useless in a non-upper mount, ignore\n");
        }
        if options.upper.is_none() && core::mem::take(&mut options.volatile) {
            pr_info!("overlayfs: option \"volatile\" is meaningless in a non-upper mount, ignoring it.\n");
        }
        if options.upper.is_none() && options.lower.len() == 1 {
            return refuse("at least 2 lowerdir are needed while upperdir nonexistent", EINVAL);
        }
        let fs = Arc::new(layers(options)?, GFP_KERNEL)?;
        let flags = context.flags | uapi::MS_POSIXACL | if fs.upper.is_none() { uapi::MS_RDONLY } else { 0 };
        let max_bytes =
            fs.upper.as_ref().or(fs.lower.first().map(|layer| &layer.root)).map_or(0, |p| p.mnt.sb.max_bytes);
        let init = SuperInit { magic: MAGIC, block_size: 4096, max_bytes, flags };
        let sb = SuperBlock::new(self, init, KBox::new(Super(fs.clone()), GFP_KERNEL)?)?;
        let mut lower = KVec::new();
        for (layer, found) in fs.lower.iter().enumerate() {
            lower.push(Lower { layer, dentry: found.root.dentry.clone() }, GFP_KERNEL)?;
        }
        let upper = fs.upper.as_ref().map(|path| path.dentry.clone());
        let root = Node::inode(&sb, &fs, upper, lower, None, None)?;
        sb.set_root(Dentry::new_root(root)?);
        Ok(sb)
    }
}

/// Looks all layers up.
#[inline(never)]
fn layers(mut options: Options) -> Result<Fs> {
    let mut systems = KVec::new();
    // Super blocks of `systems`, compared by address.
    let mut supers: KVec<Option<Arc<SuperBlock>>> = KVec::new();
    let mut roots: KVec<Arc<Dentry>> = KVec::new();
    let mut traps: KVec<Arc<Dentry>> = KVec::new();
    let (mut upper, mut work) = (None, None);
    if let Some(name) = &options.upper {
        let Some(work_name) = &options.work else { return refuse("missing 'workdir'", EINVAL) };
        let (place, own) = directory(name, uapi::MS_NOATIME)?;
        if place.mnt.is_rdonly() {
            return refuse("upper fs is r/o, try multi-lower layers mount", EINVAL);
        }
        let (work_place, work_own) = directory(work_name, uapi::MS_NOATIME)?;
        if !Arc::ptr_eq(&place.mnt, &work_place.mnt) {
            return refuse("workdir and upperdir must reside under the same mount", EINVAL);
        }
        if lies_below(&place.dentry, &work_place.dentry) || lies_below(&work_place.dentry, &place.dentry) {
            return refuse("workdir and upperdir must be separate subtrees", EINVAL);
        }
        systems.push(System { dev: Some(own.mnt.sb.dev), uuid: None, _own: None }, GFP_KERNEL)?;
        supers.push(Some(own.mnt.sb.clone()), GFP_KERNEL)?;
        traps.push(own.dentry.clone(), GFP_KERNEL)?;
        traps.push(work_own.dentry.clone(), GFP_KERNEL)?;
        // One mount serves both.
        work = Some(Path { mnt: own.mnt.clone(), dentry: work_own.dentry });
        upper = Some(own);
    } else {
        systems.push(System { dev: None, uuid: None, _own: None }, GFP_KERNEL)?;
        supers.push(None, GFP_KERNEL)?;
    }
    let mut lower = KVec::new();
    for name in options.lower.iter() {
        let (_, own) = directory(name, uapi::MS_NOATIME | uapi::MS_RDONLY)?;
        // That the upper layer is somewhere in a lower one is found if somebody goes there.
        let overlaps = |root: &Arc<Dentry>| lies_below(&own.dentry, root) || lies_below(root, &own.dentry);
        if roots.iter().any(overlaps) || traps.iter().any(|trap| lies_below(&own.dentry, trap)) {
            return refuse("overlapping lowerdir path", ELOOP);
        }
        let known = supers.iter().position(|sb| sb.as_ref().is_some_and(|sb| Arc::ptr_eq(sb, &own.mnt.sb)));
        let system = match known {
            Some(system) => system,
            None => {
                let anon = AnonDev::new()?;
                systems.push(System { dev: Some(anon.dev()), uuid: None, _own: Some(anon) }, GFP_KERNEL)?;
                supers.push(Some(own.mnt.sb.clone()), GFP_KERNEL)?;
                systems.len() - 1
            }
        };
        roots.push(own.dentry.clone(), GFP_KERNEL)?;
        lower.push(Layer { root: own, system }, GFP_KERNEL)?;
    }
    tell_apart(&mut systems, &lower);
    if options.xino == Xino::Auto && upper.is_some() && !lower.iter().all(|layer| numbers_stay(layer, &systems)) {
        pr_warn!("overlayfs: a lower fs has no file handles or no uuid of its own, falling back to xino=off.\n");
        options.xino = Xino::Off;
    }
    let same = systems.len() == 1 || systems.len() == 2 && upper.is_none();
    let bits = match supers.iter().flatten().all(has_short_numbers) {
        true => u32::BITS,
        // One bit more than file systems need.
        false => (usize::BITS - (systems.len() - 1).leading_zeros()) + 1,
    };
    let xino = (!same && options.xino != Xino::Off).then_some(u64::BITS - bits);
    let mut fs = Fs {
        upper,
        work: None,
        traps,
        lower,
        systems,
        same,
        xino,
        options,
        errors: 0,
        cred: current_cred()?,
        table: Table::new()?,
        temporary: AtomicU64::new(1),
    };
    if let Some(place) = work {
        let work = prepare_work(&place)?;
        fs.traps.push(work.dentry.clone(), GFP_KERNEL)?;
        fs.work = Some(work);
        check_upper(&fs)?;
        if fs.options.volatile {
            begin_volatile(&mut fs)?;
        }
    }
    Ok(fs)
}

/// Directory in the work directory whose entries name what an older kernel must know to mount it.
const INCOMPAT: &[u8] = b"incompat";

/// Marks the layer: it is mounted with `volatile`, and is not to be mounted again unless somebody takes the mark away.
fn begin_volatile(fs: &mut Fs) -> Result {
    let Some(work) = &fs.work else { return Ok(()) };
    let errors = work.mnt.sb.errors();
    fs.errors = errors.sample();
    if errors.check(fs.errors).is_err() {
        return refuse(
            "Cannot mount volatile when upperdir has an unseen error. Sync upperdir fs to clear state.",
            EIO,
        );
    }
    let _write = work.mnt.want_write()?;
    let mut at = work.clone();
    for name in [INCOMPAT, b"volatile"] {
        let dentry = kernel_make(&at, name, |dir| dir.ops().mkdir(dir, name, uapi::S_IFDIR))?;
        at = Path { mnt: at.mnt, dentry };
    }
    kernel_make(&at, b"dirty", |dir| dir.ops().create(dir, b"dirty", uapi::S_IFREG)).map(drop)
}

/// The handle of a file system's root, if it has handles.
fn root_id(sb: &SuperBlock) -> Option<FileId> {
    let root = sb.root()?;
    sb.ops().file_id(root.inode()?)
}

/// Whether a file system's numbers of inodes have 32 bits, as its handles say.
fn has_short_numbers(sb: &Arc<SuperBlock>) -> bool {
    // `FILEID_INO32_GEN`: a number and its generation.
    root_id(sb).is_some_and(|id| id.kind == 1 && id.words().len() == 2)
}

/// Whether a file of a lower layer is found again from its copy, which then keeps its number. (The upper file system, the first, is known.)
fn numbers_stay(layer: &Layer, systems: &[System]) -> bool {
    let told = layer.system == 0 || systems.get(layer.system).is_some_and(|system| system.uuid.is_some());
    told && root_id(&layer.root.mnt.sb).is_some()
}

/// Notes the lower file systems' UUIDs: not one that two have, nor the one that says nothing.
fn tell_apart(systems: &mut [System], lower: &[Layer]) {
    let uuid_of = |number: usize| {
        let layer = lower.iter().find(|layer| layer.system == number)?;
        Some(layer.root.mnt.sb.ops().uuid()).filter(|uuid| *uuid != [0; 16])
    };
    let count = systems.len();
    for (number, system) in systems.iter_mut().enumerate() {
        system.uuid =
            uuid_of(number).filter(|uuid| (0..count).filter(|other| uuid_of(*other) == Some(*uuid)).count() == 1);
    }
}

/// The directory `work` in the work directory, new and empty.
fn prepare_work(place: &Path) -> Result<Path> {
    let _write = place.mnt.want_write()?;
    if let Some(dentry) = kernel_lookup(place, b"work")?
        && dentry.positive()?.is_dir()
        && let Some(dentry) = kernel_lookup(&Path { mnt: place.mnt.clone(), dentry }, INCOMPAT)?
        && dentry.positive()?.is_dir()
    {
        let names = crate::merge::names(Path { mnt: place.mnt.clone(), dentry })?;
        if let Some(name) = names.split(|&byte| byte == 0).find(|name| !name.is_empty()) {
            pr_err!("overlayfs: overlay with incompat feature '{}' cannot be mounted\n", name.escape_ascii());
            return Err(EINVAL);
        }
    }
    if kernel_lookup(place, b"work")?.is_some() && clear(place, b"work", 0).is_err() {
        return refuse("failed to create directory work/work", EIO);
    }
    let dentry = kernel_make(place, b"work", |dir| dir.ops().mkdir(dir, b"work", uapi::S_IFDIR))?;
    Ok(Path { mnt: place.mnt.clone(), dentry })
}

/// The upper layer must be able to keep our attributes.
fn check_upper(fs: &Fs) -> Result {
    let Some(work) = &fs.work else { return Ok(()) };
    let _write = work.mnt.want_write()?;
    if fs.set_opaque(&work.dentry).is_err() {
        return refuse("upper fs does not support xattr", EOPNOTSUPP);
    }
    Ok(())
}

/// The super block's operations.
pub(crate) struct Super(Arc<Fs>);

impl SuperOps for Super {
    fn statfs(&self, _: &SuperBlock, out: &mut Kstatfs) -> Result {
        let first = self.0.upper.as_ref().or(self.0.lower.first().map(|layer| &layer.root)).ok_or(EIO)?;
        *out = first.mnt.sb.statfs()?;
        out.f_type = MAGIC;
        Ok(())
    }

    fn sync(&self, _: &SuperBlock, wait: bool) -> Result {
        match &self.0.upper {
            Some(path) if wait && self.0.syncs()? => path.mnt.sb.sync_all(),
            _ => Ok(()),
        }
    }

    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        self.0.options.show(out)
    }

    fn remount(&self, sb: &SuperBlock, flags: u32, _options: &[u8]) -> Result {
        // Linux looks at no option here, whatever it says.
        let rdonly = flags & uapi::MS_RDONLY != 0;
        match &self.0.upper {
            None if !rdonly => Err(EROFS),
            Some(path) if rdonly && !sb.is_rdonly() && !self.0.options.volatile => path.mnt.sb.sync_all(),
            _ => Ok(()),
        }
    }
}

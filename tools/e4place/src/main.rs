// SPDX-License-Identifier: GPL-2.0
//! Defragments ext4 where `e4defrag` does not, while the file system is mounted and in use:
//!
//! - `e4place related DIRECTORY` puts the data of all files below a directory one after the other, behind the directory's own block;
//! - `e4place free FILE` makes a place for a file in one piece where free space is in many: what lies in the way moves elsewhere.
//!
//! Both stand on `EXT4_IOC_MOVE_EXT`: blocks are exchanged with those of a file of our own, which vanishes with this program. While room is made
//! that file holds what was freed, so nobody else gets it. `EXT4_IOC_SET_GOAL` says where that file's blocks should be; `related` does
//! without it on other kernels.

mod plan;
mod sys;

use plan::Owned;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use sys::{Extent, Use};

fn other(text: &str) -> Error {
    Error::other(text.to_owned())
}

/// A file without a name in `directory`.
fn donor(directory: &Path) -> Result<File> {
    let name = CString::new(directory.as_os_str().as_bytes()).map_err(|_| other("a path with a zero"))?;
    // SAFETY: the name ends with a zero.
    let fd = unsafe { libc::open(name.as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn block_size(path: &Path) -> Result<u64> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| other("a path with a zero"))?;
    // SAFETY: all zeros are a `statfs`.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: the name ends with a zero, and there is room for the result.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } < 0 {
        return Err(Error::last_os_error());
    }
    if stat.f_type != 0xef53 {
        return Err(other("not on ext2, ext3 or ext4"));
    }
    Ok(stat.f_bsize as u64)
}

/// The regular files with data below `directory` on its file system, each once, in the order of their names.
fn files_below(directory: &Path, device: u64, seen: &mut HashSet<u64>, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut names: Vec<_> = fs::read_dir(directory)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    names.sort();
    for path in names {
        let Ok(stat) = fs::symlink_metadata(&path) else { continue };
        if stat.dev() != device {
            continue;
        }
        if stat.is_dir() && !path.ends_with("lost+found") {
            // One that vanished, or may not be read, is passed over.
            let _ = files_below(&path, device, seen, found);
        } else if stat.is_file() && stat.size() != 0 && seen.insert(stat.ino()) {
            found.push(path);
        }
    }
    Ok(())
}

/// A file that may be moved, and its extents. `None`: it vanished, has none, or may not be changed.
fn open(path: &Path, block: u64) -> Option<(File, Vec<Extent>)> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NOATIME).open(path).ok()?;
    let extents = sys::extents(&file, block).ok()??;
    (!extents.is_empty()).then_some((file, extents))
}

/// How often pages that are busy are tried.
const TRIES: u32 = 5;

/// Exchanges all of one extent; whether all of it was.
fn exchange(file: &File, extent: Extent, donor: &File, at: u64) -> Result<bool> {
    let (mut done, mut tries) = (0, 0);
    while done < extent.len {
        let (moved, result) = sys::exchange(file, extent.logical + done, donor, at + done, extent.len - done);
        done += moved;
        match result {
            Ok(()) if moved == 0 => return Ok(false),
            Ok(()) => {}
            // What is cached of it is in use: it is read again.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && tries < TRIES => {
                tries += 1;
                file.sync_all()?;
                sys::forget(file);
            }
            Err(error) => return Err(error),
        }
        file.sync_data()?;
    }
    Ok(true)
}

fn related(directory: &Path) -> Result<()> {
    let (block, device) = (block_size(directory)?, fs::metadata(directory)?.dev());
    let mut paths = Vec::new();
    files_below(directory, device, &mut HashSet::new(), &mut paths)?;
    let home =
        sys::extents(&File::open(directory)?, block)?.and_then(|extents| extents.first().map(|extent| extent.physical));
    // Not all are open at once: there may be more than a program may have open.
    let (files, lists): (Vec<&PathBuf>, Vec<Vec<Extent>>) =
        paths.iter().filter_map(|path| open(path, block).map(|(_, extents)| (path, extents))).unzip();
    let (placed, len) = plan::pack(&lists, (4096 / block).max(1));
    if len == 0 {
        return Err(other("no files with data below it"));
    }
    let donor = donor(directory)?;
    if let Some(goal) = home {
        match sys::set_goal(&donor, 0, goal + 1) {
            // Another kernel puts it into the directory's group at least. A goal that is no data's is none.
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => return Err(error),
            _ => {}
        }
    }
    sys::allocate(&donor, 0, len * block)?;
    let given = sys::extents(&donor, block)?.ok_or_else(|| other("the donor has no blocks of its own"))?;
    let before: usize = lists.iter().map(Vec::len).sum();
    let distance = |extents: &[Extent]| extents.first().map_or(0, |extent| extent.physical.abs_diff(home.unwrap_or(0)));
    let far = plan::median(lists.iter().map(|extents| distance(extents)).collect());
    let spread = given.iter().map(|extent| extent.physical.abs_diff(home.unwrap_or(0))).max().unwrap_or(0);
    if given.len() >= before && spread >= far {
        return Err(other("free space near the directory is no better than what the files have"));
    }
    let (mut failed, mut after) = (0, Vec::new());
    for (path, extents) in files.iter().zip(&placed) {
        // One that changed since is left as it is.
        let same = |now: &[Extent]| now.iter().eq(extents.iter().map(|(extent, _)| extent));
        let Some((file, _)) = open(path, block).filter(|(_, now)| same(now)) else {
            failed += 1;
            continue;
        };
        if !extents.iter().all(|&(extent, at)| matches!(exchange(&file, extent, &donor, at), Ok(true))) {
            failed += 1;
        }
        after.extend(sys::extents(&file, block)?);
    }
    let near = plan::median(after.iter().map(|extents| distance(extents)).collect());
    println!(
        "{} files, {} extents before, {} after; median distance from the directory {far} blocks before, {near} after; {failed} not moved",
        files.len(),
        before,
        after.iter().map(Vec::len).sum::<usize>()
    );
    Ok(())
}

/// The directory that the file system of `path` is mounted at: as far up as the device is the same.
fn mount_point(path: &Path) -> Result<PathBuf> {
    let path = fs::canonicalize(path)?;
    let device = fs::metadata(&path)?.dev();
    let same = |path: &Path| fs::metadata(path).is_ok_and(|stat| stat.dev() == device);
    Ok(path.ancestors().take_while(|path| same(path)).last().unwrap_or(&path).to_owned())
}

fn free(path: &Path) -> Result<()> {
    let (block, top) = (block_size(path)?, mount_point(path)?);
    let (target, extents) = open(path, block).ok_or_else(|| other("cannot be moved"))?;
    let target_ino = target.metadata()?.ino();
    if extents.len() < 2 {
        println!("1 extent: nothing to do");
        return Ok(());
    }
    let (placed, need) = plan::pack(&[extents.clone()], (4096 / block).max(1));
    let space = sys::space(&File::open(&top)?, block)?;
    let mut paths = Vec::new();
    files_below(&top, fs::metadata(&top)?.dev(), &mut HashSet::from([target_ino]), &mut paths)?;
    let mut owned = Vec::new();
    for (file, path) in paths.iter().enumerate() {
        if let Some((_, extents)) = open(path, block) {
            owned.extend(extents.into_iter().map(|extent| Owned { file, extent }));
        }
    }
    owned.sort_by_key(|one| one.extent.physical);
    let (start, used) = plan::window(&space, &owned, need).ok_or_else(|| other("no place can be made"))?;
    let end = start + need;
    let donor = donor(&top)?;
    // What is free in the window, at its place in the donor: from here on nobody else gets it.
    for run in space.iter().filter(|run| run.what == Use::Free && run.start < end && run.start + run.len > start) {
        let (from, to) = (run.start.max(start), (run.start + run.len).min(end));
        sys::set_goal(&donor, from - start, from)?;
        sys::allocate(&donor, (from - start) * block, (to - from) * block)?;
        if !is_at(&donor, block, from - start, from, to - from)? {
            let got: Vec<_> = sys::extents(&donor, block)?
                .unwrap_or_default()
                .into_iter()
                .filter(|extent| extent.logical + extent.len > from - start)
                .map(|extent| format!("{}..{}", extent.physical, extent.physical + extent.len))
                .collect();
            return Err(Error::other(format!("blocks {from}..{to} were wanted, {} were given", got.join(", "))));
        }
    }
    // What lies in the window moves as far away as there is room; the donor gets its place.
    let away = space.iter().filter(|run| run.what == Use::Free && (run.start >= end || run.start + run.len <= start));
    let away = away
        .max_by_key(|run| (run.len >= used, run.start.abs_diff(start)))
        .ok_or_else(|| other("nowhere to go"))?
        .start;
    for one in owned.iter().filter(|one| one.extent.physical < end && one.extent.physical + one.extent.len > start) {
        let skip = start.saturating_sub(one.extent.physical);
        let len = (one.extent.physical + one.extent.len).min(end) - one.extent.physical - skip;
        let part =
            Extent { logical: one.extent.logical + skip, physical: one.extent.physical + skip, len, ..one.extent };
        let at = part.physical - start;
        let path = paths.get(one.file).ok_or_else(|| other("a file without a name"))?;
        let victim = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        if !is_at(&victim, block, part.logical, part.physical, len)? {
            return Err(other("a file in the way changed"));
        }
        make_way(&victim, part, &donor, at, away, block)?;
    }
    if !is_at(&donor, block, 0, start, need)? {
        return Err(other("the place is not in one piece"));
    }
    for &(extent, at) in placed.iter().flatten() {
        if !exchange(&target, extent, &donor, at)? {
            return Err(other("not all of the file was moved"));
        }
    }
    let after = sys::extents(&target, block)?.map_or(0, |extents| extents.len());
    println!("{} extents before, {after} after; {used} blocks of others made way", extents.len());
    Ok(())
}

/// Moves a part of a file in the way to near `away`, and its place to the donor's block `at`.
fn make_way(victim: &File, part: Extent, donor: &File, at: u64, away: u64, block: u64) -> Result<()> {
    let per_page = (4096 / block).max(1);
    if part.logical % per_page != at % per_page {
        return Err(other("a file in the way lies otherwise within its pages"));
    }
    sys::set_goal(donor, at, away)?;
    sys::allocate(donor, at * block, part.len * block)?;
    if exchange(victim, part, donor, at)? { Ok(()) } else { Err(other("a file in the way was not moved")) }
}

/// Whether `len` blocks of the file from `logical` on are at `physical`, in a row.
fn is_at(file: &File, block: u64, logical: u64, physical: u64, len: u64) -> Result<bool> {
    let extents = sys::extents(file, block)?.unwrap_or_default();
    let mut at = 0;
    for extent in
        extents.iter().filter(|extent| extent.logical < logical + len && extent.logical + extent.len > logical)
    {
        let skip = (logical + at).saturating_sub(extent.logical);
        if extent.logical > logical + at || extent.physical + skip != physical + at {
            return Ok(false);
        }
        at += extent.len - skip;
    }
    Ok(at >= len)
}

fn main() {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match words.as_slice() {
        [what, path] if what == "related" => related(Path::new(path)),
        [what, path] if what == "free" => free(Path::new(path)),
        _ => Err(Error::new(ErrorKind::InvalidInput, "usage: e4place related DIRECTORY | free FILE")),
    };
    if let Err(error) = result {
        eprintln!("e4place: {error}");
        std::process::exit(1);
    }
}

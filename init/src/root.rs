// SPDX-License-Identifier: GPL-2.0
//! The root file system on a device, where the initramfs has no first program: `root=`, `rootfstype=`, `rootflags=`, `ro`, `rw`,
//! `rootwait`, `rootdelay=`. It is mounted over the initramfs, with devtmpfs on its `/dev`. Source: `bootparam(7)`.

use cmdline::CommandLine;
use errno::Result;
use errno::code::{EACCES, EINVAL, ENODEV, ENOENT, ENXIO};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use klog::{pr_err, pr_info, pr_warn};
use vfs::namei::{PathName, Start, create, lflag, walk::lookup_path};
use vfs::{Dev, Path};

/// How long `rootwait` sleeps between looks.
const PAUSE_NS: u64 = 5_000_000;

/// The device that `name` stands for: `/dev/vda1`, `vda1`, `254:1`, `fe01`, `PARTUUID=...`, `PARTLABEL=...`.
fn device_of(name: &[u8]) -> Option<Dev> {
    if let Some(uuid) = name.strip_prefix(b"PARTUUID=") {
        return find_partition(|info| info.uuid.as_bytes().eq_ignore_ascii_case(uuid));
    }
    if let Some(label) = name.strip_prefix(b"PARTLABEL=") {
        return find_partition(|info| info.name.as_bytes() == label);
    }
    let short = name.strip_prefix(b"/dev/").unwrap_or(name);
    if let Some(bdev) = block::lookup_name(short) {
        return Some(bdev.dev());
    }
    let text = core::str::from_utf8(name).ok()?;
    let dev = match text.split_once(':') {
        Some((major, minor)) => Dev::new(major.parse().ok()?, minor.parse().ok()?),
        None => Dev::decode(u32::from_str_radix(text, 16).ok()?),
    };
    block::lookup(dev).map(|_| dev)
}

fn find_partition(wanted: impl Fn(&block::PartitionInfo) -> bool) -> Option<Dev> {
    for disk in block::disks().ok()? {
        for part in disk.parts().ok()? {
            if part.is_partition() && wanted(part.info()) {
                return Some(part.dev());
            }
        }
    }
    None
}

fn path(name: &[u8]) -> Result<Path> {
    lookup_path(Start::Cwd, &PathName::from_bytes(name)?, lflag::FOLLOW)
}

/// Mounts the root file system and makes it the root of process 1. `Ok(false)`: no device was named. Ends the boot if it was and
/// cannot be mounted.
pub(crate) fn mount(line: CommandLine<'_>) -> Result<bool> {
    let Some(name) = line.value("root") else { return Ok(false) };
    let shown = crate::params::Shown(name);
    let number = |text: &[u8]| core::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seconds) = line.value("rootdelay").and_then(number) {
        pr_info!("Waiting {seconds} sec before mounting root device...");
        ktime::sleep::sleep_ns(seconds.saturating_mul(1_000_000_000));
    }
    let mut dev = device_of(name);
    if dev.is_none() && line.has("rootwait") {
        pr_info!("Waiting for root device {shown}...");
        while dev.is_none() {
            ktime::sleep::sleep_ns(PAUSE_NS);
            dev = device_of(name);
        }
    }
    let Some(dev) = dev else { return Err(ENXIO) };
    // The last word counts.
    let word = line.params().filter(|param| param.is("ro") || param.is("rw")).last();
    mount_device(line, dev, word.is_some_and(|param| param.is("rw")))?;
    Ok(true)
}

fn mount_device(line: CommandLine<'_>, dev: Dev, read_write: bool) -> Result {
    create::mkdir(Start::Cwd, &PathName::from_bytes(b"/root")?, 0o700).or_else(ignore_exists)?;
    create::mkdir(Start::Cwd, &PathName::from_bytes(b"/dev")?, 0o755).or_else(ignore_exists)?;
    let node = PathName::from_bytes(b"/dev/root")?;
    create::mknod(Start::Cwd, &node, uapi::S_IFBLK | 0o600, dev).or_else(ignore_exists)?;
    let flags = uapi::MS_SILENT | if read_write { 0 } else { uapi::MS_RDONLY };
    let options = line.value("rootflags").unwrap_or(b"");
    let kind = mount_some_type(line.value("rootfstype"), flags, options)?;
    let way = if read_write { "" } else { " readonly" };
    pr_info!("VFS: Mounted root ({kind} filesystem){way} on device {}:{}.", dev.major(), dev.minor());
    enter()
}

fn ignore_exists(error: errno::Error) -> Result {
    if error == errno::code::EEXIST { Ok(()) } else { Err(error) }
}

/// Tries the types that the command line names, or all that need a device.
fn mount_some_type(wanted: Option<&[u8]>, flags: u32, options: &[u8]) -> Result<&'static str> {
    let mut last = ENODEV;
    for kind in types(wanted)? {
        let mut result = mount_as(kind, flags, options);
        if result == Err(EACCES) && flags & uapi::MS_RDONLY == 0 {
            result = mount_as(kind, flags | uapi::MS_RDONLY, options);
        }
        match result {
            Ok(()) => return Ok(kind),
            // Not this type.
            Err(EINVAL) => last = EINVAL,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn types(wanted: Option<&[u8]>) -> Result<KVec<&'static str>> {
    let mut found = KVec::new();
    if let Some(list) = wanted {
        for name in list.split(|&byte| byte == b',') {
            if let Some(kind) = vfs::get_filesystem(name) {
                found.push(kind.get().name(), GFP_KERNEL)?;
            }
        }
        return Ok(found);
    }
    let mut index = 0;
    while let Some(kind) = vfs::nth_filesystem(index) {
        if let Some(kind) = kind.filter(|kind| kind.get().requires_dev()) {
            found.push(kind.get().name(), GFP_KERNEL)?;
        }
        index += 1;
    }
    Ok(found)
}

fn mount_as(kind: &str, flags: u32, options: &[u8]) -> Result {
    vfs::mounting::do_mount(b"/dev/root", path(b"/root")?, kind.as_bytes(), flags, options)
}

/// Goes into the new root, takes devtmpfs along, and makes it `/`.
fn enter() -> Result {
    let fs = vfs::fs_struct::current_fs()?;
    fs.change(None, Some(path(b"/root")?))?;
    match path(b"dev").and_then(|dev| vfs::mounting::do_mount(b"devtmpfs", dev, b"devtmpfs", uapi::MS_SILENT, b"")) {
        Ok(()) => pr_info!("devtmpfs: mounted"),
        Err(ENOENT) => pr_warn!("devtmpfs: the root file system has no /dev"),
        Err(error) => pr_err!("devtmpfs: error mounting {}", error.to_errno()),
    }
    vfs::mounting::do_mount(b".", path(b"/")?, b"", uapi::MS_MOVE, b"")?;
    let root = path(b".")?;
    fs.change(Some(root.clone()), Some(root))
}

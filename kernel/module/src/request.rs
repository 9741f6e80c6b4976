// SPDX-License-Identifier: GPL-2.0
//! Modules that the kernel asks for (`request_module`): the program that `/proc/sys/kernel/modprobe` names is run with the name, which
//! may be an alias (`fs-ext4`, `char-major-10-200`). Locks: `PATH` (sleeping) guards the name of the program.

use crate::show;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use klog::pr_warn;
use locking::SetOnce;
use sync::Mutex;
use vfs::SeqBuf;

/// Longest name of the program, with its NUL in Linux (`KMOD_PATH_LEN`).
const PATH_MAX: usize = 256;
/// Longest name of a module that is asked for (`MODULE_NAME_LEN`).
const NAME_MAX: usize = 55;
/// Most that are asked for at once (`MAX_KMOD_CONCURRENT`).
const MAX: u32 = 50;
const DEFAULT: &[u8] = b"/sbin/modprobe";
const ENVIRONMENT: [&[u8]; 3] = [b"HOME=/", b"TERM=linux", b"PATH=/sbin:/usr/sbin:/bin:/usr/bin"];

/// The program; `None` is [`DEFAULT`].
static PATH: Mutex<Option<KVec<u8>>> = Mutex::new(None);
static RUNNING: AtomicU32 = AtomicU32::new(0);
static READY: SetOnce<()> = SetOnce::new();

struct Hook;

impl vfs::hooks::RequestModule for Hook {
    fn request_module(&self, name: &[u8]) -> Result {
        request_module(name)
    }
}

/// Runs the program with `name`, and waits for it. `Ok` if it said so by its status 0; that the module is there is for the caller to
/// see. May sleep.
pub fn request_module(name: &[u8]) -> Result {
    if READY.get().is_none() || show::modules_disabled() {
        return Err(EPERM);
    }
    if name.is_empty() || name.len() > NAME_MAX || name.contains(&0) {
        return Err(ENAMETOOLONG);
    }
    let path = match &*PATH.lock() {
        Some(path) => KVec::from_slice(path, GFP_KERNEL)?,
        None => KVec::from_slice(DEFAULT, GFP_KERNEL)?,
    };
    // An empty name switches it off.
    if path.is_empty() {
        return Err(ENOENT);
    }
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        pr_warn!("request_module: {MAX} modules are being asked for already; {} is not", crate::Shown(name));
        return Err(EBUSY);
    }
    let result = process::umh::call_usermodehelper(&[&path, b"-q", b"--", name], &ENVIRONMENT);
    RUNNING.fetch_sub(1, Ordering::Relaxed);
    match result? {
        0 => Ok(()),
        _ => Err(ENOENT),
    }
}

fn show_path(out: &mut SeqBuf) -> Result {
    match &*PATH.lock() {
        Some(path) => out.put(path)?,
        None => out.put(DEFAULT)?,
    }
    out.byte(b'\n')
}

fn store_path(data: &[u8]) -> Result<usize> {
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    let text = text.split(|byte| *byte == 0 || *byte == b'\n').next().unwrap_or_default();
    let text = text.get(..PATH_MAX - 1).unwrap_or(text);
    *PATH.lock() = Some(KVec::from_slice(text, GFP_KERNEL)?);
    Ok(data.len())
}

/// Makes the file in `dir` (`/proc/sys/kernel`), and lets other subsystems ask. Once, at boot.
pub(crate) fn init(dir: &kalloc::Arc<kernfs::Node>) -> Result {
    static HOOK: &dyn vfs::hooks::RequestModule = &Hook;
    dir.attr(b"modprobe", 0o644, kernfs::TextRw(show_path, store_path))?;
    vfs::hooks::REQUEST_MODULE.set(&HOOK);
    READY.set(()).map_err(|()| EBUSY)
}

// SPDX-License-Identifier: GPL-2.0
//! System requests: what a person at the console can ask of a kernel that no longer listens to programs. Alt-SysRq and a key on a
//! PC's keyboard, a break and a key on a serial console, or a byte written to `/proc/sysrq-trigger`. `kernel.sysrq` says which of
//! them the first two may do. Source: Linux's `Documentation/admin-guide/sysrq.rst`.
//!
//! Called by `serial8250` (hard interrupt) and `vt` (its keyboard's thread). What may sleep, or takes locks that an interrupt must
//! not, runs in a work queue.
//!
//! | file | what |
//! |---|---|
//! | `actions` | the table of keys, and those that are a line or two |
//! | `tasks` | what tasks do, and signals for all of them |
//!
//! Locks: none of its own.

#![no_std]
#![forbid(unsafe_code)]

mod actions;
mod tasks;

use actions::TABLE;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use errno::{Result, code::EINVAL};
use hook::Hook;
use kernfs::{Attribute, TextRw};
use klog::{pr_cont, pr_info};
use vfs::{SeqBuf, seq_print};

/// `kernel.sysrq`: 0: nothing; 1: everything; else the bits of [`Mask`].
static ENABLED: AtomicI32 = AtomicI32::new(1);

/// `sysrq_always_enabled`: whatever `kernel.sysrq` says.
static ALWAYS: AtomicBool = AtomicBool::new(false);

/// Kinds of requests (bits of `kernel.sysrq`).
#[derive(Clone, Copy)]
#[repr(i32)]
enum Mask {
    Log = 2,
    Keyboard = 4,
    Dump = 8,
    Sync = 0x10,
    Remount = 0x20,
    Signal = 0x40,
    Boot = 0x80,
    RtNice = 0x100,
}

/// One request.
struct Op {
    keys: &'static [u8],
    help: &'static str,
    /// Said when it begins.
    message: &'static str,
    mask: Mask,
    run: fn(u8),
}

/// The terminal whose keyboard can be set back to its default mode (`vt`).
pub trait Keyboard: Sync {
    /// Sets the mode of the terminal in front to what a new one has.
    fn set_default_mode(&self);
}

/// The keyboard.
pub static KEYBOARD: Hook<dyn Keyboard> = Hook::new();

fn allowed(mask: Mask) -> bool {
    let enabled = ENABLED.load(Relaxed);
    ALWAYS.load(Relaxed) || enabled == 1 || enabled & mask as i32 != 0
}

/// Whether requests from keyboards and serial lines are looked at.
pub fn is_on() -> bool {
    ALWAYS.load(Relaxed) || ENABLED.load(Relaxed) != 0
}

/// A request from a console. Any context but NMI.
pub fn handle(key: u8) {
    if is_on() {
        request(key, true);
    }
}

fn request(key: u8, check: bool) {
    let [console, ..] = printk::level::levels();
    let show = |level| printk::level::set_levels([Some(level), None, None, None]);
    // Its heading is to be seen whatever the level is.
    show(printk::level::DEFAULT_CONSOLE_LOGLEVEL);
    match TABLE.iter().find(|op| op.keys.contains(&key)) {
        Some(op) if check && !allowed(op.mask) => {
            pr_info!("sysrq: This sysrq operation is disabled.");
            show(console);
        }
        Some(op) => {
            pr_info!("sysrq: {}", op.message);
            show(console);
            (op.run)(key);
        }
        None => {
            pr_info!("sysrq: HELP : ");
            for op in TABLE {
                pr_cont!("{} ", op.help);
            }
            pr_cont!("\n");
            show(console);
        }
    }
}

/// `/proc/sysrq-trigger`: the first byte is done; after `_`, all of them.
struct Trigger;

impl Attribute for Trigger {
    fn store(&self, data: &[u8]) -> Result<usize> {
        let keys = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let keys = match keys.split_first() {
            Some((b'_', rest)) => rest,
            _ => data.get(..1).unwrap_or_default(),
        };
        for &key in keys {
            request(key, false);
        }
        Ok(data.len())
    }
}

/// Takes the command line's `sysrq_always_enabled`, makes `/proc/sysrq-trigger` and `kernel.sysrq`. Once, at boot.
pub fn init(line: cmdline::CommandLine<'_>) -> Result {
    if line.params().any(|word| word.is("sysrq_always_enabled")) {
        ALWAYS.store(true, Relaxed);
        pr_info!("sysrq: sysrq always enabled.");
    }
    actions::init()?;
    let root = proc::root()?;
    root.attr(b"sysrq-trigger", 0o200, Trigger)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", ENABLED.load(Relaxed));
    let store = |data: &[u8]| {
        ENABLED.store(i32::try_from(proc::parse_number(data)?).map_err(|_| EINVAL)?, Relaxed);
        Ok(data.len())
    };
    root.path_or_new("sys/kernel")?.attr(b"sysrq", 0o644, TextRw(show, store))?;
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! Events: what programs like udev are told of devices that come, go and change, and the file `uevent` by which they ask to be
//! told again. `net/netlink` carries the messages; it registers itself here.
//!
//! Lock: `ORDER` (sleeping), so that events go out in the order of their numbers. Source: Linux's
//! `Documentation/ABI/testing/sysfs-uevent`, and the messages that `udevadm monitor --kernel` shows there.

use crate::{Attr, Node, attr, root};
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use locking::SetOnce;
use sync::Mutex;
use vfs::{SeqBuf, seq_print};

/// Most bytes of a message (`UEVENT_BUFFER_SIZE`).
const MAX: usize = 2048;
/// Number of the last event (`SEQNUM`).
static SEQNUM: AtomicU64 = AtomicU64::new(0);
static ORDER: Mutex<()> = Mutex::new(());

/// Who carries events to programs. May sleep.
pub trait Listener: Sync {
    /// One message: strings, each with its zero byte.
    fn event(&self, message: &[u8]);
}

/// The one that does. Set once, at boot.
pub static LISTENER: SetOnce<&'static dyn Listener> = SetOnce::new();

/// What happened (`kobject_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is there.
    Add,
    /// It is gone.
    Remove,
    /// Something about it changed.
    Change,
    /// It has another name.
    Move,
    /// It can be used.
    Online,
    /// It cannot be used.
    Offline,
    /// A driver took it.
    Bind,
    /// Its driver gave it up.
    Unbind,
}

impl Action {
    const ALL: [Self; 8] =
        [Self::Add, Self::Remove, Self::Change, Self::Move, Self::Online, Self::Offline, Self::Bind, Self::Unbind];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
            Self::Move => "move",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Bind => "bind",
            Self::Unbind => "unbind",
        }
    }
}

/// The path of `node` below the mount point of sysfs, as in `DEVPATH`.
pub fn path(node: &Arc<Node>) -> Result<KVec<u8>> {
    let mut names: KVec<Arc<Node>> = KVec::new();
    let mut at = node.clone();
    while let Some(parent) = at.parent() {
        names.push(core::mem::replace(&mut at, parent), GFP_KERNEL)?;
    }
    let mut path = KVec::new();
    for node in names.iter().rev() {
        path.push(b'/', GFP_KERNEL)?;
        path.extend_from_slice(node.name(), GFP_KERNEL)?;
    }
    Ok(path)
}

/// Tells programs what happened to the device (or driver, or module) that `node` shows. `env` writes more variables, one
/// `NAME=value` a line. What goes wrong concerns the message alone, and is ignored, as Linux's callers do. May sleep.
pub fn emit(action: Action, node: &Arc<Node>, subsystem: &str, env: impl Fn(&mut SeqBuf) -> Result) {
    // Nobody waits for it: without memory it is lost.
    let _ = send(action, node, subsystem, &[], &env);
}

fn send(
    action: Action,
    node: &Arc<Node>,
    subsystem: &str,
    synthetic: &[u8],
    env: &dyn Fn(&mut SeqBuf) -> Result,
) -> Result {
    let (path, action) = (path(node)?, action.name());
    let mut lines = SeqBuf::new(MAX);
    seq_print!(lines, "{action}@")?;
    lines.put(&path)?;
    seq_print!(lines, "\nACTION={action}\nDEVPATH=")?;
    lines.put(&path)?;
    seq_print!(lines, "\nSUBSYSTEM={subsystem}\n")?;
    lines.put(synthetic)?;
    env(&mut lines)?;
    let _order = ORDER.lock();
    let number = SEQNUM.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    seq_print!(lines, "SEQNUM={number}\n")?;
    let Some(listener) = LISTENER.get() else { return Ok(()) };
    let mut message = KVec::new();
    message.extend_from_slice(lines.text(), GFP_KERNEL)?;
    for byte in message.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = 0;
    }
    listener.event(&message);
    Ok(())
}

fn is_uuid(word: &[u8]) -> bool {
    word.len() == 36
        && word.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What a program wrote into `uevent`: `ACTION [UUID [KEY=VALUE ...]]`. The action, and the variables that tell this event from a
/// real one. `EINVAL`.
fn parse(data: &[u8]) -> Result<(Action, SeqBuf)> {
    let mut words = data.trim_ascii_end().split(|&byte| byte == b' ');
    let first = words.next().ok_or(EINVAL)?;
    let action = Action::ALL.into_iter().find(|action| action.name().as_bytes() == first).ok_or(EINVAL)?;
    let mut lines = SeqBuf::new(MAX);
    let Some(uuid) = words.next() else {
        lines.put(b"SYNTH_UUID=0\n")?;
        return Ok((action, lines));
    };
    if !is_uuid(uuid) {
        return Err(EINVAL);
    }
    lines.put(b"SYNTH_UUID=")?;
    lines.put(uuid)?;
    lines.byte(b'\n')?;
    for word in words {
        let at = word.iter().position(|&byte| byte == b'=').ok_or(EINVAL)?;
        let (key, value) = word.split_at_checked(at).ok_or(EINVAL)?;
        let plain = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_alphanumeric);
        if !plain(key) || !plain(value.get(1..).unwrap_or_default()) {
            return Err(EINVAL);
        }
        lines.put(b"SYNTH_ARG_")?;
        lines.put(word)?;
        lines.byte(b'\n')?;
    }
    Ok((action, lines))
}

/// Makes the file `uevent` in `dir`: reading shows what `env` writes, writing sends an event. May sleep.
pub fn file(dir: &Arc<Node>, subsystem: &str, env: impl Fn(&mut SeqBuf) -> Result + Send + Sync + 'static) -> Result {
    let (env, subsystem) = (Arc::new(env, GFP_KERNEL)?, KString::from_str(subsystem, GFP_KERNEL)?);
    let (shown, weak) = (env.clone(), Arc::downgrade(dir));
    let store = move |data: &[u8]| {
        let (action, synthetic) = parse(data)?;
        let dir = weak.upgrade().ok_or(ENODEV)?;
        send(action, &dir, subsystem.to_str().ok_or(ENODEV)?, synthetic.text(), &|out| env(out))?;
        Ok(data.len())
    };
    dir.attr(b"uevent", 0o644, Attr { show: move |out: &mut SeqBuf| shown(out), store }).map(drop)
}

/// `/sys/kernel/uevent_seqnum`. Once, at boot.
pub(crate) fn init() -> Result {
    let kernel = root()?.path_or_new("kernel")?;
    attr(&kernel, "uevent_seqnum", |out| seq_print!(out, "{}\n", SEQNUM.load(Ordering::Relaxed))).map(drop)
}

#[macros::kunit_tests(sysfs_uevent)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write() {
        let (action, lines) = parse(b"add\n").unwrap_or((Action::Move, SeqBuf::new(1)));
        assert_eq!(action, Action::Add);
        assert_eq!(lines.text(), b"SYNTH_UUID=0\n");
        let line = b"change fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=1 B=abc";
        let (action, lines) = parse(line).unwrap_or((Action::Move, SeqBuf::new(1)));
        assert_eq!(action, Action::Change);
        let wanted = b"SYNTH_UUID=fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed\nSYNTH_ARG_A=1\nSYNTH_ARG_B=abc\n";
        assert_eq!(lines.text(), wanted);
        for bad in [&b"shout"[..], b"", b"add 0", b"add fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A", b"adds"] {
            assert_eq!(parse(bad).is_err(), true);
        }
    }

    #[test]
    fn paths_begin_at_the_root() {
        let Ok(root) = root() else { return };
        let Ok(node) = root.path_or_new("kernel") else { return };
        assert_eq!(path(&node).is_ok_and(|path| &path[..] == b"/kernel"), true);
    }
}

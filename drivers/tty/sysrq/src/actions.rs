// SPDX-License-Identifier: GPL-2.0
//! The table of requests, in the order of Linux's help.

use crate::{KEYBOARD, Mask, Op, tasks};
use errno::{Result, code::EBUSY};
use kalloc::Arc;
use klog::{pr_info, pr_warn};
use locking::SetOnce;
use workqueue::Work;

/// Every request there is.
pub(crate) static TABLE: &[Op] = &[
    Op { keys: b"0123456789", help: "loglevel(0-9)", message: "Changing Loglevel", mask: Mask::Log, run: loglevel },
    Op {
        keys: b"b",
        help: "reboot(b)",
        message: "Resetting",
        mask: Mask::Boot,
        run: |_| x86::reboot::emergency_restart(),
    },
    Op { keys: b"c", help: "crash(c)", message: "Trigger a crash", mask: Mask::Dump, run: crash },
    Op { keys: b"e", help: "terminate-all-tasks(e)", message: "Terminate All Tasks", mask: Mask::Signal, run: later },
    Op { keys: b"f", help: "memory-full-oom-kill(f)", message: "Manual OOM execution", mask: Mask::Signal, run: later },
    Op { keys: b"i", help: "kill-all-tasks(i)", message: "Kill All Tasks", mask: Mask::Signal, run: later },
    Op {
        keys: b"j",
        help: "thaw-filesystems(j)",
        message: "Emergency Thaw of all frozen filesystems",
        mask: Mask::Signal,
        run: later,
    },
    Op {
        keys: b"l",
        help: "show-backtrace-all-active-cpus(l)",
        message: "Show backtrace of all active CPUs",
        mask: Mask::Dump,
        run: later,
    },
    Op {
        keys: b"m",
        help: "show-memory-usage(m)",
        message: "Show Memory",
        mask: Mask::Dump,
        run: |_| oom::show_memory(),
    },
    Op { keys: b"n", help: "nice-all-RT-tasks(n)", message: "Nice All RT Tasks", mask: Mask::RtNice, run: later },
    Op { keys: b"o", help: "poweroff(o)", message: "Power Off", mask: Mask::Boot, run: later },
    Op {
        keys: b"r",
        help: "unraw(r)",
        message: "Keyboard mode set to system default",
        mask: Mask::Keyboard,
        run: unraw,
    },
    Op { keys: b"s", help: "sync(s)", message: "Emergency Sync", mask: Mask::Sync, run: later },
    Op { keys: b"t", help: "show-task-states(t)", message: "Show State", mask: Mask::Dump, run: later },
    Op { keys: b"u", help: "unmount(u)", message: "Emergency Remount R/O", mask: Mask::Remount, run: later },
    Op { keys: b"w", help: "show-blocked-tasks(w)", message: "Show Blocked State", mask: Mask::Dump, run: later },
];

fn loglevel(key: u8) {
    let level = key.saturating_sub(b'0');
    pr_info!("Loglevel set to {level}");
    printk::level::set_levels([Some(level), None, None, None]);
}

fn crash(_: u8) {
    x86::panic::panic(format_args!("sysrq triggered crash"));
}

fn unraw(_: u8) {
    if let Some(keyboard) = KEYBOARD.get() {
        keyboard.set_default_mode();
    }
}

/// A request that may sleep, or takes locks that interrupts must not. One for each key, so that none waits behind another that
/// hangs.
struct Later {
    key: u8,
    work: SetOnce<Arc<Work>>,
}

const fn later_of(key: u8) -> Later {
    Later { key, work: SetOnce::new() }
}

static LATER: [Later; 11] = [
    later_of(b'e'),
    later_of(b'f'),
    later_of(b'i'),
    later_of(b'j'),
    later_of(b'l'),
    later_of(b'n'),
    later_of(b'o'),
    later_of(b's'),
    later_of(b't'),
    later_of(b'u'),
    later_of(b'w'),
];

/// Makes what [`later`] queues: in an emergency there may be no memory for it.
pub(crate) fn init() -> Result {
    for later in &LATER {
        let key = later.key;
        later.work.set(Work::new(move || run_later(key))?).map_err(|_| EBUSY)?;
    }
    Ok(())
}

fn later(key: u8) {
    if let Some(work) = LATER.iter().find(|later| later.key == key).and_then(|later| later.work.get()) {
        work.queue();
    }
}

fn run_later(key: u8) {
    match key {
        b'e' => tasks::signal_all(uapi::SIGTERM),
        b'i' => tasks::signal_all(uapi::SIGKILL),
        b'f' => oom::kill_manually(),
        b'j' => {
            vfs::emergency::thaw_all(|name| pr_warn!("Emergency Thaw on {name}"));
            pr_warn!("Emergency Thaw complete");
        }
        b'l' => x86::smp::call::on_each_cpu(&|| x86::traps::stacktrace::dump_stack()),
        b'n' => tasks::normalize_rt(),
        b'o' => {
            if let Some(machine) = process::hooks::MACHINE.get() {
                machine.power_off();
            }
        }
        b's' => {
            vfs::emergency::sync();
            pr_info!("Emergency Sync complete");
        }
        b'u' => {
            vfs::emergency::remount_all();
            pr_info!("Emergency Remount complete");
        }
        b'w' => tasks::show(tasks::is_blocked),
        _ => tasks::show(|_| true),
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The command line: which words the kernel takes, and what is left for `/init`. Source: Linux's `kernel-parameters`.

use cmdline::{CommandLine, Param};
use core::fmt::{self, Write};
use x86_head::BootInfo;

/// Words that other parts read for themselves, by `BootInfo::option_value` or later in boot.
const KNOWN: &[&str] = &[
    "acpi",
    "earlyprintk",
    "idle",
    "initrd",
    "kaslr",
    "maxcpus",
    "mem",
    "module_blacklist",
    "nokaslr",
    "nosmp",
    "noxsave",
    "nox2apic",
    "nolapic_timer",
    "lapic",
    "hpet",
    "oops",
    "clocksource",
    "panic",
    "reboot",
    "root",
    "rw",
    "ro",
    "rootfstype",
    "rootflags",
    "rdinit",
    "init",
    "tsc",
    "sysrq_always_enabled",
    "kunit.enable",
    "kunit.filter_glob",
    "kunit.action",
    "kunit_shutdown",
    "random.trust_bootloader",
    "random.trust_cpu",
    "transparent_hugepage",
    "driver_async_probe",
    "no-kvmclock",
    "nopcid",
    "nosmap",
    "nosmep",
    "noxsaveopt",
    "nofsgsbase",
];

/// The command line in `info`.
pub(crate) fn line(info: &'static BootInfo) -> CommandLine<'static> {
    CommandLine::new(info.cmdline.as_slice())
}

/// Takes the words that matter before the first line is printed.
pub(crate) fn early(line: CommandLine<'_>) {
    for param in line.params() {
        take(&param);
    }
}

/// Whether the kernel takes this word (so that `/init` does not see it). Acts on the words of the log and of panics.
pub(crate) fn take(param: &Param<'_>) -> bool {
    let Ok(name) = core::str::from_utf8(param.name) else { return false };
    let value = param.value.and_then(|v| core::str::from_utf8(v).ok()).unwrap_or("");
    if printk::level::parameter(name, value) {
        return true;
    }
    if name == "panic"
        && let Ok(seconds) = value.parse()
    {
        x86::panic::PANIC_TIMEOUT.store(seconds, core::sync::atomic::Ordering::Relaxed);
    }
    if name == "clocksource" {
        // The one that is preferred once it registers.
        ktime::source::prefer(value);
    }
    if name == "idle" && value == "poll" {
        sched::idle_poll();
    }
    if name == "oops" && value == "panic" {
        x86::traps::oops::PANIC_ON_OOPS.store(true, core::sync::atomic::Ordering::Relaxed);
    }
    if crate::modules::is_parameter(param.name) {
        return true;
    }
    KNOWN.iter().any(|known| param.is(known))
}

/// Shows bytes of the command line, anything unprintable as `?`.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&b| f.write_char(if (b' '..0x7f).contains(&b) { b as char } else { '?' }))
    }
}

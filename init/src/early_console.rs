// SPDX-License-Identifier: GPL-2.0
//! The boot console: `earlyprintk=serial...` until a real console takes over.

use cmdline::CommandLine;
use printk::console::Console;
use x86_head::{BootInfo, early_serial};

struct EarlySerialConsole;

impl Console for EarlySerialConsole {
    fn name(&self) -> &str {
        "earlyser"
    }
    fn index(&self) -> u32 {
        0
    }
    fn is_boot(&self) -> bool {
        true
    }
    fn write(&self, bytes: &[u8]) {
        early_serial::write(bytes);
    }
}

/// Registers the boot console if the command line asks for one.
pub(crate) fn init(info: &BootInfo, _line: CommandLine<'_>) {
    if early_serial::setup(info) {
        printk::console::register(&EarlySerialConsole);
    }
}

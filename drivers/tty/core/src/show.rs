// SPDX-License-Identifier: GPL-2.0
//! `/proc/tty`: the drivers, and the line disciplines. Source: `proc(5)`; the columns are those that procps reads. No locks of its own.

use crate::driver::{self, Driver, Kind};
use errno::Result;
use uapi::{N_TTY, TTY_MAJOR, TTYAUX_MAJOR};
use vfs::{SeqBuf, seq_print};

/// Makes the files. Once, at boot, after proc. May sleep.
pub(crate) fn init() -> Result {
    let dir = proc::root()?.path_or_new("tty")?;
    dir.attr(b"drivers", 0o444, proc::Text(drivers))?;
    dir.attr(b"ldiscs", 0o444, proc::Text(|out: &mut SeqBuf| seq_print!(out, "{:<10} {N_TTY:>2}\n", "n_tty")))?;
    Ok(())
}

/// A line: names of the driver and of its nodes; major, first minor and how many; the kind.
fn line(out: &mut SeqBuf, names: (&str, &str), numbers: (u32, u32, u32), kind: &str) -> Result {
    let ((driver, node), (major, first, count)) = (names, numbers);
    seq_print!(out, "{driver:<20} /dev/{node:<8} {major:>3} ")?;
    match count {
        0 | 1 => seq_print!(out, "{first:>7} {kind}\n"),
        _ => seq_print!(out, "{first}-{} {kind}\n", first.saturating_add(count - 1)),
    }
}

/// The nodes that stand for another terminal, then the drivers, the youngest first.
fn drivers(out: &mut SeqBuf) -> Result {
    line(out, ("/dev/tty", "tty"), (TTYAUX_MAJOR, 0, 1), Kind::SystemTty.name())?;
    line(out, ("/dev/console", "console"), (TTYAUX_MAJOR, 1, 1), Kind::SystemConsole.name())?;
    line(out, ("/dev/ptmx", "ptmx"), (TTYAUX_MAJOR, 2, 1), Kind::System.name())?;
    line(out, ("/dev/vc/0", "vc/0"), (TTY_MAJOR, 0, 1), "system:vtmaster")?;
    let mut drivers = driver::newest_first();
    drivers.try_for_each(|driver| of_driver(out, driver))
}

fn of_driver(out: &mut SeqBuf, driver: &Driver) -> Result {
    let (first, count) = (driver.minor_start, driver.count);
    let (name, first, count) = match driver.kind {
        Kind::SystemTty | Kind::SystemConsole => return Ok(()),
        // Linux's have no name, and `tty0` is `vc/0` above.
        Kind::Console => ("unknown", first.saturating_add(1), count.saturating_sub(1)),
        _ => (driver.driver_name, first, count),
    };
    line(out, (name, driver.name), (driver.major, first, count), driver.kind.name())
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(tty_proc)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_linux() {
        let mut out = SeqBuf::new(256);
        assert_eq!(line(&mut out, ("/dev/ptmx", "ptmx"), (5, 2, 1), "system"), Ok(()));
        assert_eq!(line(&mut out, ("serial", "ttyS"), (4, 64, 4), "serial"), Ok(()));
        let wanted = "/dev/ptmx            /dev/ptmx       5       2 system\n\
                      serial               /dev/ttyS       4 64-67 serial\n";
        assert_eq!(out.text(), wanted.as_bytes());
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Instructions per operation. Meant for `-icount shift=0`, where the time stamp counter counts instructions.
//!
//! Runs as pid 1's image (from `bench-init`) or as any process; `rows=a,b` and `skip=a,b` as argument or environment
//! choose. Prints between two marks one line a row, `NAME VALUE` or `NAME skip ERRNO`, and, as pid 1, powers off.
//! The name is printed before the row runs: if the kernel dies, the last line says where.
//!
//! The value is the smallest of a few batches: a timer interrupt that falls into one batch does not count.

mod rows;
mod scale;
mod sys;

use std::io::Write;

/// What a row gives: instructions for one operation, or the negative errno of the call that is missing.
pub type Figure = Result<f64, isize>;

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    pub run: fn() -> Figure,
}

const BATCHES: usize = 5;

/// Runs `op` `iters` times in each of a few batches; the smallest mean, less the loop's own cost.
pub fn measure(iters: u32, mut op: impl FnMut()) -> f64 {
    for _ in 0..iters / 4 + 1 {
        op();
    }
    let mut best = u64::MAX;
    for _ in 0..BATCHES {
        let start = sys::start();
        for _ in 0..iters {
            op();
        }
        best = best.min(sys::stop(start));
    }
    best as f64 / f64::from(iters)
}

/// As `measure`, for an operation that needs things set up before and torn down after, outside the count.
/// `op` returns what it counted itself; the smallest of `times` is taken.
pub fn smallest(times: u32, mut op: impl FnMut() -> Result<u64, isize>) -> Result<f64, isize> {
    op()?;
    let mut best = u64::MAX;
    for _ in 0..times {
        best = best.min(op()?);
    }
    Ok(best as f64)
}

fn listed(words: &[String], key: &str, name: &str) -> Option<bool> {
    let list = words.iter().rev().find_map(|w| w.strip_prefix(key))?;
    Some(list.split(',').any(|w| w == name))
}

fn main() {
    // SAFETY: takes nothing.
    let init = unsafe { libc::getpid() } == 1;
    let mut words: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}")).collect();
    words.extend(std::env::args().skip(1));
    if init {
        prepare();
    }
    let mut out = std::io::stdout();
    let _ = writeln!(out, "@BENCH BEGIN@");
    if let Some(entry) = std::env::args().next().and_then(|a| u64::from_str_radix(&a, 16).ok()) {
        let _ = writeln!(out, "boot {entry}");
    }
    let throughput = words.iter().any(|w| w.starts_with("scale="));
    if throughput {
        scale::run(&mut out, |name| listed(&words, "scale=", name) == Some(true));
    }
    let named = rows::named().filter(|row| listed(&words, "rows=", row.name) == Some(true));
    for row in rows::all().chain(named).filter(|_| !throughput) {
        if listed(&words, "rows=", row.name) == Some(false) || listed(&words, "skip=", row.name) == Some(true) {
            continue;
        }
        let _ = write!(out, "{} ", row.name);
        let _ = out.flush();
        let _ = match (row.run)() {
            Ok(figure) => writeln!(out, "{figure:.1}"),
            Err(errno) => writeln!(out, "skip {}", -errno),
        };
    }
    let _ = writeln!(out, "@BENCH END@");
    let _ = out.flush();
    if init {
        // The kernel's last words would come between ours.
        // SAFETY: a plain call.
        unsafe { libc::tcdrain(1) };
        // Without hardware to turn off this returns; then pid 1 has to stay.
        // SAFETY: plain calls.
        unsafe {
            libc::reboot(libc::RB_POWER_OFF);
            libc::reboot(libc::RB_AUTOBOOT);
        }
        loop {
            std::thread::park();
        }
    }
}

/// What the rows need of the file tree, when nobody else made it.
fn prepare() {
    let mounts = [(c"proc", c"/proc"), (c"tmpfs", c"/tmp"), (c"devtmpfs", c"/dev")];
    for (kind, at) in mounts {
        // SAFETY: both are NUL-terminated; no data.
        unsafe {
            libc::mkdir(at.as_ptr(), 0o755);
            libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, core::ptr::null());
        }
    }
}

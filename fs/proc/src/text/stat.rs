// SPDX-License-Identifier: GPL-2.0
//! `/proc/stat`, `/proc/uptime` and `/proc/loadavg`: what the processors did. Columns that stand for what this kernel does not
//! have are named in the crate's text.

use super::interrupts::{ARCH, total_of};
use errno::Result;
use process::ns::time::{Shifted, shown};
use process::times::to_ticks;
use sched::{CpuTimes, cpu_times};
use vfs::{SeqBuf, seq_print};
use x86::smp;

const NSEC: u64 = 1_000_000_000;

/// The columns of a `cpu` line, in clock ticks.
fn cpu_line(out: &mut SeqBuf, name: &[u8], cpu: Option<u32>, times: &CpuTimes) -> Result {
    out.put(name)?;
    if let Some(cpu) = cpu {
        out.dec(cpu.into())?;
    }
    for value in [times.user, times.nice, times.system, times.idle, times.iowait] {
        out.field(to_ticks(value))?;
    }
    // irq, softirq, steal, guest, guest_nice.
    out.put(b" 0 0 0 0 0\n")
}

fn sum_of_cpus() -> CpuTimes {
    let mut sum = CpuTimes::default();
    for times in smp::cpus_in(smp::online()).filter_map(cpu_times) {
        sum.user += times.user;
        sum.nice += times.nice;
        sum.system += times.system;
        sum.idle += times.idle;
        sum.iowait += times.iowait;
    }
    sum
}

/// `/proc/stat`.
pub(super) fn stat(out: &mut SeqBuf) -> Result {
    cpu_line(out, b"cpu ", None, &sum_of_cpus())?;
    for cpu in smp::cpus_in(smp::online()) {
        if let Some(times) = cpu_times(cpu) {
            cpu_line(out, b"cpu", Some(cpu), &times)?;
        }
    }
    interrupt_line(out)?;
    let boot = ktime::real_ns().saturating_sub(shown(Shifted::Boottime, ktime::boottime_ns())) / NSEC;
    seq_print!(
        out,
        "ctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked {}\n",
        sched::context_switches(),
        boot,
        process::pid::forks(),
        sched::nr_running(),
        sched::nr_iowait(),
    )
}

/// The sum of all interrupts, then one number for each.
fn interrupt_line(out: &mut SeqBuf) -> Result {
    let per_irq = |irq: u32| smp::cpus_in(smp::possible()).map(|cpu| u64::from(irq::count(irq, cpu))).sum::<u64>();
    let arch: u64 = ARCH.iter().map(|(which, ..)| total_of(*which)).sum();
    let total: u64 = arch + (0..irq::NR_IRQS as u32).map(per_irq).sum::<u64>();
    out.put(b"intr ")?;
    out.dec(total)?;
    for irq in 0..irq::NR_IRQS as u32 {
        out.field(per_irq(irq))?;
    }
    out.byte(b'\n')
}

/// Seconds with two decimals.
fn hundredths(out: &mut SeqBuf, ns: u64) -> Result {
    seq_print!(out, "{}.{:02}", ns / NSEC, ns % NSEC / (NSEC / 100))
}

/// `/proc/uptime`: time since boot and the idle time of all processors together.
pub(super) fn uptime(out: &mut SeqBuf) -> Result {
    hundredths(out, shown(Shifted::Boottime, ktime::boottime_ns()))?;
    out.byte(b' ')?;
    hundredths(out, sum_of_cpus().idle)?;
    out.byte(b'\n')
}

/// A load with two decimals, rounded as Linux rounds it.
fn load(out: &mut SeqBuf, value: u64) -> Result {
    const ONE: u64 = 1 << sched::load::SHIFT;
    let value = value + ONE / 200;
    seq_print!(out, "{}.{:02} ", value / ONE, value % ONE * 100 / ONE)
}

/// `/proc/loadavg`.
pub(super) fn loadavg(out: &mut SeqBuf) -> Result {
    for value in sched::load::averages() {
        load(out, value)?;
    }
    let (running, threads) = (sched::nr_running(), process::pid::thread_count());
    seq_print!(out, "{running}/{threads} {}\n", process::pid::last_pid())
}

#[macros::kunit_tests(proc_stat)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lines() {
        let mut out = SeqBuf::new(200);
        let times = CpuTimes { user: 20_000_000, nice: 0, system: 1_230_000_000, idle: 9_999_999, iowait: 20_000_000 };
        assert!(cpu_line(&mut out, b"cpu", Some(3), &times).is_ok());
        assert_eq!(out.text(), b"cpu3 2 0 123 0 2 0 0 0 0 0\n");
    }

    #[test]
    fn loads_are_rounded() {
        let mut out = SeqBuf::new(200);
        assert!(load(&mut out, 0).is_ok());
        assert!(load(&mut out, 1 << 11).is_ok());
        assert!(load(&mut out, 3 << 10).is_ok());
        assert_eq!(out.text(), b"0.00 1.00 1.50 ");
    }

    #[test]
    fn times_with_hundredths() {
        let mut out = SeqBuf::new(200);
        assert!(hundredths(&mut out, 61_059_999_999).is_ok());
        assert_eq!(out.text(), b"61.05");
    }
}

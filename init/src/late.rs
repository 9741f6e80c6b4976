// SPDX-License-Identifier: GPL-2.0
//! The second half of start-up, in task context.

use errno::Result;
use klog::pr_err;
use x86::smp::boot::SecondaryStart;
use x86_cpu::CpuId;
use x86_head::BootInfo;

struct Secondary;

impl SecondaryStart for Secondary {
    fn secondary_start(&self, cpu: CpuId) -> ! {
        ktime::init_cpu();
        if let Err(error) = sched::secondary_start() {
            pr_err!("CPU {cpu}: no idle task: {error}");
            x86_cpu::asm::halt_forever()
        }
        sched::idle()
    }
}

/// Makes the first task.
pub(crate) fn start(info: &'static BootInfo) -> Result {
    static SECONDARY: &dyn SecondaryStart = &Secondary;
    x86::smp::boot::SECONDARY_START.set(&SECONDARY);
    task::kthread_run(b"init", move || {
        if let Err(error) = process_one(info) {
            panic!("start-up failed: {error}");
        }
    })?;
    Ok(())
}

fn process_one(_info: &'static BootInfo) -> Result {
    for cpu in x86::smp::cpus_in(x86::smp::possible() & !x86::smp::online()) {
        sched::prepare_cpu(cpu)?;
    }
    x86::smp::boot::bring_up();
    sched::start_threads()?;
    ktime::source::watch_wrap()?;
    rcu::synchronize();
    #[cfg(feature = "CONFIG_PCI")]
    pci::init()?;
    for i in 0..3 {
        ktime::sleep::sleep_ns(100_000_000);
        klog::pr_info!("tick {i}");
    }
    Ok(())
}

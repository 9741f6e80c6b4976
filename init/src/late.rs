// SPDX-License-Identifier: GPL-2.0
//! The second half of start-up, in process 1: the other CPUs, threads that serve others, file systems, devices, and last the first
//! program.

use cmdline::InitArgs;
use errno::Result;
use errno::code::{ENOENT, ENXIO};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};
use klog::{pr_err, pr_info, pr_warn};
use process::hooks::Machine;
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

struct Pc;

impl Machine for Pc {
    fn restart(&self) {
        x86::reboot::machine_restart()
    }
    fn power_off(&self) {
        x86::reboot::machine_power_off()
    }
    fn halt(&self) {
        x86::reboot::machine_halt()
    }
    fn shut_devices_down(&self) {
        device::shutdown();
    }
}

/// Makes process 1. Interrupts are off; it runs when this context becomes the idle task.
pub(crate) fn start(info: &'static BootInfo) -> Result {
    static SECONDARY: &dyn SecondaryStart = &Secondary;
    static MACHINE: &dyn Machine = &Pc;
    x86::smp::boot::SECONDARY_START.set(&SECONDARY);
    process::hooks::MACHINE.set(&MACHINE);
    process::init();
    if info.option_value(b"vsyscall") == Some(b"xonly") {
        process::vsyscall::enable();
    }
    futex::init();
    posix_time::init();
    timerfd::init();
    inotify::limits::init();
    eventpoll::limits::init();
    #[cfg(feature = "CONFIG_SYSVIPC")]
    sysvipc::init()?;
    syscalls::init();
    process::start_init(move || {
        if let Err(error) = process_one(info) {
            x86::panic::panic(format_args!("start-up failed: {error}"));
        }
    })
}

fn process_one(info: &'static BootInfo) -> Result {
    for cpu in x86::smp::cpus_in(x86::smp::possible() & !x86::smp::online()) {
        sched::prepare_cpu(cpu)?;
    }
    x86::smp::boot::bring_up();
    step("scheduler threads", sched::start_threads())?;
    step("work queues", workqueue::start())?;
    step("clock watch", ktime::source::watch_wrap())?;
    mm::account::init();
    step("khugepaged", mm::init_huge_pages(crate::params::line(info).value("transparent_hugepage")))?;
    step("OOM killer", oom::init())?;
    step("kswapd", mm::reclaim::start())?;
    step("vDSO", crate::vdso::init())?;
    file_systems(info)?;
    devices(info)?;
    crate::modules::start(info)?;
    // After the drivers of what is there: a slot with a card is not looked at meanwhile.
    #[cfg(feature = "CONFIG_PCIEPORTBUS")]
    step("pcieport", pcieport::init())?;
    #[cfg(feature = "CONFIG_HOTPLUG_PCI_PCIE")]
    step("pciehp", pciehp::init())?;
    device::wait_for_probe();
    let _ = initramfs::unpack(DEFAULT_INITRAMFS);
    mm_alloc::initrd::consume(info, |archive| {
        // What went wrong has been said; the boot goes on with what is there.
        let _ = initramfs::unpack(archive);
    });
    #[cfg(CONFIG_KUNIT = "y")]
    crate::tests::run(info);
    first_program(info)
}

/// Says which step of start-up failed; the caller ends the boot.
fn step<T>(name: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|error| pr_err!("init: {name}: {error}"))
}

fn file_systems(info: &'static BootInfo) -> Result {
    step("vfs", vfs::init())?;
    #[cfg(feature = "CONFIG_BLOCK")]
    buffer::init();
    step("tmpfs", tmpfs::init())?;
    step("rootfs", tmpfs::mount_rootfs())?;
    step("pipefs", pipe::init())?;
    step("sockets", socket::init())?;
    step("unix sockets", unix::init())?;
    step("devtmpfs", devtmpfs::init())?;
    step("devpts", devpts::init())?;
    step("sysfs", sysfs::init())?;
    step("netlink", netlink::init())?;
    step("proc", proc::init(info.cmdline.as_slice()))?;
    step("settings of devpts", devpts::init_files())?;
    #[cfg(feature = "CONFIG_SYSVIPC")]
    step("System V IPC", sysvipc::init_files())?;
    #[cfg(feature = "CONFIG_POSIX_MQUEUE")]
    step("message queues", mqueue::init())?;
    step("debugfs", debugfs::init())?;
    step("configfs", configfs::init())?;
    step("device model", device::faux::init())?;
    step("platform bus", device::platform::init())?;
    step("pnp bus", device::pnp::init())?;
    step("auxiliary bus", device::auxiliary::init())?;
    step("soc bus", device::soc::init())?;
    step("sleep", power::init())?;
    // Linux has reasons in the second column, if drivers give them.
    let deferred = |out: &mut vfs::SeqBuf| {
        device::for_each_deferred(|device| {
            out.put(device.name())?;
            out.put(b"\t\n")
        })
    };
    step("deferred devices", debugfs::attr(b"devices_deferred", 0o444, kernfs::Text(deferred)))
}

fn devices(info: &'static BootInfo) -> Result {
    acpi_core::init();
    #[cfg(feature = "CONFIG_PCI")]
    step("pci", pci::init().and_then(|()| pci::bus::init()))?;
    #[cfg(feature = "CONFIG_BLOCK")]
    {
        block::init();
        step("block devices", genhd::init())?;
        block_fops::init();
        #[cfg(feature = "CONFIG_SWAP")]
        swap::init();
    }
    step("memory devices", mem::init())?;
    step("misc devices", misc::init())?;
    step("ACPI devices", crate::firmware::add_devices())?;
    #[cfg(feature = "CONFIG_RTC_CLASS")]
    step("rtc", rtc::init())?;
    step("tty", tty::init())?;
    step("system requests", sysrq::init(crate::params::line(info)))?;
    step("serial8250", serial8250::init())?;
    step("vt", vt::init())?;
    crate::nodes::terminals()?;
    crate::nodes::consoles()
}

/// The archive that every kernel has, whatever the boot loader brings (Linux's `usr/default_cpio_list`): `/dev` with the console,
/// and `/root`. In the newc format: a header of numbers in hexadecimal, then the name, padded to four bytes.
const DEFAULT_INITRAMFS: &[u8] = concat!(
    "07070100000000000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000",
    "dev\0\0\0",
    "07070100000000000021800000000000000000000000010000000000000000000000000000000000000005000000010000000c00000000",
    "dev/console\0\0\0",
    "07070100000000000041c00000000000000000000000020000000000000000000000000000000000000000000000000000000500000000",
    "root\0\0",
    "07070100000000000000000000000000000000000000010000000000000000000000000000000000000000000000000000000b00000000",
    "TRAILER!!!\0\0\0\0",
)
.as_bytes();

/// Opens `/dev/console` as descriptors 0, 1 and 2 of process 1.
fn open_console() -> Result {
    let console = vfs::tasks::kernel_open(b"/dev/console", uapi::O_RDWR, 0)?;
    for _ in 0..3 {
        vfs::get_unused_fd(false)?.install(console.clone());
    }
    Ok(())
}

/// The programs tried in turn when the command line names none.
const FALLBACKS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// Becomes the first program: `rdinit=` (default `/init`), else `init=`, else what Linux tries.
fn first_program(info: &'static BootInfo) -> Result {
    let line = crate::params::line(info);
    let args = InitArgs::collect(line, crate::params::take)?;
    if let Err(error) = open_console() {
        pr_warn!("Warning: unable to open an initial console ({error}).");
    }
    let first = line.value("rdinit").unwrap_or(b"/init");
    if vfs::kernel_open(first, uapi::O_PATH, 0).is_ok() {
        match run(first, &args) {
            Ok(()) => return Ok(()),
            Err(error) => pr_err!("Failed to execute {} (error {})", crate::params::Shown(first), error.to_errno()),
        }
    } else {
        mount_root(line);
    }
    if let Some(wanted) = line.value("init") {
        let error = match run(wanted, &args) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        x86::panic::panic(format_args!(
            "Requested init {} failed (error {}).",
            crate::params::Shown(wanted),
            error.to_errno()
        ));
    }
    for path in FALLBACKS {
        match run(path.as_bytes(), &args) {
            Ok(()) => return Ok(()),
            Err(ENOENT) => {}
            Err(error) => {
                pr_err!("Starting init: {path} exists but couldn't execute it (error {})", error.to_errno());
            }
        }
    }
    x86::panic::panic(format_args!("No working init found.  Try passing init= option to kernel."))
}

/// The initramfs has no first program, so the root file system is to be mounted from a device.
fn mount_root(line: cmdline::CommandLine<'_>) {
    #[cfg(feature = "CONFIG_BLOCK")]
    let mounted = crate::root::mount(line);
    #[cfg(not(feature = "CONFIG_BLOCK"))]
    let mounted = Ok(false);
    match mounted {
        Ok(true) => {}
        Ok(false) => no_root(line.value("root"), ENXIO),
        Err(error) => no_root(line.value("root"), error),
    }
}

fn no_root(name: Option<&[u8]>, error: errno::Error) -> ! {
    let name = crate::params::Shown(name.unwrap_or(b"(null)"));
    pr_err!("VFS: Cannot open root device \"{name}\" or unknown-block(0,0): error {}", error.to_errno());
    pr_err!("Please append a correct \"root=\" boot option; here are the available partitions:");
    x86::panic::panic(format_args!("VFS: Unable to mount root fs on unknown-block(0,0)"))
}

fn run(path: &[u8], init: &InitArgs) -> Result {
    let mut argv: KVec<&[u8]> = KVec::with_capacity(init.args.len() + 1, GFP_KERNEL)?;
    argv.push(path, GFP_KERNEL)?;
    for word in init.args.iter().map(KString::as_bytes) {
        argv.push(word, GFP_KERNEL)?;
    }
    let mut envp: KVec<&[u8]> = KVec::with_capacity(init.env.len(), GFP_KERNEL)?;
    for word in init.env.iter().map(KString::as_bytes) {
        envp.push(word, GFP_KERNEL)?;
    }
    process::exec::kernel_execve(path, &argv, &envp)?;
    pr_info!("Run {} as init process", crate::params::Shown(path));
    Ok(())
}

# SPDX-License-Identifier: GPL-2.0
"""Which of Linux's Rust modules are tried, and what each must do in a guest. A step is a command and what it must print; `DMESG`
as the command means the log since the step before."""

DMESG = object()


class Rung:
    """One module: its files in Linux's tree (the root of the crate first), and its transcript. Without steps it is compiled only."""

    def __init__(self, number, name, files, steps=(), load=True, fails=None, program=None, note="", later=False):
        self.number, self.name, self.files = number, name, files
        self.steps, self.load, self.fails, self.program, self.note = list(steps), load, fails, program, note
        # Not expected to compile yet, whatever its rung.
        self.later = later


def sample(number, name, steps=(), **more):
    """A module of samples/rust."""
    return Rung(number, name, [f"samples/rust/{name}.rs"], steps, **more)


PRINT = [(DMESG, [
    r"rust_print: Rust printing macros sample \(init\)", r"rust_print: Emergency message \(level 0\) without args",
    r"rust_print: Info message \(level 6\) without args", r"rust_print: A line that is continued without args$",
    r"rust_print: Emergency message \(level 0\) with args", r"rust_print: A line that is continued with args$",
    r"rust_print: 1$", r'rust_print: "hello, world"', r'rust_print: \[.*rust_print_main.rs:\d+:\d+\] c = "hello, world"',
    r"rust_print: Arc<dyn Display> says 42", r"rust_print: Arc<dyn Display> says hello, world", r'rust_print: "hello, world"',
])]

MISC = [
    (DMESG, [r"rust_misc_device: Initialising Rust Misc Device Sample"]),
    ("cat /proc/misc", [r"^\s*\d+ rust-misc-device$"]),
    ("stat -c '%a %F' /dev/rust-misc-device", [r"^600 character special file$"]),
    ("cat /sys/class/misc/rust-misc-device/dev", [r"^10:\d+$"]),
    ("/misc_program 2>&1; echo status $?", [r"Success", r"status 0"]),
    (DMESG, [r"misc rust-misc-device: Opening Rust Misc Device Sample", r"misc rust-misc-device: IOCTLing",
             r"misc rust-misc-device: -> Hello from the Rust Misc Device", r"-> Copying data to userspace \(value: \d+\)",
             r"-> Copying data from userspace \(value: \d+\)", r"Exiting the Rust Misc Device Sample"]),
    ("exec 9<>/dev/rust-misc-device; rmmod rust_misc_device 2>&1; cat /proc/modules; exec 9>&-", [r"rust_misc_device \d+ 1 "]),
]

CONFIGFS = [
    (DMESG, [r"rust_configfs: Rust configfs sample \(init\)"]),
    ("mount -t configfs none /sys/kernel/config && cd /sys/kernel/config/rust_configfs && ls -1", [r"^bar$", r"^message$"]),
    ("cat message", [r"^Hello World$"]),
    ("echo xyz >bar; cat bar", [r"^xyz$"]),
    ("mkdir d && ls d && cat d/baz", [r"^baz$", r"^Hello Baz$"]),
    ("mkdir d/e && cat d/e/gc; mkdir d/e/f 2>&1", [r"^Hello GC$", r"mkdir: .*not permitted"]),
    ("rmdir d 2>&1; rmdir d/e && rmdir d && ls -1; cd /; umount /sys/kernel/config", [r"not empty", r"^bar$"]),
    (DMESG, [r"rust_configfs: Show message", r"rust_configfs: Store bar", r"rust_configfs: Show bar",
             r"rust_configfs: Show baz", r"rust_configfs: Show grand child"]),
]

DEBUGFS = [
    ("mount -t debugfs none /sys/kernel/debug && cd /sys/kernel/debug/rust_scoped_debugfs && ls -1 && ls -1 control",
     [r"^control$", r"^dynamic$", r"^create$", r"^remove$"]),
    ("echo one 1 2 3 >control/create; ls -1 dynamic dynamic/one", [r"^one$", r"^0$", r"^1$", r"^2$", r"^blob$"]),
    ("cat dynamic/one/0 dynamic/one/2; echo 7 >dynamic/one/1; cat dynamic/one/1", [r"^1$", r"^3$", r"^7$"]),
    ("od -An -tx1 -N4 dynamic/one/blob; wc -c <dynamic/one/blob", [r"42 42 42 42", r"^4096$"]),
    ("printf abc | dd of=dynamic/one/blob conv=notrunc 2>/dev/null; head -c 4 dynamic/one/blob; echo", [r"^abcB$"]),
    ("echo one >control/remove; ls -1 dynamic; echo end; cd /; umount /sys/kernel/debug", [r"^end$"]),
]

RNULL = [
    (DMESG, [r"rnull_mod: Rust null_blk loaded"]),
    ("mount -t configfs none /sys/kernel/config && cd /sys/kernel/config/rnull && ls -1 && cat features", [
        r"^features$", r"^blocksize,size,rotational,irqmode$"]),
    ("mkdir rnullb0 && cd rnullb0 && ls -1 && cat power blocksize rotational size irqmode", [
        r"^blocksize$", r"^irqmode$", r"^power$", r"^rotational$", r"^size$", r"^0$", r"^4096$", r"^0$", r"^4096$", r"^0$"]),
    ("echo 3000 >blocksize; echo 2 >irqmode; echo 512 >blocksize && cat blocksize && echo 64 >size && echo 1 >irqmode && echo 1 >rotational", [
        r"nvalid argument", r"nvalid argument", r"^512$"]),
    ("echo 1 >power && cat power && echo 4096 >blocksize", [r"^1$", r"busy"]),
    ("cat /sys/block/rnullb0/size /sys/block/rnullb0/queue/logical_block_size /sys/block/rnullb0/queue/rotational "
     "/sys/block/rnullb0/queue/nr_hw_queues; grep -w rnullb0 /proc/partitions; stat -c '%F' /dev/rnullb0", [
        r"^131072$", r"^512$", r"^1$", r"^\s*259\s+\d+\s+65536 rnullb0$", r"^block special file$"]),
    ("dd if=/dev/zero of=/dev/rnullb0 bs=1M count=64 conv=fsync 2>&1; dd if=/dev/rnullb0 of=/dev/null bs=64k iflag=direct 2>&1; "
     "awk '{print \"sectors\", $3, $7}' /sys/block/rnullb0/stat", [
        r"^64\+0 records out$", r"^1024\+0 records in$", r"^sectors 1310\d\d 131072$"]),
    ("mkdir ../two && echo 1 >../two/power && ls -1 /sys/block | grep -c -e rnullb0 -e two; rmdir ../two && ls /sys/block | grep -w two; echo end", [
        r"^2$", r"^end$"]),
    ("for n in 1 2 3 4; do dd if=/dev/rnullb0 of=/dev/null bs=4k iflag=direct 2>/dev/null & done; exec 8</dev/rnullb0; sleep 1; "
     "echo 0 >power; cat power; wait; head -c 512 <&8 2>&1 | wc -c; exec 8<&-; ls /dev/rnullb0 2>&1; rmmod rnull_mod 2>&1", [
        r"^0$", r"No such file", r"in use|busy|temporarily"]),
    ("n=0; while [ $n -lt 20 ]; do echo 1 >power; dd if=/dev/rnullb0 of=/dev/null bs=1M count=4 2>/dev/null; echo 0 >power; n=$((n+1)); done; echo $n", [
        r"^20$"]),
    ("cd /sys/kernel/config/rnull; rmdir rnullb0; ls -1; cd /; umount /sys/kernel/config", [r"^features$"]),
]

PLATFORM = [
    (DMESG, [r"rust_driver_platform LNUXBEEF:00: Probed with info: '0'\."]),
    ("readlink /sys/bus/platform/devices/LNUXBEEF:00/driver", [r"rust_driver_platform$"]),
    ("cat /sys/bus/platform/devices/LNUXBEEF:00/modalias", [r"^acpi:LNUXBEEF:$"]),
    ("cd /sys/bus/platform/drivers/rust_driver_platform; echo LNUXBEEF:00 >unbind; ls -1; echo LNUXBEEF:00 >bind; ls -1; cd /", [
        r"^bind$", r"^unbind$", r"^LNUXBEEF:00$", r"^bind$"]),
    (DMESG, [r"rust_driver_platform LNUXBEEF:00: Probed with info: '0'\."]),
]

DEBUGFS_PLATFORM = [
    ("mount -t debugfs none /sys/kernel/debug && cd /sys/kernel/debug/sample_debugfs && ls -1", [
        r"^array_blob$", r"^compatible$", r"^counter$", r"^pair$", r"^vector_blob$"]),
    ("cat compatible counter pair; echo 5 >counter; cat counter", [r"sample-debugfs", r"^91$", r"Inner \{ x: 10, y: 42 \}", r"^5$"]),
    ("cat array_blob; echo; wc -c <vector_blob; cd /; umount /sys/kernel/debug", [r"^blob$", r"^4096$"]),
]

SOC = [
    ("cd /sys/devices/soc0 && cat machine family revision serial_number soc_id; cd /", [
        r"^My cool ACME15 dev board$", r"^ACME$", r"^1.2$", r"^12345$", r"^ACME15$"]),
]

PCI = [
    (DMESG, [r"rust_driver_pci 0000:00:\w\w.\w: pci-testdev data-match count: 1$",
             r"rust_driver_pci 0000:00:\w\w.\w: pci-testdev config space read8 rev ID: 0$",
             r"pci-testdev config space read16 vendor ID: 1b36$", r"pci-testdev config space read32 BAR 0: \w+$"]),
    ("cd /sys/bus/pci/drivers/rust_driver_pci; d=$(ls -d 0000*); echo $d >unbind; ls -d 0000* 2>&1; echo $d >bind; ls -d 0000*; cd /", [
        r"No such file", r"^0000:00:\w\w.\w$"]),
    (DMESG, [r"pci-testdev data-match count: 1$"]),
]

DMA = [
    (DMESG, [r"rust_dma 0000:00:\w\w.\w: Probe DMA test driver\.$"]),
    ("cd /sys/bus/pci/drivers/rust_dma; echo $(ls -d 0000*) >unbind; ls; cd /", [r"bind"]),
    (DMESG, [r"rust_dma 0000:00:\w\w.\w: Unload DMA test driver\.$",
             r"rust_dma 0000:00:\w\w.\w: Entry\[0\]: DMA address: 0x\w+$"]),
]

AUXILIARY = [
    (DMESG, [r"auxiliary rust_driver_auxiliary.auxiliary.0: Probing auxiliary driver for auxiliary device with id=0$|"
             r"rust_driver_auxiliary rust_driver_auxiliary.auxiliary.0: Probing auxiliary driver for auxiliary device with id=0$",
             r"rust_driver_auxiliary 0000:00:\w\w.\w: Connect auxiliary 0 with parent: VendorID=\S+, DeviceID=0x5$",
             r"rust_driver_auxiliary 0000:00:\w\w.\w: Connected to auxiliary device with index 0\.$",
             r"Probing auxiliary driver for auxiliary device with id=1$",
             r"rust_driver_auxiliary 0000:00:\w\w.\w: Connected to auxiliary device with index 1 \(via Mutex\)\.$"]),
    ("ls -1 /sys/bus/auxiliary/devices", [r"^rust_driver_auxiliary.auxiliary.0$", r"^rust_driver_auxiliary.auxiliary.1$"]),
]

# The module's root first; its two files in C are not taken.
BINDER = ["drivers/android/binder/" + name + ".rs" for name in (
    "rust_binder_main", "allocation", "context", "debug", "deferred_close", "defs", "error", "freeze", "netlink", "node", "node/wrapper",
    "page_range", "process", "range_alloc/array", "range_alloc/mod", "range_alloc/tree", "stats", "thread", "trace", "transaction")]

RUNGS = [
    sample(1, "rust_minimal", [(DMESG, [
        r"rust_minimal: Rust minimal sample \(init\)", r"rust_minimal: Am I built-in\? false", r"rust_minimal: test_parameter: 1"])],
        note="exit: `My numbers are [72, 108, 200]`"),
    Rung(2, "drm_panic_qr", ["drivers/gpu/drm/drm_panic_qr.rs"], load=False, note="compiled only"),
    Rung(2, "kasan_test_rust", ["mm/kasan/kasan_test_rust.rs"], load=False, note="compiled only"),
    sample(3, "rust_driver_faux", [
        (DMESG, [r"rust_faux_driver: Initialising Rust Faux Device Sample",
                 r"faux_driver rust-faux-sample-device: Hello from faux device!"]),
        ("ls -d /sys/devices/faux/rust-faux-sample-device/driver", [r"driver"])]),
    Rung(4, "rust_print", ["samples/rust/rust_print_main.rs"], PRINT),
    Rung(5, "find_bit_benchmark_rust", ["lib/find_bit_benchmark_rust.rs"], [
        (DMESG, [r"find_bit_benchmark_rust: Benchmark$", r"Start testing find_bit\(\) Rust with random-filled bitmap",
                 r"next_bit:\s+\d+ ns,\s+1[56]\d{4} iterations", r"next_zero_bit:\s+\d+ ns,\s+1[56]\d{4} iterations",
                 r"Start testing find_bit\(\) Rust with sparse bitmap", r"next_bit:\s+\d+ ns,\s+\d{3} iterations"])],
        fails="nvalid", note="its `init` ends with EINVAL by design"),
    sample(6, "rust_misc_device", MISC, program="misc_program"),
    sample(7, "rust_configfs", CONFIGFS),
    sample(8, "rust_debugfs_scoped", DEBUGFS),
    Rung(9, "rnull_mod", ["drivers/block/rnull/rnull.rs", "drivers/block/rnull/configfs.rs"], RNULL),
    sample(10, "rust_driver_platform", PLATFORM),
    sample(10, "rust_debugfs", DEBUGFS_PLATFORM),
    sample(10, "rust_soc", SOC),
    sample(11, "rust_driver_pci", PCI),
    sample(11, "rust_dma", DMA),
    sample(11, "rust_driver_auxiliary", AUXILIARY),
    sample(12, "rust_i2c_client", load=False),
    sample(12, "rust_driver_i2c", load=False),
    sample(12, "rust_driver_usb", load=False),
    sample(12, "rust_driver_serdev", load=False),
    Rung(12, "ax88796b_rust", ["drivers/net/phy/ax88796b_rust.rs"], load=False),
    Rung(12, "qt2025", ["drivers/net/phy/qt2025.rs"], load=False),
    Rung(12, "rcpufreq_dt", ["drivers/cpufreq/rcpufreq_dt.rs"], load=False),
    Rung(12, "pwm_th1520", ["drivers/pwm/pwm_th1520.rs"], load=False),
    Rung(13, "rust_binder", BINDER, load=False),
]

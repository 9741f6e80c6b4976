#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A kernel with the console built in and all else as modules, with Debian's kmod and systemd-udevd: udev loads what the machine has (a
q35 with disks behind AHCI, virtio-scsi, virtio-blk and NVMe, a CD, a keyboard, a clock, a console, a generator and a directory of the
hypervisor), the kernel asks for file systems and devices, and what nobody uses can go again.

A step is one list of commands joined by `&&`: the shell says the status of the last command alone. What must fail has a step of its
own (`refused`). busybox's `head` says EIO whatever read(2) said; `dd` and `cat` say what it was.

The kernel is the one in KBUILD_OUTPUT if it is of modular.config, else one that is made beside it: its configuration (which must have
samples.config) and modular.config, of the crates that were compiled for it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, GuestExit, GuestTimeout, Report, image, need, programs  # noqa: E402
from kmod import TOOLS, install, kmod  # noqa: E402
from uevents import udev  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
MB = 1 << 20
ROUNDS = 20


def run(*command):
    """A program of the host."""
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode:
        raise SystemExit(done.stdout)


def modules(guest):
    """{name: uses}"""
    return {line.split()[0]: int(line.split()[2]) for line in guest.check("cat /proc/modules").splitlines()}


def loaded(guest, *names):
    """These are there."""
    there = modules(guest)
    missing = [name for name in names if name not in there]
    if missing:
        raise GuestError(f"not loaded: {missing}, only {there}\n" + guest.check("dmesg | tail -20"))


def gone(guest, *names):
    """These are not."""
    left = [name for name in names if name in modules(guest)]
    if left:
        raise GuestError(f"still loaded: {left}")


def refused(guest, command, pattern):
    """A command fails, and says why."""
    status, text = guest.run(command + " 2>&1")
    if status == 0 or not re.search(pattern, text):
        raise GuestError(f"{command}: {status} {text}")


# What udev loads: for devices of the machine, and for devices that these make.
FOUND = ("virtio", "virtio_pci", "virtio_blk", "virtio_rng", "virtio_console", "virtio_scsi", "scsi_mod", "sd_mod", "sr_mod", "ahci",
         "nvme", "rng_core", "rtc_cmos", "hpet", "i8042", "9pnet", "9pnet_virtio", "rust_testdev")
NODES = ("vda", "nvme0n1", "sda", "sdb", "sr0", "hwrng", "rtc0", "hpet", "hvc0", "vport*p2")
DRIVERS = ("pci/drivers/virtio-pci/0000*", "pci/drivers/nvme/0000*", "pci/drivers/ahci/0000*", "virtio/drivers/virtio_blk/virtio*",
           "virtio/drivers/virtio_scsi/virtio*", "virtio/drivers/virtio_rng/virtio*", "virtio/drivers/virtio_console/virtio*",
           "virtio/drivers/9pnet_virtio/virtio*",
           "scsi/drivers/sd/*:*", "scsi/drivers/sr/*:*", "platform/drivers/rtc_cmos/rtc_cmos", "platform/drivers/hpet/PNP0103:00",
           "platform/drivers/i8042/i8042",
           "pci/drivers/rust_testdev/0000*")


def nothing_yet(guest):
    """The image has the console and what every kernel has."""
    if modules(guest):
        raise GuestError(f"loaded at boot: {modules(guest)}")
    for node in NODES:
        if guest.run(f"ls /dev/{node} 2>/dev/null")[0] == 0:
            raise GuestError(f"there is {node}: " + guest.check("ls /dev"))
    for bus in ("virtio", "scsi"):
        if guest.run(f"ls -d /sys/bus/{bus} 2>/dev/null")[0] == 0:
            raise GuestError(f"there is the bus {bus}")
    if guest.run("grep -qE 'ext4|squashfs|overlay|iso9660|vfat' /proc/filesystems")[0] == 0:
        raise GuestError("there is more than the image should have: " + guest.check("cat /proc/filesystems"))
    need(guest.check("cat /sys/bus/pci/devices/*/modalias"), r"^pci:v00001AF4")


def udev_runs(guest):
    """Starts systemd-udevd; returns when it listens."""
    guest.check("mkdir -p /run/udev && systemd-udevd --daemon 2>>/tmp/udevd.log && udevadm control --ping", 60)


def settled(guest, *nodes):
    """Waits until udev has nothing to do and these nodes are there. udev must run and handle its queue."""
    guest.check("udevadm settle --timeout=120", 150)
    for node in nodes:
        guest.check(f"i=0; while ! ls /dev/{node} >/dev/null 2>&1 && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; ls /dev/{node}", 60)


def hold(guest, fd, path):
    """Opens a file. (A redirection of `exec` that fails would end the shell.)"""
    guest.check(f"[ -r {path} ] && exec {fd}<{path}")


def let_go(guest):
    """Closes what a test had open."""
    guest.check("exec 8<&- 9<&-")


def coldplug(guest):
    """udev finds the devices that are there since the boot, and loads their drivers; these make devices, for which it loads more."""
    udev_runs(guest)
    guest.check("udevadm trigger --action=add", 60)
    settled(guest, *NODES)
    loaded(guest, *FOUND)
    for driver in DRIVERS:
        guest.check(f"ls -d /sys/bus/{driver}")
    gone(guest, "ext4", "squashfs", "overlay", "isofs", "vfat", "9p", "loop", "brd", "null_blk", "virtio_mmio", "kyber_iosched")


def ahci_disk(guest):
    """The name of the disk behind AHCI: the other one is virtio-scsi's. Which comes first is chance."""
    found = guest.check("for d in /sys/block/sd*; do if readlink -f $d | grep -q /ata; then basename $d; fi; done").split()
    if len(found) != 1:
        raise GuestError(f"disks behind AHCI: {found}: " + guest.check("ls -l /sys/block"))
    return found[0]


def scsi(guest):
    """A CD and a disk behind AHCI, a disk behind virtio-scsi: who is used stays, all of it can go, and comes back."""
    disk = ahci_disk(guest)
    guest.check(f"mkdir -p /mnt/c /mnt/v && mount -t iso9660 -o ro /dev/sr0 /mnt/c && mount -t vfat /dev/{disk} /mnt/v")
    loaded(guest, "isofs", "vfat")
    need(guest.check("cat /mnt/c/hello && echo kept >/mnt/v/kept && sync && cat /mnt/v/kept"), r"^from squashfs$", r"^kept$")
    for name in ("ahci", "sd_mod", "sr_mod", "scsi_mod"):
        refused(guest, f"rmmod {name}", "in use")
    guest.check("umount /mnt/c && umount /mnt/v && rmmod isofs vfat")
    # Somebody has files of what goes open: they give nothing any more, and nobody waits for them.
    hold(guest, 8, f"/sys/block/{disk}/device/vendor")
    hold(guest, 9, f"/sys/class/scsi_disk/$(basename $(readlink -f /sys/block/{disk}/device))/FUA")
    # udev looks at a disk that somebody wrote to, and has it open for that.
    settled(guest)
    guest.check("rmmod sd_mod && ! ls /dev/sd* 2>/dev/null", 60)
    guest.check("rmmod sr_mod && [ ! -e /dev/sr0 ] && rmmod ahci && rmmod virtio_scsi && rmmod scsi_mod", 60)
    for fd in (8, 9):
        refused(guest, f"cat <&{fd}", "No such device")
    let_go(guest)
    guest.check("[ ! -e /sys/bus/scsi ]")
    gone(guest, "sd_mod", "sr_mod", "ahci", "virtio_scsi", "scsi_mod")
    guest.check("udevadm trigger --action=add --subsystem-match=pci --subsystem-match=virtio", 60)
    settled(guest, "sda", "sdb", "sr0")
    disk = ahci_disk(guest)
    need(guest.check(f"mount -t vfat /dev/{disk} /mnt/v && cat /mnt/v/kept && umount /mnt/v && rmmod vfat"), r"^kept$")


def generator(guest):
    """/dev/hwrng is there with the core, and answers with a driver."""
    guest.check("[ $(head -c 1000 /dev/hwrng | wc -c) = 1000 ] && [ $(cat /sys/class/misc/hw_random/rng_current) = virtio_rng.0 ]")
    refused(guest, "rmmod rng_core", "in use")
    hold(guest, 9, "/dev/hwrng")
    guest.check("rmmod virtio_rng && [ $(cat /sys/class/misc/hw_random/rng_current) = none ]")
    refused(guest, "rmmod rng_core", "in use")
    refused(guest, "dd bs=1 count=1 <&9", "No such device")
    let_go(guest)
    guest.check("i=0; while ps | grep -q '[h]wrng' && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; ! ps | grep '[h]wrng'")
    hold(guest, 8, "/sys/class/misc/hw_random/rng_current")
    guest.check("rmmod rng_core && [ ! -e /dev/hwrng ]")
    refused(guest, "cat <&8", "No such device")
    let_go(guest)
    guest.check("modprobe virtio_rng && [ $(head -c 10 /dev/hwrng | wc -c) = 10 ]")


def clock(guest):
    """The clock's driver: its module stays while /dev/rtc0 is open."""
    need(guest.check("hwclock -r -u"), r"20\d\d")
    hold(guest, 9, "/dev/rtc0")
    refused(guest, "rmmod rtc_cmos", "in use")
    let_go(guest)
    guest.check("rmmod rtc_cmos && [ ! -e /dev/rtc0 ] && [ ! -e /proc/driver/rtc ] && ! grep rtc0 /proc/interrupts")
    guest.check("modprobe rtc_cmos && [ -e /dev/rtc0 ]")
    need(guest.check("cat /proc/driver/rtc && grep rtc0 /proc/interrupts"), r"^rtc_time", r"rtc0$")


def keyboard(guest):
    """What is typed reaches the terminal in front; without the module it does not."""
    for again in (False, True):
        if again:
            guest.check("rmmod i8042 && ! grep i8042 /proc/interrupts && modprobe i8042")
        guest.check("grep i8042 /proc/interrupts && { (read line </dev/tty1; echo \"$line\" >/tmp/typed) & sleep 1; }")
        guest.type_keys("typed\n")
        guest.check("i=0; while [ ! -s /tmp/typed ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ -s /tmp/typed ]")
        need(guest.check("cat /tmp/typed && rm /tmp/typed"), r"^typed$")


def console(guest):
    """A console of the hypervisor, and a port that a program opens."""
    guest.check("echo out >/dev/hvc0 && port=$(ls /dev/vport*p2) && [ -c $port ] && exec 9<>$port")
    refused(guest, "rmmod virtio_console", "in use")
    let_go(guest)
    settled(guest)
    guest.check("rmmod virtio_console && ! ls /dev/vport* 2>/dev/null")
    guest.check("modprobe virtio_console")
    settled(guest, "hvc0", "vport*p2")


def directory(guest):
    """A directory of the host: the way there (a module that nothing is linked with) stays while it is mounted."""
    loaded(guest, "9pnet_virtio")
    before = modules(guest)["9pnet_virtio"]
    guest.check("mkdir -p /mnt/h /mnt/other && mount -t 9p -o trans=virtio,version=9p2000.L share /mnt/h")
    loaded(guest, "9p", "9pnet", "9pnet_virtio")
    need(guest.check("cat /mnt/h/hello"), r"^from squashfs$")
    if modules(guest)["9pnet_virtio"] != before + 1:
        raise GuestError(f"uses of 9pnet_virtio: {before}, with a mount {modules(guest)['9pnet_virtio']}")
    refused(guest, "rmmod 9pnet_virtio", "in use")
    refused(guest, "rmmod 9p", "in use")
    # One client at a time: who is refused leaves no use behind.
    refused(guest, "mount -t 9p -o trans=virtio,version=9p2000.L share /mnt/other", "busy")
    guest.check("umount /mnt/h")
    if modules(guest)["9pnet_virtio"] != before:
        raise GuestError(f"uses of 9pnet_virtio after the mount: {modules(guest)['9pnet_virtio']}")
    guest.check("rmmod 9p && rmmod 9pnet_virtio && rmmod 9pnet")
    gone(guest, "9p", "9pnet_virtio", "9pnet")
    # By the alias of the way.
    guest.check("mount -t 9p -o trans=virtio,version=9p2000.L share /mnt/h && cat /mnt/h/hello && umount /mnt/h")


def file_systems(guest):
    """mount(2) of a type that is not there: modprobe loads it by its alias. It stays while it is mounted or open, and can go then."""
    guest.check("mkdir -p /mnt/s /mnt/e /mnt/o && mount -t squashfs /dev/nvme0n1 /mnt/s")
    loaded(guest, "squashfs")
    need(guest.check("cat /mnt/s/hello"), r"^from squashfs$")
    if modules(guest)["squashfs"] < 1:
        raise GuestError("a mounted file system does not use its module")
    refused(guest, "rmmod squashfs", "in use")
    guest.check("mount -t ext4 /dev/vda /mnt/e && echo kept >/mnt/e/kept && mkdir -p /mnt/e/up /mnt/e/work")
    guest.check("mount -t overlay -o lowerdir=/mnt/s,upperdir=/mnt/e/up,workdir=/mnt/e/work overlay /mnt/o && echo new >/mnt/o/new")
    loaded(guest, "ext4", "overlay")
    need(guest.check("cat /mnt/o/hello /mnt/o/new"), r"^from squashfs$", r"^new$")
    refused(guest, "rmmod overlay", "in use")
    hold(guest, 9, "/mnt/s/hello")
    guest.check("umount /mnt/o && umount -l /mnt/s")
    refused(guest, "rmmod squashfs", "in use")
    let_go(guest)
    guest.check("umount /mnt/e && rmmod overlay && rmmod squashfs")
    gone(guest, "overlay", "squashfs")
    if guest.run("grep -qE 'squashfs|overlay' /proc/filesystems")[0] == 0:
        raise GuestError("the types are still there")
    # Files of /sys/fs/ext4 may be open for longer.
    refused(guest, "rmmod ext4", "in use")
    refused(guest, "mount -t nosuchfs none /mnt/s", "No such device")


def again_and_again(guest):
    """Loaded by mounting and unloaded, many times: the memory comes back."""
    no_loss(guest, "mount -t squashfs /dev/nvme0n1 /mnt/s && cat /mnt/s/big >/dev/null && umount /mnt/s && rmmod squashfs")


def schedulers(guest):
    """A scheduler that is a module comes when somebody wants it, and stays while a disk has it."""
    queue = "/sys/block/vda/queue"
    gone(guest, "kyber_iosched")
    before = re.search(r"\[(\S+)\]", guest.check(f"cat {queue}/scheduler")).group(1)
    guest.check(f"echo kyber >{queue}/scheduler")
    loaded(guest, "kyber_iosched")
    need(guest.check(f"cat {queue}/scheduler {queue}/iosched/read_lat_nsec"), r"mq-deadline \[kyber\] none$", r"^2000000$")
    guest.check("dd if=/dev/vda of=/dev/null bs=64k count=64 iflag=direct")
    hold(guest, 9, f"{queue}/iosched/write_lat_nsec")
    refused(guest, "rmmod kyber_iosched", "in use")
    guest.check(f"echo {before} >{queue}/scheduler && rmmod kyber_iosched && ! grep kyber {queue}/scheduler")
    refused(guest, "cat <&9", "No such device")
    let_go(guest)
    refused(guest, f"sh -c 'echo bogus >{queue}/scheduler'", "nvalid argument")
    no_loss(guest, f"echo kyber >{queue}/scheduler && dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct && "
                   f"echo none >{queue}/scheduler && rmmod kyber_iosched")
    guest.check(f"echo {before} >{queue}/scheduler")


def scsi_again(guest):
    """The whole of SCSI, loaded and unloaded many times. udev must not open disks meanwhile; with its queue stopped it would keep the
    events of all rounds, megabytes of them: it does not run."""
    guest.check("udevadm settle --timeout=120 && udevadm control --exit", 150)
    try:
        no_loss(guest, "rmmod sd_mod && rmmod sr_mod && rmmod ahci && rmmod virtio_scsi && rmmod scsi_mod && modprobe sd_mod && modprobe sr_mod && "
                       "modprobe ahci && modprobe virtio_scsi && cat /dev/sda >/dev/null")
    finally:
        udev_runs(guest)
    # What happened meanwhile it was not told.
    guest.check("udevadm trigger --action=add", 60)
    settled(guest, "sda", "sdb", "sr0")


def no_loss(guest, commands):
    """Runs commands many times: the memory comes back."""
    loop = f"i=0; while [ $i -lt %d ]; do {commands} || break; i=$((i+1)); done; echo $i"

    def free():
        text = guest.check("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
        kib = {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))
               for key in ("Slab", "VmallocUsed", "MemFree", "AnonPages", "Shmem", "PageTables")}
        # Programs' memory is theirs: udevd keeps the events of modules that come and go while its queue is stopped.
        kib["MemFree"] += kib["AnonPages"] + kib["Shmem"] + kib["PageTables"]
        return kib

    need(guest.check(loop % 5, 120), r"^5$")
    before = free()
    need(guest.check(loop % ROUNDS, 300), rf"^{ROUNDS}$")
    after = free()
    if before["MemFree"] - after["MemFree"] > 1024 or after["Slab"] - before["Slab"] > 128 or after["VmallocUsed"] - before["VmallocUsed"] > 64:
        raise GuestError(f"memory before {before}, after {after}")


def devices(guest):
    """A node that is known before its module: opening it loads that."""
    # (It would write to a file called /dev/stdout.)
    need(guest.check("/kmod/kmod static-nodes --format=devname -o /tmp/nodes && cat /tmp/nodes"), r"loop loop-control c10:237")
    guest.check("mknod /dev/loop-control c 10 237 && dd if=/dev/zero of=/tmp/image bs=1M count=2 2>/dev/null")
    guest.check("losetup -f /tmp/image && losetup -a")
    loaded(guest, "loop")
    refused(guest, "rmmod loop", "in use")
    # udev looks at the disk, too.
    settled(guest)
    guest.check("losetup -d /dev/loop0")
    settled(guest)
    guest.check("rmmod loop && rm /tmp/image")
    # By its numbers.
    guest.check("mknod /tmp/ram b 1 0 && dd if=/tmp/ram of=/dev/null bs=4096 count=1 2>/dev/null")
    loaded(guest, "brd")
    settled(guest)
    guest.check("rmmod brd && rm /tmp/ram")


def drivers_go(guest):
    """A driver whose disk is open stays; else it goes with its disks, and the alias of the device brings it back."""
    settled(guest)
    hold(guest, 9, "/dev/nvme0n1")
    refused(guest, "rmmod nvme", "in use")
    let_go(guest)
    guest.check("rmmod nvme && [ ! -e /dev/nvme0n1 ]", 60)
    refused(guest, "rmmod virtio", "in use")
    guest.check("rmmod virtio_blk && [ ! -e /dev/vda ] && rmmod virtio_pci && [ ! -e /sys/bus/virtio/devices/virtio0 ]", 60)
    guest.check("rmmod virtio_scsi virtio_rng virtio_console 9pnet_virtio && rmmod virtio && [ ! -e /sys/bus/virtio ]", 60)
    guest.check("udevadm trigger --action=add --subsystem-match=pci", 60)
    settled(guest, *NODES)
    loaded(guest, *FOUND)
    need(guest.check("mount -t ext4 /dev/vda /mnt/e && cat /mnt/e/kept && umount /mnt/e"), r"^kept$")
    settled(guest)
    # The transport may go first: its devices go, and with them their disks.
    guest.check("rmmod virtio_pci && [ ! -e /dev/vda ] && modprobe virtio_pci", 60)
    settled(guest, *NODES)


def healthy(guest):
    """Nothing bad in the log."""
    bad = [line for line in guest.check("dmesg").splitlines() if re.search(r"Oops|BUG|WARNING|possible|hung|lock order|refcount", line)]
    if bad:
        raise GuestError("\n".join(bad[:5]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    with open(os.path.join(top, ".config")) as f:
        if "CONFIG_VIRTIO_BLK=m" not in f.read():
            top = programs.kernel_beside(top, "modular", {}, ["modular.config"])
    report = Report()
    with tempfile.TemporaryDirectory(prefix="chain-") as work:
        ext4, squash, iso, fat, plain, tree = (os.path.join(work, name) for name in ("ext4", "squash", "iso", "fat", "plain", "tree"))
        with open(ext4, "wb") as f:
            f.truncate(32 * MB)
        run("mke2fs", "-q", "-F", "-t", "ext4", ext4)
        os.mkdir(tree)
        with open(os.path.join(tree, "hello"), "w") as f:
            f.write("from squashfs\n")
        with open(os.path.join(tree, "big"), "wb") as f:
            f.write(bytes(range(256)) * 4096)
        run("mksquashfs", tree, squash, "-noappend", "-quiet", "-no-progress", "-comp", "gzip")
        run("genisoimage", "-quiet", "-R", "-o", iso, tree)
        for name in (fat, plain):
            with open(name, "wb") as f:
                f.truncate(16 * MB)
        run("mkfs.vfat", fat)
        cpio = image.base()
        root = os.path.join(work, "root")
        install(root, os.path.abspath(top))
        for top_dir, _, names in os.walk(root):
            inside = os.path.relpath(top_dir, root)
            if inside != ".":
                cpio.dir(inside)
            for name in names:
                cpio.file(os.path.join(inside, name), src=os.path.join(top_dir, name), mode=0o644)
        kmod(cpio)
        cpio.slink("sbin/modprobe", "/kmod/kmod")
        udev(cpio)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        extra = ["-device", "pci-testdev"]
        for name, path, device in (("a", ext4, "virtio-blk-pci"), ("b", squash, "nvme,serial=rideau")):
            extra += ["-drive", f"file={path},if=none,id={name},format=raw", "-device", f"{device},drive={name}"]
        extra += ["-drive", f"file={fat},if=none,id=f,format=raw", "-device", "ide-hd,drive=f,bus=ide.0"]
        extra += ["-drive", f"file={iso},if=none,id=i,format=raw,media=cdrom", "-device", "ide-cd,drive=i,bus=ide.1"]
        extra += ["-device", "virtio-scsi-pci,id=scsi", "-drive", f"file={plain},if=none,id=p,format=raw", "-device", "scsi-hd,drive=p,bus=scsi.0"]
        extra += ["-fsdev", f"local,id=share,path={tree},security_model=none", "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        extra += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci,id=serial"]
        extra += ["-chardev", "null,id=hvc", "-device", "virtconsole,chardev=hvc,bus=serial.0,nr=1"]
        extra += ["-chardev", "null,id=port", "-device", "virtserialport,chardev=port,bus=serial.0,nr=2"]
        with Guest(os.path.join(top, "vmlinux"), initrd, APPEND, cpus=args.cpus, memory=512, limit=900, log=args.log, extra=extra) as guest:
            guest.expect("@READY@", 90)
            # busybox's shell has applets of these names, which it takes whatever PATH says.
            guest.check("; ".join(f'{tool}() {{ /kmod/{tool} "$@"; }}' for tool in TOOLS))
            tests = [nothing_yet, coldplug, file_systems, again_and_again, schedulers, scsi, scsi_again, generator, clock, keyboard,
                     console, directory, devices, drivers_go, healthy]
            for at, test in enumerate(tests):
                try:
                    test(guest)
                    report.ok(test.__name__)
                except GuestError as error:
                    report.fail(test.__name__, error)
                    if isinstance(error, (GuestTimeout, GuestExit)):
                        # The shell is busy, or gone.
                        for left in tests[at + 1:]:
                            report.fail(left.__name__, "not run")
                        break
                    let_go(guest)
    report.finish()


if __name__ == "__main__":
    main()

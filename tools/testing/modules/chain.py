#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A kernel with the console built in and all else as modules, with Debian's kmod and systemd-udevd: udev loads what the machine has,
the kernel asks for file systems and devices, and what nobody uses can go again.

The kernel is one of `make debug.config samples.config modular.config all`, in KBUILD_OUTPUT.
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
from guest import Guest, GuestError, Report, image, programs  # noqa: E402
from kmod import TOOLS, install, kmod, need  # noqa: E402
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


def nothing_yet(guest):
    """The image has the console and what every kernel has."""
    if modules(guest):
        raise GuestError(f"loaded at boot: {modules(guest)}")
    if guest.run("[ -e /dev/vda ] || [ -e /dev/nvme0n1 ] || grep -qE 'ext4|squashfs|overlay' /proc/filesystems")[0] == 0:
        raise GuestError("there is more than the image should have: " + guest.check("cat /proc/filesystems; ls /dev"))
    need(guest.check("cat /sys/bus/pci/devices/*/modalias"), r"^pci:v00001AF4")


def coldplug(guest):
    """udev finds the devices that are there since the boot, and loads their drivers; these make devices, for which it loads more."""
    guest.check("mkdir -p /run/udev; systemd-udevd --daemon 2>/tmp/udevd.log", 60)
    guest.check("udevadm trigger --action=add && udevadm settle --timeout=120", 150)
    loaded(guest, "virtio_pci", "virtio_blk", "nvme", "rust_testdev")
    guest.check("i=0; while ! { [ -b /dev/vda ] && [ -b /dev/nvme0n1 ]; } && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/vda ] && [ -b /dev/nvme0n1 ]", 60)
    for driver in ("pci/drivers/virtio-pci/0000*", "pci/drivers/nvme/0000*", "virtio/drivers/virtio_blk/virtio0", "pci/drivers/rust_testdev/0000*"):
        guest.check(f"ls -d /sys/bus/{driver}")
    gone(guest, "ext4", "squashfs", "overlay", "loop", "brd", "null_blk")


def file_systems(guest):
    """mount(2) of a type that is not there: modprobe loads it by its alias. It stays while it is mounted or open, and can go then."""
    guest.check("mkdir -p /mnt/s /mnt/e /mnt/o; mount -t squashfs /dev/nvme0n1 /mnt/s")
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
    guest.check("exec 9</mnt/s/hello; umount /mnt/o; umount -l /mnt/s")
    refused(guest, "rmmod squashfs", "in use")
    guest.check("exec 9<&-; umount /mnt/e; rmmod overlay; rmmod squashfs")
    gone(guest, "overlay", "squashfs")
    if guest.run("grep -qE 'squashfs|overlay' /proc/filesystems")[0] == 0:
        raise GuestError("the types are still there")
    # Files of /sys/fs/ext4 may be open for longer.
    refused(guest, "rmmod ext4", "in use")
    refused(guest, "mount -t nosuchfs none /mnt/s", "No such device")


def again_and_again(guest):
    """Loaded by mounting and unloaded, many times: the memory comes back."""
    loop = (f"i=0; while [ $i -lt %d ]; do mount -t squashfs /dev/nvme0n1 /mnt/s && cat /mnt/s/big >/dev/null && umount /mnt/s && rmmod squashfs || break; "
            "i=$((i+1)); done; echo $i")

    def free():
        text = guest.check("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
        return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1)) for key in ("Slab", "VmallocUsed", "MemFree")}

    guest.check(loop % 5, 120)
    before = free()
    need(guest.check(loop % ROUNDS, 300), rf"^{ROUNDS}$")
    after = free()
    if before["MemFree"] - after["MemFree"] > 1024 or after["Slab"] - before["Slab"] > 128 or after["VmallocUsed"] - before["VmallocUsed"] > 64:
        raise GuestError(f"memory before {before}, after {after}")


def devices(guest):
    """A node that is known before its module: opening it loads that."""
    need(guest.check("/kmod/kmod static-nodes --format=devname"), r"loop loop-control c10:237")
    guest.check("mknod /dev/loop-control c 10 237; dd if=/dev/zero of=/tmp/image bs=1M count=2 2>/dev/null")
    guest.check("losetup -f /tmp/image && losetup -a")
    loaded(guest, "loop")
    refused(guest, "rmmod loop", "in use")
    guest.check("losetup -d /dev/loop0 && rmmod loop")


def drivers_go(guest):
    """A driver whose disk is open stays; else it goes with its disks, and the alias of the device brings it back."""
    guest.check("exec 9</dev/nvme0n1")
    refused(guest, "rmmod nvme", "in use")
    guest.check("exec 9<&-; rmmod nvme; [ ! -e /dev/nvme0n1 ]", 60)
    guest.check("rmmod virtio_blk; [ ! -e /dev/vda ]; rmmod virtio_pci; [ ! -e /sys/bus/virtio/devices/virtio0 ]", 60)
    guest.check("udevadm trigger --action=add --subsystem-match=pci && udevadm settle --timeout=120", 150)
    loaded(guest, "virtio_pci", "virtio_blk", "nvme")
    guest.check("i=0; while ! { [ -b /dev/vda ] && [ -b /dev/nvme0n1 ]; } && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; mount -t ext4 /dev/vda /mnt/e", 60)
    need(guest.check("cat /mnt/e/kept; umount /mnt/e"), r"^kept$")
    # The transport may go first: its devices go, and with them their disks.
    guest.check("rmmod virtio_pci; [ ! -e /dev/vda ]; modprobe virtio_pci", 60)
    guest.check("i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/vda ]", 60)


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
            raise SystemExit(f"{top} has no kernel of modular.config")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="chain-") as work:
        ext4, squash, tree = (os.path.join(work, name) for name in ("ext4", "squash", "tree"))
        with open(ext4, "wb") as f:
            f.truncate(32 * MB)
        run("mke2fs", "-q", "-F", "-t", "ext4", ext4)
        os.mkdir(tree)
        with open(os.path.join(tree, "hello"), "w") as f:
            f.write("from squashfs\n")
        with open(os.path.join(tree, "big"), "wb") as f:
            f.write(bytes(range(256)) * 4096)
        run("mksquashfs", tree, squash, "-noappend", "-quiet", "-no-progress", "-comp", "gzip")
        cpio = image.base()
        root = os.path.join(work, "root")
        install(root, os.path.abspath(top))
        for directory, _, names in os.walk(root):
            inside = os.path.relpath(directory, root)
            if inside != ".":
                cpio.dir(inside)
            for name in names:
                cpio.file(os.path.join(inside, name), src=os.path.join(directory, name), mode=0o644)
        kmod(cpio)
        cpio.slink("sbin/modprobe", "/kmod/kmod")
        udev(cpio)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        extra = ["-device", "pci-testdev"]
        for name, path, device in (("a", ext4, "virtio-blk-pci"), ("b", squash, "nvme,serial=rideau")):
            extra += ["-drive", f"file={path},if=none,id={name},format=raw", "-device", f"{device},drive={name}"]
        with Guest(os.path.join(top, "vmlinux"), initrd, APPEND, cpus=args.cpus, memory=512, limit=900, log=args.log, extra=extra) as guest:
            guest.expect("@READY@", 90)
            # busybox's shell has applets of these names, which it takes whatever PATH says.
            guest.check("; ".join(f'{tool}() {{ /kmod/{tool} "$@"; }}' for tool in TOOLS))
            for test in (nothing_yet, coldplug, file_systems, again_and_again, devices, drivers_go, healthy):
                try:
                    test(guest)
                    report.ok(test.__name__)
                except GuestError as error:
                    report.fail(test.__name__, error)
    report.finish()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The device model's own: drivers that probe beside others (`driver_async_probe=`, `async_probe`), and drivers that are told of the end: disks
with caches write them when the machine goes down.

Each way to go down is a boot of its own. `--linux` runs Debian's kernel, with its own words.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need  # noqa: E402

DRIVERS = ["nvme_core", "nvme", "scsi_common", "scsi_mod", "virtio_scsi", "crc_t10dif", "sd_mod"]


def disks(args, guest):
    """All is there when the first program runs, whoever probed it."""
    nodes = guest.check("i=0; while ! [ -e /dev/sda -a -e /dev/nvme0n1 ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; echo $i; ls -1 /dev/sda /dev/nvme0n1")
    need(nodes, r"^/dev/nvme0n1$", r"^/dev/sda$")
    if not args.linux:
        need(nodes, r"^0$")
        need(guest.check("ls -1 /sys/bus/pci/drivers/nvme /sys/bus/scsi/drivers/sd"), r"^0000:", r"^\d+:\d+:\d+:\d+$")


def deferred(args, guest):
    """Nobody waits for another one's driver."""
    guest.check("mount -t debugfs none /sys/kernel/debug && [ -f /sys/kernel/debug/devices_deferred ] && ! grep . /sys/kernel/debug/devices_deferred; "
                "s=$?; umount /sys/kernel/debug; [ $s = 0 ]")


def parameter(args, guest):
    """The default of modules."""
    where = "/sys/module/module/parameters/async_probe"
    guest.check(f"[ $(cat {where}) = N ] && echo 1 >{where} && [ $(cat {where}) = Y ] && echo N >{where} && [ $(cat {where}) = N ]")
    if "nvalid" not in guest.run(f"sh -c 'echo perhaps >{where}' 2>&1")[1]:
        raise GuestError("neither yes nor no is taken")


def end(args, path, extra, command, report):
    """The machine goes down by this command: the disks are told first."""
    with report.attempt(command):
        with common.machine(args, path, extra) as guest:
            guest.check("dd if=/dev/zero of=/dev/sda bs=64k count=16 2>/dev/null && dd if=/dev/zero of=/dev/nvme0n1 bs=64k count=16 2>/dev/null")
            guest.send(command + "\n")
            guest.expect(r"\[sda\] Synchronizing SCSI cache", 60)
            if "halt" not in command:
                guest.wait(60)
            # QEMU's own line of the event.
            guest.expect(r"pci_nvme_mmio_shutdown_set", 30)
            if "shutdown incomplete" in guest.text:
                raise GuestError(guest.text[-2000:])


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="model-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path, drivers=DRIVERS)
        extra = ["-device", "virtio-scsi-pci,id=scsi", "-trace", "enable=pci_nvme_mmio_shutdown_set"]
        for name, device in (("a", "scsi-hd,bus=scsi.0"), ("b", "nvme,serial=rideau")):
            disk = os.path.join(work, name)
            with open(disk, "wb") as f:
                f.truncate(16 << 20)
            extra += ["-drive", f"file={disk},if=none,id={name},format=raw", "-device", f"{device},drive={name}"]
        for names in ("nvme,sd", "*", "*,nvme"):
            with common.machine(args, path, extra, common.APPEND + f" driver_async_probe={names}") as guest:
                print(f"        driver_async_probe={names}", flush=True)
                # Debian's kernel is older than that parameter.
                common.run(args, report, guest, (disks,) if args.linux else (disks, deferred, parameter))
        for command in ("poweroff -f", "reboot -f", "halt -f"):
            end(args, path, extra, command, report)
    report.finish()


if __name__ == "__main__":
    main()

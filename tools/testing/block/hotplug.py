#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Cards that come to and go from slots of PCI Express ports while the system runs: disks of virtio-blk and NVMe, and a virtio device.

QEMU's monitor plugs them in and asks for them back by the slot's button, which gives the guest five seconds; the guest's
`/sys/bus/pci/slots/*/power` switches them off. Disks idle, mounted and in use; many times, without a loss of memory.
Run after `make bzImage`; `--kernel` names another kernel.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import APPEND, MB, Bench, sha, want  # noqa: E402
from guest import Guest, GuestError, Report, programs  # noqa: E402
from unbind import healthy, make_ext4, no_leak  # noqa: E402

ROUNDS = 8
# Native hot-plug: else QEMU's firmware tables say that ACPI does it, and ports hide what they can.
MACHINE = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
           "-device", "pcie-root-port,id=rp1,chassis=1,slot=1", "-device", "pcie-root-port,id=rp2,chassis=2,slot=2"]
# Name: QEMU's device, the disk in the guest, the driver of the function.
CARDS = {
    "virtio-blk": ("virtio-blk-pci", "vda", "virtio-pci"),
    "nvme": ("nvme", "nvme0n1", "nvme"),
}


class Slots(Guest):
    """A guest with two slots, and images that cards may have."""

    def __init__(self, bench, images, extra=(), cpus=2, limit=280):
        nodes = []
        for n, path in enumerate(images):
            nodes += ["-blockdev", f"driver=raw,node-name=n{n},file.driver=file,file.filename={path}"]
        super().__init__(bench.kernel, bench.initrd, APPEND, machine="q35", cpus=cpus, limit=limit, memory=256,
                         extra=[*nodes, *MACHINE, *extra])
        self.expect("@READY@", 120)

    def plug(self, kind, bus="rp1", node="n0", ident="card"):
        arguments = {"driver": kind, "bus": bus, "id": ident}
        if node:
            arguments["drive"] = node
        if kind == "nvme":
            arguments["serial"] = "rideau"
        for left in range(50, -1, -1):
            try:
                return self.qmp("device_add", **arguments)
            except GuestError as error:
                # A card that is gone for the guest holds its image until QEMU's threads are through with it.
                if "Permission conflict" not in str(error) or not left:
                    raise
                time.sleep(0.1)

    def has_card(self, ident="card"):
        return any(entry["name"] == ident for entry in self.qmp("qom-list", path="/machine/peripheral"))

    def unplug(self, ident="card"):
        """Presses the button, and waits until the guest has given the card back."""
        self.qmp("device_del", id=ident)
        self.wait_gone(ident)

    def wait_gone(self, ident="card"):
        for _ in range(300):
            if not self.has_card(ident):
                return
            time.sleep(0.1)
        raise GuestError(f"the guest does not give {ident} back: {self.check('dmesg | tail -5')}")

    def until(self, condition, what):
        if self.run(f"i=0; while ! {{ {condition}; }} && [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; {condition}", 90)[0]:
            raise GuestError(f"{what}: {self.check('dmesg | tail -8')}")


def slot(guest, number):
    """`power adapter` of a slot."""
    return guest.check(f"cd /sys/bus/pci/slots/{number}; echo $(cat power adapter); cd /").strip()


def comes_and_goes(bench, kind):
    """The card's disk comes with its data, under its port, with events; what was written is on it when it went."""
    device, disk, driver = CARDS[kind]
    data = random.Random(1).randbytes(4 * MB)
    path = bench.disk("data", data)
    with Slots(bench, [path]) as guest:
        want("slots", guest.check("ls /sys/bus/pci/slots").split(), ["1", "2"])
        want("empty", slot(guest, 1), "0 0")
        guest.check("(uevent sh -c 'echo $ACTION $SUBSYSTEM $DEVPATH >>/tmp/events') >/dev/null 2>&1 & sleep 1")
        guest.plug(device)
        guest.until(f"[ -b /dev/{disk} ]", "no disk")
        want("full", slot(guest, 1), "1 1")
        want("read", guest.check(f"dd if=/dev/{disk} bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        home = guest.check(f"readlink -f /sys/block/{disk}").strip()
        if not re.search(r"/pci0000:00/0000:00:[0-9a-f.]+/0000:[0-9a-f]{2}:00\.0/", home):
            raise GuestError(f"the disk is at {home}")
        address = re.search(r"0000:(?!00)[0-9a-f]{2}:00\.0", home).group()
        want("driver", guest.check(f"basename $(readlink /sys/bus/pci/devices/{address}/driver)").strip(), driver)
        want("address", address.rsplit(".", 1)[0], guest.check("cat /sys/bus/pci/slots/1/address").strip())
        guest.check(f"dd if=/dev/urandom of=/dev/{disk} bs=64k count=4 conv=notrunc 2>/dev/null")
        digest = guest.check(f"dd if=/dev/{disk} bs=64k count=4 2>/dev/null | sha256sum").split()[0]
        guest.unplug()
        guest.until(f"[ ! -e /dev/{disk} ] && [ ! -e /sys/bus/pci/devices/{address} ]", "the disk is still there")
        guest.until("[ \"$(cat /sys/bus/pci/slots/1/power)\" = 0 ]", "the slot is on")
        events = guest.check("cat /tmp/events")
        for event in (f"add pci {home.split('/virtio')[0].split('/nvme')[0].split('/block')[0][4:]}", f"add block {home[4:]}", f"remove block {home[4:]}", "remove pci "):
            if event not in events:
                raise GuestError(f"no event {event!r} in {events}")
        healthy(guest)
    with open(path, "rb") as f:
        want("written", sha(f.read(256 << 10)), digest)


def other_devices(bench):
    """A device without a driver for its kind; two slots at once; the same slot with another card; a card that was there from the start."""
    path = bench.disk("other", bytes(4 * MB))
    with Slots(bench, [path], extra=["-device", "virtio-rng-pci,bus=rp2,id=first"]) as guest:
        want("full from the start", slot(guest, 2), "1 1")
        guest.plug("virtio-rng-pci", node=None)
        guest.until("[ -e /sys/bus/virtio/devices/virtio1 ]", "no second virtio device")
        guest.unplug("first")
        guest.until("[ ! -e /sys/bus/virtio/devices/virtio0 ]", "the first is still there")
        guest.plug("nvme", bus="rp2", ident="second")
        guest.until("[ -b /dev/nvme0n1 ]", "no disk")
        guest.unplug()
        guest.unplug("second")
        guest.until("[ ! -e /dev/nvme0n1 ]", "the disk is still there")
        guest.plug("virtio-blk-pci")
        guest.until("[ -b /dev/vda ]", "no disk in a slot that had another card")
        guest.check("echo 0 >/sys/bus/pci/slots/1/power", 60)
        if guest.run("[ -e /dev/vda ]")[0] == 0:
            raise GuestError("switched off, but the disk is there")
        # Without power QEMU takes the card away.
        guest.wait_gone()
        for value in ("0", "1", "7"):
            if guest.run(f"echo {value} >/sys/bus/pci/slots/1/power")[0] == 0:
                raise GuestError(f"{value} was taken")
        healthy(guest)


def in_use(bench, kind):
    """Transfers on their way end, with errors when the card is gone; a file system that was mounted gets EIO and can be unmounted."""
    device, disk, _ = CARDS[kind]
    busy, ext4 = bench.disk("busy", bytes(16 * MB)), bench.disk("ext4", bytes(32 * MB))
    make_ext4(ext4)
    with Slots(bench, [busy, ext4], cpus=4) as guest:
        guest.plug(device)
        guest.until(f"[ -b /dev/{disk} ]", "no disk")
        for k, command in enumerate((f"dd if=/dev/{disk} of=/dev/null bs=4k iflag=direct", f"dd if=/dev/zero of=/dev/{disk} bs=64k conv=notrunc,fsync",
                                     f"dd if=/dev/zero of=/dev/{disk} bs=64k oflag=direct conv=notrunc")):
            guest.check(f"(while [ -b /dev/{disk} ] && {command} 2>/dev/null; do :; done; echo $? >/tmp/end.{k}) & true")
        guest.unplug()
        guest.until("[ $(ls /tmp/end.* 2>/dev/null | wc -l) = 3 ]", "a transfer hangs")
        guest.plug(device, node="n1")
        guest.until(f"[ -b /dev/{disk} ]", "no second disk")
        guest.check(f"mount -t ext4 /dev/{disk} /mnt && echo kept >/mnt/kept && sync && dd if=/dev/zero of=/mnt/file bs=1M count=4 2>/dev/null && sync; echo 1 >/proc/sys/vm/drop_caches")
        guest.unplug()
        if guest.run("dd if=/mnt/file of=/dev/null bs=1M 2>&1")[0] == 0:
            raise GuestError("read from a card that is gone")
        guest.check("umount /mnt", 60)
        guest.check("sleep 1")
        guest.plug(device, node="n1")
        guest.until(f"[ -b /dev/{disk} ]", "no disk after the first was unmounted")
        want("kept", guest.check(f"mount -t ext4 /dev/{disk} /mnt && cat /mnt/kept && umount /mnt").strip(), "kept")
        healthy(guest)


def many_times(bench):
    """Both kinds of disks, in both slots: no memory is lost."""
    paths = [bench.disk(f"many{n}", random.Random(n).randbytes(2 * MB)) for n in range(2)]
    with Slots(bench, paths, limit=900) as guest:
        def rounds(count):
            for _ in range(count):
                guest.plug("virtio-blk-pci", "rp1", "n0", "a")
                guest.plug("nvme", "rp2", "n1", "b")
                for disk in ("vda", "nvme0n1"):
                    guest.until(f"[ -b /dev/{disk} ]", f"no {disk}")
                    guest.check(f"dd if=/dev/{disk} of=/dev/null bs=64k 2>/dev/null; dd if=/dev/zero of=/dev/{disk} bs=4k count=1 conv=notrunc 2>/dev/null")
                for ident in "ab":
                    guest.qmp("device_del", id=ident)
                for ident in "ab":
                    guest.wait_gone(ident)
                guest.until("[ ! -e /dev/vda ] && [ ! -e /dev/nvme0n1 ] && [ \"$(cat /sys/bus/pci/slots/*/power | tr -d '\\n')\" = 00 ]", "a disk is still there")
        no_leak(guest, rounds, ROUNDS)
        healthy(guest)


TESTS = {
    "virtio-blk": lambda bench: comes_and_goes(bench, "virtio-blk"),
    "nvme": lambda bench: comes_and_goes(bench, "nvme"),
    "virtio-blk-in-use": lambda bench: in_use(bench, "virtio-blk"),
    "nvme-in-use": lambda bench: in_use(bench, "nvme"),
    "others": other_devices,
    "many": many_times,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # The BIOS numbers the buses behind the ports, and leaves room there for cards.
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="hotplug-") as work:
        bench = Bench(args.kernel, work)
        for name in args.tests:
            with report.attempt(name):
                TESTS[name](bench)
    report.finish()


if __name__ == "__main__":
    main()

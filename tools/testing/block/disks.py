#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Disks of virtio-blk on every machine and transport: what the host wrote is read, what the guest wrote is on the host, partition tables
are found, a disk that grows is seen, flushes reach the host, errors come back as errno.

Run after `make vmlinux`; `--kernel` names another kernel, `--linux` runs Debian's.
"""

import argparse
import hashlib
import os
import random
import struct
import sys
import tempfile
import uuid
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
MB = 1 << 20
# Name, machine, CPUs, the device (DRIVE stands for the drive's name).
ROWS = [
    ("pc-1", "pc", 1, "virtio-blk-pci,drive=DRIVE"),
    ("q35-4", "q35", 4, "virtio-blk-pci,drive=DRIVE"),
    ("microvm-2", "microvm", 2, "virtio-blk-device,drive=DRIVE"),
    ("cmdline", "microvm,acpi=off", 2, "virtio-blk-device,drive=DRIVE"),
    ("legacy", "pc", 2, "virtio-blk-pci,drive=DRIVE,disable-modern=on"),
    ("intx", "q35", 2, "virtio-blk-pci,drive=DRIVE,vectors=0"),
    ("shared", "q35", 2, "virtio-blk-pci,drive=DRIVE,vectors=2"),
    ("plain", "q35", 2, "virtio-blk-pci,drive=DRIVE,event_idx=off,indirect_desc=off"),
    ("packed", "q35", 2, "virtio-blk-pci,drive=DRIVE,packed=on,num-queues=2"),
    ("packed-plain", "pc", 1, "virtio-blk-pci,drive=DRIVE,packed=on,event_idx=off,indirect_desc=off"),
    ("packed-small", "q35", 4, "virtio-blk-pci,drive=DRIVE,packed=on,indirect_desc=off,queue-size=16,num-queues=1,seg-max-adjust=on"),
    ("packed-mmio", "microvm", 2, "virtio-blk-device,drive=DRIVE,packed=on"),
    ("4k", "q35", 1, "virtio-blk-pci,drive=DRIVE,logical_block_size=4096,physical_block_size=4096"),
]
SHORT = ("pc-1", "q35-4", "microvm-2")


def msdos(size):
    """An MBR with a primary and two logical partitions."""
    disk = bytearray(size)

    def entry(sector, slot, kind, start, count):
        struct.pack_into("<B3sB3sII", disk, sector * 512 + 446 + 16 * slot, 0, b"", kind, b"", start, count)
        disk[sector * 512 + 510:sector * 512 + 512] = b"\x55\xaa"
    entry(0, 0, 0x83, 2048, 4096)
    entry(0, 1, 0x05, 8192, 16384)
    entry(8192, 0, 0x83, 2048, 1024)
    entry(8192, 1, 0x05, 8192, 4096)
    entry(16384, 0, 0x83, 2048, 512)
    return disk, {"1": (2048, 4096), "2": (8192, 2), "5": (10240, 1024), "6": (18432, 512)}


def gpt(size, unit):
    """A GPT with two partitions, in blocks of `unit` bytes."""
    disk, last = bytearray(size), size // unit - 1
    struct.pack_into("<B3sB3sII", disk, 446, 0, b"", 0xEE, b"", 1, last)
    disk[510:512] = b"\x55\xaa"
    parts = {1: (256, 511), 4: (1024, last - 100)}
    array = bytearray(128 * 128)
    for number, (first, end) in parts.items():
        struct.pack_into("<16s16sQQQ72s", array, (number - 1) * 128, uuid.UUID(int=7).bytes_le, uuid.UUID(int=number).bytes_le,
                         first, end, 0, f"part {number}".encode("utf-16-le"))
    blocks = len(array) // unit
    for lba, other, place in ((1, last, 2), (last, 1, last - blocks)):
        def header(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, lba, other, 2 + blocks, last - blocks - 1,
                               uuid.UUID(int=9).bytes_le, place, 128, 128, zlib.crc32(array))
        disk[lba * unit:lba * unit + 92] = header(zlib.crc32(header(0)))
        disk[place * unit:place * unit + len(array)] = array
    return disk, {str(n): (a * unit // 512, (b - a + 1) * unit // 512) for n, (a, b) in parts.items()}


class Bench:
    """Kernel, initramfs and a place for disks."""

    def __init__(self, kernel, top):
        self.kernel, self.top = kernel, top
        self.initrd = os.path.join(top, "initrd")
        image.base().write(self.initrd)

    def disk(self, name, data):
        path = os.path.join(self.top, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def boot(self, machine, cpus, drives, limit=240, memory=256):
        """A guest with `drives`: (what -drive names, device)."""
        extra = []
        for n, (drive, device) in enumerate(drives):
            extra += ["-drive", f"if=none,id=d{n},{drive}", "-device", device.replace("DRIVE", f"d{n}")]
            if device.startswith("virtio-blk-device") and "packed" in device:
                # Legacy devices have no packed rings.
                extra += ["-global", "virtio-mmio.force-legacy=false"]
        guest = Guest(self.kernel, self.initrd, APPEND, machine=machine, cpus=cpus, limit=limit, memory=memory, extra=extra)
        guest.expect("@READY@", 120)
        return guest


def sha(data):
    """SHA-256 as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


def want(name, found, wanted):
    """GuestError unless both are the same."""
    if found != wanted:
        raise GuestError(f"{name}: {found!r}, not {wanted!r}")


def both_ways(bench, machine, cpus, device):
    """The whole disk is read; parts of it are written; partitions of it too."""
    data = random.Random(1).randbytes(8 * MB)
    path = bench.disk("data", data)
    unit = 4096 if "4096" in device else 512
    table, parts = gpt(16 * MB, unit)
    other = bench.disk("table", table)
    with bench.boot(machine, cpus, [(f"file={path},format=raw", device), (f"file={other},format=raw", device)]) as guest:
        # microvm numbers its transports from the last.
        a, b = ("vda", "vdb") if guest.check("cat /sys/block/vda/size").strip() == str(16384) else ("vdb", "vda")
        # Indirect descriptors, event index, packed rings: bits 28, 29 and 34.
        agreed = f"{int('indirect_desc=off' not in device)}{int('event_idx=off' not in device)}{int('packed=on' in device)}"
        want("features", guest.check(f"cut -c29,30,35 /sys/block/{a}/device/features").strip(), agreed)
        want("size", guest.check(f"cat /sys/block/{a}/size").strip(), str(len(data) // 512))
        want("read", guest.check(f"dd if=/dev/{a} bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        want("tail", guest.check(f"dd if=/dev/{a} bs=4k skip=2047 2>/dev/null | sha256sum").split()[0], sha(data[-4096:]))
        # In turn from all CPUs, at odd places and sizes.
        guest.check("dd if=/dev/urandom of=/tmp/new bs=1k count=1500 2>/dev/null")
        digest = guest.check("sha256sum < /tmp/new").split()[0]
        guest.check(f"for i in 0 1 2 3; do dd if=/tmp/new of=/dev/{a} bs=3k count=500 seek=$((i*600)) conv=notrunc 2>/dev/null & done; wait")
        guest.check(f"dd if=/tmp/new of=/dev/{a} bs=512 seek=15000 count=1 2>/dev/null; sync")
        lines = {line.split()[3]: int(line.split()[2]) for line in guest.check("cat /proc/partitions").splitlines()[2:]}
        for number, (_, count) in parts.items():
            want(f"partition {number}", lines.get(b + number), count // 2)
            want("start", guest.check(f"cat /sys/class/block/{b}{number}/start").strip(), str(parts[number][0]))
        guest.check(f"dd if=/tmp/new of=/dev/{b}1 bs=4k count=10 2>/dev/null; sync")
        stat = guest.check(f"grep ' {a} ' /proc/diskstats").split()
        if int(stat[5]) < 2 * len(data) // 1024 or int(stat[9]) < 6000 * 3 // 3:
            raise GuestError(f"diskstats: {stat}")
        guest.check(f"dd if=/dev/{a} bs=512 skip=15000 count=1 2>/dev/null | cmp -n 512 - /tmp/new")
    with open(path, "rb") as f:
        after = f.read()
    for i in range(4):
        want(f"write {i}", sha(after[i * 600 * 3072:][:1500 * 1024]), digest)
    expected = bytearray(data)
    for i in range(4):
        expected[i * 600 * 3072:i * 600 * 3072 + 1500 * 1024] = after[:1500 * 1024]
    expected[15000 * 512:15001 * 512] = after[:512]
    want("all of the disk", sha(after), sha(bytes(expected)))
    with open(other, "rb") as f:
        f.seek(parts["1"][0] * 512)
        want("partition", sha(f.read(40960)), sha(after[:40960]))


def tables(bench):
    """MBR with logical partitions; a table written by the guest is read again; requests of programs."""
    disk, parts = msdos(16 * MB)
    path = bench.disk("msdos", disk)
    with bench.boot("q35", 2, [(f"file={path},format=raw", "virtio-blk-pci,drive=DRIVE,serial=SN-123")]) as guest:
        for number, (start, count) in parts.items():
            want(number, guest.check(f"cat /sys/block/vda/vda{number}/start /sys/block/vda/vda{number}/size").split(), [str(start), str(count)])
        want("serial", guest.check("cat /sys/block/vda/serial").strip(), "SN-123")
        want("size64", guest.check("blockdev --getsize64 /dev/vda5").strip(), str(1024 * 512))
        want("block size", guest.check("blockdev --getss /dev/vda").strip(), "512")
        want("agreed size at first", guest.check("blockdev --getbsz /dev/vda").strip(), "4096")
        guest.check("exec 8</dev/vda; blockdev --setbsz 1024 /dev/vda")
        want("agreed size", guest.check("blockdev --getbsz /dev/vda").strip(), "1024")
        if guest.run("blockdev --setbsz 256 /dev/vda")[0] == 0:
            raise GuestError("blocks smaller than sectors were taken")
        guest.check("exec 8<&-")
        want("agreed size when it was closed", guest.check("blockdev --getbsz /dev/vda").strip(), "4096")
        guest.check("dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null; blockdev --rereadpt /dev/vda")
        want("no table", guest.check("ls /dev/ | grep vda").split(), ["vda"])
        guest.check("printf 'n\\np\\n1\\n\\n+2M\\nw\\n' | fdisk /dev/vda >/dev/null 2>&1; blockdev --rereadpt /dev/vda")
        want("new table", guest.check("ls /dev/ | grep vda").split(), ["vda", "vda1"])
        guest.check("exec 9</dev/vda1")
        if guest.run("blockdev --rereadpt /dev/vda")[0] == 0:
            raise GuestError("the table of a disk in use was read again")
        guest.check("exec 9<&-; blockdev --setro /dev/vda1")
        if guest.run("dd if=/dev/zero of=/dev/vda1 bs=512 count=1 2>/dev/null")[0] == 0:
            raise GuestError("a read-only partition was written")


def grows(bench):
    """The host makes the disk larger."""
    path = bench.disk("grow", bytes(8 * MB))
    with bench.boot("q35", 2, [(f"file={path},format=raw", "virtio-blk-pci,drive=DRIVE")]) as guest:
        guest.qmp("block_resize", device="d0", size=24 * MB)
        guest.check("i=0; while [ $(cat /sys/block/vda/size) != 49152 ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ $i -lt 100 ]", 60)
        guest.check("dd if=/dev/zero of=/dev/vda bs=1M seek=23 count=1 2>/dev/null")
        if guest.run("dd if=/dev/zero of=/dev/vda bs=1M seek=24 count=1 2>/dev/null")[0] == 0:
            raise GuestError("beyond the end was written")


def flushes(bench):
    """fsync is a flush on the host; a disk without a cache needs none."""
    path = bench.disk("flush", bytes(4 * MB))
    drives = [(f"file={path},format=raw,cache={mode}", "virtio-blk-pci,drive=DRIVE") for mode in ("writeback",)]
    with bench.boot("q35", 1, drives) as guest:
        want("cache", guest.check("cat /sys/block/vda/queue/write_cache").strip(), "write back")

        def count():
            return guest.qmp("query-blockstats")[0]["stats"]["flush_operations"]
        before = count()
        guest.check("dd if=/dev/zero of=/dev/vda bs=4k count=8 conv=fsync 2>/dev/null")
        if count() <= before:
            raise GuestError("fsync sent no flush")
        guest.check("echo 'write through' >/sys/block/vda/queue/write_cache")
        before = count()
        guest.check("dd if=/dev/zero of=/dev/vda bs=4k count=8 conv=fsync 2>/dev/null")
        want("flushes", count(), before)


def errors(bench):
    """Errors of the host's disk end in EIO, and the disk goes on."""
    path = bench.disk("bad", random.Random(2).randbytes(4 * MB))
    rules = bench.disk("rules", b'[inject-error]\nevent = "read_aio"\nsector = "4096"\nerrno = "5"\nonce = "off"\n')
    drive = f"file=blkdebug:{rules}:{path},format=raw,rerror=report,werror=report"
    with bench.boot("q35", 2, [(drive, "virtio-blk-pci,drive=DRIVE")]) as guest:
        status, text = guest.run("dd if=/dev/vda of=/dev/null bs=512 skip=4096 count=1 2>&1")
        if status == 0 or "Input/output error" not in text:
            raise GuestError(f"{status}: {text}")
        guest.check("dd if=/dev/vda of=/dev/null bs=512 count=4000 2>/dev/null")
        guest.check("dd if=/dev/zero of=/dev/vda bs=4k count=4 2>/dev/null")


def read_only(bench):
    """A disk that cannot be written says so."""
    path = bench.disk("ro", bytes(MB))
    with bench.boot("q35", 1, [(f"file={path},format=raw,readonly=on", "virtio-blk-pci,drive=DRIVE")]) as guest:
        want("ro", guest.check("cat /sys/block/vda/ro; blockdev --getro /dev/vda").split(), ["1", "1"])
        if guest.run("dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null")[0] == 0:
            raise GuestError("it was written")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default=os.path.join(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE, "vmlinux"))
    parser.add_argument("--full", action="store_true", help="every row")
    parser.add_argument("only", nargs="*", help="names of tests")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="disks-") as top:
        bench = Bench(args.kernel, top)
        tests = [(f"disk {name}", lambda row=row: both_ways(bench, *row)) for name, *row in ROWS if args.full or name in SHORT or name in args.only]
        tests += [(test.__name__, lambda test=test: test(bench)) for test in (tables, grows, flushes, errors, read_only)]
        for name, test in tests:
            if args.only and name.split()[-1] not in args.only:
                continue
            with report.attempt(name):
                test()
    report.finish()


if __name__ == "__main__":
    main()

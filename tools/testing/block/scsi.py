#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""SCSI disks behind virtio-scsi and AHCI: read, written and verified through the host, partitions, discard, units that come, go and
grow, media errors, commands that take too long, CDs, SG_IO with Debian's sg3-utils, drivers unbound and bound again.

Run after `make bzImage`; `--kernel` names another kernel. Tests are named `ADAPTER-TEST`.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import APPEND, MB, Bench, gpt, msdos, sha, want  # noqa: E402
from fio import LIB, add_fio, fio  # noqa: E402
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from unbind import healthy, make_ext4, no_leak  # noqa: E402

# Adapter: what QEMU needs beside the disks, the disk, the CD, the driver above which is unbound, its bus.
ADAPTERS = {
    "virtio": (["-device", "virtio-scsi-pci,id=scsi,addr=8"], "scsi-hd,bus=scsi.0,drive=DRIVE", "scsi-cd,bus=scsi.0,drive=DRIVE",
               "virtio/drivers/virtio_scsi"),
    "packed": (["-device", "virtio-scsi-pci,id=scsi,addr=8,packed=on"], "scsi-hd,bus=scsi.0,drive=DRIVE", "scsi-cd,bus=scsi.0,drive=DRIVE",
               "virtio/drivers/virtio_scsi"),
    "ahci": (["-device", "ahci,id=sata,addr=8"], "ide-hd,bus=sata.PORT,drive=DRIVE", "ide-cd,bus=sata.PORT,drive=DRIVE",
             "pci/drivers/ahci"),
}


# Disks plugged in and out while memory is watched.
ROUNDS = 8


class Adapter:
    """An adapter, and guests that have it."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.extra, self.disk, self.cd, self.driver = ADAPTERS[name]

    def boot(self, drives, cpus=2, extra=(), limit=280):
        """A guest with `drives`: (what -drive names, "disk" or "cd", further properties)."""
        line = [*self.extra, *extra]
        for n, (drive, kind, more) in enumerate(drives):
            device = (self.disk if kind == "disk" else self.cd).replace("DRIVE", f"d{n}").replace("PORT", str(n))
            line += ["-drive", f"if=none,id=d{n},{drive}", "-device", f"{device},id=dev{n}{more}"]
        return self.bench.guest(line, cpus, limit)


class ScsiBench(Bench):
    """A bench whose guests take any arguments."""

    def guest(self, line, cpus, limit):
        guest = Guest(self.kernel, self.initrd, APPEND, machine="q35", cpus=cpus, limit=limit, memory=384, extra=line)
        guest.expect("@READY@", 120)
        return guest


def until(guest, condition, what):
    """Waits in the guest for a condition of its shell."""
    if guest.run(f"i=0; while ! {{ {condition}; }} && [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; {condition}", 90)[0]:
        raise GuestError(f"{what}: {guest.check('dmesg | tail -8')}")


def both_ways(adapter):
    """What the host wrote is read, what the guest wrote is on the host; what /sys says."""
    bench = adapter.bench
    data = random.Random(1).randbytes(8 * MB)
    path = bench.disk("data", data)
    with adapter.boot([(f"file={path},format=raw", "disk", ",serial=rideau1")], cpus=2) as guest:
        want("size", guest.check("cat /sys/block/sda/size").strip(), str(len(data) // 512))
        want("number", guest.check("cat /sys/block/sda/dev").strip(), "8:0")
        want("direct", guest.check("dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | sha256sum").split()[0], sha(data))
        want("buffered", guest.check("dd if=/dev/sda bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        guest.check("dd if=/dev/urandom of=/tmp/new bs=1k count=1500 2>/dev/null")
        digest = guest.check("sha256sum < /tmp/new").split()[0]
        guest.check("for i in 0 1 2 3; do dd if=/tmp/new of=/dev/sda bs=3k count=500 seek=$((i*600)) conv=notrunc 2>/dev/null & done; wait; sync")
        device = "/sys/block/sda/device"
        want("vendor", guest.check(f"cat {device}/vendor").strip(), "QEMU" if adapter.name != "ahci" else "ATA")
        want("model", guest.check(f"cat {device}/model").strip(), "QEMU HARDDISK")
        want("type", guest.check(f"cat {device}/type").strip(), "0")
        want("state", guest.check(f"cat {device}/state").strip(), "running")
        want("subsystem", guest.check(f"readlink {device}/subsystem").split("/")[-1].strip(), "scsi")
        want("driver", guest.check(f"readlink {device}/driver").split("/")[-1].strip(), "sd")
        want("cache", guest.check(f"cat {device}/scsi_disk/*/cache_type").strip(), "write back")
        want("queue", guest.check("cat /sys/block/sda/queue/write_cache").strip(), "write back")
        want("serial page", guest.check(f"tail -c +5 {device}/vpd_pg80").strip(), "rideau1")
        if "rideau1" not in guest.check(f"cat {device}/vpd_pg83 {device}/vpd_pg80 | strings"):
            raise GuestError("the serial number is in no page")
        guest.check("ls /sys/class/scsi_host/host0/proc_name /sys/class/scsi_device/*/device/model /sys/class/scsi_disk/*/device/model "
                    f"/sys/bus/scsi/devices/host0/scsi_host/host0/unique_id {device}/block/sda/size >/dev/null")
        requests, done = (int(guest.check(f"cat {device}/{name}").strip(), 16) for name in ("iorequest_cnt", "iodone_cnt"))
        if requests != done or requests < 20:
            raise GuestError(f"{requests} requests, {done} done")
        want("busy", guest.check(f"cat {device}/device_busy").strip(), "0")
        guest.check(f"echo 1 >{device}/queue_depth; dd if=/dev/sda of=/dev/null bs=4k count=200 iflag=direct 2>&1")
        want("depth", guest.check(f"cat {device}/queue_depth").strip(), "1")
        if guest.run(f"echo 0 >{device}/queue_depth")[0] == 0:
            raise GuestError("a queue without a place was taken")
        healthy(guest)
    with open(path, "rb") as f:
        after = f.read()
    for i in range(4):
        want(f"write {i}", sha(after[i * 600 * 3072:][:1500 * 1024]), digest)


def verify(adapter):
    """fio writes and verifies, synchronously and 32 at a time."""
    path = adapter.bench.disk("fio", bytes(32 * MB))
    with adapter.boot([(f"file={path},format=raw", "disk", "")]) as guest:
        for engine in ("psync", "libaio", "io_uring"):
            read, written = fio(guest, engine, "/dev/sda", ioengine=engine, rw="randwrite", verify="crc32c", verify_fatal="1", direct="1",
                                iodepth="1" if engine == "psync" else "32", bsrange="4k-64k")
            if read < 8 * 1024 or written < 8 * 1024:
                raise GuestError(f"{engine}: {read} KB verified of {written} KB")
        healthy(guest)


def tables(adapter):
    """MBR and GPT; blocks of 4096 bytes where the adapter has them."""
    disk, parts = msdos(16 * MB)
    first = adapter.bench.disk("msdos", disk)
    unit = 4096 if adapter.name != "ahci" else 512
    other, others = gpt(16 * MB, unit)
    second = adapter.bench.disk("gpt", other)
    more = ",logical_block_size=4096,physical_block_size=4096" if unit == 4096 else ""
    with adapter.boot([(f"file={first},format=raw", "disk", ""), (f"file={second},format=raw", "disk", more)]) as guest:
        for name, table in (("sda", parts), ("sdb", others)):
            for number, (start, count) in table.items():
                place = f"/sys/block/{name}/{name}{number}"
                want(name + number, guest.check(f"cat {place}/start {place}/size").split(), [str(start), str(count)])
        want("blocks", guest.check("blockdev --getss /dev/sdb").strip(), str(unit))
        want("numbers", guest.check("cat /sys/class/block/sdb/dev /sys/class/block/sdb1/dev").split(), ["8:16", "8:17"])
        guest.check("dd if=/dev/urandom of=/tmp/new bs=4k count=25 2>/dev/null; dd if=/tmp/new of=/dev/sdb1 bs=4k 2>/dev/null; sync")
        digest = guest.check("sha256sum < /tmp/new").split()[0]
    with open(second, "rb") as f:
        f.seek(others["1"][0] * 512)
        want("partition", sha(f.read(102400)), digest)


def root(adapter):
    """The root file system is on a partition."""
    disk = bytearray(40 * MB)
    disk[446:462] = b"\0\0\0\0\x83\0\0\0" + (2048).to_bytes(4, "little") + (36 * 2048).to_bytes(4, "little")
    disk[510:512] = b"\x55\xaa"
    tree = os.path.join(adapter.bench.top, "tree")
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        os.makedirs(os.path.join(tree, name), exist_ok=True)
    subprocess.run(["cp", debian.busybox(), os.path.join(tree, "bin/busybox")], check=True)
    with open(os.path.join(tree, "init"), "w", encoding="ascii") as f:
        f.write("#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n"
                "while read -r line; do set -- $line; [ $2 = / ] && echo ROOT:$1:$3; done </proc/mounts\n/bin/busybox poweroff -f\n")
    os.chmod(os.path.join(tree, "init"), 0o755)
    part = os.path.join(adapter.bench.top, "part")
    with open(part, "wb") as f:
        f.truncate(36 * MB)
    make_ext4(part)
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    made = subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, part], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode:
        raise GuestError(made.stdout)
    with open(part, "rb") as f:
        disk[MB:MB + 36 * MB] = f.read()
    path = adapter.bench.disk("root", disk)
    device = adapter.disk.replace("DRIVE", "d0").replace("PORT", "0")
    extra = [*adapter.extra, "-drive", f"if=none,id=d0,file={path},format=raw", "-device", device]
    with Guest(adapter.bench.kernel, None, "console=ttyS0 panic=-1 root=/dev/sda1 rw init=/init", machine="q35", cpus=2, limit=200,
               memory=256, extra=extra) as guest:
        guest.expect("ROOT:/dev/(root|sda1):ext4", 120)


def discard(adapter):
    """Discarded blocks read as zeros (QEMU says so), the others are kept; zeroes are written."""
    data = random.Random(2).randbytes(16 * MB)
    path = adapter.bench.disk("data", data)
    with adapter.boot([(f"file={path},format=raw,discard=unmap", "disk", "")]) as guest:
        if int(guest.check("cat /sys/block/sda/queue/discard_max_bytes").strip()) == 0:
            raise GuestError("the disk cannot discard")
        guest.check(f"blkdiscard -o {MB} -l {MB // 2} /dev/sda", 120)
        want("discarded", guest.check("dd if=/dev/sda bs=64k skip=16 count=8 2>/dev/null | sha256sum").split()[0], sha(bytes(MB // 2)))
        want("kept", guest.check("dd if=/dev/sda bs=64k skip=24 count=8 2>/dev/null | sha256sum").split()[0], sha(data[MB + MB // 2:2 * MB]))
        guest.check(f"/usr/local/bin/blkdiscard -z -o {4 * MB} -l {MB} /dev/sda", 120)
        want("zeroed", guest.check("dd if=/dev/sda bs=64k skip=64 count=16 2>/dev/null | sha256sum").split()[0], sha(bytes(MB)))
        want("kept", guest.check("dd if=/dev/sda bs=64k skip=80 count=16 2>/dev/null | sha256sum").split()[0], sha(data[5 * MB:6 * MB]))
        healthy(guest)


def errors(adapter):
    """A block that cannot be read ends in an error; its neighbours are read, and the disk goes on."""
    data = random.Random(3).randbytes(4 * MB)
    path = adapter.bench.disk("bad", data)
    config = os.path.join(adapter.bench.top, "blkdebug")
    with open(config, "w", encoding="ascii") as f:
        f.write('[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "4096"\nonce = "off"\n')
    with adapter.boot([(f"file=blkdebug:{config}:{path},format=raw", "disk", ",rerror=report,werror=report")]) as guest:
        if guest.run("dd if=/dev/sda of=/dev/null bs=512 skip=4096 count=1 iflag=direct 2>/dev/null", 120)[0] == 0:
            raise GuestError("a bad sector was read")
        guest.check("dd if=/dev/sda of=/dev/null bs=512 skip=4097 count=8 iflag=direct 2>/dev/null")
        want("start", guest.check("dd if=/dev/sda bs=64k count=8 2>/dev/null | sha256sum").split()[0], sha(data[:MB // 2]))
        if int(guest.check("cat /sys/block/sda/device/ioerr_cnt").strip(), 16) == 0:
            raise GuestError("no error was counted")
        # Many at a time, one of them bad.
        guest.run("for i in 0 1 2 3 4 5 6 7; do dd if=/dev/sda of=/dev/null bs=4k skip=$((508+i)) count=1 iflag=direct 2>/dev/null & done; wait", 120)
        want("end", guest.check("dd if=/dev/sda bs=64k skip=56 2>/dev/null | sha256sum", 120).split()[0], sha(data[56 * 65536:]))
        healthy(guest)


def slow(adapter):
    """Commands that take longer than the time-out: they are aborted or reset, and sent again."""
    path = adapter.bench.disk("slow", random.Random(4).randbytes(4 * MB))
    with adapter.boot([(f"file={path},format=raw,throttling.bps-total=16384", "disk", "")]) as guest:
        guest.check("echo 2 >/sys/block/sda/device/timeout")
        guest.check("(dd if=/dev/sda of=/tmp/out bs=64k count=8 iflag=direct 2>/tmp/err; echo $? >/tmp/status) & true")
        until(guest, "[ $(($(cat /sys/block/sda/device/iotmo_cnt))) != 0 ]", "no command was late")
        guest.qmp("block_set_io_throttle", device="d0", bps=0, bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)
        until(guest, "[ -e /tmp/status ]", "the reader did not end")
        guest.check("echo 30 >/sys/block/sda/device/timeout")
        guest.check("dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null", 120)
        healthy(guest)


def hotplug(adapter):
    """Disks that come, grow, and go while they are in use; many times, without a loss of memory."""
    bench = adapter.bench
    if adapter.name == "ahci":
        return "QEMU's SATA ports have no hot-plug"
    path = bench.disk("hot", random.Random(5).randbytes(4 * MB))
    nodes = ["-blockdev", f"driver=raw,node-name=hot,file.driver=file,file.filename={path}"]
    with adapter.boot([], extra=nodes) as guest:
        def plug():
            if adapter.name != "ahci":
                guest.qmp("device_add", driver="scsi-hd", bus="scsi.0", drive="hot", id="hot", **{"scsi-id": 3})
            else:
                guest.qmp("device_add", driver="ide-hd", bus="sata.0", drive="hot", id="hot")
            until(guest, "[ -b /dev/sda ]", "the disk does not come")

        def unplug():
            guest.qmp("device_del", id="hot")
            until(guest, "[ ! -e /dev/sda ] && [ ! -e /sys/block/sda ]", "the disk does not go")
            time.sleep(0.5)

        def cycles(count):
            for _ in range(count):
                plug()
                guest.check("dd if=/dev/sda of=/dev/null bs=64k 2>/dev/null")
                unplug()

        no_leak(guest, cycles, ROUNDS)
        plug()
        guest.qmp("block_resize", **{"node-name": "hot", "size": 8 * MB})
        until(guest, "[ $(cat /sys/block/sda/size) = 16384 ]", "the new size is not seen")
        guest.check("(while dd if=/dev/sda of=/dev/null bs=4k iflag=direct 2>/dev/null; do :; done; echo gone >/tmp/gone) & true")
        unplug()
        until(guest, "[ -e /tmp/gone ]", "the reader did not end")
        healthy(guest)


def unbind(adapter):
    """The adapter's driver is unbound and bound again; the disk is there again. A unit is removed and found again."""
    data = random.Random(6).randbytes(4 * MB)
    path = adapter.bench.disk("data", data)
    with adapter.boot([(f"file={path},format=raw", "disk", "")]) as guest:
        way = f"/sys/bus/{adapter.driver}"
        name = guest.check(f"ls {way} | grep -e '^virtio' -e ':08.0$'").strip()
        for n in range(4):
            guest.check(f"printf '%08d' {n} | dd of=/dev/sda bs=8 seek=1 conv=notrunc 2>/dev/null; echo {name} >{way}/unbind", 120)
            if guest.run("[ -e /dev/sda ] || [ -e /sys/block/sda ]")[0] == 0:
                raise GuestError("the disk is still there")
            guest.check(f"echo {name} >{way}/bind", 120)
            until(guest, "[ -b /dev/sda ]", "the disk does not come back")
            want("read", guest.check("dd if=/dev/sda bs=64k 2>/dev/null | sha256sum").split()[0], sha(data[:8] + b"%08d" % n + data[16:]))
        guest.check("echo changed! | dd of=/dev/sda bs=8 conv=notrunc 2>/dev/null; echo 1 >/sys/block/sda/device/delete")
        until(guest, "[ ! -e /dev/sda ]", "a deleted unit stays")
        guest.check("for host in /sys/class/scsi_host/host*; do echo '- - -' >$host/scan; done", 120)
        until(guest, "[ -b /dev/sda ]", "a scan does not find it")
        want("what was dirty", guest.check("head -c 8 /dev/sda").strip(), "changed!")
        guest.check("echo offline >/sys/block/sda/device/state")
        if guest.run("dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null")[0] == 0:
            raise GuestError("a unit that is offline was read")
        guest.check("echo running >/sys/block/sda/device/state; dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null")
        healthy(guest)


def cdrom(adapter):
    """A CD is read, has blocks of 2048 bytes, cannot be written, is ejected and loaded."""
    data = random.Random(7).randbytes(4 * MB)
    path = adapter.bench.disk("cd.iso", data)
    with adapter.boot([(f"file={path},format=raw,media=cdrom,readonly=on", "cd", "")]) as guest:
        want("size", guest.check("cat /sys/block/sr0/size").strip(), str(len(data) // 512))
        want("blocks", guest.check("blockdev --getss /dev/sr0").strip(), "2048")
        want("number", guest.check("cat /sys/block/sr0/dev").strip(), "11:0")
        guest.check("echo offline >/sys/block/sr0/device/state")
        if "No such device or address" not in guest.run("head -c 1 /dev/sr0 2>&1 >/dev/null")[1]:
            raise GuestError("a drive that is offline was opened")
        guest.check("echo running >/sys/block/sr0/device/state; head -c 1 /dev/sr0 >/dev/null")
        want("read", guest.check("dd if=/dev/sr0 bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        want("type", guest.check("cat /sys/block/sr0/device/type").strip(), "5")
        if guest.run("dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 2>/dev/null")[0] == 0:
            raise GuestError("a CD was written")
        guest.check("eject /dev/sr0")
        want("nothing in it", guest.check("cat /sys/block/sr0/size").strip(), "0")
        guest.check("eject -t /dev/sr0")
        want("loaded", guest.check("cat /sys/block/sr0/size").strip(), str(len(data) // 512))
        guest.check("eject /dev/sr0")
        # Who opens it closes the tray.
        want("again", guest.check("dd if=/dev/sr0 bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        guest.check("eject -a on /dev/sr0; dd if=/dev/sr0 of=/dev/null bs=64k count=1 2>/dev/null; eject -a off /dev/sr0")
        want("ejected when it was closed", guest.check("cat /sys/block/sr0/size").strip(), "0")
        guest.check("eject -t /dev/sr0; eject -i on /dev/sr0")
        if guest.run("eject /dev/sr0 2>/dev/null; [ $(cat /sys/block/sr0/size) = 0 ]")[0] != 0:
            raise GuestError("eject does not unlock the door")
        guest.check("eject -t /dev/sr0")
        healthy(guest)


def sg(adapter):
    """Debian's sg3-utils and SG_IO: what the disk says of itself, and who may send what."""
    path = adapter.bench.disk("data", random.Random(8).randbytes(4 * MB))
    with adapter.boot([(f"file={path},format=raw", "disk", ",serial=rideau1")]) as guest:
        for command, wanted in (("sg_inq /dev/sda", "QEMU HARDDISK"), ("sg_vpd -p sn /dev/sda", "rideau1"),
                                ("sg_readcap -16 /dev/sda", "Logical block length=512"), ("sg_turs -v /dev/sda", ""),
                                ("sg_luns /dev/sda", "0000000000000000"), ("sg_modes -p 8 /dev/sda", "")):
            if adapter.name == "ahci" and command.startswith("sg_luns"):
                continue
            status, text = guest.run(command + " 2>&1")
            if status or wanted not in text:
                raise GuestError(f"{command}: {status}: {text}")
        if adapter.name == "ahci" and guest.run("sg_sat_identify /dev/sda >/dev/null")[0]:
            raise GuestError("an ATA command of a program was not done")
        # SMART RETURN STATUS: the registers come back as sense data.
        if adapter.name == "ahci":
            status, text = guest.run("sg_raw /dev/sda 85 06 2c 00 da 00 00 00 00 00 4f 00 c2 00 b0 00 2>&1")
            # As many digits as the command has bytes for the address: it is one of 28 bits.
            if "lba=0xc24f00" not in text:
                raise GuestError(f"the registers of an ATA command do not come back: {status}: {text}")
        # What is not known is an error of the disk's, and leaves it as it was.
        if guest.run("sg_raw /dev/sda f7 00 00 00 00 00 >/dev/null 2>&1")[0] == 0:
            raise GuestError("a command that is none was done")
        guest.check("dd if=/dev/sda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null")
        guest.check("chmod 666 /dev/sda")
        if guest.run("su nobody -s /bin/sh -c 'sg_raw /dev/sda c0 00 00 00 00 00' >/dev/null 2>&1")[0] == 0:
            raise GuestError("anybody may send anything")
        guest.check("su nobody -s /bin/sh -c 'sg_inq /dev/sda' >/dev/null")
        healthy(guest)


TESTS = {test.__name__: test for test in (both_ways, verify, tables, root, discard, errors, slow, hotplug, unbind, cdrom, sg)}
NAMES = [f"{adapter}-{test}" for adapter in ADAPTERS for test in TESTS]


def add_tools(cpio):
    """Debian's sg3-utils, eject and blkdiscard with the libraries that they want, in the place of busybox's."""
    library = debian.unpack("libsgutils2-1.46-2")
    found = [os.path.join(where, name) for where, _, names in os.walk(library) for name in names if name.startswith("libsgutils2")]
    env = dict(os.environ, LD_LIBRARY_PATH=":".join({os.path.dirname(path) for path in found}))
    tools = [("sg3-utils", "usr/bin/" + name) for name in ("sg_inq", "sg_vpd", "sg_readcap", "sg_turs", "sg_luns", "sg_modes", "sg_raw", "sg_sat_identify")]
    for package, path in [*tools, ("eject", "usr/bin/eject"), ("util-linux", "sbin/blkdiscard")]:
        path = os.path.join(debian.unpack(package), path)
        cpio.file("usr/local/bin/" + os.path.basename(path), src=path, mode=0o755)
        for place, source in debian.libraries(path, env):
            # What fio wants is there.
            inside = f"{LIB}/{os.path.basename(place)}"
            if not place.startswith("/lib64/") and not cpio.has(inside):
                cpio.file(inside, src=source, mode=0o755)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Not by PVH: SeaBIOS takes memory for the adapter where QEMU has put the initramfs.
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("tests", nargs="*", default=NAMES)
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="scsi-") as work:
        bench = ScsiBench(args.kernel, work)
        cpio = image.base()
        add_fio(cpio, work)
        add_tools(cpio)
        cpio.write(bench.initrd)
        for name in args.tests:
            adapter, _, test = name.partition("-")
            try:
                why = TESTS[test](Adapter(bench, adapter))
                if why:
                    report.skip(name, why)
                else:
                    report.ok(name)
            except GuestError as error:
                report.fail(name, error)
    report.finish()


if __name__ == "__main__":
    main()

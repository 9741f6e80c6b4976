#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""stress-ng on the debug kernel: each class with two workers and --verify on several CPUs.

A class passes if stress-ng is content, the kernel's log has no complaint, and the memory is back within 1 % afterwards.
A class that takes the machine down is one failure: the machine is started again for the rest. --linux runs Debian's kernel.
--ext4: the classes for file systems, on a disk with ext4, which e2fsck finds clean at the end.
"""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "ext4"))
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
# The kernel's own lines start with the time.
COMPLAINT = re.compile(r"^\[ *\d+\.\d+\].*(Oops|BUG:|WARNING|panicked|Kernel panic|lock order|invalid context|rcu.*stall).*$", re.M)
# Class: more words for stress-ng.
CLASSES = {
    "cpu": "--cpu-method int64", "vm": "--vm-bytes 32m", "fork": "", "clone": "--clone-max 64", "switch": "", "pipe": "",
    "futex": "", "signal": "", "sigq": "", "timer": "--timer-freq 1000", "mmap": "--mmap-bytes 16m", "mremap": "--mremap-bytes 16m",
    "madvise": "", "epoll": "", "eventfd": "", "poll": "", "dentry": "--dentries 256", "dir": "--dir-dirs 256",
    "flock": "", "lockf": "", "locka": "", "lockofd": "", "fault": "", "sem": "", "memfd": "--memfd-bytes 16m",
    "sockpair": "", "sockfd": "", "brk": "", "stack": "", "pthread": "--pthread-max 64", "vfork": "",
    "zombie": "--zombie-max 256",
}
# Those whose work is files, for a disk of 512 MiB.
FILES = {
    "access": "", "aio": "", "aiol": "", "chattr": "", "chdir": "--chdir-dirs 256", "chmod": "", "chown": "",
    "copy-file": "--copy-file-bytes 128m", "dentry": "--dentries 256", "dir": "--dir-dirs 256", "dirdeep": "--dirdeep-inodes 2000",
    "dirmany": "", "dup": "", "fallocate": "--fallocate-bytes 16m", "fcntl": "", "fiemap": "--fiemap-bytes 16m", "file-ioctl": "",
    "filename": "--filename-opts posix", "flock": "", "fpunch": "", "fsize": "", "fstat": "", "getdent": "", "handle": "",
    "hdd": "--hdd-bytes 16m", "inode-flags": "", "io": "", "iomix": "--iomix-bytes 16m", "io-uring": "", "lease": "", "link": "",
    "locka": "", "lockf": "", "lockofd": "", "mknod": "", "mmap": "--mmap-file --mmap-bytes 16m", "msync": "--msync-bytes 16m",
    "open": "", "readahead": "--readahead-bytes 16m", "rename": "", "revio": "--revio-bytes 16m", "seek": "--seek-size 16m",
    "sendfile": "--sendfile-size 16m", "splice": "", "symlink": "", "sync-file": "--sync-file-bytes 16m", "touch": "",
    "utime": "", "xattr": "",
}
PACKAGES = ["stress-ng", "libapparmor1", "libbsd0", "libmd0", "libcrypt1", "libegl1", "libglvnd0", "libgbm1", "libdrm2",
            "libexpat1", "libwayland-server0", "libffi8", "libgles2", "libipsec-mb1", "libjpeg62-turbo", "libjudydebian1",
            "libkmod2", "liblzma5", "libzstd1", "libssl3", "libsctp1", "libxxhash0", "zlib1g", "libc6", "libgcc-s1"]


def needed(path):
    """The libraries that an ELF file names."""
    text = subprocess.run(["readelf", "-dW", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.*?)\]", text)


def find(roots, name):
    """The library `name` in one of the unpacked packages."""
    for root in roots:
        for where in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib"):
            path = os.path.join(root, where, name)
            if os.path.exists(path):
                return os.path.realpath(path)
    raise SystemExit(f"no package has {name}")


def make_image(path, cpio):
    """An initramfs: `cpio` with stress-ng and what it loads."""
    roots = [debian.unpack(package) for package in PACKAGES]
    program = os.path.join(roots[0], "usr/bin/stress-ng")
    cpio.file("usr/bin/stress-ng", src=program, mode=0o755)
    for name in ("lib", "lib64", "lib/x86_64-linux-gnu"):
        cpio.dir(name)
    cpio.file("lib64/ld-linux-x86-64.so.2", src=find(roots, "ld-linux-x86-64.so.2"), mode=0o755)
    done, todo = set(), needed(program)
    while todo:
        name = todo.pop()
        if name in done or name.startswith("ld-linux"):
            continue
        done.add(name)
        real = find(roots, name)
        cpio.file("lib/x86_64-linux-gnu/" + name, src=real, mode=0o755)
        todo += needed(real)
    cpio.write(path)
    return path


def free_kb(g):
    """What is free less what there is, when what is freed late has been, without caches of names."""
    g.check("echo 3 >/proc/sys/vm/drop_caches")
    last = -(1 << 40)
    for _ in range(10):
        # The records of memory that is used for the first time count against the total, once.
        total, free = re.search(r"MemTotal:\s+(\d+).*?MemFree:\s+(\d+)", g.check("cat /proc/meminfo"), re.S).groups()
        now = int(free) - int(total)
        if now <= last:
            break
        last = now
        g.check("sleep 0.3")
    return max(now, last)


def stress(g, name, words, seconds, total, place):
    """Runs one class in `place`; what was wrong, if anything."""
    before = free_kb(g)
    start = len(g.text)
    line = f"stress-ng --{name} 2 {words} -t {seconds}s --verify --oomable --temp-path {place} 2>&1"
    # A stressor looks at the clock only after a whole round of its work.
    status, text = g.run(line, seconds + 300)
    after = free_kb(g)
    log = no_ansi(g.text[start:])
    wrong = [f"{line}: exit status {status}"] if status else []
    wrong += [found.group(0) for found in COMPLAINT.finditer(log)][:20]
    if status or wrong:
        wrong += text.splitlines()[-12:]
    if before - after > total // 100:
        wrong.append(f"{before - after} kB of {total} kB are missing afterwards")
    return wrong, before - after


def held(g):
    """What the kernel holds: the largest classes of objects, and the rest of its memory."""
    lines = [line.split() for line in g.check("cat /proc/slabinfo").splitlines()[2:]]
    sizes = sorted(((int(f[2]) * int(f[3]) >> 10, f[0], f[1], f[2]) for f in lines if len(f) > 3), reverse=True)[:12]
    return [f"{name}: {used} of {there} objects in use, {kb} kB" for kb, name, used, there in sizes] + g.check(
        "cat /proc/meminfo").splitlines()


def run(kernel, append, initrd, classes, seconds, cpus, memory, report, disk=None):
    """All classes, in as many boots as it takes: {class: more words}. On `disk`, if there is one."""
    left, boots = list(classes), 0
    place = "/mnt" if disk else "/tmp"
    drive = ["-drive", f"file={disk},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"] if disk else []
    while left and boots < len(classes):
        boots += 1
        name = "boot"
        log = os.path.join(programs.build_dir("stress"), f"guest-{boots}.log")
        limit = 120 + 300 + len(left) * (seconds + 70)
        try:
            with Guest(kernel, initrd, append, memory=memory, cpus=cpus, limit=limit, log=log, extra=drive) as g:
                g.expect("@READY@", 90)
                if disk:
                    g.check("mount -t ext4 /dev/vda /mnt", 120)
                total = int(re.search(r"MemTotal:\s+(\d+)", g.check("cat /proc/meminfo")).group(1))
                g.run("stress-ng --null 1 -t 1s --temp-path /tmp 2>&1")      # what is loaded once
                first, at_first = free_kb(g), held(g)
                while left:
                    name = left[0]
                    wrong, lost = stress(g, name, classes[name], seconds, total, place)
                    left.pop(0)
                    report.add(f"{name} ({cpus} CPUs, {seconds} s, {lost:+} kB)", not wrong, "\n".join(wrong))
                if disk:
                    name = "umount"
                    g.check("umount /mnt", 120)
                name = "memory"
                lost = first - free_kb(g)
                report.add("memory after all classes", lost <= total // 100,
                           "\n".join([f"{lost} kB of {total} kB are missing; at first:"] + at_first + ["now:"] + held(g)))
        except GuestError as why:
            report.fail(f"{name} ({cpus} CPUs, {seconds} s)", why)
            if name == "boot":
                return
            if left:
                left.pop(0)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", help="the kernel (default: what make built)")
    p.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    p.add_argument("--ext4", action="store_true", help="the classes for file systems, on ext4")
    p.add_argument("--cpus", type=int, default=4)
    p.add_argument("--memory", type=int, default=1024)
    p.add_argument("--seconds", type=int, default=2, help="for each class (the full test: 60)")
    p.add_argument("classes", nargs="*", help="instead of all: " + " ".join(CLASSES) + "; with --ext4: " + " ".join(FILES))
    a = p.parse_args()
    kernel = debian.kernel() if a.linux else a.kernel or programs.default_kernel()
    report = Report()
    known = FILES if a.ext4 else CLASSES
    classes = {name: known[name] for name in a.classes or known}
    # Debian's kernel has its drivers for disks in modules.
    cpio = tools.base(linux=a.linux) if a.ext4 else image.base()
    initrd = make_image(os.path.join(programs.build_dir("stress"), "initrd.cpio"), cpio)
    disk = None
    if a.ext4:
        disk = os.path.join(programs.build_dir("stress"), "disk")
        images.make(disk, 512 << 20, ["-t", "ext4"])
    # On a busy host Linux's own check of the timer interrupt fails now and then.
    append = APPEND + " no_timer_check" * a.linux
    run(kernel, append, initrd, classes, a.seconds, a.cpus, a.memory, report, disk)
    if disk:
        try:
            # A machine that was taken down left its log.
            images.recover(disk)
            report.ok("e2fsck")
        except RuntimeError as error:
            report.fail("e2fsck", error)
    report.finish()


if __name__ == "__main__":
    main()

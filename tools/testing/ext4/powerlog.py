#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Power cuts at any moment: every write and flush of a load (`cutload`) is noted by the disk, and prefixes of that log are replayed, in
which any of the blocks written since the last flush may be missing. After recovery by e2fsck (all prefixes) or by our kernel (--kernel-
prefixes of them) `e2fsck -fn` is clean, no file has bytes that are not its own (the disk was full of others' when it was made), and
all that fsync(2) or sync(2) had promised is there. --linux: the load and the recovery by Debian's kernel."""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
import nbd  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, GuestTimeout, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=4 panic=-1 sysrq_always_enabled"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|EXT4-fs error).*$", re.M)
BLOCK = 4096

# name, options of mke2fs, of mount
ROWS = [
    ("ordered", "-t ext4 -b 4096 -J size=4", ""),
    ("1k", "-t ext4 -b 1024 -J size=2 -O orphan_file", ""),
    ("nodelalloc", "-t ext4 -b 4096 -J size=4", "nodelalloc"),
    ("journal", "-t ext4 -b 4096 -J size=8", "data=journal"),
    ("async", "-t ext4 -b 4096 -J size=4", "data=journal,journal_async_commit"),
    ("ext3", "-t ext3 -b 2048 -J size=4", ""),
]


def start(args, initrd, drives):
    append = APPEND + (tools.LINUX if args.linux else "")
    guest = Guest(args.kernel, initrd, append, memory=256, cpus=args.cpus, limit=args.limit, extra=drives)
    guest.expect("@READY@", args.limit)
    return guest


def record(args, work, initrd, options, mount):
    """Runs the load. Returns the disk's content before it, and the log."""
    path, marks, before = (os.path.join(work, name) for name in ("image", "marks", "before"))
    with open(path, "wb") as f:
        for _ in range(args.size):
            f.write(os.urandom(1 << 20))
    images.tool("mke2fs", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", *options.split(), path)
    shutil.copyfile(path, before)
    with open(marks, "wb") as f:
        f.truncate(1 << 20)
    log = nbd.Log()
    both = [nbd.Disk("fs", path, log, work), nbd.Disk("marks", marks, log, work)]
    with start(args, initrd, both[0].drive(0) + both[1].drive(1)) as guest:
        guest.check(f"mount -t ext4 -o {mount or 'rw'} /dev/vda /mnt", args.limit)
        guest.send(f"/bin/cutload dir=/mnt marks=/dev/vdb threads={args.threads} ops={args.ops} seed={args.seed}; echo @END@\n")
        guest.expect("^load: done", args.limit)
        if COMPLAINT.search(guest.text):
            raise GuestError(COMPLAINT.search(guest.text)[0])
        guest.kill()
    for disk in both:
        disk.close()
    return before, log.entries


def marks_of(data):
    """(what, id, length) of a mark."""
    for line in data.decode(errors="replace").strip().splitlines():
        words = line.split()
        if words and words[0] == "K":
            yield "K", int(words[1]), int(words[2])
        elif words and words[0] == "G":
            yield "G", int(words[1]), 0


class Replay:
    """The disk after prefixes of the log, in ascending order."""

    def __init__(self, before, log, base):
        shutil.copyfile(before, base)
        self.log, self.base, self.done, self.kept = log, base, 0, {}
        self.window, self.scanned = [], 0

    def to(self, end, rng, path):
        """The disk after the first `end` entries, of which those since the last flush may have been lost in part, into `path`."""
        with open(self.base, "r+b") as f:
            for disk, what, offset, data in self.log[self.scanned:end]:
                if disk == "marks":
                    if what == nbd.WRITE:
                        for kind, number, length in marks_of(data):
                            if kind == "K":
                                self.kept[number] = length
                            else:
                                self.kept.pop(number, None)
                elif what == nbd.WRITE:
                    self.window.append((offset, data))
                else:
                    for at, bytes_ in self.window:
                        f.seek(at)
                        f.write(bytes_)
                    self.window = []
        self.scanned = end
        shutil.copyfile(self.base, path)
        lost = 0
        share = rng.choice((0.1, 0.5, 0.9))
        with open(path, "r+b") as f:
            for at, data in self.window:
                for piece in range(0, len(data), BLOCK):
                    if rng.random() < share:
                        f.seek(at + piece)
                        f.write(data[piece:piece + BLOCK])
                    else:
                        lost += 1
        return lost


def list_of(kept, path):
    with open(path, "w") as f:
        f.writelines(f"{number} {length}\n" for number, length in kept.items())


def look(args, path, kept, work):
    """The tree as e2fsprogs see it, after recovery."""
    top, names = os.path.join(work, "dump"), os.path.join(work, "kept")
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top)
    images.tool("debugfs", "-R", f"rdump / {top}", path)
    list_of(kept, names)
    done = subprocess.run([os.path.join(args.built, "cutload"), f"dir={top}", f"check={names}"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-1500:])


def by_e2fsck(args, path, kept, work):
    images.tool("e2fsck", "-E", "journal_only", "-y", path, codes=(0, 1))
    # Orphans; with what it says it would have to repair more.
    said = images.tool("e2fsck", "-p", path, codes=(0, 1))
    if "with errors" in said:
        raise RuntimeError(said)
    images.check(path)
    look(args, path, kept, work)


def blocked(guest):
    """What the tasks of a machine that does not answer wait for, and what its CPUs do: SysRq, with a log level that lets it through."""
    begin = len(guest.text)
    for key in "7wl":
        guest.monitor("chardev-send-break con")
        time.sleep(0.3)
        guest.send(key)
        time.sleep(3)
    return guest.text[begin:]


def by_kernel(args, batch, work, report):
    """Images [(path, kept, what)] recovered by the kernel, in one boot. With --keep one that it does not answer for stays, as it
    was and as it is."""
    cpio = base(args)
    drives = []
    for number, (path, kept, _) in enumerate(batch):
        names = os.path.join(work, f"kept{number}")
        list_of(kept, names)
        cpio.file(f"kept{number}", src=names)
        drives += ["-drive", f"file={path},format=raw,if=none,id=d{number},cache=writeback", "-device", f"virtio-blk-pci,drive=d{number}"]
        if args.keep:
            shutil.copyfile(path, path + "-before")
    initrd = os.path.join(work, "initrd-recover")
    cpio.write(initrd)
    with start(args, initrd, drives) as guest:
        for number, (path, kept, what) in enumerate(batch):
            try:
                disk = f"/dev/vd{chr(ord('a') + number)}"
                guest.check(f"mount -t ext4 {disk} /mnt", 120)
                guest.check(f"/bin/cutload dir=/mnt check=/kept{number}", 120)
                guest.check("umount /mnt", 120)
                if COMPLAINT.search(guest.text):
                    raise GuestError(COMPLAINT.search(guest.text)[0])
                images.check(path)
                look(args, path, kept, work)
                args.recovered += 1
            except GuestTimeout as error:
                waits = f"\n{blocked(guest)}" if guest.alive() else ""
                report.fail(f"{what}, recovered by the kernel", f"{error}{waits}")
                if args.keep:
                    for state in ("-before", ""):
                        shutil.copyfile(path + state, os.path.join(args.keep, re.sub(r"\W+", "-", what) + state))
                break
            except (GuestError, RuntimeError) as error:
                report.fail(f"{what}, recovered by the kernel", error)
                if not guest.alive():
                    break
                guest.run("umount /mnt", 120)


def base(args):
    cpio = tools.base(linux=args.linux)
    cpio.file("bin/cutload", src=os.path.join(args.built, "cutload"), mode=0o755)
    return cpio


def row(args, name, options, mount, work, report):
    initrd = os.path.join(work, "initrd")
    base(args).write(initrd)
    before, log = record(args, work, initrd, options, mount)
    writes = sum(entry[0] == "fs" and entry[1] == nbd.WRITE for entry in log)
    flushes = sum(entry[0] == "fs" and entry[1] != nbd.WRITE for entry in log)
    rng = random.Random(args.seed)
    prefixes = sorted(rng.randrange(len(log) // 20, len(log) + 1) for _ in range(args.prefixes))
    chosen = set(rng.sample(range(len(prefixes)), min(args.kernel_prefixes, len(prefixes))))
    replay = Replay(before, log, os.path.join(work, "base"))
    path, batch, good, lost, most = os.path.join(work, "cut"), [], 0, 0, 0
    args.recovered = 0
    for number, end in enumerate(prefixes):
        lost += replay.to(end, rng, path)
        most = max(most, len(replay.kept))
        what = f"{name}: prefix {end} of {len(log)}"
        if number in chosen:
            copy = os.path.join(work, f"cut{len(batch)}")
            shutil.copyfile(path, copy)
            batch.append((copy, dict(replay.kept), what))
        try:
            by_e2fsck(args, path, replay.kept, work)
            good += 1
        except RuntimeError as error:
            if args.keep:
                replay_path = os.path.join(args.keep, f"{name}-{end}")
                shutil.copyfile(path, replay_path)
            report.fail(f"{what}, recovered by e2fsck", error)
        if len(batch) == 10 or batch and number + 1 == len(prefixes):
            by_kernel(args, batch, work, report)
            batch = []
        if report.failed > 10:
            return
    report.ok(f"{name}: {writes} writes and {flushes} flushes by the load; {good} prefixes recovered by e2fsck, {args.recovered} by the kernel; "
              f"{lost} blocks lost in all, up to {most} files kept")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one machine")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--ops", type=int, default=500, help="operations of each thread")
    parser.add_argument("--size", type=int, default=32, help="MiB of the disk")
    parser.add_argument("--prefixes", type=int, default=500, help="for each row")
    parser.add_argument("--kernel-prefixes", type=int, default=50, help="of them, recovered by the kernel, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a directory for images that were not recovered well")
    parser.add_argument("only", nargs="*", default=["ordered"], help="rows: " + " ".join(row[0] for row in ROWS))
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="powerlog-") as work:
        # A copy: the run is long, and the tree may be built meanwhile.
        shutil.copy2(os.path.join(programs.build("ext4-tests"), "cutload"), work)
        args.built = work
        for name, options, mount in ROWS:
            if name in args.only or "all" in args.only:
                try:
                    row(args, name, options, mount, work, report)
                except (GuestError, RuntimeError) as error:
                    report.fail(name, error)
    report.finish()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0
"""Images for the tests of ext4: made by mke2fs on the host, checked by e2fsck, and read back by debugfs."""

import hashlib
import os
import random
import re
import subprocess

SBIN = "/usr/sbin"


def tool(name, *arguments, codes=(0,), stdin=None):
    """Runs a program of e2fsprogs; returns what it prints. RuntimeError for another exit status than those of `codes`."""
    done = subprocess.run([os.path.join(SBIN, name), *map(str, arguments)], input=stdin, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode not in codes:
        raise RuntimeError(f"{name} {' '.join(map(str, arguments))}: status {done.returncode}: {done.stdout[-1500:]}")
    return done.stdout


def make(path, size, options, source=None):
    """An image of `size` bytes, filled from the directory `source`."""
    with open(path, "wb") as f:
        f.truncate(size)
    fill = ["-d", source] if source else []
    tool("mke2fs", "-q", "-F", *options, *fill, path)
    if source and any("quota" in str(option) for option in options):
        # mke2fs counts before it fills.
        tool("e2fsck", "-fp", path, codes=(0, 1))


def external_log(path, log):
    """Gives an image without a journal the file `log` for one, as `mke2fs -J device=` does, which takes nothing but block devices."""
    block = int(re.search(r"^Block size:\s+(\d+)$", tool("dumpe2fs", "-h", path), re.M)[1])
    tool("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", block, log)
    uuid = re.search(r"^Filesystem UUID:\s+(\S+)$", tool("dumpe2fs", "-h", log), re.M)[1]
    # Any number will do: the mount option says where it is.
    commands = f"feature has_journal\nset_super_value journal_uuid {uuid}\nset_super_value journal_dev 0xfe20\n"
    tool("debugfs", "-w", "-f", "-", path, stdin=commands)
    user = re.search(r"^Filesystem UUID:\s+(\S+)$", tool("dumpe2fs", "-h", path), re.M)[1]
    with open(log, "r+b") as f:
        # The journal's superblock: one user, and which.
        place = (1024 // block + 1) * block
        f.seek(place + 0x40)
        f.write((1).to_bytes(4, "big"))
        f.seek(place + 0x100)
        f.write(bytes.fromhex(user.replace("-", "")))


def check(path, log=None):
    """`e2fsck -fn` finds nothing. RuntimeError with what it found. `log`: where the journal is, if not inside."""
    tool("e2fsck", "-fn", *(("-j", log) if log else ()), path)


def recover(path):
    """e2fsck replays the journal, and finds nothing else to do. RuntimeError if it does."""
    tool("e2fsck", "-E", "journal_only", "-y", path, codes=(0, 1))
    check(path)


def tree(top):
    """The regular files below `top` as `md5sum` lists them, sorted."""
    lines = []
    for here, _, names in os.walk(top):
        for name in names:
            path = os.path.join(here, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    lines.append(f"{hashlib.md5(f.read()).hexdigest()}  ./{os.path.relpath(path, top)}")
    return sorted(line for line in lines if "./lost+found" not in line)


def dumped(path, work):
    """The files of an image, read by debugfs, as `tree` lists them."""
    top = os.path.join(work, "dump")
    subprocess.run(["rm", "-rf", top], check=True)
    os.makedirs(top)
    tool("debugfs", "-R", f"rdump / {top}", path)
    if "inline_data" in tool("dumpe2fs", "-h", path):
        cut_inline(path, work, top)
    return tree(top)


def cut_inline(path, work, top):
    """debugfs (1.47) dumps a file whose data is in its inode with all the room that the inode has for it: cuts it to its size."""
    small = []
    for here, _, names in os.walk(top):
        files = (os.path.join(here, name) for name in names)
        small += [file for file in files if not os.path.islink(file) and 0 < os.path.getsize(file) <= 4096]
    commands = os.path.join(work, "commands")
    with open(commands, "w") as f:
        f.writelines(f'stat "/{os.path.relpath(file, top)}"\n' for file in small)
    sizes = re.findall(r"^User: .*Size: (\d+)$", tool("debugfs", "-f", commands, path), re.M)
    if len(sizes) != len(small):
        raise RuntimeError(f"debugfs tells {len(sizes)} sizes of {len(small)} files")
    for file, size in zip(small, sizes):
        if int(size) < os.path.getsize(file):
            os.truncate(file, int(size))


def populate(top, seed=1, files=60, many=700, largest=300000):
    """A tree with files of all kinds of sizes, deep directories and long names."""
    rng = random.Random(seed)
    os.makedirs(top, exist_ok=True)
    dirs = [top]
    for index in range(12):
        path = os.path.join(rng.choice(dirs), f"dir{index}" + "x" * rng.choice((0, 3, 200)))
        os.makedirs(path)
        dirs.append(path)
    for index in range(files):
        size = min(largest, rng.choice((0, 1, 59, 60, 61, 150, 1000, 1024, 4095, 4096, 4097, 20000, 70000, 300000)))
        with open(os.path.join(rng.choice(dirs), f"file{index}" + "y" * rng.choice((0, 10, 240))), "wb") as f:
            f.write(rng.randbytes(size))
    with open(os.path.join(top, "sparse"), "wb") as f:
        for at in (0, 100_000, 3_000_000):
            f.seek(at)
            f.write(rng.randbytes(5000))
    os.symlink("dir0/short", os.path.join(top, "link"))
    os.symlink("/very/long/" + "z" * 300, os.path.join(top, "longlink"))
    place = os.path.join(top, "many")
    os.makedirs(place)
    for index in range(many):
        with open(os.path.join(place, f"a name that is not short, number {index}"), "w") as f:
            f.write(str(index))

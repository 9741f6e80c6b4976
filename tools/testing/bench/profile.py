#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where a row's instructions go: `profile.py ROW` lists our kernel's functions by instructions an operation.

The image and QEMU line are `make bench`'s; a plug-in (profile.c) counts every translation block between the marks that
the bench program sets round what it measures, so the figures are exact and whole. `--lines` lists source lines instead
of functions, `--within FUNCTION` only those of one function, `--inline` gives inlined functions their own share.
The row `boot` counts from power-on to /init. --ext4: a row with /tmp on ext4 on a virtio disk, by the wall clock; of the rows of
rows/direct.rs it is known how many operations that counts.
"""

import argparse
import bisect
import collections
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for place in (os.path.join(os.path.dirname(HERE), "ext4"), os.path.dirname(HERE), HERE):
    sys.path.insert(0, place)
import bench  # noqa: E402
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, debian, programs  # noqa: E402

# Transfers of a row of rows/direct.rs.
DIRECT = 1536


def plugin():
    """Builds the plug-in."""
    out = os.path.join(bench.BUILD, "profile.so")
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", out, os.path.join(HERE, "profile.c")], check=True)
    return out


def symbols(debug):
    """Sorted starts, names and ends of the functions in `debug`."""
    text = subprocess.run(["nm", "-C", "-n", "-S", debug], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        m = re.match(r"([0-9a-f]+) (?:([0-9a-f]+) )?[tTwW] (.*)", line)
        if m:
            at = int(m.group(1), 16)
            name = re.sub(r"::h[0-9a-f]{16}$", "", m.group(3))
            if at not in found or m.group(2):
                found[at] = (name, at + int(m.group(2) or "0", 16))
    starts = sorted(found)
    return starts, [found[s] for s in starts]


def name_of(table, at):
    starts, info = table
    i = bisect.bisect_right(starts, at) - 1
    if at >> 63 == 0:
        return "[user]"
    return info[i][0] if i >= 0 else "[unknown]"


def lines_of(debug, addresses):
    """{address: [(function, file:line), ...]} innermost first."""
    text = subprocess.run(["addr2line", "-e", debug, "-i", "-f", "-a", "-C"], input="\n".join(map(hex, addresses)),
                          stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    out, current, i = {}, None, 0
    while i < len(text):
        if text[i].startswith("0x"):
            current = out.setdefault(int(text[i], 16), [])
            i += 1
        else:
            current.append((re.sub(r"::h[0-9a-f]{16}$", "", text[i]), text[i + 1].split(" ")[0]))
            i += 2
    return out


def instructions(debug, blocks, wanted):
    """(address, times) of every instruction of the blocks that `wanted` takes, by disassembly of their functions."""
    spans = [(at, at + size, times) for at, size, _, times in blocks if wanted(at)]
    if not spans:
        return {}
    counts = collections.Counter()
    for low, high, times in spans:
        for at in addresses_in(debug, low, high):
            counts[at] += times
    return counts


_code = {}


def addresses_in(debug, low, high):
    """The addresses of the instructions in [low, high)."""
    key = "all"
    if key not in _code:
        text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", debug], stdout=subprocess.PIPE, text=True).stdout
        _code[key] = sorted(int(m.group(1), 16) for m in re.finditer(r"^([0-9a-f]{16}):\t", text, re.M))
    code = _code[key]
    return code[bisect.bisect_left(code, low):bisect.bisect_left(code, high)]


def count(row, kernel, machine, append):
    """Runs `row` in the guest; returns its figure and the blocks (address, size, instructions, times)."""
    out = os.path.join(bench.BUILD, f"profile-{row}.txt")
    if os.path.exists(out):
        os.remove(out)
    args = f"{plugin()},out={out}" + (",all=on" if row == "boot" else "")
    words = f"{bench.APPEND} nokaslr rows={row} {append}"
    with Guest(kernel, bench.make_image(), words, machine=machine, memory=bench.MEMORY, icount=True, limit=300,
               extra=["-plugin", args], log=os.path.join(bench.BUILD, "profile.log")) as g:
        if row == "boot":
            g.expect("@BENCH BEGIN@", 300)
            g.process.terminate()
            figure = None
        else:
            found = g.expect(rf"^{row} (?:(skip) )?(-?[\d.]+)\r*\n", 300)
            if found.group(1):
                raise SystemExit(f"profile: {row} is missing here (errno {found.group(2)})")
            figure = float(found.group(2))
        g.wait(60)
    return figure, blocks_of(out)


def blocks_of(out):
    with open(out) as f:
        return [(int(a, 16), int(s), int(n), int(t)) for a, s, n, t in map(str.split, f)]


def count_ext4(row, kernel, append, linux):
    """Runs `row` with /tmp on ext4; the blocks."""
    out = os.path.join(bench.BUILD, f"profile-{row}.txt")
    if os.path.exists(out):
        os.remove(out)
    with tempfile.TemporaryDirectory(prefix="profile-") as work:
        image, initrd = os.path.join(work, "image"), os.path.join(work, "initrd")
        images.make(image, 128 << 20, ["-t", "ext4", "-E", "lazy_itable_init=0"])
        cpio = tools.base(linux=linux)
        for name in ("bench", "tiny"):
            cpio.file(f"bin/{name}", src=os.path.join(programs.build("bench"), name), mode=0o755)
        cpio.write(initrd)
        words = f"console=ttyS0 loglevel=1 panic=-1 nokaslr {append}" + (f"{tools.LINUX} {bench.TUNED}" if linux else "")
        extra = ["-drive", f"file={image},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0",
                 "-plugin", f"{plugin()},out={out}"]
        with Guest(kernel, initrd, words, memory=512, limit=300, extra=extra) as g:
            g.expect("@READY@", 300)
            g.check(f"mkdir -p /tmp && mount -t ext4 /dev/vda /tmp && /bin/bench rows={row} && umount /tmp", 300)
            g.process.terminate()
            g.wait(60)
    return blocks_of(out)


def count_load(load, kernel, cpus, append):
    """Runs a load of scale.rs by the wall clock; its rate and every block since power-on."""
    out = os.path.join(bench.BUILD, f"profile-{load}.txt")
    words = f"{bench.APPEND} nokaslr scale={load} {append}"
    with Guest(kernel, bench.make_image(), words, cpus=cpus, memory=bench.MEMORY, limit=300,
               extra=["-plugin", f"{plugin()},out={out},all=on"], log=os.path.join(bench.BUILD, "profile.log")) as g:
        rate = float(g.expect(rf"^{load} ([\d.]+)\r*\n", 300).group(1))
        g.wait(60)
    return rate, blocks_of(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("row")
    p.add_argument("--kernel", default=None, help="our kernel (default: what make built)")
    p.add_argument("--debug", default=None, help="its vmlinux.debug")
    p.add_argument("--machine", default="q35")
    p.add_argument("--append", default="")
    p.add_argument("--load", action="store_true", help="`row` is a load of scale.py: all instructions, in total")
    p.add_argument("--cpus", type=int, default=1, help="with --load")
    p.add_argument("--ext4", action="store_true", help="with /tmp on ext4")
    p.add_argument("--linux", action="store_true", help="with --ext4: Debian's kernel, tuned; the total alone")
    p.add_argument("--lines", action="store_true", help="by source line")
    p.add_argument("--inline", action="store_true", help="by innermost inlined function")
    p.add_argument("--within", help="only functions whose name contains this")
    p.add_argument("--asm", action="store_true", help="with --within: the disassembly with counts")
    p.add_argument("-n", type=int, default=40, help="lines to print")
    a = p.parse_args()
    kernel = a.kernel or programs.default_kernel()
    debug = a.debug or os.path.join(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE, "vmlinux.debug")
    if a.load:
        figure, blocks = count_load(a.row, kernel, a.cpus, a.append)
        print(f"{figure:,.1f} a second")
        figure = None
    elif a.ext4:
        blocks = count_ext4(a.row, debian.kernel() if a.linux else kernel, a.append, a.linux)
        figure = sum(n * t for _, _, n, t in blocks) / DIRECT if a.row.startswith("aio_") else None
    else:
        figure, blocks = count(a.row, kernel, a.machine, a.append)
    table = None if a.linux else symbols(debug)
    total = sum(n * t for _, _, n, t in blocks)
    ops = total / figure if figure else 1
    print(f"{a.row}: {figure if figure else total:,.1f} instructions, {sum(b[3] for b in blocks) / ops:,.1f} blocks")
    if a.linux:
        return
    wanted = (lambda at: a.within in name_of(table, at)) if a.within else (lambda at: at >> 63)
    if a.asm:
        counts = instructions(debug, blocks, wanted)
        show_asm(debug, counts, ops)
        return
    shares = collections.Counter()
    if a.lines or a.inline:
        counts = instructions(debug, blocks, wanted)
        where = lines_of(debug, list(counts))
        for at, times in counts.items():
            chain = where.get(at) or [("?", "?")]
            key = chain[0][1] if a.lines else chain[0][0]
            if a.lines and chain[0] != chain[-1]:
                key += f"  <- {chain[-1][1]}"
            shares[key] += times
    else:
        for at, _, n, times in blocks:
            if not a.within or wanted(at):
                shares[name_of(table, at)] += n * times
    for name, times in shares.most_common(a.n):
        print(f"{times / ops:12,.1f} {100 * times / total:5.1f} %  {name}")


def show_asm(debug, counts, ops):
    low, high = min(counts), max(counts) + 16
    text = subprocess.run(["objdump", "-d", "-C", "-l", "--no-show-raw-insn", f"--start-address={low:#x}",
                           f"--stop-address={high:#x}", debug], stdout=subprocess.PIPE, text=True).stdout
    for line in text.splitlines():
        m = re.match(r"([0-9a-f]{16}):\t", line)
        if m and int(m.group(1), 16) in counts:
            print(f"{counts[int(m.group(1), 16)] / ops:8.2f} {line}")
        elif not m:
            print(" " * 9 + line)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damaged archives and first programs: each boots with a clear message, and ends, as on Debian's kernel.

A case is an archive, what the log must say about it (Linux's words where Linux says anything), and how the boot ends: the
first program runs and finds the archive's last file whole, damaged or missing, or the kernel panics for want of one. --linux
boots Debian's kernel instead of ours: the ends must be the same there. --mutations N adds N archives damaged at random,
of which only an end is asked.
"""

import argparse
import concurrent.futures
import gzip
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG|WARNING:|lock order|sleeping function).*$", re.M)
NO_ROOT = r"VFS: Unable to mount root fs on unknown-block\(0,0\)"
NO_INIT = r"No working init found"
FAILED = "Initramfs unpacking failed: "


def archive(alive, tail=True):
    """A `Cpio` with the first program, something to be damaged, and the last file."""
    cpio = Cpio()
    cpio.dir("dev")
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.file("init", src=alive, mode=0o755)
    if tail:
        cpio.file("pad", random.Random(1).randbytes(5000))
        cpio.file("tail", "tail of the archive\n")
    return cpio


def only_init(**entry):
    """An archive whose /init is made from the arguments: `data` and `mode`, `dir`, `link`."""
    cpio = Cpio()
    cpio.dir("dev")
    cpio.node("dev/console", "c", 5, 1, 0o600)
    if entry.get("dir"):
        cpio.dir("init")
    elif "link" in entry:
        cpio.slink("init", entry["link"])
    elif "data" in entry:
        cpio.file("init", entry["data"], mode=entry.get("mode", 0o755))
    return cpio.bytes()


def with_bytes(data, at, new):
    """`data` with `new` at `at`."""
    return data[:at] + new + data[at + len(new):]


def flipped(data, at, bits=0x55):
    return with_bytes(data, at, bytes([data[at] ^ bits]))


def execute(error):
    """What is said when /init cannot be executed."""
    return rf"Failed to execute /init \(error -{error}\)"


def damaged_archives(alive):
    """(name, archive, pattern of what is said or None, pattern of the end)."""
    whole = archive(alive).bytes()
    short = archive(alive, tail=False).bytes()
    zipped = gzip.compress(whole, mtime=0)
    xz = subprocess.run(["xz", "--check=crc32", "-c"], input=whole, stdout=subprocess.PIPE, check=True).stdout
    zstd = subprocess.run(["zstd", "-q", "-19", "-c"], input=whole, stdout=subprocess.PIPE, check=True).stdout
    first = whole.find(b"070701", 6)
    init = whole.find(b"070701", first + 6)     # the header of /init, after dev and dev/console
    size, name = 54, 94                         # places of two numbers in a header
    return [
        ("whole", whole, None, "tail whole"),
        ("whole, gzip", zipped, None, "tail whole"),
        ("whole, zstd", zstd, None, "tail whole"),
        ("whole, xz", xz, None, "tail whole"),
        ("cut in the first header", whole[:100], FAILED, NO_ROOT),
        ("cut in /init", whole[:len(whole) // 2], execute(26), NO_INIT),
        ("cut in the last file", whole[:-700], None, "tail (missing|damaged)"),
        ("gzip cut", zipped[:len(zipped) // 2], FAILED, NO_INIT),
        ("gzip cut in its header", zipped[:7], FAILED, NO_ROOT),
        ("gzip flipped", flipped(zipped, len(zipped) // 2), FAILED, NO_INIT + "|Attempted to kill init"),
        ("gzip with a wrong sum", flipped(zipped, len(zipped) - 6), None, "tail whole"),
        # How much of a damaged block comes out is the decoder's affair.
        ("xz cut", xz[:len(xz) // 2], FAILED, NO_INIT + "|" + NO_ROOT),
        ("xz flipped", flipped(xz, len(xz) // 2), FAILED, NO_INIT + "|Attempted to kill init|" + NO_ROOT),
        ("zstd cut", zstd[:len(zstd) // 2], FAILED, NO_INIT + "|" + NO_ROOT),
        ("zstd flipped", flipped(zstd, len(zstd) // 2), FAILED, NO_INIT + "|Attempted to kill init|" + NO_ROOT),
        ("rubbish", b"this is no archive at all" * 100, FAILED + "invalid magic at start of compressed archive", NO_ROOT),
        ("rubbish between two", whole + b"rubbish." + whole, FAILED + "invalid magic at start of compressed archive", "tail whole"),
        ("zeros between two", short + bytes(508) + whole, None, "tail whole"),
        ("two, not aligned", whole + bytes(3) + whole, FAILED + "broken padding", "tail whole"),
        ("plain, then gzip", short + zipped, None, "tail whole"),
        ("gzip, then plain, not aligned", gzip.compress(short, mtime=0).ljust(len(short) | 1, b"\0") + whole,
         FAILED + "invalid magic at start of compressed archive", "tail missing"),
        ("no magic", with_bytes(whole, first, b"07070Z"), FAILED + "no cpio magic", NO_ROOT),
        ("the old format", with_bytes(whole, 0, b"070707"), FAILED + "incorrect cpio method used: use -H newc option", NO_ROOT),
        ("an absurd size", with_bytes(whole, size, b"FFFFFFFF"), None, NO_ROOT),
        ("an absurd size of /init", with_bytes(whole, init + size, b"7FFFFFFF"), execute(26), NO_INIT),
        ("an absurd length of a name", with_bytes(whole, name, b"FFFFFFFF"), None, NO_ROOT),
        ("an empty name", with_bytes(whole, name, b"00000000"), FAILED, NO_ROOT),
        ("a number with other letters", with_bytes(whole, init + size, b"XYZ00000"), FAILED, "."),
        ("no archive", b"", None, NO_ROOT),
    ]


def first_programs():
    """As `damaged_archives`, for archives that are whole."""
    true = os.path.join(debian.unpack("coreutils"), "bin/true")
    with open(true, "rb") as file:
        dynamic = file.read()
    return [
        ("no /init", only_init(), None, NO_ROOT),
        ("/init not executable", only_init(data="#!/init\n", mode=0o644), execute(13), NO_INIT),
        ("/init a directory", only_init(dir=True), execute(13), NO_INIT),
        ("/init a link to itself", only_init(link="init"), None, NO_ROOT),
        ("/init a script without interpreter", only_init(data="#!/no/such\n"), execute(2), NO_INIT),
        ("/init a script of itself", only_init(data="#!/init\n"), execute(40), NO_INIT),
        ("/init a text", only_init(data="hello\n"), execute(8), NO_INIT),
        ("/init empty", only_init(data=""), execute(8), NO_INIT),
        ("/init without its loader", only_init(data=dynamic), execute(2), NO_INIT),
        ("/init half an ELF header", only_init(data=dynamic[:40]), execute(8), NO_INIT),
    ]


def mutations(alive, count, seed):
    """`count` archives damaged at random; any end is good."""
    rng, cases = random.Random(seed), []
    whole = archive(alive).bytes()
    kinds = [("plain", whole), ("gzip", gzip.compress(whole, mtime=0))]
    for n in range(count):
        kind, data = kinds[n % 2]
        bad = bytearray(data)
        for _ in range(1 + rng.randrange(4)):
            at = rng.randrange(len(bad)) if rng.random() < 0.5 else rng.randrange(min(600, len(bad)))
            bad[at] = rng.choice((bad[at] ^ 1 << rng.randrange(8), rng.randrange(256), ord("F"), ord("0")))
        if rng.random() < 0.3:
            bad = bad[:rng.randrange(len(bad))]
        cases.append((f"mutation {seed}.{n}, {kind}", bytes(bad), None, "."))
    return cases


def boot(kernel, data, work, name, limit):
    """Boots with `data`; returns what was on the console. GuestError if the machine does not end."""
    path = None
    if data:
        path = os.path.join(work, re.sub(r"\W+", "-", name))
        with open(path, "wb") as file:
            file.write(data)
    with Guest(kernel, path, APPEND, memory=256, cpus=2, limit=limit) as guest:
        guest.wait(limit)
        return no_ansi(guest.text)


def judge(case, text, ours):
    """What is wrong with the boot, or None."""
    _, _, said, end = case
    ends = re.findall(r"@ALIVE (tail \w+)@|Kernel panic - not syncing: (.*)", text)
    if not ends:
        return "neither a first program nor a panic:\n" + "\n".join(text.splitlines()[-12:])
    shown = " ".join(filter(None, ends[0]))
    if not re.search(end, shown):
        return f"ends with `{shown}`, not `{end}`"
    if said and not re.search(said, text):
        heard = re.findall(r"Initramfs unpacking.*|Failed to execute.*", text)
        # Linux says nothing about a plain archive that ends too early.
        if ours or not said == FAILED:
            return f"the log does not say `{said}` but {heard}"
    found = COMPLAINT.search(text)
    return f"complaint: {found.group(0)}" if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", help="our kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="boot Debian's kernel")
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name matches this regular expression")
    parser.add_argument("--limit", type=int, default=120, help="seconds a boot may take")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    args = parser.parse_args()
    kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    alive = os.path.join(programs.build("malformed"), "alive")
    cases = damaged_archives(alive) + first_programs() + mutations(alive, args.mutations, args.seed)
    cases = [case for case in cases if re.search(args.only, case[0])]
    report = Report()
    with tempfile.TemporaryDirectory(prefix="malformed-") as work:
        def attempt(case):
            try:
                return judge(case, boot(kernel, case[1], work, case[0], args.limit), not args.linux)
            except GuestError as error:
                return str(error)

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for case, why in zip(cases, pool.map(attempt, cases)):
                report.add(case[0], why is None, why or "")
    report.finish()


if __name__ == "__main__":
    main()

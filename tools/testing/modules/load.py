#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What finit_module(2) can be told, and modules that do not start: compressed files, MODULE_INIT_IGNORE_*, an `init` that ends with an
error (100 times: nothing is lost), one with much that only `init` needs, and one that panics.

The modules are samples/rust/rust_minimal (samples.config) and those of `init/` beside this, built with `make M=`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from damage import sections, sign  # noqa: E402
from guest import Guest, GuestError, Report, image, need, no_complaint, programs  # noqa: E402
from loader import SAMPLE, memory  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
VERSIONS, VERMAGIC, COMPRESSED = 1, 2, 4
PACKERS = {"gz": ("gzip", "-9"), "xz": ("xz", "--check=crc32"), "zst": ("zstd", "-q")}


def pack(path):
    """The compressed forms of a file: {ending: bytes}."""
    return {ending: subprocess.run([*command, "-c", path], stdout=subprocess.PIPE, check=True).stdout
            for ending, command in PACKERS.items()}


def finit(guest, name, flags, pattern):
    """Loads /NAME with these flags, which must say that; the log since before."""
    text = guest.check(f"dmesg -c >/dev/null; finit /{name} {flags}")
    if not re.search(pattern, text, re.M):
        raise GuestError(f"finit_module of {name} with {flags}: {text}")
    return guest.check("dmesg")


def compressed(guest):
    """gzip, xz and zstd; files cut off, and files that are no such thing."""
    for ending in PACKERS:
        finit(guest, f"minimal.{ending}", COMPRESSED, "^loaded")
        if "(" in guest.check("cat /proc/modules"):
            raise GuestError("its signature does not count: " + guest.check("cat /proc/modules"))
        guest.check("rmmod rust_minimal")
        need(finit(guest, f"cut.{ending}", COMPRESSED, r"^(?!loaded)\S"), r"module: ")
        # Without the flag it is no ELF file.
        need(finit(guest, f"minimal.{ending}", 0, "^Exec format error"), r"Invalid ELF header magic")
    finit(guest, "plain.ko", COMPRESSED, "^Invalid argument")
    finit(guest, "plain.ko", 8, "^Invalid argument")


def forced(guest):
    """Another version of the kernel, other versions of symbols: refused, and taken by force, which is shown."""
    taints = int(guest.check("cat /proc/sys/kernel/tainted"))
    if taints & 2:
        raise GuestError(f"tainted by force before: {taints}")
    need(finit(guest, "vermagic.ko", 0, "^Exec format error"), r"version magic '9")
    need(finit(guest, "vermagic.ko", VERSIONS, "^Exec format error"), r"version magic '9")
    need(finit(guest, "versions.ko", 0, "^Invalid argument"), r"disagrees about version of symbol \S+$")
    need(finit(guest, "versions.ko", VERMAGIC, "^Invalid argument"), r"disagrees about version of symbol \S+$")
    for name, flags in (("vermagic.ko", VERMAGIC), ("versions.ko", VERSIONS)):
        need(finit(guest, name, flags, "^loaded"), r"loaded by force")
        need(guest.check("cat /proc/modules"), r"^rust_minimal \d+ 0 - Live \S+ \(FE\)$")
        need(guest.check("cat /sys/module/rust_minimal/taint"), r"^FE$")
        guest.check("rmmod rust_minimal")
    # It stays although the module goes.
    if int(guest.check("cat /proc/sys/kernel/tainted")) & 0x2002 != 0x2002:
        raise GuestError("the kernel is not tainted: " + guest.check("cat /proc/sys/kernel/tainted"))


def sections_shown(guest):
    """Where its sections and functions are: for those who may know."""
    guest.check("insmod /signed/rust_minimal.ko")
    need(guest.check("cd /sys/module/rust_minimal/sections && ls -1A && cat .text && stat -c %a .text; cd /"),
         r"^\.gnu\.linkonce\.this_module$", r"^\.text$", r"^0xffffffffc[0-9a-f]{7}$", r"^400$")
    # Its functions, and the kernel's; who may not see addresses sees none.
    need(guest.check("grep rust_minimal] /proc/kallsyms"), r"^ffffffffc[0-9a-f]{7} t \S+\t\[rust_minimal\]$")
    need(guest.check("grep ' module::load::' /proc/kallsyms | head -n 3"), r"^ffffffff[89ab][0-9a-f]{7} t module::load::\S+$")
    need(guest.check("su nobody -s /bin/sh -c 'grep -c . /proc/kallsyms; grep -v ^0000000000000000 /proc/kallsyms | wc -l'"), r"^\d{4,}$", r"^0$")
    guest.check("rmmod rust_minimal && ! grep rust_minimal] /proc/kallsyms")


def fails(guest):
    """`init` ends with an error: that is insmod's, and nothing stays."""
    need(guest.run("dmesg -c >/dev/null; insmod /fails.ko 2>&1")[1], "No such device")
    need(guest.check("dmesg"), r"fails: 1000 numbers and a device, in vain")
    guest.check("[ ! -e /sys/module/fails ] && [ ! -e /dev/fails ] && ! grep fails /proc/modules /proc/misc")
    loop = "i=0; while [ $i -lt %d ]; do insmod /fails.ko 2>/dev/null && break; i=$((i+1)); done; echo $i"
    need(guest.check(loop % 20, 120), r"^20$")
    before = memory(guest)
    need(guest.check(loop % 100, 300), r"^100$")
    after = memory(guest)
    if after["objects"] - before["objects"] > 24 or after["vmalloc"] > before["vmalloc"]:
        raise GuestError(f"memory before {before}, after {after}")
    no_complaint(guest)


def free_pages(guest):
    """KB that nobody has, or that are only kept for their files."""
    text = guest.check("echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
    return int(re.search(r"^MemFree:\s+(\d+)", text, re.M).group(1))


def starts(guest):
    """What only `init` needs is gone when it is over: 4 MB of the module."""
    before = free_pages(guest)
    guest.check("dmesg -c >/dev/null; insmod /starts.ko")
    need(guest.check("dmesg"), r"starts: the sum is 29360128$")
    size = int(re.search(r"^starts (\d+) ", guest.check("cat /proc/modules"), re.M).group(1))
    after = free_pages(guest)
    if size > 65536 or before - after > 2048:
        raise GuestError(f"the module has {size} bytes, free before {before} KB, after {after} KB")
    guest.check("[ ! -e /sys/module/starts/sections/.init.text ] && rmmod starts")
    no_complaint(guest)


def panics(guest):
    """`init` panics: the log names the place and the module, who loads it is killed, the kernel lives. The module stays as it is: what
    it had locked or given away nobody knows."""
    status, text = guest.run("dmesg -c >/dev/null; insmod /panics.ko 2>&1")
    if status == 0:
        raise GuestError(f"insmod: {text}")
    need(guest.check("dmesg"), r"kernel BUG at \S*panics\.rs:\d+!", r"index out of bounds: the len is 1 but the index is 1",
         r"Call Trace:", r"_R\w+7too_far\+0x[0-9a-f]+/0x[0-9a-f]+ \[panics\]\s*$")
    need(guest.check("cat /proc/modules /sys/module/panics/initstate"), r"^panics \d+ 0 - Loading \S+ \(O\+\)$", r"^coming$")
    status, text = guest.run("rmmod panics 2>&1")
    if status == 0:
        raise GuestError("it can be unloaded")
    guest.check("insmod /signed/rust_minimal.ko && rmmod rust_minimal")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report, program = Report(), os.path.join(programs.build("modules"), "finit")
    with tempfile.TemporaryDirectory(prefix="load-") as work:
        plain, signed = os.path.join(work, "plain.ko"), os.path.join(work, "signed.ko")
        shutil.copy(os.path.join(top, SAMPLE), plain)
        subprocess.run(["strip", "--strip-debug", plain], check=True)
        shutil.copy(plain, signed)
        sign(signed, os.path.join(top, "certs/signing_key.pem"))
        with open(plain, "rb") as f:
            good = f.read()
        versions = bytearray(good)
        versions[next(offset for name, _, offset, _, _ in sections(good) if name == "__version_ext_crcs")] ^= 1
        at = good.index(b"vermagic=") + len(b"vermagic=")
        files = {"vermagic.ko": good[:at] + b"9" + good[at + 1:], "versions.ko": bytes(versions)}
        for ending, data in pack(signed).items():
            files.update({f"minimal.{ending}": data, f"cut.{ending}": data[:len(data) // 2]})
        built = programs.modules("tools/testing/modules/init", work, os.path.abspath(top))
        cpio = image.base()
        cpio.file("bin/finit", src=program, mode=0o755)
        cpio.file("plain.ko", src=plain, mode=0o644)
        cpio.dir("signed")
        cpio.file("signed/rust_minimal.ko", src=signed, mode=0o644)
        for name in ("fails", "starts", "panics"):
            cpio.file(f"{name}.ko", src=os.path.join(built, f"{name}.ko"), mode=0o644)
        for name, data in files.items():
            path = os.path.join(work, name)
            with open(path, "wb") as f:
                f.write(data)
            cpio.file(name, src=path, mode=0o644)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with Guest(args.vmlinux, initrd, APPEND, cpus=args.cpus, limit=600, log=args.log) as guest:
            guest.expect("@READY@", 60)
            for test in (compressed, forced, sections_shown, fails, starts, panics):
                with report.attempt(test.__name__):
                    test(guest)
    report.finish()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The module loader: a module is loaded, looked at and unloaded; bad files are refused with Linux's errors and a line in the log.

The modules are samples/rust/rust_minimal and rust_print, built as m (samples.config). Run after `make samples.config all`.
"""

import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
from damage import sections  # noqa: E402
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
SAMPLE = "samples/rust/rust_minimal/rust_minimal.ko"


def bad_files(good):
    """Files that must be refused: name, bytes, what the log must say."""
    def patched(at, value):
        return good[:at] + value + good[at + len(value):]

    magic = good.index(b"vermagic=")
    symbol = re.search(rb"\0(_RNv[0-9A-Za-z_]*kernel_base5print11call_printk)\0", good).group(1)
    yield "magic", patched(0, b"X"), "Invalid ELF header magic"
    yield "machine", patched(18, struct.pack("<H", 3)), "Invalid architecture in ELF header"
    yield "type", patched(16, struct.pack("<H", 2)), "Invalid ELF header type"
    yield "sections", patched(58, struct.pack("<H", 63)), "Invalid ELF section header size"
    yield "vermagic", patched(magic + 9, b"9"), "version magic '9"
    yield "symbol", good.replace(symbol, symbol[:-1] + b"x"), "Unknown symbol " + symbol[:-1].decode() + "x (err -2)"
    parts = {name: (offset, header) for name, _, offset, _, header in sections(good)}
    yield "overlap", patched(parts[".rodata"][1] + 24, struct.pack("<Q", parts[".text"][0])), "ELF section overlaps another"
    yield "relocation", patched(parts[".rela.text"][0] + 16, struct.pack("<q", 1 << 40)), "relocation leads outside of what its symbol is in"
    yield "license", good.replace(b"license=GPL\0", b"license=GPX\0"), "Unknown symbol"


def load_and_unload(guest, _):
    """What a user sees of a module's life."""
    guest.check("dmesg -c >/dev/null; insmod /rust_minimal.ko test_parameter=7")
    text = guest.check("dmesg -c")
    for line in ("rust_minimal: Rust minimal sample (init)", "rust_minimal: Am I built-in? false", "rust_minimal: test_parameter: 7"):
        if line not in text:
            raise GuestError(f"no line '{line}' in the log:\n{text}")
    line = guest.check("cat /proc/modules").strip()
    if not re.fullmatch(r"rust_minimal \d+ 0 - Live 0xffffffffc[0-9a-f]{7}", line):
        raise GuestError(f"/proc/modules: {line}")
    state = guest.check("cd /sys/module/rust_minimal && cat refcnt initstate taint coresize; ls; cd /").split()
    if state[:2] != ["0", "live"] or "sections" not in state or "holders" not in state:
        raise GuestError(f"/sys/module/rust_minimal: {state}")
    if "File exists" not in guest.run("insmod /rust_minimal.ko 2>&1")[1]:
        raise GuestError("a second load is not refused with EEXIST")
    guest.check("rmmod rust_minimal")
    text = guest.check("dmesg -c")
    for line in ("rust_minimal: My numbers are [72, 108, 200]", "rust_minimal: Rust minimal sample (exit)"):
        if line not in text:
            raise GuestError(f"no line '{line}' in the log:\n{text}")
    if guest.check("cat /proc/modules; ls /sys/module").split().count("rust_minimal"):
        raise GuestError("the module is still there")


def parameters(guest, _):
    """Good and bad values."""
    for value, good in (("-5", True), ("0x10", True), ("", False), ("five", False), ("99999999999999999999", False)):
        status, text = guest.run(f"insmod /rust_minimal.ko test_parameter={value} 2>&1")
        if (status == 0) != good:
            raise GuestError(f"test_parameter={value}: {status} {text}")
        if good:
            guest.check("rmmod rust_minimal")
    guest.check("dmesg -c >/dev/null; insmod /rust_minimal.ko unheard_of=1; rmmod rust_minimal")
    if "rust_minimal: unknown parameter 'unheard_of' ignored" not in guest.check("dmesg -c"):
        raise GuestError("nothing is said of an unknown parameter")


def refused(guest, bad):
    """Every bad file."""
    for name, _, words in bad:
        status, text = guest.run(f"dmesg -c >/dev/null; insmod /bad/{name}.ko 2>&1")
        log = guest.check("dmesg -c")
        if status == 0 or words not in log:
            raise GuestError(f"{name}: status {status}, {text.strip()}; log: {log.strip()}")
    if guest.check("cat /proc/modules").strip():
        raise GuestError("a bad module was loaded")


def truncated(guest, size):
    """Cut at every 64th byte before its signature: refused, nothing kept."""
    out = guest.check(f"n=0; s={size}; i=0; while [ $i -lt $s ]; do head -c $i /rust_minimal.ko >/tmp/t.ko; "
                      "insmod /tmp/t.ko 2>/dev/null && echo loaded $i; i=$((i+64)); n=$((n+1)); done; rm -f /tmp/t.ko; echo $n files", 300)
    if "loaded" in out or " files" not in out:
        raise GuestError(out)


def memory(guest):
    """KB that the kernel has in use: small objects, and areas of virtual memory; the least of some looks, since what was freed goes
    when nobody can read it any more. Free pages say less: how objects lie in their slabs is chance when several CPUs make them."""
    least = {}
    for _ in range(4):
        text = guest.check("echo 3 > /proc/sys/vm/drop_caches; sleep 1; cat /proc/slabinfo /proc/meminfo")
        objects = re.findall(r"^kmalloc-\d+ +(\d+) +\d+ +(\d+)", text, re.M)
        now = {"objects": sum(int(count) * int(size) for count, size in objects) // 1024,
               "vmalloc": int(re.search(r"^VmallocUsed:\s+(\d+)", text, re.M).group(1))}
        least = {key: min(value, least.get(key, value)) for key, value in now.items()}
    return least


# What else goes on meanwhile: programs start and end, list modules and read their files.
LOAD = "(while [ -e /tmp/busy ]; do cat /proc/modules /sys/module/rust_minimal/* | md5sum; done >/dev/null 2>&1) & "


def reload(guest, numbers):
    """Loaded and unloaded many times: no memory is lost."""
    number, load = numbers
    loop = "i=0; while [ $i -lt %d ]; do insmod /rust_minimal.ko && rmmod rust_minimal || break; i=$((i+1)); done"
    busy, idle = "touch /tmp/busy; " + LOAD * load, "; rm /tmp/busy; wait; echo $i"
    guest.check(busy + loop % 20 + idle, 120)
    before = memory(guest)
    done = guest.check(busy + loop % number + idle, 1500).split()[-1]
    after = memory(guest)
    if int(done) != number:
        raise GuestError(f"only {done} of {number}")
    # A few objects more or less are names in caches; the smallest object that a module could lose, lost each time, is more.
    if after["objects"] - before["objects"] > 24 or after["vmalloc"] > before["vmalloc"]:
        raise GuestError(f"memory before {before}, after {after}")


def printing(guest, _):
    """A module without parameters; shared values and trait objects cross from the module into the kernel and back."""
    guest.check("dmesg -c >/dev/null; insmod /rust_print.ko; rmmod rust_print")
    text = guest.check("dmesg -r -c")
    for line in ("<0>", "rust_print: Emergency message (level 0) with args", "rust_print: Info message (level 6) with args",
                 "rust_print: A line that", 'rust_print: "hello, world"',
                 "rust_print: Arc<dyn Display> says 42", "rust_print: Arc<dyn Display> says hello, world",
                 "rust_print: Rust printing macros sample (exit)"):
        if line not in text:
            raise GuestError(f"no line '{line}' in the log:\n{text}")


def permission(guest, _):
    """Users may not; nobody may after modules_disabled, which cannot be taken back."""
    status, text = guest.run("su nobody -s /bin/sh -c 'insmod /rust_minimal.ko' 2>&1")
    if "not permitted" not in text:
        raise GuestError(f"a user got: {status} {text}")
    guest.check("echo 1 >/proc/sys/kernel/modules_disabled")
    for command, words in (("insmod /rust_minimal.ko", "not permitted"), ("sh -c 'echo 0 >/proc/sys/kernel/modules_disabled'", "nvalid")):
        text = guest.run(command + " 2>&1")[1]
        if words not in text:
            raise GuestError(f"{command}: {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--module", default=os.path.join(top, SAMPLE))
    parser.add_argument("--print-module", default=os.path.join(top, SAMPLE.replace("minimal", "print")))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--reloads", type=int, default=300)
    parser.add_argument("--load", type=int, default=0, help="so many loops of programs beside the reloading")
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="modules-") as work:
        stripped = os.path.join(work, "module.ko")
        shutil.copy(args.module, stripped)
        subprocess.run(["strip", "--strip-debug", stripped], check=True)
        with open(stripped, "rb") as f:
            good = f.read()
        subprocess.run([sys.executable, os.path.join(programs.SRCTREE, "scripts/certs.py"), "sign-with",
                        os.path.join(top, "certs/signing_key.pem"), stripped], check=True)
        initrd, cpio = os.path.join(work, "initrd"), image.base()
        cpio.file("rust_minimal.ko", src=stripped, mode=0o644)
        cpio.file("rust_print.ko", src=args.print_module, mode=0o644)
        cpio.dir("bad")
        bad = list(bad_files(good))
        for name, data, _ in bad:
            path = os.path.join(work, name)
            with open(path, "wb") as f:
                f.write(data)
            cpio.file(f"bad/{name}.ko", src=path, mode=0o644)
        cpio.write(initrd)
        with Guest(args.vmlinux, initrd, APPEND, cpus=args.cpus, limit=1800, log=args.log) as guest:
            guest.expect("@READY@", 60)
            for test, value in ((load_and_unload, None), (parameters, None), (printing, None), (refused, bad), (truncated, len(good)),
                                (reload, (args.reloads, args.load)), (permission, None)):
                with report.attempt(test.__name__):
                    test(guest, value)
    report.finish()


if __name__ == "__main__":
    main()

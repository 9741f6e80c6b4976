#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damaged modules: cut off at every 64th byte, and thousands with flipped bits. Nothing of them may run, hang or leak.

With a signature that is wrong no module is loaded, whatever the settings are; with `module.sig_enforce=1` none is without one.
Where signatures do not count (an unsigned module), the loader's own checks are tried: with a module whose header has no `init`, so
that the loader goes all its way, and nothing of the module can run.
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
from guest import Guest, GuestError, Report, image, no_complaint, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
SAMPLE = "samples/rust/rust_minimal/rust_minimal.ko"
MARKER = b"~Module signature appended~\n"
SHT_SYMTAB, SHT_STRTAB, SHT_RELA = 2, 3, 4


def sections(data):
    """Name, type, offset and size of each section."""
    start, = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * i) for i in range(count)]
    table = rows[names][4]
    return [(data[table + r[0]:data.index(b"\0", table + r[0])].decode(), r[1], r[4], r[5], start + 64 * i) for i, r in enumerate(rows)]


def without_init(data):
    """The module with a header that has no relocations: no `init`, no `exit`."""
    data = bytearray(data)
    for name, kind, offset, size, _ in sections(data):
        if name == ".rela.gnu.linkonce.this_module":
            for at in range(offset, offset + size, 24):
                struct.pack_into("<Q", data, at + 8, 0)  # R_X86_64_NONE
    return bytes(data)


def ranges(data):
    """What to damage: the parts of the file that the loader reads, by name."""
    shoff, = struct.unpack_from("<Q", data, 40)
    found = {"header": (0, 64), "section headers": (shoff, shoff + 64 * struct.unpack_from("<H", data, 60)[0])}
    for name, kind, offset, size, _ in sections(data):
        if kind in (SHT_SYMTAB, SHT_RELA) or kind == SHT_STRTAB or name in (".modinfo", "__version_ext_crcs", "__version_ext_names",
                                                                                 ".gnu.linkonce.this_module"):
            found[name] = (offset, offset + size)
    return {name: span for name, span in found.items() if span[1] > span[0]}


def counts(text):
    """The program's output."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) (\d+)\r?$", text, re.M)}


def only(what, found, allowed):
    """Every errno that came is one that may."""
    print(f"        {what}: " + ", ".join(f"{n} {c}" for n, c in sorted(found.items())), flush=True)
    if not found or set(found) - set(allowed):
        raise GuestError(f"{what}: {found}, expected only {allowed}")


def alive(guest):
    """The kernel has nothing to complain of, and no module is left."""
    if guest.check("cat /proc/modules").strip():
        raise GuestError("a module is left: " + guest.check("cat /proc/modules"))
    no_complaint(guest)


def free(guest):
    return int(re.search(r"MemFree:\s+(\d+)", guest.check("sleep 1; cat /proc/meminfo")).group(1))


def signed(guest, number, plain):
    """A good module loads without a taint; an unsigned one with E; a damaged one not at all."""
    guest.check("insmod /signed/rust_minimal.ko")
    if "(" in guest.check("cat /proc/modules"):
        raise GuestError("a signed module taints: " + guest.check("cat /proc/modules"))
    guest.check("rmmod rust_minimal; insmod /unsigned/rust_minimal.ko")
    if not guest.check("cat /proc/modules").strip().endswith("(E)"):
        raise GuestError("an unsigned module is not marked: " + guest.check("cat /proc/modules"))
    guest.check("rmmod rust_minimal")
    size = int(guest.check("stat -c %s /signed/rust_minimal.ko"))
    # What is cut in its signature is a whole module with some bytes behind it, and unsigned.
    found = counts(guest.check("damage /signed/rust_minimal.ko cut 64", 300))
    only("signed, cut", found, ("ENOEXEC", "loaded"))
    if found.get("loaded", 0) > 5:
        raise GuestError(f"cut modules were loaded: {found}")
    found = counts(guest.check(f"damage /signed/rust_minimal.ko flip {number} 7 0 {plain}", 600))
    only("signed, flipped", found, ("EKEYREJECTED",))
    found = counts(guest.check(f"damage /signed/rust_minimal.ko flip {number // 10} 9 {plain} {size - len(MARKER)}", 600))
    only("its signature, flipped", found, ("EKEYREJECTED", "EBADMSG", "loaded"))
    alive(guest)


def loader(guest, spans, number):
    """The loader's own checks, where no signature counts."""
    only("unsigned, cut", counts(guest.check("damage /empty/rust_minimal.ko cut 64", 300)), ("ENOEXEC",))
    before = free(guest)
    for seed, (name, (start, end)) in enumerate(sorted(spans.items()), 1):
        found = counts(guest.check(f"damage /empty/rust_minimal.ko flip {number} {seed} {start} {end}", 600))
        only(name, found, ("ENOEXEC", "ENOENT", "EINVAL", "ENOMEM"))
    alive(guest)
    # Free lists of the CPUs take some; an object of 256 bytes lost each time would be more.
    if before - free(guest) > 256 * number * len(spans) >> 10:
        raise GuestError(f"memory is lost: {before} kB free before, {free(guest)} after")


def enforced(guest, number, plain):
    """With module.sig_enforce=1."""
    if guest.check("cat /sys/module/module/parameters/sig_enforce").strip() != "Y":
        raise GuestError("sig_enforce is not shown")
    if "ead-only" not in guest.run("sh -c 'echo 0 >/sys/module/module/parameters/sig_enforce' 2>&1")[1]:
        raise GuestError("sig_enforce can be taken back")
    text = guest.run("dmesg -c >/dev/null; insmod /unsigned/rust_minimal.ko 2>&1; dmesg")[1]
    if "ejected" not in text or "Loading of unsigned module is rejected" not in text:
        raise GuestError(f"an unsigned module: {text}")
    text = guest.run("dmesg -c >/dev/null; insmod /other/rust_minimal.ko 2>&1; dmesg")[1]
    if "Loading of module with unavailable key is rejected" not in text:
        raise GuestError(f"a module that somebody else signed: {text}")
    guest.check("insmod /signed/rust_minimal.ko && rmmod rust_minimal")
    only("enforced, cut", counts(guest.check("damage /signed/rust_minimal.ko cut 64", 300)), ("EKEYREJECTED", "ENOEXEC"))
    # Of the message itself some bits count for nothing (a version, the list of hashes): the module is whole then.
    tail = int(guest.check("stat -c %s /signed/rust_minimal.ko")) - len(MARKER) - 12
    found = counts(guest.check(f"damage /signed/rust_minimal.ko flip {number} 11 0 {plain}", 600))
    only("enforced, flipped", found, ("EKEYREJECTED",))
    found = counts(guest.check(f"damage /signed/rust_minimal.ko flip {number // 10} 12 {tail}", 600))
    only("enforced, its end flipped", found, ("EKEYREJECTED", "EBADMSG"))
    alive(guest)


def sign(path, key):
    subprocess.run([sys.executable, os.path.join(programs.SRCTREE, "scripts/certs.py"), "sign-with", key, path], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--module", default=os.path.join(top, SAMPLE))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--number", type=int, default=1000, help="flips of each kind; ten times as many of the signed module")
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report, program = Report(), os.path.join(programs.build("modules"), "damage")
    with tempfile.TemporaryDirectory(prefix="damage-") as work:
        plain = os.path.join(work, "module.ko")
        shutil.copy(args.module, plain)
        subprocess.run(["strip", "--strip-debug", plain], check=True)
        with open(plain, "rb") as f:
            good = f.read()
        cpio = image.base()
        files = {"signed": good, "unsigned": good, "other": good, "empty": without_init(good)}
        subprocess.run(["openssl", "req", "-new", "-nodes", "-days", "2", "-batch", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-subj", "/CN=somebody else", "-out", os.path.join(work, "cert"),
                        "-keyout", os.path.join(work, "key")], check=True, stderr=subprocess.DEVNULL)
        with open(os.path.join(work, "other.pem"), "w") as f:
            f.write("".join(open(os.path.join(work, name)).read() for name in ("key", "cert")))
        for name, data in files.items():
            path = os.path.join(work, name)
            with open(path, "wb") as f:
                f.write(data)
            if name == "signed":
                sign(path, os.path.join(top, "certs/signing_key.pem"))
            if name == "other":
                sign(path, os.path.join(work, "other.pem"))
            cpio.dir(name)
            cpio.file(f"{name}/rust_minimal.ko", src=path, mode=0o644)
        cpio.file("bin/damage", src=program, mode=0o755)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        spans = ranges(files["empty"])
        for append, tests in ((APPEND, [(signed, 10 * args.number), (loader, None)]),
                              (APPEND + " module.sig_enforce=1", [(enforced, 10 * args.number)])):
            with Guest(args.vmlinux, initrd, append, cpus=args.cpus, limit=1500, log=args.log) as guest:
                guest.expect("@READY@", 60)
                guest.check("dmesg -n 1; mount -t sysfs none /sys 2>/dev/null; true")
                for test, number in tests:
                    with report.attempt(test.__name__):
                        test(guest, spans, args.number) if number is None else test(guest, number, len(good))
    report.finish()


if __name__ == "__main__":
    main()

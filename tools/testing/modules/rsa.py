#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A kernel whose build key is one of RSA (CONFIG_MODULE_SIG_KEY_TYPE_RSA), started with module.sig_enforce=1: what it signed loads, and nothing
else does.

The kernel is made beside the one in KBUILD_OUTPUT, with its configuration but for the key, of the crates that were compiled for that one:
those that know the certificate are compiled anew, and all is linked. (The next build of the other compiles these few crates again.)
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
from damage import counts, only, sign  # noqa: E402
from guest import Guest, GuestError, Report, image, need, no_complaint, programs  # noqa: E402
from loader import SAMPLE  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1 module.sig_enforce=1"


def build(top):
    """The other kernel and its modules; the directory."""
    with open(os.path.join(top, ".config")) as f:
        samples = re.findall(r"CONFIG_(SAMPLE_RUST_\w+)", f.read())
    options = {name: None for name in ("MODULE_SIG_KEY_TYPE_ECDSA", *samples, "BLK_DEV_RAM", "BLK_DEV_NULL_BLK")}
    options.update({"MODULE_SIG_KEY": '"certs/signing_key.pem"', "MODULE_SIG_KEY_TYPE_RSA": "y", "SAMPLE_RUST_MINIMAL": "m"})
    # The default of RAM disks and null_blk is m: they would be compiled for nothing.
    return programs.kernel_beside(top, "rsa", options, new_key=True)


def key(guest, _):
    """Only what was signed with the key of the build is loaded."""
    need(guest.check("cat /sys/module/module/parameters/sig_enforce"), r"^Y$")
    guest.check("insmod /signed/rust_minimal.ko")
    if "(" in guest.check("cat /proc/modules"):
        raise GuestError("a signed module taints: " + guest.check("cat /proc/modules"))
    guest.check("rmmod rust_minimal")
    for name, why in (("unsigned", "unsigned module"), ("other", "module with unavailable key"), ("ecdsa", "module with unavailable key")):
        text = guest.run(f"dmesg -c >/dev/null; insmod /{name}/rust_minimal.ko 2>&1; dmesg")[1]
        need(text, r"ejected", rf"Loading of {why} is rejected")


def changed(guest, plain):
    """What was changed after it was signed."""
    only("enforced, flipped", counts(guest.check(f"damage /signed/rust_minimal.ko flip 300 5 0 {plain}", 600)), ("EKEYREJECTED",))
    only("enforced, cut", counts(guest.check("damage /signed/rust_minimal.ko cut 1024", 300)), ("EKEYREJECTED", "ENOEXEC"))
    guest.check("insmod /signed/rust_minimal.ko && rmmod rust_minimal")
    no_complaint(guest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.path.abspath(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report, program, other = Report(), os.path.join(programs.build("modules"), "damage"), build(top)
    own, ecdsa = (os.path.join(directory, "certs/signing_key.pem") for directory in (other, top))
    text = subprocess.run(["openssl", "x509", "-in", own, "-noout", "-text"], stdout=subprocess.PIPE, text=True, check=True).stdout
    report.add("the build's key is one of RSA, 4096 bits", "rsaEncryption" in text and "4096 bit" in text, text)
    with tempfile.TemporaryDirectory(prefix="rsa-") as work:
        stranger = os.path.join(work, "stranger.pem")
        subprocess.run(["openssl", "req", "-new", "-nodes", "-days", "2", "-batch", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=somebody else",
                        "-out", os.path.join(work, "cert"), "-keyout", os.path.join(work, "key")], check=True, stderr=subprocess.DEVNULL)
        with open(stranger, "w") as f:
            f.write("".join(open(os.path.join(work, name)).read() for name in ("key", "cert")))
        cpio, plain = image.base(), 0
        for name, pem in (("signed", own), ("unsigned", None), ("other", stranger), ("ecdsa", ecdsa)):
            path = os.path.join(work, name)
            shutil.copy(os.path.join(other, SAMPLE), path)
            subprocess.run(["strip", "--strip-debug", path], check=True)
            plain = os.path.getsize(path)
            if pem:
                sign(path, pem)
            cpio.dir(name)
            cpio.file(f"{name}/rust_minimal.ko", src=path, mode=0o644)
        cpio.file("bin/damage", src=program, mode=0o755)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with Guest(os.path.join(other, "vmlinux"), initrd, APPEND, cpus=args.cpus, limit=900, log=args.log) as guest:
            guest.expect("@READY@", 60)
            for test, value in ((key, None), (changed, plain)):
                with report.attempt(test.__name__):
                    test(guest, value)
    report.finish()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0
"""`make run`: boots the kernel and the default initramfs in QEMU, on this terminal.

RUN_KVM=1 uses KVM; RUN_APPEND adds words to the kernel's command line; further arguments go to QEMU.
"""

import os
import shutil
import sys

import kconfig

OBJTREE = kconfig.OBJTREE


def main():
    image = os.path.join(OBJTREE, "arch/x86/boot/bzImage")
    initrd = next((path for path in (os.path.join(OBJTREE, "usr/initramfs.cpio" + end) for end in (".gz", ""))
                   if os.path.exists(path)), None)
    if initrd is None:
        sys.exit("*** there is no initramfs: make initramfs")
    append = "console=ttyS0"
    if sys.stdin.isatty():
        size = shutil.get_terminal_size()
        append += f" TERM={os.environ.get('TERM', 'linux')} TTY_ROWS={size.lines} TTY_COLS={size.columns}"
    append += " " + os.environ.get("RUN_APPEND", "")
    kvm = os.environ.get("RUN_KVM", "") not in ("", "0")
    line = [os.environ.get("QEMU") or "qemu-system-x86_64", "-M", "q35", "-accel", "kvm" if kvm else "tcg",
            "-cpu", "host" if kvm else "max", "-m", "512", "-smp", "2", "-nographic", "-no-reboot",
            "-kernel", image, "-initrd", initrd, "-append", append.strip(), *sys.argv[1:]]
    if os.environ.get("V", "") not in ("", "0"):
        print(" ".join(line), flush=True)
    os.execvp(line[0], line)


if __name__ == "__main__":
    main()

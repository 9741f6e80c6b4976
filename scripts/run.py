# SPDX-License-Identifier: GPL-2.0
"""`make run`: boots the kernel and the default initramfs in QEMU, on this terminal.

ROOTFS=debian boots from the disk that scripts/rootfs.py makes, instead of the initramfs (root without a password).
SHARE=dir shares that directory of the host: the default initramfs mounts it at /mnt/share (`mount -t 9p -o trans=virtio share DIR`
elsewhere). Run by root, files have the owners that they have on the host; else these are kept in extended attributes.
RUN_KVM=1 uses KVM; RUN_APPEND adds words to the kernel's command line; further arguments go to QEMU.
"""

import os
import shutil
import sys

import kconfig
import rootfs

OBJTREE = kconfig.OBJTREE


def initramfs():
    """The default initramfs."""
    for end in (".gz", ""):
        path = os.path.join(OBJTREE, "usr/initramfs.cpio" + end)
        if os.path.exists(path):
            return path
    sys.exit("*** there is no initramfs: make initramfs")


def share(directory):
    """What gives the guest `directory` by the tag `share`."""
    if not os.path.isdir(directory):
        sys.exit(f"*** SHARE={directory}: there is no such directory")
    model = "none" if os.geteuid() == 0 else "mapped-xattr"
    path = os.path.abspath(directory).replace(",", ",,")
    print(f"{directory} is /mnt/share in the guest's default initramfs (else: mount -t 9p -o trans=virtio share DIR)", flush=True)
    return ["-fsdev", f"local,id=share,path={path},security_model={model},multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]


def main():
    image = os.path.join(OBJTREE, "arch/x86/boot/bzImage")
    append = "console=ttyS0"
    if os.environ.get("ROOTFS"):
        append += " root=/dev/vda rw"
        disk = rootfs.image(os.environ["ROOTFS"])
        source = ["-drive", f"file={disk},format=raw,if=none,id=root", "-device", "virtio-blk-pci,drive=root"]
    else:
        source = ["-initrd", initramfs()]
    if os.environ.get("SHARE"):
        source += share(os.environ["SHARE"])
    if sys.stdin.isatty():
        size = shutil.get_terminal_size()
        append += f" TERM={os.environ.get('TERM', 'linux')} TTY_ROWS={size.lines} TTY_COLS={size.columns}"
    append += " " + os.environ.get("RUN_APPEND", "")
    kvm = os.environ.get("RUN_KVM", "") not in ("", "0")
    line = [os.environ.get("QEMU") or "qemu-system-x86_64", "-M", "q35", "-accel", "kvm" if kvm else "tcg",
            "-cpu", "host" if kvm else "max", "-m", "512", "-smp", "2", "-nographic", "-no-reboot",
            "-kernel", image, "-append", append.strip(), *source, *sys.argv[1:]]
    if os.environ.get("V", "") not in ("", "0"):
        print(" ".join(line), flush=True)
    os.execvp(line[0], line)


if __name__ == "__main__":
    main()

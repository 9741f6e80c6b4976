#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make bench`: instructions per operation, Debian's kernel against ours.

The same image and the same QEMU line run three times: Debian's cloud kernel as shipped, tuned (see TUNED), and the
kernel given. QEMU's clock counts instructions (`-icount shift=0,sleep=off`), so figures repeat on any host.

The row `boot` is the instructions from a kernel's entry to the first instruction of /init: the counter read there
less what a stub in the kernel's place reads at its entry (firmware and loading). A bzImage's entry is its 16-bit one,
so its decompression counts; a vmlinux starts by PVH. Debian's kernel is measured the way ours starts: its vmlinux,
taken out of its bzImage, for a vmlinux.

Linux's figures are kept under the build directory and measured again when the program, QEMU or the package changes.
"""

import argparse
import glob
import hashlib
import json
import math
import os
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, debian, image, programs  # noqa: E402
from guest.qemu import QEMU  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
TUNED = "mitigations=off init_on_alloc=0 apparmor=0 audit=0"
MEMORY = 512
BUILD = programs.build_dir("bench")


def make_image():
    """The initramfs: bench-init as /init, bench, tiny. Returns its path."""
    built = programs.build("bench")
    cpio = image.Cpio()
    for name in ("dev", "proc", "tmp", "sys"):
        cpio.dir(name)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.node("dev/null", "c", 1, 3, 0o666)
    cpio.node("dev/zero", "c", 1, 5, 0o666)
    cpio.file("init", src=os.path.join(built, "bench-init"), mode=0o755)
    for name in ("bench", "tiny"):
        cpio.file("bin/" + name, src=os.path.join(built, name), mode=0o755)
    path = os.path.join(BUILD, "bench.cpio")
    cpio.write(path)
    return path


def with_modules(initrd, name, files):
    """`initrd` and these modules, as NAME.cpio. Returns its path."""
    cpio = image.Cpio()
    cpio.dir("modules")
    for file in files:
        cpio.file("modules/" + os.path.basename(file), src=file)
    path = os.path.join(BUILD, name + ".cpio")
    cpio.write(path)
    with open(initrd, "rb") as base, open(path, "rb+") as out:
        own = out.read()
        out.seek(0)
        out.write(base.read() + own)
    return path


# The modules that rows load. The large ones our configuration has in the image: a kernel without them is made for their rows.
SMALL = ("fs/configfs/configfs.ko", "drivers/block/null_blk/null_blk.ko")
LARGE = {"OVERLAY_FS": "fs/overlayfs/overlay.ko", "SQUASHFS": "fs/squashfs/squashfs.ko"}
LARGE_ROWS = ("insmod_overlay", "insmod_squashfs")
# What a large one has at least, as installed.
LARGE_SIZE = 100 * 1024


def below(root, names):
    """Those of these modules that are installed below `root`."""
    return [path for name in names for path in glob.glob(os.path.join(root, "lib/modules/*/kernel", name))]


def linux_modules(kernel):
    """The modules of Debian's kernel package that the rows load."""
    return below(os.path.dirname(os.path.dirname(kernel)), [*SMALL, *LARGE.values()])


def installed(top, name):
    """Installs the modules of the kernel in `top` as `make modules_install INSTALL_MOD_STRIP=1` does; where."""
    into = os.path.join(BUILD, name)
    done = programs.make("-s", "O=" + os.path.abspath(top), "modules_install", "INSTALL_MOD_PATH=" + into, "INSTALL_MOD_STRIP=1")
    if done.returncode:
        raise SystemExit(done.stdout)
    return into


def our_modules():
    """The same of the kernel in KBUILD_OUTPUT."""
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    return below(installed(top, "modules"), SMALL) if os.path.exists(os.path.join(top, "modules.order")) else []


def large_rows(plain, append, machine, rows, limit):
    """What loading large modules costs, measured on a kernel beside ours that has them as modules."""
    # The other modules would be compiled for nothing.
    options = {**{name: "m" for name in LARGE}, "BLK_DEV_RAM": None, "BLK_DEV_NULL_BLK": None}
    other = programs.kernel_beside(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE, "large", options)
    files = below(installed(other, "large-modules"), LARGE.values())
    small = [path for path in files if os.path.getsize(path) < LARGE_SIZE]
    if small or len(files) != len(LARGE):
        raise SystemExit(f"bench: not all of {', '.join(LARGE.values())} are there and have {LARGE_SIZE} bytes: {small or files}")
    found = measure("large", os.path.join(other, "vmlinux"), with_modules(plain, "large", files), append, machine,
                    ["rows=" + ",".join(rows)], limit)
    return {name: value for name, value in found.items() if name != "boot"}


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def lz4_legacy(data):
    """The contents of an LZ4 file of the legacy frame, as the kernel's build makes."""
    out, at = bytearray(), 4
    while at + 4 <= len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        at += 4
        if size == 0 or at + size > len(data):
            break
        block, i, start = data[at:at + size], 0, len(out)
        at += size
        while i < size:
            token = block[i]
            i += 1
            count = token >> 4
            if count == 15:
                while True:
                    count += block[i]
                    i += 1
                    if block[i - 1] != 255:
                        break
            out += block[i:i + count]
            i += count
            if i >= size:
                break
            back = block[i] | block[i + 1] << 8
            i += 2
            count = (token & 15) + 4
            if token & 15 == 15:
                while True:
                    count += block[i]
                    i += 1
                    if block[i - 1] != 255:
                        break
            src = len(out) - back
            if src < start - 65536 or src < 0:
                raise ValueError("bad LZ4 data")
            if back >= count:
                out += out[src:src + count]
            else:
                piece = bytes(out[src:])
                out += (piece * (count // back + 1))[:count]
    return bytes(out)


def vmlinux_of(bzimage):
    """The ELF file inside a bzImage (LZ4 or not compressed), written beside the other results."""
    path = os.path.join(BUILD, os.path.basename(bzimage) + ".elf")
    if os.path.exists(path):
        return path
    data = open(bzimage, "rb").read()
    base = (data[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = data[base + offset:base + offset + length]
    if payload[:4] == b"\x02\x21\x4c\x18":
        payload = lz4_legacy(payload)
    if payload[:4] != b"\x7fELF":
        raise SystemExit(f"cannot take the vmlinux out of {bzimage}")
    with open(path + ".tmp", "wb") as f:
        f.write(payload)
    os.rename(path + ".tmp", path)
    return path


def stub(elf):
    """Builds the kernel that only tells when it was entered."""
    name = "entry_pvh" if elf else "entry_bzimage"
    out = os.path.join(BUILD, name)
    subprocess.run(["gcc", "-c", "-m64", "-o", out + ".o", os.path.join(HERE, name + ".S")], check=True)
    if elf:
        subprocess.run(["ld", "-N", "--no-warn-rwx-segments", "-Ttext=0x1000000", "-e", "_start", "-o", out, out + ".o"], check=True)
    else:
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", out + ".o", out], check=True)
    return out


def entry(kernel, initrd, machine):
    """The counter when a kernel of `kernel`'s kind is entered."""
    with Guest(stub(is_elf(kernel)), initrd, APPEND, machine=machine, memory=MEMORY, icount=True, limit=120,
               extra=["-device", "isa-debug-exit"], log=os.path.join(BUILD, "entry.log")) as g:
        return int(g.expect(r"([0-9a-f]{16})\s", 100).group(1), 16)


def measure(name, kernel, initrd, append, machine, words, limit):
    """Boots `kernel` and returns {row: instructions, or None where the facility is missing}."""
    started = entry(kernel, initrd, machine)
    rows, at = {}, time.monotonic()
    print(f"# {name}: {kernel}", file=sys.stderr, flush=True)
    with Guest(kernel, initrd, " ".join([append, *words]), machine=machine, memory=MEMORY, icount=True, limit=limit,
               log=os.path.join(BUILD, name + ".log")) as g:
        try:
            g.expect("@BENCH BEGIN@", limit)
            while True:
                # To the newline: `$` would also match behind the first digits of a line that is still coming in.
                found = g.expect(r"^(?:(@BENCH END@)|([a-z]\w*) (?:(skip) )?(-?[\d.]+))\r*\n", limit)
                if found.group(1):
                    break
                row = found.group(2)
                rows[row] = None if found.group(3) else float(found.group(4))
        except GuestError as why:
            last = g.text.rstrip().rpartition("\n")[2]
            print(f"bench: {name} stopped after {len(rows)} rows, last line {last!r}\n{why}", file=sys.stderr)
            rows["!"] = str(why)
    if "boot" in rows:
        rows["boot"] -= started
    print(f"# {name}: {len(rows)} rows in {time.monotonic() - at:.0f} s", file=sys.stderr, flush=True)
    return rows


def fingerprint(*paths, words=()):
    text = hashlib.sha256(subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE).stdout)
    for path in paths:
        with open(path, "rb") as f:
            text.update(hashlib.sha256(f.read()).digest())
    text.update(repr(words).encode())
    return text.hexdigest()


def cached(name, key, get):
    """`get()`'s rows, kept in NAME.json as long as `key` is the same and the run was complete."""
    path = os.path.join(BUILD, name + ".json")
    try:
        with open(path) as f:
            have = json.load(f)
        if have["key"] == key:
            return have["rows"]
    except (OSError, ValueError, KeyError):
        pass
    rows = get()
    if "!" not in rows:
        with open(path, "w") as f:
            json.dump({"key": key, "rows": rows}, f, indent=1)
    return rows


def cell(value):
    return "-" if value is None else f"{value:,.0f}"


# What the README shows of the table.
CHOSEN = ("boot", "null", "stat", "open_close", "pread_4k", "mmap_munmap", "anon_fault", "fork_exec", "thread_create_join",
          "futex_pingpong", "pipe_pingpong", "unix_pingpong", "context_switch_2", "signal", "readdir_64", "getcpu_vdso")


def table(results, only=None):
    """Markdown: row | Linux | tuned | Rideau | ratio; all rows, or those in `only`."""
    linux, tuned, ours = (results.get(k, {}) for k in ("linux", "tuned", "rideau"))
    lines = ["| row | Linux | tuned | Rideau | Rideau/tuned |", "|---|---:|---:|---:|---:|"]
    names = [n for n in dict.fromkeys([*linux, *tuned, *ours]) if n != "!"]
    for name in names if only is None else [n for n in names if n in only]:
        a, b, c = linux.get(name), tuned.get(name), ours.get(name)
        ratio = f"{c / b:.2f}" if b and c is not None else "-"
        lines.append(f"| {name} | {cell(a)} | {cell(b)} | {cell(c)} | {ratio} |")
    return "\n".join(lines)


BEGIN, END = "<!-- bench: begin (written by `make bench-docs`) -->", "<!-- bench: end -->"


def insert(path, text, begin=BEGIN, end=END):
    """Replaces what stands between the marks in the Markdown file `path` by `text`."""
    with open(path) as f:
        whole = f.read()
    head, found, rest = whole.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"bench: {path} has no place for the table: {begin} ... {end}")
    with open(path, "w") as f:
        f.write(f"{head}{begin}\n{text}\n{end}{tail}")


def mean(results):
    """The geometric mean of the rows' ratios to tuned Linux, the boot not among them."""
    tuned, ours = results["tuned"], results["rideau"]
    logs = [math.log(ours[k] / v) for k, v in tuned.items() if k not in ("!", "boot") and v and ours.get(k)]
    return math.exp(sum(logs) / len(logs)) if logs else None


def verdict(results, most, boot_most):
    """Counts rows at or under the ratio wanted; prints those above."""
    tuned, ours = results["tuned"], results["rideau"]
    good, above, missing = 0, [], []
    for name, value in tuned.items():
        if value is None or name == "!":
            continue
        if ours.get(name) is None:
            missing.append(name)
        elif ours[name] <= value * (boot_most if name == "boot" else most):
            good += 1
        else:
            above.append(f"{name} {ours[name] / value:.2f}")
    if above:
        print("above: " + ", ".join(above))
    if missing:
        print("missing: " + ", ".join(missing))
    print(f"{good} passed, {len(above)} failed, {len(missing)} skipped")
    return not above


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", default=None, help="our kernel (default: what make built)")
    p.add_argument("--no-kernel", action="store_true", help="only measure Debian's kernel")
    p.add_argument("--linux", default=None, help="the kernel to compare with (default: Debian's cloud kernel)")
    p.add_argument("--machine", default="q35")
    p.add_argument("--append", default="", help="more words for our kernel's command line")
    p.add_argument("--rows", help="only these rows (comma-separated)")
    p.add_argument("--skip", help="not these rows")
    p.add_argument("--limit", type=int, default=600, help="seconds for one boot")
    p.add_argument("--write", nargs="+", default=[], metavar="FILE", help="put the table into these Markdown files")
    p.add_argument("--check", action="store_true", help="exit with 1 if a row is above 1.0 (boot: 0.25) of tuned")
    a = p.parse_args()
    ours = None if a.no_kernel else a.kernel or programs.default_kernel()
    if ours and not os.path.exists(ours):
        raise SystemExit(f"bench: there is no kernel {ours}")
    words = [f"{k}={v}" for k, v in (("rows", a.rows), ("skip", a.skip)) if v]
    initrd, linux = make_image(), a.linux or debian.kernel()
    if ours is None or is_elf(ours):
        linux = vmlinux_of(linux)
    plain, initrd = initrd, with_modules(initrd, "linux", [] if a.linux else linux_modules(debian.kernel()))
    key = fingerprint(initrd, linux, words=(a.machine, a.rows, a.skip, 2))
    kind = ("pvh" if is_elf(linux) else "bzimage") + ("-some" if words else "")
    results = {}
    for name, more in (("linux", ""), ("tuned", TUNED)):
        results[name] = cached(f"{name}-{kind}", key, lambda: measure(
            name, linux, initrd, f"{APPEND} {more}".strip(), a.machine, words, a.limit))
    if ours:
        initrd = with_modules(plain, "rideau", [] if a.kernel else our_modules())
        append = f"{APPEND} {a.append}".strip()
        results["rideau"] = measure("rideau", ours, initrd, append, a.machine, words, a.limit)
        large = [row for row in LARGE_ROWS if row in (a.rows or row).split(",") and row not in (a.skip or "").split(",")]
        if large and not a.kernel and our_modules():
            results["rideau"].update(large_rows(plain, append, a.machine, large, a.limit))
    text = table(results)
    end = ""
    if ours and mean(results):
        end = f"\n\nGeometric mean of the ratios, the boot not among them: {mean(results):.2f}."
    text += end
    print(text)
    for path in a.write if "!" not in results.get("rideau", {}) else []:
        short = os.path.basename(path).startswith("README")
        insert(path, table(results, CHOSEN) + end if short else text)
    with open(os.path.join(BUILD, "table.md"), "w") as f:
        f.write(text + "\n")
    with open(os.path.join(BUILD, "results.json"), "w") as f:
        json.dump(results, f, indent=1)
    if ours:
        good = verdict(results, 1.0, 0.25)
        return 1 if "!" in results["rideau"] or (a.check and not good) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

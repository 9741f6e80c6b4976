#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Linux's own Rust modules, unmodified, on this kernel: compiled with `make M=`, loaded in a guest, and what they say compared.

The sources come from Debian's newest linux-source package (linux.py). `--write` makes Documentation/rust/compatibility.md, all of it;
`--examples` also compiles the documentation examples of Rust-for-Linux's `kernel` crate one by one (examples.py).
A module up to `DONE` that fails is a failure of the test; beyond it the table shows how far it is.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import examples  # noqa: E402
import linux  # noqa: E402
import ssdt  # noqa: E402
from guest import Guest, GuestError, Report, image, need, no_complaint, programs  # noqa: E402
from rungs import DMESG, RUNGS  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
# The modules of these rungs must compile, load and say what they say on Linux.
DONE = 11
PAGE = os.path.join(programs.SRCTREE, "Documentation/rust/compatibility.md")


class Result:
    """What became of a module."""

    def __init__(self, rung):
        self.rung, self.compiles, self.errors, self.loads, self.same, self.why = rung, False, 0, None, None, ""
        self.missing, self.ko = set(), None


def build(rung, tree, work, objtree):
    """Compiles a module as its author would outside of the tree."""
    result = Result(rung)
    directory = os.path.join(work, rung.name)
    os.makedirs(directory)
    for name in rung.files:
        target = os.path.join(directory, os.path.relpath(name, os.path.dirname(rung.files[0])))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.join(tree, name), target)
    root = os.path.basename(rung.files[0]).removesuffix(".rs")
    with open(os.path.join(directory, "Makefile"), "w") as f:
        f.write(f"obj-m := {rung.name}.o\n" + (f"{rung.name}-y := {root}.o\n" if root != rung.name else ""))
    done = programs.make(f"O={objtree}", f"M={directory}", "modules")
    result.ko = os.path.join(directory, rung.name + ".ko")
    result.compiles = done.returncode == 0 and os.path.exists(result.ko)
    if not result.compiles:
        result.errors = len(re.findall(r"^error(?:\[E\d+\])?: (?!aborting )", done.stdout, re.M))
        result.missing = examples.missing(done.stdout)
        result.why = "\n".join(line for line in done.stdout.splitlines() if line.startswith("error"))[:1500]
        if os.environ.get("V"):
            print(done.stdout)
    return result


def c_program(source, work):
    """The program in a module's comment, compiled; None if there is none."""
    with open(source) as f:
        text = f.read()
    block = re.search(r"//! ```c\n(.*?)//! ```", text, re.S)
    if not block:
        return None
    lines = [line.removeprefix("//!").removeprefix(" ") for line in block.group(1).splitlines()]
    path = os.path.join(work, "program.c")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    subprocess.run(["cc", "-static", "-o", path[:-2], path], check=True)
    return path[:-2]


def run(guest, result):
    """Loads a module and goes through its transcript."""
    rung = result.rung
    status, text = guest.run(f"dmesg -c >/dev/null; insmod /{rung.name}.ko 2>&1")
    log = guest.check("dmesg -r -c | sed 's/^<[0-9]*>//; s/^\\[[^]]*\\] //'")
    result.loads = (status == 0) != bool(rung.fails)
    if not result.loads or rung.fails and rung.fails not in text:
        raise GuestError(f"insmod: status {status}, {text.strip()}\n{log}")
    for command, patterns in rung.steps:
        if command is DMESG:
            shown, log = log or guest.check("dmesg -r -c | sed 's/^<[0-9]*>//; s/^\\[[^]]*\\] //'"), ""
        else:
            shown = guest.run(command)[1]
        try:
            need(shown.replace("\r", ""), *patterns)
        except GuestError as error:
            raise GuestError(f"after {command if command is not DMESG else 'dmesg'}: {error}") from None
    if not rung.fails:
        guest.check(f"rmmod {rung.name}")
    if rung.name in guest.check("cat /proc/modules"):
        raise GuestError("it is still loaded")
    no_complaint(guest)


def counted(number, noun):
    """`1 name`, `2 names`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def wanting(result):
    """What keeps a module from being compiled."""
    return f"{counted(len(result.missing), 'name')} missing, {counted(result.errors, 'error')}"


def word(value):
    return {True: "yes", False: "no", None: "-"}[value]


def modules_part(tree, results):
    """The table of the modules."""
    lines = ["The modules of Linux, unmodified, compiled with `make M=` against the `kernel` crate, loaded in a guest (debug kernel), and what",
             "they say and do compared with Linux. Beyond what is done, the number of names that are missing.", "",
             "| rung | module | lines | compiles | loads | transcript | |", "|---|---|---|---|---|---|---|"]
    for r in results:
        size = sum(len(open(os.path.join(tree, name)).readlines()) for name in r.rung.files)
        note = r.rung.note if r.compiles else wanting(r)
        lines.append(f"| {r.rung.number} | {r.rung.name} | {size} | {word(r.compiles)} | {word(r.loads)} | {word(r.same)} | {note} |")
    return lines


def examples_part(shares, failures):
    """The shares of the examples, and why the others do not compile."""
    good, every = sum(g for g, _ in shares.values()), sum(n for _, n in shares.values())
    lines = ["## Documentation examples", "",
             f"The examples in the documentation of Rust-for-Linux's `kernel` crate that compile against ours: {good} of {every} "
             f"({100 * good // max(every, 1)} %).", "", "| module | compile | of |", "|---|---|---|"]
    lines += [f"| {name} | {g} | {n} |" for name, (g, n) in sorted(shares.items())]
    if failures:
        lines += ["", "Those that do not, and what they miss:", "", "| file | example | |", "|---|---|---|"]
        lines += [f"| {failure.file} | {failure.number} | {failure.why} |" for failure in failures]
    return lines


def page(tree, parts):
    """Writes the page: `parts` are lines by name; a part that is None stays as it was."""
    try:
        with open(PAGE) as f:
            old = f.read()
    except OSError:
        old = ""
    version = os.path.basename(tree).removeprefix("linux-")
    lines = ["<!-- SPDX-License-Identifier: GPL-2.0 -->", "<!-- Made by tools/testing/rust/compat.py; do not edit. -->",
             f"# Linux {version}'s Rust modules on Rideau"]
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if part is None:
            found = re.search(re.escape(begin) + r"\n(.*?)\n" + re.escape(end), old, re.S)
            part = found.group(1).split("\n") if found else []
        if part:
            lines += ["", begin, *part, end]
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--only", help="the module of that name alone")
    parser.add_argument("--examples", action="store_true", help="the documentation's examples too")
    parser.add_argument("--no-modules", action="store_true", help="no module: with --examples, no guest is started")
    parser.add_argument("--write", action="store_true", help="write the page; a part that was not tried stays as it is there")
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report, tree = Report(), linux.tree()
    with tempfile.TemporaryDirectory(prefix="compat-") as work:
        results = [build(rung, tree, work, os.path.abspath(top)) for rung in RUNGS
                   if not args.no_modules and args.only in (None, rung.name)]
        for r in results:
            if r.compiles or r.rung.number <= DONE and not r.rung.later or args.only:
                report.add(f"{r.rung.name}: compiles", r.compiles, r.why)
            else:
                print(f"        {r.rung.name} (rung {r.rung.number}): {wanting(r)}: {', '.join(sorted(r.missing))[:300]}")
        for number in sorted({r.rung.number for r in results if not r.compiles and r.rung.number > DONE}):
            names = set().union(*(r.missing for r in results if r.rung.number == number))
            print(f"        rung {number}: {counted(len(names), 'name')} missing in all")
        loadable = [r for r in results if r.compiles and r.rung.load]
        if loadable:
            cpio = image.base()
            for r in loadable:
                subprocess.run(["strip", "--strip-debug", r.ko], check=True)
                subprocess.run([sys.executable, os.path.join(programs.SRCTREE, "scripts/certs.py"), "sign-with",
                                os.path.join(top, "certs/signing_key.pem"), r.ko], check=True)
                cpio.file(f"{r.rung.name}.ko", src=r.ko, mode=0o644)
                program = c_program(os.path.join(tree, r.rung.files[0]), work) if r.rung.program else None
                if program:
                    cpio.file(r.rung.program, src=program, mode=0o755)
            initrd = os.path.join(work, "initrd")
            cpio.write(initrd)
            table = os.path.join(work, "ssdt.aml")
            with open(table, "wb") as f:
                f.write(ssdt.table())
            extra = ["-device", "pci-testdev", "-acpitable", f"file={table}"]
            with Guest(os.path.join(top, "vmlinux"), initrd, APPEND, cpus=args.cpus, limit=600, extra=extra, log=args.log) as guest:
                guest.expect("@READY@", 60)
                guest.run("mount -t sysfs none /sys 2>/dev/null; mount -t proc none /proc 2>/dev/null; true")
                for r in loadable:
                    try:
                        run(guest, r)
                        r.same = True
                        report.ok(f"{r.rung.name}: loads, transcript")
                    except GuestError as error:
                        r.same = False
                        report.fail(f"{r.rung.name}: loads, transcript", error)
        compiled = examples.compile_all(tree, work, *examples.compiler(os.path.abspath(top))) if args.examples else None
        if compiled:
            for failure in compiled[1]:
                print(f"        {failure.file}, example {failure.number}: {failure.why}")
    if args.write:
        whole = modules_part(tree, results) if args.only is None and not args.no_modules else None
        page(tree, {"modules": whole, "examples": examples_part(*compiled) if compiled else None})
    report.finish()


if __name__ == "__main__":
    main()

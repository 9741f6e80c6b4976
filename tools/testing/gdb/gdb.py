#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""scripts/gdb/vmlinux-gdb.py on QEMU's stub, with a kernel that KASLR has moved: tasks, CPUs, log, version, a breakpoint.

Builds a kernel with CONFIG_DEBUG_INFO=y below build/check/gdb first, unless --build names one that is there.
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
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

SCRIPT = os.path.join(programs.SRCTREE, "scripts/gdb/vmlinux-gdb.py")


def make(objtree):
    """A kernel with types for gdb."""
    env = {key: value for key, value in os.environ.items() if key not in ("KBUILD_OUTPUT", "objtree", "srctree", "MAKEFLAGS")}
    for goal in ("defconfig", "gdb.config", "vmlinux"):
        done = subprocess.run(["make", "-C", programs.SRCTREE, f"O={objtree}", goal], env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise SystemExit(f"make {goal} failed:\n{done.stdout[-3000:]}")


def debug(objtree, port, *commands, timeout=120):
    """What gdb prints on these commands, after connecting."""
    argv = ["gdb", "-nx", "-batch", "-ex", "set pagination off", "-x", SCRIPT, os.path.join(objtree, "vmlinux.debug"),
            "-ex", f"target remote {port}"]
    for command in commands:
        argv += ["-ex", f"echo @@\\n", "-ex", command]
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, stdin=subprocess.DEVNULL)
    return done.stdout.split("@@\n")[1:], done.stdout


def test(args, report, work):
    """All of it on one machine."""
    initrd = os.path.join(work, "initrd")
    image.base().write(initrd)
    port = os.path.join(work, "gdb.sock")
    stub = ["-chardev", f"socket,id=gdb,path={port},server=on,wait=off", "-gdb", "chardev:gdb"]
    with Guest(os.path.join(args.build, "vmlinux"), initrd, cpus=2, extra=stub, limit=300) as guest:
        guest.expect("@READY@", 60)
        guest.check("sleep 1000 & echo '<4>said by a program' > /dev/kmsg")
        parts, whole = debug(args.build, port, "lx-symbols", "lx-version", "lx-cpus", "lx-ps", "lx-dmesg",
                             "break process::misc::sys_newuname", "info breakpoints")
        if len(parts) != 7:
            report.fail("gdb", whole)
            return
        symbols, version, cpus, ps, dmesg, _, breakpoints = parts
        report.add("lx-symbols: a slide of KASLR", re.search(r"^kernel at 0x[0-9a-f]*00000 from", symbols, re.M), symbols)
        report.add("lx-version", re.search(r"^Linux version 6\.\d", version, re.M), version)
        report.add("lx-cpus: two CPUs", len(re.findall(r"^CPU \d: 0xffff[0-9a-f]+ \d+ \S+$", cpus, re.M)) == 2, cpus)
        for name in ("init", "kthreadd", "sleep"):
            report.add(f"lx-ps: {name}", re.search(rf"^0xffff[0-9a-f]+ +\d+ [A-Z] +\d {name}$", ps, re.M), ps)
        report.add("lx-dmesg", re.search(r"^\[ *\d+\.\d{6}\] said by a program$", dmesg, re.M), dmesg[-500:])
        report.add("a breakpoint by name", re.search(r"sys_newuname.* at |misc\.rs:\d+", breakpoints), breakpoints)
        status, text = guest.run("uname", 30)
        report.add("the kernel goes on", status == 0 and text == "Linux\n", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="build output of a kernel with CONFIG_DEBUG_INFO=y")
    args = parser.parse_args()
    report = Report()
    if not shutil.which("gdb"):
        report.skip("gdb", "there is no gdb (apt-get install gdb)")
        report.finish()
        return
    if args.build is None:
        top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
        args.build = os.path.join(top, "build/gdb")
        make(args.build)
    work = tempfile.mkdtemp(prefix="gdb-")
    try:
        test(args, report, work)
    except GuestError as error:
        report.fail("gdb", error)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.finish()


if __name__ == "__main__":
    main()

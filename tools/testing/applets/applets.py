#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every applet of Debian's busybox that needs neither disk nor network: run in the guest, compared with Linux's output.

scripts/NAME.sh runs in the guest in an empty directory of tmpfs; what it prints (both streams) is expected/NAME.out,
which --regen writes by booting Debian's kernel twice (lines that differ between the two boots are an error: a script
must be deterministic). Each script is a result.
"""

import argparse
import difflib
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402

SCRIPTS, EXPECTED = os.path.join(HERE, "scripts"), os.path.join(HERE, "expected")
APPEND = "console=ttyS0 quiet loglevel=1 panic=-1"

INIT = image.SETUP + """
hostname guest
stty -onlcr
dmesg -n 1
for script in /scripts/*.sh; do
	name=${script##*/}; name=${name%.sh}
	rm -rf /tmp/* /tmp/.[!.]*; mkdir -p /tmp/work; cd /tmp/work
	echo "@START $name@"
	timeout 60 sh $script < /dev/null > /run/out 2>&1
	status=$?
	cd /
	echo "@BEGIN $name@"
	cat /run/out
	echo "@END $name $status@"
	hostname guest
done
echo "@DONE@"
poweroff -f
"""


def names(only):
    """The scripts, all or those whose name holds one of `only`."""
    have = sorted(f[:-3] for f in os.listdir(SCRIPTS) if f.endswith(".sh"))
    return [n for n in have if not only or any(o in n for o in only)]


def make_image(chosen):
    """The initramfs with the chosen scripts; returns its path."""
    cpio = image.base(INIT)
    for name in chosen:
        cpio.file(f"scripts/{name}.sh", src=os.path.join(SCRIPTS, name + ".sh"))
    path = os.path.join(programs.build_dir("applets"), "applets.cpio")
    cpio.write(path)
    return path


def clean(text):
    """What may differ between runs for no reason of the kernel's: the shell's name and line of an error stays."""
    return re.sub(r"^\[ *\d+\.\d+\] .*\n", "", no_ansi(text), flags=re.M)


def run(kernel, initrd, cpus, limit, log, machine="q35", memory=512):
    """Boots and returns ({name: (status, output)}, what went wrong or None)."""
    out = {}
    with Guest(kernel, initrd, APPEND, machine=machine, memory=memory, cpus=cpus, limit=limit, log=log) as g:
        try:
            while True:
                found = g.expect(r"^@(DONE|BEGIN ([\w-]+))@\r?\n", limit)
                if found.group(1) == "DONE":
                    return out, None
                name = found.group(2)
                end = g.expect(r"@END %s (\d+)@\r?\n" % re.escape(name), limit)
                out[name] = (int(end.group(1)), clean(g.before))
        except GuestError as why:
            last = re.findall(r"@START ([\w-]+)@", g.text)
            return out, f"{why}" + (f" (in {last[-1]})" if last else "")


def text_of(result):
    """What is kept for a script: its output and its exit status."""
    status, output = result
    return output + f"exit {status}\n"


def regen(linux, chosen, initrd, limit):
    """Writes expected/ from two boots of Debian's kernel."""
    os.makedirs(EXPECTED, exist_ok=True)
    build = programs.build_dir("applets")
    one, why = run(linux, initrd, 1, limit, os.path.join(build, "linux1.log"))
    two, why2 = run(linux, initrd, 2, limit, os.path.join(build, "linux2.log"))
    bad = 0
    for trouble in filter(None, (why, why2)):
        print(trouble)
        bad += 1
    for name in chosen:
        if name not in one or name not in two:
            print(f"{name}: did not end")
            bad += 1
            continue
        if one[name] != two[name]:
            bad += 1
            print(f"{name}: differs between two boots of the same kernel:")
            sys.stdout.writelines(difflib.unified_diff(text_of(one[name]).splitlines(True),
                                                       text_of(two[name]).splitlines(True), "one", "two", n=1))
            continue
        with open(os.path.join(EXPECTED, name + ".out"), "w") as f:
            f.write(text_of(one[name]))
    return bad


def uncovered(busybox):
    """Applets that no script names."""
    text = "".join(open(os.path.join(SCRIPTS, n + ".sh")).read() for n in names(()) if n != "35-usage")
    words = set(re.findall(r"[\w.-]+|\[\[|\[", text))
    return [a for a in image.busybox_applets(busybox) if a not in words]


def differences():
    """What still differs from Linux, with the reason: `NAME REASON` a line of the file `differences`. The list only shrinks."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "differences")) as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return {name: reason.strip() for name, reason in lines}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", help="our kernel (default: what make built)")
    p.add_argument("--cpus", type=int, default=2)
    p.add_argument("--memory", type=int, default=512)
    p.add_argument("--machine", default="q35")
    p.add_argument("--limit", type=int, default=600)
    p.add_argument("--regen", action="store_true", help="write expected/ from Debian's kernel")
    p.add_argument("--coverage", action="store_true", help="list the applets that no script names, and stop")
    p.add_argument("only", nargs="*", help="parts of script names")
    a = p.parse_args()
    if a.coverage:
        print(" ".join(uncovered(debian.busybox())))
        return
    chosen = names(a.only)
    initrd = make_image(chosen)
    if a.regen:
        sys.exit(1 if regen(debian.kernel(), chosen, initrd, a.limit) else 0)
    report, known = Report(), differences()
    log = os.path.join(programs.build_dir("applets"), "guest.log")
    out, why = run(a.kernel or programs.default_kernel(), initrd, a.cpus, a.limit, log, a.machine, a.memory)
    for name in chosen:
        if name not in out:
            report.fail(name, "did not run to its end")
            continue
        with open(os.path.join(EXPECTED, name + ".out")) as f:
            want = f.read()
        got = text_of(out[name])
        diff = difflib.unified_diff(want.splitlines(), got.splitlines(), "linux", "here", n=1, lineterm="")
        if name in known and got != want:
            report.skip(name, known[name])
        elif name in known:
            report.fail(name, "passes, but is on the list of differences: take it off")
        else:
            report.add(name, got == want, "\n".join(list(diff)[:60]))
    if why:
        report.fail("the guest ran to its end", why)
    report.finish()


if __name__ == "__main__":
    main()

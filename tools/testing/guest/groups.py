# SPDX-License-Identifier: GPL-2.0
"""Groups of commands: shell scripts that run in the guest, whose output is held against Debian's kernel's.

A directory has `scripts/NAME.sh`, `expected/NAME.out` (what Debian's kernel printed: both streams and the exit status;
`--regen` writes them from two boots, since a script must print the same each time), and `differences` (`NAME REASON` a line:
groups that still differ, and why; a group that passes must be taken off, so that the list only shrinks).
"""

import argparse
import difflib
import os
import re
import sys

from . import debian, programs
from .qemu import Guest, GuestError, no_ansi
from .report import Report

APPEND = "console=ttyS0 quiet loglevel=1 panic=-1"

# The loop of /init, for {shell}. The words are put together so that no echo of the script shows them.
LOOP = """
for script in /scripts/*.sh; do
	name=${{script##*/}}; name=${{name%.sh}}
	{clean}
	mkdir -p /tmp/work; cd /tmp/work
	echo "@START $name@"
	timeout {limit} {shell} $script < /dev/null > /run/out 2>&1
	status=$?
	cd /
	echo "@BEGIN $name@"
	cat /run/out
	echo "@END $name $status@"
	{after}
done
echo "@DONE@"
"""


class Groups:
    """The groups below directory `here`. make_image(chosen, scripts) gives a `Cpio` with all but the scripts themselves."""

    def __init__(self, here, make_image):
        self.name = os.path.basename(here)
        self.scripts, self.expected = os.path.join(here, "scripts"), os.path.join(here, "expected")
        self.differences = os.path.join(here, "differences")
        self.make_image = make_image

    def names(self, only=()):
        """The scripts, all or those whose name holds one of `only`."""
        have = sorted(f[:-3] for f in os.listdir(self.scripts) if f.endswith(".sh"))
        return [n for n in have if not only or any(o in n for o in only)]

    def known(self):
        """What still differs from Linux: {name: reason}."""
        if not os.path.exists(self.differences):
            return {}
        with open(self.differences, encoding="utf-8") as f:
            lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
        return {name: reason.strip() for name, reason in lines}

    def image(self, chosen):
        """The initramfs with the chosen scripts; returns its path."""
        cpio = self.make_image()
        for name in chosen:
            cpio.file(f"scripts/{name}.sh", src=os.path.join(self.scripts, name + ".sh"))
        path = os.path.join(programs.build_dir(self.name), self.name + ".cpio")
        cpio.write(path)
        return path

    def run(self, kernel, initrd, args, log, cpus=None):
        """Boots and returns ({name: (status, output)}, what went wrong or None)."""
        out = {}
        with Guest(kernel, initrd, APPEND, machine=args.machine, memory=args.memory, cpus=cpus or args.cpus,
                   limit=args.limit, log=os.path.join(programs.build_dir(self.name), log)) as g:
            try:
                while True:
                    found = g.expect(r"^@(DONE|BEGIN ([\w-]+))@\r?\n", args.limit)
                    if found.group(1) == "DONE":
                        return out, None
                    name = found.group(2)
                    end = g.expect(r"@END %s (\d+)@\r?\n" % re.escape(name), args.limit)
                    out[name] = (int(end.group(1)), clean(g.before))
            except GuestError as why:
                last = re.findall(r"@START ([\w-]+)@", g.text)
                return out, f"{why}" + (f" (in {last[-1]})" if last else "")

    def regen(self, chosen, initrd, args):
        """Writes expected/ from two boots of Debian's kernel; returns how many groups could not be written."""
        os.makedirs(self.expected, exist_ok=True)
        one, why = self.run(debian.kernel(), initrd, args, "linux1.log", 1)
        two, why2 = self.run(debian.kernel(), initrd, args, "linux2.log", 2)
        bad = 0
        for trouble in filter(None, (why, why2)):
            print(trouble)
            bad += 1
        for name in chosen:
            if name not in one or name not in two:
                print(f"{name}: did not end")
                bad += 1
            elif one[name] != two[name]:
                bad += 1
                print(f"{name}: differs between two boots of the same kernel:")
                sys.stdout.writelines(difflib.unified_diff(text_of(one[name]).splitlines(True),
                                                           text_of(two[name]).splitlines(True), "one", "two", n=1))
            else:
                with open(os.path.join(self.expected, name + ".out"), "w", encoding="utf-8") as f:
                    f.write(text_of(one[name]))
        return bad

    def compare(self, chosen, out, why, show_known):
        """Reports each group, and does not come back."""
        report, known = Report(), self.known()
        for name in chosen:
            if name not in out:
                report.fail(name, "did not run to its end")
                continue
            with open(os.path.join(self.expected, name + ".out"), encoding="utf-8") as f:
                want = f.read()
            got = text_of(out[name])
            diff = list(difflib.unified_diff(want.splitlines(), got.splitlines(), "linux", "here", n=1, lineterm=""))
            if name in known and got != want:
                report.skip(name, known[name])
                if show_known:
                    print("\n".join(diff))
            elif name in known:
                report.fail(name, "passes, but is on the list of differences: take it off")
            else:
                report.add(name, got == want, "\n".join(diff[:60]))
        if why:
            report.fail("the guest ran to its end", why)
        report.finish()

    def main(self, description, parser=None):
        """The program."""
        p = parser or argparse.ArgumentParser(description=description)
        p.add_argument("--kernel", help="our kernel (default: what make built)")
        p.add_argument("--cpus", type=int, default=2)
        p.add_argument("--memory", type=int, default=512)
        p.add_argument("--machine", default="q35")
        p.add_argument("--limit", type=int, default=600)
        p.add_argument("--regen", action="store_true", help="write expected/ from Debian's kernel")
        p.add_argument("--known", action="store_true", help="show how the groups on the list of differences differ")
        p.add_argument("only", nargs="*", help="parts of script names")
        args = p.parse_args()
        chosen = self.names(args.only)
        initrd = self.image(chosen)
        if args.regen:
            sys.exit(1 if self.regen(chosen, initrd, args) else 0)
        out, why = self.run(args.kernel or programs.default_kernel(), initrd, args, "guest.log")
        self.compare(chosen, out, why, args.known)


def clean(text):
    """Without what the kernel may print in between."""
    return re.sub(r"^\[ *\d+\.\d+\] .*\n", "", no_ansi(text), flags=re.M)


def text_of(result):
    """What is kept for a script: its output and its exit status."""
    status, output = result
    return output + f"exit {status}\n"

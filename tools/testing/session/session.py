#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The session a user has after `make run`: scripts/run.py on a pseudo-terminal of a certain size, with the default initramfs, and
everything typed that one types there. Then the ways out: `poweroff`, `reboot` with and without QEMU's -no-reboot.

`--record FILE` keeps what came over the terminal, escape sequences and all. `--make` starts `make run` itself.
"""

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402

ROWS, COLS = 31, 97
PROMPT = r"~ # "
SRCTREE = programs.SRCTREE
OBJTREE = os.environ.get("KBUILD_OUTPUT") or SRCTREE


class Terminal:
    """A program on a pseudo-terminal, and what it printed."""

    def __init__(self, argv, limit, record=None):
        self.raw, self.text, self.mark, self.end = "", "", 0, time.monotonic() + limit
        self.record = open(record, "wb") if record else None
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        env = dict(os.environ, objtree=OBJTREE, srctree=SRCTREE, TERM="xterm")
        for name in ("LINES", "COLUMNS"):       # these would win over the terminal's own size
            env.pop(name, None)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        self.fd = master

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.fd)
        if self.record:
            self.record.close()

    def _read(self, left):
        """Takes what comes within `left` seconds; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], max(0, left))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if self.record:
            self.record.write(data)
        # What is printed, without control sequences; one that has not come whole waits.
        self.raw += data.decode("utf-8", "replace")
        cut = re.search(r"\x1b(\[[0-9;?]*|[()]?)$", self.raw)
        at = cut.start() if cut and data else len(self.raw)
        self.text, self.raw = self.text + no_ansi(self.raw[:at]), self.raw[at:]
        return bool(data)

    def _tail(self):
        return "\n  ".join(["", *self.text.splitlines()[-15:]])

    def expect(self, pattern, timeout=30):
        """Waits for `pattern` in what was printed since the last match; returns what came before it."""
        regex, end = re.compile(pattern, re.M), min(time.monotonic() + timeout, self.end)
        while True:
            found = regex.search(self.text, self.mark)
            if found:
                before, self.mark = self.text[self.mark:found.start()], found.end()
                return before
            if time.monotonic() > end:
                raise GuestError(f"no {pattern!r} within {timeout} s{self._tail()}")
            if not self._read(end - time.monotonic()):
                raise GuestError(f"the program ended, while waiting for {pattern!r}{self._tail()}")

    def send(self, text):
        """Types."""
        while text:
            text = text[os.write(self.fd, text.encode()[:64]):]

    def run(self, command, timeout=30):
        """Types a command and returns what it prints, up to the next prompt."""
        self.send(command + "\n")
        return self.expect(PROMPT, timeout).partition("\n")[2]

    def wait(self, timeout):
        """The exit status, when the program ends by itself."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self._read(end - time.monotonic()):
            pass
        try:
            return self.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise GuestError(f"QEMU still runs after {timeout} s{self._tail()}") from None


def need(condition, what, got):
    """GuestError unless `condition`."""
    if not condition:
        raise GuestError(f"{what}; got: {got!r}")


def same(got, wanted):
    """GuestError unless the lines are these."""
    need(got.split("\n")[:-1] == wanted, f"wanted {wanted}", got)


def size(t):
    """The terminal's size is that of the user's."""
    same(t.run("stty size"), [f"{ROWS} {COLS}"])
    same(t.run("echo $TERM; tty"), ["xterm", "/dev/ttyS0"])


def pipelines(t):
    """Pipelines, of several processes."""
    same(t.run("seq 1 1000 | grep 7 | sort -rn | head -n 3 | tr '\\n' ' '; echo"), ["997 987 979 "])
    same(t.run("yes | head -n 100000 | wc -l"), ["100000"])
    same(t.run("false | true; echo $?; true | false; echo $?"), ["0", "1"])
    same(t.run("(echo one; echo two >&2) 2>&1 | while read x; do echo \"<$x>\"; done"), ["<one>", "<two>"])


def globbing(t):
    """File names by patterns."""
    t.run("mkdir g; touch g/a1 g/a2 g/b1 g/.h 'g/x y'")
    same(t.run("(cd g; echo a* ?1 [!a]* .[a-z]* none*)"), ["a1 a2 a1 b1 b1 x y .h none*"])
    same(t.run("for f in g/*; do echo \"[$f]\"; done; rm -r g; ls -d g* 2>/dev/null | wc -l"),
         ["[g/a1]", "[g/a2]", "[g/b1]", "[g/x y]", "0"])


def here_documents(t):
    """Here-documents, with and without expansion."""
    for line in ("cat > h <<END", "sum $((6 * 7))", "END"):
        t.send(line + "\n")
    t.expect(PROMPT)
    for line in ("tr a-z A-Z <<'END' >> h", "raw $x", "END"):
        t.send(line + "\n")
    t.expect(PROMPT)
    same(t.run("cat h"), ["sum 42", "RAW $X"])


def vi(t):
    """An editor that fills the screen: a new file, then a change to it."""
    t.send("vi poem\n")
    t.expect(r"poem.*1/1")
    t.send("iRoses are red\nviolets are blue\nthird line\x1b")
    time.sleep(1)
    t.send(":wq\n")
    t.expect(PROMPT)
    same(t.run("cat poem"), ["Roses are red", "violets are blue", "third line"])
    t.send("vi poem\n")
    t.expect(r"poem.*1/3")
    # A pause after each ESC: with what follows at once it would be a function key.
    for keys in ("jddA.\x1b", "1Gcwlilies\x1b"):
        t.send(keys)
        time.sleep(1)
    t.send(":x\n")
    t.expect(PROMPT)
    same(t.run("cat poem"), ["lilies are red", "third line."])
    t.send("vi poem\n")
    t.expect(r"poem.*1/2")
    t.send("dd:q!\n")
    t.expect(PROMPT)
    same(t.run("wc -l < poem"), ["2"])


def top(t):
    """top shows memory, processors and processes, again and again, until q."""
    t.send("top -d 1\n")
    for _ in range(2):
        t.expect(r"Mem: \d+K used, \d+K free")
        before = t.expect(r"^ *\d+ +\d+ root .* top")
        need("CPU:" in before and "Load average:" in before and re.search(r"PID +PPID +USER", before), "top's head", before)
    t.send("q")
    t.expect(PROMPT)
    same(t.run("echo $?"), ["0"])


def ps(t):
    """ps lists init, kernel threads and itself."""
    out = t.run("ps")
    need(re.search(r"^ +1 root .* (/sbin/)?init", out, re.M), "init as process 1", out)
    need(re.search(r"^ +\d+ root .* \[kworker", out, re.M) and re.search(r"[ {]ps\b", out), "kernel threads and ps", out)


def interrupt(t):
    """^C ends what is in front, also a pipeline and a loop."""
    for command in ("sleep 1000", "sleep 1000 | cat", "cat", "while :; do :; done", "dd if=/dev/zero of=/dev/null"):
        t.send(command + "\n")
        time.sleep(1)
        t.send("\x03")
        t.expect(PROMPT, 10)
        if command != "while :; do :; done":
            same(t.run("echo $?"), ["130"])


def jobs(t):
    """^Z, jobs, bg, fg, and a job that reads in the background."""
    t.send("sleep 1000\n")
    time.sleep(1)
    t.send("\x1a")
    need("Stopped" in t.expect(PROMPT), "a stopped job", t.text[-200:])
    need(re.fullmatch(r"\[1\]\+  Stopped +sleep 1000\n", t.run("jobs")), "one stopped job", t.text[-200:])
    same(t.run("bg"), ["[1] sleep 1000"])
    need(re.fullmatch(r"\[1\]\+  Running +sleep 1000\n", t.run("jobs")), "one running job", t.text[-200:])
    t.send("fg\n")
    t.expect("^sleep 1000")
    time.sleep(1)
    t.send("\x03")
    t.expect(PROMPT)
    same(t.run("jobs"), [])
    t.run("cat &")
    time.sleep(1)
    out = t.run("jobs")
    need(re.search(r"\[1\]\+  Stopped \(tty input\) +cat", out), "a job stopped for reading", out)
    t.run("kill %1; kill -CONT %1")
    time.sleep(1)
    out = t.run("jobs")
    need("Terminated" in out, "the job's end", out)


def log(t):
    """dmesg."""
    out = t.run("dmesg | head -n 1; dmesg | wc -l")
    lines = out.split("\n")
    need("Linux version" in lines[0] and int(lines[1]) > 10, "the log", out)
    same(t.run("echo '<7>typed here' > /dev/kmsg; dmesg | tail -n 1 | cut -d ']' -f 2"), [" typed here"])


def mounts(t):
    """mount lists file systems, and mounts one."""
    out = t.run("mount")
    for line in ("proc on /proc type proc", "sysfs on /sys type sysfs", "devpts on /dev/pts type devpts", "tmpfs on /tmp type tmpfs"):
        need(line in out, line, out)
    same(t.run("mount -t tmpfs -o size=64k none /mnt; grep -c ' /mnt tmpfs ' /proc/mounts"), ["1"])
    same(t.run("umount /mnt; grep -c ' /mnt ' /proc/mounts"), ["0"])


def find(t):
    """find / walks everything there is."""
    out = t.run("find / | wc -l", 120)
    counts = [int(line) for line in out.split("\n") if line.isdigit()]
    need(len(counts) == 1 and counts[0] > 500, "a count above 500", out)


def timing(t):
    """time sleep 1."""
    out = t.run("time sleep 1")
    found = re.search(r"^real\t0m ([\d.]+)s\nuser\t0m ([\d.]+)s\nsys\t0m ([\d.]+)s$", out, re.M)
    need(found and 1.0 <= float(found.group(1)) < 2.0 and float(found.group(2)) < 1, "about a second", out)


STEPS = (size, pipelines, globbing, here_documents, vi, top, ps, interrupt, jobs, log, mounts, find, timing)


def session(args, report):
    """The whole session, ended by poweroff."""
    argv = ["make", "-C", SRCTREE, "run"] if args.make else [sys.executable, os.path.join(SRCTREE, "scripts/run.py")]
    with Terminal(argv, args.limit, args.record) as t:
        t.expect(PROMPT, args.limit)
        for step in STEPS:
            if args.only and step.__name__ not in args.only:
                continue
            try:
                step(t)
                report.ok(step.__name__)
            except GuestError as error:
                report.fail(step.__name__, error)
                # The next step begins at a prompt again, if there can be one.
                t.send("\x03\x1b:q!\n\x03")
                time.sleep(1)
                t.send("kill %1 2>/dev/null; cd; clear; echo again\n")
                t.expect("^again\n")
                t.expect(PROMPT)
        t.send("poweroff\n")
        status = t.wait(60)
        need(status == 0 and "reboot: Power down" in t.text, f"a clean end, not status {status}", t.text[-300:])


def reboot(args, report, again):
    """`reboot`: QEMU ends with -no-reboot; without it the machine starts again."""
    argv = os.path.join(OBJTREE, "arch/x86/boot/bzImage")
    initrd = os.path.join(OBJTREE, "usr/initramfs.cpio.gz")
    with Guest(argv, initrd, "console=ttyS0", limit=args.limit, cpus=2, reboot=again) as guest:
        guest.expect(r"~ # ", args.limit)
        guest.send("reboot\n")
        guest.expect("reboot: Restarting system", 60)
        if again:
            guest.expect("Linux version", 60)
            guest.expect(r"~ # ", args.limit)
            guest.send("poweroff\n")
        status = guest.wait(60)
        need(status == 0, "exit status 0", status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="these steps only")
    parser.add_argument("--record", help="keep the terminal's bytes in this file")
    parser.add_argument("--make", action="store_true", help="start `make run`")
    parser.add_argument("--limit", type=int, default=280, help="seconds for a machine")
    args = parser.parse_args()
    report = Report()
    env = dict(os.environ, objtree=OBJTREE, srctree=SRCTREE)
    subprocess.run([sys.executable, os.path.join(SRCTREE, "usr/build.py")], env=env, check=True)
    ends = [("poweroff", lambda: session(args, report))]
    if not args.only:
        ends += [("reboot ends QEMU", lambda: reboot(args, report, False)), ("reboot starts again", lambda: reboot(args, report, True))]
    for name, end in ends:
        with report.attempt(name):
            end()
    report.finish()


if __name__ == "__main__":
    main()

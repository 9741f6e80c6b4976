#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The PC's console: screen, keyboard and virtual terminals, in VGA's text mode and on a frame buffer.

A shell each runs on tty1 and tty2; the test types on the emulated keyboard, looks at files over the serial line, and reads
the screen from pictures of it. Ways: bios (pc, SeaBIOS, bzImage), efi (q35, OVMF's frame buffer), pvh (pc, vmlinux, where the
kernel finds the text screen by itself). `--picture FILE` leaves the last picture of a way in FILE.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from screen import ALPHABET, Picture  # noqa: E402

OVMF = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd")
INIT = image.SETUP + r"""
for n in 1 2; do
  PS1="tty$n # " openvt -c $n -- sh -i
done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
sleep 1
echo @READY@
while read -r line; do eval "$line"; done
"""
# What starts in place of init, with the screen for a console: whoever types waits until it reads.
SHELL = b"#!/bin/sh\nmount -t devtmpfs dev /dev\necho @SHELL@ >/dev/ttyS0\nexec sh -i\n"
APPEND = "console=tty0 console=ttyS0 loglevel=4 panic=0"


def need(condition, what, got):
    """GuestError unless `condition`."""
    if not condition:
        raise GuestError(f"{what}; got: {got!r}")


class Console:
    """A guest with a display."""

    def __init__(self, guest, work):
        self.guest = guest
        self.shapes, self.size = {}, (80, 25)
        self.picture = os.path.join(work, "screen.ppm")

    def sh(self, command, timeout=30):
        """A command on the serial line; its output."""
        return self.guest.check(command, timeout)

    def look(self):
        """A picture of the screen."""
        self.guest.screendump(self.picture)
        return Picture(self.picture, *self.size)

    def lines(self):
        """The text on the screen."""
        return self.look().lines(self.shapes)

    def see(self, text, timeout=20):
        """Waits until a line of the screen is `text`."""
        end = time.monotonic() + timeout
        while text not in self.lines():
            if time.monotonic() > end:
                raise GuestError(f"no {text!r} on the screen:\n" + "\n".join(line for line in self.lines() if line))
            time.sleep(0.3)

    def file(self, path, wanted, timeout=20):
        """Waits until a file of the guest holds `wanted`."""
        end = time.monotonic() + timeout
        while True:
            status, text = self.guest.run(f"cat {path}")
            if status == 0 and text == wanted:
                return
            if time.monotonic() > end:
                raise GuestError(f"{path} does not hold {wanted!r}; got: {text!r}")
            time.sleep(0.3)

    def front(self, name, timeout=10):
        """Waits until terminal `name` is in front."""
        self.file("/sys/class/tty/tty0/active", name + "\n", timeout)


def start(c):
    """The screen's size; what the system says of its consoles; the characters' shapes."""
    rows, cols = map(int, c.sh("stty -F /dev/tty1 size").split())
    c.size = (cols, rows)
    width, height = c.look().width, c.look().height
    need(rows == height // 16 and cols in (width // 8, width // 9), "a size that fits the picture", (rows, cols, width, height))
    text = c.sh("cat /proc/consoles")
    need(text == "ttyS0                -W- (EC p a)    4:64\ntty0                 -WU (E  p  )    4:1\n"
         or text == "tty0                 -WU (E  p  )    4:1\nttyS0                -W- (EC p a)    4:64\n", "the consoles", text)
    need(c.sh("cat /sys/class/tty/console/active") == "tty0 ttyS0\n", "the active consoles", c.sh("cat /sys/class/tty/console/active"))
    c.sh(r"printf '\033[H\033[2J\033[?25l%s' " + "'" + ALPHABET.replace("'", "'\\''") + "' > /dev/tty1")
    time.sleep(0.5)
    c.shapes = c.look().learn()
    need(len(c.shapes) >= 90, "at least 90 different shapes", len(c.shapes))
    c.sh(r"printf '\033[H\033[2J\033[?25h' > /dev/tty1")


def colours(c):
    """Colours, and the place of what is written."""
    c.sh(r"printf '\033[H\033[44m\033[2J\033[5;11H\033[1;33mHello\033[0m\033[?25l' > /dev/tty1")
    time.sleep(0.5)
    picture = c.look()
    need(picture.lines(c.shapes)[4] == " " * 10 + "Hello", "Hello in the fifth line", picture.lines(c.shapes)[4])
    # VGA's palette has six bits a colour.
    seen = {tuple(part & 0xfc for part in picture.cell(4, 10)[y][x:x + 3]) for y in range(16) for x in range(0, 24, 3)}
    need(seen == {(0, 0, 168), (252, 252, 84)}, "yellow on blue", seen)
    need(picture.pixel(1, 1) == picture.pixel(picture.width - 2, picture.height - 2), "blue everywhere", picture.pixel(1, 1))
    c.sh(r"printf '\033[0m\033[H\033[2J\033[?25h' > /dev/tty1")


def typing(c):
    """Letters, digits, signs, with and without shift, come as typed, and are shown."""
    text = "The quick brown Fox; 0123456789 -=[]/.,~!@#%^&*()_+{}:<>?|"
    c.guest.type_keys(f"echo '{text}' > /tmp/typed\n")
    c.file("/tmp/typed", text + "\n")
    c.guest.type_keys("clear; cat /tmp/typed; stty size\n")
    c.see(text)
    c.see(f"{c.size[1]} {c.size[0]}")


def editing(c):
    """Backspace, cursor keys, history."""
    c.guest.type_keys("echo wrongX\b > /tmp/e")
    c.guest.sendkey(*["left"] * 10)
    c.guest.type_keys("-")
    c.guest.sendkey("end", "ret")
    c.file("/tmp/e", "wron-g\n")
    c.guest.sendkey("up", "home", "delete", "delete", "delete", "delete")
    c.guest.type_keys("printf\n")
    c.file("/tmp/e", "wron-g")


def keys(c):
    """What special keys send."""
    wanted = {"f1": "^[[[A", "f5": "^[[[E", "f6": "^[[17~", "f12": "^[[24~", "up": "^[[A", "left": "^[[D", "home": "^[[1~", "end": "^[[4~",
              "insert": "^[[2~", "delete": "^[[3~", "pgup": "^[[5~", "pgdn": "^[[6~", "alt-x": "^[x", "kp_add": "+", "kp_multiply": "*",
              "ctrl-g": "^G", "backspace": "^?", "esc": "^["}
    c.guest.type_keys("stty raw -echo; dd bs=1 count=200 2>/dev/null > /tmp/k\n")
    time.sleep(1)
    for key in wanted:
        c.guest.sendkey(key)
        c.guest.type_keys("\n")
    c.guest.type_keys("." * 200)
    end = time.monotonic() + 20
    while time.monotonic() < end and c.sh("wc -c < /tmp/k").strip() != "200":
        time.sleep(0.3)
    got = dict(zip(wanted, c.sh("cat -v /tmp/k").split("^M")))
    wrong = {key: got.get(key) for key, text in wanted.items() if got.get(key) != text}
    c.guest.type_keys("\nstty sane ixon\n")
    need(not wrong, "what keys send", wrong)


def locks(c):
    """Caps Lock and Num Lock."""
    c.guest.sendkey("caps_lock")
    c.guest.type_keys("abc")
    c.guest.sendkey("caps_lock")
    c.guest.sendkey("num_lock", "kp_7", "num_lock", "ctrl-u")
    c.guest.sendkey("caps_lock")
    c.guest.type_keys("abC")
    c.guest.sendkey("caps_lock", "home")
    c.guest.type_keys("echo > /tmp/l ")
    c.guest.sendkey("num_lock")
    c.guest.sendkey("end", "kp_7", "kp_0")
    c.guest.sendkey("num_lock", "ret")
    c.file("/tmp/l", "ABc70\n")


def job_control(c):
    """^C, ^Z, ^S and ^Q from the keyboard."""
    c.guest.type_keys("clear; sleep 1000\n")
    time.sleep(1)
    c.guest.sendkey("ctrl-z")
    c.guest.type_keys("fg\n")
    time.sleep(1)
    c.guest.sendkey("ctrl-c")
    c.guest.type_keys("echo $? > /tmp/j\n")
    c.file("/tmp/j", "130\n")
    c.guest.type_keys("clear; echo cleared\n")
    c.see("cleared")
    c.guest.sendkey("ctrl-s")
    c.guest.type_keys("echo held\n")
    time.sleep(1)
    need("held" not in c.lines(), "nothing while output is stopped", [line for line in c.lines() if line])
    c.guest.sendkey("ctrl-q")
    c.see("held")


def switching(c):
    """Alt-Fn, Alt-cursor, each terminal with its own screen and shell."""
    c.guest.type_keys("clear; echo this is one\n")
    c.see("this is one")
    c.guest.sendkey("alt-f2")
    c.front("tty2")
    c.guest.type_keys("clear; tty > /tmp/t2; echo this is two\n")
    c.see("this is two")
    need("this is one" not in c.lines(), "one screen at a time", c.lines())
    c.file("/tmp/t2", "/dev/tty2\n")
    c.guest.sendkey("alt-left")
    c.front("tty1")
    c.see("this is one")
    c.guest.sendkey("ctrl-alt-f2")
    c.front("tty2")
    c.guest.sendkey("alt-f9")
    time.sleep(0.5)
    c.front("tty2")
    c.guest.sendkey("alt-right")
    c.front("tty1")


def applets(c):
    """busybox's programs for consoles."""
    c.sh("openvt -c 5 -w -- sh -c 'tty > /tmp/o; stty size >> /tmp/o'")
    c.file("/tmp/o", f"/dev/tty5\n{c.size[1]} {c.size[0]}\n")
    c.sh("chvt 2")
    c.front("tty2")
    c.sh("chvt 5")
    c.front("tty5")
    c.sh("chvt 1")
    c.front("tty1")
    c.sh("deallocvt 5")
    need(c.guest.run("deallocvt 2")[0] != 0, "a terminal in use stays", "")
    c.sh("deallocvt")
    for program in ("loadfont < /dev/zero", "loadkmap < /dev/zero"):
        status, text = c.guest.run(f"{program} 2>&1")
        need(status != 0, f"{program} fails", text)


def size_change(c):
    """A smaller screen: programs are told, the rest is blank."""
    cols, rows = c.size
    c.guest.type_keys("sh -c \"trap 'stty size > /tmp/w' WINCH; while :; do sleep 1; done\"\n")
    time.sleep(2)
    c.sh(f"stty -F /dev/tty1 rows {rows - 5} cols {cols - 10}")
    c.file("/tmp/w", f"{rows - 5} {cols - 10}\n")
    c.guest.sendkey("ctrl-c")
    time.sleep(1)
    c.guest.type_keys("clear; seq 1 200 | tr '\\n' x; echo; echo all\n")
    c.see("all")
    text = c.lines()
    need(not any(line[cols - 10:] for line in text) and not any(text[rows - 5:]), "nothing outside", text)
    need(any(len(line) == cols - 10 for line in text), "lines as long as the terminal is wide", text)
    c.guest.run(f"stty -F /dev/tty1 rows {rows + 1} 2>&1")
    now = c.sh("stty -F /dev/tty1 size")
    need(now == f"{rows - 5} {cols - 10}\n", "no more rows than the screen has", now)
    c.sh(f"stty -F /dev/tty1 rows {rows}; stty -F /dev/tty1 cols {cols}")
    c.guest.type_keys("clear\n")


def reports(c):
    """The terminal's reports come as input."""
    c.guest.type_keys("clear; stty -icanon -echo min 0 time 10; printf '\\033[7;3H\\033[6n'; dd bs=64 count=1 2>/dev/null")
    c.guest.type_keys(" > /tmp/r; stty sane\n")
    end = time.monotonic() + 20
    while time.monotonic() < end and c.guest.run("cat -v /tmp/r")[1] != "^[[7;3R":
        time.sleep(0.3)
    need(c.sh("cat -v /tmp/r") == "^[[7;3R", "the cursor's place", c.sh("cat -v /tmp/r"))


def scrolling(c):
    """A flood of output scrolls, and ends with its last lines."""
    c.guest.type_keys("clear; seq 1 5000; echo done\n")
    c.see("done", 60)
    text = c.lines()
    at = text.index("done")
    need(text[at - 3:at] == ["4998", "4999", "5000"], "the last lines", text)


def kernel_log(c):
    """What the kernel says is shown on the terminal in front."""
    c.guest.type_keys("clear; echo cleared\n")
    c.see("cleared")
    c.sh("echo '<2>a message for the screen' > /dev/kmsg")
    end = time.monotonic() + 10
    while not any(line.endswith("] a message for the screen") for line in c.lines()):
        need(time.monotonic() < end, "the message", c.lines())
        time.sleep(0.3)


def panic(c):
    """A panic is shown."""
    c.guest.send("exit 3\n")
    c.guest.expect("Kernel panic - not syncing", 30)
    c.guest.expect("end Kernel panic", 30)
    end = time.monotonic() + 10
    while not any("] ---[ end Kernel panic - not syncing: Attempted to kill" in line for line in c.lines()):
        need(time.monotonic() < end, "the panic", c.lines())
        time.sleep(0.3)


TESTS = (start, colours, typing, editing, keys, locks, job_control, switching, applets, size_change, reports, scrolling, kernel_log, panic)


def machine(args, way, append=APPEND):
    """The guest of a way."""
    wanted = {"memory": 256, "cpus": 2, "limit": args.limit, "vga": True}
    if way == "pvh":
        return Guest(args.vmlinux, args.initrd, append, machine="pc", **wanted)
    if way == "bios":
        return Guest(args.bzimage, args.initrd, append, machine="pc", **wanted)
    code, variables = OVMF
    flash = ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-drive", f"if=pflash,format=raw,snapshot=on,file={variables}"]
    return Guest(args.bzimage, args.initrd, append, machine="q35", extra=flash, **wanted)


def run_way(args, way, report, work):
    """All tests of a way."""
    with machine(args, way) as guest:
        guest.expect("@READY@", args.limit)
        c = Console(guest, work)
        for test in TESTS:
            # Linux gives VGA another mode for a smaller terminal, whose pictures have another size.
            if args.linux and test in (size_change, panic):
                continue
            if args.only and test.__name__ not in args.only and test is not start:
                continue
            try:
                test(c)
                report.ok(f"{way}: {test.__name__}")
            except GuestError as error:
                report.fail(f"{way}: {test.__name__}", error)
                if args.picture:
                    guest.screendump(f"{args.picture}-{test.__name__}.png")
        if args.picture:
            guest.screendump(args.picture)


def ctrl_alt_del(args, report):
    """Ctrl-Alt-Del restarts; with no console= on the command line the screen is the console."""
    with machine(args, "bios", "panic=-1 rdinit=/shell") as guest:
        guest.expect("@SHELL@", 120)
        guest.type_keys("echo typed > /dev/ttyS0\n")
        guest.expect("typed", 30)
        guest.sendkey("ctrl-alt-delete")
        report.add("ctrl-alt-del", guest.wait(30) == 0, "QEMU did not end well")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("only", nargs="*", help="these tests only")
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--bzimage", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("--way", action="append", choices=("bios", "efi", "pvh"))
    parser.add_argument("--picture", help="write the last picture to this file (.png)")
    parser.add_argument("--limit", type=int, default=300, help="seconds for a machine")
    parser.add_argument("--linux", action="store_true", help="try the tests on Debian's kernel, by BIOS")
    args = parser.parse_args()
    if args.linux:
        args.bzimage, args.way = debian.kernel(), ["bios"]
    report = Report()
    work = args.work = tempfile.mkdtemp(prefix="console-")
    try:
        args.initrd = os.path.join(work, "initrd")
        cpio = image.base(INIT)
        cpio.file("shell", SHELL, mode=0o755)
        cpio.write(args.initrd)
        for way in args.way or ("bios", "efi", "pvh"):
            if way == "efi" and not os.path.exists(OVMF[0]):
                report.skip(way, "there is no OVMF (package ovmf)")
                continue
            try:
                run_way(args, way, report, work)
            except GuestError as error:
                report.fail(way, error)
        if not args.only and not args.way:
            try:
                ctrl_alt_del(args, report)
            except GuestError as error:
                report.fail("ctrl-alt-del", error)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.finish()


if __name__ == "__main__":
    main()

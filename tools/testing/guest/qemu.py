# SPDX-License-Identifier: GPL-2.0
"""`Guest`: one QEMU with a kernel, its serial console (expect-like) and its monitor (QMP).

The serial port is QEMU's standard input and output; a thread collects what the guest prints. The guest is always
ended: at the end of the `with` block, at its time limit, and at interpreter exit. Everything printed is kept in `log`.
"""

import atexit
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
ICOUNT = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"]
# String instructions count once a byte under -icount unless the guest believes that they are not "fast".
CPU_ICOUNT = "max,erms=off,fsrm=off"
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>78]")


class GuestError(Exception):
    """The guest did not do what was asked; the message ends with the console's last lines."""


class GuestTimeout(GuestError):
    """Nothing that matches came in time."""


class GuestExit(GuestError):
    """QEMU ended while more output was expected."""


def no_ansi(text):
    """`text` without terminal control sequences and carriage returns."""
    return ANSI.sub("", text).replace("\r", "")


class Guest:
    """A running machine. Use as a context manager.

    kernel, initrd: paths (a bzImage or a PVH vmlinux); append: the command line; memory in MB.
    machine: pc, q35, microvm, with options; cpu: QEMU's -cpu; icount: count instructions as time.
    limit: seconds after which the machine is killed whatever it does. vga: give it a display adapter.
    extra: more QEMU arguments. log: a file that gets the console's bytes. boot: False when `extra` says what to start.
    """

    def __init__(self, kernel=None, initrd=None, append="console=ttyS0 quiet panic=-1", machine="q35", cpu=None,
                 memory=256, cpus=1, icount=False, limit=300, vga=False, reboot=False, extra=(), log=None):
        self.text = ""          # everything printed so far, decoded
        self.mark = 0           # how much of it expect() has consumed
        self.limit = limit
        self.log = log
        self._dir = tempfile.mkdtemp(prefix="guest-")
        self._qmp = None
        self._cond = threading.Condition()
        self._eof = False
        sock = os.path.join(self._dir, "qmp")
        argv = [QEMU, "-accel", "tcg", "-machine", machine, "-m", str(memory), "-smp", str(cpus)]
        argv += ["-cpu", cpu or (CPU_ICOUNT if icount else "max")]
        argv += ICOUNT if icount else []
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-chardev", "stdio,id=con,signal=off",
                 "-serial", "chardev:con", "-qmp", f"unix:{sock},server=on,wait=off"]
        argv += ["-vga", "std"] if vga else []
        argv += [] if reboot else ["-no-reboot"]
        if kernel:
            argv += ["-kernel", str(kernel), "-append", append]
            argv += ["-initrd", str(initrd)] if initrd else []
        argv += list(extra)
        self.argv = argv
        self._sock = sock
        self._logfile = open(log, "wb") if log else None
        self.started = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0, start_new_session=True)
        atexit.register(self.kill)
        self._timer = threading.Timer(limit, self._time_is_up)
        self._timer.daemon = True
        self._timer.start()
        self.overran = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def command_line(self):
        """The QEMU line, to be typed by one who wants to see for himself."""
        return shlex.join(self.argv)

    # --- life -------------------------------------------------------------------------------------------------

    def _time_is_up(self):
        self.overran = True
        self.process.kill()

    def kill(self):
        """Ends QEMU if it still runs, and keeps the log. May be called again."""
        self._timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self._logfile:
            self._logfile.close()
            self._logfile = None
        if self._qmp:
            self._qmp[0].close()
            self._qmp = None
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        shutil.rmtree(self._dir, ignore_errors=True)
        atexit.unregister(self.kill)

    def wait(self, timeout=None):
        """Waits until the machine ends by itself and returns QEMU's exit status; GuestTimeout if it does not."""
        try:
            status = self.process.wait(timeout if timeout is not None else self.limit + 5)
        except subprocess.TimeoutExpired:
            raise GuestTimeout(f"the guest still runs after {timeout} s{self._tail()}") from None
        self._reader.join(5)
        if self.overran:
            raise GuestTimeout(f"the guest was killed at its limit of {self.limit} s{self._tail()}")
        return status

    def alive(self):
        """True while QEMU runs."""
        return self.process.poll() is None

    # --- console ----------------------------------------------------------------------------------------------

    def _read(self):
        pending = b""
        while True:
            try:
                data = os.read(self.process.stdout.fileno(), 65536)
            except (OSError, ValueError):
                data = b""
            if self._logfile and data:
                try:
                    self._logfile.write(data)
                    self._logfile.flush()
                except ValueError:
                    pass
            pending += data
            cut = len(pending)
            for back in range(1, min(4, len(pending)) + 1):     # do not split a UTF-8 character
                byte = pending[-back]
                if byte >= 0xC0:
                    need = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                    cut = len(pending) - back if back < need and data else cut
                    break
                if byte < 0x80:
                    break
            text, pending = pending[:cut].decode("utf-8", "replace"), pending[cut:]
            with self._cond:
                self.text += text
                self._eof = not data
                self._cond.notify_all()
            if not data:
                return

    def _tail(self, lines=15):
        last = no_ansi(self.text).splitlines()[-lines:]
        return "\n  console: " + "\n  console: ".join(last) if last else " (the console is empty)"

    def expect(self, pattern, timeout=60):
        """Waits until `pattern` (a regular expression, MULTILINE) appears in what is not consumed yet.

        Consumes through the match's end and returns the match; `before` holds the text passed over.
        """
        regex = re.compile(pattern, re.M) if isinstance(pattern, str) else pattern
        end = time.monotonic() + timeout
        with self._cond:
            while True:
                found = regex.search(self.text, self.mark)
                if found:
                    self.before = self.text[self.mark:found.start()]
                    self.mark = found.end()
                    return found
                if self._eof:
                    why = "the guest's time limit" if self.overran else "QEMU ended"
                    raise GuestExit(f"{why}, while waiting for {regex.pattern!r}{self._tail()}")
                left = end - time.monotonic()
                if left <= 0:
                    raise GuestTimeout(f"no {regex.pattern!r} within {timeout} s{self._tail()}")
                self._cond.wait(left)

    def send(self, text):
        """Types `text` as it is ("\\n" for Enter, "\\x03" for ^C)."""
        try:
            self.process.stdin.write(text.encode())
        except (BrokenPipeError, ValueError):
            raise GuestExit(f"QEMU ended, while typing {text!r}{self._tail()}") from None

    def run(self, command, timeout=60):
        """Runs a one-line `command` in the guest's shell; returns (exit status, output).

        Works at an interactive prompt (echo and line editing are skipped) and with `image.AGENT`.
        """
        if "\n" in command:
            raise ValueError("run() takes one line")
        with self._cond:
            self.mark = len(self.text)
        self.send(command + '; echo @"@$?@"@\n')
        found = self.expect(r"@@(\d+)@@\r?\n", timeout)
        output = no_ansi(self.before)
        typed = output.rfind('@"@$?@"@')
        if typed >= 0:
            output = output[typed:].partition("\n")[2]
        return int(found.group(1)), output

    def check(self, command, timeout=60):
        """`run`, and GuestError unless the exit status is 0; returns the output."""
        status, output = self.run(command, timeout)
        if status:
            raise GuestError(f"{command!r} gave {status}: {output.strip()}")
        return output

    # --- monitor ----------------------------------------------------------------------------------------------

    def qmp(self, command, **arguments):
        """Sends a QMP command and returns its result."""
        if not self._qmp:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(self._sock)
            self._qmp = (s, s.makefile("rw"))
            self._qmp[1].readline()
            self._ask({"execute": "qmp_capabilities"})
        return self._ask({"execute": command, "arguments": arguments} if arguments else {"execute": command})

    def _ask(self, message):
        stream = self._qmp[1]
        stream.write(json.dumps(message) + "\n")
        stream.flush()
        while True:
            line = stream.readline()
            if not line:
                raise GuestExit("QEMU closed its monitor" + self._tail())
            reply = json.loads(line)
            if "error" in reply:
                raise GuestError(f"monitor: {reply['error'].get('desc')}")
            if "return" in reply:
                return reply["return"]

    def monitor(self, line):
        """Runs a human monitor command (as `info registers`) and returns what it prints."""
        return self.qmp("human-monitor-command", **{"command-line": line})

    def screendump(self, path):
        """Writes the display's picture to `path`: PNG if the name ends so, else PPM."""
        form = "png" if str(path).endswith(".png") else "ppm"
        self.qmp("screendump", filename=os.path.abspath(path), format=form)

    def sendkey(self, *chords):
        """Presses key chords by QEMU's names on the emulated keyboard: "a", "ret", "ctrl-c"."""
        for chord in chords:
            keys = [{"type": "qcode", "data": k} for k in chord.split("-")]
            self.qmp("send-key", keys=keys)
            time.sleep(0.05)

    def type_keys(self, text):
        """Types `text` on the emulated keyboard (US layout)."""
        named = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", "/": "slash", ".": "dot", ",": "comma",
                 ";": "semicolon", "'": "apostrophe", "\\": "backslash", "[": "bracket_left", "]": "bracket_right",
                 "`": "grave_accent", "\t": "tab", "\b": "backspace", "\x1b": "esc"}
        shifted = dict(zip('!@#$%^&*()_+{}:"~<>?|', ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus", "equal",
                       "bracket_left", "bracket_right", "semicolon", "apostrophe", "grave_accent", "comma", "dot",
                       "slash", "backslash"]))
        for char in text:
            keys = [named.get(char, char.lower())]
            if char in shifted:
                keys = ["shift", shifted[char]]
            elif char.isupper():
                keys = ["shift", char.lower()]
            self.qmp("send-key", keys=[{"type": "qcode", "data": k} for k in keys])
            time.sleep(0.03)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""virtio-console: hvc0 as the console and as a terminal, named ports, both ends opened and closed, a flood in both directions, ports
that come and go, the driver unbound. `--linux` runs Debian's kernel.
"""

import hashlib
import os
import random
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need  # noqa: E402

PORT = "/dev/vport0p2"


class End:
    """The host's end of a port: a socket of QEMU's."""

    def __init__(self, path):
        self.path, self.socket = path, None

    def open(self, limit=30):
        end = time.monotonic() + limit
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(self.path)
                self.socket.settimeout(limit)
                return self
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise GuestError(f"{self.path} cannot be opened") from None
                time.sleep(0.1)

    def close(self):
        self.socket.close()

    def read(self, size):
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except socket.timeout:
                raise GuestError(f"{len(data)} of {size} bytes came") from None
            if not part:
                break
            data += part
        return data

    def until(self, text):
        """Reads until `text` comes; what came."""
        data = b""
        while text not in data:
            try:
                part = self.read(1)
            except GuestError:
                raise GuestError(f"no {text!r} in {data[-400:]!r}, and nothing more comes") from None
            if not part:
                raise GuestError(f"no {text!r} in {data[-400:]!r}")
            data += part
        return data


def console(args, guest, ends):
    """The log is on hvc0 from its start, and so is a terminal."""
    hvc = ends["hvc"].open()
    need(guest.check("cat /proc/consoles; cat /sys/class/tty/console/active"), r"^hvc0 +-W- \(E.*p.*\) +229:0$", r"hvc0")
    guest.check("echo 'a record of the log' >/dev/kmsg")
    hvc.until(b"a record of the log")
    guest.check("echo to the terminal >/dev/hvc0")
    hvc.until(b"to the terminal\r\n")
    guest.check("(head -1 </dev/hvc0 >/tmp/line) & sleep 1")
    hvc.socket.sendall(b"typed\n")
    guest.check("i=0; while [ ! -s /tmp/line ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ \"$(cat /tmp/line)\" = typed ]", args.step)
    # More than the line's ring and the queue's buffers hold, but no more than the socket does: QEMU drops what that does not take.
    guest.check("(dd if=/dev/zero bs=1000 count=20 2>/dev/null | tr '\\0' '~' >/dev/hvc0; echo END >/dev/hvc0) & true")
    data = hvc.until(b"END\r\n")
    guest.check("wait", args.step)
    if data.count(b"~") != 20000:
        raise GuestError(f"{data.count(b'~')} of 20000 bytes")
    hvc.close()


def shown(args, guest, ends):
    """Nodes, names, who may open what."""
    need(guest.check("ls -l /dev/hvc0 /dev/hvc7 /dev/vport0p1 /dev/vport0p2"), r" 229, +0 .*/dev/hvc0$", r"/dev/hvc7$", r"^crw------- .*/dev/vport0p1$")
    need(guest.check("cat /proc/devices /proc/tty/drivers"), r"^ *229 hvc$", r"virtio-portsdev$", r"^hvc +/dev/hvc +229 0-7 +system$")
    need(guest.check("cat /sys/class/virtio-ports/vport0p2/name; cat /sys/class/virtio-ports/vport0p2/uevent"), r"^org\.rideau\.test$", r"^DEVNAME=vport0p2$")
    if "No such device or address" not in guest.run("cat /dev/vport0p1 2>&1")[1]:
        raise GuestError("a console is opened as a port")
    guest.check(f"exec 8<>{PORT}")
    if "busy" not in guest.run(f"sh -c 'exec 9<>{PORT}' 2>&1")[1]:
        raise GuestError("opened twice")
    # Nobody listens at the host: the file ends.
    guest.check("[ -z \"$(cat <&8)\" ]; exec 8>&-")


def transfer(args, guest, ends):
    """Bytes in both directions, a lot of them; the host closes its end."""
    end = ends["port"].open()
    guest.check(f"cat {PORT} >/tmp/in & sleep 1")
    data = random.Random(1).randbytes(1 << 20)
    sender = threading.Thread(target=end.socket.sendall, args=(data,))
    sender.start()
    guest.check("i=0; while [ $(wc -c </tmp/in) -lt 1048576 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done", args.step)
    sender.join()
    end.close()
    guest.check("wait", args.step)
    if guest.check("sha256sum </tmp/in").split()[0] != hashlib.sha256(data).hexdigest():
        raise GuestError("what the host sent did not come")
    end.open()
    guest.check(f"cat /tmp/in >{PORT} & true")
    if hashlib.sha256(end.read(len(data))).digest() != hashlib.sha256(data).digest():
        raise GuestError("what the guest sent did not come")
    guest.check("wait", args.step)
    end.close()


def plug(args, guest, ends):
    """A port is added and taken away; who has it open is told."""
    for n in range(5):
        # One of its own for each: QEMU lets go of a device's a moment after the device.
        guest.qmp("chardev-add", id=f"late{n}", backend={"type": "null", "data": {}})
        guest.qmp("device_add", driver="virtserialport", bus="vs.0", nr=5, chardev=f"late{n}", id="late-port", name="late.port")
        guest.check("i=0; while [ ! -e /sys/class/virtio-ports/vport0p5/name ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; "
                    "[ $(cat /sys/class/virtio-ports/vport0p5/name) = late.port ] && [ -c /dev/vport0p5 ]", args.step)
        guest.check("exec 8<>/dev/vport0p5")
        guest.qmp("device_del", id="late-port")
        guest.check("i=0; while [ -e /dev/vport0p5 ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ ! -e /sys/class/virtio-ports/vport0p5 ]", args.step)
        if "No such device" not in guest.run("cat <&8 2>&1")[1]:
            raise GuestError("read from a port that is gone")
        guest.check("exec 8>&-")


def unbind(args, guest, ends):
    """The driver gives the device up with a terminal open, and takes it again."""
    driver = "/sys/bus/virtio/drivers/virtio_console"
    name = guest.check(f"cd {driver}; ls -d virtio[0-9]*").split()[0]
    guest.check("(cat /dev/hvc0 >/dev/null; echo ended >/tmp/ended) & sleep 1")
    guest.check(f"echo {name} >{driver}/unbind; i=0; while [ ! -e /tmp/ended ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ -e /tmp/ended ]", args.step)
    guest.check(f"[ ! -e {PORT} ] && ! (: </dev/hvc0) 2>/dev/null && echo {name} >{driver}/bind", args.step)
    guest.check(f"i=0; while [ ! -e {PORT} ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ -c {PORT} ]", args.step)
    hvc = ends["hvc"].open()
    guest.check("i=0; while ! (: </dev/hvc0) 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; echo again >/dev/hvc0", args.step)
    hvc.until(b"again\r\n")
    hvc.close()


TESTS = (console, shown, transfer, plug, unbind)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="virtio-console-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path, drivers=["virtio_console"])
        ends = {name: End(os.path.join(work, name)) for name in ("hvc", "port")}
        extra = ["-device", f"virtio-serial-pci,id=vs{args.virtio}"]
        for name, device in (("hvc", "virtconsole,nr=1"), ("port", "virtserialport,nr=2,name=org.rideau.test")):
            extra += ["-chardev", f"socket,id={name},path={ends[name].path},server=on,wait=off", "-device", f"{device},bus=vs.0,chardev={name}"]
        # The serial line is what the test talks on, and the last console.
        with common.machine(args, path, extra, common.APPEND.replace("console=ttyS0", "console=hvc0 console=ttyS0")) as guest:
            tests = [lambda a, g, test=test: test(a, g, ends) for test in TESTS]
            for named, test in zip(tests, TESTS):
                named.__name__ = test.__name__
            common.run(args, report, guest, tests)
    report.finish()


if __name__ == "__main__":
    main()

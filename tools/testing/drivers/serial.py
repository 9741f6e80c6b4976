#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Serial ports as devices of drivers: what they show, data both ways, unbound with the terminal open and bound again, a card on PCI, the
log on a port that goes, ports without a chip, a card that is plugged in and out. `--linux` runs Debian's kernel.
"""

import os
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import Guest, GuestError, Report, debian, need  # noqa: E402
import virtio_console  # noqa: E402

ROUNDS = 10
BOTH = "console=ttyS1 console=ttyS0 loglevel=7 panic=-1"
NATIVE = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
          "-device", "pcie-root-port,id=rp1,chassis=1,slot=1,io-reserve=4096"]


class End(virtio_console.End):
    """Reads all the time: QEMU stops a line whose other side does not, and the log is shown on these, too."""

    def open(self, limit=30):
        super().open(limit)
        self.socket.settimeout(None)
        self.data, self.came, self.limit = b"", threading.Condition(), limit
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        while part := self.socket.recv(4096):
            with self.came:
                self.data += part
                self.came.notify()

    def until(self, text):
        """Waits until `text` comes; what came with it and before."""
        with self.came:
            if not self.came.wait_for(lambda: text in self.data, self.limit):
                raise GuestError(f"no {text!r} in {self.data[-400:]!r}")
            before, _, self.data = self.data.partition(text)
            return before + text


def class_of(line):
    return f"/sys/class/tty/ttyS{line}"


def owner(guest, line):
    """Name of the device that a line belongs to, and its driver's directory."""
    device = guest.check(f"readlink -f {class_of(line)}/device").strip()
    driver = guest.run(f"readlink -f {device}/driver")[1].strip()
    return os.path.basename(device), driver


def wait(guest, condition, what, limit=10):
    if guest.run(f"i=0; while ! {{ {condition}; }} && [ $i -lt {limit * 10} ]; do sleep 0.1; i=$((i+1)); done; {condition}", 60)[0]:
        raise GuestError(f"{what}: {guest.run('dmesg | tail -8')[1]}")


def transfer(guest, end, line, text):
    """A line from the guest to the host, and one back."""
    guest.check(f"stty -F /dev/ttyS{line} 115200 raw -echo")
    guest.check(f"echo {text} >/dev/ttyS{line}")
    end.until(text.encode())
    guest.check(f"rm -f /tmp/line; (head -1 </dev/ttyS{line} >/tmp/line) & sleep 1")
    end.socket.sendall(text.encode() + b"\n")
    wait(guest, "[ -s /tmp/line ]", f"ttyS{line}: nothing came")
    guest.check(f"wait; [ \"$(cat /tmp/line)\" = {text} ]")


def shown(args, guest, ends):
    """The files of a line, its driver, nodes for lines without a chip."""
    names = "type line port irq uartclk xmit_fifo_size close_delay closing_wait custom_divisor io_type iomem_base iomem_reg_shift flags"
    lines = guest.check(f"cd {class_of(1)}; for f in {names}; do echo $f=$(cat $f); done")
    need(lines, r"^type=4$", r"^line=1$", r"^port=0x2F8$", r"^irq=3$", r"^uartclk=1843200$", r"^xmit_fifo_size=16$", r"^close_delay=50$",
         r"^closing_wait=3000$", r"^custom_divisor=0$", r"^io_type=0$", r"^iomem_base=0x0$", r"^iomem_reg_shift=0$", r"^flags=0x10000040$")
    need(guest.check(f"cat {class_of(0)}/console {class_of(2)}/console"), r"^Y$", r"^N$")
    guest.check(f"cd {class_of(1)}; [ $(cat rx_trig_bytes) = 8 ] && echo 13 >rx_trig_bytes && [ $(cat rx_trig_bytes) = 8 ] && "
                "echo 14 >rx_trig_bytes && [ $(cat rx_trig_bytes) = 14 ] && echo 8 >rx_trig_bytes")
    name, driver = owner(guest, 1)
    if not driver.endswith("/bus/pnp/drivers/serial"):
        raise GuestError(f"ttyS1 belongs to {name} of {driver}")
    need(guest.check(f"cat /sys/bus/pnp/devices/{name}/id /sys/bus/pnp/devices/{name}/resources"),
         r"^PNP0501$", r"^state = active$", r"^io 0x2f8-0x2ff$", r"^irq 3$")
    name, driver = owner(guest, 2)
    if not driver.endswith("/bus/pci/drivers/serial"):
        raise GuestError(f"ttyS2 belongs to {name} of {driver}")
    need(guest.check("dmesg"), r"00:\w\w: ttyS1 at I/O 0x2f8 \(irq = 3, base_baud = 115200\) is a 16550A",
         r"0000:\S+: ttyS2 at I/O 0x[0-9a-f]+ \(irq = \d+, base_baud = 115200\) is a 16550A")


def missing(args, guest, ends):
    """A line without a chip is opened, and reads, writes and settings are errors."""
    need(guest.check(f"cat {class_of(3)}/type"), r"^0$")
    for command in ("cat /dev/ttyS3", "echo >/dev/ttyS3", "stty -F /dev/ttyS3"):
        if "Input/output error" not in guest.run(f"sh -c '{command}' 2>&1")[1]:
            raise GuestError(f"{command} works")
    guest.check("exec 8</dev/ttyS3; exec 8<&-")


def again(args, guest, ends, line, end):
    """Unbound with readers, bound again, many times."""
    name, driver = owner(guest, line)
    transfer(guest, end, line, "before")
    wakeup = f"{class_of(line)}/power/wakeup"
    for n in range(ROUNDS):
        guest.check(f"rm -f /tmp/ended; (cat /dev/ttyS{line} >/dev/null; echo ended >/tmp/ended) & sleep 0.5")
        guest.check(f"grep -q ttyS{line} /proc/interrupts || grep -q serial /proc/interrupts")
        guest.check(f"exec 8<>/dev/ttyS{line}; echo enabled >{wakeup}; echo {name} >{driver}/unbind")
        wait(guest, "[ -e /tmp/ended ]", "a reader stays")
        # Files from before are dead: reads end, writes fail.
        guest.check("[ -z \"$(head -c1 <&8)\" ] && ! (echo >&8) 2>/dev/null; exec 8>&-")
        guest.check(f"! grep ttyS{line} /proc/interrupts; [ $(cat {class_of(line)}/type) = 0 ]")
        if owner(guest, line)[0] != "serial8250":
            raise GuestError("still shown at its device")
        if "Input/output error" not in guest.run(f"sh -c 'cat /dev/ttyS{line}' 2>&1")[1]:
            raise GuestError("reads without a chip")
        guest.check(f"echo {name} >{driver}/bind; [ $(cat {class_of(line)}/type) = 4 ] && [ -e {driver}/{name} ]")
        guest.check(f"[ $(cat {wakeup}) = disabled ]")
        transfer(guest, end, line, f"round{n}")
    if "No such device" not in guest.run(f"sh -c 'echo none >{driver}/unbind' 2>&1")[1]:
        raise GuestError("what is not bound is unbound")


def port(args, guest, ends):
    """A port of the mainboard."""
    again(args, guest, ends, 1, ends["two"])


def card(args, guest, ends):
    """A card on PCI."""
    again(args, guest, ends, 2, ends["card"])


def log(args, guest, ends):
    """The log leaves a port that goes, and comes back; `console` switches it. Linux has one console of a driver."""
    if args.linux:
        return
    name, driver = owner(guest, 1)
    consoles = "cat /proc/consoles"
    need(guest.check(consoles), r"^ttyS0 ", r"^ttyS1 ")
    guest.check(f"echo {name} >{driver}/unbind; ! grep ttyS1 /proc/consoles; grep ttyS0 /proc/consoles")
    guest.check(f"echo {name} >{driver}/bind; grep ttyS1 /proc/consoles; echo it is back >/dev/kmsg")
    ends["two"].until(b"it is back")
    guest.check(f"echo N >{class_of(1)}/console; ! grep ttyS1 /proc/consoles; [ $(cat {class_of(1)}/console) = N ]")
    guest.check(f"echo Y >{class_of(1)}/console; grep ttyS1 /proc/consoles")
    if "No such file" not in guest.run(f"sh -c 'echo Y >{class_of(2)}/console' 2>&1")[1]:
        raise GuestError("any line is a console")


def rest(args, guest, ends):
    """The platform device, which has lines of no other driver, is unbound and bound."""
    driver = "/sys/bus/platform/drivers/serial8250"
    guest.check(f"[ -e {driver}/serial8250 ] && echo serial8250 >{driver}/unbind && [ ! -e {driver}/serial8250 ]")
    # Lines with another driver are not its own.
    need(guest.check(f"cat {class_of(0)}/type {class_of(1)}/type"), r"^4$")
    guest.check(f"echo serial8250 >{driver}/bind && [ -e {driver}/serial8250 ]")


def plug(args, path):
    """A card comes to a slot, is used, and goes with its terminal open."""
    kernel = debian.kernel() if args.linux else args.kernel
    with tempfile.TemporaryDirectory(prefix="serial-plug-") as work, \
            Guest(kernel, path, common.APPEND, machine="q35", memory=512, cpus=args.cpus, limit=args.limit, extra=NATIVE) as guest:
        guest.expect("@READY@", args.limit)
        for n in range(3):
            sock = os.path.join(work, f"card{n}")
            guest.qmp("chardev-add", id=f"c{n}", backend={"type": "socket", "data": {
                "addr": {"type": "unix", "data": {"path": sock}}, "server": True, "wait": False}})
            guest.qmp("device_add", driver="pci-serial", bus="rp1", chardev=f"c{n}", id=f"card{n}")
            wait(guest, "[ -e /sys/bus/pci/drivers/serial/0000:* ]", "no driver", 20)
            end = End(sock).open()
            transfer(guest, end, 1, f"plug{n}")
            guest.check("rm -f /tmp/ended; (cat /dev/ttyS1 >/dev/null; echo ended >/tmp/ended) & sleep 0.5")
            guest.qmp("device_del", id=f"card{n}")
            wait(guest, "[ -e /tmp/ended ] && [ ! -e /sys/bus/pci/drivers/serial/0000:* ]", "the card stays", 30)
            end.close()
            # The slot takes the next one when QEMU has let go of this.
            until = time.monotonic() + 30
            while any(entry["name"] == f"card{n}" for entry in guest.qmp("qom-list", path="/machine/peripheral")):
                if time.monotonic() > until:
                    raise GuestError("QEMU keeps the card")
                time.sleep(0.1)
        common.fs.quiet(guest)


TESTS = (shown, missing, port, card, log, rest)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="serial-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path)
        extra, ends = [], {}
        for name, device in (("two", ["-serial", "chardev:two"]), ("card", ["-device", "pci-serial,chardev=card"])):
            sock = os.path.join(work, name)
            extra += ["-chardev", f"socket,id={name},path={sock},server=on,wait=off", *device]
            ends[name] = End(sock)
        if set(args.only) != {"plug"}:
            with common.machine(args, path, extra, common.APPEND if args.linux else BOTH) as guest:
                for end in ends.values():
                    end.open()
                common.run(args, report, guest, [named(test, ends) for test in TESTS])
        if not args.only or "plug" in args.only:
            with report.attempt("plug"):
                plug(args, path)
    report.finish()


def named(test, ends):
    """A test with the host's ends of the lines."""
    def call(args, guest):
        test(args, guest, ends)
    call.__name__ = test.__name__
    return call


if __name__ == "__main__":
    main()

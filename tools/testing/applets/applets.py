#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every applet of Debian's busybox that needs neither disk nor network: run in the guest, compared with Linux's output.

scripts/NAME.sh runs in the guest in an empty directory of tmpfs; see guest/groups.py. Each script is a result.
"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import debian, groups, image  # noqa: E402

INIT = image.SETUP + """
hostname guest
stty -onlcr
dmesg -n 1
""" + groups.LOOP.format(shell="sh", limit=180, clean="rm -rf /tmp/* /tmp/.[!.]*", after="hostname guest") + """
poweroff -f
"""


def uncovered(suite):
    """Applets that no script names."""
    text = ""
    for name in suite.names():
        if name != "35-usage":
            with open(os.path.join(suite.scripts, name + ".sh"), encoding="utf-8") as f:
                text += f.read()
    words = set(re.findall(r"[\w.-]+|\[\[|\[", text))
    return [a for a in image.busybox_applets(debian.busybox()) if a not in words]


def main():
    suite = groups.Groups(HERE, lambda: image.base(INIT))
    if sys.argv[1:] == ["--coverage"]:
        print(" ".join(uncovered(suite)))
        return
    suite.main(__doc__.split("\n", maxsplit=1)[0])


if __name__ == "__main__":
    main()

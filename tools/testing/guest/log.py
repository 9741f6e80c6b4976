# SPDX-License-Identifier: GPL-2.0
"""What a test asks of a text, and of the kernel's log."""

import re

from .qemu import GuestError


def need(text, *patterns):
    """Each pattern is in the text, in this order."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        if not found:
            raise GuestError(f"no '{pattern}' in:\n{text}")
        at = found.end()


def no_complaint(guest):
    """The kernel has nothing to complain of."""
    log = guest.check("dmesg")
    if re.search(r"BUG|WARNING|Oops|possible recursive|circular", log):
        raise GuestError("the kernel complains:\n" + log[-4000:])

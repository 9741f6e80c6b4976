# SPDX-License-Identifier: GPL-2.0
"""Drives a kernel in QEMU from a test: start it, talk to its serial console, make its initramfs.

Scripts beside this package put `tools/testing` on sys.path and import from here; Python's standard library only.
"""

from .qemu import Guest, GuestError, GuestExit, GuestTimeout
from .log import need, no_complaint
from .report import Report
from . import debian, groups, image, programs

__all__ = ["Guest", "GuestError", "GuestExit", "GuestTimeout", "Report", "debian", "groups", "image", "need", "no_complaint",
           "programs"]

# SPDX-License-Identifier: GPL-2.0
"""`Report`: counts results and prints the last line that scripts/check.py adds up."""

import contextlib
import sys

from .qemu import GuestError


class Report:
    """Results of one test script: one line each, then `N passed, N failed, N skipped`."""

    def __init__(self, quiet=False):
        self.quiet = quiet
        self.passed = self.failed = self.skipped = 0

    def ok(self, name):
        """`name` did what it should."""
        self.passed += 1
        if not self.quiet:
            print(f"ok      {name}", flush=True)

    def fail(self, name, why=""):
        """`name` did not; `why` is printed below it, indented."""
        self.failed += 1
        print(f"FAILED  {name}", flush=True)
        for line in str(why).splitlines():
            print(f"        {line}", flush=True)

    def skip(self, name, why):
        """`name` was not tried, for the reason `why`."""
        self.skipped += 1
        print(f"skipped {name}: {why}", flush=True)

    def add(self, name, good, why=""):
        """`ok` or `fail`, by `good`; returns `good`."""
        if good:
            self.ok(name)
        else:
            self.fail(name, why)
        return good

    @contextlib.contextmanager
    def attempt(self, name):
        """`ok` if what is done inside ends, `fail` if it ends with a GuestError."""
        try:
            yield
        except GuestError as error:
            self.fail(name, error)
        else:
            self.ok(name)

    def finish(self):
        """Prints the counts and ends the program: 0 if nothing failed."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        sys.exit(1 if self.failed else 0)

# SPDX-License-Identifier: GPL-2.0
"""Linux's kselftests on this kernel; the program is kselftest.py."""

# SPDX-License-Identifier: GPL-2.0
"""Which programs of the collections are run, with which arguments and time limits, and in which tier."""

import os

# Seconds, where the usual limit does not do under emulation.
USUAL = 60
LIMITS = {
    "futex/run.sh": 300, "rseq": 300, "timers": 150, "x86": 100, "pidfd": 300, "vm": 150, "openat2": 120, "prctl": 60,
    "rseq/run_param_test.sh": 1200, "rseq/param_test": 600, "rseq/param_test_benchmark": 600,
    "rseq/param_test_compare_twice": 600, "proc/read": 120, "exec": 100,
}
# kselftest-list.txt names the rest. `vm` has one script for all, which wants huge pages first and stops at what it
# cannot have: its programs are run one by one, as it runs them.
LISTS = {
    "vm": ["madv_populate", "map_fixed_noreplace", "map_populate", "mlock-random-test", "mlock2-tests", "mrelease_test",
           "mremap_dontunmap", "mremap_test", "on-fault-limit", "soft-dirty", "va_128TBswitch", "virtual_address_range",
           "memfd_secret", "thuge-gen", "protection_keys_64", "hugepage-mmap", "map_hugetlb", "compaction_test"],
}
# Programs that the collection's Makefile leaves to a person, because they set the clock.
MORE = {"timers": ["valid-adjtimex", "set-tai", "set-2038", "set-tz"]}
# As root it asks hugetlbfs for huge pages first, and gives up where there is none (here); as a user it does all the rest.
AS_USER = {"vm/protection_keys_64"}
# Collections in `make check`; the others, and these programs, are in `make check-full` only.
SHORT = "clone3 core futex kcmp membarrier mincore mount openat2 prctl rlimits sigaltstack size tmpfs vDSO x86".split()
LONG = {"futex/run.sh", "x86/syscall_numbering_64", "openat2/rename_attack_test", "x86/sysret_ss_attrs_64", "x86/sigtrap_loop_64",
        "prctl/disable-tsc-ctxt-sw-stress-test", "prctl/disable-tsc-on-off-stress-test"}


def limit(collection, program):
    """The seconds that a program may take."""
    return LIMITS.get(f"{collection}/{program}", LIMITS.get(collection, USUAL))


def listed(installed, only=(), short=False):
    """(collection, program) of everything to run, in order; `only`: collections or collection/program."""
    out = []
    with open(os.path.join(installed, "kselftest-list.txt")) as f:
        for line in f:
            collection, _, program = line.strip().partition(":")
            if collection not in LISTS:
                out.append((collection, program))
    for table in (LISTS, MORE):
        out += [(collection, program) for collection, names in table.items() for program in names]
    out.sort(key=lambda pair: pair[0])
    if only:
        out = [p for p in out if p[0] in only or "/".join(p) in only]
    if short:
        out = [p for p in out if p[0] in SHORT and "/".join(p) not in LONG]
    return out

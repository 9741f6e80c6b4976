# SPDX-License-Identifier: GPL-2.0
"""What a test program printed, as subtests with names that stay the same from run to run.

TAP and KTAP lines are named by the stream (`TAP version` begins one) and their number. Lines of the tests that print
`[OK]` and `[FAIL]` are named by their text, numbers left out: such programs repeat lines, and a name passed if all did.
The program itself is the subtest `exit`.
"""

import re

TAP = re.compile(r"^[\s#]*(not )?ok (\d+)\b[ -]*(.*)$")
START = re.compile(r"^[\s#]*K?TAP version \d+")
MARK = re.compile(r"^\s*\[\s*(OK|FAIL|SKIP)\s*\]\s*(.*)$")
SKIP = re.compile(r"#\s*(skip|xfail)", re.I)
NUMBER = re.compile(r"0x[0-9a-fA-F]+|\b\d+(\.\d+)?")
PASS, FAIL, SKIPPED = "pass", "fail", "skip"
EXIT = {0: PASS, 4: SKIPPED}


def subtests(text, status):
    """{name: (verdict, description)} of a program that printed `text` and ended with `status` (a number, or a word)."""
    out, stream, marks = {}, 0, {}
    for line in text.splitlines():
        if START.match(line):
            stream += 1
            continue
        found = TAP.match(line)
        if found:
            name = f"{max(stream, 1)}.{found.group(2)}"
            verdict = SKIPPED if SKIP.search(found.group(3)) else FAIL if found.group(1) else PASS
            while name in out:              # a program that begins again without saying so
                name += "+"
            out[name] = (verdict, found.group(3).strip())
            continue
        found = MARK.match(line)
        if found:
            verdict = {"OK": PASS, "FAIL": FAIL, "SKIP": SKIPPED}[found.group(1)]
            description = " ".join(NUMBER.sub("N", found.group(2)).split())
            marks.setdefault(description, []).append(verdict)
    for description, verdicts in marks.items():
        verdict = FAIL if FAIL in verdicts else PASS if PASS in verdicts else SKIPPED
        out[description.replace(" ", "_")] = (verdict, description)
    out["exit"] = (EXIT.get(status, FAIL), f"status {status}")
    return out

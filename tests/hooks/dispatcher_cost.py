#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What kernels before torch's own cost while no request is open: nothing where capture is off, at most 10 instructions of an operator that is no
attention, at most 150 of one that is.

usage: dispatcher_cost.py PROGRAM
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = 200
OTHERS = ("add", "relu", "linear")


def instructions(dump):
    """All but those of the C library: how long its allocator looks for memory depends on what was allocated before."""
    objects, total, here, called = {}, 0, "", False
    for line in dump.splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, name = line.partition("=")[2].partition(" ")
            known = objects.setdefault(number, name)  # a name stands where its number does for the first time
            here = known if line.startswith("ob=") else here
        elif line.startswith("calls="):
            called = True  # the next line is what the callee took
        elif re.match(r"^[+*\-\d]", line):
            if not called and "libc.so" not in here:
                total += int(line.split()[1])
            called = False
    return total


def measure(program, way):
    """Instructions of a call of each operator, on the thread that makes it: Gaze's own looks at its control file meanwhile."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["setarch", "-R", "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={scratch}/out", program, way]
        run = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}, check=False)
        if run.returncode != 0:
            sys.exit(f"{way}: exit {run.returncode}\n{run.stderr[-2000:]}")
        found = {}
        for path in Path(scratch).glob("out.*"):
            dump = path.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+)$", dump, re.MULTILINE)
            if name and re.search(r"^thread: 1$", dump, re.MULTILINE):
                found[name[1]] = instructions(dump) / CALLS
        return found


def main():
    if shutil.which("valgrind") is None or shutil.which("setarch") is None:
        print("gaze-skip: valgrind and setarch are needed to count instructions")
        return
    pristine, off, on = (measure(sys.argv[1], way) for way in ("pristine", "dormant_", "attached"))
    assert len(pristine) == 8 and all(count > 100 for count in pristine.values()), f"expected eight operators, got {pristine}"
    failed = []
    for name, count in pristine.items():
        more = on[name] - count
        print(f"{name}: {count:.0f} instructions, {off[name] - count:+.0f} where capture is off, {more:+.0f} attached")
        if off[name] != count or more > (10 if name in OTHERS else 150):
            failed.append(name)
    assert not failed, f"expected 0 where capture is off, at most 10 more (attention: 150) attached; got more in {', '.join(failed)}"


if __name__ == "__main__":
    main()

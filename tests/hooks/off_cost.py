#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Off is free: instructions retired by forward() and the graph's text are those of a process that never attached.

usage: off_cost.py OFF_COST_PROGRAM MODEL.pt...
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CAPTURE, KILL = {"GAZE_CAPTURE": "1"}, {"GAZE_DISABLED": "1"}
# As long and as many as the switches, for the environment lies on the stack.
NOTHING = {"XAZE_CAPTURE": "1", "XAZE_DISABLED": "1"}


def measure(program, models, way, switches):
    """The instructions of each model's calls, and the text of all graphs."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={scratch}/out", program, way, *models]
        # Without address randomisation two runs take the same path through every hash table.
        run = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **switches}, check=False)
        if run.returncode != 0:
            sys.exit(f"{way}: exit {run.returncode}\n{run.stderr[-2000:]}")
        dumps = [Path(f"{scratch}/out.{part}").read_text() for part in range(1, len(models) + 1)]
        return [int(re.search(r"^totals: (\d+)", dump, re.MULTILINE)[1]) for dump in dumps], run.stdout


def main():
    program, *models = sys.argv[1:]
    if shutil.which("valgrind") is None or shutil.which("setarch") is None:
        print("gaze-skip: valgrind and setarch are needed to count instructions")
        return
    instructions, graphs = measure(program, models, "pristine", NOTHING)
    assert all(count > 1_000_000 for count in instructions), f"expected forward() to be counted, got {instructions} instructions"
    assert "softmax" in graphs and "scaled_dot_product" in graphs, "expected the graphs' text"
    for name, switches in [("unset", NOTHING), ("kill switch", CAPTURE | KILL)]:
        counts, text = measure(program, models, "attached", switches)
        for model, count, pristine in zip(models, counts, instructions):
            print(f"{name}, {Path(model).stem}: {count - pristine:+d} instructions on {pristine} in 50 calls of forward()")
        assert counts == instructions, f"{name}: expected {instructions} instructions, got {counts}"
        assert text == graphs, f"{name}: a graph differs"


if __name__ == "__main__":
    main()

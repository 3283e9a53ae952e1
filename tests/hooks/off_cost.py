#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Off is free: instructions retired by forward() and the graph's text are those of a process that never attached.

usage: off_cost.py OFF_COST_PROGRAM MODEL.pt
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile


def measure(program, model, way, switches):
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={scratch}/out", program, model, way]
        # Without address randomisation two runs take the same path through every hash table.
        run = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **switches}, check=False)
        if run.returncode != 0:
            sys.exit(f"{way}: exit {run.returncode}\n{run.stderr[-2000:]}")
        collected = re.search(r"Collected : (\d+)", run.stderr)
        return int(collected.group(1)), run.stdout


def main():
    program, model = sys.argv[1:3]
    if shutil.which("valgrind") is None or shutil.which("setarch") is None:
        print("gaze-skip: valgrind and setarch are needed to count instructions")
        return
    for name, switches in [("unset", {}), ("kill switch", {"GAZE_CAPTURE": "1", "GAZE_DISABLED": "1"})]:
        # The same environment for both, for it lies on the stack.
        instructions, graph = measure(program, model, "pristine", switches)
        assert instructions > 1_000_000, f"expected forward() to be counted, got {instructions} instructions"
        assert "softmax" in graph or "scaled_dot_product" in graph, "expected the graph's text"
        count, text = measure(program, model, "attached", switches)
        print(f"{name}: {count - instructions:+d} instructions on {instructions} in 50 calls of forward()")
        assert count == instructions, f"{name}: expected {instructions} instructions, got {count}"
        assert text == graph, f"{name}: the graph differs"


if __name__ == "__main__":
    main()

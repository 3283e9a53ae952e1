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


def measure(program, model, way):
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={scratch}/out", program, model, way]
        # Without address randomisation two runs take the same path through every hash table.
        run = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
        if run.returncode != 0:
            sys.exit(f"{way}: exit {run.returncode}\n{run.stderr[-2000:]}")
        collected = re.search(r"Collected : (\d+)", run.stderr)
        return int(collected.group(1)), run.stdout


def main():
    program, model = sys.argv[1:3]
    if shutil.which("valgrind") is None or shutil.which("setarch") is None:
        print("gaze-skip: valgrind and setarch are needed to count instructions")
        return
    instructions, graph = measure(program, model, "pristine")
    assert instructions > 1_000_000, f"expected forward() to be counted, got {instructions} instructions"
    assert "softmax" in graph or "scaled_dot_product" in graph, "expected the graph's text"
    for way in ("disabled", "killed"):
        count, text = measure(program, model, way)
        print(f"{way}: {count - instructions:+d} instructions on {instructions} in 50 calls of forward()")
        assert count == instructions, f"{way}: expected {instructions} instructions, got {count}"
        assert text == graph, f"{way}: the graph differs"


if __name__ == "__main__":
    main()

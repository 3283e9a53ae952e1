"""Hosts that end while bundles are drawn end as they meant to, and leave whole bundles or none.

Usage: host_ends_test.py RUNS MODEL MODE PROGRAM
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ENDED = 7


def main() -> int:
    runs, model, mode, program = sys.argv[1:]
    wrong, bundles = 0, 0
    for run in range(int(runs)):
        with tempfile.TemporaryDirectory() as folder:
            seed = run * 7919 % 8633  # for the moment of the end
            done = subprocess.run([program, mode, model, folder, str(seed)], capture_output=True, timeout=280, stdin=subprocess.DEVNULL,
                                  env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"})
            names = [path.name for path in Path(folder).rglob("*") if path.is_dir()]
            torn = [name for name in names if name.startswith(".tmp")] if not mode.startswith("sink") else []
            for request in Path(folder).rglob("request.json"):
                if not request.parent.name.startswith("."):
                    bundles += 1
            if done.returncode != ENDED or torn or done.stderr:
                wrong += 1
                print(f"run {run}: status {done.returncode}, left {torn}, said {done.stderr.decode(errors='replace')[-500:]}")
    print(f"{mode}: {runs} runs, {bundles} bundles, {wrong} wrong")
    return 1 if wrong else 0


sys.exit(main())

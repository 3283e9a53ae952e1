#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Packages of AOTInductor under capture: tests/models/aoti.py, or with --ops aoti_forms.py, in an interpreter that has torch.

Usage: aoti_test.py --host PROGRAM --source DIR --python PYTHON_WITH_TORCH [--ops LIBRARY]
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("host", "source", "python"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--ops")
given = parser.parse_args()
if not given.python:
    print("gaze-skip: GAZE_TEST_PYTHON names no interpreter with torch")
    sys.exit(0)
with tempfile.TemporaryDirectory() as out:
    # What the compiler keeps is the test's own.
    environment = dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(Path(out) / "cache"), OMP_NUM_THREADS="1")
    script = "aoti_forms.py" if given.ops else "aoti.py"
    more = ("--ops", given.ops) if given.ops else ()
    command = (given.python, "-BW", "ignore", Path(given.source) / "tests/models" / script, "--host", given.host, "--out", out, *more)
    sys.exit(subprocess.run(command, env=environment).returncode)

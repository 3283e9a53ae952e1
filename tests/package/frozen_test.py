#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is found in frozen and optimised files is what is found in the plain ones: tests/models/frozen.py.

Usage: frozen_test.py --sites-of PROGRAM --source DIR --python PYTHON_WITH_TRANSFORMERS --models DIR
"""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("sites-of", "source", "python", "models"):
    parser.add_argument("--" + name, required=True)
arguments = parser.parse_args()
if not arguments.python:
    print("gaze-skip: GAZE_TEST_PYTHON is not set; give a python3 with torch 2.11.0 and transformers 5.23.0")
    sys.exit(0)
os.environ.update(OMP_NUM_THREADS="1", TRANSFORMERS_VERBOSITY="error")
shutil.rmtree(arguments.models, ignore_errors=True)
try:
    subprocess.run([arguments.python, "-BW", "ignore", Path(arguments.source, "tests/models/frozen.py"), "--sites-of", arguments.sites_of, "--out", arguments.models,
                    "--page", Path(arguments.source, "docs/frozen.md")], check=True)
finally:
    shutil.rmtree(arguments.models, ignore_errors=True)

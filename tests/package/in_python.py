#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a script in an interpreter that has torch: in_python.py PYTHON SCRIPT. Exits with 77, and says why, where there is none."""
import os
import sys

python, script = sys.argv[1:]
if not python:
    print("gaze-skip: GAZE_TEST_PYTHON names no interpreter with torch")
    sys.exit(77)
os.execv(python, [python, "-BW", "ignore", script])

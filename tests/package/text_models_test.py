#!/usr/bin/env python3
"""What an answer read of its prompt, over families of language models: tests/models/text.py, by an interpreter that has torch.

Usage: text_models_test.py --gaze PROGRAM --source DIR --python PYTHON_WITH_TORCH
"""
import argparse
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
parser.add_argument("--source", required=True)
parser.add_argument("--python", required=True)
arguments = parser.parse_args()
if not arguments.python:
    print("gaze-skip: no interpreter with torch and transformers (GAZE_TEST_PYTHON)")
    sys.exit(0)
sys.exit(subprocess.run([arguments.python, "-BW", "ignore", Path(arguments.source, "tests/models/text.py"), "--gaze", arguments.gaze]).returncode)

"""What gaze captures from models of real architectures equals the eager weights, so does what is composed of them, and what gaze probe says of
them is true: tests/models, made and compared.

Usage: models_test.py --gaze PROGRAM --source DIR --python PYTHON_WITH_TRANSFORMERS --models DIR
"""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("gaze", "source", "python", "models"):
    parser.add_argument("--" + name, required=True)
arguments = parser.parse_args()
if not arguments.python:
    print("gaze-skip: GAZE_TEST_PYTHON is not set; give a python3 with torch 2.11.0 and transformers 5.23.0")
    sys.exit(0)
folder = Path(arguments.source, "tests/models")
os.environ.update(OMP_NUM_THREADS="1", TRANSFORMERS_VERBOSITY="error")
shutil.rmtree(arguments.models, ignore_errors=True)
subprocess.run([arguments.python, "-BW", "ignore", folder / "make.py", "--out", arguments.models], check=True)
subprocess.run([arguments.python, "-BW", "ignore", folder / "parity.py", "--gaze", arguments.gaze, "--models", arguments.models, "--jobs", "2",
                "--table", Path(arguments.models, "table.md")], check=True)
subprocess.run([arguments.python, "-BW", "ignore", folder / "probe.py", "--gaze", arguments.gaze, "--models", arguments.models, "--jobs", "2",
                "--page", Path(arguments.source, "docs/architectures.md")], check=True)
subprocess.run([arguments.python, "-BW", "ignore", folder / "composed.py", "--gaze", arguments.gaze, "--models", arguments.models], check=True)

# SPDX-License-Identifier: MIT
"""What the tests of the Python package share. A test that lacks torch, transformers or the library ends with 77 and says what it lacks."""
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SAMPLES = SOURCE / "samples"
sys.path.insert(0, str(SOURCE / "hooks" / "python"))
for _name in [name for name in os.environ if name.startswith("GAZE_") and name != "GAZE_LIBRARY"]:
    del os.environ[_name]
os.environ["HF_HUB_OFFLINE"] = "1"


def skip(reason: str) -> None:
    print(f"skipped: {reason}")
    sys.exit(77)


try:
    import numpy  # noqa: F401
    import torch
except ImportError as problem:
    skip(f"{problem}")
torch.set_num_threads(1)


def need_library() -> None:
    path = os.environ.get("GAZE_LIBRARY", "")
    if not os.path.isfile(path):
        skip(f"GAZE_LIBRARY names no file: '{path}'")


def need(module: str):
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as problem:
        skip(str(problem))


class Case(unittest.TestCase):
    """Each test has a folder of its own for bundles."""

    def setUp(self) -> None:
        self.out_dir = tempfile.mkdtemp(prefix="gaze-python-test-")
        self.addCleanup(shutil.rmtree, self.out_dir, ignore_errors=True)

    def bundles(self) -> list[Path]:
        return sorted(each for each in Path(self.out_dir).iterdir() if each.name[:1].isdigit())

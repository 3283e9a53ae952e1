# SPDX-License-Identifier: MIT
"""Finds the native library, loads it once, and refuses one that was built for another torch."""
import os
import threading
from pathlib import Path

import torch

from .errors import LibraryError

_NAME = "libgaze_python.so"
_lock = threading.Lock()
_loaded: str | None = None


def library_path() -> Path:
    """The library named by GAZE_LIBRARY, else the one beside this package."""
    stated = os.environ.get("GAZE_LIBRARY")
    if stated:
        path = Path(stated)
        if not path.is_file():
            raise LibraryError(f"GAZE_LIBRARY: expected the file {_NAME}, found nothing at '{path}'.")
        return path.resolve()
    here = Path(__file__).resolve().parent
    # Installed, it is share/gaze/python/gaze beside lib.
    installed = [here.parents[3] / "lib"] if len(here.parents) > 3 else []
    for folder in (here, here / "lib", here.parent, *installed):
        if (folder / _NAME).is_file():
            return folder / _NAME
    raise LibraryError(f"{_NAME} is not beside the package in '{here}': build it with cmake, and name the file in GAZE_LIBRARY.")


def release_of(version: str) -> str:
    """Without the local part: 2.11.0 of 2.11.0+cpu."""
    return version.split("+")[0]


def load() -> None:
    """Loads the library into this process. A second call does nothing; another file than the first is refused.

    Raises:
        LibraryError: with one sentence that says what to do.
    """
    global _loaded
    with _lock:
        path = str(library_path())
        if _loaded is not None:
            if _loaded != path:
                raise LibraryError(f"This process has loaded '{_loaded}' already and cannot load '{path}' beside it: start a process for each.")
            return
        if hasattr(torch.ops, "gaze_python") and hasattr(torch.ops.gaze_python, "torch_version"):
            raise LibraryError(f"Another copy of Gaze for Python is loaded in this process already: load '{path}' in a process of its own.")
        try:
            torch.classes.load_library(path)
        except (OSError, RuntimeError) as problem:
            raise LibraryError(f"'{path}' cannot be loaded with torch {torch.__version__}: build Gaze again for this torch "
                               f"({_first_line(problem.__cause__ or problem)}).") from problem
        built_for, here = release_of(torch.ops.gaze_python.torch_version()), release_of(torch.__version__)
        if built_for != here:
            raise LibraryError(f"'{path}' was built for torch {built_for}, and this is torch {here}: install torch {built_for}, or build Gaze again.")
        _loaded = path


def metrics_text() -> str:
    """What all captures of the process count, for Prometheus (docs/metrics.md); empty before the first attach with capture on."""
    return str(torch.ops.gaze_python.metrics_text()) if _loaded is not None else ""


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or ["no reason given"])[0]

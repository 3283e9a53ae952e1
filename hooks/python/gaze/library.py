# SPDX-License-Identifier: MIT
"""Finds the native library, loads it once, and refuses one that was built for another torch."""
import os
import re
import threading
from pathlib import Path

import torch

from .errors import LibraryError

_NAME = "libgaze_python.so"
# As classes.cpp writes it into the file.
_BUILT_FOR = re.compile(rb"gaze built for torch ([0-9]+\.[0-9]+)")
_REBUILD = "pip install --no-build-isolation --no-deps --force-reinstall ."
_lock = threading.Lock()
_loaded: str | None = None


def library_path() -> Path:
    """The library named by GAZE_LIBRARY, else the one in this package (a wheel's) or beside it."""
    stated = os.environ.get("GAZE_LIBRARY")
    if stated:
        path = Path(stated)
        if not path.is_file():
            raise LibraryError(f"GAZE_LIBRARY: expected the file {_NAME}, found nothing at '{path}'.")
        return path.resolve()
    here = Path(__file__).resolve().parent
    # Installed, it is share/gaze/python/gaze beside lib.
    installed = [here.parents[3] / "lib"] if len(here.parents) > 3 else []
    for folder in (here / "lib", here, here.parent, *installed):
        if (folder / _NAME).is_file():
            return folder / _NAME
    raise LibraryError(f"{_NAME} is not beside the package in '{here}': build it with cmake, and name the file in GAZE_LIBRARY.")


def minor_of(version: str) -> str:
    """2.11 of 2.11.0+cpu: what the interface of torch's libraries keeps to."""
    return ".".join(version.split("+")[0].split(".")[:2])


def check_torch(path: Path) -> None:
    """Refuses a library of another torch before it is loaded: that would crash, not complain."""
    here = torch.__version__
    if not getattr(torch._C, "_GLIBCXX_USE_CXX11_ABI", True):
        raise LibraryError(f"torch {here} was built with the older C++ ABI (_GLIBCXX_USE_CXX11_ABI=0), and Gaze with the newer one: install torch 2.7 "
                           f"or newer, then build Gaze for it: in Gaze's folder, {_REBUILD}")
    stated = _BUILT_FOR.search(path.read_bytes())
    if stated and stated[1].decode() != minor_of(here):
        built_for = stated[1].decode()
        raise LibraryError(f"'{path}' was built for torch {built_for}, and this is torch {here}: install Gaze for it, in Gaze's folder with {_REBUILD} "
                           f"(or torch for Gaze, with pip install 'torch=={built_for}.*').")


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
        check_torch(Path(path))
        try:
            torch.classes.load_library(path)
        except (OSError, RuntimeError) as problem:
            raise LibraryError(f"'{path}' cannot be loaded with torch {torch.__version__} ({_first_line(problem.__cause__ or problem)}): install "
                               f"Gaze for this torch, in Gaze's folder with {_REBUILD}") from problem
        _loaded = path


def metrics_text() -> str:
    """What all captures of the process count, for Prometheus (docs/metrics.md); empty before the first attach with capture on."""
    return str(torch.ops.gaze_python.metrics_text()) if _loaded is not None else ""


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or ["no reason given"])[0]

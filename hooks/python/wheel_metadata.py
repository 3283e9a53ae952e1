# SPDX-License-Identifier: MIT
"""What a wheel says of itself: the version, which is the project's, and the torch that it is built for, which is the one installed here."""
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parents[2] / "CMakeLists.txt"


def dynamic_metadata(_settings: Mapping[str, Any], _project: Mapping[str, Any]) -> dict[str, Any]:
    version = re.search(r"^project\(Gaze VERSION ([0-9.]+)", _PROJECT.read_text(), re.MULTILINE)[1]
    return {"version": version, "dependencies": ["numpy", f"torch=={torch_minor()}.*"]}


def dynamic_wheel(_settings: Mapping[str, Any]) -> dict[str, bool]:
    return {"dependencies": True}


def torch_minor() -> str:
    try:
        release = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError("gaze: expected the torch that it is to be built for, and none is installed where it is built. Install torch and "
                           "scikit-build-core, then: pip install --no-build-isolation .") from None
    return ".".join(release.split(".")[:2])

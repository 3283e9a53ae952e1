# SPDX-License-Identifier: MIT
"""The environment's switches that must be known before the native library is loaded; that reads all of them by itself (docs/environment.md)."""
import os
import sys

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _say(line: str) -> None:
    print(f"gaze: {line}", file=sys.stderr)


def capture_wanted(capture: bool | None) -> bool:
    """Whether attach should touch anything. A set variable wins over `capture`; what is not understood keeps capture off."""
    disabled = os.environ.get("GAZE_DISABLED", "")
    if disabled and disabled.lower() not in _NO:
        return False
    value = os.environ.get("GAZE_CAPTURE", "")
    if not value:
        return bool(capture)
    if value.lower() in _YES:
        return True
    if value.lower() not in _NO:
        _say(f"GAZE_CAPTURE: expected one of {', '.join(_YES + _NO)}, got {value!r}: capture stays off")
    return False


def profile_from_environment() -> str | None:
    """The profile's file that GAZE_PROFILE names."""
    return os.environ.get("GAZE_PROFILE") or None


def out_dir(stated: str | os.PathLike[str] | None) -> str:
    """Where bundles appear, looked up once as the library does."""
    return os.path.abspath(os.environ.get("GAZE_OUT_DIR") or stated or "overlays")

# SPDX-License-Identifier: MIT
"""Reads the tensors of a safetensors file as arrays: a length, a JSON header, then the numbers."""
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BundleError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1", "BOOL": "?"}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """name -> array, all of the file in memory."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise BundleError(f"'{path}' cannot be read: {problem.strerror}.") from problem
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > len(data) - 8:
            raise ValueError(f"a header of {length} bytes does not fit a file of {len(data)}")
        header = json.loads(data[8:8 + length])
        return {name: _array(data, 8 + length, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BundleError(f"'{path}' is no safetensors file: {problem}.") from problem


def _array(data: bytes, start: int, entry: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data) - start or end - begin != math.prod(entry["shape"]) * dtype.itemsize:
        raise ValueError(f"a tensor of shape {entry['shape']} does not lie at {begin} to {end}")
    return np.frombuffer(data, dtype, math.prod(entry["shape"]), start + begin).reshape(entry["shape"]).copy()

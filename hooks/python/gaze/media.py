# SPDX-License-Identifier: MIT
"""Pictures and sounds of a host, whatever it has them as, in the form that Gaze takes."""
import os
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .native import Row


def picture(image: Any) -> tuple[torch.Tensor | None, str]:
    """A picture as uint8 [H, W, 3] on the processor, or the path of its file: one of both.

    Takes a PIL image, a path, or an array or tensor [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels: uint8, or floats from 0 to 1.
    """
    if image is None:
        return None, ""
    if isinstance(image, (str, os.PathLike)):
        path = os.path.abspath(os.fspath(image))
        if not os.path.isfile(path):
            raise InputError(f"image: expected a picture file, found nothing at '{path}'.")
        return None, path
    if hasattr(image, "convert"):  # PIL, without importing it
        return torch.from_numpy(np.array(image.convert("RGB"))), ""
    if isinstance(image, torch.Tensor):
        if type(image) not in (torch.Tensor, torch.nn.Parameter) or image.device.type == "meta":
            raise InputError(f"image: expected a plain tensor, got a {type(image).__name__} on {image.device}.")
        return _pixels(image.detach().cpu()), ""
    if isinstance(image, np.ndarray):
        return _pixels(torch.from_numpy(np.ascontiguousarray(image))), ""
    raise InputError(f"image: expected a PIL image, an array, a tensor or a path, got {type(image).__name__}.")


def _pixels(values: torch.Tensor) -> torch.Tensor:
    shape = tuple(values.shape)
    if values.dim() == 4 and shape[0] == 1:
        values = values[0]
    if values.dim() == 2:
        values = values[..., None]
    if values.dim() != 3:
        raise InputError(f"image: expected [H, W], [H, W, C] or [C, H, W], got {list(shape)}.")
    if values.shape[-1] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = values.permute(1, 2, 0)
    if values.shape[-1] not in (1, 3, 4) or 0 in values.shape:
        raise InputError(f"image: expected 1, 3 or 4 channels, first or last, got {list(shape)}.")
    values = values[..., :3].expand(-1, -1, 3)
    if values.is_floating_point():
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise InputError(f"image: expected floats from 0 to 1, got {low:.3g} to {high:.3g}: give the picture itself, not what the model's "
                             "preprocessing made of it.")
        values = (values.float() * 255).round().to(torch.uint8)
    elif values.dtype != torch.uint8:
        raise InputError(f"image: expected uint8 or floats from 0 to 1, got {values.dtype}.")
    return values.contiguous()


def load(row: Row) -> None:
    """Reads a picture's file now, where its size is asked for before it is drawn."""
    if row.image is None and row.image_path:
        from PIL import Image

        try:
            with Image.open(row.image_path) as file:
                row.image, row.image_path = picture(file)[0], ""
        except OSError as problem:
            raise InputError(f"image: expected a picture file, cannot read '{row.image_path}': {problem}.") from problem


def show_seen(row: Row, down: float, across: float) -> None:
    """Pads the picture at its right and below, or cuts it there, to what the model's input held of it."""
    load(row)
    if row.image is None:
        return
    height, width = row.image.shape[:2]
    rows, cols = max(1, round(height * down)), max(1, round(width * across))
    seen = torch.zeros(rows, cols, 3, dtype=torch.uint8)
    kept = row.image[:rows, :cols]
    seen[:kept.shape[0], :kept.shape[1]] = kept
    row.image = seen


def recording(sound: Any, sample_rate_hz: float | None) -> tuple[torch.Tensor, float] | None:
    """Samples [N] or [channels, N] as float32 on the processor, and their rate. A pair (samples, rate) has its own."""
    if sound is None:
        return None
    if isinstance(sound, tuple) and len(sound) == 2:
        sound, sample_rate_hz = sound
    if sample_rate_hz is None or not float(sample_rate_hz) > 0:
        raise InputError("sound: expected its sample rate beside it, as in sound=(samples, 16000).")
    if isinstance(sound, torch.Tensor):
        samples = sound.detach().cpu()
    else:
        samples = torch.from_numpy(np.ascontiguousarray(np.asarray(sound)))
    if samples.dim() not in (1, 2) or samples.numel() == 0:
        raise InputError(f"sound: expected samples [N] or [channels, N], got {list(samples.shape)}.")
    if not samples.is_floating_point():
        if samples.dtype != torch.int16:
            raise InputError(f"sound: expected floats or int16, got {samples.dtype}.")
        samples = samples.float() / 32768
    return samples.float().contiguous(), float(sample_rate_hz)

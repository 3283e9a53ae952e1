# SPDX-License-Identifier: MIT
"""The whole picture first, then at a resolution of its own, without the padding, with a key at each row's end: LLaVA-NeXT, LLaVA-OneVision."""
from __future__ import annotations

import math
import re
from typing import Any, Sequence

import torch

from ..errors import InputError
from .knowledge import (Family, Knowledge, Model, Place, Prompts, check_picture, image_token, is_language_self, number_list, pair, pixels, plain_ids,
                        profile, prompt_inputs, sides, spans_of)


def _chosen_resolution(size: tuple[int, int], resolutions: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Height and width of that which shows most of the picture, and of these the one with least padding; the first where several do."""
    height, width = size

    def worth(resolution: Sequence[int]) -> tuple[int, int]:
        scale = min(resolution[1] / width, resolution[0] / height)
        shown = min(int(width * scale) * int(height * scale), width * height)
        return shown, shown - resolution[0] * resolution[1]

    best = max(resolutions, key=worth)
    return int(best[0]), int(best[1])


def _kept(rows: int, cols: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of cells that are left when those on the padding go, as many at each side."""
    height, width = size
    if width / height > cols / rows:
        return rows - 2 * ((rows - int(round(height * (cols / width), 7))) // 2), cols
    return rows, cols - 2 * ((cols - int(round(width * (rows / height), 7))) // 2)


class _Layout:
    """Of one model."""

    def __init__(self, config: Any):
        self.side, _, self.tile, _ = sides(config.vision_config)
        self.patch, _ = pair(config.vision_config.patch_size)
        self.resolutions = config.image_grid_pinpoints
        most = re.search(r"\d+$", str(getattr(config, "vision_aspect_ratio", "")))
        self.most_tiles = int(most[0]) if most else None

    def whole(self) -> dict[str, Any]:
        """Of a picture that is not shown again: among several LLaVA-OneVision does so."""
        return {"kind": "grid", "rows": self.side, "cols": self.side, "fit": "resize", "input_width": self.tile, "input_height": self.tile,
                "trailing": 1, "row_end": 0, "unpad": False, "patch": None, "thumbnail": None}

    def tiled(self, size: tuple[int, int]) -> tuple[dict[str, Any], int]:
        """The geometry of a picture of this height and width, and its number of keys."""
        height, width = _chosen_resolution(size, self.resolutions)
        rows, cols = (self.side * (each // self.tile) for each in (height, width))
        geometry: dict[str, Any] = {"rows": rows, "cols": cols, "input_width": cols * self.patch, "input_height": rows * self.patch,
                                    "fit": "letterbox", "unpad": True, "patch": None}
        rows, cols = _kept(rows, cols, size)
        ratio = math.sqrt(rows * cols / (self.most_tiles * self.side ** 2)) if self.most_tiles else 1
        if ratio > 1.1:  # then it is resampled to fewer cells
            to = int(rows // ratio), int(cols // ratio)
            geometry |= self._resampled(rows, cols, size, to)
            rows, cols = to
        return geometry, self.side ** 2 + rows * (cols + 1)

    def _resampled(self, rows: int, cols: int, size: tuple[int, int], to: tuple[int, int]) -> dict[str, Any]:
        """The kept cells are the input; where they are fewer than the picture needs, its borders are cut, else padded."""
        scale = min(cols / size[1], rows / size[0]) if self._is_whole(rows, cols, size) else max(cols / size[1], rows / size[0])
        cut = {"fit": "letterbox"} if self._is_whole(rows, cols, size) else {"fit": "centre_crop",
                                                                           "resize_shorter": round(min(size) * scale * self.patch)}
        return {"rows": to[0], "cols": to[1], "input_width": cols * self.patch, "input_height": rows * self.patch, "unpad": False, **cut}

    def _is_whole(self, rows: int, cols: int, size: tuple[int, int]) -> bool:
        """Whether the longer side alone says the scale: the other then lies inside what is kept."""
        whole_rows, whole_cols = (self.side * (each // self.tile) for each in _chosen_resolution(size, self.resolutions))
        wide = size[1] / size[0] > whole_cols / whole_rows
        return size[0] * cols / size[1] <= rows if wide else size[1] * rows / size[0] <= cols


def _sizes(prompts: Prompts, number: int, chosen: bool, row: int) -> tuple[int, int] | None:
    """Height and width of a picture, of which the processor made the input."""
    told = prompts.inputs.get("image_sizes")
    if told is not None:
        sizes = number_list(told)
        if number < len(sizes):
            return sizes[number][0], sizes[number][1]
    return prompts.sizes[row] if chosen else None


def _knowledge(model: Model, processor: Any) -> Knowledge:
    config = model.config
    placeholder, layout = image_token(config), _Layout(config)
    if (config.model_type == "llava_next") != (config.vision_feature_select_strategy == "default"):
        return Knowledge(None, reason=f"a vision_feature_select_strategy of '{config.vision_feature_select_strategy}' gives tiles special keys")

    def geometry_of(size: tuple[int, int] | None, keys: int) -> dict[str, Any]:
        if config.model_type == "llava_onevision" and keys == layout.side ** 2 + 1:
            return layout.whole()
        if size is None:
            raise InputError("request: expected the picture, or image_sizes among the inputs, for the number of its keys goes by its size, got "
                             "neither")
        geometry, expected = layout.tiled(size)
        if expected != keys:
            raise InputError(f"request: expected {expected} keys of a picture of {size[1]} x {size[0]}, got {keys} placeholders: is it the picture "
                             "that the processor was given?")
        return geometry

    def places(prompts: Prompts) -> list[Place]:
        found, before = [], 0
        for row, ids in enumerate(prompts.ids):
            spans = spans_of(ids, placeholder)
            check_picture(spans, prompts.picture, placeholder)
            size = _sizes(prompts, before + prompts.picture, True, row)
            found.append(Place(spans, geometry_of(size, spans[prompts.picture]["keys"])))
            before += len(spans)
        return found

    # Rows and columns are those of each request's picture.
    geometry = {"kind": "grid", "patch": layout.patch, "fit": "letterbox", "unpad": True, "row_end": 1,
                "thumbnail": {"rows": layout.side, "cols": layout.side, "at": "first"}}
    return Knowledge(profile(config.model_type, geometry=geometry), is_language_self, ids_in_steps=True, places=places, needs_picture=True)


def _inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    layout = _Layout(config)
    # A picture of exactly one of the resolutions, which none shows better.
    size = min(((int(each[0]), int(each[1])) for each in config.image_grid_pinpoints), key=lambda each: each[0] * each[1])
    _, keys = layout.tiled(size)
    chosen = _chosen_resolution(size, config.image_grid_pinpoints)
    tiles = 1 + (chosen[0] // layout.tile) * (chosen[1] // layout.tile)
    inputs = prompt_inputs(model, plain_ids(config, 1) + [image_token(config)] * keys + plain_ids(config, 2))
    channels = getattr(config.vision_config, "num_channels", 3)
    return {**inputs, "pixel_values": pixels(model, 1, tiles, channels, layout.tile, layout.tile),
            "image_sizes": torch.tensor([size], device=inputs["input_ids"].device)}


FAMILIES = {kind: Family(_knowledge, _inputs) for kind in ("llava_next", "llava_onevision")}

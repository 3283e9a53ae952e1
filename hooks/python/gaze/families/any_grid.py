# SPDX-License-Identifier: MIT
"""Pictures of any size and proportions as one grid in the decoder's own row: Qwen2-VL, Qwen2.5-VL, Qwen3-VL."""
from __future__ import annotations

from typing import Any, Mapping

import torch

from ..errors import InputError
from .knowledge import (Family, Knowledge, Model, Place, Prompts, check_picture, image_token, is_language_self, number_list, plain_ids, profile,
                        prompt_inputs, spans_of, spans_of_pictures)


def _knowledge(model: Model, processor: Any) -> Knowledge:
    config = model.config
    vision, placeholder = config.vision_config, image_token(config)
    merge, patch = vision.spatial_merge_size, vision.patch_size
    side = merge * patch

    def places(prompts: Prompts) -> list[Place]:
        sizes = prompts.inputs.get("image_grid_thw")
        rows, cols = _grid_by_positions(prompts.inputs, placeholder) if sizes is None else _grid_by_sizes(sizes, merge)
        geometry = {"kind": "grid", "rows": rows, "cols": cols, "fit": "resize", "input_width": cols * side, "input_height": rows * side}
        found = []
        for ids in prompts.ids:
            spans = spans_of_pictures(ids, placeholder, rows * cols)
            check_picture(spans, prompts.picture, placeholder)
            found.append(Place(spans, geometry))
        return found

    # Rows and columns are those of each request's input.
    made = profile(config.model_type, geometry={"kind": "grid", "patch": patch, "merge": merge, "fit": "resize"})
    return Knowledge(made, is_language_self, ids_in_steps=True, places=places)


def _grid_by_sizes(grid_thw: Any, merge: int) -> tuple[int, int]:
    grids = {tuple(grid) for grid in number_list(grid_thw)}
    if len(grids) != 1 or next(iter(grids))[0] != 1:
        raise InputError(f"image_grid_thw: expected one picture, or several of one size, got {sorted(grids)}")
    _, rows, cols = next(iter(grids))
    return rows // merge, cols // merge


def _grid_by_positions(inputs: Mapping[str, Any], placeholder: int) -> tuple[int, int]:
    """Generate reads the picture before the first step, which then knows a grid by the rows and columns among its positions alone."""
    positions, ids = inputs.get("position_ids"), inputs.get("input_ids")
    if positions is None or ids is None or positions.dim() != 3:
        raise InputError("request: expected image_grid_thw, which says how many rows and columns the picture has, got none: give the request its "
                         "inputs")
    spans = spans_of(ids[0].tolist(), placeholder)
    if not spans:
        return 0, 0
    place = slice(spans[0]["first_key"], spans[0]["first_key"] + spans[0]["keys"])
    rows, cols = (int(axis.max() - axis.min()) + 1 for axis in (positions[-2, 0, place], positions[-1, 0, place]))
    if rows * cols != spans[0]["keys"]:
        raise InputError(f"request: expected rows and columns of a picture of {spans[0]['keys']} keys, got {rows} x {cols}: give the request its "
                         "inputs")
    return rows, cols


def _inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    vision, token = config.vision_config, image_token(config)
    merge = vision.spatial_merge_size
    depth = getattr(vision, "in_channels", 3) * vision.temporal_patch_size * vision.patch_size ** 2
    inputs = prompt_inputs(model, [*plain_ids(config, 1), config.vision_start_token_id, token, token, config.vision_end_token_id,
                                   *plain_ids(config, 2)])
    parameter = next(model.parameters())
    return {**inputs, "mm_token_type_ids": torch.eq(inputs["input_ids"], token).to(torch.int32),
            "image_grid_thw": torch.tensor([[1, merge, 2 * merge]], device=parameter.device),
            "pixel_values": torch.zeros(2 * merge ** 2, depth, device=parameter.device, dtype=parameter.dtype)}


FAMILIES = {kind: Family(_knowledge, _inputs) for kind in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")}

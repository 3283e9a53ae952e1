# SPDX-License-Identifier: MIT
"""Pictures of one fixed size in the decoder's own row: LLaVA, VipLLaVA, PaliGemma, Gemma 3."""
from __future__ import annotations

from typing import Any

import torch

from .knowledge import (Family, Knowledge, Model, Place, Prompts, check_picture, image_token, language_self, pixels, plain_ids, profile,
                        prompt_inputs, sides, spans_of_pictures)

_CROPPED = {"llava", "vipllava"}  # their image processors resize the shorter side and crop the centre


def _grid(config: Any) -> tuple[int, int, int]:
    """Rows, columns, and special keys before them."""
    rows, cols, _, _ = sides(config.vision_config)
    if config.model_type == "gemma3":
        rows = cols = round(config.mm_tokens_per_image ** 0.5)
    return rows, cols, 1 if getattr(config, "vision_feature_select_strategy", "default") == "full" else 0


def fit_of(processor: Any, otherwise: str) -> dict[str, Any]:
    """How the picture became the model's input."""
    images = getattr(processor, "image_processor", None)
    if images is None:
        return {"fit": otherwise}
    if getattr(images, "do_pad", False):
        return {"fit": "letterbox"}
    if not getattr(images, "do_center_crop", False):
        return {"fit": "resize"}
    shorter = (getattr(images, "size", None) or {}).get("shortest_edge")
    return {"fit": "centre_crop", **({"resize_shorter": shorter} if shorter else {})}


def _knowledge(model: Model, processor: Any) -> Knowledge:
    config = model.config
    rows, cols, leading = _grid(config)
    _, _, height, width = sides(config.vision_config)
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "input_width": width, "input_height": height,
                **fit_of(processor, "centre_crop" if config.model_type in _CROPPED else "resize")}
    if leading:
        geometry["leading"] = leading
    placeholder = image_token(config)
    wanted, notes = language_self(config)

    def places(prompts: Prompts) -> list[Place]:
        found = []
        for ids in prompts.ids:
            spans = spans_of_pictures(ids, placeholder, rows * cols + leading)
            check_picture(spans, prompts.picture, placeholder)
            found.append(Place(spans))
        return found

    return Knowledge(profile(config.model_type, geometry=geometry), wanted, ids_in_steps=True, places=places, notes=notes)


def _inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    rows, cols, leading = _grid(config)
    _, _, height, width = sides(config.vision_config)
    token = image_token(config)
    keys = config.mm_tokens_per_image if config.model_type == "gemma3" else rows * cols + leading
    inputs = prompt_inputs(model, [token] * keys + plain_ids(config, 2))
    inputs["pixel_values"] = pixels(model, 1, getattr(config.vision_config, "num_channels", 3), height, width)
    if config.model_type in ("gemma3", "paligemma"):
        inputs["token_type_ids"] = torch.eq(inputs["input_ids"], token).to(torch.int64)
    return inputs


FAMILIES = {kind: Family(_knowledge, _inputs) for kind in ("llava", "vipllava", "paligemma", "gemma3")}

# SPDX-License-Identifier: MIT
"""Pictures that a decoder reads by cross-attention: BLIP, Mllama, and an image encoder beside any decoder (TrOCR, Donut)."""
from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import InputError
from .knowledge import (Family, Knowledge, Model, Place, Prompts, image_token, is_decoders_cross, pair, pixels, plain_ids, profile, prompt_inputs,
                        sides)
from .one_grid import fit_of


def _picture(model: Model, vision: Any) -> dict[str, torch.Tensor]:
    height, width = pair(vision.image_size)
    return {"pixel_values": pixels(model, 1, getattr(vision, "num_channels", 3), height, width)}


def _blip(model: Model, processor: Any) -> Knowledge:
    config = model.config
    if not hasattr(model, "text_decoder"):
        return Knowledge(None, reason=f"a '{type(model).__name__}' makes no words of a picture")
    rows, cols, height, width = sides(config.vision_config)
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "leading": 1, "fit": "resize", "input_width": width, "input_height": height}
    return Knowledge(profile(config.model_type, geometry=geometry), is_decoders_cross)


# ---- an encoder of pictures and a decoder, each a model of its own

_CLASS_TOKENS = {"vit": 1, "beit": 1, "deit": 2}  # a DeiT has one for distillation as well
_HALVES = {"swin", "donut-swin"}  # the patches are merged 2 x 2 between stages


def _encoder_and_decoder(model: Model, processor: Any) -> Knowledge:
    encoder = model.config.encoder
    kind = getattr(encoder, "model_type", "")
    if kind not in _CLASS_TOKENS and kind not in _HALVES:
        return Knowledge(None, reason=f"where the keys of a picture lie is not known for an encoder of the type '{kind}'")
    rows, cols, height, width = sides(encoder)
    geometry: dict[str, Any] = {"kind": "grid", "input_width": width, "input_height": height,
                                **fit_of(processor, "letterbox" if kind == "donut-swin" else "resize")}
    if kind in _HALVES:
        merged = 2 ** (len(encoder.depths) - 1)
        geometry |= {"rows": rows // merged, "cols": cols // merged}
    else:
        geometry |= {"rows": rows, "cols": cols, "leading": _CLASS_TOKENS[kind]}
    notes = [f"the picture is taken to be fitted by {geometry['fit']}, as the processors of '{kind}' do"] if processor is None else []
    return Knowledge(profile(model.config.model_type, geometry=geometry), is_decoders_cross, notes=notes)


# ---- Mllama: tiles of a canvas, in whose upper left corner the picture stands

def _mllama(model: Model, processor: Any) -> Knowledge:
    config = model.config
    vision = config.vision_config
    rows, cols, tile, _ = sides(vision)
    slots, keys_of_tile = vision.max_num_tiles, 1 + rows * cols

    def geometry_of(tiles: tuple[int, int]) -> dict[str, Any]:
        # Each tile has its class token first; behind the tiles are the places of those that are not there, which are masked.
        return {"tiles": {"rows": tiles[0], "cols": tiles[1], "leading": 1}, "trailing": (slots - tiles[0] * tiles[1]) * keys_of_tile,
                "input_width": tiles[1] * tile, "input_height": tiles[0] * tile}

    def places(prompts: Prompts) -> list[Place]:
        told = prompts.inputs.get("aspect_ratio_ids")
        if told is None:
            raise InputError("request: expected aspect_ratio_ids, which say how the picture was cut into tiles, got none: give the request its "
                             "inputs")
        found = []
        for ratios, size in zip(torch.as_tensor(told).tolist(), prompts.sizes):
            pictures = [tuple(vision.supported_aspect_ratios[each - 1]) for each in ratios if each]
            if not 0 <= prompts.picture < len(pictures):
                raise InputError(f"request: expected picture to be one of the prompt's {len(pictures)}, from 0, got {prompts.picture}")
            spans = [{"first_key": number * slots * keys_of_tile, "keys": slots * keys_of_tile} for number in range(len(pictures))]
            tiles = pictures[prompts.picture]
            found.append(Place(spans, geometry_of(tiles), None if size is None else _canvas(size, tiles, tile)))
        return found

    geometry = {"kind": "tiles", "rows": rows, "cols": cols, "fit": "resize", "tiles": {"rows": 1, "cols": 1, "leading": 1}}
    return Knowledge(profile(config.model_type, geometry=geometry), is_decoders_cross, ids_in_steps=True, places=places,
                     notes=["a picture is shown with the padding that the model saw at its right and below it"])


def _canvas(size: tuple[int, int], tiles: tuple[int, int], tile: int) -> tuple[float, float]:
    """The canvas' height and width, as parts of the picture's in it: that is made no larger than it was, but fills at least a tile."""
    height, width = size
    most_height, most_width = tiles[0] * tile, tiles[1] * tile
    tall, wide = (min(max(side, tile), most) for side, most in ((height, most_height), (width, most_width)))
    if wide / width < tall / height:
        tall = min(max(1, math.floor(height * (wide / width))), tall)
    else:
        wide = min(max(1, math.floor(width * (tall / height))), wide)
    return most_height / tall, most_width / wide


def _mllama_inputs(model: Model) -> dict[str, torch.Tensor]:
    vision, config = model.config.vision_config, model.config
    inputs = prompt_inputs(model, [image_token(config), *plain_ids(config, 2)])
    height, width = pair(vision.image_size)
    ids, slots, device = inputs["input_ids"], vision.max_num_tiles, inputs["input_ids"].device
    mask = torch.zeros(1, 1, slots, dtype=torch.long, device=device)
    mask[..., 0] = 1
    return {**inputs, "pixel_values": pixels(model, 1, 1, slots, getattr(vision, "num_channels", 3), height, width),
            "aspect_ratio_ids": torch.ones(1, 1, dtype=torch.long, device=device), "aspect_ratio_mask": mask,
            "cross_attention_mask": mask[:, None].expand(1, ids.shape[1], 1, slots).clone()}


FAMILIES = {"blip": Family(_blip, lambda model: _picture(model, model.config.vision_config)),
            "vision-encoder-decoder": Family(_encoder_and_decoder, lambda model: _picture(model, model.config.encoder)),
            "mllama": Family(_mllama, _mllama_inputs)}

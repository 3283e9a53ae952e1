# SPDX-License-Identifier: MIT
"""Pictures behind a few latents: the Q-Former of BLIP-2 and InstructBLIP, Idefics2's perceiver."""
from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from .knowledge import (Family, Knowledge, Model, Place, Prompts, check_picture, image_token, is_decoders_cross, is_language_self, pair, pixels,
                        plain_ids, profile, prompt_inputs, sides, spans_of_pictures)


def _blip2(model: Model, processor: Any) -> Knowledge:
    config = model.config
    rows, cols, height, width = sides(config.vision_config)
    # The class token is a key of the Q-Former; the processor puts its latents before the text.
    geometry = {"kind": "grid", "rows": rows, "cols": cols, "leading": 1, "fit": "resize", "input_width": width, "input_height": height,
                "spans": [{"first_key": 0, "keys": config.num_query_tokens}]}
    wanted = is_decoders_cross if getattr(config.text_config, "is_encoder_decoder", False) else is_language_self
    return Knowledge(profile(config.model_type, geometry=geometry), wanted, lambda site: "qformer" in site.name and site.relation == "cross",
                     notes=["the latents are taken to stand first in the prompt, as the processor puts them"])


def _blip2_inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    height, width = pair(config.vision_config.image_size)
    inputs = prompt_inputs(model, [image_token(config)] * config.num_query_tokens + plain_ids(config, 2))
    if config.model_type == "instructblip":  # its Q-Former reads the question as well
        question = prompt_inputs(model, plain_ids(config, 2))
        inputs |= {"qformer_input_ids": question["input_ids"], "qformer_attention_mask": question["attention_mask"]}
    return {**inputs, "pixel_values": pixels(model, 1, getattr(config.vision_config, "num_channels", 3), height, width)}


# ---- Idefics2: the perceiver's own latents are keys behind the picture's

def _idefics2(model: Model, processor: Any) -> Knowledge:
    config = model.config
    placeholder, latents, (patch, _) = image_token(config), config.perceiver_config.resampler_n_latents, pair(config.vision_config.patch_size)
    if getattr(getattr(processor, "image_processor", None), "do_image_splitting", False):
        return Knowledge(None, reason="pictures that are cut into four beside the whole cannot be told from five: set do_image_splitting to False")

    def places(prompts: Prompts) -> list[Place]:
        images = prompts.inputs.get("pixel_values")
        if images is None:
            raise InputError("request: expected pixel_values, which say how many rows and columns the picture has, got none: give the request its "
                             "inputs")
        height, width = images.shape[-2:]
        mask = prompts.inputs.get("pixel_attention_mask")
        found = []
        for row, ids in enumerate(prompts.ids):
            spans = spans_of_pictures(ids, placeholder, latents)
            check_picture(spans, prompts.picture, placeholder)
            if mask is not None and not bool(torch.as_tensor(mask)[row, prompts.picture].bool().all()):
                raise InputError("request: expected a picture that fills its part of pixel_values, got one padded to the size of others: give it a "
                                 "request and a batch of its own")
            rows, cols = height // patch, width // patch
            geometry = {"rows": rows, "cols": cols, "input_width": cols * patch, "input_height": rows * patch, "patch": None}
            found.append(Place(spans, geometry, (rows * patch / height, cols * patch / width)))
        return found

    # Rows and columns are those of each request's input.
    geometry = {"kind": "grid", "patch": patch, "trailing": latents, "fit": "resize"}
    return Knowledge(profile(config.model_type, geometry=geometry), is_language_self, lambda site: "perceiver_resampler" in site.name,
                     ids_in_steps=True, places=places, notes=["a picture is shown without what patches leave over at its right and below"])


def _idefics2_inputs(model: Model) -> dict[str, torch.Tensor]:
    config = model.config
    height, width = pair(config.vision_config.image_size)
    ids = plain_ids(config, 1) + [image_token(config)] * config.perceiver_config.resampler_n_latents + plain_ids(config, 2)
    return {**prompt_inputs(model, ids), "pixel_values": pixels(model, 1, 1, getattr(config.vision_config, "num_channels", 3), height, width)}


FAMILIES = {"blip-2": Family(_blip2, _blip2_inputs), "instructblip": Family(_blip2, _blip2_inputs), "idefics2": Family(_idefics2, _idefics2_inputs)}

# SPDX-License-Identifier: MIT
"""What is known of the model types of Hugging Face's transformers, told by their configs, so that transformers itself need not be imported here."""
from __future__ import annotations

from typing import Any

import torch

from ..native import Site
from . import any_grid, any_resolution, cross, latents, one_grid, sounds, tiled, words
from .knowledge import Family, Knowledge, Model, Place, Prompts, is_language_self

__all__ = ["Family", "Knowledge", "Model", "Place", "Prompts", "knowledge_of", "made_up_inputs", "model_type", "tell_groups"]

_FAMILIES: dict[str, Family] = {**words.FAMILIES, **one_grid.FAMILIES, **any_grid.FAMILIES, **any_resolution.FAMILIES, **tiled.FAMILIES,
                                **cross.FAMILIES, **latents.FAMILIES, **sounds.FAMILIES}


def model_type(model: Model) -> str | None:
    """As the config says it; None of a model that is not transformers'."""
    return getattr(getattr(model, "config", None), "model_type", None)


def knowledge_of(model: Model, processor: Any = None) -> Knowledge:
    """What to capture of a model, told by its config; a processor says more exactly how its inputs are made."""
    config, kind = model.config, model_type(model)
    if kind in _FAMILIES:
        return _FAMILIES[kind].knowledge(model, processor)
    if getattr(config, "vision_config", None) is not None or getattr(config, "audio_config", None) is not None:
        return Knowledge(None, reason=f"where the keys of a picture or sound lie is not known for the model type '{kind}'")
    if getattr(config, "image_size", None) is not None and getattr(config, "patch_size", None) is not None:
        return Knowledge(None, reason=f"a model of the type '{kind}' makes no words of a picture")
    if hasattr(config, "encoder") and hasattr(config, "decoder") and kind != "encoder-decoder":
        return Knowledge(None, reason=f"where the keys of the encoder's medium lie is not known for the model type '{kind}'")
    return words.TEXT.knowledge(model, processor)


def tell_groups(model: Model, sites: list[Site]) -> None:
    """How many heads of keys there are, where the run that found the sites repeated them: in another a group's heads may come as queries."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    heads, groups = getattr(text, "num_attention_heads", None), getattr(text, "num_key_value_heads", None)
    for site in sites:
        if groups and is_language_self(site) and site.heads == site.kv_heads == heads:
            site.kv_heads = groups


def made_up_inputs(model: Model) -> dict[str, torch.Tensor]:
    """The smallest that the model takes, to find its sites with."""
    kind = model_type(model)
    family = _FAMILIES.get(kind or "")
    if family is None and getattr(model.config, "vision_config", None) is not None:
        family = _FAMILIES["llava"]  # as likely as any; where it does not run the reason is told
    return (family or words.TEXT).inputs(model)

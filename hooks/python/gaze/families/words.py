# SPDX-License-Identifier: MIT
"""Models of text alone, with words to generate or without, and Whisper."""
from __future__ import annotations

from typing import Any, Mapping

import torch

from .knowledge import Family, Knowledge, Model, is_decoders_cross, plain_ids, profile, prompt_inputs


def _text(model: Model, processor: Any) -> Knowledge:
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        return Knowledge(profile(config.model_type, text={}), is_decoders_cross)
    if hasattr(model, "can_generate") and not model.can_generate():
        # An encoder, or a decoder without its head: each token by each token.
        return Knowledge(profile(config.model_type, text={}, rows={"of_call": "all"}), lambda site: site.in_step and site.relation != "cross",
                         ids_in_steps=True)
    return Knowledge(profile(config.model_type, text={}), lambda site: site.in_step and site.relation != "cross", ids_in_steps=True)


def _speech(model: Model, processor: Any) -> Knowledge:
    config = model.config
    extractor = getattr(processor, "feature_extractor", processor)
    hop, rate = getattr(extractor, "hop_length", 160), getattr(extractor, "sampling_rate", 16000)
    # The second convolution of the encoder halves the frames.
    geometry = {"kind": "time", "time": {"keys": config.max_source_positions, "seconds_per_key": 2 * hop / rate}}
    notes = [] if processor is not None else ["the hop is that of WhisperFeatureExtractor: 160 samples at 16000 Hz"]
    return Knowledge(profile(config.model_type, geometry=geometry), is_decoders_cross, is_no_step=_detects_language, notes=notes)


def _detects_language(inputs: Mapping[str, Any]) -> bool:
    """Whisper's generate does so first, where it is told none: the sound and one token, without a cache."""
    return inputs.get("input_features") is not None and inputs.get("use_cache") is False


def _sound(model: Model) -> dict[str, torch.Tensor]:
    parameter, config = next(model.parameters()), model.config
    return {"input_features": torch.zeros(1, config.num_mel_bins, 2 * config.max_source_positions, device=parameter.device, dtype=parameter.dtype)}


TEXT = Family(_text, lambda model: prompt_inputs(model, plain_ids(model.config, 3)))
FAMILIES = {"whisper": Family(_speech, _sound)}

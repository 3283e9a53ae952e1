# SPDX-License-Identifier: MIT
"""Sounds in the decoder's own row: Qwen2-Audio and Voxtral. Whisper's, which are read by cross-attention, are among the words."""
from __future__ import annotations

from typing import Any

import torch

from .knowledge import Family, Knowledge, Model, Place, Prompts, check_picture, is_language_self, plain_ids, profile, prompt_inputs, spans_of


def _audio_token(config: Any) -> int:
    value = getattr(config, "audio_token_id", None)
    return int(config.audio_token_index if value is None else value)


def _frames_of_key(config: Any) -> int:
    """The second convolution halves the frames; Qwen2-Audio halves them once more, Voxtral makes one key of several."""
    if config.model_type == "qwen2_audio":
        return 4
    return 2 * int(config.audio_config.intermediate_size) // int(config.audio_config.hidden_size)


def _knowledge(model: Model, processor: Any) -> Knowledge:
    config = model.config
    extractor = getattr(processor, "feature_extractor", processor)
    hop, rate = getattr(extractor, "hop_length", 160), getattr(extractor, "sampling_rate", 16000)
    placeholder, seconds_per_key = _audio_token(config), _frames_of_key(config) * hop / rate

    def places(prompts: Prompts) -> list[Place]:
        found = []
        for ids in prompts.ids:
            spans = spans_of(ids, placeholder)
            check_picture(spans, prompts.picture, placeholder)
            found.append(Place(spans, {"time": {"keys": spans[prompts.picture]["keys"], "seconds_per_key": seconds_per_key}}))
        return found

    notes = [] if processor is not None else ["the hop is that of WhisperFeatureExtractor: 160 samples at 16000 Hz"]
    geometry = {"kind": "time", "time": {"seconds_per_key": seconds_per_key}}
    return Knowledge(profile(config.model_type, geometry=geometry), is_language_self, ids_in_steps=True, places=places, notes=notes)


def _inputs(model: Model) -> dict[str, torch.Tensor]:
    config, parameter = model.config, next(model.parameters())
    audio = config.audio_config
    frames = 2 * audio.max_source_positions
    inputs = prompt_inputs(model, plain_ids(config, 1) + [_audio_token(config)] * (frames // _frames_of_key(config)) + plain_ids(config, 2))
    inputs["input_features"] = torch.zeros(1, audio.num_mel_bins, frames, device=parameter.device, dtype=parameter.dtype)
    if config.model_type == "qwen2_audio":
        inputs["feature_attention_mask"] = torch.ones(1, frames, device=parameter.device, dtype=torch.int64)
    return inputs


FAMILIES = {kind: Family(_knowledge, _inputs) for kind in ("qwen2_audio", "voxtral")}

# SPDX-License-Identifier: MIT
"""Models of transformers with small random weights that read a sound in the decoder's own row."""
import torch
import transformers as tf

from tiny_models import _TEXT, IMAGE

KEYS, FRAMES_OF_KEY = {"qwen2_audio": 18, "voxtral": 10}, {"qwen2_audio": 4, "voxtral": 8}
FRAMES = 80


def model(name: str, attention: str = "sdpa") -> torch.nn.Module:
    torch.manual_seed(1)
    if name == "qwen2_audio":
        audio = dict(num_mel_bins=20, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48, max_source_positions=FRAMES // 2)
        kind, config = tf.Qwen2AudioForConditionalGeneration, tf.Qwen2AudioConfig(audio_config=audio, audio_token_index=IMAGE,
                                                                                  text_config=dict(model_type="qwen2", **_TEXT))
    else:
        audio = dict(num_mel_bins=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                     max_source_positions=FRAMES // 2)
        kind, config = tf.VoxtralForConditionalGeneration, tf.VoxtralConfig(audio_config=audio, audio_token_id=IMAGE,
                                                                            text_config=dict(model_type="llama", **_TEXT))
    made = kind._from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.25)
    return made


def inputs(name: str, features: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of features [mel bins, frames]; Qwen2-Audio's sound ends before them."""
    ids = torch.tensor([[5, 6, *[IMAGE] * KEYS[name], 7, 8]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": features[None]}
    if name == "qwen2_audio":
        given["feature_attention_mask"] = (torch.arange(FRAMES)[None] < KEYS[name] * 4).long()
    return given

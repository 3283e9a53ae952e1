# SPDX-License-Identifier: MIT
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from example import FORMS, HALF, architecture, positional


@architecture("whisper", FORMS + (HALF,))
def whisper(form):
    config = WhisperConfig(vocab_size=97, num_mel_bins=20, d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                           decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=37,
                           max_target_positions=16, pad_token_id=1, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2)
    model = WhisperForConditionalGeneration._from_config(config, attn_implementation=form)
    return positional(model, {"input_features": torch.randn(2, 20, 74), "decoder_input_ids": torch.randint(4, 97, (2, 5))},
                      {"use_cache": False, "return_dict": False})

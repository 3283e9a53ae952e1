# SPDX-License-Identifier: MIT
"""Text in, text out."""
import torch
from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

from example import FORMS, HALF, architecture, positional

FIXED = {"use_cache": False, "return_dict": False}


def both() -> dict:
    return {"input_ids": torch.randint(4, 96, (2, 7)), "decoder_input_ids": torch.randint(4, 96, (2, 5)),
            "attention_mask": torch.tensor([[1] * 7, [1] * 4 + [0] * 3])}


@architecture("bart", FORMS + (HALF,))
def bart(form):
    config = BartConfig(vocab_size=97, max_position_embeddings=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, d_model=48, pad_token_id=1)
    inputs = both()
    inputs = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "decoder_input_ids": inputs["decoder_input_ids"]}
    return positional(BartForConditionalGeneration._from_config(config, attn_implementation=form), inputs, FIXED)


@architecture("t5")
def t5(form):
    config = T5Config(vocab_size=97, d_model=48, d_kv=8, d_ff=64, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
                      relative_attention_max_distance=16, decoder_start_token_id=0, feed_forward_proj="gated-gelu")
    return positional(T5ForConditionalGeneration._from_config(config, attn_implementation=form), both(), FIXED)

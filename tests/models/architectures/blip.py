# SPDX-License-Identifier: MIT
import torch
from transformers import BlipConfig, BlipForConditionalGeneration

from example import architecture, positional


@architecture("blip", ("eager",))
def blip(form):
    text = dict(vocab_size=97, hidden_size=48, encoder_hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=16, pad_token_id=0, bos_token_id=1, sep_token_id=2, is_decoder=True)
    vision = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
    model = BlipForConditionalGeneration._from_config(BlipConfig(text_config=text, vision_config=vision), attn_implementation=form)
    return positional(model, {"pixel_values": torch.randn(2, 3, 32, 32), "input_ids": torch.randint(3, 97, (2, 5)),
                              "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])}, {"return_dict": False})

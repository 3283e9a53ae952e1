# SPDX-License-Identifier: MIT
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from example import FORMS, HALF, architecture, positional

IMAGE = 96


def vision(image: int = 24) -> CLIPVisionConfig:
    return CLIPVisionConfig(hidden_size=40, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=image, patch_size=8,
                            projection_dim=32)


def text() -> LlamaConfig:
    return LlamaConfig(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                       num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def prompt(images: int, pieces: int = 4) -> torch.Tensor:
    words = torch.randint(3, 95, (2, pieces))
    return torch.cat([words[:, :2], torch.full((2, images), IMAGE), words[:, 2:]], 1)


@architecture("llava", FORMS + (HALF,))
def llava(form):
    config = LlavaConfig(vision_config=vision(), text_config=text(), image_token_index=IMAGE, image_seq_length=9)
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation=form)
    ids = prompt(9)
    mask = torch.ones_like(ids)
    mask[1, :1] = 0  # padded on the left
    return positional(model, {"input_ids": ids, "pixel_values": torch.randn(2, 3, 24, 24), "attention_mask": mask},
                      {"use_cache": False, "return_dict": False}, unused=(r"vision_tower.*layers\.2\.",))
